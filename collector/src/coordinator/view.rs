//! What is known of one trace: which agents have a part in it, and what each said last.
//!
//! Kept by the coordinator, one for each trace of a live group. It asks nobody: who is new is returned to the caller.

use backsight_core::certificate::Contact;
use backsight_core::coordination::{AgentView, FIRED_MAX, Fired, View};
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::names::{TRIGGER_NAMES_MAX, TriggerName, TriggerNames};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// The number of a group on this coordinator.
pub(super) type GroupId = u64;

/// One agent's part.
#[derive(Debug, Default)]
struct Part {
    contact: Contact,
    holding: Option<Holding>,
    /// Whether it announced the trace, has or had some of it, or was named by a crumb; others were only asked, for a sibling's sake.
    is_member: bool,
    /// Whether it was told that the trace can be whole no more.
    is_demoted: bool,
}

impl Part {
    /// Returns whether the agent gave up what it had, or could not keep it.
    fn has_given_up(&self) -> bool {
        let state = self.holding.as_ref().map(|holding| holding.state);
        matches!(state, Some(HoldingState::Evicted | HoldingState::Refused | HoldingState::Abandoned))
    }

    fn is_awaited(&self) -> bool {
        self.is_member && self.contact == Contact::Asked
    }
}

/// How a holding came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// With an announcement: the agent has a part in the trace, whatever it says.
    Announced,
    /// In an answer or an update.
    Told,
    /// With data: it is stored beside it, and needs no view to be known.
    Reported,
}

/// What a holding changed.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// Whether it was news.
    pub(super) is_news: bool,
    /// Whether something newer was known.
    pub(super) is_stale: bool,
    /// Agents that have a part in the trace and had none before, without repetition.
    pub(super) named: Vec<AgentId>,
    /// Agents that were given up because there are too many.
    pub(super) n_refused: u64,
    /// By how much the number of parts grew.
    pub(super) n_added: usize,
}

/// A trace that is followed.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// The groups that it belongs to; it is forgotten with the last.
    pub(super) groups: BTreeSet<GroupId>,
    parts: BTreeMap<AgentId, Part>,
    is_overfull: bool,
    fired: BTreeSet<Fired>,
    names: TriggerNames,
    n_awaited: usize,
    is_dirty: bool,
    was_settled: bool,
    /// Whether an agent has given its part up.
    is_broken: bool,
}

impl Followed {
    /// Takes what an agent says of the trace; `room` is how many parts may be added.
    pub(super) fn learn(&mut self, agent: AgentId, holding: &Holding, source: Source, room: usize) -> Learnt {
        let mut learnt = Learnt::default();
        let newest = self.parts.get(&agent).and_then(|part| part.holding.as_ref()).map(|known| known.revision);
        learnt.is_stale = newest.is_some_and(|newest| newest > holding.revision);
        learnt.is_news = newest.is_none_or(|newest| newest < holding.revision);
        let is_member = source == Source::Announced || holding.state != HoldingState::NeverSeen;
        if is_member {
            self.join(agent, room, &mut learnt);
        } else if let Entry::Vacant(part) = self.parts.entry(agent) {
            if room == 0 {
                return learnt; // it has nothing, and nobody named it: nothing is missed
            }
            part.insert(Part::default());
            learnt.n_added += 1;
        }
        if !learnt.is_news {
            return learnt;
        }
        let Some(part) = self.parts.get_mut(&agent) else { return learnt };
        self.n_awaited -= usize::from(part.is_awaited());
        let says_more = source != Source::Reported || part.contact != Contact::Answered;
        (part.contact, part.holding) = (Contact::Answered, Some(holding.clone()));
        self.is_broken |= part.has_given_up();
        self.is_dirty |= part.is_member && says_more;
        for crumb in &holding.crumbs {
            let room = room.saturating_sub(learnt.n_added);
            self.join(crumb.agent, room, &mut learnt);
        }
        learnt
    }

    /// Gives `agent` a part in the trace.
    fn join(&mut self, agent: AgentId, room: usize, learnt: &mut Learnt) {
        if agent.is_none() || self.parts.get(&agent).is_some_and(|part| part.is_member) {
            return;
        }
        if !self.parts.contains_key(&agent) {
            if room == 0 {
                self.is_dirty |= !self.is_overfull;
                self.is_overfull = true;
                learnt.n_refused += 1;
                return;
            }
            learnt.n_added += 1;
        }
        let part = self.parts.entry(agent).or_default();
        part.is_member = true;
        self.n_awaited += usize::from(part.is_awaited());
        self.is_dirty = true;
        learnt.named.push(agent);
    }

    /// Returns the agents that keep their part of a trace which can be whole no more, each once.
    pub(super) fn take_demotions(&mut self) -> impl Iterator<Item = AgentId> {
        let is_broken = self.is_broken;
        let keeps = |part: &Part| part.holding.as_ref().is_some_and(|holding| holding.state == HoldingState::Kept);
        let keepers = self.parts.iter_mut().filter(move |(_, part)| is_broken && !part.is_demoted && keeps(part));
        keepers.map(|(agent, part)| {
            part.is_demoted = true;
            *agent
        })
    }

    /// Notes why the trace is followed.
    pub(super) fn note_fired(&mut self, fired: Fired) {
        if self.fired.len() < FIRED_MAX {
            self.is_dirty |= self.fired.insert(fired);
        }
    }

    /// Notes what people call a trigger that fired for the trace; returns whether that was news.
    pub(super) fn note_name(&mut self, name: &TriggerName) -> bool {
        let is_news = self.names.add(name.clone(), TRIGGER_NAMES_MAX);
        self.is_dirty |= is_news;
        is_news
    }

    /// Notes whether `agent`, of which no holding is known, can be reached.
    pub(super) fn set_contact(&mut self, agent: AgentId, contact: Contact) {
        let Some(part) = self.parts.get_mut(&agent) else { return };
        if part.holding.is_some() || part.contact == contact {
            return;
        }
        self.n_awaited -= usize::from(part.is_awaited());
        part.contact = contact;
        self.n_awaited += usize::from(part.is_awaited());
        self.is_dirty |= part.is_member;
    }

    /// Returns the agents that have a part in the trace, ascending.
    pub(super) fn members(&self) -> impl Iterator<Item = AgentId> {
        self.parts.iter().filter(|(_, part)| part.is_member).map(|(agent, _)| *agent)
    }

    /// Returns how many agents are known here, those that were only asked included.
    pub(super) fn n_parts(&self) -> usize {
        self.parts.len()
    }

    /// Returns whether something changed that was not published, and nobody is awaited since that change.
    pub(super) fn has_just_settled(&self) -> bool {
        self.is_dirty && self.n_awaited == 0 && !self.was_settled
    }

    /// Returns the view if it changed since it was last taken.
    pub(super) fn take_view(&mut self, trace: TraceId, seed_epoch: u64) -> Option<View> {
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        self.was_settled = self.n_awaited == 0;
        let members = self.parts.iter().filter(|(_, part)| part.is_member);
        let agents = members
            .map(|(agent, part)| AgentView { agent: *agent, contact: part.contact, holding: part.holding.clone() })
            .collect();
        let fired = self.fired.iter().copied().collect();
        let names = self.names.clone();
        Some(View { trace, agents, is_overfull: self.is_overfull, seed_epoch, fired, names })
    }
}
