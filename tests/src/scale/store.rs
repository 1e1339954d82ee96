//! A collector's disk: what waits is written together and made durable, and only then is anybody told.
//!
//! Called by [`super::collector`]. The pauses are those of the collector's writer (`docs/spec/store.md`, section 3).

use super::collector::Batch;
use super::costs::{Costs, us};

/// How long what comes first waits for more, where something was written within twice the time.
const GATHER_NS: u64 = 50_000_000;

/// The thread that writes.
#[derive(Debug, Default)]
pub struct Store {
    waiting: Vec<Batch>,
    n_view_parts: usize,
    is_busy: bool,
    written_at: Option<u64>,
    /// How long it has worked.
    pub writer_ns: u64,
    /// How long it has waited for the disk.
    pub sync_ns: u64,
    /// How long the thread has worked that sums traces up.
    pub settle_ns: u64,
    /// Bytes written.
    pub bytes: f64,
}

impl Store {
    /// Takes a batch.
    pub fn add(&mut self, batch: Batch) {
        self.waiting.push(batch);
    }

    /// Takes a view of so many agents.
    pub const fn note_view(&mut self, n_agents: usize) {
        self.n_view_parts += n_agents;
    }

    /// Returns when the next write begins, if it was not planned before.
    pub fn plan(&mut self, now: u64) -> Option<u64> {
        let is_due = !self.waiting.is_empty() || self.n_view_parts > 0;
        if self.is_busy || !is_due {
            return None;
        }
        self.is_busy = true;
        let is_recent = self.written_at.is_some_and(|at| now < at + 2 * GATHER_NS);
        Some(if is_recent { now + GATHER_NS } else { now })
    }

    /// Begins to write all that waits; returns it, and how long that takes.
    pub fn write(&mut self, costs: &Costs) -> (Vec<Batch>, u64) {
        let batches = std::mem::take(&mut self.waiting);
        let reports = || batches.iter().flat_map(|batch| &batch.reports);
        let (n_reports, n_bytes) = (reports().count() as f64, reports().map(|of| of.bytes).sum::<u64>() as f64);
        let views_us = std::mem::take(&mut self.n_view_parts) as f64 * costs.store_view_us;
        let reports_us = n_reports * costs.store_trace_us + n_bytes * costs.store_byte_ns / 1e3;
        let (works, syncs) = (us(costs.store_write_us + views_us + reports_us), us(costs.sync_ms * 1e3));
        self.writer_ns += works;
        self.sync_ns += syncs;
        self.settle_ns += us(n_reports * costs.settle_us);
        self.bytes += n_reports * costs.report_disk_bytes;
        (batches, works + syncs)
    }

    /// Ends a write.
    pub const fn finish(&mut self, now: u64) {
        self.is_busy = false;
        self.written_at = Some(now);
    }

    /// Returns how many batches wait.
    #[must_use]
    pub fn n_waiting(&self) -> usize {
        self.waiting.len()
    }
}
