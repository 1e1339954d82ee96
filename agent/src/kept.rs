//! The kept heap: copies of the segments that triggers asked for, under a cap that triggers share.
//!
//! Called by the recorder. Pure. Over the cap the trigger that holds most gives up what has its lowest priority. A trigger's trace and its
//! laterals share one fate: they are given up together. What a collector has on disk goes before anything else does, oldest first, and is
//! not missed; a receipt of it stays, longest of what may still grow.

mod queues;
mod receipts;
mod trace;

pub use crate::uplink::Piece;
pub(crate) use trace::cost_of;
pub use trace::{Change, KeptTrace};

use crate::triggers::{Looked, Triggered};
use crate::weights::Weights;
use backsight_core::clock::Timeline;
use backsight_core::ids::{AgentId, RegionId, StringId, TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::segment::{LastWords, Process, Segment, SegmentKey, Slice};
use backsight_core::telemetry::DropReason;
use backsight_core::units::{Bytes, Nanos};
use queues::{Queues, Rank};
use receipts::{Receipt, Receipts};
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
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Keeping {
    /// What it changed in its trace.
    pub change: Change,
    /// What had to be given up for it, the trace itself included where it has the lowest priority.
    pub given_up: Vec<GivenUp>,
    /// Of those that are kept no more, what is worth remembering.
    pub gone: Vec<Gone>,
    /// Traces that a collector has and that made room.
    pub released: Vec<TraceId>,
    /// The same, of which a receipt stays: what there is of them is told as before.
    pub receipted: Vec<TraceId>,
    /// Crumbs of the trace beyond those that are kept.
    pub n_crumbs_left_out: u64,
}

/// How much there is of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Amounts {
    /// Its segments.
    pub n_segments: u64,
    /// The bytes of their records.
    pub record_bytes: u64,
    /// Segments that their threads may still write to.
    pub n_open: u64,
    /// Segments that did not fit.
    pub n_left_out: u64,
    /// The lowest detail level of which records were left out, 0 for none.
    pub detail: u8,
    /// The ticks between which it was active.
    pub interval: Option<(u64, u64)>,
    /// How far back the host could see when it first looked for it.
    pub looked: Option<Looked>,
    /// Whether it may have been in any process of the host: it came from there, went there, or met somebody without a recorder.
    pub has_loose_end: bool,
}

/// The part of the cap that receipts take at most.
const RECEIPTS_PART: u64 = 4;
/// The part of the cap that receipts take at most of which the oldest is of a trace that nobody awaits more of.
const IDLE_RECEIPTS_PART: u64 = 32;

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
    receipts: Receipts,
    bytes: u64,
}

impl Kept {
    /// Returns an empty heap that holds at most `cap`.
    pub const fn new(cap: Bytes, cluster_seed: u64) -> Self {
        Self {
            cap,
            cluster_seed,
            traces: BTreeMap::new(),
            queues: Queues::new(),
            acked: BTreeSet::new(),
            receipts: Receipts::new(),
            bytes: 0,
        }
    }

    /// Returns the memory in use.
    pub const fn bytes(&self) -> Bytes {
        Bytes(self.bytes + self.receipts.bytes())
    }

    /// Returns how many traces are kept.
    pub fn n_traces(&self) -> usize {
        self.traces.len()
    }

    /// Returns what is kept of `trace`.
    pub fn get(&self, trace: TraceId) -> Option<&KeptTrace> {
        self.traces.get(&trace)
    }

    /// Returns how much there is of `trace`, here or, where it made room, with the collector.
    pub fn amounts(&self, trace: TraceId) -> Option<Amounts> {
        let kept = self.traces.get(&trace).map(KeptTrace::amounts);
        kept.or_else(|| self.receipts.get(trace).map(|receipt| receipt.amounts))
    }

    /// Returns how long the segment `key` of `trace` is that is kept, or was and is with the collector.
    pub fn len_of(&self, trace: TraceId, key: &SegmentKey) -> Option<usize> {
        let kept = self.traces.get(&trace).and_then(|kept| kept.known(key)).map(|(len, ..)| len);
        kept.or_else(|| self.receipt(trace)?.known(key))
    }

    /// Returns whether a segment of `trace` that is kept, or was and is with the collector, is of `region`.
    pub fn has_of(&self, trace: TraceId, region: RegionId) -> bool {
        self.traces.get(&trace).is_some_and(|kept| kept.has_of(region))
            || self.receipt(trace).is_some_and(|of| of.segments.iter().any(|(key, _)| key.region == region))
    }

    /// Returns what a collector has of `trace` that is not kept any more.
    fn receipt(&self, trace: TraceId) -> Option<&Receipt> {
        self.traces.get(&trace).map_or_else(|| self.receipts.get(trace), |kept| kept.receipt.as_ref())
    }

    /// Returns all kept traces, by id.
    pub fn traces(&self) -> impl Iterator<Item = &KeptTrace> {
        self.traces.values()
    }

    /// Keeps a segment of a triggered trace. One that is kept already is replaced where the copy is longer.
    ///
    /// `lingers` says whether later segments of a trace are still awaited: such a trace is released after others, and its receipt stays longer.
    pub fn keep(&mut self, triggered: Triggered, copied: Copied, lingers: &dyn Fn(TraceId) -> bool) -> Keeping {
        let (trace, key) = (triggered.trace, copied.segment.key);
        let mut keeping = Keeping::default();
        if self.receipt(trace).and_then(|of| of.known(&key)).is_some_and(|known| known >= copied.segment.bytes.len()) {
            return keeping;
        }
        if !self.traces.contains_key(&trace) {
            let kept = KeptTrace::new(triggered, self.receipts.take(trace));
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
        self.make_room(self.cap, lingers, &mut keeping);
        keeping
    }

    /// Keeps no more than `cap`, because everything else that the host holds is in use. `lingers` as for [`Kept::keep`].
    pub fn shrink(&mut self, cap: Bytes, lingers: &dyn Fn(TraceId) -> bool) -> Keeping {
        let mut keeping = Keeping::default();
        self.make_room(cap, lingers, &mut keeping);
        keeping
    }

    fn make_room(&mut self, cap: Bytes, lingers: &dyn Fn(TraceId) -> bool, keeping: &mut Keeping) {
        while self.bytes() > cap {
            match self.oldest_released(lingers) {
                Some(trace) => self.release(trace, lingers, keeping),
                None => self.give_up_lowest(keeping),
            }
        }
    }

    /// Notes that a collector has all that is kept of a trace.
    pub fn note_acked(&mut self, trace: TraceId) {
        if let Some(kept) = self.traces.get(&trace) {
            self.acked.insert((kept.fired(), trace));
        }
    }

    /// Takes the weights by which triggers share the heap.
    pub fn set_weights(&mut self, weights: Weights) {
        self.queues.set_weights(weights);
    }

    /// Takes the cluster's seed, by which all hosts give up the same traces.
    pub fn set_cluster_seed(&mut self, cluster_seed: u64) {
        if self.cluster_seed == cluster_seed {
            return;
        }
        self.cluster_seed = cluster_seed;
        self.queues.clear();
        for kept in self.traces.values() {
            self.queues.insert(kept.triggered.trigger, self.rank(kept), kept.bytes);
        }
    }

    /// Returns whether a trace would be among fewer if it were kept for `trigger`, and not for the one that it is kept for.
    pub fn is_rarer(&self, trigger: TriggerId, trace: TraceId) -> bool {
        let Some(kept) = self.traces.get(&trace) else { return false };
        self.queues.bytes(trigger) < self.queues.bytes(kept.triggered.trigger).saturating_sub(kept.bytes)
    }

    /// Notes under which trigger a trace is kept, where that has changed: it counts among that trigger's from now on.
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

    /// Notes how far back the host could see when a trigger first had it look for a trace: it is told of for as long as that is kept.
    pub fn note_looked(&mut self, trace: TraceId, looked: Option<Looked>) {
        if let Some(kept) = self.traces.get_mut(&trace) {
            kept.looked = looked.or(kept.looked);
        }
    }

    /// Notes that another host has given its part of a trace up: this one's goes before all that can still be whole.
    pub fn demote(&mut self, trace: TraceId) {
        self.requeue(trace, |kept| kept.is_incoherent = true);
    }

    /// Gives one trace up; returns what is worth remembering of it, `None` where it is not kept.
    pub fn give_up(&mut self, trace: TraceId) -> Option<Gone> {
        let kept = self.remove(trace)?;
        let last_ticks = kept.interval().map_or(0, |(_, last)| last);
        Some(Gone { trace, last_ticks, agents: kept.crumbs(AgentId::NONE).map(|crumb| crumb.agent).collect() })
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
            (self.bytes, self.receipts) = (0, Receipts::new());
        }
        for trace in group {
            keeping.given_up.push(GivenUp { trace, reason: DropReason::Priority });
            keeping.gone.extend(self.give_up(trace));
        }
    }

    /// Returns the oldest trace that a collector has and of which nothing more is awaited; else that for which nobody writes.
    fn oldest_released(&self, lingers: &dyn Fn(TraceId) -> bool) -> Option<TraceId> {
        let oldest = || self.acked.iter().take(RELEASE_LOOK).map(|(_, trace)| *trace);
        let is_quiet = |trace: &TraceId| self.traces.get(trace).is_some_and(has_receipt);
        oldest().find(|trace| !lingers(*trace)).or_else(|| oldest().find(is_quiet))
    }

    /// Releases a trace that a collector has. Should its trigger fire again, what comes then must count as more, not as all there is.
    fn release(&mut self, trace: TraceId, lingers: &dyn Fn(TraceId) -> bool, keeping: &mut Keeping) {
        let Some(kept) = self.remove(trace) else { return };
        if has_receipt(&kept) {
            let bytes_max = self.cap.0 / RECEIPTS_PART;
            self.receipts.add(trace, &kept, [bytes_max, self.cap.0 / IDLE_RECEIPTS_PART], lingers);
        }
        let stays = self.receipts.get(trace).is_some();
        if stays { &mut keeping.receipted } else { &mut keeping.released }.push(trace);
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

/// Returns whether a receipt is made of a trace once it is released: where nobody writes for it, and it is not too long for one.
fn has_receipt(kept: &KeptTrace) -> bool {
    kept.n_open() == 0 && kept.lengths().count() <= receipts::SEGMENTS_MAX
}

#[cfg(test)]
mod tests;
