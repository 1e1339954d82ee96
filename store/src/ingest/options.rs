//! How a store takes in, and why it may not open.

use crate::manifest::ManifestError;
use crate::promote::Forced;
use crate::retain::Limits;
use crate::wal::{Fsync, WalError};
use backsight_core::units::Nanos;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// How a store takes in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the log.
    pub wal: PathBuf,
    /// The name of the manifest, one for each collector.
    pub writer: String,
    /// The commit that this program was built from.
    pub commit: &'static str,
    /// When input becomes durable: within 100 ms.
    pub fsync: Fsync,
    /// What the log may take: 1 GiB.
    pub wal_bytes: u64,
    /// What one of its files takes: 64 MiB.
    pub wal_file_bytes: u64,
    /// What rows that are in no part may take in memory: 256 MiB.
    pub recent_bytes: usize,
    /// Rows of a batch: a million.
    pub rows_max: usize,
    /// A batch is cut when it is so old: 60 s.
    pub cut_every: Nanos,
    /// One of few rows when it is so old: 300 s.
    pub cut_few_every: Nanos,
    /// Keys of attributes that have, or have not, columns of their own.
    pub forced: Forced,
    /// What small parts are joined with, as a share of a core: 0.1. Nothing is joined where it is 0.
    pub compact_core_share: f64,
    /// How much is kept.
    pub retain: Limits,
    /// How often it is looked what is to go: 60 s.
    pub retain_every: Nanos,
}

/// Rows that are few.
pub(super) const FEW_ROWS: usize = 10_000;

impl Options {
    /// Returns how a store takes in whose log is in the folder `wal`.
    pub fn new(wal: impl Into<PathBuf>) -> Self {
        Self {
            wal: wal.into(),
            writer: "collector".to_owned(),
            commit: "",
            fsync: Fsync::Interval(Nanos::from_ms(100)),
            wal_bytes: 1 << 30,
            wal_file_bytes: 64 << 20,
            recent_bytes: 256 << 20,
            rows_max: 1_000_000,
            cut_every: Nanos::from_ms(60_000),
            cut_few_every: Nanos::from_ms(300_000),
            forced: Forced::default(),
            compact_core_share: 0.1,
            retain: Limits::default(),
            retain_every: Nanos::from_ms(60_000),
        }
    }

    /// Returns what a batch may take in memory: while one is written, another fills.
    pub(super) const fn batch_bytes(&self) -> usize {
        self.recent_bytes / 2
    }
}

/// A store that does not open.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// Its log.
    #[error(transparent)]
    Log(#[from] WalError),
    /// Its manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// What the log holds does not fit memory, and no part can be written.
    #[error(
        "what the write-ahead log holds is more than store.recent_bytes allows in memory, and writing a part of it failed"
    )]
    Cut(#[from] super::cut::CutError),
    /// The system has no thread for it.
    #[error("start the thread {name}")]
    Thread {
        /// Its name.
        name: &'static str,
        /// Why not.
        #[source]
        source: Arc<io::Error>,
    },
}
