//! Certificates: what agents said they have, held against what arrived and against what the trace itself tells.
//!
//! Called wherever a stored trace is shown. A pure function; a trace is complete only where nothing speaks against it, so a rule that is
//! forgotten here is a false promise.

mod silence;

use backsight_core::certificate::{
    AgentPart, Amount, CERTIFICATE_VERSION, Certificate, Contact, Gap, GapKind, Verdict,
};
use backsight_core::coordination::View;
use backsight_core::holding::{Holding, HoldingState, LossInterval};
use backsight_core::ids::{AgentId, SpanId};
use backsight_core::record::CrumbDirection;
use backsight_core::trace::{OpenEdge, Trace};
use silence::Silence;
use std::collections::{BTreeMap, BTreeSet};

/// Agents and gaps of one certificate; what is beyond is one gap of its own. Crumbs are a client's word, and may name any number.
pub const LISTED_MAX: usize = 1024;

/// What one agent reported of a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// Segments that arrived, each counted once and in its longest copy.
    pub amount: Amount,
    /// What the agent's newest report says that it has in all.
    pub holding: Option<Holding>,
    /// The most that it ever said to have, so far as it is stored.
    pub announced: Amount,
}

impl Received {
    /// Returns whether any report came, and not only word of what there is.
    fn has_come(&self) -> bool {
        self.holding.is_some() || self.amount != Amount::default()
    }
}

/// Certifies `trace`, assembled from everything that arrived, of which `view` and `received` tell by agent.
///
/// # Source
/// Hindsight spec, section 4.9; each rule is one function below.
pub fn certify(view: Option<&View>, trace: &Trace, received: &BTreeMap<AgentId, Received>) -> Certificate {
    let edges = Edges::of(trace);
    let mut agents = parts(view, received);
    let mut gaps = Gaps::default();
    for agent in edges.named() {
        if agents.len() < LISTED_MAX {
            agents.entry(agent).or_insert_with(|| AgentPart { agent, ..AgentPart::default() });
        } else if !agents.contains_key(&agent) {
            gaps.add(GapKind::TooMany, AgentId::NONE, 0);
        }
    }
    let interval = trace.interval_ns();
    for part in agents.values() {
        let holding = newest(view, received, part.agent);
        of_agent(part, holding, interval, &mut gaps);
    }
    of_trace(trace, &mut gaps);
    edges.check(received, &Silence::new(trace, &agents, |agent| newest(view, received, agent)), &mut gaps);
    if view.is_some_and(|view| view.is_overfull) {
        gaps.add(GapKind::TooMany, AgentId::NONE, 0);
    }
    // It may have been anywhere: hosts that have never seen it say nothing of the others.
    if agents.values().all(|part| part.received == Amount::default() && part.announced == Amount::default()) {
        gaps.add(GapKind::NothingFound, AgentId::NONE, 0);
    }
    let gaps = gaps.into_list();
    Certificate {
        version: CERTIFICATE_VERSION,
        verdict: verdict(&gaps),
        gaps,
        agents: agents.into_values().collect(),
        seed_epoch: view.map_or(0, |view| view.seed_epoch),
    }
}

/// Nothing missing is complete; where all that speaks against it may still come, it is not known; else it is partial.
fn verdict(gaps: &[Gap]) -> Verdict {
    use GapKind::{InProgress, NothingFound, Unanswered, Unreachable};
    let may_come = |gap: &Gap| matches!(gap.kind, Unanswered | Unreachable | InProgress | NothingFound);
    match gaps {
        [] => Verdict::Complete,
        _ if gaps.iter().all(may_come) => Verdict::Unknown,
        _ => Verdict::Partial,
    }
}

/// Returns what agent `agent` said last, to the coordinator or with a report.
fn newest<'a>(
    view: Option<&'a View>,
    received: &'a BTreeMap<AgentId, Received>,
    agent: AgentId,
) -> Option<&'a Holding> {
    let said = view.and_then(|view| view.agents.iter().find(|of| of.agent == agent)?.holding.as_deref());
    let reported = received.get(&agent).and_then(|received| received.holding.as_ref());
    said.into_iter().chain(reported).max_by_key(|holding| holding.revision)
}

/// Returns the parts of all agents that were asked or that reported.
fn parts(view: Option<&View>, received: &BTreeMap<AgentId, Received>) -> BTreeMap<AgentId, AgentPart> {
    let said = received.keys().map(|agent| (*agent, Contact::Unreachable));
    let asked = view.into_iter().flat_map(|view| &view.agents).map(|of| (of.agent, of.contact));
    let came = received.iter().filter(|(_, of)| of.has_come()).map(|(agent, _)| (*agent, Contact::Answered));
    let mut parts = BTreeMap::new();
    for (agent, contact) in said.chain(asked).chain(came) {
        let holding = newest(view, received, agent);
        parts.insert(
            agent,
            AgentPart {
                agent,
                contact,
                state: holding.map(|holding| holding.state),
                announced: announced(view, received, agent),
                received: received.get(&agent).map(|received| received.amount).unwrap_or_default(),
                horizon_ms: holding.and_then(|holding| holding.horizon_ms),
                losses: holding.map(|holding| holding.losses.clone()).unwrap_or_default(),
            },
        );
    }
    parts
}

/// Returns the most that an agent ever said to have.
///
/// What it has becomes less only where it is given up: after it was acknowledged, for traces of higher priority, or because the agent died. An
/// agent that was started again has never seen what it announced before, in a newer word.
fn announced(view: Option<&View>, received: &BTreeMap<AgentId, Received>, agent: AgentId) -> Amount {
    let said = view.and_then(|view| view.agents.iter().find(|of| of.agent == agent)?.holding.as_deref());
    let received = received.get(&agent);
    let reported = received.and_then(|received| received.holding.as_ref());
    let amounts = said.into_iter().chain(reported).map(amount_of).chain(received.map(|received| received.announced));
    amounts.fold(Amount::default(), more)
}

/// Returns how much a holding says there is.
pub fn amount_of(holding: &Holding) -> Amount {
    Amount { n_segments: holding.n_segments, bytes: holding.bytes }
}

/// Returns the larger of both amounts.
pub fn more(a: Amount, b: Amount) -> Amount {
    Amount { n_segments: a.n_segments.max(b.n_segments), bytes: a.bytes.max(b.bytes) }
}

/// What speaks against completeness, by kind and agent.
#[derive(Default)]
struct Gaps(BTreeMap<(GapKind, AgentId), u64>);

impl Gaps {
    fn add(&mut self, kind: GapKind, agent: AgentId, n: u64) {
        let is_listed = self.0.len() < LISTED_MAX || self.0.contains_key(&(kind, agent));
        let (kind, agent) = if is_listed { (kind, agent) } else { (GapKind::TooMany, AgentId::NONE) };
        let count = self.0.entry((kind, agent)).or_default();
        *count = count.saturating_add(n);
    }

    fn into_list(self) -> Vec<Gap> {
        self.0.into_iter().map(|((kind, agent), n)| Gap { kind, agent, n }).collect()
    }
}

/// What an agent said and what of it arrived.
fn of_agent(part: &AgentPart, holding: Option<&Holding>, interval: Option<(u64, u64)>, gaps: &mut Gaps) {
    let agent = part.agent;
    match part.contact {
        Contact::Asked => gaps.add(GapKind::Unanswered, agent, 0),
        Contact::Unreachable | Contact::Unknown => gaps.add(GapKind::Unreachable, agent, 0),
        Contact::Answered => {}
    }
    let n_missing = part.announced.n_segments.saturating_sub(part.received.n_segments);
    if n_missing > 0 || part.announced.bytes > part.received.bytes {
        gaps.add(GapKind::SegmentsMissing, agent, n_missing.max(1));
    }
    let Some(holding) = holding else { return };
    match holding.state {
        HoldingState::Evicted => gaps.add(GapKind::Evicted, agent, 0),
        HoldingState::Refused => gaps.add(GapKind::Refused, agent, 0),
        HoldingState::Abandoned => gaps.add(GapKind::Abandoned, agent, 0),
        // Crumbs say whether it should have seen it.
        HoldingState::NeverSeen | HoldingState::Kept => {}
    }
    let is_forgotten = interval.is_some_and(|(first, _)| first < holding.remembers_since_ns);
    if holding.n_evicted > 0 || (is_forgotten && holding.state != HoldingState::Evicted) {
        gaps.add(GapKind::Evicted, agent, holding.n_evicted);
    }
    if holding.n_open > 0 {
        gaps.add(GapKind::InProgress, agent, holding.n_open);
    }
    if holding.n_left_out > 0 {
        gaps.add(GapKind::TooLarge, agent, holding.n_left_out);
    }
    if holding.detail > 0 {
        gaps.add(GapKind::Detail, agent, holding.detail.into());
    }
    let n_lost: Vec<u64> =
        holding.losses.iter().filter(|loss| touches(loss, interval)).map(|loss| loss.n_records.max(1)).collect();
    if !n_lost.is_empty() {
        gaps.add(GapKind::Loss, agent, n_lost.into_iter().fold(0, u64::saturating_add));
    }
}

/// Returns whether a loss may have hit the trace; one whose times are not known may always have.
fn touches(loss: &LossInterval, interval: Option<(u64, u64)>) -> bool {
    interval.is_none_or(|(first, last)| loss.first_ns <= last && first <= loss.last_ns)
}

/// What the trace tells of itself: records that its own threads lost, and bytes that cannot be read.
fn of_trace(trace: &Trace, gaps: &mut Gaps) {
    for loss in &trace.losses {
        let agent = trace.processes.get(loss.process_idx).map_or(AgentId::NONE, |process| process.agent);
        gaps.add(GapKind::Loss, agent, loss.n_records.max(1));
    }
    let malformed = trace.malformed;
    // A process that dies inside a long write leaves a record without its end: it was never committed.
    let has_death = trace.processes.iter().any(|process| process.death.is_some());
    let n_fragments = if has_death { 0 } else { malformed.fragments };
    let n_malformed = malformed.segments + malformed.records + malformed.strings + n_fragments;
    if n_malformed > 0 {
        gaps.add(GapKind::Malformed, AgentId::NONE, n_malformed);
    }
}

/// A call as its caller names it: the caller's host and span.
type Call = (AgentId, SpanId);

/// Calls between hosts, as both of their ends tell of them.
#[derive(Default)]
struct Edges {
    /// Visits that came from a call, by the host that they came to.
    visits: BTreeMap<(Call, AgentId), u64>,
    /// Calls that were answered, by the host that answered.
    answered: BTreeMap<(Call, AgentId), u64>,
    /// Calls without an answer.
    open: BTreeMap<Call, Vec<OpenEdge>>,
    /// Hosts to which calls without an answer probably went, and those that the request passed beyond the hosts next to one that tells.
    expected: BTreeSet<AgentId>,
    /// Hosts to which calls probably went, with an answer or without.
    leads: BTreeMap<Call, BTreeSet<AgentId>>,
    /// Callers that recorded something.
    spoke: BTreeSet<AgentId>,
    /// Spans that are known, by the host that recorded them.
    spans: BTreeSet<Call>,
}

impl Edges {
    fn of(trace: &Trace) -> Self {
        let mut edges = Self::default();
        for crumb in &trace.crumbs {
            match crumb.direction {
                CrumbDirection::From => {
                    let visits = edges.visits.entry(((crumb.agent, crumb.span), crumb.seen_by)).or_default();
                    *visits = visits.saturating_add(crumb.n);
                }
                CrumbDirection::To => {
                    let answered = edges.answered.entry(((crumb.seen_by, crumb.span), crumb.agent)).or_default();
                    *answered = answered.saturating_add(crumb.n);
                }
                CrumbDirection::Out => {
                    edges.leads.entry((crumb.seen_by, crumb.span)).or_default().insert(crumb.agent);
                }
                CrumbDirection::Before | CrumbDirection::After => {
                    edges.expected.insert(crumb.agent);
                }
            }
        }
        for edge in &trace.open_edges {
            let Some(process) = trace.processes.get(edge.process_idx) else { continue };
            edges.open.entry((process.agent, edge.span)).or_default().push(*edge);
            edges.expected.insert(edge.expected);
            edges.leads.entry((process.agent, edge.span)).or_default().insert(edge.expected);
        }
        let agent_of = |process_idx: usize| trace.processes.get(process_idx).map(|process| process.agent);
        edges.spans = trace.spans.iter().filter_map(|span| Some((agent_of(span.process_idx)?, span.id))).collect();
        edges.spoke = trace.processes.iter().map(|process| process.agent).collect();
        edges
    }

    /// Returns every host that an end of a call names.
    fn named(&self) -> impl Iterator<Item = AgentId> + '_ {
        let callers = self.visits.keys().map(|((caller, _), _)| *caller);
        let callees = self.answered.keys().map(|(_, callee)| *callee);
        callers.chain(callees).chain(self.expected.iter().copied()).filter(|agent| !agent.is_none())
    }

    /// Looks for the other end of each call.
    fn check(&self, received: &BTreeMap<AgentId, Received>, silence: &Silence<'_>, gaps: &mut Gaps) {
        for ((call, callee), n) in &self.answered {
            let n_visits = self.visits.get(&(*call, *callee)).copied().unwrap_or(0);
            if n_visits < *n {
                gaps.add(GapKind::OneEnded, *callee, n - n_visits);
            }
        }
        let (visits, answered) = (by_call(&self.visits), by_call(&self.answered));
        let of = |ends: &BTreeMap<Call, u64>, call| ends.get(call).copied().unwrap_or(0);
        for (call, open) in &self.open {
            // Visits beyond those that were answered are the callees of calls whose answer never came.
            let n_unclaimed = of(&visits, call).saturating_sub(of(&answered, call));
            let n_alone = (open.len() as u64).saturating_sub(n_unclaimed);
            let vouched = self.leads.get(call).and_then(|leads| silence.vouched(leads));
            // They may all be of calls that a death explains: a visit is no callee of the others then.
            let n_unexplained = open.iter().filter(|edge| !silence.is_explained(edge, vouched.as_ref())).count() as u64;
            let n_missing = n_alone.min(n_unexplained);
            if n_missing > 0 {
                gaps.add(GapKind::NoAnswer, call.0, n_missing);
            }
        }
        for ((call, _), n) in &self.visits {
            let (caller, _) = *call;
            let has_come = self.spoke.contains(&caller) && received.get(&caller).is_some_and(Received::has_come);
            if !has_come || !self.knows(call) {
                gaps.add(GapKind::OneEnded, caller, *n);
            }
        }
    }
}

impl Edges {
    /// Returns whether the host that called has recorded the span that did, or any end of a call of it. A call without a span says nothing.
    fn knows(&self, call: &Call) -> bool {
        let by_agent = |known: &(Call, AgentId)| known.0 == *call;
        let is_answered =
            self.answered.range((*call, AgentId::NONE)..).next().is_some_and(|(known, _)| by_agent(known));
        let is_left_open = self.open.contains_key(call) || self.leads.contains_key(call);
        call.1 == SpanId::NONE || self.spans.contains(call) || is_answered || is_left_open
    }
}

/// Returns how many ends each call has, whichever host they lead to.
fn by_call(ends: &BTreeMap<(Call, AgentId), u64>) -> BTreeMap<Call, u64> {
    let mut by_call: BTreeMap<Call, u64> = BTreeMap::new();
    for ((call, _), n) in ends {
        let sum = by_call.entry(*call).or_default();
        *sum = sum.saturating_add(*n);
    }
    by_call
}

#[cfg(test)]
mod tests;
