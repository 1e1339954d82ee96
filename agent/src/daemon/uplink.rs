//! What the loop does about the collector: hears it, tells the uplink what was kept, and carries out what that decides.
//!
//! Nothing here waits: messages are taken and made in bounded numbers per turn, and what the link has no room for stays with the uplink.

use super::{Daemon, Source, StartError};
use crate::config::Config;
use crate::recorder::{Now, Recorder};
use crate::status::UplinkDetails;
use crate::uplink::link::{Heard, Identity, Link, Outgoing};
use crate::uplink::{Action, Counters, Event, Progress, Rules, Uplink};
use backsight_core::clock::Timeline;
use backsight_core::coordination::{Announcement, Answer, Collection, Greeting};
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::telemetry::DropReason;
use backsight_core::units::Nanos;
use backsight_proto::admin::{KeptState, UplinkStatus};
use backsight_proto::v1::{self, agent_says};
use backsight_proto::wire::Report;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use tracing::{info, warn};

/// Messages of the collector taken in one turn.
const HEARD_PER_TURN: usize = 256;
/// The shortest sleep while something waits to be sent: what is due within it goes together.
const SLEEP_MIN: Nanos = Nanos::from_ms(4);
/// The shortest sleep while the link has no room for it.
const SLEEP_NO_ROOM: Nanos = Nanos::from_ms(10);

/// The collector, as the loop knows it.
#[derive(Debug)]
pub(super) struct Collector {
    link: Link,
    pub(super) uplink: Uplink,
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

impl Collector {
    /// Starts dialling the collector, if one is configured.
    pub(super) fn start(config: &Config, agent: AgentId, now: Nanos) -> Result<Option<Self>, StartError> {
        let Some(url) = config.uplink.collectors.first() else { return Ok(None) };
        let instance = std::hash::RandomState::new().build_hasher().finish(); // random for each process
        let link = Link::start(Identity { agent, instance, collector: url.clone() })
            .map_err(|source| StartError::System { what: "start the uplink's thread", source })?;
        let rules = Rules {
            batch_bytes: config.report.batch_bytes,
            bytes_per_s: config.report.bytes_per_s,
            resend: Nanos::from_ms(config.report.resend_ms),
            linger: Nanos::from_ms(config.triggers.linger_ms),
        };
        Ok(Some(Self {
            link,
            uplink: Uplink::new(rules),
            url: url.clone(),
            greeting: None,
            is_reporting: false,
            changed: now,
            last_error: String::new(),
            n_garbage: 0,
            n_collections: 0,
            due: None,
            n_given_up: 0,
        }))
    }

    /// Returns the descriptor that is readable while the collector has said something.
    pub(super) fn eventfd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.link.eventfd()
    }

    /// Returns how long the loop may sleep.
    pub(super) fn sleep(&self, now: Nanos, longest: Nanos) -> Nanos {
        let until = self.due.map_or(longest, |at| Nanos(at.0.saturating_sub(now.0)));
        let room = self.link.room();
        let least = if room.batches.min(room.coordination) == 0 { SLEEP_NO_ROOM } else { SLEEP_MIN };
        until.max(least).min(longest)
    }

    /// Returns how far a kept trace has come.
    pub(super) fn state_of(&self, trace: TraceId, recorder: &Recorder) -> KeptState {
        match self.uplink.progress(trace) {
            None => KeptState::Kept,
            Some(Progress::Queued) => KeptState::Queued,
            Some(Progress::Sent) => KeptState::Sent,
            Some(Progress::Acked) if recorder.lingers(trace) => KeptState::Lingering,
            Some(Progress::Acked) => KeptState::Acked,
        }
    }

    /// Returns what `backsight status` shows.
    pub(super) fn status(&self, now: Nanos) -> UplinkStatus {
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
            bytes_total: self.link.sent_bytes(),
            queued_bytes: self.uplink.queued_bytes(),
        }
    }

    /// Returns what is counted and that no status shows.
    pub(super) fn details(&self) -> UplinkDetails {
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
    fn hear(&mut self, recorder: &mut Recorder, now: Nanos) -> Vec<Collection> {
        let mut collections = Vec::new();
        for _ in 0..HEARD_PER_TURN {
            let Some(heard) = self.link.take() else { return collections };
            let event = match heard {
                Heard::Connected(greeting) => {
                    info!(collector = self.url, instance = greeting.instance, "collector reached");
                    (self.greeting, self.changed) = (Some(greeting), now);
                    recorder.set_cluster_seed(greeting.cluster_seed);
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
                Heard::Collect(collection) => {
                    self.n_collections += 1;
                    collections.push(collection);
                    continue;
                }
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
        self.link.remind(); // the rest in the next turn
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
    fn step(&mut self, recorder: &mut Recorder, now: Nanos, event: Event) {
        self.due = Some(now);
        for action in self.uplink.step(now, event) {
            match action {
                Action::Acked { trace } => recorder.note_acked(trace),
                Action::ResetReports => self.link.reset_reports(),
                Action::Announce { .. } | Action::Answer { .. } | Action::Update { .. } | Action::Batch(_) => {
                    debug_assert!(false, "only a tick sends");
                }
            }
        }
    }

    /// Sends what is due. Most turns of the loop have nothing: they do not touch the uplink's tables.
    fn send(&mut self, recorder: &mut Recorder, timeline: &Timeline, now: Now) {
        if self.due.is_none_or(|due| due > now.time) {
            return;
        }
        let room = self.link.room();
        for action in self.uplink.step(now.time, Event::Tick { room }) {
            let mut holdings = |traces: Vec<TraceId>| -> Vec<Holding> {
                traces.into_iter().map(|trace| recorder.holding(trace, timeline, now)).collect()
            };
            match action {
                Action::Announce { id, trigger, fired_ns, traces } => {
                    let holdings = holdings(traces);
                    let name = recorder.names().name(trigger).cloned();
                    let announcement = Announcement { id, trigger, name, fired_ns, holdings };
                    let shard_epoch = self.greeting.map_or(0, |greeting| greeting.shard_epoch);
                    self.link.say(agent_says::What::Announce(v1::Announce::of(&announcement, shard_epoch)));
                }
                Action::Answer { group, traces } => {
                    let answer = Answer { group, holdings: holdings(traces) };
                    self.link.say(agent_says::What::Answer((&answer).into()));
                }
                Action::Update { traces } => {
                    self.link.say(agent_says::What::Update(holdings(traces).as_slice().into()));
                }
                Action::Batch(batch) => {
                    self.link.send(outgoing(&batch, recorder, timeline, now));
                }
                Action::Acked { trace } => recorder.note_acked(trace),
                Action::ResetReports => self.link.reset_reports(),
            }
        }
        self.due = self.uplink.wake_at();
        let given_up = self.uplink.counters().announces_given_up;
        recorder.count_drops(DropReason::Unannounced, given_up - self.n_given_up);
        self.n_given_up = given_up;
    }
}

/// Copies a batch's segments out of the kept heap.
fn outgoing(batch: &crate::uplink::Batch, recorder: &mut Recorder, timeline: &Timeline, now: Now) -> Outgoing {
    let mut traces = Vec::with_capacity(batch.parts.len());
    for part in &batch.parts {
        let Some(slices) = recorder.segments_of(part.trace, &part.segments, &part.deaths, timeline) else { continue };
        let report = Report {
            holding: recorder.holding(part.trace, timeline, now),
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

impl Daemon {
    /// Quiets the collector's bell; what it said is taken when the turn ends.
    pub(super) fn collector_rang(&self) {
        if let Some(collector) = &self.collector {
            collector.link.acknowledge();
        }
    }

    /// Takes what the collector said, tells it what has happened and sends what is due; returns how long the loop may sleep.
    pub(super) fn serve_collector(&mut self) -> Option<Nanos> {
        let now = self.now();
        let Self { collector: Some(collector), recorder, clock, .. } = self else { return None };
        let collections = collector.hear(recorder, now.time);
        if !collections.is_empty() {
            // All at once: looking through open chunks costs the same for one as for all.
            recorder.collect_remote(&collections, now);
        }
        for Collection { group, traces, .. } in collections {
            let mut seen = BTreeSet::new();
            let traces = traces.into_iter().filter(|trace| seen.insert(*trace)).collect();
            collector.step(recorder, now.time, Event::Collected { group, traces });
        }
        for event in recorder.take_news() {
            collector.step(recorder, now.time, event);
        }
        collector.send(recorder, clock.timeline(), now);
        Some(collector.sleep(now.time, crate::recorder::SWEEP_EVERY))
    }

    /// Watches for what the collector says.
    pub(super) fn watch_collector(&self) -> Result<(), rustix::io::Errno> {
        self.collector.as_ref().map_or(Ok(()), |collector| self.watch(collector.eventfd(), Source::Collector))
    }
}
