//! Announcements of what fired on this host, until the coordinator has them.
//!
//! Called by the uplink. Pure. What was acknowledged is remembered for a minute all the same: a coordinator that starts anew knows nothing.
//! What fired on another host and was only heard of here is announced late: mostly the coordinator has asked by then.

use super::{Action, Counters, Turn};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::units::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// Announcements that are remembered at a time; beyond, the oldest goes.
pub const ANNOUNCEMENTS_MAX: usize = 65_536;
/// Traces that they name together at most: groups with many laterals are remembered for a shorter time.
pub const ANNOUNCED_TRACES_MAX: usize = 262_144;
/// The first wait for an acknowledgement; each further one is twice as long.
const WAIT_FIRST: Nanos = Nanos::from_ms(250);
/// How long the coordinator has to ask for what fired elsewhere: some ten times what its host and the crumbs take.
const ELSEWHERE_WAIT: Nanos = Nanos::from_ms(250);
/// The longest wait.
const WAIT_MAX: Nanos = Nanos::from_ms(5_000);
/// How long an announcement is said again, or remembered.
const LASTS: Nanos = Nanos::from_ms(60_000);

/// How long a coordinator follows a firing before it is taken to have found everybody: longer than it waits for an answer.
const YOUNG: Nanos = Nanos::from_ms(10_000);

/// A trigger that fired, as it is announced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Firing {
    /// Which.
    pub trigger: TriggerId,
    /// The symptomatic trace.
    pub base: TraceId,
    /// When, in nanoseconds since 1970.
    pub fired_ns: u64,
    /// The traces to collect, the base first if it is one of them.
    pub traces: Vec<TraceId>,
    /// Whether it fired on another host, and was only heard of here.
    pub is_elsewhere: bool,
}

#[derive(Debug)]
struct Announcement {
    trigger: TriggerId,
    base: TraceId,
    fired_ns: u64,
    traces: Vec<TraceId>,
    fired: Nanos,
    /// When it is to be said, `None` once it is acknowledged.
    due: Option<Nanos>,
    wait: Nanos,
}

/// See the module.
#[derive(Debug)]
pub struct Announcements {
    next_id: u64,
    by_id: BTreeMap<u64, Announcement>,
    due: BTreeSet<(Nanos, u64)>,
    /// The announcement of a trigger for a trace that waits for its acknowledgement: another firing says nothing new.
    unacked: BTreeMap<(TriggerId, TraceId), u64>,
    /// By their base, the announcements of what fired elsewhere that have not been said.
    unsaid: BTreeMap<TraceId, u64>,
    n_traces: usize,
}

impl Announcements {
    /// Returns none.
    pub(super) const fn new() -> Self {
        Self {
            next_id: 1,
            by_id: BTreeMap::new(),
            due: BTreeSet::new(),
            unacked: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            n_traces: 0,
        }
    }

    /// Takes a firing: it is announced at once, or later where it was only heard of.
    pub(super) fn fired(&mut self, now: Nanos, firing: Firing, counters: &mut Counters) {
        let Firing { trigger, base, fired_ns, traces, is_elsewhere } = firing;
        // This one tells of its trace, and at once where it fired here.
        self.asked(&[base], counters);
        let known = self.unacked.get(&(trigger, base)).and_then(|id| self.by_id.get(id));
        if known.is_some_and(|known| traces.iter().all(|trace| known.traces.contains(trace))) {
            return;
        }
        counters.announced += 1;
        let id = self.next_id;
        self.next_id += 1;
        self.n_traces += traces.len();
        self.unacked.insert((trigger, base), id);
        let due = if is_elsewhere { Nanos(now.0 + ELSEWHERE_WAIT.0) } else { now };
        if is_elsewhere {
            self.unsaid.insert(base, id);
        }
        self.due.insert((due, id));
        let due = Some(due);
        self.by_id.insert(id, Announcement { trigger, base, fired_ns, traces, fired: now, due, wait: WAIT_FIRST });
        while self.by_id.len() > ANNOUNCEMENTS_MAX || self.n_traces > ANNOUNCED_TRACES_MAX {
            self.forget_oldest(counters);
        }
    }

    /// The coordinator has asked for these traces: it need not be told of what fired elsewhere for them.
    pub(super) fn asked(&mut self, traces: &[TraceId], counters: &mut Counters) {
        for trace in traces {
            if let Some(id) = self.unsaid.remove(trace) {
                self.spare(id, counters);
            }
        }
    }

    fn spare(&mut self, id: u64, counters: &mut Counters) {
        if let Some(announcement) = self.by_id.remove(&id) {
            self.forget(id, &announcement);
            counters.announces_spared += 1;
        }
    }

    /// Takes an acknowledgement; returns the traces that the coordinator follows by it.
    pub(super) fn acked(&mut self, id: u64, is_refused: bool, counters: &mut Counters) -> &[TraceId] {
        let Some(announcement) = self.by_id.get_mut(&id) else { return &[] };
        let Some(due) = announcement.due.take() else { return &[] };
        self.due.remove(&(due, id));
        counters.announces_acked += 1;
        counters.announces_refused += u64::from(is_refused);
        let subject = (announcement.trigger, announcement.base);
        self.settle(subject, id);
        self.by_id.get(&id).filter(|_| !is_refused).map_or(&[], |announcement| &announcement.traces)
    }

    /// The coordinator is there again: what it has not acknowledged is said at once, and where it is another one, everything.
    pub(super) fn reconnected(&mut self, now: Nanos, is_other: bool) {
        for (id, announcement) in &mut self.by_id {
            if announcement.due.is_none() && !is_other {
                continue;
            }
            if let Some(due) = announcement.due.replace(now) {
                self.due.remove(&(due, *id));
            }
            announcement.wait = WAIT_FIRST;
            self.due.insert((now, *id));
        }
    }

    /// Takes what is not acknowledged, what is young, and what has a trace of which the collector does not have all: whoever follows it here may
    /// not have found everybody. The rest stays, and is said again to the coordinator that comes next.
    pub(super) fn hand_over(&mut self, now: Nanos, has_all: impl Fn(TraceId) -> bool) -> Vec<Firing> {
        let is_open = |_: &u64, known: &mut Announcement| {
            let is_young = now.0.saturating_sub(known.fired.0) < YOUNG.0;
            known.due.is_some() || is_young || !known.traces.iter().all(|trace| has_all(*trace))
        };
        let open: Vec<(u64, Announcement)> = self.by_id.extract_if(.., is_open).collect();
        let firing = |(id, known): (u64, Announcement)| {
            let is_elsewhere = self.unsaid.get(&known.base) == Some(&id);
            known.strike_from(&mut self.unsaid, id);
            self.forget(id, &known);
            let Announcement { trigger, base, fired_ns, traces, .. } = known;
            Firing { trigger, base, fired_ns, traces, is_elsewhere }
        };
        open.into_iter().map(firing).collect()
    }

    /// Forgets what fired too long ago.
    pub(super) fn expire(&mut self, now: Nanos, counters: &mut Counters) {
        while self.by_id.first_key_value().is_some_and(|(_, oldest)| now.0.saturating_sub(oldest.fired.0) >= LASTS.0) {
            self.forget_oldest(counters);
        }
    }

    /// Says what is due, as far as the turn has room for it.
    pub(super) fn due(&mut self, now: Nanos, turn: &mut Turn, actions: &mut Vec<Action>) {
        while !turn.is_over() {
            let Some((due, id)) = self.due.first().copied().filter(|(due, _)| *due <= now) else { return };
            self.due.remove(&(due, id));
            let Some(announcement) = self.by_id.get_mut(&id) else { continue };
            announcement.strike_from(&mut self.unsaid, id);
            let next = Nanos(now.0 + announcement.wait.0);
            announcement.due = Some(next);
            announcement.wait = Nanos((announcement.wait.0 * 2).min(WAIT_MAX.0));
            self.due.insert((next, id));
            turn.note(announcement.traces.len());
            let Announcement { trigger, base, fired_ns, .. } = *announcement;
            actions.push(Action::Announce { id, trigger, base, fired_ns, traces: announcement.traces.clone() });
        }
    }

    /// Returns when the next one is due.
    pub(super) fn wake_at(&self) -> Option<Nanos> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Returns how many are not acknowledged.
    pub(super) fn n_unacked(&self) -> usize {
        self.due.len()
    }

    /// Notes that nobody waits for announcement `id` any more: its trigger's next firing is announced again.
    fn settle(&mut self, subject: (TriggerId, TraceId), id: u64) {
        if self.unacked.get(&subject) == Some(&id) {
            self.unacked.remove(&subject);
        }
    }

    fn forget_oldest(&mut self, counters: &mut Counters) {
        let Some((id, announcement)) = self.by_id.pop_first() else { return };
        counters.announces_given_up += u64::from(announcement.due.is_some());
        announcement.strike_from(&mut self.unsaid, id);
        self.forget(id, &announcement);
    }

    /// Forgets what is known of an announcement that was removed.
    fn forget(&mut self, id: u64, announcement: &Announcement) {
        self.n_traces -= announcement.traces.len();
        if let Some(due) = announcement.due {
            self.due.remove(&(due, id));
        }
        self.settle((announcement.trigger, announcement.base), id);
    }
}

impl Announcement {
    /// Notes that this announcement, number `id`, is said or given up: nobody waits whether the coordinator asks first.
    fn strike_from(&self, unsaid: &mut BTreeMap<TraceId, u64>, id: u64) {
        if unsaid.get(&self.base) == Some(&id) {
            unsaid.remove(&self.base);
        }
    }
}
