//! The kept heap: copies of the segments that triggers asked for, under a cap, the lowest priority given up first.
//!
//! Called by the recorder. Pure. A trigger's trace and its laterals share one fate: they are given up together.

use crate::triggers::Triggered;
use backsight_core::clock::Timeline;
use backsight_core::ids::{RegionId, StringId, TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::segment::{LastWords, Process, Segment, SegmentKey, Slice};
use backsight_core::telemetry::DropReason;
use backsight_core::units::{Bytes, Nanos};
use std::collections::{BTreeMap, BTreeSet};

/// The most that is kept of one trace on one host.
pub const TRACE_MAX: Bytes = Bytes::mib(8);
/// What a segment costs beside its bytes: its key, its place in the tables, the allocator's share.
const SEGMENT_OVERHEAD: u64 = 160;
/// What a trace costs beside its segments.
const TRACE_OVERHEAD: u64 = 512;

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
}

/// What is kept of one trace.
#[derive(Clone, Debug)]
pub struct KeptTrace {
    /// Why.
    pub triggered: Triggered,
    /// Its segments.
    pub n_segments: u64,
    /// Their bytes and what holding them costs.
    pub bytes: u64,
    slices: BTreeMap<RegionId, KeptSlice>,
}

#[derive(Clone, Debug)]
struct KeptSlice {
    process: Process,
    strings: BTreeMap<StringId, String>,
    segments: BTreeMap<SegmentKey, Segment>,
    interval: (u64, u64),
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

/// All kept traces of a host.
#[derive(Debug)]
pub struct Kept {
    cap: Bytes,
    cluster_seed: u64,
    traces: BTreeMap<TraceId, KeptTrace>,
    order: BTreeSet<Rank>,
    bytes: u64,
}

impl Kept {
    /// Returns an empty heap that holds at most `cap`.
    pub const fn new(cap: Bytes, cluster_seed: u64) -> Self {
        Self { cap, cluster_seed, traces: BTreeMap::new(), order: BTreeSet::new(), bytes: 0 }
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
    /// Returns what had to be given up for it, the trace itself included where it has the lowest priority.
    pub fn keep(&mut self, triggered: Triggered, copied: Copied) -> Vec<GivenUp> {
        let trace = triggered.trace;
        let cost = cost_of(&copied);
        if self.traces.get(&trace).is_some_and(|kept| kept.bytes + cost > TRACE_MAX.0) || cost > TRACE_MAX.0 {
            return vec![GivenUp { trace, reason: DropReason::TraceTooLarge }];
        }
        if !self.traces.contains_key(&trace) {
            self.order.insert(self.rank(&triggered));
            self.bytes += TRACE_OVERHEAD;
            let kept = KeptTrace { triggered, n_segments: 0, bytes: TRACE_OVERHEAD, slices: BTreeMap::new() };
            self.traces.insert(trace, kept);
        }
        if let Some(kept) = self.traces.get_mut(&trace) {
            let before = kept.bytes;
            kept.add(copied);
            self.bytes = self.bytes + kept.bytes - before;
        }
        let mut given_up = Vec::new();
        while self.bytes > self.cap.0 {
            given_up.extend(self.give_up_lowest());
        }
        given_up
    }

    /// Notes how a process ended, in all that is kept of it.
    pub fn note_death(&mut self, region: RegionId, death: &LastWords) {
        for kept in self.traces.values_mut() {
            if let Some(slice) = kept.slices.get_mut(&region) {
                slice.process.death = Some(death.clone());
            }
        }
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
            self.order.remove(&rank);
            if let Some(kept) = self.traces.remove(&rank.2) {
                self.bytes -= kept.bytes;
            }
            given_up.push(GivenUp { trace: rank.2, reason: DropReason::Priority });
        }
        given_up
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

fn cost_of(copied: &Copied) -> u64 {
    let strings: usize = copied.strings.iter().map(|(_, text)| text.len() + 48).sum();
    (copied.segment.bytes.len() + strings) as u64 + SEGMENT_OVERHEAD
}

impl KeptTrace {
    fn add(&mut self, copied: Copied) {
        let Copied { process, segment, strings, interval } = copied;
        let slice = self.slices.entry(process.region).or_insert_with(|| KeptSlice {
            process,
            strings: BTreeMap::new(),
            segments: BTreeMap::new(),
            interval,
        });
        slice.interval = (slice.interval.0.min(interval.0), slice.interval.1.max(interval.1));
        for (id, text) in strings {
            let cost = text.len() as u64 + 48;
            if slice.strings.insert(id, text).is_none() {
                self.bytes += cost;
            }
        }
        let len = segment.bytes.len() as u64;
        match slice.segments.get_mut(&segment.key) {
            Some(known) if known.bytes.len() as u64 <= len => {
                self.bytes = self.bytes + len - known.bytes.len() as u64;
                *known = segment;
            }
            Some(_) => {}
            None => {
                self.bytes += len + SEGMENT_OVERHEAD;
                self.n_segments += 1;
                slice.segments.insert(segment.key, segment);
            }
        }
    }

    /// Returns when it fired first.
    pub const fn fired(&self) -> Nanos {
        self.triggered.fired
    }

    fn to_slices(&self, timeline: &Timeline) -> Vec<Slice> {
        let slice = |kept: &KeptSlice| Slice {
            process: Process {
                strings: kept.strings.iter().map(|(id, text)| (*id, text.clone())).collect(),
                clock: timeline.bracket(kept.interval.0, kept.interval.1).to_vec(),
                ..kept.process.clone()
            },
            segments: kept.segments.values().cloned().collect(),
        };
        self.slices.values().map(slice).collect()
    }
}

#[cfg(test)]
mod tests;
