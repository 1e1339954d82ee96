//! The collectors of a cluster, as one agent uses them: whom a firing is announced to, who stands in for one that is away, and who is told of
//! what became of a trace.
//!
//! Called by the daemon's loop, and by the simulator. Each collector has a driver of its own; here is only what lies between them. A firing goes to
//! the collector that owns its trace among those that can be reached. Everything else follows the trace to whoever was told of it or has
//! asked for it, so that hosts which see different collectors, or have different lists of them, still give each the whole trace. Drawn in
//! `docs/spec/wire.md`, decided in `docs/adr/0012`.

use super::driver::{Driver, Port};
use super::{Event, Firing, Progress};
use crate::recorder::{Now, Recorder};
use crate::status::UplinkDetails;
use backsight_core::clock::Timeline;
use backsight_core::coordination::Collection;
use backsight_core::ids::TraceId;
use backsight_core::shard::{Member, owner};
use backsight_core::units::Nanos;
use backsight_proto::admin::{KeptState, UplinkStatus};
use std::collections::{BTreeMap, BTreeSet};

/// How long a collector is away before another one stands in for it.
pub const STAND_IN_AFTER: Nanos = Nanos::from_ms(1_000);

/// See the module.
#[derive(Debug)]
pub struct Cluster<P> {
    drivers: Vec<Driver<P>>,
    members: Vec<Member>,
    /// Of each collector, whether it may have firings that another one has to be told of once it is away for too long.
    has_firings: Vec<bool>,
}

impl<P: Port> Cluster<P> {
    /// Returns the cluster of these collectors, each with the name that all agents call it by. There is at least one.
    pub fn new(named: Vec<(Member, Driver<P>)>) -> Self {
        let (members, drivers): (Vec<_>, Vec<_>) = named.into_iter().unzip();
        Self { has_firings: vec![false; drivers.len()], members, drivers }
    }

    /// Returns the ports, in the order of the collectors.
    pub fn ports(&self) -> impl Iterator<Item = &P> {
        self.drivers.iter().map(Driver::port)
    }

    /// Takes what the collectors said, tells them what has happened and sends what is due.
    pub fn turn(&mut self, recorder: &mut Recorder, timeline: &Timeline, now: Now) {
        // First, as what is heard may acknowledge all that was known of a trace, which has grown since.
        self.tell_news(recorder, now.time);
        self.hear(recorder, now);
        self.tell_news(recorder, now.time);
        self.stand_in(recorder, now.time);
        for driver in &mut self.drivers {
            driver.send(recorder, timeline, now);
        }
    }

    /// Returns how long to wait at most before the next turn.
    pub fn sleep(&self, now: Nanos, longest: Nanos) -> Nanos {
        self.drivers.iter().map(|driver| driver.sleep(now, longest)).fold(longest, Nanos::min)
    }

    /// Returns how far a kept trace has come, with the collector that has most of it.
    pub fn state_of(&self, trace: TraceId, recorder: &Recorder) -> KeptState {
        let furthest = self.drivers.iter().filter_map(|driver| driver.uplink().progress(trace)).max();
        match furthest {
            None => KeptState::Kept,
            Some(Progress::Queued) => KeptState::Queued,
            Some(Progress::Sent) => KeptState::Sent,
            Some(Progress::Acked) if recorder.lingers(trace) => KeptState::Lingering,
            Some(Progress::Acked) => KeptState::Acked,
        }
    }

    /// Returns what `backsight status` shows of each collector.
    pub fn status(&self, now: Nanos) -> Vec<UplinkStatus> {
        self.drivers.iter().map(|driver| driver.status(now)).collect()
    }

    /// Returns what is counted and that no status shows, of all collectors together.
    pub fn details(&self) -> UplinkDetails {
        self.drivers.iter().map(Driver::details).fold(UplinkDetails::default(), UplinkDetails::plus)
    }

    /// Takes what the collectors said, and keeps what they ask for.
    fn hear(&mut self, recorder: &mut Recorder, now: Now) {
        let (mut collections, mut askers) = (Vec::new(), Vec::new());
        for (idx, driver) in self.drivers.iter_mut().enumerate() {
            let heard = driver.hear(recorder, now.time);
            askers.extend(heard.iter().map(|_| idx));
            collections.extend(heard);
        }
        if collections.is_empty() {
            return;
        }
        // All at once: looking through open chunks costs the same for one as for all.
        recorder.collect_remote(&collections, now);
        for (idx, Collection { group, traces, .. }) in askers.into_iter().zip(collections) {
            let mut seen = BTreeSet::new();
            let traces: Vec<TraceId> = traces.into_iter().filter(|trace| seen.insert(*trace)).collect();
            let pieces = self.unknown_to(idx, &traces);
            self.drivers[idx].step(recorder, now.time, Event::Collected { group, traces });
            self.tell_of(idx, recorder, now.time, pieces);
        }
    }

    fn tell_news(&mut self, recorder: &mut Recorder, now: Nanos) {
        for event in recorder.take_news() {
            self.tell(recorder, now, event);
        }
    }

    /// Tells whom it concerns of something that has happened on this host.
    fn tell(&mut self, recorder: &mut Recorder, now: Nanos, event: Event) {
        let trace = match event {
            Event::Fired(firing) => return self.announce(recorder, now, firing),
            Event::Grew { trace, .. }
            | Event::Changed { trace }
            | Event::Died { trace, .. }
            | Event::Named { trace, .. }
            | Event::Released { trace }
            | Event::Gone { trace } => Some(trace),
            _ => None,
        };
        let concerns = |driver: &Driver<P>| trace.is_none_or(|trace| driver.uplink().knows(trace));
        let concerned: Vec<bool> = self.drivers.iter().map(concerns).collect();
        // A trace that none of them knows was asked for before this agent took over from another, nobody knows by whom.
        let is_for_all = !concerned.contains(&true);
        for (driver, is_concerned) in self.drivers.iter_mut().zip(concerned) {
            if is_for_all || is_concerned {
                driver.step(recorder, now, event.clone());
            }
        }
    }

    /// Announces a firing to the owners of its traces, each of them its own.
    fn announce(&mut self, recorder: &mut Recorder, now: Nanos, firing: Firing) {
        let mut parts: BTreeMap<usize, Vec<TraceId>> = BTreeMap::new();
        for trace in &firing.traces {
            parts.entry(self.owner(*trace, now)).or_default().push(*trace);
        }
        for (idx, traces) in parts {
            self.has_firings[idx] = true;
            let pieces = self.unknown_to(idx, &traces);
            self.drivers[idx].step(recorder, now, Event::Fired(Firing { traces, ..firing.clone() }));
            self.tell_of(idx, recorder, now, pieces);
        }
    }

    /// Returns the collector to which a trace belongs, of those that can be reached; of all, where none can.
    fn owner(&self, trace: TraceId, now: Nanos) -> usize {
        let is_here = |idx: usize| !self.is_away(idx, now);
        owner(trace, &self.members, is_here).or_else(|| owner(trace, &self.members, |_| true)).unwrap_or(0)
    }

    fn is_away(&self, idx: usize, now: Nanos) -> bool {
        self.drivers[idx].away_since().is_some_and(|since| now.0.saturating_sub(since.0) >= STAND_IN_AFTER.0)
    }

    /// Returns segments that are kept of `traces` and that collector `idx` has never heard of, as another one has.
    fn unknown_to(&self, idx: usize, traces: &[TraceId]) -> Vec<Event> {
        let mut events = Vec::new();
        for trace in traces.iter().copied().filter(|trace| !self.drivers[idx].uplink().knows(*trace)) {
            let of_other = self.drivers.iter().find_map(|driver| driver.uplink().pieces(trace));
            let Some((why, pieces)) = of_other else { continue };
            events.extend(pieces.into_iter().map(|piece| Event::Grew { trace, why, piece }));
        }
        events
    }

    fn tell_of(&mut self, idx: usize, recorder: &mut Recorder, now: Nanos, events: Vec<Event>) {
        events.into_iter().for_each(|event| self.drivers[idx].step(recorder, now, event));
    }

    /// Has others follow what collectors that are away for too long may not have followed to the end.
    ///
    /// What these had asked for stays in their queues: they are sent it when they are back, if it is still kept by then.
    fn stand_in(&mut self, recorder: &mut Recorder, now: Nanos) {
        for idx in 0..self.drivers.len() {
            let is_due = self.has_firings[idx] && self.is_away(idx, now);
            if is_due && (0..self.drivers.len()).any(|other| !self.is_away(other, now)) {
                self.has_firings[idx] = false;
                for firing in self.drivers[idx].hand_over(now) {
                    self.announce(recorder, now, firing);
                }
            }
        }
    }
}
