//! The state directory: one agent at a time has it, since what lies there says who the agent is.
//!
//! Called once at start. The lock is the kernel's, on a file in the directory: it ends with the process that has it, however that ends, and a
//! file that a dead agent left stops nobody.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// The file in the state directory that is locked; in it stand the process that has it, and the boot that this belongs to.
const LOCK_FILE: &str = "lock";

/// The state directory is another agent's: two with one would have one id, and each be taken for the other.
#[derive(Debug, thiserror::Error)]
#[error(
    "lock {}: another agent{} has this state directory; stop that one, or give each its own (agent.state_dir)",
    .file.display(), .holder.map_or_else(String::new, |pid| format!(" (process {pid})"))
)]
pub struct InUse {
    /// The file that is locked.
    pub file: PathBuf,
    /// The process that has it, where it says so.
    pub holder: Option<u32>,
}

/// A state directory that no other agent takes while this lives.
#[derive(Debug)]
pub struct StateDir {
    _lock: Option<File>,
    /// The file that could not be locked, and what the system said.
    pub not_locked: Option<(PathBuf, io::Error)>,
    /// Whether an agent had it since the host was booted, or nobody can tell.
    pub was_taken: bool,
}

impl StateDir {
    /// Takes the state directory, making it where it is missing. One that cannot be written to, or whose file system has no locks, is used
    /// without a lock where need be: an agent without a state directory works.
    ///
    /// # Errors
    /// Another agent has it.
    pub fn take(dir: &Path, boot: [u64; 2]) -> Result<Self, InUse> {
        let file = dir.join(LOCK_FILE);
        let unlocked = |error| Ok(Self { _lock: None, not_locked: Some((file.clone(), error)), was_taken: true });
        let lock = match open(dir, &file) {
            Ok(lock) => lock,
            Err(error) => return unlocked(error),
        };
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(InUse { holder: holder(&file), file }),
            Err(TryLockError::Error(error)) => return unlocked(error),
        }
        let boot = format!("{:016x}{:016x}", boot[0], boot[1]);
        let said = std::fs::read_to_string(&file).unwrap_or_default();
        let was_taken = said.split_whitespace().nth(1) == Some(&boot);
        // A lock file that may only be read names nobody, or somebody who is dead.
        let text = format!("{} {boot}\n", std::process::id());
        let written = lock.set_len(0).and_then(|()| lock.write_all_at(text.as_bytes(), 0));
        Ok(Self { _lock: Some(lock), not_locked: None, was_taken: was_taken || written.is_err() })
    }
}

/// Opens the lock file, to write to it where that may be: reading is enough for a lock.
fn open(dir: &Path, file: &Path) -> io::Result<File> {
    let made = std::fs::create_dir_all(dir)
        .and_then(|()| OpenOptions::new().create(true).truncate(false).read(true).write(true).open(file));
    match made {
        Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem) => {
            File::open(file).map_err(|_| error)
        }
        made => made,
    }
}

fn holder(file: &Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::StateDir;

    const BOOT: [u64; 2] = [1, 2];

    #[test]
    fn a_directory_is_one_agents_until_it_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let first = StateDir::take(&state, BOOT).unwrap();
        assert!(first.not_locked.is_none());
        let error = StateDir::take(&state, BOOT).unwrap_err();
        assert_eq!((error.holder, error.file.clone()), (Some(std::process::id()), state.join("lock")));
        let text = format!(
            "lock {}: another agent (process {}) has this state directory; stop that one, or give each its own (agent.state_dir)",
            error.file.display(),
            std::process::id()
        );
        assert_eq!(error.to_string(), text);
        assert!(!first.was_taken);
        drop(first);
        assert!(StateDir::take(&state, BOOT).unwrap().was_taken);
        assert!(!StateDir::take(&state, [1, 3]).unwrap().was_taken, "the host was booted since");
    }

    #[test]
    fn a_file_that_a_dead_agent_left_stops_nobody_and_its_name_is_not_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lock"), "4194304999\n").unwrap();
        let first = StateDir::take(dir.path(), BOOT).unwrap();
        assert!(first.not_locked.is_none());
        assert_eq!(StateDir::take(dir.path(), BOOT).unwrap_err().holder, Some(std::process::id()));
    }

    #[test]
    fn a_directory_that_cannot_be_had_costs_a_reason_only() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("state"), "a file").unwrap();
        let taken = StateDir::take(&dir.path().join("state"), BOOT).unwrap();
        assert!(taken.not_locked.is_some());
    }
}
