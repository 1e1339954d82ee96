//! What happens when a trigger fires: admitted or refused, and for how long the trace stays triggered.
//!
//! Called by the recorder. Pure: events and the time go in, actions come out; the simulator runs this very code. Copying data out is the
//! recorder's, what may stay is `kept`'s.

use crate::limits::{PriorityLimit, TRIGGERS_MAX, TriggerLimits};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::units::Nanos;
use std::collections::{BTreeMap, HashMap, VecDeque, hash_map};

/// Traces that are triggered at a time, and as many that were refused or given up; beyond, the first of them is forgotten early.
pub const LINGERING_MAX: usize = 65_536;

/// Under which triggers beyond the table are counted together; no trigger has this id.
pub const OTHERS: TriggerId = TriggerId(0);

/// Who says that a trigger fired.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Origin {
    /// A thread, through its signal ring.
    Signal,
    /// A segment that was marked: its signal ring was full.
    Segment,
    /// A request that came with the trigger, or an answer: it fired on another host, which tells the coordinator.
    Elsewhere,
    /// The agent, at the death of a process.
    Death,
    /// The agent, for a span that is as an expression says.
    Expression,
    /// A person.
    Admin,
    /// The coordinator: it fired on another host.
    Remote {
        /// The symptomatic trace, which another coordinator may ask for.
        base: TraceId,
        /// When it fired there, in nanoseconds since 1970.
        fired_ns: u64,
    },
}

/// What the logic is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A trigger fired.
    Fired {
        /// Which.
        trigger: TriggerId,
        /// For which trace.
        trace: TraceId,
        /// Traces to collect with it.
        laterals: Vec<TraceId>,
        /// Who says so.
        origin: Origin,
    },
    /// The kept data of a trace was given up.
    Abandoned {
        /// Which.
        trace: TraceId,
    },
    /// Time has passed.
    Tick,
}

impl Event {
    /// Returns the trigger that fired, if one did.
    pub const fn trigger(&self) -> Option<TriggerId> {
        match self {
            Self::Fired { trigger, .. } => Some(*trigger),
            Self::Abandoned { .. } | Self::Tick => None,
        }
    }
}

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Copy out what there is of a trace.
    Collect(Triggered),
    /// The trigger's limit refused it.
    Refused {
        /// Which.
        trigger: TriggerId,
        /// For which trace.
        trace: TraceId,
    },
}

/// A trace whose segments are copied out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Triggered {
    /// The trace.
    pub trace: TraceId,
    /// The trigger that fired first.
    pub trigger: TriggerId,
    /// The symptomatic trace, where this one is its lateral: they share one fate.
    pub base: TraceId,
    /// When it fired first, or was heard of.
    pub fired: Nanos,
    /// When it fired on the host where it did, in nanoseconds since 1970; `None` where that is this one, or not known.
    pub fired_ns: Option<u64>,
}

/// How often a trigger fired and was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Firings, those refused included.
    pub fired: u64,
    /// Firings that its limit refused.
    pub refused: u64,
}

/// What the logic is configured with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// How often one trigger may fire.
    pub rate_per_s: u64,
    /// How often the coordinator may ask, for all triggers together.
    pub remote_rate_per_s: u64,
    /// How long a trace stays triggered.
    pub linger: Nanos,
    /// Laterals beyond this many are left out.
    pub lateral_max: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Lingering(Triggered),
    Refused,
    Abandoned,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Entry {
    state: State,
    until: Nanos,
    /// See [`Triggers::note_looked`].
    looked: Option<Looked>,
}

/// When entries of one kind are forgotten: the earliest first, and some that were set again since.
#[derive(Debug, Default)]
struct Expiry {
    queue: VecDeque<(Nanos, TraceId)>,
    n_entries: usize,
}

impl Expiry {
    /// Returns what is due or over the bound, first of all in the queue.
    fn next(&mut self, now: Nanos) -> Option<(Nanos, TraceId)> {
        let is_over = self.n_entries > LINGERING_MAX || self.queue.len() > 2 * LINGERING_MAX;
        self.queue.pop_front_if(|(until, _)| is_over || *until <= now)
    }
}

/// How far back the host could see when it first looked for a triggered trace. What is written later is kept as it comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Looked {
    /// Nothing that was written of the trace after this tick had been overwritten.
    pub whole_since: u64,
    /// Of what was overwritten before this tick, the host did not remember which traces it was of.
    pub remembers_since: u64,
    /// The tick at which it looked last, 0 for never.
    pub last: u64,
}

/// The triggered traces of a host.
#[derive(Debug)]
pub struct Triggers {
    rules: Rules,
    limits: TriggerLimits,
    remote_limit: PriorityLimit,
    cluster_seed: u64,
    remote: Counts,
    /// Asked for every segment that is indexed, and never walked through: its order is nobody's.
    entries: HashMap<TraceId, Entry>,
    /// Apart, so that a storm that is refused has nothing stop lingering.
    lingering: Expiry,
    turned_down: Expiry,
    counts: BTreeMap<TriggerId, Counts>,
    others: Counts,
    n_cut_short: u64,
}

impl Triggers {
    /// Returns the state in which nothing has fired.
    pub fn new(rules: Rules, now: Nanos) -> Self {
        Self {
            rules,
            limits: TriggerLimits::new(rules.rate_per_s, now),
            remote_limit: PriorityLimit::new(rules.remote_rate_per_s, now),
            cluster_seed: 0,
            remote: Counts { fired: 0, refused: 0 },
            entries: HashMap::new(),
            lingering: Expiry::default(),
            turned_down: Expiry::default(),
            counts: BTreeMap::new(),
            others: Counts { fired: 0, refused: 0 },
            n_cut_short: 0,
        }
    }

    /// Takes one event.
    pub fn step(&mut self, now: Nanos, event: Event) -> Vec<Action> {
        match event {
            Event::Fired { trigger, trace, laterals, origin: Origin::Remote { base, fired_ns } } => {
                let group = std::iter::once(trace).chain(laterals).collect();
                self.asked(Triggered { trace, trigger, base, fired: now, fired_ns: Some(fired_ns) }, group)
            }
            Event::Fired { trigger, trace, origin: Origin::Elsewhere, .. } => {
                let is_news = !trace.is_none() && self.triggered(trace).is_none();
                let heard = Triggered { trace, trigger, base: trace, fired: now, fired_ns: None };
                if is_news { self.asked(heard, vec![trace]) } else { Vec::new() }
            }
            Event::Fired { trigger, trace, laterals, origin } => self.fired(now, trigger, trace, &laterals, origin),
            Event::Abandoned { trace } => {
                self.set(now, trace, State::Abandoned);
                Vec::new()
            }
            Event::Tick => {
                self.expire(now);
                Vec::new()
            }
        }
    }

    /// Takes the cluster's seed, by which all hosts refuse the same traces.
    pub const fn set_cluster_seed(&mut self, cluster_seed: u64) {
        self.cluster_seed = cluster_seed;
    }

    /// Returns under which trigger segments of `trace` are to be copied out, `None` where they are not.
    pub fn triggered(&self, trace: TraceId) -> Option<Triggered> {
        match self.entries.get(&trace)?.state {
            State::Lingering(triggered) => Some(triggered),
            State::Refused | State::Abandoned => None,
        }
    }

    /// Notes that a triggered trace counts among those of another trigger, which fired for it too.
    pub fn retrigger(&mut self, triggered: Triggered) {
        if let Some(entry) = self.entries.get_mut(&triggered.trace)
            && matches!(entry.state, State::Lingering(_))
        {
            entry.state = State::Lingering(triggered);
        }
    }

    /// Notes that the segments of a triggered trace are being copied out. The first look counts, but for when the last one was.
    pub fn note_looked(&mut self, trace: TraceId, looked: Looked) {
        if let Some(entry) = self.entries.get_mut(&trace).filter(|entry| matches!(entry.state, State::Lingering(_))) {
            entry.looked.get_or_insert(looked).last = looked.last;
        }
    }

    /// Returns what the first look noted, `None` where the trace is not triggered or was not looked for.
    pub fn looked(&self, trace: TraceId) -> Option<Looked> {
        self.entries.get(&trace)?.looked
    }

    /// Returns whether a trigger has fired for `trace` lately, with whatever result: its marked segments say nothing new.
    pub fn knows(&self, trace: TraceId) -> bool {
        self.entries.contains_key(&trace)
    }

    /// Returns whether the last firing for `trace` was refused by its trigger's limit.
    pub fn is_refused(&self, trace: TraceId) -> bool {
        self.entries.get(&trace).is_some_and(|entry| entry.state == State::Refused)
    }

    /// Returns whether what was kept of `trace` was given up again lately.
    pub fn is_abandoned(&self, trace: TraceId) -> bool {
        self.entries.get(&trace).is_some_and(|entry| entry.state == State::Abandoned)
    }

    /// Returns how often the coordinator asked, and how often that was refused.
    pub const fn remote_counts(&self) -> Counts {
        self.remote
    }

    /// Returns the counts by trigger; those of triggers beyond the table are under [`OTHERS`].
    pub fn counts(&self) -> BTreeMap<TriggerId, Counts> {
        let mut counts = self.counts.clone();
        if self.others != Counts::default() {
            counts.insert(OTHERS, self.others);
        }
        counts
    }

    /// Returns how many traces are triggered now.
    pub fn n_lingering(&self) -> usize {
        self.lingering.n_entries
    }

    /// Returns how many traces stopped lingering early because there were too many.
    pub const fn n_cut_short(&self) -> u64 {
        self.n_cut_short
    }

    fn fired(
        &mut self,
        now: Nanos,
        trigger: TriggerId,
        base: TraceId,
        laterals: &[TraceId],
        origin: Origin,
    ) -> Vec<Action> {
        // Ids are a client's word; none may go on from here, as no collector reads an announcement of no trigger.
        if base.is_none() || trigger == OTHERS || (origin == Origin::Segment && self.knows(base)) {
            return Vec::new();
        }
        let admitted = self.limits.admit(trigger, self.priority(trigger, base), now);
        let counts = self.counts_of(trigger);
        counts.fired += 1;
        if !admitted {
            counts.refused += 1;
            if self.triggered(base).is_none() {
                self.set(now, base, State::Refused);
            }
            return vec![Action::Refused { trigger, trace: base }];
        }
        let laterals = laterals.iter().copied().filter(|lateral| !lateral.is_none() && *lateral != base);
        let group: Vec<_> = std::iter::once(base).chain(laterals.take(self.rules.lateral_max)).collect();
        self.collect(Triggered { trace: base, trigger, base, fired: now, fired_ns: None }, group)
    }

    /// Takes a trigger that fired on another host. Its own host's limit has admitted it; here only the rate of all such is limited.
    fn asked(&mut self, first: Triggered, group: Vec<TraceId>) -> Vec<Action> {
        let Triggered { trace, trigger, base, fired: now, .. } = first;
        self.remote.fired += 1;
        if !self.remote_limit.admit(self.priority(trigger, base), now) {
            self.remote.refused += 1;
            for trace in group {
                if self.triggered(trace).is_none() {
                    self.set(now, trace, State::Refused);
                }
            }
            return vec![Action::Refused { trigger, trace }];
        }
        self.collect(first, group)
    }

    /// Has the traces of a group copied out; those that linger already keep the trigger that fired first, unless it was only heard of.
    fn collect(&mut self, first: Triggered, group: Vec<TraceId>) -> Vec<Action> {
        let one = |trace| {
            let known = self.triggered(trace).filter(|known| known.trigger != TriggerId::ELSEWHERE);
            let triggered = known.unwrap_or(Triggered { trace, ..first });
            self.set(first.fired, trace, State::Lingering(triggered));
            Action::Collect(triggered)
        };
        group.into_iter().map(one).collect()
    }

    fn priority(&self, trigger: TriggerId, base: TraceId) -> Priority {
        Priority::of(base, self.cluster_seed, Salt::of_trigger(trigger))
    }

    fn counts_of(&mut self, trigger: TriggerId) -> &mut Counts {
        if self.counts.len() >= TRIGGERS_MAX && !self.counts.contains_key(&trigger) {
            return &mut self.others;
        }
        self.counts.entry(trigger).or_default()
    }

    fn set(&mut self, now: Nanos, trace: TraceId, state: State) {
        let until = Nanos(now.0.saturating_add(self.rules.linger.0));
        // What is refused or given up is looked for anew, should it be triggered again.
        let lingers = matches!(state, State::Lingering(_));
        let looked = self.entries.get(&trace).filter(|_| lingers).and_then(|entry| entry.looked);
        if let Some(before) = self.entries.insert(trace, Entry { state, until, looked }) {
            self.expiry_of(before.state).n_entries -= 1;
        }
        let expiry = self.expiry_of(state);
        expiry.n_entries += 1;
        expiry.queue.push_back((until, trace));
        self.expire(now);
    }

    const fn expiry_of(&mut self, state: State) -> &mut Expiry {
        match state {
            State::Lingering(_) => &mut self.lingering,
            State::Refused | State::Abandoned => &mut self.turned_down,
        }
    }

    /// Forgets what has lingered long enough, and the oldest beyond the bounds.
    fn expire(&mut self, now: Nanos) {
        while let Some((until, trace)) = self.lingering.next(now) {
            self.n_cut_short += u64::from(self.forget(until, trace) && until > now);
        }
        while let Some((until, trace)) = self.turned_down.next(now) {
            self.forget(until, trace);
        }
    }

    /// Forgets an entry that has not been set again since; returns whether it did.
    fn forget(&mut self, until: Nanos, trace: TraceId) -> bool {
        let hash_map::Entry::Occupied(entry) = self.entries.entry(trace) else { return false };
        let is_newest = entry.get().until == until;
        if is_newest {
            let state = entry.remove().state;
            self.expiry_of(state).n_entries -= 1;
        }
        is_newest
    }
}

#[cfg(test)]
mod tests;
