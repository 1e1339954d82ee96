//! Calls without an answer that leave nothing out: where it is certain enough that the callee recorded nothing, nothing is missing.
//!
//! Called by the certificate for each open edge. Pure. What is explained here wrongly is a false promise, so every doubt leaves the call
//! unexplained. The argument stands in `docs/adr/0004-a-death-explains-a-call-without-an-answer.md`.

use backsight_core::certificate::{AgentPart, Contact};
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{AgentId, SpanId};
use backsight_core::trace::{OpenEdge, ProcessClock, Trace};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// By how much the clocks of two hosts may differ.
const SKEW_NS: u64 = 1_000_000_000;

/// When calls were made of which hosts have missed nothing, in nanoseconds since 1970: since they retain everything, and until they last looked.
pub(super) type Vouched = RangeInclusive<u64>;

/// What hosts said that have looked for the trace and gave nothing of it up.
pub(super) struct Silence<'a> {
    trace: &'a Trace,
    looked: BTreeMap<AgentId, &'a Holding>,
    /// When the spans ended that did, by process and id.
    ends: BTreeMap<(usize, SpanId), u64>,
}

impl<'a> Silence<'a> {
    /// Takes the agents of a trace, and what each of them said last.
    pub(super) fn new(
        trace: &'a Trace,
        agents: &BTreeMap<AgentId, AgentPart>,
        newest: impl Fn(AgentId) -> Option<&'a Holding>,
    ) -> Self {
        let answered = agents.values().filter(|part| part.contact == Contact::Answered);
        let looked = answered.filter_map(|part| {
            let holding = newest(part.agent)?;
            matches!(holding.state, HoldingState::NeverSeen | HoldingState::Kept).then_some((part.agent, holding))
        });
        let calling: BTreeSet<_> = trace.open_edges.iter().map(|edge| (edge.process_idx, edge.span)).collect();
        let ended = trace.spans.iter().filter_map(|span| Some(((span.process_idx, span.id), span.end_ns?)));
        Self { trace, looked: looked.collect(), ends: ended.filter(|(span, _)| calling.contains(span)).collect() }
    }

    /// Returns of which calls all of these hosts can say that they recorded nothing; of none where one of them did not look.
    pub(super) fn vouched(&self, agents: &BTreeSet<AgentId>) -> Option<Vouched> {
        let of = |agent| {
            let holding = self.looked.get(agent)?;
            Some((holding.whole_since_ns?.saturating_add(SKEW_NS), holding.looked_ns.saturating_sub(SKEW_NS)))
        };
        let all: Vec<(u64, u64)> = agents.iter().map(of).collect::<Option<_>>()?;
        Some(all.iter().map(|of| of.0).max()?..=all.iter().map(|of| of.1).min()?)
    }

    /// Returns whether a death explains that a call has neither answer nor visit.
    ///
    /// `vouched` is what those hosts can say to which calls of its span probably went. All of them, as answers are matched to calls by the span
    /// alone: this may be any of its calls.
    pub(super) fn is_explained(&self, edge: &OpenEdge, vouched: Option<&Vouched>) -> bool {
        let Some(caller) = self.trace.processes.get(edge.process_idx) else { return false };
        // Ticks cannot be compared with what other hosts say.
        let is_known = caller.clock == ProcessClock::Wall && !edge.expected.is_none();
        if !is_known || vouched.is_none_or(|vouched| !vouched.contains(&edge.at_ns)) {
            return false;
        }
        let end_ns = self.ends.get(&(edge.process_idx, edge.span)).copied();
        let ended_the_call = caller.death.is_some() && end_ns.is_none();
        ended_the_call || self.has_death(edge.expected, edge.at_ns, end_ns)
    }

    /// Returns whether a process of a host died while a call was under way.
    fn has_death(&self, agent: AgentId, at_ns: u64, end_ns: Option<u64>) -> bool {
        let last_ns = end_ns.map_or(u64::MAX, |end_ns| end_ns.saturating_add(SKEW_NS));
        let during = at_ns.saturating_sub(SKEW_NS)..=last_ns;
        self.looked.get(&agent).is_some_and(|holding| holding.deaths_ns.iter().any(|at_ns| during.contains(at_ns)))
    }
}
