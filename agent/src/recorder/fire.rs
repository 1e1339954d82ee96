//! Signals of threads, triggers, and copying out what they ask for.

use super::{Now, Recorder};
use crate::collect;
use crate::crumbs::Added;
use crate::kept::{Change, Copied, GivenUp, Keeping};
use crate::triggers::{Action, Event, Looked, Origin, Triggered};
use crate::uplink::{self, Firing};
use backsight_core::holding::CrumbTo;
use backsight_core::ids::{RegionId, TraceId, TriggerId};
use backsight_core::segment::{SegmentKey, Slice};
use backsight_core::telemetry::DropReason;
use backsight_core::units::Nanos;
use backsight_proto::admin::KeptState;
use backsight_ringbuf::abi::{ChunkId, RING_ENTRIES};
use backsight_ringbuf::reader::{ChunkInfo, SegmentInfo};
use backsight_ringbuf::ring::{self, Signal};
use backsight_ringbuf::shm::Mapping;
use std::collections::{BTreeMap, BTreeSet};

/// Signals taken from one process in one round at most: the rings of 32 threads, full.
const SIGNALS_PER_ROUND: u64 = 32 * RING_ENTRIES;

/// What firing by hand did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fired {
    /// What became of the trace.
    pub state: KeptState,
    /// Segments kept, of the trace and its laterals.
    pub n_segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What was taken from the ring of a thread.
#[derive(Default)]
pub(super) struct Signals {
    pub(super) events: Vec<Event>,
    pub(super) crumbs: Vec<(TraceId, CrumbTo)>,
    pub(super) n_corrupt: u64,
    n_taken: u64,
}

/// A segment found in a region.
pub(super) struct Found {
    pub(super) position: u32,
    pub(super) id: ChunkId,
    pub(super) info: ChunkInfo,
    pub(super) segment: SegmentInfo,
}

impl Found {
    /// Returns the segment's name, in the region `region`.
    pub(super) fn key(&self, region: RegionId) -> SegmentKey {
        let (chunk, generation, offset) = (self.id.code(), self.info.head.generation, self.segment.offset);
        SegmentKey { region, chunk, generation, offset }
    }

    /// Returns the bytes of its records.
    pub(super) fn len(&self) -> usize {
        self.segment.end.saturating_sub(self.segment.offset) as usize
    }
}

impl Recorder {
    /// Takes the signals of all threads of `due`; what exceeds the bound of a process waits in its rings.
    pub(super) fn take_signals(&mut self, due: &[u32], now: Now) -> Vec<Event> {
        let (mut events, mut crumbs) = (Vec::new(), Vec::new());
        for position in due {
            let Some(member) = self.members.get_mut(*position as usize).and_then(Option::as_mut) else { continue };
            let (mut n_left, mut n_corrupt) = (SIGNALS_PER_ROUND, 0);
            let store = member.region.store();
            for number in member.region.slots() {
                let taken = signals_of(store, number, n_left);
                n_left -= taken.n_taken;
                n_corrupt += taken.n_corrupt;
                self.names.note_fired(*position, &taken.events);
                events.extend(taken.events);
                crumbs.extend(taken.crumbs);
            }
            member.n_corrupt += n_corrupt;
            if n_left < SIGNALS_PER_ROUND {
                member.last_signal = Some(now.time);
            }
            self.totals.drop_n(DropReason::Corrupt, n_corrupt);
        }
        self.take_crumbs(crumbs);
        events
    }

    /// Looks for the names of triggers that processes fired since the last call, each among the strings of its process.
    fn learn_names(&mut self, now: Now) {
        for (position, trigger) in self.names.take_unknown() {
            let Some(member) = self.members.get_mut(position as usize).and_then(Option::as_mut) else { continue };
            self.names.meet(&mut member.search, member.region.store(), trigger, now.time);
        }
    }

    /// Keeps crumbs that came through rings: no log record carries them, or their trace is triggered and they are needed at once.
    pub(super) fn take_crumbs(&mut self, crumbs: Vec<(TraceId, CrumbTo)>) {
        for (trace, crumb) in crumbs {
            let (added, n_gone) = self.ring_crumbs.add(trace, crumb);
            self.totals.drop_n(DropReason::Crumbs, n_gone + u64::from(added == Added::LeftOut));
            if added == Added::New && self.triggers.triggered(trace).is_some() {
                self.tell(uplink::Event::Changed { trace });
            }
        }
    }

    /// Decides about what was fired, and copies out what there is of the traces.
    pub(super) fn fire_all(&mut self, events: Vec<Event>, now: Now) {
        self.learn_names(now);
        let mut wanted: BTreeMap<TraceId, Triggered> = BTreeMap::new();
        for event in events {
            let fired = match &event {
                Event::Fired { trigger, origin, .. } => Some((*trigger, *origin)),
                Event::Abandoned { .. } | Event::Tick => None,
            };
            let mut traces = Vec::new();
            let latest = event.clone();
            for action in self.triggers.step(now.time, event) {
                match action {
                    Action::Collect(triggered) => {
                        if let Some(journal) = self.journal.as_mut().filter(|_| triggered.fired == now.time)
                            && let Some((_, origin)) = fired
                        {
                            journal.note_triggered(&triggered, origin);
                        }
                        traces.push(triggered.trace);
                        wanted.insert(triggered.trace, self.of_rarest(triggered, &latest, now));
                    }
                    Action::Refused { .. } => self.totals.drop_n(DropReason::Rate, 1),
                }
            }
            let is_local = |(_, origin): &(TriggerId, Origin)| !matches!(origin, Origin::Remote { .. });
            if let Some((trigger, origin)) = fired.filter(is_local)
                && let Some(base) = traces.first().copied()
            {
                let is_elsewhere = origin == Origin::Elsewhere;
                let fired_ns = now.wall_ns;
                self.tell(uplink::Event::Fired(Firing { trigger, base, fired_ns, traces, is_elsewhere }));
            }
        }
        self.collect(&wanted, now);
    }

    /// Returns for which trigger a trace is kept, of the one so far and the `latest`: the rarer one, as a storm must not cost that its traces.
    fn of_rarest(&mut self, known: Triggered, latest: &Event, now: Now) -> Triggered {
        let Event::Fired { trigger, trace, origin, .. } = *latest else { return known };
        let is_known = trigger == known.trigger || trigger == TriggerId::ELSEWHERE;
        if is_known || !self.kept.is_rarer(trigger, known.trace) {
            return known;
        }
        let (base, fired_ns) = match origin {
            Origin::Remote { base, fired_ns } => (base, Some(fired_ns)),
            _ => (trace, None),
        };
        let triggered = Triggered { trace: known.trace, trigger, base, fired: now.time, fired_ns };
        self.triggers.retrigger(triggered);
        triggered
    }

    /// Fires a trigger by hand.
    pub fn fire(&mut self, trigger: TriggerId, trace: TraceId, laterals: Vec<TraceId>, now: Now) -> Fired {
        let group: Vec<TraceId> = std::iter::once(trace).chain(laterals.iter().copied()).collect();
        self.fire_all(vec![Event::Fired { trigger, trace, laterals, origin: Origin::Admin }], now);
        let state = if self.kept.amounts(trace).is_some() {
            KeptState::Kept
        } else if self.triggers.triggered(trace).is_some() {
            KeptState::NeverSeen
        } else if self.triggers.is_refused(trace) {
            KeptState::Refused
        } else {
            KeptState::Abandoned
        };
        let kept = group.iter().filter_map(|trace| self.kept.get(*trace));
        let (n_segments, bytes) = kept.fold((0, 0), |(n, bytes), kept| (n + kept.n_segments, bytes + kept.bytes));
        Fired { state, n_segments, bytes }
    }

    /// Returns what is kept of `trace`, with what open chunks hold by now; else what is still retained of it, which then stays where it is.
    pub fn slices(
        &mut self,
        trace: TraceId,
        timeline: &backsight_core::clock::Timeline,
        now: Now,
    ) -> Option<Vec<Slice>> {
        match self.triggers.triggered(trace) {
            Some(triggered) => self.collect(&BTreeMap::from([(trace, triggered)]), now),
            None => self.catch_up(now),
        }
        if let Some(slices) = self.kept.slices(trace, timeline) {
            return Some(slices);
        }
        let triggered = Triggered { trace, trigger: TriggerId::CLI, base: trace, fired: now.time, fired_ns: None };
        let mut shelf = crate::kept::Kept::new(crate::kept::TRACE_MAX, 0);
        let found = self.find(&BTreeMap::from([(trace, triggered)]), now);
        let retained = found.iter().filter_map(|found| self.copy(found, now));
        for copied in self.carried.of(trace).cloned().chain(retained) {
            shelf.keep(triggered, copied, &|_| true);
        }
        shelf.slices(trace, timeline)
    }

    /// Copies what there is of the wanted traces to the kept heap.
    fn collect(&mut self, wanted: &BTreeMap<TraceId, Triggered>, now: Now) {
        if wanted.is_empty() {
            return;
        }
        for triggered in wanted.values() {
            if self.kept.retrigger(*triggered) {
                let why = self.why(triggered, now);
                self.tell(uplink::Event::Named { trace: triggered.trace, why });
            }
        }
        self.catch_up(now);
        self.note_restless(wanted.keys().copied(), now);
        self.look_at_losses(now);
        for trace in wanted.keys() {
            let (whole_since, remembers_since) = (self.retained_since(*trace), self.remembers_since());
            self.triggers.note_looked(*trace, Looked { whole_since, remembers_since, last: now.ticks });
            self.kept.note_looked(*trace, self.triggers.looked(*trace));
        }
        for trace in wanted.keys() {
            for copied in self.take_carried(*trace) {
                self.keep_copied(*trace, copied, now);
            }
        }
        for found in self.find(wanted, now) {
            self.keep_segment(found.position, found.id, &found.info, &found.segment, now);
        }
        self.trim(now);
    }

    /// Looks at the leases of all regions, so that chunks taken or sealed until now are known.
    fn catch_up(&mut self, now: Now) {
        let all: Vec<u32> = self.live().map(|(position, _)| position).collect();
        let full = self.look(&all, now);
        let events = self.index_all(&full, now);
        self.pending.extend(events);
    }

    /// Finds the segments of the wanted traces: the sealed ones by the index, the open ones by one walk for all. Where one is not found that
    /// was indexed, or an open chunk cannot be read, there is damage.
    fn find(&mut self, wanted: &BTreeMap<TraceId, Triggered>, now: Now) -> Vec<Found> {
        let mut places = BTreeSet::new();
        for trace in wanted.keys() {
            for place in self.index.find(*trace) {
                let position = place.chunk.position();
                let retained = ChunkId::from_code(place.chunk.code()).filter(|id| {
                    self.member(position).is_some_and(|member| member.region.is_retained(*id, place.generation))
                });
                places.extend(retained.map(|id| (position, id, place.offset, *trace)));
            }
        }
        let mut chunks: Vec<(u32, ChunkId, bool)> =
            places.iter().map(|(position, id, ..)| (*position, *id, false)).collect();
        chunks.dedup();
        for (position, member) in self.live() {
            chunks.extend(member.region.open_chunks().into_iter().map(|id| (position, id, true)));
        }
        let (mut found, mut damaged) = (Vec::new(), BTreeSet::new());
        for (position, id, is_open) in chunks {
            let Some(region) = self.member(position).map(|member| &member.region) else { continue };
            let Some(info) = region.chunk_info(id) else { continue };
            let read = info.as_ref().map(|info| collect::segments_of(region, id, info));
            if is_open && !matches!(read, Ok((_, true))) {
                damaged.insert((position, id));
            }
            let (Ok(info), Ok((segments, _))) = (info, read) else { continue };
            for segment in segments.into_iter().filter(|segment| wanted.contains_key(&segment.trace)) {
                places.remove(&(position, id, segment.offset, segment.trace));
                found.push(Found { position, id, info, segment });
            }
        }
        damaged.extend(places.into_iter().map(|(position, id, ..)| (position, id)));
        damaged.into_iter().for_each(|(position, id)| self.note_damage(position, id, now));
        found
    }

    /// Keeps one segment of a triggered trace.
    pub(super) fn keep_segment(
        &mut self,
        position: u32,
        id: ChunkId,
        info: &ChunkInfo,
        segment: &SegmentInfo,
        now: Now,
    ) {
        let found = Found { position, id, info: *info, segment: *segment };
        if self.triggers.triggered(segment.trace).is_some()
            && let Some(copied) = self.copy(&found, now)
        {
            self.keep_copied(segment.trace, copied, now);
        }
    }

    /// Keeps the copy of a segment of a triggered trace.
    fn keep_copied(&mut self, trace: TraceId, copied: Copied, now: Now) {
        let Some(triggered) = self.triggers.triggered(trace) else { return };
        let Self { kept, triggers, .. } = self;
        let keeping = kept.keep(triggered, copied, &|trace| triggers.triggered(trace).is_some());
        kept.note_looked(trace, triggers.looked(trace));
        self.totals.drop_n(DropReason::Crumbs, keeping.n_crumbs_left_out);
        match keeping.change {
            Change::None => {}
            Change::State => self.tell(uplink::Event::Changed { trace }),
            Change::Grew(piece) => {
                let why = self.why(&triggered, now);
                self.tell(uplink::Event::Grew { trace, why, piece });
            }
        }
        self.note_made_room(keeping, now);
    }

    /// Notes what is kept no more.
    pub(super) fn note_made_room(&mut self, keeping: Keeping, now: Now) {
        for gone in keeping.gone {
            self.remember(gone.trace, gone.last_ticks, gone.agents);
        }
        for trace in keeping.released {
            self.totals.released_traces += 1;
            self.tell(uplink::Event::Gone { trace });
        }
        for trace in keeping.receipted {
            self.totals.released_traces += 1;
            self.tell(uplink::Event::Released { trace });
        }
        for given_up in keeping.given_up {
            self.note_given_up(given_up, now.time);
        }
    }

    pub(super) fn note_given_up(&mut self, given_up: GivenUp, now: Nanos) {
        self.totals.drop_n(given_up.reason, 1);
        // A trace that is too large stays as far as it is; one that was given up for others is gone.
        if given_up.reason == DropReason::Priority {
            self.triggers.step(now, Event::Abandoned { trace: given_up.trace });
            self.tell(uplink::Event::Gone { trace: given_up.trace });
        }
    }

    pub(super) fn copy(&self, found: &Found, now: Now) -> Option<Copied> {
        let member = self.member(found.position)?;
        let segment = collect::copy_segment(&member.region, found.id, &found.info, &found.segment);
        let strings = collect::strings_of(&member.region, &segment.bytes);
        let first = found.segment.base_ticks.min(now.ticks);
        let last = if found.info.last_ticks == 0 { now.ticks } else { found.info.last_ticks.min(now.ticks) };
        let interval = (first, last.max(first));
        let (is_open, is_live) = (member.is_live && !found.info.head.sealed, member.is_live);
        Some(Copied { process: member.process(self.settings.agent), segment, strings, interval, is_open, is_live })
    }
}

/// Takes at most `n_max` signals from the ring of thread slot `number`; a corrupt ring is emptied by the look that finds it so.
pub(super) fn signals_of(store: &Mapping, number: u32, n_max: u64) -> Signals {
    let mut signals = Signals::default();
    while signals.n_taken < n_max.min(RING_ENTRIES) {
        match ring::pop(store, number) {
            Ok(Some(Signal::Trigger { trigger: TriggerId(0), .. })) => signals.n_corrupt += 1, // none has it
            Ok(Some(Signal::Trigger { trigger, trace, laterals, .. })) => {
                signals.events.push(Event::Fired { trigger, trace, laterals, origin: Origin::Signal });
            }
            Ok(Some(Signal::Elsewhere { trigger, trace, .. })) => {
                let trigger = if trigger.0 == 0 { TriggerId::ELSEWHERE } else { trigger };
                signals.events.push(Event::Fired { trigger, trace, laterals: Vec::new(), origin: Origin::Elsewhere });
            }
            // An edge that is open says only that somebody was called; its record is in the log.
            Ok(Some(Signal::Crumb { trace, agent, direction, span, .. })) => {
                let is_known = !agent.is_none() && !trace.is_none();
                signals.crumbs.extend(is_known.then_some((trace, CrumbTo { agent, direction, span })));
            }
            Ok(None) => break,
            Err(_) => {
                signals.n_corrupt += 1;
                break;
            }
        }
        signals.n_taken += 1;
    }
    signals
}
