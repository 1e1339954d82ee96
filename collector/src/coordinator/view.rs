//! What is known of one trace: which agents have a part in it, and what each said last.
//!
//! Kept by the coordinator, one for each trace of a live group. It asks nobody: who is new is returned to the caller.

use backsight_core::certificate::Contact;
use backsight_core::coordination::{Advice, AgentView, FIRED_MAX, Fired, View};
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::names::{TRIGGER_NAMES_MAX, TriggerName, TriggerNames};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The number of a group on this coordinator.
pub(super) type GroupId = u64;

/// The part of one agent: it announced the trace, has or had some of it, or was named by a crumb.
#[derive(Debug, Default)]
struct Part {
    contact: Contact,
    holding: Option<Arc<Holding>>,
    /// Whether its report of the trace waits for its uplink.
    waits: bool,
    /// What it was told to do with it.
    told: Advice,
}

impl Part {
    fn state(&self) -> Option<HoldingState> {
        self.holding.as_ref().map(|holding| holding.state)
    }

    /// Returns what others are to do if this one's part is lost.
    fn breaks(&self) -> Option<Advice> {
        match self.state()? {
            HoldingState::Refused | HoldingState::Abandoned => Some(Advice::GiveUp),
            HoldingState::Evicted => Some(Advice::Last),
            HoldingState::Kept | HoldingState::NeverSeen => None,
        }
    }

    fn is_awaited(&self) -> bool {
        self.contact == Contact::Asked
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
    /// Whether its report waits for its uplink now, where that has changed.
    pub(super) waits: Option<bool>,
    /// Agents that have a part in the trace and had none before, without repetition.
    pub(super) named: Vec<AgentId>,
    /// Agents that were given up because there are too many.
    pub(super) n_refused: u64,
    /// Whether a process of that host has died since anybody told of one.
    pub(super) is_death: bool,
    /// By how much the number of parts grew.
    pub(super) n_added: usize,
}

/// Whose advice may not be what it was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Unadvised {
    #[default]
    Nobody,
    /// This one's part has changed.
    One(AgentId),
    /// What all are to do has changed.
    All,
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
    /// What becomes of the parts of others once an agent has lost its own; `None` while none has.
    broken: Option<Advice>,
    n_waiting: usize,
    unadvised: Unadvised,
    /// Whether it stands in the coordinator's list of changed traces.
    is_listed: bool,
    /// The newest death that an agent told of, in nanoseconds since 1970.
    newest_death_ns: u64,
    /// Whether all are asked once more because of one.
    pub(super) is_asked_again: bool,
}

impl Followed {
    /// Takes what an agent says of the trace; `room` is how many parts may be added.
    pub(super) fn learn(&mut self, agent: AgentId, holding: Holding, source: Source, room: usize) -> Learnt {
        let mut learnt = Learnt::default();
        let newest = self.parts.get(&agent).and_then(|part| part.holding.as_ref()).map(|known| known.revision);
        learnt.is_stale = newest.is_some_and(|newest| newest > holding.revision);
        learnt.is_news = newest.is_none_or(|newest| newest < holding.revision);
        // Who has nothing, and was named by nobody, has no part: it was asked for a sibling's sake.
        if source == Source::Announced || holding.state != HoldingState::NeverSeen {
            self.join(agent, room, &mut learnt);
        }
        if !learnt.is_news {
            return learnt;
        }
        let holding = Arc::new(holding);
        let Some(part) = self.parts.get_mut(&agent) else { return learnt };
        self.n_awaited -= usize::from(part.is_awaited());
        let says_more = source != Source::Reported || part.contact != Contact::Answered;
        (part.contact, part.holding) = (Contact::Answered, Some(Arc::clone(&holding)));
        self.is_dirty |= says_more;
        let newest_death_ns = holding.deaths_ns.last().copied().unwrap_or(0);
        learnt.is_death = newest_death_ns > self.newest_death_ns;
        self.newest_death_ns = newest_death_ns.max(self.newest_death_ns);
        let broken = self.broken.max(part.breaks());
        let waits = holding.waits && holding.state == HoldingState::Kept;
        learnt.waits = (std::mem::replace(&mut part.waits, waits) != waits).then_some(waits);
        let is_for_all = self.broken != broken || learnt.waits.is_some();
        self.note_unadvised(if is_for_all { Unadvised::All } else { Unadvised::One(agent) });
        self.broken = broken;
        self.count_waiting(learnt.waits);
        for crumb in &holding.crumbs {
            let room = room.saturating_sub(learnt.n_added);
            self.join(crumb.agent, room, &mut learnt);
        }
        learnt
    }

    fn note_unadvised(&mut self, of: Unadvised) {
        self.unadvised = match self.unadvised {
            Unadvised::Nobody => of,
            known if known == of => known,
            _ => Unadvised::All,
        };
    }

    /// Counts a part that has begun to wait for its uplink, or has ceased to.
    fn count_waiting(&mut self, changed: Option<bool>) {
        match changed {
            Some(true) => self.n_waiting += 1,
            Some(false) => self.n_waiting -= 1,
            None => {}
        }
    }

    /// Gives `agent` a part in the trace.
    fn join(&mut self, agent: AgentId, room: usize, learnt: &mut Learnt) {
        if agent.is_none() || self.parts.contains_key(&agent) {
            return;
        }
        if room == 0 {
            self.is_dirty |= !self.is_overfull;
            self.is_overfull = true;
            learnt.n_refused += 1;
            return;
        }
        let part = Part::default();
        self.n_awaited += usize::from(part.is_awaited());
        self.parts.insert(agent, part);
        self.is_dirty = true;
        learnt.n_added += 1;
        learnt.named.push(agent);
    }

    /// Returns what the agents that keep their part are to do with it, where they were told otherwise.
    pub(super) fn take_advice(&mut self) -> Vec<(AgentId, Advice)> {
        let (broken, n_waiting) = (self.broken, self.n_waiting);
        let news = |(agent, part): (&AgentId, &mut Part)| {
            let is_held = n_waiting > usize::from(part.waits);
            let advice = broken.unwrap_or(if is_held { Advice::Hold } else { Advice::Send });
            let is_news = part.state() == Some(HoldingState::Kept) && part.told != advice;
            part.told = if is_news { advice } else { part.told };
            is_news.then_some((*agent, advice))
        };
        match std::mem::take(&mut self.unadvised) {
            Unadvised::Nobody => Vec::new(),
            Unadvised::One(agent) => self.parts.range_mut(agent..=agent).filter_map(news).collect(),
            Unadvised::All => self.parts.iter_mut().filter_map(news).collect(),
        }
    }

    /// Notes that nobody can tell any more when the report of an agent comes.
    pub(super) fn stop_waiting(&mut self, agent: AgentId) {
        let Some(part) = self.parts.get_mut(&agent) else { return };
        if std::mem::take(&mut part.waits) {
            self.count_waiting(Some(false));
            self.note_unadvised(Unadvised::All);
        }
    }

    /// Notes why the trace is followed; returns whether that was news.
    pub(super) fn note_fired(&mut self, fired: Fired) -> bool {
        let is_news = self.fired.len() < FIRED_MAX && self.fired.insert(fired);
        self.is_dirty |= is_news;
        is_news
    }

    /// Notes what people call a trigger that fired for the trace; returns whether that was news.
    pub(super) fn note_name(&mut self, name: &TriggerName) -> bool {
        let is_news = self.names.add(name.clone(), TRIGGER_NAMES_MAX);
        self.is_dirty |= is_news;
        is_news
    }

    /// Notes whether `agent`, of which no holding is known, can be reached; returns whether that was news.
    pub(super) fn set_contact(&mut self, agent: AgentId, contact: Contact) -> bool {
        let Some(part) = self.parts.get_mut(&agent) else { return false };
        if part.holding.is_some() || part.contact == contact {
            return false;
        }
        self.n_awaited -= usize::from(part.is_awaited());
        part.contact = contact;
        self.n_awaited += usize::from(part.is_awaited());
        self.is_dirty = true;
        true
    }

    /// Returns the agents that have a part in the trace, ascending.
    pub(super) fn members(&self) -> impl Iterator<Item = AgentId> {
        self.parts.keys().copied()
    }

    /// Returns whether an agent that has a part in the trace has said what.
    pub(super) fn has_told(&self, agent: AgentId) -> bool {
        self.parts.get(&agent).is_some_and(|part| part.holding.is_some())
    }

    /// Returns how many agents have a part in the trace.
    pub(super) fn n_parts(&self) -> usize {
        self.parts.len()
    }

    /// Returns whether something changed that was not published, and nobody is awaited since that change.
    pub(super) fn has_just_settled(&self) -> bool {
        self.is_dirty && self.n_awaited == 0 && !self.was_settled
    }

    /// Returns whether the trace is to be put into the list of changed ones.
    pub(super) fn lists(&mut self) -> bool {
        self.is_dirty && !std::mem::replace(&mut self.is_listed, true)
    }

    /// Returns whether the trace is to be taken out of it.
    pub(super) fn unlists(&mut self) -> bool {
        std::mem::take(&mut self.is_listed)
    }

    /// Returns the view if it changed since it was last taken.
    pub(super) fn take_view(&mut self, trace: TraceId, seed_epoch: u64) -> Option<View> {
        if !std::mem::take(&mut self.is_dirty) {
            return None;
        }
        self.was_settled = self.n_awaited == 0;
        let agents = self
            .parts
            .iter()
            .map(|(agent, part)| AgentView { agent: *agent, contact: part.contact, holding: part.holding.clone() })
            .collect();
        let fired = self.fired.iter().copied().collect();
        let names = self.names.clone();
        Some(View { trace, agents, is_overfull: self.is_overfull, seed_epoch, fired, names })
    }
}
