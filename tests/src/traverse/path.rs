//! How a request went over the hosts, and the crumbs that it left on each.
//!
//! Pure; called by the agents of this room. A host is known by the index of its agent, or by its position on the request's way.

use backsight_core::context::BEYOND_MAX;
use backsight_core::holding::CrumbTo;
use backsight_core::ids::{AgentId, SpanId};
use backsight_core::record::CrumbDirection;
use std::fmt;

/// How requests go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    /// Each host calls the next.
    Chain {
        /// How many crumbs a request carries: N in the spec, `crumbs.path_len` in the agent's configuration.
        n_crumbs: usize,
    },
    /// The first host calls all others. Its calls carry one crumb, however many they may carry.
    FanOut,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Chain { n_crumbs } => write!(f, "chain, N = {n_crumbs}"),
            Self::FanOut => f.write_str("fan-out"),
        }
    }
}

/// The way of one request over all hosts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path {
    /// How it went.
    pub shape: Shape,
    /// How many hosts there are.
    pub n_hosts: usize,
    /// The host on which it began; it went on in the order of the indices, and round.
    pub first: usize,
}

impl Path {
    /// Returns the index of the agent at `position`.
    #[must_use]
    pub const fn agent_at(&self, position: usize) -> usize {
        (self.first + position) % self.n_hosts
    }

    /// Returns the position of agent `idx`.
    #[must_use]
    pub const fn position_of(&self, idx: usize) -> usize {
        (idx + self.n_hosts - self.first) % self.n_hosts
    }

    /// Returns how many questions one after another it takes to reach every host from the one of agent `fired`, on which a trigger fires: who is
    /// asked names whom to ask next.
    #[must_use]
    pub fn n_questions_from(&self, fired: usize) -> usize {
        let mut reached = vec![false; self.n_hosts];
        reached[fired] = true;
        let (mut newest, mut n_questions) = (vec![fired], 0);
        loop {
            let named = newest.iter().flat_map(|idx| self.crumbs(*idx)).map(|crumb| idx_of(crumb.agent));
            let next: Vec<usize> = named.filter(|idx| !std::mem::replace(&mut reached[*idx], true)).collect();
            if next.is_empty() {
                return n_questions;
            }
            (newest, n_questions) = (next, n_questions + 1);
        }
    }

    /// Returns the crumbs on the host of agent `idx`, ascending: where the request came from, and where it went.
    #[must_use]
    pub fn crumbs(&self, idx: usize) -> Vec<CrumbTo> {
        let at = self.position_of(idx);
        let to = |position, direction| CrumbTo { agent: agent_id(self.agent_at(position)), direction, span: SpanId(1) };
        let (n_crumbs, called) = match self.shape {
            Shape::Chain { n_crumbs } => {
                (n_crumbs.min(at), at + 1..self.n_hosts.min(at + 1 + n_crumbs.min(1 + BEYOND_MAX)))
            }
            Shape::FanOut if at == 0 => (0, 1..self.n_hosts),
            Shape::FanOut => (1, 0..0),
        };
        let caller = if self.shape == Shape::FanOut { 0 } else { at.saturating_sub(1) };
        let after = |position| {
            if self.shape == Shape::FanOut || position == at + 1 { CrumbDirection::To } else { CrumbDirection::After }
        };
        let mut crumbs: Vec<CrumbTo> = called.map(|position| to(position, after(position))).collect();
        for back in 0..n_crumbs {
            let direction = if back == 0 { CrumbDirection::From } else { CrumbDirection::Before };
            crumbs.push(to(caller - back, direction));
        }
        crumbs.sort_unstable();
        crumbs
    }
}

/// Returns the id of the agent with index `idx`.
#[must_use]
pub const fn agent_id(idx: usize) -> AgentId {
    AgentId(idx as u32 + 1)
}

const fn idx_of(agent: AgentId) -> usize {
    agent.0 as usize - 1
}

#[cfg(test)]
mod tests;
