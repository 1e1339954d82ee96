//! The kept heap: copies of the segments that triggers asked for, under a cap that triggers share.
//!
//! Called by the recorder. Pure. Over the cap the trigger that holds most gives up what has its lowest priority. A trigger's trace and its
//! laterals share one fate: they are given up together. What a collector has on disk goes before anything else does, oldest first, and is
//! not missed.

mod queues;
mod trace;

pub use crate::uplink::Piece;
pub(crate) use trace::cost_of;
pub use trace::{Change, KeptTrace};

use crate::triggers::Triggered;
use backsight_core::clock::Timeline;
use backsight_core::ids::{AgentId, RegionId, StringId, TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::segment::{LastWords, Process, Segment, Slice};
use backsight_core::telemetry::DropReason;
use backsight_core::units::{Bytes, Nanos};
use queues::{Queues, Rank};
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

/// What was given up to keep something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GivenUp {
    /// The trace.
    pub trace: TraceId,
    /// Why.
    pub reason: DropReason,
}

/// A trace that was given up, for whoever is to remember it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gone {
    /// The trace.
    pub trace: TraceId,
    /// Ticks of its last record.
    pub last_ticks: u64,
    /// Agents that its crumbs name.
    pub agents: Vec<AgentId>,
}

/// What keeping a segment did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Keeping {
    /// What it changed in its trace.
    pub change: Change,
    /// What had to be given up for it, the trace itself included where it has the lowest priority.
    pub given_up: Vec<GivenUp>,
    /// Of those that are kept no more, what is worth remembering.
    pub gone: Vec<Gone>,
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
    queues: Queues,
    /// Traces that a collector has all of, by time of firing.
    acked: BTreeSet<(Nanos, TraceId)>,
    bytes: u64,
}

impl Kept {
    /// Returns an empty heap that holds at most `cap`.
    pub const fn new(cap: Bytes, cluster_seed: u64) -> Self {
        Self { cap, cluster_seed, traces: BTreeMap::new(), queues: Queues::new(), acked: BTreeSet::new(), bytes: 0 }
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
        let mut keeping = Keeping {
            change: Change::None,
            given_up: Vec::new(),
            gone: Vec::new(),
            released: Vec::new(),
            n_crumbs_left_out: 0,
        };
        if !self.traces.contains_key(&trace) {
            let kept = KeptTrace::new(triggered);
            self.queues.insert(triggered.trigger, self.rank(&kept), kept.bytes);
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
        self.queues.grow(kept.triggered.trigger, kept.bytes - before);
        self.bytes += kept.bytes - before;
        if matches!(keeping.change, Change::Grew(_)) {
            self.acked.remove(&(kept.fired(), trace));
        }
        while self.bytes > self.cap.0 {
            match self.release(lingers) {
                Some(released) => keeping.released.push(released),
                None => self.give_up_lowest(&mut keeping),
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
        if self.cluster_seed == cluster_seed {
            return;
        }
        self.cluster_seed = cluster_seed;
        self.queues = Queues::new();
        for kept in self.traces.values() {
            self.queues.insert(kept.triggered.trigger, self.rank(kept), kept.bytes);
        }
    }

    /// Notes under which trigger a trace is kept, where that was only heard of before: it counts among that trigger's from now on.
    pub fn retrigger(&mut self, triggered: Triggered) -> bool {
        let trace = triggered.trace;
        let Some(kept) = self.traces.get(&trace).filter(|kept| kept.triggered.trigger != triggered.trigger) else {
            return false;
        };
        let is_acked = self.acked.remove(&(kept.fired(), trace));
        self.requeue(trace, |kept| kept.triggered = triggered);
        if is_acked {
            self.acked.insert((triggered.fired, trace));
        }
        true
    }

    /// Notes that another host has given its part of a trace up: this one's goes before all that can still be whole.
    pub fn demote(&mut self, trace: TraceId) {
        self.requeue(trace, |kept| kept.is_incoherent = true);
    }

    /// Changes what a kept trace's place in the order of giving up follows from.
    fn requeue(&mut self, trace: TraceId, change: impl FnOnce(&mut KeptTrace)) {
        let Some(mut kept) = self.traces.remove(&trace) else { return };
        self.queues.remove(kept.triggered.trigger, &self.rank(&kept), kept.bytes);
        change(&mut kept);
        self.queues.insert(kept.triggered.trigger, self.rank(&kept), kept.bytes);
        self.traces.insert(trace, kept);
    }

    /// Returns the priority of what `trigger` keeps with the trace `base`.
    pub fn priority(&self, trigger: TriggerId, base: TraceId) -> Priority {
        Priority::of(base, self.cluster_seed, Salt::of_trigger(trigger))
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
        self.queues.sizes().collect()
    }

    /// Gives up a group: of the trigger that holds most, the one of lowest priority.
    fn give_up_lowest(&mut self, keeping: &mut Keeping) {
        let group = self.queues.lowest_of_largest();
        if group.is_empty() {
            self.bytes = 0;
        }
        for trace in group {
            keeping.given_up.push(GivenUp { trace, reason: DropReason::Priority });
            keeping.gone.extend(self.remove(trace).map(|kept| Gone {
                trace,
                last_ticks: kept.interval().map_or(0, |(_, last)| last),
                agents: kept.crumbs(AgentId::NONE).map(|crumb| crumb.agent).collect(),
            }));
        }
    }

    /// Releases the oldest trace that a collector has and of which nothing more is awaited.
    fn release(&mut self, lingers: &dyn Fn(TraceId) -> bool) -> Option<TraceId> {
        let mut oldest = self.acked.iter().take(RELEASE_LOOK).map(|(_, trace)| *trace);
        let trace = oldest.find(|trace| !lingers(*trace))?;
        self.remove(trace);
        Some(trace)
    }

    fn remove(&mut self, trace: TraceId) -> Option<KeptTrace> {
        let kept = self.traces.remove(&trace)?;
        self.bytes -= kept.bytes;
        self.queues.remove(kept.triggered.trigger, &self.rank(&kept), kept.bytes);
        self.acked.remove(&(kept.fired(), trace));
        Some(kept)
    }

    fn rank(&self, kept: &KeptTrace) -> Rank {
        let Triggered { trigger, base, trace, .. } = kept.triggered;
        let priority = if kept.is_incoherent { Priority::default() } else { self.priority(trigger, base) };
        (priority, base, trace)
    }
}

#[cfg(test)]
mod tests;
