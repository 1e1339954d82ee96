//! What cargo knows about the workspace: its folders, packages, targets and dependencies.
//!
//! Called by every task. It reads `cargo metadata` and never resolves or downloads anything.

use crate::process;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The answer of `cargo metadata --no-deps`, as far as the tasks need it.
#[derive(Deserialize)]
pub(crate) struct Workspace {
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where cargo builds; follows `CARGO_TARGET_DIR`.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    pub(crate) packages: Vec<Package>,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

#[derive(Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for an ordinary dependency, else `dev` or `build`.
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) optional: bool,
    /// The condition under which it is one, such as `cfg(loom)`.
    pub(crate) target: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

impl Workspace {
    /// Reads the workspace that this task belongs to.
    ///
    /// # Errors
    /// Cargo does not run, or a manifest is broken.
    pub(crate) fn load() -> Result<Self> {
        let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
        Self::load_at(Path::new(&here))
    }

    /// Reads the workspace of the package in `directory`.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(crate) fn load_at(directory: &Path) -> Result<Self> {
        let metadata =
            process::output(process::cargo(directory).args(["metadata", "--no-deps", "--format-version", "1"]))?;
        serde_json::from_str(&metadata).context("read the answer of `cargo metadata`")
    }

    /// Returns the package called `name`.
    pub(crate) fn package(&self, name: &str) -> Option<&Package> {
        self.packages.iter().find(|package| package.name == name)
    }

    /// Returns `path` relative to the root, with `/` between its parts.
    pub(crate) fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }
}

impl Package {
    /// Returns the names of its binaries, sorted.
    pub(crate) fn bins(&self) -> Vec<&str> {
        let mut bins: Vec<&str> =
            self.targets.iter().filter(|target| target.is("bin")).map(|target| target.name.as_str()).collect();
        bins.sort_unstable();
        bins
    }

    /// Returns the folder of its manifest.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().expect("a manifest lies in a folder")
    }
}

impl Target {
    /// Returns whether `kind` (`lib`, `bin`, `test`, ...) is one of its kinds.
    pub(crate) fn is(&self, kind: &str) -> bool {
        self.kind.iter().any(|k| k == kind)
    }
}
