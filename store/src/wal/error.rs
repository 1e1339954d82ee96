//! What can go wrong with the write-ahead log, told so that people know what to do.

use super::record::{Seq, Unknown};
use backsight_core::units::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A failure of the log. Cheap to clone: all who waited for one sync are told of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WalError {
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
    /// The options contradict each other.
    #[error("a write-ahead log of {} is too small for files of {}; give it room for {files_min} of them", Bytes(*total_bytes), Bytes(*file_bytes))]
    TooSmall {
        /// The limit of the whole log.
        total_bytes: u64,
        /// The length of a file.
        file_bytes: u64,
        /// How many files it must have room for.
        files_min: u64,
    },
    /// A file that another collector wrote, or that people put where it is. Nothing was changed.
    #[error("{} {why}; move it out of the folder, or give this collector its own", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// How that shows.
        why: Foreign,
    },
    /// A file or a record that a later version wrote. Nothing was changed.
    #[error("{} holds {what}, which a later version of the collector wrote; start that version", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// What is unknown.
        what: Newer,
    },
    /// A payload that is longer than a record may be.
    #[error("a payload of {len} bytes is longer than {max}; refuse or split what it came with")]
    PayloadTooLong {
        /// Its length.
        len: u64,
        /// The most.
        max: u64,
    },
    /// The log has reached its limit. It takes records again once files are freed.
    #[error(
        "the write-ahead log holds {} of {}, from record {oldest} on; commit what is in it so that it is freed, or raise its limit",
        Bytes(*used_bytes), Bytes(*total_bytes)
    )]
    Full {
        /// What its files take.
        used_bytes: u64,
        /// The limit.
        total_bytes: u64,
        /// The first record that it holds.
        oldest: Seq,
    },
    /// The disk, the quota or the file size limit leaves no room.
    #[error("no room on the disk to {what} {}; free some there", path.display())]
    DiskFull {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
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
    /// A sync failed: nobody knows what of these records is durable. They were written, and are found while the machine runs; when its power
    /// fails they may be lost. They must not be acknowledged as durable.
    #[error("cannot sync {}: records {first} to before {end} may be lost if the power fails", path.display())]
    InDoubt {
        /// The file that could not be synced.
        path: PathBuf,
        /// The first of the records.
        first: Seq,
        /// The one behind the last of them.
        end: Seq,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
}

impl WalError {
    /// Names what failed: `what` on `path`.
    pub(super) fn io(what: &'static str, path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull { what, path, source: Arc::new(error) }
            }
            _ => Self::Io { what, path, source: Arc::new(error) },
        }
    }
}

/// How it shows that a file is none of this log's.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Foreign {
    /// Another collector wrote it.
    #[error("is of node {found}, not of node {own}")]
    Node {
        /// Who wrote it.
        found: u32,
        /// Who reads it.
        own: u32,
    },
    /// Its name is not its own.
    #[error("says that it is file {0:016x}")]
    Name(u64),
    /// It begins before the file in front of it, or has an earlier epoch: it is of another history of this log, as a restored backup is.
    #[error("has record {first} and epoch {epoch}, which is behind the file in front of it")]
    Order {
        /// The first record that it says to hold.
        first: Seq,
        /// Its epoch.
        epoch: u64,
    },
    /// No log comes so far.
    #[error("has a number that no log reaches")]
    Number,
}

/// What a later version wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Newer {
    /// The whole file.
    #[error("a log of version {0}")]
    Version(u32),
    /// A record.
    #[error("a record of {what} at byte {offset}")]
    Record {
        /// Where its header begins.
        offset: u64,
        /// What is unknown of it.
        what: Unknown,
    },
}
