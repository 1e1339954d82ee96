//! What agents and the coordinator tell each other: who fired, whom to ask, who has what.
//!
//! Carried by `proto`; the rules are the agent's (`uplink`) and the collector's (`coordinator`), both pure. Drawn in `docs/spec/wire.md`.

use crate::certificate::Contact;
use crate::holding::Holding;
use crate::ids::{AgentId, TraceId, TriggerId};
use crate::names::{TriggerName, TriggerNames};
use std::sync::Arc;

/// A trigger fired on an agent's host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Announcement {
    /// Its number on that agent since it started; acknowledged by it.
    pub id: u64,
    /// The trigger.
    pub trigger: TriggerId,
    /// Its name, where the agent knows it.
    pub name: Option<TriggerName>,
    /// When it fired, in nanoseconds since 1970.
    pub fired_ns: u64,
    /// The symptomatic trace, by which the whole group is ranked.
    pub base: TraceId,
    /// What the agent has of the group's traces that this coordinator follows: the base first if it is one of them, then laterals. Never empty.
    pub holdings: Vec<Holding>,
}

/// The coordinator asks an agent for traces.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Collection {
    /// The group's number on that coordinator; answered by it.
    pub group: u64,
    /// The trigger that fired.
    pub trigger: TriggerId,
    /// Its name, where the coordinator was told.
    pub name: Option<TriggerName>,
    /// The agent that announced it first.
    pub origin: AgentId,
    /// When it fired there, in nanoseconds since 1970.
    pub fired_ns: u64,
    /// The symptomatic trace, by which the whole group is ranked.
    pub base: TraceId,
    /// What is asked for, the base only if it is. Never empty.
    pub traces: Vec<TraceId>,
}

/// What an agent answers to a [`Collection`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Answer {
    /// The group.
    pub group: u64,
    /// One for each trace that was asked for.
    pub holdings: Vec<Holding>,
}

/// What an agent is to do with its part of a trace, by what others do with theirs. The later of two counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Advice {
    /// Report it when its turn comes.
    #[default]
    Send = 1,
    /// Do not begin to report it: another agent's part waits for its uplink, and may yet be given up.
    Hold = 2,
    /// Report it after all that can still be whole: another agent has lost its part.
    Last = 3,
    /// Give it up with the others, if there is a storm: another agent has given its part up for traces of higher priority.
    GiveUp = 4,
}

impl Advice {
    /// Every advice, in the order of the codes.
    pub const ALL: [Self; 4] = [Self::Send, Self::Hold, Self::Last, Self::GiveUp];

    /// Returns the advice with code `code`.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|advice| *advice as u8 == code)
    }
}

/// What a coordinator says first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Greeting {
    /// Differs each time the coordinator starts: what was announced to an earlier one must be announced again.
    pub instance: u64,
    /// The cluster's seed, by which all hosts give the same traces up.
    pub cluster_seed: u64,
    /// The seed's epoch.
    pub seed_epoch: u64,
    /// The epoch of the list of members, by which traces are sharded.
    pub shard_epoch: u64,
}

/// What the coordinator knows of one agent's part in a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct AgentView {
    /// The agent.
    pub agent: AgentId,
    /// Whether it answered.
    pub contact: Contact,
    /// What it said last, `None` until it answered. Shared with whoever follows the trace.
    pub holding: Option<Arc<Holding>>,
}

/// What the coordinator knows of one trace. Stored beside the trace: the coordinator itself forgets.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct View {
    /// The trace.
    pub trace: TraceId,
    /// Every agent that announced it or that a crumb named, ascending.
    pub agents: Vec<AgentView>,
    /// Whether more agents were named than are followed for one trace.
    pub is_overfull: bool,
    /// The epoch of the cluster's seed.
    pub seed_epoch: u64,
    /// The triggers for which it was announced, ascending; at most [`FIRED_MAX`].
    pub fired: Vec<Fired>,
    /// Names of these triggers, as far as agents told them.
    pub names: TriggerNames,
}

/// Firings that are told of one trace.
pub const FIRED_MAX: usize = 256;

/// A trigger that fired for a trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fired {
    /// Which.
    pub trigger: TriggerId,
    /// The agent that kept the trace for it.
    pub agent: AgentId,
    /// When, in nanoseconds since 1970.
    pub fired_ns: u64,
    /// The symptomatic trace, where this one is its lateral.
    pub base: Option<TraceId>,
}
