//! A copy of the working tree, in which sources may be changed: the user's own never are, whenever this task is killed.
//!
//! Called by `faults`. What a killed run has left changed is put right by the next.

use super::table::Case;
use crate::tidy::source;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// The copy; no other run has it meanwhile.
pub(super) struct Checkout {
    root: PathBuf,
    _lock: File,
}

impl Checkout {
    /// Makes the copy what the working tree is now. Files that are the same keep their times, so that nothing is built in vain.
    ///
    /// # Errors
    /// Something cannot be read or written, or another run has the copy.
    pub(super) fn renew(workspace: &Workspace) -> Result<Self> {
        let root = workspace.target.join("faults/tree");
        fs::create_dir_all(&root).with_context(|| format!("make {}", root.display()))?;
        let lock = File::create(workspace.target.join("faults/lock")).context("make the lock of the copy")?;
        if lock.try_lock().is_err() {
            bail!("another run of this task has {}", root.display());
        }
        let paths: BTreeSet<String> = source::paths(&workspace.root)?.into_iter().collect();
        for path in &paths {
            let from = workspace.root.join(path);
            // Removed but still in the index, or a link.
            if from.symlink_metadata().is_ok_and(|metadata| metadata.is_file()) {
                take_over(&from, &root.join(path)).with_context(|| format!("copy {path}"))?;
            }
        }
        for path in source::paths_from_folder(&root)?.iter().filter(|path| !paths.contains(*path)) {
            fs::remove_file(root.join(path)).with_context(|| format!("remove the old {path}"))?;
        }
        Ok(Self { root, _lock: lock })
    }

    /// Returns the root of the copy.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Does `work` while the mechanism of `case` is taken away.
    ///
    /// # Errors
    /// Its text does not stand there exactly once, or as `work`.
    pub(super) fn changed<T>(&self, case: &Case, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let path = self.root.join(&case.file);
        let whole = fs::read_to_string(&path).with_context(|| format!("read {}", case.file))?;
        ensure!(whole.matches(&case.find).count() == 1, "{}: what is replaced must stand there once", case.file);
        fs::write(&path, whole.replace(&case.find, &case.replace)).with_context(|| format!("change {}", case.file))?;
        let done = work();
        fs::write(&path, whole).with_context(|| format!("put {} back", case.file))?;
        done
    }
}

fn take_over(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from)?;
    if fs::read(to).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    to.parent().map_or(Ok(()), fs::create_dir_all)?;
    Ok(fs::write(to, bytes)?)
}
