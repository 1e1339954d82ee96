//! What a store counts, and what keeps it from its work.

use super::cut::CutError;
use super::read;
use crate::view::View;
use backsight_core::cause::chain;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What a store counted since it was opened, and how much it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Records that were taken.
    pub n_records: u64,
    /// Their payloads.
    pub record_bytes: u64,
    /// Records that were refused as malformed.
    pub n_malformed: u64,
    /// Records that were refused because memory or the log was full.
    pub n_busy: u64,
    /// Times that the log was made durable.
    pub n_syncs: u64,
    /// The time that these took.
    pub sync_ns: u64,
    /// The longest of them.
    pub sync_max_ns: u64,
    /// What the log takes.
    pub wal_bytes: u64,
    /// What rows in no part take in memory.
    pub recent_bytes: u64,
    /// Spans among them.
    pub recent_spans: u64,
    /// Cuts that made a part.
    pub n_cuts: u64,
    /// The time that these took.
    pub cut_ns: u64,
    /// Cuts that failed, and were tried again.
    pub n_cut_failures: u64,
    /// Parts.
    pub n_parts: u64,
    /// What they take.
    pub part_bytes: u64,
    /// Traces that could not be assembled, as what is stored of them could not be read.
    pub n_unreadable: u64,
    /// Parts that became one with others.
    pub n_parts_joined: u64,
    /// What these took.
    pub joined_bytes: u64,
    /// Parts of which all or the rows of traces went, as they were too old or too much.
    pub n_parts_retired: u64,
    /// Files of parts that were deleted.
    pub n_files_deleted: u64,
    /// Times that a part could not be joined with others or could not go.
    pub n_upkeep_failures: u64,
}

/// Counters. Relaxed, all: statistics.
#[derive(Debug, Default)]
pub(super) struct Counters {
    n_records: AtomicU64,
    record_bytes: AtomicU64,
    n_malformed: AtomicU64,
    n_busy: AtomicU64,
    n_syncs: AtomicU64,
    sync_ns: AtomicU64,
    sync_max_ns: AtomicU64,
    wal_bytes: AtomicU64,
    n_cuts: AtomicU64,
    cut_ns: AtomicU64,
    n_cut_failures: AtomicU64,
    n_unreadable: AtomicU64,
    n_parts_joined: AtomicU64,
    joined_bytes: AtomicU64,
    n_parts_retired: AtomicU64,
    n_files_deleted: AtomicU64,
    n_upkeep_failures: AtomicU64,
    /// Whether the store ends.
    pub(super) is_closing: AtomicBool,
    /// Why the last cut failed, until one succeeds.
    trouble: Mutex<Option<String>>,
}

impl Counters {
    pub(super) fn taken(&self, bytes: usize) {
        self.n_records.fetch_add(1, Relaxed);
        self.record_bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn malformed(&self) {
        self.n_malformed.fetch_add(1, Relaxed);
    }

    pub(super) fn busy(&self) {
        self.n_busy.fetch_add(1, Relaxed);
    }

    pub(super) fn synced(&self, took_ns: u64) {
        self.n_syncs.fetch_add(1, Relaxed);
        self.sync_ns.fetch_add(took_ns, Relaxed);
        self.sync_max_ns.fetch_max(took_ns, Relaxed);
    }

    pub(super) fn log_has(&self, bytes: u64) {
        self.wal_bytes.store(bytes, Relaxed);
    }

    pub(super) fn cut(&self, took_ns: u64) {
        self.n_cuts.fetch_add(1, Relaxed);
        self.cut_ns.fetch_add(took_ns, Relaxed);
        self.note_trouble(None);
    }

    pub(super) fn cut_failed(&self, error: &CutError) {
        self.n_cut_failures.fetch_add(1, Relaxed);
        self.note_trouble(Some(chain(error)));
    }

    fn note_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn unreadable(&self) {
        self.n_unreadable.fetch_add(1, Relaxed);
    }

    pub(super) fn joined(&self, n_parts: usize, bytes: u64) {
        self.n_parts_joined.fetch_add(n_parts as u64, Relaxed);
        self.joined_bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn retained(&self, n_parts: usize, n_files_deleted: usize, n_unreadable: usize) {
        self.n_parts_retired.fetch_add(n_parts as u64, Relaxed);
        self.n_files_deleted.fetch_add(n_files_deleted as u64, Relaxed);
        self.n_upkeep_failures.fetch_add(n_unreadable as u64, Relaxed);
    }

    pub(super) fn upkeep_failed(&self) {
        self.n_upkeep_failures.fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self, view: &View) -> Stats {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let mut stats = Stats {
            n_records: of(&self.n_records),
            record_bytes: of(&self.record_bytes),
            n_malformed: of(&self.n_malformed),
            n_busy: of(&self.n_busy),
            n_syncs: of(&self.n_syncs),
            sync_ns: of(&self.sync_ns),
            sync_max_ns: of(&self.sync_max_ns),
            wal_bytes: of(&self.wal_bytes),
            n_cuts: of(&self.n_cuts),
            cut_ns: of(&self.cut_ns),
            n_cut_failures: of(&self.n_cut_failures),
            n_unreadable: of(&self.n_unreadable),
            n_parts_joined: of(&self.n_parts_joined),
            joined_bytes: of(&self.joined_bytes),
            n_parts_retired: of(&self.n_parts_retired),
            n_files_deleted: of(&self.n_files_deleted),
            n_upkeep_failures: of(&self.n_upkeep_failures),
            n_parts: view.manifest.parts.len() as u64,
            part_bytes: view.manifest.parts.values().map(crate::manifest::entry::PartEntry::bytes).sum(),
            ..Stats::default()
        };
        for batch in &view.batches {
            let batch = read(batch);
            stats.recent_bytes += batch.memory_bytes() as u64;
            stats.recent_spans += batch.n_spans() as u64;
        }
        stats
    }
}
