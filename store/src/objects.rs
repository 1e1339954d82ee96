//! Where parts and manifests stand: objects by path, of a folder or of an object store, behind one small contract.
//!
//! Called by `part` and `manifest`; [`crate::local::Local`] is the folder. All that the store's safety rests on is
//! [`Objects::put_if_absent`]: of several who put the same path at most one is told that it created it, and what was created is whole and
//! durable.

use backsight_core::units::Bytes;
use std::fmt::Debug;
use std::io;
use std::sync::Arc;

/// The longest path.
pub const PATH_MAX_BYTES: usize = 512;

/// A failure of a store of objects.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("{path} is missing; it was removed, or the store was not restored as a whole")]
    Missing {
        /// Its path.
        path: String,
    },
    /// It is longer than what it stands for may be.
    #[error("{path} has {}, more than the {} that such a file may have; it is none of ours", Bytes(*bytes), Bytes(*max_bytes))]
    TooLong {
        /// Its path.
        path: String,
        /// Its length.
        bytes: u64,
        /// The most.
        max_bytes: u64,
    },
    /// Bytes were asked for that it does not have.
    #[error("{path} ends at byte {bytes}, before byte {end} that was to be read; it was cut short")]
    Short {
        /// Its path.
        path: String,
        /// Its length.
        bytes: u64,
        /// The end of what was to be read.
        end: u64,
    },
    /// Something else has its name already.
    #[error("{path} is there already; two writers made the same name, or a backup was put over a living store")]
    Taken {
        /// Its path.
        path: String,
    },
    /// The path is none that this store makes.
    #[error("`{path}` is no path of this store")]
    BadPath {
        /// The path.
        path: String,
    },
    /// The disk or the store failed.
    #[error("cannot {what} {path}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: String,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
}

/// What became of a conditional put.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Put {
    /// The object is there, whole and durable, and nobody else made it.
    Created,
    /// An object was there before, whole and durable.
    Taken,
}

/// An object, as a listing shows it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Listed {
    /// Its path.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// When it was written, nanoseconds since 1970.
    pub modified_ns: i64,
}

/// Objects by path: segments of letters, digits and `._=-`, divided by `/`.
pub trait Objects: Send + Sync + Debug {
    /// Creates an object if there is none at `path`; durable when it returns.
    ///
    /// # Errors
    /// Any failure. It is then unknown whether the object was created: whoever must know reads it.
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<Put, ObjectError>;

    /// Creates or replaces an object, as a whole.
    ///
    /// # Errors
    /// Any failure; the old object may be there still.
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), ObjectError>;

    /// Begins an object that is too long to be held in memory. Nobody sees it before [`Upload::finish`].
    ///
    /// # Errors
    /// Any failure.
    fn create(&self, path: &str) -> Result<Box<dyn Upload>, ObjectError>;

    /// Returns the bytes of a small object, `None` where there is none.
    ///
    /// # Errors
    /// It is longer than `max_bytes`, or any other failure.
    fn get(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, ObjectError>;

    /// Opens an object to read parts of it.
    ///
    /// # Errors
    /// It is missing, or any other failure.
    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, ObjectError>;

    /// Lists the objects under the folder `folder`, those in folders of it included, by path. Unfinished ones are shown, too.
    ///
    /// # Errors
    /// Any failure.
    fn list(&self, folder: &str) -> Result<Vec<Listed>, ObjectError>;

    /// Removes an object; one that is missing is fine.
    ///
    /// # Errors
    /// Any failure.
    fn delete(&self, path: &str) -> Result<(), ObjectError>;

    /// Returns the bytes of the file system that they stand in, where they stand in one.
    fn capacity_bytes(&self) -> Option<u64> {
        None
    }
}

/// An object in the making. One that is dropped leaves nothing that a reader would take for whole.
pub trait Upload: io::Write + Send {
    /// Makes the object durable, and visible under its path.
    ///
    /// # Errors
    /// The path is taken, or any other failure.
    fn finish(self: Box<Self>) -> Result<(), ObjectError>;
}

/// An open object.
pub trait ReadAt: Send + Sync + Debug {
    /// Returns its path.
    fn path(&self) -> &str;

    /// Returns its length.
    fn bytes(&self) -> u64;

    /// Fills `buffer` with what stands at `offset`.
    ///
    /// # Errors
    /// The object ends before, or any other failure.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ObjectError>;
}

/// Returns `path`, if it is one of this store's: no way out of its folder.
///
/// # Errors
/// It is not.
pub(crate) fn checked(path: &str) -> Result<&str, ObjectError> {
    let is_segment = |segment: &str| {
        !segment.is_empty()
            && !segment.starts_with("..")
            && segment != "."
            && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._=-".contains(&byte))
    };
    if path.len() <= PATH_MAX_BYTES && path.split('/').all(is_segment) {
        return Ok(path);
    }
    Err(ObjectError::BadPath { path: path.chars().take(PATH_MAX_BYTES).collect() })
}

#[cfg(test)]
pub(crate) mod testing;
