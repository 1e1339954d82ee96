//! What the library counts.
//!
//! Filled by the library and its writer, read for `status`. Decides nothing.

use backsight_core::ids::TraceId;
use backsight_store::Losses;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed}; // each counter stands for itself
use tracing::warn;

/// Why something that came was not stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Refusal {
    /// A report or a view that no version of the protocol says.
    Malformed,
    /// A report that is longer than the store takes.
    TooLong,
    /// More reports of one trace than are kept.
    TooManyReports,
    /// The disk took none of it; agents send reports again.
    StoreFailed,
}

impl Refusal {
    const ALL: [Self; 4] = [Self::Malformed, Self::TooLong, Self::TooManyReports, Self::StoreFailed];

    /// Returns the name under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::TooManyReports => "too_many_reports",
            Self::StoreFailed => "store_failed",
        }
    }
}

/// The state of a library, and what it did since it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stats {
    /// Traces that are known.
    pub n_traces: u64,
    /// Entries of theirs.
    pub n_entries: u64,
    /// Bytes on disk.
    pub stored_bytes: u64,
    /// Traces that are not summed up yet.
    pub n_waiting: u64,
    /// Reports that were stored.
    pub n_reports: u64,
    /// Reports that were stored already.
    pub n_duplicates: u64,
    /// Views that were stored.
    pub n_views: u64,
    /// What was not stored, or given up later, by reason. All reasons that ever counted.
    pub drops: BTreeMap<&'static str, u64>,
    /// Traces that were forgotten for newer ones.
    pub n_forgotten: u64,
    /// Files that were removed to make room.
    pub n_retired_files: u64,
    /// What could not be read back when the library was opened.
    pub losses: Losses,
    /// Writes that were made durable, each for all that waited.
    pub n_syncs: u64,
    /// The time that they took, in nanoseconds.
    pub sync_ns: u64,
    /// The longest of them.
    pub sync_max_ns: u64,
}

/// The counters behind [`Stats`].
#[derive(Debug)]
pub(super) struct Counters {
    losses: Losses,
    stored_bytes: AtomicU64,
    n_reports: AtomicU64,
    n_duplicates: AtomicU64,
    n_views: AtomicU64,
    refusals: [AtomicU64; Refusal::ALL.len()],
    n_unreadable: AtomicU64,
    n_cut_traces: AtomicU64,
    n_cut_lines: AtomicU64,
    n_missed: AtomicU64,
    n_retired_files: AtomicU64,
    n_syncs: AtomicU64,
    sync_ns: AtomicU64,
    sync_max_ns: AtomicU64,
}

impl Counters {
    pub(super) fn new(losses: Losses, stored_bytes: u64) -> Self {
        Self {
            losses,
            stored_bytes: AtomicU64::new(stored_bytes),
            n_reports: AtomicU64::default(),
            n_duplicates: AtomicU64::default(),
            n_views: AtomicU64::default(),
            refusals: Default::default(),
            n_unreadable: AtomicU64::default(),
            n_cut_traces: AtomicU64::default(),
            n_cut_lines: AtomicU64::default(),
            n_missed: AtomicU64::default(),
            n_retired_files: AtomicU64::default(),
            n_syncs: AtomicU64::default(),
            sync_ns: AtomicU64::default(),
            sync_max_ns: AtomicU64::default(),
        }
    }

    /// Counts a refusal, and logs the first and then ever fewer of its kind.
    pub(super) fn refused(&self, refusal: Refusal, n: u64, why: &str) {
        let before = self.refusals[refusal as usize].fetch_add(n, Relaxed);
        if is_telling(before, n) {
            warn!(reason = refusal.name(), n_so_far = before + n, why, "not stored");
        }
    }

    pub(super) fn unreadable(&self, trace: TraceId, why: &str) {
        let before = self.n_unreadable.fetch_add(1, Relaxed);
        if is_telling(before, 1) {
            warn!(trace_id = %trace, n_so_far = before + 1, why, "a stored entry cannot be read");
        }
    }

    pub(super) fn trace_cut(&self) {
        self.n_cut_traces.fetch_add(1, Relaxed);
    }

    pub(super) fn line_made(&self, is_cut: bool) {
        self.n_cut_lines.fetch_add(is_cut.into(), Relaxed);
    }

    pub(super) fn tail_missed(&self, n: u64) {
        self.n_missed.fetch_add(n, Relaxed);
    }

    pub(super) fn stored(&self, n_reports: u64, n_views: u64) {
        self.n_reports.fetch_add(n_reports, Relaxed);
        self.n_views.fetch_add(n_views, Relaxed);
    }

    pub(super) fn duplicate(&self) {
        self.n_duplicates.fetch_add(1, Relaxed);
    }

    pub(super) fn synced(&self, ns: u64) {
        self.n_syncs.fetch_add(1, Relaxed);
        self.sync_ns.fetch_add(ns, Relaxed);
        self.sync_max_ns.fetch_max(ns, Relaxed);
    }

    pub(super) fn on_disk(&self, bytes: u64, n_retired_files: u64) {
        self.stored_bytes.store(bytes, Relaxed);
        self.n_retired_files.fetch_add(n_retired_files, Relaxed);
    }

    pub(super) fn stats(&self) -> Stats {
        let refusals = Refusal::ALL.iter().map(|refusal| (refusal.name(), &self.refusals[*refusal as usize]));
        let others = [
            ("unreadable_entry", &self.n_unreadable),
            ("trace_too_large", &self.n_cut_traces),
            ("too_many_operations", &self.n_cut_lines),
            ("tail_lagged", &self.n_missed),
        ];
        let drops = refusals.chain(others).map(|(name, n)| (name, n.load(Relaxed)));
        Stats {
            stored_bytes: self.stored_bytes.load(Relaxed),
            n_reports: self.n_reports.load(Relaxed),
            n_duplicates: self.n_duplicates.load(Relaxed),
            n_views: self.n_views.load(Relaxed),
            drops: drops.collect(),
            n_retired_files: self.n_retired_files.load(Relaxed),
            losses: self.losses,
            n_syncs: self.n_syncs.load(Relaxed),
            sync_ns: self.sync_ns.load(Relaxed),
            sync_max_ns: self.sync_max_ns.load(Relaxed),
            ..Stats::default()
        }
    }
}

/// Returns whether a count that grew by `n` from `before` passed a power of two.
fn is_telling(before: u64, n: u64) -> bool {
    n > 0 && (before + n).ilog2() != before.checked_ilog2().unwrap_or(u32::MAX)
}
