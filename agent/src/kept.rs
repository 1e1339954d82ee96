//! The kept heap: copies of the segments that triggers asked for, under a cap, the lowest priority given up first.
//!
//! Called by the recorder. Pure. A trigger's trace and its laterals share one fate: they are given up together. What a collector has on disk
//! goes before anything else does, oldest first, and is not missed.

mod trace;

pub use crate::uplink::Piece;
pub use trace::{Change, KeptTrace};

use crate::triggers::Triggered;
use backsight_core::clock::Timeline;
use backsight_core::ids::{RegionId, StringId, TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::segment::{LastWords, Process, Segment, Slice};
use backsight_core::telemetry::DropReason;
use backsight_core::units::{Bytes, Nanos};
use std::collections::{BTreeMap, BTreeSet};

/// The most that is kept of one trace on one host.
pub const TRACE_MAX: Bytes = Bytes::mib(8);
/// A copied segment with what is needed to read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The process that wrote it; without strings and clock.
    pub process: Process,
    /// The segment.
    pub segment: Segment,
    /// The strings that it names.
    pub strings: Vec<(StringId, String)>,
    /// Ticks at its start and at its end, or when it was copied.
    pub interval: (u64, u64),
    /// Whether a thread held its chunk.
    pub is_open: bool,
    /// Whether its process runs.
    pub is_live: bool,
}

/// The place of a trace in the order of giving up: members of a group are neighbours.
type Rank = (Priority, TraceId, TraceId);

/// What was given up to keep something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GivenUp {
    /// The trace.
    pub trace: TraceId,
    /// Why.
    pub reason: DropReason,
}

/// What keeping a segment did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keeping {
    /// What it changed in its trace.
    pub change: Change,
    /// What had to be given up for it, the trace itself included where it has the lowest priority.
    pub given_up: Vec<GivenUp>,
    /// Traces that a collector has and that made room.
    pub released: Vec<TraceId>,
    /// Crumbs of the trace beyond those that are kept.
    pub n_crumbs_left_out: u64,
}

/// Acknowledged traces that are looked at for one that no longer lingers, before others are given up.
const RELEASE_LOOK: usize = 64;

/// All kept traces of a host.
#[derive(Debug)]
pub struct Kept {
    cap: Bytes,
    cluster_seed: u64,
    traces: BTreeMap<TraceId, KeptTrace>,
    order: BTreeSet<Rank>,
    /// Traces that a collector has all of, by time of firing.
    acked: BTreeSet<(Nanos, TraceId)>,
    bytes: u64,
}

impl Kept {
    /// Returns an empty heap that holds at most `cap`.
    pub const fn new(cap: Bytes, cluster_seed: u64) -> Self {
        Self { cap, cluster_seed, traces: BTreeMap::new(), order: BTreeSet::new(), acked: BTreeSet::new(), bytes: 0 }
    }

    /// Returns the memory in use.
    pub const fn bytes(&self) -> Bytes {
        Bytes(self.bytes)
    }

    /// Returns how many traces are kept.
    pub fn n_traces(&self) -> usize {
        self.traces.len()
    }

    /// Returns what is kept of `trace`.
    pub fn get(&self, trace: TraceId) -> Option<&KeptTrace> {
        self.traces.get(&trace)
    }

    /// Returns all kept traces, by id.
    pub fn traces(&self) -> impl Iterator<Item = &KeptTrace> {
        self.traces.values()
    }

    /// Keeps a segment of a triggered trace. One that is kept already is replaced where the copy is longer.
    ///
    /// `lingers` says whether later segments of a trace are still awaited: such a trace is not released.
    pub fn keep(&mut self, triggered: Triggered, copied: Copied, lingers: &dyn Fn(TraceId) -> bool) -> Keeping {
        let (trace, key) = (triggered.trace, copied.segment.key);
        let mut keeping =
            Keeping { change: Change::None, given_up: Vec::new(), released: Vec::new(), n_crumbs_left_out: 0 };
        if !self.traces.contains_key(&trace) {
            self.order.insert(self.rank(&triggered));
            let kept = KeptTrace::new(triggered);
            self.bytes += kept.bytes;
            self.traces.insert(trace, kept);
        }
        let Some(kept) = self.traces.get_mut(&trace) else { return keeping };
        if kept.bytes + kept.extra_cost(&copied) > TRACE_MAX.0 {
            if kept.leave_out(key) {
                keeping.change = Change::State;
                keeping.given_up.push(GivenUp { trace, reason: DropReason::TraceTooLarge });
            }
            return keeping;
        }
        let before = kept.bytes;
        keeping.change = kept.add(copied);
        keeping.n_crumbs_left_out = kept.take_crumbs_left_out();
        self.bytes = self.bytes + kept.bytes - before;
        if matches!(keeping.change, Change::Grew(_)) {
            self.acked.remove(&(kept.fired(), trace));
        }
        while self.bytes > self.cap.0 {
            match self.release(lingers) {
                Some(released) => keeping.released.push(released),
                None => keeping.given_up.extend(self.give_up_lowest()),
            }
        }
        keeping
    }

    /// Notes that a collector has all that is kept of a trace.
    pub fn note_acked(&mut self, trace: TraceId) {
        if let Some(kept) = self.traces.get(&trace) {
            self.acked.insert((kept.fired(), trace));
        }
    }

    /// Takes the cluster's seed, by which all hosts give up the same traces.
    pub fn set_cluster_seed(&mut self, cluster_seed: u64) {
        if self.cluster_seed != cluster_seed {
            self.cluster_seed = cluster_seed;
            self.order = self.traces.values().map(|kept| self.rank(&kept.triggered)).collect();
        }
    }

    /// Notes that a process writes no more, and how it died if it did; returns the traces for which it wrote.
    pub fn note_ended(&mut self, region: RegionId, death: Option<&LastWords>) -> Vec<TraceId> {
        let ended = self.traces.iter_mut().filter_map(|(trace, kept)| kept.note_ended(region, death).then_some(*trace));
        ended.collect()
    }

    /// Returns the slices of `trace`, with the calibration points around them.
    pub fn slices(&self, trace: TraceId, timeline: &Timeline) -> Option<Vec<Slice>> {
        Some(self.traces.get(&trace)?.to_slices(timeline))
    }

    /// Returns how many traces are kept for each trigger, and their bytes.
    pub fn by_trigger(&self) -> BTreeMap<TriggerId, (u64, u64)> {
        let mut by_trigger: BTreeMap<TriggerId, (u64, u64)> = BTreeMap::new();
        for kept in self.traces.values() {
            let (n_traces, bytes) = by_trigger.entry(kept.triggered.trigger).or_default();
            *n_traces += 1;
            *bytes += kept.bytes;
        }
        by_trigger
    }

    /// Gives up the group of lowest priority.
    fn give_up_lowest(&mut self) -> Vec<GivenUp> {
        let Some((priority, base, _)) = self.order.first().copied() else {
            self.bytes = 0;
            return Vec::new();
        };
        let mut given_up = Vec::new();
        while let Some(rank) = self.order.first().copied().filter(|rank| (rank.0, rank.1) == (priority, base)) {
            self.remove(rank.2);
            self.order.remove(&rank);
            given_up.push(GivenUp { trace: rank.2, reason: DropReason::Priority });
        }
        given_up
    }

    /// Releases the oldest trace that a collector has and of which nothing more is awaited.
    fn release(&mut self, lingers: &dyn Fn(TraceId) -> bool) -> Option<TraceId> {
        let mut oldest = self.acked.iter().take(RELEASE_LOOK).map(|(_, trace)| *trace);
        let trace = oldest.find(|trace| !lingers(*trace))?;
        self.remove(trace);
        Some(trace)
    }

    fn remove(&mut self, trace: TraceId) {
        let Some(kept) = self.traces.remove(&trace) else { return };
        self.bytes -= kept.bytes;
        self.order.remove(&self.rank(&kept.triggered));
        self.acked.remove(&(kept.fired(), trace));
    }

    fn rank(&self, triggered: &Triggered) -> Rank {
        let priority = Priority::of(triggered.base, self.cluster_seed, salt_of(triggered.trigger));
        (priority, triggered.base, triggered.trace)
    }
}

/// Returns the salt of a trigger's priorities: of its name where that is reserved, else of its id's text, the same on every host.
fn salt_of(trigger: TriggerId) -> Salt {
    Salt::from_name(&trigger.to_string())
}

#[cfg(test)]
mod tests;
