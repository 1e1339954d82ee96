//! Drives the uplink to one collector: hears what that says, and carries out what the uplink decides.
//!
//! Called by the cluster, with a connection or the simulator's port. Nothing here waits: messages are taken and made in bounded
//! numbers per turn, and what the port has no room for stays with the uplink.

use super::link::{Heard, Outgoing};
use super::{Action, Counters, Event, Firing, Room, Rules, Uplink};
use crate::recorder::{Now, Recorder};
use crate::status::UplinkDetails;
use crate::weights::Weights;
use backsight_core::clock::Timeline;
use backsight_core::coordination::{Announcement, Answer, Collection, Greeting};
use backsight_core::holding::Holding;
use backsight_core::ids::TraceId;
use backsight_core::telemetry::DropReason;
use backsight_core::units::Nanos;
use backsight_proto::admin::UplinkStatus;
use backsight_proto::v1::{self, agent_says};
use backsight_proto::wire::Report;
use tracing::{info, warn};

/// Messages of the collector taken in one turn.
const HEARD_PER_TURN: usize = 256;
/// No further message is taken in a turn that has so many questions.
const COLLECTIONS_PER_TURN: usize = 256;
/// The shortest sleep while something waits to be sent: what is due within it goes together.
const SLEEP_MIN: Nanos = Nanos::from_ms(4);
/// The shortest sleep while the port has no room for it.
const SLEEP_NO_ROOM: Nanos = Nanos::from_ms(10);

/// A connection to a collector, as the driver uses it.
pub trait Port {
    /// Takes what was heard next.
    fn take(&mut self) -> Option<Heard>;
    /// Has the driver called again soon, although nothing more may be heard.
    fn remind(&self);
    /// Returns how many messages fit.
    fn room(&self) -> Room;
    /// Says something to the coordinator. There is room, or it is lost as on a broken connection.
    fn say(&self, what: agent_says::What);
    /// Sends a batch. There is room, or it is lost as on a broken connection.
    fn send(&self, batch: Outgoing);
    /// Ends the present stream of reports; another follows.
    fn reset_reports(&self);
    /// Returns the bytes of all batches sent, as they were packed.
    fn sent_bytes(&self) -> u64;
}

/// See the module.
#[derive(Debug)]
pub struct Driver<P> {
    port: P,
    uplink: Uplink,
    url: String,
    greeting: Option<Greeting>,
    is_reporting: bool,
    changed: Nanos,
    last_error: String,
    n_garbage: u64,
    n_collections: u64,
    /// When the uplink has something to do, `None` for after the next event.
    due: Option<Nanos>,
    /// Announcements given up that are counted as drops already.
    n_given_up: u64,
}

impl<P: Port> Driver<P> {
    /// Returns a driver that has heard nothing yet; `url` is what people call the collector.
    pub const fn new(port: P, rules: Rules, url: String, now: Nanos) -> Self {
        Self {
            port,
            uplink: Uplink::new(rules),
            url,
            greeting: None,
            is_reporting: false,
            changed: now,
            last_error: String::new(),
            n_garbage: 0,
            n_collections: 0,
            due: None,
            n_given_up: 0,
        }
    }

    /// Takes the weights by which triggers share what is sent.
    pub fn set_weights(&mut self, weights: Weights) {
        self.uplink.set_weights(weights);
    }

    /// Returns the port.
    pub const fn port(&self) -> &P {
        &self.port
    }

    /// Returns what was decided so far.
    pub(super) const fn uplink(&self) -> &Uplink {
        &self.uplink
    }

    /// Returns since when nobody answers there, `None` while somebody does.
    pub(super) fn away_since(&self) -> Option<Nanos> {
        self.greeting.is_none().then_some(self.changed)
    }

    /// See [`Uplink::hand_over`].
    pub(super) fn hand_over(&mut self, now: Nanos) -> Vec<Firing> {
        self.uplink.hand_over(now)
    }

    /// Returns how long to wait at most before the next turn.
    pub fn sleep(&self, now: Nanos, longest: Nanos) -> Nanos {
        let until = self.due.map_or(longest, |at| Nanos(at.0.saturating_sub(now.0)));
        let room = self.port.room();
        let least = if room.batches.min(room.coordination) == 0 { SLEEP_NO_ROOM } else { SLEEP_MIN };
        until.max(least).min(longest)
    }

    /// Returns what `backsight status` shows.
    pub fn status(&self, now: Nanos) -> UplinkStatus {
        let counters = self.uplink.counters();
        UplinkStatus {
            collector: self.url.clone(),
            is_connected: self.greeting.is_some(),
            is_reporting: self.is_reporting,
            since_ms: Nanos(now.0.saturating_sub(self.changed.0)).as_ms(),
            last_error: self.last_error.clone(),
            announced_total: counters.announced,
            announces_acked_total: counters.announces_acked,
            announces_refused_total: counters.announces_refused,
            announces_given_up_total: counters.announces_given_up,
            collections_total: self.n_collections,
            batches_total: counters.batches,
            batches_acked_total: counters.batches_acked,
            batches_resent_total: counters.batches_resent,
            bytes_total: self.port.sent_bytes(),
            queued_bytes: self.uplink.queued_bytes(),
        }
    }

    /// Returns what is counted and that no status shows.
    pub fn details(&self) -> UplinkDetails {
        // By name, so that a new counter is shown: those that are left out here stand in the status.
        let Counters {
            announced: _,
            announces_acked: _,
            announces_refused: _,
            announces_given_up: _,
            batches: _,
            batches_acked: _,
            batches_resent: _,
            announces_spared,
            answered,
            answers_given_up,
            unfollowed,
            changes_cut,
            updates,
            resets,
            too_large,
        } = *self.uplink.counters();
        UplinkDetails {
            in_flight: self.uplink.n_in_flight() as u64,
            unacked_announces: self.uplink.n_unacked_announces() as u64,
            announces_spared,
            updates,
            answered,
            answers_given_up,
            unfollowed,
            changes_cut,
            resets,
            too_large,
            garbage: self.n_garbage,
        }
    }

    /// Takes what the collector said; returns what it asks for.
    pub(super) fn hear(&mut self, recorder: &mut Recorder, now: Nanos) -> Vec<Collection> {
        let mut collections = Vec::new();
        for _ in 0..HEARD_PER_TURN {
            let Some(heard) = self.port.take() else { return collections };
            let event = match heard {
                Heard::Connected(greeting) => {
                    info!(collector = self.url, instance = greeting.instance, "collector reached");
                    (self.greeting, self.changed) = (Some(greeting), now);
                    recorder.set_cluster_seed(greeting.cluster_seed, greeting.seed_epoch);
                    Event::Connected(greeting)
                }
                Heard::Disconnected(why) => {
                    // Its questions went with it: whoever comes next asks anew, by numbers of its own.
                    collections.clear();
                    self.note_lost(now, why);
                    (self.greeting, self.is_reporting) = (None, false);
                    Event::Disconnected
                }
                Heard::ReportReady(batch_max_bytes) => {
                    (self.is_reporting, self.changed) = (true, now);
                    Event::ReportReady { batch_max_bytes }
                }
                Heard::ReportLost(why) => {
                    if self.is_reporting {
                        self.changed = now;
                    }
                    self.is_reporting = false;
                    self.last_error = why;
                    Event::ReportLost
                }
                Heard::Collects(asked) => {
                    self.n_collections += asked.len() as u64;
                    collections.extend(asked);
                    if collections.len() < COLLECTIONS_PER_TURN {
                        continue;
                    }
                    break;
                }
                Heard::Advise(advised) => Event::Advised(advised),
                Heard::AnnounceAck { id, refusal } => Event::AnnounceAck { id, is_refused: !refusal.is_empty() },
                Heard::BatchAck(number) => Event::BatchAck { number },
                Heard::Garbage(why) => {
                    self.n_garbage += 1;
                    self.last_error = why;
                    continue;
                }
            };
            self.step(recorder, now, event);
        }
        self.port.remind(); // the rest in the next turn
        collections
    }

    fn note_lost(&mut self, now: Nanos, why: String) {
        if self.greeting.is_some() || (self.last_error != why && self.last_error.is_empty()) {
            warn!(
                collector = self.url,
                cause = why,
                "collector not reached, what triggers ask for is kept until it is"
            );
        }
        if self.greeting.is_some() {
            self.changed = now;
        }
        self.last_error = why;
    }

    /// Takes one event that sends nothing.
    pub(super) fn step(&mut self, recorder: &mut Recorder, now: Nanos, event: Event) {
        self.due = Some(now);
        for action in self.uplink.step(now, event) {
            match action {
                Action::Acked { trace } => recorder.note_acked(trace),
                Action::Demote { trace } => recorder.demote(trace),
                Action::GiveUp { trace } => recorder.give_up(trace, now),
                Action::ResetReports => self.port.reset_reports(),
                Action::Announce { .. } | Action::Answer(_) | Action::Update { .. } | Action::Batch(_) => {
                    debug_assert!(false, "only a tick sends");
                }
            }
        }
    }

    /// Sends what is due. Most turns of the loop have nothing: they do not touch the uplink's tables.
    pub(super) fn send(&mut self, recorder: &mut Recorder, timeline: &Timeline, now: Now) {
        if self.due.is_none_or(|due| due > now.time) {
            return;
        }
        let room = self.port.room();
        for action in self.uplink.step(now.time, Event::Tick { room }) {
            let uplink = &mut self.uplink;
            let mut holdings = |traces: Vec<TraceId>| -> Vec<Holding> {
                traces.into_iter().map(|trace| holding(trace, uplink, recorder, timeline, now)).collect()
            };
            match action {
                Action::Announce { id, trigger, base, fired_ns, traces } => {
                    let holdings = holdings(traces);
                    let name = recorder.names().name(trigger).cloned();
                    let announcement = Announcement { id, trigger, name, fired_ns, base, holdings };
                    let shard_epoch = self.greeting.map_or(0, |greeting| greeting.shard_epoch);
                    self.port.say(agent_says::What::Announce(v1::Announce::of(&announcement, shard_epoch)));
                }
                Action::Answer(answers) => {
                    let answers =
                        answers.into_iter().map(|(group, traces)| Answer { group, holdings: holdings(traces) });
                    let answers: Vec<Answer> = answers.collect();
                    self.port.say(agent_says::What::Answers(answers.as_slice().into()));
                }
                Action::Update { traces } => {
                    self.port.say(agent_says::What::Update(holdings(traces).as_slice().into()));
                }
                Action::Batch(batch) => {
                    self.port.send(outgoing(&batch, uplink, recorder, timeline, now));
                }
                Action::Acked { .. } | Action::Demote { .. } | Action::GiveUp { .. } => {
                    debug_assert!(false, "a tick sends, and hears nothing");
                }
                Action::ResetReports => self.port.reset_reports(),
            }
        }
        self.due = self.uplink.wake_at();
        let given_up = self.uplink.counters().announces_given_up;
        recorder.count_drops(DropReason::Unannounced, given_up - self.n_given_up);
        self.n_given_up = given_up;
    }
}

/// Returns what there is of a trace, and whether it waits to be sent.
fn holding(trace: TraceId, uplink: &mut Uplink, recorder: &mut Recorder, timeline: &Timeline, now: Now) -> Holding {
    Holding { waits: uplink.say_waits(now.time, trace), ..recorder.holding(trace, timeline, now) }
}

/// Copies a batch's segments out of the kept heap.
fn outgoing(
    batch: &crate::uplink::Batch,
    uplink: &mut Uplink,
    recorder: &mut Recorder,
    timeline: &Timeline,
    now: Now,
) -> Outgoing {
    let mut traces = Vec::with_capacity(batch.parts.len());
    for part in &batch.parts {
        let Some(slices) = recorder.segments_of(part.trace, &part.segments, &part.deaths, timeline) else { continue };
        let report = Report {
            holding: holding(part.trace, uplink, recorder, timeline, now),
            trigger: part.why.trigger,
            fired_ns: part.why.fired_ns,
            base: Some(part.why.base).filter(|base| *base != part.trace),
            names: recorder.names_of(&[part.why.trigger], &slices),
            slices,
        };
        traces.push(v1::TraceReport::from(&report));
    }
    Outgoing { number: batch.number, traces: v1::Traces { traces } }
}
