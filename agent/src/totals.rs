//! What the recorder counted since it started.
//!
//! Written by the recorder, read by its view for status and metrics. Pure.

use backsight_core::telemetry::{DROP_COUNTERS, DropReason};
use std::collections::BTreeMap;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Bytes that threads committed to sealed chunks.
    pub written_bytes: u64,
    /// Bytes of these chunks, filled or not.
    pub filled_bytes: u64,
    /// Segments indexed.
    pub segments: u64,
    /// Chunks sealed.
    pub chunks: u64,
    /// Chunks evicted because memory was needed.
    pub evicted_chunks: u64,
    /// Chunks evicted early, because the index was full.
    pub evicted_for_index: u64,
    /// Granted chunks taken back from processes that no longer wrote.
    pub revoked_chunks: u64,
    /// Processes that ended without a goodbye, or crashed after it.
    pub deaths: u64,
    /// Requests of dead processes beyond the bound, for which nothing was fired.
    pub deaths_unfired: u64,
    /// Sessions refused.
    pub refused_sessions: u64,
    /// Sessions closed because their region was corrupted too often.
    pub closed_sessions: u64,
    /// Segments of evicted chunks that were carried over, as their traces went on.
    pub carried_segments: u64,
    /// Traces that a collector has and that made room for others.
    pub released_traces: u64,
    /// Turns of the loop.
    pub rounds: u64,
    drops: [u64; DROP_COUNTERS],
}

impl Totals {
    /// Counts `n` drops for `reason`.
    pub fn drop_n(&mut self, reason: DropReason, n: u64) {
        if let Some(total) = self.drops.get_mut(reason as usize) {
            *total = total.wrapping_add(n);
        }
    }

    /// Adds the counters of a process, by reason code.
    pub fn add_drops(&mut self, drops: &[u64; DROP_COUNTERS]) {
        self.drops.iter_mut().zip(drops).for_each(|(total, n)| *total = total.wrapping_add(*n));
    }

    /// Returns the counters by reason code.
    pub const fn drops(&self) -> &[u64; DROP_COUNTERS] {
        &self.drops
    }
}

/// Returns counters by reason code as they are shown: by name.
pub fn by_name(drops: &[u64; DROP_COUNTERS], listed: Listed) -> BTreeMap<String, u64> {
    let one = |reason: &DropReason| (reason.name().to_owned(), drops[*reason as usize]);
    let is_listed = |reason: &&DropReason| {
        drops[**reason as usize] != 0 || (listed == Listed::All && !NEVER_COUNTED.contains(*reason))
    };
    DropReason::ALL.iter().filter(is_listed).map(one).collect()
}

/// Reasons that no agent counts: what a process writes without a session it tells nobody, and evicted data is counted in chunks. A metric
/// that is 0 whatever happens would say that it does not.
const NEVER_COUNTED: [DropReason; 2] = [DropReason::NoSession, DropReason::Evicted];

/// Which counters are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listed {
    /// Every reason that an agent can count.
    All,
    /// Those that ever counted.
    NonZero,
}
