//! Where the binaries of the workspace are: beside the one that runs, built first where they are not.

use anyhow::{Context as _, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the path of the workspace's binary `name`, of the same build profile as the caller.
///
/// # Errors
/// The binary is not there and could not be built.
pub fn find(name: &str) -> Result<PathBuf> {
    let profile = profile_folder()?;
    let path = profile.join(name);
    if !path.exists() {
        build(&[name], &profile)?;
    }
    ensure!(path.exists(), "no {} after building it", path.display());
    Ok(path)
}

/// Builds the binaries `names` where their sources are newer, so that a bench never measures what somebody once built.
///
/// # Errors
/// They cannot be built.
pub fn freshen(names: &[&str]) -> Result<()> {
    build(names, &profile_folder()?)
}

fn profile_folder() -> Result<PathBuf> {
    let own = std::env::current_exe().context("find the running executable")?;
    let folder = own.parent().context("the running executable has no folder")?;
    // Tests run in `PROFILE/deps`, bins in `PROFILE`.
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned())
}

fn build(names: &[&str], profile: &Path) -> Result<()> {
    let target = profile.parent().context("the profile's folder has no parent")?;
    let name = match profile.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "test",
        Some(name) => name,
    };
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The whole workspace, so that dependencies have the features that they have in every other build, and are compiled once.
    cargo.args(["build", "--profile", name, "--workspace", "--target-dir"]).arg(target);
    names.iter().for_each(|name| {
        cargo.args(["--bin", name]);
    });
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // As xtask does: what cargo told this program of its own package would have build scripts run again.
    let is_own = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_own)) {
        cargo.env_remove(name);
    }
    let status = cargo.status().with_context(|| format!("run {cargo:?}"))?;
    ensure!(status.success(), "{cargo:?} failed: {status}");
    Ok(())
}
