//! What the agent tells its collector, and when: who fired, what there is of a trace, and the traces themselves.
//!
//! Called by the daemon's loop. Pure: events and the time go in, actions come out; the simulator runs this very code. It holds ids and
//! lengths, never data: holdings and segments are read when an action is carried out, so what is said is always the newest. Connections,
//! threads and clocks are [`link`]'s.

pub mod announce;
pub mod cluster;
pub mod driver;
pub mod link;
pub mod report;
pub mod tls;
pub mod updates;

use crate::weights::Weights;
use announce::Announcements;
pub use announce::Firing;
use backsight_core::coordination::{Advice, Greeting};
use backsight_core::ids::{RegionId, TraceId, TriggerId};
use backsight_core::priority::Priority;
use backsight_core::segment::SegmentKey;
use backsight_core::units::Nanos;
use report::Reports;
pub use report::{Batch, Part};
use updates::Updates;

/// How far a segment is known, and what sending it costs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Its name.
    pub key: SegmentKey,
    /// Bytes of its records.
    pub len: u32,
    /// Bytes that it takes in a batch, at most: its records, the strings that they name, and their frames.
    pub cost: u32,
}

/// Why a trace is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Why {
    /// The trigger that fired first.
    pub trigger: TriggerId,
    /// When it did, on this host's monotonic clock.
    pub fired: Nanos,
    /// When it did, in nanoseconds since 1970.
    pub fired_ns: u64,
    /// The symptomatic trace: the trace itself, or the one whose lateral it is.
    pub base: TraceId,
    /// How early it is sent.
    pub priority: Priority,
}

/// What the logic is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The coordinator said welcome on a new stream.
    Connected(Greeting),
    /// That stream has ended, and with it the other.
    Disconnected,
    /// The collector takes batches, on a new stream.
    ReportReady {
        /// The largest, in bytes of its encoding.
        batch_max_bytes: u64,
    },
    /// That stream has ended.
    ReportLost,
    /// A trigger fired, and was admitted.
    Fired(Firing),
    /// A segment is kept, or kept in a greater length.
    Grew {
        /// Of which trace.
        trace: TraceId,
        /// Why that is kept.
        why: Why,
        /// Which segment, and how long it is by now.
        piece: Piece,
    },
    /// What there is to say of a trace has changed, and no segment of it.
    Changed {
        /// Which.
        trace: TraceId,
    },
    /// The process that wrote segments of a trace has died.
    Died {
        /// The trace.
        trace: TraceId,
        /// The process.
        region: RegionId,
    },
    /// A process of the host died: what there is to say of every trace has changed.
    HostChanged,
    /// The trigger of a trace was only heard of before, and is known now.
    Named {
        /// Which trace.
        trace: TraceId,
        /// Why it is kept.
        why: Why,
    },
    /// The coordinator says what to do with parts of traces, by what others do with theirs.
    Advised(Vec<(TraceId, Advice)>),
    /// A trace that the collector has all of made room; what there is to say of it stays the same.
    Released {
        /// Which.
        trace: TraceId,
    },
    /// A trace is kept no more.
    Gone {
        /// Which.
        trace: TraceId,
    },
    /// The coordinator asked for traces, and what there is of them was kept.
    Collected {
        /// The coordinator's number of the group.
        group: u64,
        /// The traces, none twice.
        traces: Vec<TraceId>,
    },
    /// The coordinator has an announcement.
    AnnounceAck {
        /// Which.
        id: u64,
        /// Whether it will not follow it.
        is_refused: bool,
    },
    /// The collector has every batch up to this one on disk.
    BatchAck {
        /// Which.
        number: u64,
    },
    /// Time has passed, and the link takes messages. Nothing is sent but in answer to this.
    Tick {
        /// How many.
        room: Room,
    },
}

/// Messages that the link takes at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// To the coordinator.
    pub coordination: usize,
    /// Batches.
    pub batches: usize,
}

/// Traces of which the coordinator is told in one turn of the loop: a holding takes microseconds to make, and all of them together must not
/// keep the loop from its rounds.
const TURN_TRACES: usize = 1024;

/// What may still be said to the coordinator in this turn.
#[derive(Clone, Copy, Debug)]
struct Turn {
    n_messages: usize,
    n_traces: usize,
}

impl Turn {
    const fn is_over(self) -> bool {
        self.n_messages == 0 || self.n_traces == 0
    }

    const fn note(&mut self, n_traces: usize) {
        self.n_messages = self.n_messages.saturating_sub(1);
        self.n_traces = self.n_traces.saturating_sub(n_traces);
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Tell the coordinator who fired.
    Announce {
        /// The announcement's number.
        id: u64,
        /// The trigger.
        trigger: TriggerId,
        /// The symptomatic trace.
        base: TraceId,
        /// When it fired, in nanoseconds since 1970.
        fired_ns: u64,
        /// The traces whose holdings go with it.
        traces: Vec<TraceId>,
    },
    /// Answer the coordinator in one message: each of its groups with the traces whose holdings are the answer.
    Answer(Vec<(u64, Vec<TraceId>)>),
    /// Tell the coordinator what there is of these traces now.
    Update {
        /// The traces.
        traces: Vec<TraceId>,
    },
    /// Send a batch.
    Batch(Batch),
    /// The collector has all that is kept of a trace.
    Acked {
        /// Which.
        trace: TraceId,
    },
    /// Another agent has lost its part of a trace: this one's is given up before what can still be whole.
    Demote {
        /// Which.
        trace: TraceId,
    },
    /// Give a trace up, as another agent did in the same storm.
    GiveUp {
        /// Which.
        trace: TraceId,
    },
    /// No batch was acknowledged for too long: end the stream of reports and open another.
    ResetReports,
}

/// What the logic is configured with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// See `report.batch_bytes`.
    pub batch_bytes: u64,
    /// See `report.bytes_per_s`; 0 for no limit.
    pub bytes_per_s: u64,
    /// See `report.resend_ms`.
    pub resend: Nanos,
    /// See `triggers.linger_ms`: how long changes of a trace are told of.
    pub linger: Nanos,
}

/// How far a kept trace has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Progress {
    /// Something of it has not been sent.
    Queued,
    /// All of it was sent, and not all is acknowledged.
    Sent,
    /// The collector has all of it.
    Acked,
}

/// What was counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Firings to announce.
    pub announced: u64,
    /// Announcements that the coordinator has.
    pub announces_acked: u64,
    /// Announcements that it has and does not follow.
    pub announces_refused: u64,
    /// Announcements of what fired elsewhere that were not said, as the coordinator asked first.
    pub announces_spared: u64,
    /// Announcements given up: too many at a time, or not acknowledged within a minute.
    pub announces_given_up: u64,
    /// Collections answered.
    pub answered: u64,
    /// Answers given up because there were too many.
    pub answers_given_up: u64,
    /// Traces whose changes were no longer told of before their time, because there were too many.
    pub unfollowed: u64,
    /// Changes of the host itself that were not told of for all traces that linger, because there were too many.
    pub changes_cut: u64,
    /// Updates sent.
    pub updates: u64,
    /// Batches sent, those sent again included.
    pub batches: u64,
    /// Batches acknowledged.
    pub batches_acked: u64,
    /// Batches whose stream ended before they were acknowledged: sent again.
    pub batches_resent: u64,
    /// Streams ended because nothing was acknowledged on them.
    pub resets: u64,
    /// Segments larger than the collector takes: never sent.
    pub too_large: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Uplink {
    announcements: Announcements,
    updates: Updates,
    reports: Reports,
    instance: Option<u64>,
    is_connected: bool,
    counters: Counters,
}

impl Uplink {
    /// Returns the state in which nobody was ever reached.
    pub const fn new(rules: Rules) -> Self {
        Self {
            announcements: Announcements::new(),
            updates: Updates::new(rules.linger),
            reports: Reports::new(rules),
            instance: None,
            is_connected: false,
            counters: Counters {
                announced: 0,
                announces_acked: 0,
                announces_refused: 0,
                announces_spared: 0,
                announces_given_up: 0,
                answered: 0,
                answers_given_up: 0,
                unfollowed: 0,
                changes_cut: 0,
                updates: 0,
                batches: 0,
                batches_acked: 0,
                batches_resent: 0,
                resets: 0,
                too_large: 0,
            },
        }
    }

    /// Takes the weights by which triggers share what is sent.
    pub fn set_weights(&mut self, weights: Weights) {
        self.reports.set_weights(weights);
    }

    /// Takes one event.
    pub fn step(&mut self, now: Nanos, event: Event) -> Vec<Action> {
        let counters = &mut self.counters;
        match event {
            Event::Connected(greeting) => {
                let is_other = self.instance.replace(greeting.instance).is_some_and(|known| known != greeting.instance);
                self.is_connected = true;
                self.announcements.reconnected(now, is_other);
                self.updates.reconnected(now, is_other);
            }
            Event::Disconnected => {
                self.is_connected = false;
                self.updates.disconnected();
                self.reports.lost(counters);
                self.reports.release_all();
            }
            Event::ReportReady { batch_max_bytes } => self.reports.ready(now, batch_max_bytes, counters),
            Event::ReportLost => self.reports.lost(counters),
            Event::Fired(firing) => {
                let is_told = firing.is_elsewhere && firing.traces.iter().all(|trace| self.updates.is_followed(*trace));
                self.updates.follow(now, &firing.traces, counters);
                if !is_told {
                    self.announcements.fired(now, firing, counters);
                }
            }
            Event::Grew { trace, why, piece } => {
                self.updates.grew(now, trace);
                self.reports.grew(now, trace, why, piece);
            }
            Event::Changed { trace } => self.updates.changed(now, trace),
            Event::Died { trace, region } => {
                self.updates.changed(now, trace);
                self.reports.died(now, trace, region);
            }
            Event::HostChanged => self.updates.all_changed(now, counters),
            Event::Named { trace, why } => self.reports.named(trace, why),
            Event::Advised(advised) => return self.reports.advised(now, &advised),
            Event::Released { trace } => self.reports.gone(trace),
            Event::Gone { trace } => {
                self.updates.changed(now, trace);
                self.reports.gone(trace);
            }
            Event::Collected { group, traces } => {
                self.announcements.asked(&traces, counters);
                self.updates.asked(now, group, traces, counters);
            }
            Event::AnnounceAck { id, is_refused } => {
                let followed = self.announcements.acked(id, is_refused, counters);
                self.updates.confirmed(followed);
            }
            Event::BatchAck { number } => return self.reports.acked(now, number, counters),
            Event::Tick { room } => return self.tick(now, room),
        }
        Vec::new()
    }

    /// Sends what is due, as far as there is room for it: answers before announcements before changes.
    fn tick(&mut self, now: Nanos, room: Room) -> Vec<Action> {
        let counters = &mut self.counters;
        let mut actions = Vec::new();
        self.announcements.expire(now, counters);
        self.updates.expire(now);
        if self.is_connected {
            let mut turn = Turn { n_messages: room.coordination, n_traces: TURN_TRACES };
            self.updates.answers(&mut turn, &mut actions, counters);
            self.announcements.due(now, &mut turn, &mut actions);
            let reports = &self.reports;
            self.updates.due(now, &mut turn, &mut actions, counters, |trace| reports.will_tell(now, trace));
        }
        let n_said = actions.len();
        let called = self.reports.due(now, room.batches, &mut actions, counters);
        called.into_iter().for_each(|trace| self.updates.changed(now, trace));
        for action in &actions[n_said..] {
            if let Action::Batch(batch) = action {
                batch.parts.iter().for_each(|part| self.updates.told(now, part.trace));
            }
        }
        actions
    }

    /// Returns when there will be something to do without another event, `None` for never.
    pub fn wake_at(&self) -> Option<Nanos> {
        let talk = [self.announcements.wake_at(), self.updates.wake_at()].into_iter().flatten();
        let talk = talk.min().filter(|_| self.is_connected);
        [talk, self.reports.wake_at()].into_iter().flatten().min()
    }

    /// Returns whether this collector was told of a trace, or has asked for it.
    pub fn knows(&self, trace: TraceId) -> bool {
        self.updates.is_followed(trace) || self.reports.progress(trace).is_some()
    }

    /// Returns all segments of a kept trace that this collector is told of, and why it is kept.
    pub fn pieces(&self, trace: TraceId) -> Option<(Why, Vec<Piece>)> {
        self.reports.pieces(trace)
    }

    /// Takes the firings that another coordinator has to be told of, as this one may not have followed them to the end: those that it has not
    /// acknowledged, that are young, or of whose traces it has not all.
    pub fn hand_over(&mut self, now: Nanos) -> Vec<Firing> {
        let reports = &self.reports;
        let has_all = |trace| matches!(reports.progress(trace), None | Some(Progress::Acked));
        self.announcements.hand_over(now, has_all)
    }

    /// Returns how far a kept trace has come.
    pub fn progress(&self, trace: TraceId) -> Option<Progress> {
        self.reports.progress(trace)
    }

    /// Returns whether nothing of a trace was sent, because more is to be sent for its trigger than the uplink takes; the coordinator is told
    /// what this returns.
    pub fn say_waits(&mut self, now: Nanos, trace: TraceId) -> bool {
        self.reports.say_waits(now, trace)
    }

    /// Returns what was counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the bytes that wait to be sent.
    pub const fn queued_bytes(&self) -> u64 {
        self.reports.queued_bytes()
    }

    /// Returns how many announcements are not acknowledged.
    pub fn n_unacked_announces(&self) -> usize {
        self.announcements.n_unacked()
    }

    /// Returns how many batches are on their way.
    pub fn n_in_flight(&self) -> usize {
        self.reports.n_in_flight()
    }
}

#[cfg(test)]
mod tests;
