//! Folders that one process at a time has: made and synced so that they outlast a power failure, and locked.
//!
//! Called by all that keeps files here; how a failure is told is theirs.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A lock that was not had.
#[derive(Debug)]
pub(crate) enum NotLocked {
    /// Somebody else has it: the process that the file names, if it names one.
    Held {
        /// That process.
        holder: Option<u32>,
    },
    /// The file cannot be opened.
    Open(io::Error),
    /// The file system refuses.
    Lock(io::Error),
}

/// Makes a folder and those above it, each durable in the one above.
///
/// # Errors
/// As of the disk, with the folder that could not be made.
pub(crate) fn make(folder: &Path) -> Result<(), (PathBuf, io::Error)> {
    let missing: Vec<_> =
        folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
    for path in missing.into_iter().rev() {
        let made = match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => sync(path.parent().unwrap_or(Path::new(""))),
        };
        made.map_err(|error| (path.to_owned(), error))?;
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

/// Returns the file whose lock says who has a folder.
pub(crate) fn lock_file(folder: &Path) -> PathBuf {
    folder.join("lock")
}

/// Takes a folder for as long as what is returned lives.
pub(crate) fn lock(folder: &Path) -> Result<File, NotLocked> {
    let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(lock_file(folder));
    let file = open.map_err(NotLocked::Open)?;
    match file.try_lock() {
        Ok(()) => {
            // For people only: a lock without a name is a lock.
            let holder = format!("{}\n", std::process::id());
            let _ = file.set_len(0).and_then(|()| file.write_all_at(holder.as_bytes(), 0));
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let holder = io::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
            Err(NotLocked::Held { holder })
        }
        Err(TryLockError::Error(error)) => Err(NotLocked::Lock(error)),
    }
}
