//! Reports: which segments go into which batch, and what the collector has by now.
//!
//! Called by the uplink. Pure. Triggers share the stream by bytes, and of each the trace of highest priority goes first, laterals with their
//! base: what hosts cannot send of a storm is then the same everywhere. A segment is sent once it is kept and again whenever it grew. What was
//! not acknowledged when a stream ends is sent again on the next, under new numbers. On one stream
//! nothing is sent twice: it delivers in order, so that a missing acknowledgement means that the stream or the collector is stuck, and the
//! stream is ended and opened anew. What an agent with a slower uplink may still give up is held until that has sent its part.

mod advice;
mod filling;
mod queues;

use super::{Action, Counters, Piece, Progress, Rules, Why};
use crate::weights::Weights;
#[cfg(test)]
pub(super) use advice::HELD_MAX;
use advice::Holds;
use backsight_core::ids::{RegionId, TraceId};
use backsight_core::priority::Priority;
use backsight_core::segment::SegmentKey;
use backsight_core::units::{Bytes, Nanos};
use filling::Filling;
use queues::{Place, Queues};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Batches on their way at a time.
pub const IN_FLIGHT_MAX: usize = 64;
/// Bytes of batches made in one turn, so that copying them never stalls the loop.
const TURN_BYTES: u64 = Bytes::mib(1).0;
/// What a trace costs in a batch beside its segments: its holding.
const TRACE_COST: u64 = 512;
/// How long changes of a trace are gathered, so that one batch has its group.
const GATHER: Nanos = Nanos::from_ms(20);
/// How long after a batch the next one waits for more, unless there is enough to fill it: each costs both sides a dozen switches of threads.
const SPACING: Nanos = Nanos::from_ms(200);
/// The longest wait for an acknowledgement, after streams on which none came.
const PATIENCE_MAX: Nanos = Nanos::from_ms(60_000);
/// How often the size of batches is halved at most, each time that a stream ends with some on their way: a collector that refuses one as too large
/// for it would refuse it for ever.
const HALVINGS_MAX: u32 = 10;
/// Batches that are acknowledged before one halving is undone.
const ACKED_PER_DOUBLING: u32 = 64;
/// Every collector takes batches of this size.
const BATCH_MAX_MIN: u64 = Bytes::kib(256).0;

/// A batch to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Its number on its stream.
    pub number: u64,
    /// What it says of which traces.
    pub parts: Vec<Part>,
}

/// What a batch says of one trace.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Part {
    /// The trace.
    pub trace: TraceId,
    /// Why it is kept.
    pub why: Why,
    /// The segments, each as long as it is to be sent.
    pub segments: Vec<(SegmentKey, u32)>,
    /// Processes of whose death it tells.
    pub deaths: BTreeSet<RegionId>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    len: u32,
    cost: u32,
    sent: u32,
    acked: u32,
}

/// What is known of one kept trace.
#[derive(Debug)]
struct Ledger {
    why: Why,
    segments: BTreeMap<SegmentKey, State>,
    unsent: BTreeSet<SegmentKey>,
    deaths: BTreeSet<RegionId>,
    /// Parts on their way that tell of a death.
    n_deaths_in_flight: usize,
    n_unacked: usize,
    /// Until when its changes are gathered.
    gathers: Option<Nanos>,
    /// Whether a batch had some of it: what is begun is finished.
    is_begun: bool,
    /// Until when it is held at most, so that it does not wait for an agent that never tells.
    held: Option<Nanos>,
    /// Whether it could be sent, were it not held.
    is_called: bool,
    /// Whether the coordinator was told that it waits.
    is_said_to_wait: bool,
}

impl Ledger {
    const fn new(why: Why) -> Self {
        Self {
            why,
            segments: BTreeMap::new(),
            unsent: BTreeSet::new(),
            deaths: BTreeSet::new(),
            n_deaths_in_flight: 0,
            n_unacked: 0,
            gathers: None,
            is_begun: false,
            held: None,
            is_called: false,
            is_said_to_wait: false,
        }
    }

    fn has_news(&self) -> bool {
        !self.unsent.is_empty() || !self.deaths.is_empty()
    }

    fn is_acked(&self) -> bool {
        !self.has_news() && self.n_unacked == 0 && self.n_deaths_in_flight == 0
    }

    fn place(&self, trace: TraceId) -> Place {
        Place::new(&self.why, trace)
    }
}

#[derive(Debug)]
struct Stream {
    batch_max: u64,
    next_number: u64,
    /// When something was last acknowledged, or the first of the batches on their way was sent.
    progressed: Nanos,
    in_flight: VecDeque<Batch>,
}

/// See the module.
#[derive(Debug)]
pub struct Reports {
    rules: Rules,
    traces: BTreeMap<TraceId, Ledger>,
    gathering: BTreeSet<(Nanos, TraceId)>,
    ready: Queues,
    holds: Holds,
    stream: Option<Stream>,
    patience: Nanos,
    /// Before this nothing is sent, by `report.bytes_per_s`.
    paced: Nanos,
    /// Before this no batch is sent that is not full.
    spaced: Nanos,
    queued_bytes: u64,
    /// How often the size of batches is halved now.
    halvings: u32,
    /// Batches that were acknowledged since that changed.
    n_acked: u32,
}

impl Reports {
    /// Returns the state in which nothing is kept.
    pub(super) const fn new(rules: Rules) -> Self {
        Self {
            rules,
            traces: BTreeMap::new(),
            gathering: BTreeSet::new(),
            ready: Queues::new(),
            holds: Holds::new(),
            stream: None,
            patience: rules.resend,
            paced: Nanos(0),
            spaced: Nanos(0),
            queued_bytes: 0,
            halvings: 0,
            n_acked: 0,
        }
    }

    /// Takes the weights by which triggers share the stream.
    pub(super) fn set_weights(&mut self, weights: Weights) {
        self.ready.set_weights(weights);
    }

    /// A segment is kept, or longer than before.
    pub(super) fn grew(&mut self, now: Nanos, trace: TraceId, why: Why, piece: Piece) {
        let ledger = self.traces.entry(trace).or_insert_with(|| Ledger::new(why));
        let known = ledger.segments.entry(piece.key).or_insert(State { len: 0, cost: 0, sent: 0, acked: 0 });
        if piece.len <= known.len {
            return;
        }
        ledger.n_unacked += usize::from(known.acked == known.len);
        if !ledger.unsent.insert(piece.key) {
            self.queued_bytes -= u64::from(known.cost);
        }
        (known.len, known.cost) = (piece.len, piece.cost);
        self.queued_bytes += u64::from(piece.cost);
        self.gather(now, trace);
    }

    /// A process that wrote for a trace has died.
    pub(super) fn died(&mut self, now: Nanos, trace: TraceId, region: RegionId) {
        let Some(ledger) = self.traces.get_mut(&trace) else { return };
        ledger.deaths.insert(region);
        self.gather(now, trace);
    }

    /// It is known now why a trace is kept: it goes with the others of its trigger.
    pub(super) fn named(&mut self, trace: TraceId, why: Why) {
        self.move_to(trace, |known| {
            let is_demoted = known.priority == Priority::default();
            Why { priority: if is_demoted { Priority::default() } else { why.priority }, ..why }
        });
    }

    /// Another host has lost its part of a trace: this one's is sent after all that can still be whole.
    fn demoted(&mut self, trace: TraceId) {
        self.release(trace);
        self.move_to(trace, |known| Why { priority: Priority::default(), ..known });
    }

    /// Changes why a trace is kept, and with it its place where it waits.
    fn move_to(&mut self, trace: TraceId, why: impl FnOnce(Why) -> Why) {
        let Some(ledger) = self.traces.get_mut(&trace) else { return };
        let known = ledger.place(trace);
        let (was_ready, was_uncalled) = (self.ready.remove(&known), self.holds.remove(&known));
        ledger.why = why(ledger.why);
        if was_ready {
            self.ready.insert(ledger.place(trace));
        }
        if was_uncalled {
            self.holds.insert(ledger.place(trace));
        }
    }

    /// A trace is kept no more.
    pub(super) fn gone(&mut self, trace: TraceId) {
        let Some(ledger) = self.traces.remove(&trace) else { return };
        self.ready.remove(&ledger.place(trace));
        self.holds.forget(&ledger, trace);
        if let Some(until) = ledger.gathers {
            self.gathering.remove(&(until, trace));
        }
        let unsent = ledger.unsent.iter().filter_map(|key| ledger.segments.get(key));
        self.queued_bytes -= unsent.map(|state| u64::from(state.cost)).sum::<u64>();
    }

    /// The collector takes batches on a new stream.
    pub(super) fn ready(&mut self, now: Nanos, batch_max_bytes: u64, counters: &mut Counters) {
        self.lost(counters);
        self.spaced = Nanos(0);
        let batch_max = batch_max_bytes.max(BATCH_MAX_MIN);
        self.stream = Some(Stream { batch_max, next_number: 1, progressed: now, in_flight: VecDeque::new() });
    }

    /// The stream has ended: what was on its way is sent again on the next.
    pub(super) fn lost(&mut self, counters: &mut Counters) {
        let Some(stream) = self.stream.take() else { return };
        counters.batches_resent += stream.in_flight.len() as u64;
        if !stream.in_flight.is_empty() {
            (self.halvings, self.n_acked) = ((self.halvings + 1).min(HALVINGS_MAX), 0);
        }
        for part in stream.in_flight.into_iter().flat_map(|batch| batch.parts) {
            let Some(ledger) = self.traces.get_mut(&part.trace) else { continue };
            for (key, _) in &part.segments {
                let Some(state) = ledger.segments.get_mut(key) else { continue };
                state.sent = state.acked;
                if state.sent < state.len && ledger.unsent.insert(*key) {
                    self.queued_bytes += u64::from(state.cost);
                }
            }
            if !part.deaths.is_empty() {
                ledger.n_deaths_in_flight = ledger.n_deaths_in_flight.saturating_sub(1);
                ledger.deaths.extend(part.deaths);
            }
            if ledger.has_news() {
                self.make_ready(part.trace);
            }
        }
    }

    /// Has a trace sent when its turn comes, unless it is held.
    fn make_ready(&mut self, trace: TraceId) {
        if let Some(ledger) = self.traces.get(&trace).filter(|ledger| ledger.held.is_none()) {
            self.ready.insert(ledger.place(trace));
        }
    }

    /// The collector has all batches up to `number`; returns the traces of which it has everything now.
    pub(super) fn acked(&mut self, now: Nanos, number: u64, counters: &mut Counters) -> Vec<Action> {
        let Some(stream) = &mut self.stream else { return Vec::new() };
        let mut actions = Vec::new();
        while let Some(batch) = stream.in_flight.pop_front_if(|batch| batch.number <= number) {
            (stream.progressed, self.patience) = (now, self.rules.resend);
            counters.batches_acked += 1;
            self.n_acked += 1;
            if self.n_acked >= ACKED_PER_DOUBLING {
                (self.halvings, self.n_acked) = (self.halvings.saturating_sub(1), 0);
            }
            for part in batch.parts {
                let Some(ledger) = self.traces.get_mut(&part.trace) else { continue };
                ledger.n_deaths_in_flight -= usize::from(!part.deaths.is_empty() && ledger.n_deaths_in_flight > 0);
                for (key, len) in part.segments {
                    let Some(state) = ledger.segments.get_mut(&key).filter(|state| state.acked < len) else { continue };
                    state.acked = len.min(state.len);
                    ledger.n_unacked -= usize::from(state.acked == state.len);
                }
                if ledger.is_acked() {
                    actions.push(Action::Acked { trace: part.trace });
                }
            }
        }
        actions
    }

    /// Sends what is due; returns traces of which the coordinator is to be told anew whether they wait.
    pub(super) fn due(
        &mut self,
        now: Nanos,
        room: usize,
        actions: &mut Vec<Action>,
        counters: &mut Counters,
    ) -> Vec<TraceId> {
        self.end_holds(now);
        self.send(now, room, actions, counters);
        self.look_at_backlog(now)
    }

    /// Makes the batches that may be sent now, at most `room`, or ends a stream on which nothing moves.
    fn send(&mut self, now: Nanos, room: usize, actions: &mut Vec<Action>, counters: &mut Counters) {
        while let Some((until, trace)) = self.gathering.first().copied().filter(|(until, _)| *until <= now) {
            self.gathering.remove(&(until, trace));
            if let Some(ledger) = self.traces.get_mut(&trace) {
                ledger.gathers = None;
                self.make_ready(trace);
            }
        }
        if self.stuck_at().is_some_and(|stuck| stuck <= now) {
            self.patience = Nanos((self.patience.0 * 2).min(PATIENCE_MAX.0));
            counters.resets += 1;
            self.lost(counters);
            return actions.push(Action::ResetReports);
        }
        let mut turn_bytes = 0;
        for _ in 0..room {
            if turn_bytes >= TURN_BYTES || now < self.may_send_at() {
                return;
            }
            let Some((batch, cost)) = self.next_batch(now, counters) else { return };
            turn_bytes += cost;
            counters.batches += 1;
            self.spaced = Nanos(now.0.saturating_add(SPACING.0));
            if let Some(pause) = (u128::from(cost) * 1_000_000_000).checked_div(u128::from(self.rules.bytes_per_s)) {
                self.paced = Nanos(now.0.saturating_add(u64::try_from(pause).unwrap_or(u64::MAX)));
            }
            actions.push(Action::Batch(batch));
        }
    }

    /// Returns the bytes of a batch, as far as the agent decides.
    const fn batch_bytes(&self) -> u64 {
        let bytes = self.rules.batch_bytes >> self.halvings;
        if bytes == 0 { 1 } else { bytes }
    }

    fn next_batch(&mut self, now: Nanos, counters: &mut Counters) -> Option<(Batch, u64)> {
        let batch_bytes = self.batch_bytes();
        let Self { stream, ready, traces, queued_bytes, holds, .. } = self;
        let stream = stream.as_mut().filter(|stream| stream.in_flight.len() < IN_FLIGHT_MAX)?;
        let target = batch_bytes.min(stream.batch_max / 2);
        let mut filling = Filling { cost: 0, target, batch_max: stream.batch_max, n_segments: 0 };
        let mut parts = Vec::new();
        while filling.cost < target {
            let Some(place) = ready.next() else { break };
            let Some(ledger) = traces.get_mut(&place.trace) else {
                ready.remove(&place);
                continue;
            };
            let before = filling.cost;
            let part = filling.take(place.trace, ledger, queued_bytes, counters);
            ready.charge(&place, filling.cost - before);
            let has_more = ledger.has_news();
            if !has_more {
                ready.remove(&place);
            }
            if !part.segments.is_empty() || !part.deaths.is_empty() {
                ledger.n_deaths_in_flight += usize::from(!part.deaths.is_empty());
                ledger.is_begun = true;
                if std::mem::take(&mut ledger.is_said_to_wait) {
                    holds.over.push(place.trace);
                }
                parts.push(part);
            }
            if has_more {
                break; // it goes on in the next batch
            }
        }
        if parts.is_empty() {
            return None;
        }
        if stream.in_flight.is_empty() {
            stream.progressed = now;
        }
        let batch = Batch { number: stream.next_number, parts };
        stream.next_number += 1;
        stream.in_flight.push_back(batch.clone());
        Some((batch, filling.cost))
    }

    fn gather(&mut self, now: Nanos, trace: TraceId) {
        let Some(ledger) = self.traces.get_mut(&trace).filter(|ledger| ledger.gathers.is_none()) else { return };
        let is_stormy = !ledger.is_begun && self.holds.is_stormy(now, ledger.why.trigger);
        let wait = if is_stormy { advice::GATHER_IN_STORM } else { GATHER };
        let until = Nanos(now.0.saturating_add(wait.0));
        ledger.gathers = Some(until);
        self.gathering.insert((until, trace));
    }

    /// Returns when the stream counts as stuck.
    fn stuck_at(&self) -> Option<Nanos> {
        let stream = self.stream.as_ref().filter(|stream| !stream.in_flight.is_empty())?;
        Some(Nanos(stream.progressed.0.saturating_add(self.patience.0)))
    }

    /// Returns when there will be something to do.
    pub(super) fn wake_at(&self) -> Option<Nanos> {
        let can_send = self.stream.as_ref().is_some_and(|stream| stream.in_flight.len() < IN_FLIGHT_MAX);
        let gathered = self.gathering.first().map(|(until, _)| *until);
        let ready = if self.ready.is_empty() { gathered } else { Some(Nanos(0)) };
        let send = ready.filter(|_| can_send).map(|ready| ready.max(self.may_send_at()));
        [send, self.stuck_at(), self.holds.wake_at()].into_iter().flatten().min()
    }

    /// Returns when a batch may be sent.
    fn may_send_at(&self) -> Nanos {
        let is_full = self.queued_bytes >= self.batch_bytes();
        if is_full { self.paced } else { self.paced.max(self.spaced) }
    }

    /// Returns whether the next batch will say what there is of a trace then, and soon.
    pub(super) fn will_tell(&self, now: Nanos, trace: TraceId) -> bool {
        let is_next = self.queued_bytes <= self.batch_bytes() && self.paced <= now;
        let goes = |ledger: &Ledger| ledger.has_news() && ledger.held.is_none();
        is_next && self.stream.is_some() && self.traces.get(&trace).is_some_and(goes)
    }

    /// Returns how far a trace has come.
    pub(super) fn progress(&self, trace: TraceId) -> Option<Progress> {
        let ledger = self.traces.get(&trace)?;
        Some(match () {
            () if ledger.has_news() => Progress::Queued,
            () if ledger.is_acked() => Progress::Acked,
            () => Progress::Sent,
        })
    }

    /// Returns all segments of a trace, and why it is kept.
    pub(super) fn pieces(&self, trace: TraceId) -> Option<(Why, Vec<Piece>)> {
        let ledger = self.traces.get(&trace)?;
        let piece = |(key, state): (&SegmentKey, &State)| Piece { key: *key, len: state.len, cost: state.cost };
        Some((ledger.why, ledger.segments.iter().map(piece).collect()))
    }

    /// Returns the bytes that wait to be sent.
    pub(super) const fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// Returns how many batches are on their way.
    pub(super) fn n_in_flight(&self) -> usize {
        self.stream.as_ref().map_or(0, |stream| stream.in_flight.len())
    }
}
