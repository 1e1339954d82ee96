//! From the certificate of `core` to its JSON, with each gap as a sentence.

use super::{AgentPartJson, CertificateJson, CompletenessJson};
use backsight_core::certificate::{AgentPart, Certificate, Gap, GapKind, Verdict};
use backsight_core::holding::DETAIL_UNRECORDED;

impl From<&Certificate> for CertificateJson {
    fn from(certificate: &Certificate) -> Self {
        Self {
            state: certificate.verdict.into(),
            why: certificate.gaps.iter().map(why).collect(),
            agents: certificate.agents.iter().map(Into::into).collect(),
        }
    }
}

impl From<Verdict> for CompletenessJson {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Complete => Self::Complete,
            Verdict::Partial => Self::Partial,
            Verdict::Unknown => Self::Unknown,
        }
    }
}

impl From<&AgentPart> for AgentPartJson {
    fn from(part: &AgentPart) -> Self {
        Self {
            agent: part.agent.to_string(),
            contact: part.contact.name().to_owned(),
            state: part.state.map(|state| state.name().to_owned()),
            announced_segments: part.announced.n_segments,
            announced_bytes: part.announced.bytes,
            received_segments: part.received.n_segments,
            received_bytes: part.received.bytes,
            horizon_ms: part.horizon_ms,
        }
    }
}

/// Returns what a gap means, as `evicted: it had left the horizon of agent 0k3m9zq`.
pub fn why(gap: &Gap) -> String {
    let (name, agent, n) = (gap.kind.name(), gap.agent, gap.n);
    let text = match gap.kind {
        GapKind::Unanswered => format!("agent {agent} was asked and has not answered yet"),
        GapKind::Unreachable => format!("agent {agent} cannot be reached"),
        GapKind::SegmentsMissing => {
            format!("{} not arrived from agent {agent}, which announced more", have(n, "segment"))
        }
        GapKind::Detail if n == u64::from(DETAIL_UNRECORDED) => {
            format!("agent {agent} did not record such traces for a while")
        }
        GapKind::Detail => format!("agent {agent} recorded without detail level {n}"),
        GapKind::Loss => format!("{} lost on the host of agent {agent} meanwhile", were(n, "record")),
        GapKind::Evicted if n > 0 => format!("{} left the horizon of agent {agent}", have(n, "segment")),
        GapKind::Evicted => format!("it had left the horizon of agent {agent}"),
        GapKind::Refused => format!("a limit of agent {agent} refused it"),
        GapKind::Abandoned => format!("agent {agent} gave it up for traces of higher priority"),
        GapKind::TooLarge => format!("{} left out by agent {agent}: the trace is too large", were(n, "segment")),
        GapKind::NoAnswer => format!("{} no callee here, from the host of agent {agent}", have(n, "call")),
        GapKind::OneEnded => format!("{} no other end on the host of agent {agent}", have(n, "crumb")),
        GapKind::Malformed => format!("{} cannot be read", plural(n, "record")),
        GapKind::InProgress => format!("{} still open on the host of agent {agent}", are(n, "segment")),
        GapKind::TooMany => "more agents were named, or more is missing, than is listed".to_owned(),
        GapKind::NothingFound => "no agent that was asked has anything of it".to_owned(),
    };
    format!("{name}: {text}")
}

fn plural(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

fn have(n: u64, noun: &str) -> String {
    format!("{} {}", plural(n, noun), if n == 1 { "has" } else { "have" })
}

fn were(n: u64, noun: &str) -> String {
    format!("{} {}", plural(n, noun), if n == 1 { "was" } else { "were" })
}

fn are(n: u64, noun: &str) -> String {
    format!("{} {}", plural(n, noun), if n == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests {
    use super::why;
    use backsight_core::certificate::{Gap, GapKind};
    use backsight_core::ids::AgentId;

    #[test]
    fn every_gap_is_a_sentence_that_begins_with_its_name() {
        for kind in GapKind::ALL {
            for n in [1, 2] {
                let text = why(&Gap { kind: *kind, agent: AgentId(7), n });
                assert!(text.starts_with(&format!("{}: ", kind.name())) && !text.ends_with('.'), "{text}");
            }
        }
        let gap = Gap { kind: GapKind::SegmentsMissing, agent: AgentId(7), n: 2 };
        assert_eq!(why(&gap), "segments_missing: 2 segments have not arrived from agent 0000007, which announced more");
    }
}
