//! Answers to the coordinator, and what changes afterwards in the traces that it knows of.
//!
//! Called by the uplink. Pure. A trace's changes are told of at most every 50 ms, for as long as it lingers; on a new stream everything
//! that lingers is told of again, as what was said last may not have arrived.

use super::{Action, Counters, Turn};
use backsight_core::ids::TraceId;
use backsight_core::units::Nanos;
use backsight_proto::wire::ANSWERED_MAX;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Traces whose changes are told of at a time; beyond, the one that ends first goes.
pub const FOLLOWED_MAX: usize = 65_536;
/// Answers that wait for room on the link; beyond, the oldest goes: the coordinator asks again.
pub const ANSWERS_MAX: usize = 4_096;
/// Traces of one update.
const UPDATE_TRACES: usize = 32;
/// Traces that one change of the host itself is told of for: those that were asked for or announced last.
pub const CHANGED_MAX: usize = 4_096;
/// How long changes of one trace are gathered.
const GATHER: Nanos = Nanos::from_ms(50);
/// How long a change that a report will tell of waits for it: longer than batches keep from each other.
const REPORT_WAIT: Nanos = Nanos::from_ms(300);
/// How much longer than they linger traces are followed: a process may die while it holds a segment of theirs open.
const LONGER: Nanos = Nanos::from_ms(60_000);

#[derive(Clone, Copy, Debug)]
struct Followed {
    until: Nanos,
    /// When its change is to be told of.
    due: Option<Nanos>,
    told: Nanos,
    /// Whether the coordinator follows it for certain, so that it hears what reports say.
    is_confirmed: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Updates {
    linger: Nanos,
    followed: BTreeMap<TraceId, Followed>,
    ends: BTreeSet<(Nanos, TraceId)>,
    due: BTreeSet<(Nanos, TraceId)>,
    answers: VecDeque<(u64, Vec<TraceId>)>,
}

impl Updates {
    /// Returns the state in which nobody has asked.
    pub(super) const fn new(linger: Nanos) -> Self {
        Self {
            linger,
            followed: BTreeMap::new(),
            ends: BTreeSet::new(),
            due: BTreeSet::new(),
            answers: VecDeque::new(),
        }
    }

    /// Tells of changes of these traces from now on.
    pub(super) fn follow(&mut self, now: Nanos, traces: &[TraceId], counters: &mut Counters) {
        let until = Nanos(now.0.saturating_add(self.linger.0).saturating_add(LONGER.0));
        for trace in traces {
            let known = self.followed.get(trace).copied();
            if let Some(known) = known {
                self.ends.remove(&(known.until, *trace));
            }
            self.ends.insert((until, *trace));
            let due = known.and_then(|known| known.due);
            let is_confirmed = known.is_some_and(|known| known.is_confirmed);
            self.followed.insert(*trace, Followed { until, due, told: now, is_confirmed });
        }
        while self.followed.len() > FOLLOWED_MAX {
            counters.unfollowed += u64::from(self.ends.first().is_some_and(|(until, _)| *until > now));
            self.forget_first();
        }
    }

    /// Returns whether the coordinator was told of a trace, or has asked for it.
    pub(super) fn is_followed(&self, trace: TraceId) -> bool {
        self.followed.contains_key(&trace)
    }

    /// Takes a question: it is answered in the next turn.
    pub(super) fn asked(&mut self, now: Nanos, group: u64, traces: Vec<TraceId>, counters: &mut Counters) {
        self.follow(now, &traces, counters);
        self.confirmed(&traces);
        self.answers.push_back((group, traces));
        if self.answers.len() > ANSWERS_MAX {
            self.answers.pop_front();
            counters.answers_given_up += 1;
        }
    }

    /// Notes that there is something new to say of a trace.
    pub(super) fn changed(&mut self, now: Nanos, trace: TraceId) {
        self.tell_within(now, trace, GATHER);
    }

    /// Notes that there is something new to say of a trace, which goes into a report as well.
    pub(super) fn grew(&mut self, now: Nanos, trace: TraceId) {
        self.tell_within(now, trace, REPORT_WAIT);
    }

    fn tell_within(&mut self, now: Nanos, trace: TraceId, wait: Nanos) {
        let Some(followed) = self.followed.get_mut(&trace) else { return };
        let due = Nanos(now.0.max(followed.told.0.saturating_add(wait.0)));
        if followed.due.is_some_and(|known| known <= due) {
            return;
        }
        if let Some(later) = followed.due.replace(due) {
            self.due.remove(&(later, trace));
        }
        self.due.insert((due, trace));
    }

    /// The coordinator has asked for these traces, or acknowledged their announcement.
    pub(super) fn confirmed(&mut self, traces: &[TraceId]) {
        for trace in traces {
            if let Some(followed) = self.followed.get_mut(trace) {
                followed.is_confirmed = true;
            }
        }
    }

    /// Notes that a report says what there is of a trace by now; of one that the coordinator may not follow yet, it would pass that over.
    pub(super) fn told(&mut self, now: Nanos, trace: TraceId) {
        let Some(followed) = self.followed.get_mut(&trace).filter(|followed| followed.is_confirmed) else { return };
        followed.told = now;
        if let Some(due) = followed.due.take() {
            self.due.remove(&(due, trace));
        }
    }

    /// Notes that there is something new to say of all traces that linger: of the newest [`CHANGED_MAX`], as each of them costs a holding.
    pub(super) fn all_changed(&mut self, now: Nanos, counters: &mut Counters) {
        let ends_lingering = Nanos(now.0.saturating_add(LONGER.0));
        let mut all = self.ends.iter().rev().take_while(|(until, _)| *until > ends_lingering);
        let lingering: Vec<TraceId> = all.by_ref().take(CHANGED_MAX).map(|(_, trace)| *trace).collect();
        counters.changes_cut += u64::from(all.next().is_some());
        lingering.into_iter().for_each(|trace| self.changed(now, trace));
    }

    /// The coordinator is there again, or another one: it is told of everything that it may have missed.
    pub(super) fn reconnected(&mut self, now: Nanos, is_other: bool) {
        let all: Vec<TraceId> = self.followed.keys().copied().collect();
        self.followed.values_mut().for_each(|followed| followed.is_confirmed &= !is_other);
        all.into_iter().for_each(|trace| self.changed(now, trace));
    }

    /// The coordinator is gone: whoever asks next is another stream, with groups of its own.
    pub(super) fn disconnected(&mut self) {
        self.answers.clear();
    }

    /// Forgets what was followed for long enough.
    pub(super) fn expire(&mut self, now: Nanos) {
        while self.ends.first().is_some_and(|(until, _)| *until <= now) {
            self.forget_first();
        }
    }

    /// Answers, as far as the turn has room for it.
    pub(super) fn answers(&mut self, turn: &mut Turn, actions: &mut Vec<Action>, counters: &mut Counters) {
        while !turn.is_over() {
            let (mut answers, mut n_traces) = (Vec::new(), 0);
            while n_traces < turn.n_traces
                && answers.len() < ANSWERED_MAX
                && let Some(answer) = self.answers.pop_front_if(|(_, traces)| n_traces + traces.len() <= ANSWERED_MAX)
            {
                n_traces += answer.1.len();
                answers.push(answer);
            }
            if answers.is_empty() {
                return;
            }
            turn.note(n_traces);
            counters.answered += answers.len() as u64;
            actions.push(Action::Answer(answers));
        }
    }

    /// Tells of changes, as far as the turn has room for it; not of those that `goes_along` with a report and are heard there.
    pub(super) fn due(
        &mut self,
        now: Nanos,
        turn: &mut Turn,
        actions: &mut Vec<Action>,
        counters: &mut Counters,
        goes_along: impl Fn(TraceId) -> bool,
    ) {
        while !turn.is_over() {
            let mut traces = Vec::new();
            while traces.len() < UPDATE_TRACES
                && let Some((due, trace)) = self.due.first().copied().filter(|(due, _)| *due <= now)
            {
                self.due.remove(&(due, trace));
                if let Some(followed) = self.followed.get_mut(&trace) {
                    (followed.due, followed.told) = (None, now);
                    if !followed.is_confirmed || !goes_along(trace) {
                        traces.push(trace);
                    }
                }
            }
            if traces.is_empty() {
                return;
            }
            turn.note(traces.len());
            counters.updates += 1;
            actions.push(Action::Update { traces });
        }
    }

    /// Returns when there is something to say.
    pub(super) fn wake_at(&self) -> Option<Nanos> {
        if self.answers.is_empty() { self.due.first().map(|(due, _)| *due) } else { Some(Nanos(0)) }
    }

    fn forget_first(&mut self) {
        let Some((_, trace)) = self.ends.pop_first() else { return };
        if let Some(due) = self.followed.remove(&trace).and_then(|followed| followed.due) {
            self.due.remove(&(due, trace));
        }
    }
}
