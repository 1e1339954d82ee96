//! The coordinator: follows a trigger from agent to agent along the breadcrumbs, and says who has what of a trace.
//!
//! Pure: events and the time go in, actions come out; the simulator runs this very code. The shell (streams, store, clock) calls
//! [`Coordinator::step`] for whatever comes in, and for a tick some times a second. It keeps soft state only: what it forgets, agents that
//! announce again bring back. It must never believe that one agent speaks for another.

mod ask;
mod group;
mod limits;
mod peers;
mod view;

pub use limits::{
    AGENTS_MAX, AGENTS_PER_TRACE_MAX, ANSWER_TIMEOUT, ASK_AGAIN, COLLECTS_IN_FLIGHT_MAX, COLLECTS_QUEUED_MAX, Counts,
    GROUP_LIFE, GROUPS_MAX, GROUPS_PER_TRACE_MAX, Limits, PARTS_MAX, Refusal,
};

use backsight_core::coordination::{Advice, Announcement, Answer, Collection, Greeting, View};
use backsight_core::holding::Holding;
use backsight_core::ids::{AgentId, TraceId, TriggerId};
use backsight_core::names::TriggerName;
use backsight_core::units::Nanos;
use backsight_proto::wire::GROUP_MAX;
use foldhash::{HashMap, HashMapExt as _};
use group::Group;
use peers::{Peers, Rank};
use std::collections::BTreeSet;
use std::ops::Bound;
use view::{Followed, GroupId, Source};

/// Views of traces that are not settled that are published with one tick: what settles is published at once.
const VIEWS_PER_TICK: usize = 256;
/// Groups that one tick looks at whether they have ended; the others wait for the next, so that a tick that ends many stays short.
const REVIEWS_PER_TICK: usize = 500;

/// What the coordinator is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// An agent said hello. Said again without [`Event::Disconnected`] between, it means that the earlier stream is dead.
    Connected {
        /// Which.
        agent: AgentId,
    },
    /// The newest stream of an agent has ended; the end of one that was replaced is not told.
    Disconnected {
        /// Which.
        agent: AgentId,
    },
    /// A trigger fired.
    Announced {
        /// On whose host.
        agent: AgentId,
        /// What it says.
        announcement: Announcement,
    },
    /// An agent answered a [`Collection`].
    Answered {
        /// Which.
        agent: AgentId,
        /// What it says.
        answer: Answer,
    },
    /// An agent has more, or less, than it said.
    Updated {
        /// Which.
        agent: AgentId,
        /// Of what.
        holdings: Vec<Holding>,
    },
    /// An agent reported data, and with it what it has now.
    Reported {
        /// Which.
        agent: AgentId,
        /// Of what.
        holding: Holding,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Tell an agent that its announcement is followed, or why not.
    Acknowledge {
        /// Which.
        agent: AgentId,
        /// The announcement.
        id: u64,
        /// Why it is not followed, `None` where it is.
        refusal: Option<Refusal>,
    },
    /// Ask a connected agent. It never has more than [`Limits::collects_in_flight_max`] of these unanswered.
    Collect {
        /// Which.
        agent: AgentId,
        /// For what.
        collection: Collection,
    },
    /// Tell a connected agent what to do with its part of a trace, by what others do with theirs.
    Advise {
        /// Whom.
        agent: AgentId,
        /// Of which trace.
        trace: TraceId,
        /// What.
        advice: Advice,
    },
    /// Store what is known of a trace now.
    Publish(View),
}

/// The coordinator.
///
/// # Cost
/// Memory within [`Limits`]; a step takes time logarithmic in what is followed and linear in what changes.
///
/// Nothing depends on the order of its hash maps: the same events at the same times have it do the same. The hash is a
/// quick one, seeded anew for each map.
#[derive(Debug)]
pub struct Coordinator {
    limits: Limits,
    greeting: Greeting,
    next_group: GroupId,
    groups: HashMap<GroupId, Group>,
    by_key: HashMap<(TriggerId, TraceId), GroupId>,
    by_priority: BTreeSet<Rank>,
    traces: HashMap<TraceId, Followed>,
    peers: Peers,
    /// When it is looked at whether a group has ended: once for each.
    reviews: BTreeSet<(Nanos, GroupId)>,
    /// When an agent that was asked is late: once for each [`group::Ask`] that is awaited.
    lates: BTreeSet<(Nanos, GroupId, AgentId)>,
    /// When all agents of a trace are asked once more: once for each trace.
    again: BTreeSet<(Nanos, TraceId)>,
    n_parts: usize,
    /// The agents whose part of a trace waits for their uplink.
    waiting: BTreeSet<(AgentId, TraceId)>,
    /// Traces whose view may have changed in this step; some more than once.
    touched: Vec<TraceId>,
    /// Traces whose view is published with one of the next ticks.
    changed: BTreeSet<TraceId>,
    /// The one that was published so last.
    published: TraceId,
    actions: Vec<Action>,
    counts: Counts,
}

impl Coordinator {
    /// Returns a coordinator that follows nothing and has seen nobody. Numbers of groups differ by the instance that it greets with.
    pub fn new(limits: Limits, greeting: Greeting) -> Self {
        Self {
            limits,
            greeting,
            next_group: greeting.instance << 32,
            groups: HashMap::new(),
            by_key: HashMap::new(),
            by_priority: BTreeSet::new(),
            traces: HashMap::new(),
            peers: Peers::default(),
            reviews: BTreeSet::new(),
            lates: BTreeSet::new(),
            again: BTreeSet::new(),
            n_parts: 0,
            waiting: BTreeSet::new(),
            touched: Vec::new(),
            changed: BTreeSet::new(),
            published: TraceId::NONE,
            actions: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// Takes one event; `now` never goes back.
    pub fn step(&mut self, now: Nanos, event: Event) -> Vec<Action> {
        match event {
            Event::Connected { agent } => self.connected(now, agent),
            Event::Disconnected { agent } => self.disconnected(agent),
            Event::Announced { agent, announcement } => self.announced(now, agent, announcement),
            Event::Answered { agent, answer } => self.answered(now, agent, answer),
            Event::Updated { agent, holdings } => {
                for holding in holdings {
                    self.learn(now, agent, holding, Source::Told);
                }
            }
            Event::Reported { agent, holding } => self.learn(now, agent, holding, Source::Reported),
            Event::Tick => self.tick(now),
        }
        self.publish_settled();
        std::mem::take(&mut self.actions)
    }

    /// Returns what the coordinator says first on every stream.
    pub const fn greeting(&self) -> Greeting {
        self.greeting
    }

    /// Returns whether views have changed that the next tick publishes.
    pub fn has_changes(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Returns how many groups are followed.
    pub fn n_groups(&self) -> usize {
        self.groups.len()
    }

    /// Returns how many traces are followed.
    pub fn n_traces(&self) -> usize {
        self.traces.len()
    }

    /// Returns how many pairs of a trace and an agent are known.
    pub const fn n_parts(&self) -> usize {
        self.n_parts
    }

    /// Returns how many agents are connected.
    pub fn n_connected(&self) -> usize {
        self.peers.n_connected()
    }

    /// Returns how many Collects wait for an agent that is away or slow.
    pub fn n_waiting(&self, agent: AgentId) -> usize {
        self.peers.n_waiting(agent)
    }

    /// Returns what happened since the start.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    fn announced(&mut self, now: Nanos, agent: AgentId, announcement: Announcement) {
        self.counts.announcements += 1;
        let followed = self.group_of(now, agent, &announcement);
        let refusal = followed.err();
        self.actions.push(Action::Acknowledge { agent, id: announcement.id, refusal });
        let Ok((id, is_new)) = followed else { return };
        let n_joined = self.add_traces(id, &announcement.holdings);
        self.note_name(id, announcement.name.as_ref());
        self.cover(id, agent, &announcement.holdings);
        for holding in announcement.holdings.into_iter().take(GROUP_MAX) {
            self.learn(now, agent, holding, Source::Announced);
        }
        if is_new || n_joined > 0 {
            self.ask_all(now, id);
        } else {
            self.ask(now, id, agent);
        }
    }

    /// Returns the group that an announcement belongs to, and whether it was begun for it.
    fn group_of(&mut self, now: Nanos, agent: AgentId, said: &Announcement) -> Result<(GroupId, bool), Refusal> {
        let first = said.holdings.first().map(|holding| holding.trace).unwrap_or_default();
        if first.is_none() || said.base.is_none() {
            self.counts.refused_no_trace += 1;
            return Err(Refusal::NoTrace);
        }
        let key = (said.trigger, said.base);
        if let Some(id) = self.by_key.get(&key) {
            return Ok((*id, false));
        }
        if self.is_busy(first) {
            self.counts.refused_trace_busy += 1;
            return Err(Refusal::TraceBusy);
        }
        let mut group = Group::new(key, self.greeting.cluster_seed, (agent, said.fired_ns), now);
        if self.groups.len() >= self.limits.groups_max {
            let lowest = self.by_priority.first().copied().filter(|(priority, _)| *priority < group.priority);
            let Some((_, lowest)) = lowest else {
                self.counts.refused_groups_full += 1;
                return Err(Refusal::GroupsFull);
            };
            self.counts.refused_displaced += 1;
            self.end(now, lowest);
        }
        let id = self.next_group;
        self.next_group = self.next_group.wrapping_add(1);
        group.review = later(now, self.limits.group_life);
        self.reviews.insert((group.review, id));
        self.by_key.insert(key, id);
        self.by_priority.insert((group.priority, id));
        self.groups.insert(id, group);
        self.counts.groups_started += 1;
        Ok((id, true))
    }

    fn is_busy(&self, trace: TraceId) -> bool {
        self.traces.get(&trace).is_some_and(|followed| followed.groups.len() >= self.limits.groups_per_trace_max)
    }

    /// Adds the traces that an announcement names to its group; returns how many were new.
    fn add_traces(&mut self, id: GroupId, holdings: &[Holding]) -> usize {
        let mut n_joined = 0;
        for trace in holdings.iter().map(|holding| holding.trace) {
            let is_busy = self.is_busy(trace);
            let Some(group) = self.groups.get_mut(&id) else { return n_joined };
            if group.bit(trace) != 0 {
                continue;
            }
            if trace.is_none() || group.traces.len() >= GROUP_MAX || is_busy {
                self.counts.refused_laterals += 1;
                continue;
            }
            group.traces.push(trace);
            let followed = self.traces.entry(trace).or_default();
            followed.groups.insert(id);
            if followed.note_fired(group.fired(trace)) {
                self.touched.push(trace);
            }
            n_joined += 1;
        }
        n_joined
    }

    /// Takes the name of a group's trigger; the first that an agent tells counts.
    fn note_name(&mut self, id: GroupId, name: Option<&TriggerName>) {
        let Some(group) = self.groups.get_mut(&id) else { return };
        let Some(name) = group.name.as_ref().or(name).cloned() else { return };
        for trace in &group.traces {
            if self.traces.get_mut(trace).is_some_and(|followed| followed.note_name(&name)) {
                self.touched.push(*trace);
            }
        }
        group.name = Some(name);
    }

    /// Takes what an agent says of one trace, and asks whom it names.
    fn learn(&mut self, now: Nanos, agent: AgentId, holding: Holding, source: Source) {
        let trace = holding.trace;
        let Some(followed) = self.traces.get_mut(&trace) else {
            self.counts.holdings_unfollowed += 1;
            return;
        };
        let here = self.limits.agents_per_trace_max.saturating_sub(followed.n_parts());
        let room = here.min(self.limits.parts_max.saturating_sub(self.n_parts));
        let learnt = followed.learn(agent, holding, source, room);
        if learnt.is_death && !std::mem::replace(&mut followed.is_asked_again, true) {
            self.again.insert((later(now, self.limits.ask_again), trace));
        }
        match learnt.waits {
            Some(true) => drop(self.waiting.insert((agent, trace))),
            Some(false) => drop(self.waiting.remove(&(agent, trace))),
            None => {}
        }
        self.advise(trace);
        self.n_parts += learnt.n_added;
        self.counts.refused_agents += learnt.n_refused;
        self.counts.holdings_stale += u64::from(learnt.is_stale);
        if !learnt.is_news && learnt.named.is_empty() {
            return;
        }
        self.touched.push(trace);
        let groups = self.traces.get(&trace).map(|followed| followed.groups.clone()).unwrap_or_default();
        for id in groups {
            if let Some(group) = self.groups.get_mut(&id) {
                group.last_news = now;
            }
            for named in &learnt.named {
                self.uncover(id, *named, trace);
                self.ask(now, id, *named);
            }
        }
    }

    /// Tells the agents that have a part of a trace what to do with it now, where that has changed.
    fn advise(&mut self, trace: TraceId) {
        let Some(followed) = self.traces.get_mut(&trace) else { return };
        let here = followed.take_advice().into_iter().filter(|(agent, _)| self.peers.is_connected(*agent));
        let n_before = self.actions.len();
        self.actions.extend(here.map(|(agent, advice)| Action::Advise { agent, trace, advice }));
        self.counts.advice += (self.actions.len() - n_before) as u64;
    }

    /// Lets nobody wait for the uplink of an agent that has gone.
    fn stop_waiting(&mut self, agent: AgentId) {
        let of = (agent, TraceId::default())..=(agent, TraceId::new(u64::MAX, u64::MAX));
        for (_, trace) in self.waiting.extract_if(of, |_| true).collect::<Vec<_>>() {
            if let Some(followed) = self.traces.get_mut(&trace) {
                followed.stop_waiting(agent);
            }
            self.advise(trace);
        }
    }

    fn tick(&mut self, now: Nanos) {
        self.pass_late(now);
        self.ask_again(now);
        let due = self.reviews.iter().take_while(|(at, _)| *at <= now).take(REVIEWS_PER_TICK);
        for (at, id) in due.copied().collect::<Vec<_>>() {
            self.reviews.remove(&(at, id));
            let Some(group) = self.groups.get_mut(&id) else { continue };
            group.review = later(group.last_news, self.limits.group_life);
            if group.review > now {
                self.reviews.insert((group.review, id));
            } else {
                self.counts.groups_ended += 1;
                self.end(now, id);
            }
        }
        for trace in std::mem::take(&mut self.touched) {
            self.list(trace);
        }
        for trace in self.next_changed() {
            self.published = trace;
            self.publish(trace);
        }
    }

    /// Returns traces whose changed views are published with this tick: all in turn, as under load there are more than anybody can store.
    fn next_changed(&self) -> Vec<TraceId> {
        let after = self.changed.range((Bound::Excluded(self.published), Bound::Unbounded));
        after.chain(self.changed.range(..=self.published)).take(VIEWS_PER_TICK).copied().collect()
    }

    /// Forgets a group, and what only it followed; the last view of that is published.
    fn end(&mut self, now: Nanos, id: GroupId) {
        let Some(group) = self.groups.remove(&id) else { return };
        let rank = (group.priority, id);
        self.by_key.remove(&(group.trigger, group.base));
        self.by_priority.remove(&rank);
        self.reviews.remove(&(group.review, id));
        for trace in &group.traces {
            let Some(followed) = self.traces.get_mut(trace) else { continue };
            followed.groups.remove(&id);
            if followed.groups.is_empty() {
                self.publish(*trace);
                let Some(followed) = self.traces.remove(trace) else { continue };
                self.n_parts -= followed.n_parts();
                for agent in followed.members() {
                    self.waiting.remove(&(agent, *trace));
                }
            }
        }
        for (agent, ask) in group.asks {
            if let Some(due) = ask.due {
                self.lates.remove(&(due, id, agent));
            }
            self.peers.forget(agent, rank);
            self.send_next(now, agent);
        }
    }

    /// Publishes the traces whose last awaited agent has answered, or is known not to; the others wait for the tick.
    fn publish_settled(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for trace in touched.drain(..) {
            if self.traces.get(&trace).is_some_and(Followed::has_just_settled) {
                self.publish(trace);
            } else {
                self.list(trace);
            }
        }
        self.touched = touched; // for its memory
    }

    /// Has a trace published with one of the next ticks, if it has changed.
    fn list(&mut self, trace: TraceId) {
        if self.traces.get_mut(&trace).is_some_and(Followed::lists) {
            self.changed.insert(trace);
        }
    }

    fn publish(&mut self, trace: TraceId) {
        let Some(followed) = self.traces.get_mut(&trace) else { return };
        if followed.unlists() {
            self.changed.remove(&trace);
        }
        let view = followed.take_view(trace, self.greeting.seed_epoch);
        self.actions.extend(view.map(Action::Publish));
    }
}

/// Returns the instant `after` later.
fn later(now: Nanos, after: Nanos) -> Nanos {
    Nanos(now.0.saturating_add(after.0))
}

#[cfg(test)]
mod tests;
