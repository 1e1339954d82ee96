//! The completeness certificate of a stored trace: what is known to be missing, and of whom nothing is known.
//!
//! Called by the library, for each trace that is asked for or comes to rest. Pure.

use backsight_core::certificate::{
    AgentPart, Amount, CERTIFICATE_VERSION, Certificate, Contact, Gap, GapKind, Verdict,
};
use backsight_core::coordination::View;
use backsight_core::holding::Holding;
use backsight_core::ids::AgentId;
use backsight_core::trace::Trace;
use std::collections::BTreeMap;

/// What has arrived of one agent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Received {
    /// Its segments, without repetition.
    pub amount: Amount,
    /// What it said with them, of the highest revision.
    pub holding: Option<Holding>,
}

/// Returns the certificate of `trace`.
pub fn certify(view: Option<&View>, _trace: &Trace, received: &BTreeMap<AgentId, Received>) -> Certificate {
    let mut agents: BTreeMap<AgentId, AgentPart> = BTreeMap::new();
    for seen in view.into_iter().flat_map(|view| &view.agents) {
        let part = agents.entry(seen.agent).or_default();
        part.contact = seen.contact;
        say(part, seen.holding.as_ref());
    }
    for (agent, received) in received {
        let part = agents.entry(*agent).or_default();
        part.contact = Contact::Answered;
        part.received = received.amount;
        say(part, received.holding.as_ref());
    }
    for (agent, part) in &mut agents {
        part.agent = *agent;
    }
    Certificate {
        version: CERTIFICATE_VERSION,
        verdict: Verdict::Unknown,
        gaps: vec![Gap { kind: GapKind::Unanswered, agent: AgentId::NONE, n: 0 }],
        agents: agents.into_values().collect(),
        seed_epoch: view.map_or(0, |view| view.seed_epoch),
    }
}

fn say(part: &mut AgentPart, holding: Option<&Holding>) {
    let Some(holding) = holding else { return };
    part.state = Some(holding.state);
    part.announced = Amount { n_segments: holding.n_segments, bytes: holding.bytes };
    part.horizon_ms = holding.horizon_ms;
    part.losses.clone_from(&holding.losses);
}
