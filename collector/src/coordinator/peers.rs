//! The agents: who is connected, who was ever, and the Collects that wait for each.
//!
//! Kept by the coordinator. Queues are ordered by priority; what is beyond a bound is returned to the caller, who counts it.

use super::limits::Limits;
use super::view::GroupId;
use backsight_core::certificate::Contact;
use backsight_core::ids::AgentId;
use backsight_core::priority::Priority;
use foldhash::HashMap;
use std::collections::{BTreeMap, BTreeSet};

/// A group's place in a queue: the highest priority is the last.
pub(super) type Rank = (Priority, GroupId);

#[derive(Debug, Default)]
struct Peer {
    is_connected: bool,
    was_seen: bool,
    waiting: BTreeSet<Rank>,
    in_flight: BTreeMap<GroupId, Priority>,
}

impl Peer {
    /// Returns whether it may be sent one more.
    fn is_free(&self, in_flight_max: usize) -> bool {
        self.is_connected && self.in_flight.len() < in_flight_max
    }

    fn is_idle(&self) -> bool {
        !self.is_connected && self.waiting.is_empty() && self.in_flight.is_empty()
    }
}

/// Every agent that was here or is to be asked.
#[derive(Debug, Default)]
pub(super) struct Peers {
    by_agent: HashMap<AgentId, Peer>,
}

/// What became of a Collect that was to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Queued {
    /// It need not wait: it may be sent now, and counts as sent.
    Next,
    /// It waits.
    Waits,
    /// It waited already.
    Already,
    /// It waits, and this one of lower priority, or itself, was given up.
    Instead(GroupId),
    /// The agent would have to be remembered, and too many are.
    Refused,
}

impl Peers {
    /// Notes that `agent` is here. What it had and did not answer waits again; those groups are returned.
    pub(super) fn connect(&mut self, agent: AgentId) -> Vec<GroupId> {
        let peer = self.by_agent.entry(agent).or_default();
        (peer.is_connected, peer.was_seen) = (true, true);
        let again = std::mem::take(&mut peer.in_flight);
        let again: BTreeSet<Rank> = again.into_iter().map(|(group, priority)| (priority, group)).collect();
        let groups = again.iter().map(|(_, group)| *group).collect();
        peer.waiting.extend(again);
        groups
    }

    /// Notes that `agent` has gone; returns the groups in which it is awaited, and whether it was forgotten because too many are known.
    pub(super) fn disconnect(&mut self, agent: AgentId, agents_max: usize) -> (Vec<GroupId>, bool) {
        let n_agents = self.by_agent.len();
        let Some(peer) = self.by_agent.get_mut(&agent) else { return (Vec::new(), false) };
        peer.is_connected = false;
        let waiting = peer.waiting.iter().map(|(_, group)| *group);
        let mut awaited: Vec<GroupId> = waiting.chain(peer.in_flight.keys().copied()).collect();
        awaited.sort_unstable();
        let is_forgotten = n_agents > agents_max && peer.is_idle();
        if is_forgotten {
            self.by_agent.remove(&agent);
        }
        (awaited, is_forgotten)
    }

    /// Lets a Collect wait for `agent`, where it may not be sent at once.
    pub(super) fn queue(&mut self, agent: AgentId, rank: Rank, limits: &Limits) -> Queued {
        if self.by_agent.len() >= limits.agents_max && !self.by_agent.contains_key(&agent) {
            return Queued::Refused;
        }
        let peer = self.by_agent.entry(agent).or_default();
        if peer.is_free(limits.collects_in_flight_max) && peer.waiting.is_empty() {
            peer.in_flight.insert(rank.1, rank.0);
            return Queued::Next;
        }
        if !peer.waiting.insert(rank) {
            return Queued::Already;
        }
        if peer.waiting.len() <= limits.collects_queued_max {
            return Queued::Waits;
        }
        peer.waiting.pop_first().map_or(Queued::Waits, |(_, group)| Queued::Instead(group))
    }

    /// Returns whether `agent` is here.
    pub(super) fn is_connected(&self, agent: AgentId) -> bool {
        self.by_agent.get(&agent).is_some_and(|peer| peer.is_connected)
    }

    /// Returns what is said of an agent that has not answered.
    pub(super) fn contact(&self, agent: AgentId) -> Contact {
        match self.by_agent.get(&agent) {
            Some(peer) if peer.is_connected => Contact::Asked,
            Some(peer) if peer.was_seen => Contact::Unreachable,
            _ => Contact::Unknown,
        }
    }

    /// Takes the next Collect that may be sent to `agent`: of the highest priority, while it is here and has not too many.
    pub(super) fn next(&mut self, agent: AgentId, in_flight_max: usize) -> Option<GroupId> {
        let peer = self.by_agent.get_mut(&agent)?;
        if !peer.is_free(in_flight_max) {
            return None;
        }
        let (priority, group) = peer.waiting.pop_last()?;
        peer.in_flight.insert(group, priority);
        Some(group)
    }

    /// Notes that `agent` answered a group.
    pub(super) fn answered(&mut self, agent: AgentId, group: GroupId) {
        if let Some(peer) = self.by_agent.get_mut(&agent) {
            peer.in_flight.remove(&group);
        }
    }

    /// Notes that nothing of a group has to wait for `agent` any longer.
    pub(super) fn unqueue(&mut self, agent: AgentId, rank: Rank) {
        if let Some(peer) = self.by_agent.get_mut(&agent) {
            peer.waiting.remove(&rank);
        }
    }

    /// Forgets a group, and the agent with it where nothing else is known of it.
    pub(super) fn forget(&mut self, agent: AgentId, rank: Rank) {
        let Some(peer) = self.by_agent.get_mut(&agent) else { return };
        peer.waiting.remove(&rank);
        peer.in_flight.remove(&rank.1);
        if peer.is_idle() && !peer.was_seen {
            self.by_agent.remove(&agent);
        }
    }

    /// Returns how many Collects wait for `agent`.
    pub(super) fn n_waiting(&self, agent: AgentId) -> usize {
        self.by_agent.get(&agent).map_or(0, |peer| peer.waiting.len())
    }

    /// Returns how many agents are connected.
    pub(super) fn n_connected(&self) -> usize {
        self.by_agent.values().filter(|peer| peer.is_connected).count()
    }
}
