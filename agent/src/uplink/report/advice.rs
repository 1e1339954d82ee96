//! What the coordinator advises in a storm: which traces are held until others have sent their parts, which are given up with them, and what
//! this host says so that others wait for it.
//!
//! Called by the reports. Pure. A host whose uplink does not keep up with a trigger says of that trigger's traces that they wait, until it has
//! sent them; others hold theirs meanwhile. Where two hosts wait for each other, each says once it comes to a trace that it holds that it
//! could send it, and when all could, all do. A hold is advice, and ends by itself.

use super::{Action, Ledger, Place, Queues, Reports};
use backsight_core::coordination::Advice;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::units::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// The longest that a trace is held: for as long as a coordinator follows it without news.
pub(crate) const HELD_MAX: Nanos = Nanos::from_ms(60_000);
/// How long a trigger counts as stormy after the last advice that says so.
const STORM: Nanos = Nanos::from_ms(2_000);
/// How long changes of a trace are gathered then: until the slowest host's answer has come round as a hold.
pub(super) const GATHER_IN_STORM: Nanos = Nanos::from_ms(500);
/// Triggers that are remembered as stormy; in a storm of more of them, others are not.
const STORMS_MAX: usize = 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Holds {
    /// When holds end by themselves.
    ends: BTreeSet<(Nanos, TraceId)>,
    /// Held traces that would not be sent yet if they were not.
    uncalled: BTreeMap<TriggerId, BTreeSet<Place>>,
    /// Until when triggers count as stormy.
    storms: BTreeMap<TriggerId, Nanos>,
    /// Traces that were said to wait and wait no more. A report says so too, but a coordinator that does not follow them yet passes that over.
    pub(super) over: Vec<TraceId>,
}

impl Holds {
    pub(super) const fn new() -> Self {
        Self { ends: BTreeSet::new(), uncalled: BTreeMap::new(), storms: BTreeMap::new(), over: Vec::new() }
    }

    pub(super) fn is_stormy(&self, now: Nanos, trigger: TriggerId) -> bool {
        self.storms.get(&trigger).is_some_and(|until| *until > now)
    }

    fn note_storm(&mut self, now: Nanos, trigger: TriggerId) {
        self.storms.retain(|_, until| *until > now);
        if self.storms.len() < STORMS_MAX || self.storms.contains_key(&trigger) {
            self.storms.insert(trigger, Nanos(now.0.saturating_add(STORM.0)));
        }
    }

    pub(super) fn insert(&mut self, place: Place) {
        self.uncalled.entry(place.trigger()).or_default().insert(place);
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, place: &Place) -> bool {
        let Some(places) = self.uncalled.get_mut(&place.trigger()) else { return false };
        let was_there = places.remove(place);
        if places.is_empty() {
            self.uncalled.remove(&place.trigger());
        }
        was_there
    }

    /// Takes the next held trace whose turn has come, as nothing waits that goes before it.
    fn call(&mut self, ready: &Queues) -> Option<Place> {
        let mut firsts = self.uncalled.iter().filter_map(|(trigger, places)| Some((trigger, places.first()?)));
        let is_next =
            |(trigger, first): &(&TriggerId, &Place)| ready.waiting(**trigger).next().is_none_or(|of| first < &of);
        let place = firsts.find(is_next).map(|(_, first)| *first)?;
        self.remove(&place);
        Some(place)
    }

    /// Forgets what is known of a trace.
    pub(super) fn forget(&mut self, ledger: &Ledger, trace: TraceId) {
        if let Some(until) = ledger.held {
            self.ends.remove(&(until, trace));
            self.remove(&ledger.place(trace));
        }
    }

    /// Returns when the next hold ends.
    pub(super) fn wake_at(&self) -> Option<Nanos> {
        self.ends.first().map(|(until, _)| *until)
    }
}

impl Reports {
    /// Takes what the coordinator says; returns what is to become of traces that can be whole no more.
    pub(crate) fn advised(&mut self, now: Nanos, advised: &[(TraceId, Advice)]) -> Vec<Action> {
        let mut actions = Vec::new();
        for (trace, advice) in advised.iter().copied() {
            let Some(ledger) = self.traces.get(&trace) else { continue };
            let trigger = ledger.why.trigger;
            match advice {
                Advice::Send => self.release(trace),
                Advice::Hold => {
                    self.holds.note_storm(now, trigger);
                    self.hold(now, trace);
                }
                Advice::GiveUp if !ledger.is_begun && self.holds.is_stormy(now, trigger) => {
                    self.holds.note_storm(now, trigger);
                    actions.push(Action::GiveUp { trace });
                }
                Advice::GiveUp | Advice::Last => {
                    if advice == Advice::GiveUp {
                        self.holds.note_storm(now, trigger);
                    }
                    self.demoted(trace);
                    actions.push(Action::Demote { trace });
                }
            }
        }
        actions
    }

    fn hold(&mut self, now: Nanos, trace: TraceId) {
        let Some(ledger) = self.traces.get_mut(&trace).filter(|of| !of.is_begun && of.held.is_none()) else { return };
        let (until, place) = (Nanos(now.0.saturating_add(HELD_MAX.0)), ledger.place(trace));
        ledger.held = Some(until);
        ledger.is_called = !self.ready.is_behind(now, ledger.why.trigger);
        if !ledger.is_called {
            self.holds.insert(place);
        }
        self.holds.ends.insert((until, trace));
        self.ready.remove(&place);
    }

    /// Ends the hold on a trace: it is sent when its turn comes.
    pub(super) fn release(&mut self, trace: TraceId) {
        let Some(ledger) = self.traces.get_mut(&trace).filter(|ledger| ledger.held.is_some()) else { return };
        self.holds.forget(ledger, trace);
        (ledger.held, ledger.is_called) = (None, false);
        if ledger.has_news() && ledger.gathers.is_none() {
            self.make_ready(trace);
        }
    }

    /// Nobody advises any more.
    pub(crate) fn release_all(&mut self) {
        for (_, trace) in self.holds.ends.clone() {
            self.release(trace);
        }
    }

    /// Ends the holds that have lasted long enough.
    pub(super) fn end_holds(&mut self, now: Nanos) {
        while let Some((_, trace)) = self.holds.ends.first().copied().filter(|(until, _)| *until <= now) {
            self.release(trace);
        }
    }

    /// Looks which triggers have more to send than was taken; returns the traces that wait since now, and those that do no more.
    pub(super) fn look_at_backlog(&mut self, now: Nanos) -> Vec<TraceId> {
        let mut news = std::mem::take(&mut self.holds.over);
        for trigger in self.ready.note_left(now) {
            news.extend(self.ready.waiting(trigger).map(|place| place.trace));
        }
        while let Some(place) = self.holds.call(&self.ready) {
            if let Some(ledger) = self.traces.get_mut(&place.trace) {
                ledger.is_called = true;
            }
            news.push(place.trace);
        }
        news
    }

    /// Returns whether nothing of a trace was sent, because more is to be sent for its trigger than the stream takes; the coordinator is told.
    pub(crate) fn say_waits(&mut self, now: Nanos, trace: TraceId) -> bool {
        let Some(ledger) = self.traces.get_mut(&trace) else { return false };
        let is_behind = self.ready.is_behind(now, ledger.why.trigger);
        ledger.is_said_to_wait = is_behind && !ledger.is_begun && !ledger.is_called && ledger.has_news();
        ledger.is_said_to_wait
    }
}
