//! What a collector keeps on disk: entries of traces, appended, made durable, and retired oldest first.
//!
//! Called by the collector alone. What an entry says is its caller's: here it is a trace, a kind and bytes. [`TraceStore`] is the contract;
//! [`log::Log`] fulfils it by plain files, drawn in `docs/spec/store.md`.
//!
//! The write-ahead log ([`wal`], `docs/spec/wal.md`) keeps what was taken in until it stands in parts.
//!
//! [`part`]s keep traces by column, for searches: a [`batch::Batch`] takes rows until a cut, [`part::write`] makes Parquet files of it,
//! [`part::read`] hands the rows back, and a [`manifest`] says which parts there are. [`compact`] joins small ones, [`retain`] lets old ones
//! go. Drawn in `docs/spec/parts.md`.
//!
//! [`agg`] counts over all traces what one is held against; a cut writes it beside its part.
#![forbid(unsafe_code)]

pub mod agg;
pub mod batch;
pub mod compact;
pub mod error;
mod folder;
pub mod format;
pub mod ingest;
pub mod local;
pub mod log;
pub mod manifest;
pub mod objects;
pub mod part;
pub mod promote;
pub mod retain;
pub mod rows;
#[cfg(feature = "s3")]
pub mod s3;
pub mod schema;
pub mod view;
pub mod wal;

pub use error::StoreError;

use backsight_core::ids::TraceId;
use std::sync::Arc;

/// An entry to store, or as it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// Its trace.
    pub trace: TraceId,
    /// What its payload is; the caller's business.
    pub kind: u8,
    /// The bytes, at most [`format::PAYLOAD_MAX_BYTES`].
    pub payload: &'a [u8],
}

/// An entry that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedEntry {
    /// Its trace.
    pub trace: TraceId,
    /// What its payload is.
    pub kind: u8,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// Where an entry stands; ascends in the order in which entries were appended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Place {
    /// The number of its file.
    pub file: u64,
    /// Where its header begins in the file, in bytes.
    pub offset: u32,
    /// The length of its payload.
    pub len: u32,
}

/// What could not be read back. All zero for files that were written in full and not damaged since.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Losses {
    /// Bytes at the end of the newest file that a write had not finished; cut off. Nobody was told that they were durable.
    pub cut_bytes: u64,
    /// Bytes elsewhere that are damaged: passed over.
    pub lost_bytes: u64,
    /// Runs of such bytes.
    pub n_holes: u64,
    /// Files of which nothing can be read; their bytes count as lost.
    pub n_unreadable_files: u64,
    /// Newest files that end within their header or right behind it: removed when the store was opened. A crash leaves one where it comes
    /// between the making of a file and its first entry; [`log::Log::removed`] names them, as damage may do the same.
    pub n_removed_files: u64,
}

/// Stores entries, one caller at a time.
///
/// After an error of [`append`](Self::append) the store is as before the call. After one of [`sync`](Self::sync), all that was appended
/// since the last sync is gone, and its places mean nothing. Either way the next append may succeed.
pub trait TraceStore: Send {
    /// Appends `entries`, all or none, and returns their places. They may be lost in a crash until [`sync`](Self::sync) returns.
    ///
    /// # Errors
    /// No room, no permission, another failure of the disk, or a payload or a batch that is too long.
    fn append(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Place>, StoreError>;

    /// Makes all that was appended durable.
    ///
    /// # Errors
    /// As of the disk.
    /// # Cost
    /// One `fdatasync`, nothing where nothing was appended.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Returns a handle by which other threads read, meanwhile.
    fn reader(&self) -> Arc<dyn StoreReader>;

    /// Shows every entry in the order in which it was appended, and returns what could not be read, now or when the store was opened.
    ///
    /// # Errors
    /// A file cannot be read at all; damage inside a file is no error.
    /// # Cost
    /// Reads each file once; one file's bytes in memory.
    fn replay(&mut self, visit: &mut dyn FnMut(Place, Entry<'_>)) -> Result<Losses, StoreError>;

    /// Removes files, oldest first, until at most `max_bytes` are left or only the newest file is, and returns the numbers of those removed.
    ///
    /// # Errors
    /// A file cannot be removed; those removed before it are gone from the store, and will be named by the next call.
    fn retire(&mut self, max_bytes: u64) -> Result<Vec<u64>, StoreError>;

    /// Returns the bytes on disk.
    fn bytes(&self) -> u64;
}

/// Reads entries by their places, from any thread.
pub trait StoreReader: Send + Sync + std::fmt::Debug {
    /// Reads one entry.
    ///
    /// # Errors
    /// Its file was retired, or its bytes are damaged.
    /// # Cost
    /// One `pread`, and opening the file where it was not read lately.
    fn read(&self, place: Place) -> Result<OwnedEntry, StoreError>;
}
