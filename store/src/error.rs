//! What can go wrong with a folder of stored entries, told so that people know what to do.

use backsight_core::units::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A failure of the store. Cheap to clone: all who waited for one write are told of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another part of this one, has the folder.
    #[error(
        "{} is in use by another collector{}; stop that one, or give each its own folder",
        folder.display(), holder.map_or_else(String::new, |pid| format!(" (process {pid})"))
    )]
    Locked {
        /// The folder.
        folder: PathBuf,
        /// The process that has it, where it says so.
        holder: Option<u32>,
    },
    /// The disk, the quota or the file size limit leaves no room.
    #[error(
        "no room for {} more in {}; free some space, or lower the store's max_bytes",
        Bytes(*needed_bytes),
        folder.display()
    )]
    Full {
        /// The folder.
        folder: PathBuf,
        /// What was to be written.
        needed_bytes: u64,
    },
    /// The user may not do it.
    #[error("no permission to {what} {}; the collector's user must own the folder", path.display())]
    Permission {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
    },
    /// The file system takes no writes.
    #[error("{} is on a read-only file system; mount it writable, or choose another folder", path.display())]
    ReadOnly {
        /// What was to be written to.
        path: PathBuf,
    },
    /// Another failure of the disk.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
    /// A payload that is longer than an entry may be.
    #[error("an entry of {} is longer than {}", Bytes(*len), Bytes(*max))]
    EntryTooLong {
        /// Its length.
        len: u64,
        /// The most.
        max: u64,
    },
    /// A batch that is longer than one append may be.
    #[error("a batch of {} is longer than {}; append it in parts", Bytes(*len), Bytes(*max))]
    BatchTooLong {
        /// Its length.
        len: u64,
        /// The most.
        max: u64,
    },
    /// The entry's file was retired.
    #[error("file {file} of the store was retired")]
    Retired {
        /// The file's number.
        file: u64,
    },
    /// What stands on disk is not what was written.
    #[error("the entry at byte {offset} of file {file} is damaged on disk")]
    Damaged {
        /// The file's number.
        file: u64,
        /// Where the entry begins.
        offset: u32,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

/// Names what failed: `what` on `path`, inside `folder`, while `needed_bytes` were to be written.
pub(crate) struct Attempt<'a> {
    pub(crate) what: &'static str,
    pub(crate) folder: &'a Path,
    pub(crate) path: &'a Path,
    pub(crate) needed_bytes: u64,
}

impl Attempt<'_> {
    /// Returns the error that tells most about `error`.
    pub(crate) fn failed(&self, error: io::Error) -> StoreError {
        let path = self.path.to_path_buf();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::Full { folder: self.folder.to_path_buf(), needed_bytes: self.needed_bytes }
            }
            io::ErrorKind::PermissionDenied => StoreError::Permission { what: self.what, path },
            io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { path },
            _ => StoreError::Io { what: self.what, path, source: Arc::new(error) },
        }
    }
}
