//! A group: one trigger on one trace with its laterals, and who was asked for what of it.
//!
//! Kept by the coordinator. It knows traces by their position in the group, so that what an agent covers is one word of bits.

use backsight_core::coordination::{Collection, Fired};
use backsight_core::ids::{AgentId, TraceId, TriggerId};
use backsight_core::names::TriggerName;
use backsight_core::priority::{Priority, Salt};
use backsight_core::units::Nanos;
use backsight_proto::wire::GROUP_MAX;
use std::collections::BTreeMap;

const _: () = assert!(GROUP_MAX <= 64, "a set of traces is one word");

/// What one agent was asked for, by position in the group.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ask {
    /// Traces of which it has told, in answers or announcements of this group.
    pub(super) covered: u64,
    /// Traces for which a Collect was sent, or given up.
    pub(super) requested: u64,
    /// When it is late, `None` while it is not awaited.
    pub(super) due: Option<Nanos>,
}

/// A trigger that is followed from host to host.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) trigger: TriggerId,
    /// What people call it, once an agent has told.
    pub(super) name: Option<TriggerName>,
    pub(super) priority: Priority,
    /// The symptomatic trace: one of those that are followed, unless another coordinator follows it.
    pub(super) base: TraceId,
    /// The traces that are followed.
    pub(super) traces: Vec<TraceId>,
    pub(super) asks: BTreeMap<AgentId, Ask>,
    /// When something new was last heard.
    pub(super) last_news: Nanos,
    /// When that is looked at next: at the end of the group's life, or before.
    pub(super) review: Nanos,
    origin: AgentId,
    fired_ns: u64,
}

impl Group {
    /// Returns the group that `origin` announced.
    pub(super) fn new(key: (TriggerId, TraceId), cluster_seed: u64, fired: (AgentId, u64), now: Nanos) -> Self {
        let (trigger, base) = key;
        Self {
            trigger,
            name: None,
            priority: priority(trigger, base, cluster_seed),
            base,
            traces: Vec::new(),
            asks: BTreeMap::new(),
            last_news: now,
            review: now,
            origin: fired.0,
            fired_ns: fired.1,
        }
    }

    /// Returns why `trace`, which is of this group, is followed.
    pub(super) fn fired(&self, trace: TraceId) -> Fired {
        let base = Some(self.base).filter(|base| *base != trace);
        Fired { trigger: self.trigger, agent: self.origin, fired_ns: self.fired_ns, base }
    }

    /// Returns the bit of `trace`, 0 where it is not of this group.
    pub(super) fn bit(&self, trace: TraceId) -> u64 {
        self.traces.iter().position(|of| *of == trace).map_or(0, |idx| 1 << idx)
    }

    /// Returns the traces for which `agent` has still to be asked.
    pub(super) fn needed(&self, agent: AgentId) -> u64 {
        let all = u64::MAX.checked_shr(64 - self.traces.len() as u32).unwrap_or(0); // none of no traces
        self.asks.get(&agent).map_or(0, |ask| all & !ask.covered & !ask.requested)
    }

    /// Returns the traces of `bits`.
    pub(super) fn traces_of(&self, bits: u64) -> impl Iterator<Item = TraceId> {
        self.traces.iter().enumerate().filter(move |(idx, _)| bits >> idx & 1 == 1).map(|(_, trace)| *trace)
    }

    /// Returns the question for `bits`.
    pub(super) fn collection(&self, id: u64, bits: u64) -> Collection {
        let (trigger, origin, fired_ns) = (self.trigger, self.origin, self.fired_ns);
        let name = self.name.clone();
        Collection {
            group: id,
            trigger,
            name,
            origin,
            fired_ns,
            base: self.base,
            traces: self.traces_of(bits).collect(),
        }
    }
}

/// Returns the rank of a group: that of its base, as the agents have it.
pub(super) fn priority(trigger: TriggerId, base: TraceId, cluster_seed: u64) -> Priority {
    Priority::of(base, cluster_seed, Salt::of_trigger(trigger))
}
