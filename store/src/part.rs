//! Parts: what one cut writes, a Parquet file for each table, and how it is read back. Drawn in `docs/spec/parts.md`.
//!
//! [`write::write`] is called at a cut, [`read`] by searches, both by compaction, which writes row by row (`stream`). What is read may be cut short, foreign or hostile: any bytes give rows or an
//! error that names the file, never a panic, and no allocation is larger than what the file's length warrants.

mod agg;
mod attributes;
mod columns;
mod decode;
mod footer;
mod name;
mod order;
mod properties;
pub mod read;
mod reports;
mod resources;
mod slices;
mod source;
mod spans;
mod stream;
mod summary;
mod table_file;
mod text;
mod traces;
pub mod write;

pub(crate) use decode::RowPlace;
pub use name::{PINNED_FOLDER, PartId, PartName, Shelf};
pub(crate) use properties::{DistinctCounter, Sizes};
pub(crate) use stream::{Place, Stream};

use crate::objects::ObjectError;
use arrow_schema::ArrowError;
use parquet::errors::ParquetError;
use std::sync::Arc;

/// Rows of one row group.
pub const ROW_GROUP_ROWS: usize = 131_072;
/// Rows of one page.
pub const PAGE_ROWS: usize = 2048;
/// The longest footer, page indexes not included.
pub const FOOTER_MAX_BYTES: u64 = 64 << 20;

/// A part could not be written or read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PartError {
    /// The disk or the store failed.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// It was written by a later major version.
    #[error(
        "{path} has schema {found}, and this version reads {}; upgrade what reads it, or let it go by retention",
        crate::schema::VERSION.major
    )]
    Newer {
        /// Its path.
        path: String,
        /// The version in its footer.
        found: crate::schema::Version,
    },
    /// It is no Parquet file, or none of ours.
    #[error("{path} is no part of this store: {why}; move it out of the store's folder")]
    Foreign {
        /// Its path.
        path: String,
        /// What it lacks.
        why: String,
    },
    /// It is one of ours, and damaged.
    #[error("{path} is damaged: {why}; restore it from a backup, or remove it by `backsight store`")]
    Damaged {
        /// Its path.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// Its bytes are not those that the manifest names.
    #[error("{path} is not as it was written: XXH3 {found:016x} instead of {expected:016x}; restore it from a backup")]
    Changed {
        /// Its path.
        path: String,
        /// The checksum in the manifest.
        expected: u64,
        /// The checksum of its bytes.
        found: u64,
    },
    /// Rows were asked for that it does not have.
    #[error("{path} has {n_rows} rows, and rows up to {end} were asked for")]
    NoSuchRows {
        /// Its path.
        path: String,
        /// Its rows.
        n_rows: u64,
        /// The end of what was asked for.
        end: u64,
    },
    /// Columns could not be encoded.
    #[error("cannot encode {path}")]
    Encode {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: Arc<ParquetError>,
    },
}

/// A failure inside Arrow while columns are put together, before the file is known.
pub(crate) type ArrowResult<T> = Result<T, ArrowError>;

#[cfg(test)]
pub(crate) mod tests;
