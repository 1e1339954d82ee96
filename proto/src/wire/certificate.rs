//! Certificates. What a later version says of a trace that this one does not understand reads as unknown, never as complete.

use crate::v1;
use backsight_core::certificate::{
    AgentPart, Amount, CERTIFICATE_VERSION, Certificate, Contact, Gap, GapKind, Verdict,
};
use backsight_core::holding::HoldingState;
use backsight_core::ids::AgentId;

impl From<&Certificate> for v1::Certificate {
    fn from(certificate: &Certificate) -> Self {
        Self {
            version: certificate.version,
            verdict: certificate.verdict as u32,
            gaps: certificate.gaps.iter().map(Into::into).collect(),
            agents: certificate.agents.iter().map(Into::into).collect(),
            seed_epoch: certificate.seed_epoch,
        }
    }
}

impl From<v1::Certificate> for Certificate {
    fn from(certificate: v1::Certificate) -> Self {
        let verdict = verdict(certificate.verdict);
        let is_known = certificate.version <= CERTIFICATE_VERSION;
        Self {
            version: certificate.version,
            verdict: if is_known || verdict != Verdict::Complete { verdict } else { Verdict::Unknown },
            gaps: certificate.gaps.into_iter().filter_map(gap).collect(),
            agents: certificate.agents.into_iter().map(Into::into).collect(),
            seed_epoch: certificate.seed_epoch,
        }
    }
}

/// Reads a verdict.
pub(super) fn verdict(code: u32) -> Verdict {
    u8::try_from(code).ok().and_then(Verdict::from_code).unwrap_or_default()
}

impl From<&Gap> for v1::Gap {
    fn from(gap: &Gap) -> Self {
        Self { kind: gap.kind as u32, agent: gap.agent.0, n: gap.n }
    }
}

/// Reads a gap, `None` where its kind is of a later version: the verdict says what it amounts to.
pub(super) fn gap(gap: v1::Gap) -> Option<Gap> {
    let kind = u8::try_from(gap.kind).ok().and_then(GapKind::from_code)?;
    Some(Gap { kind, agent: AgentId(gap.agent), n: gap.n })
}

impl From<&AgentPart> for v1::AgentPart {
    fn from(part: &AgentPart) -> Self {
        Self {
            agent: part.agent.0,
            contact: part.contact as u32,
            state: part.state.map_or(0, |state| state as u32),
            announced: Some(part.announced.into()),
            received: Some(part.received.into()),
            horizon_ms: part.horizon_ms,
            losses: part.losses.iter().map(Into::into).collect(),
        }
    }
}

impl From<v1::AgentPart> for AgentPart {
    fn from(part: v1::AgentPart) -> Self {
        Self {
            agent: AgentId(part.agent),
            contact: u8::try_from(part.contact).ok().and_then(Contact::from_code).unwrap_or_default(),
            state: u8::try_from(part.state).ok().and_then(HoldingState::from_code),
            announced: part.announced.unwrap_or_default().into(),
            received: part.received.unwrap_or_default().into(),
            horizon_ms: part.horizon_ms,
            losses: part.losses.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Amount> for v1::Amount {
    fn from(amount: Amount) -> Self {
        Self { n_segments: amount.n_segments, bytes: amount.bytes }
    }
}

impl From<v1::Amount> for Amount {
    fn from(amount: v1::Amount) -> Self {
        Self { n_segments: amount.n_segments, bytes: amount.bytes }
    }
}
