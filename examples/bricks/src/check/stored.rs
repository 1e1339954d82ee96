//! What `backsight trace get ID... --format json` printed: traces one after another, read one at a time.
//!
//! Called by `check`. Only the fields that the verdict needs are read; no trace is held longer than it takes to count its spans.

use super::verdict::{Captured, Claim};
use crate::truth::Truth;
use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;
use std::io::Read;

#[derive(Deserialize)]
struct Trace {
    trace: String,
    #[serde(default)]
    spans: Vec<Span>,
    #[serde(default)]
    losses: Vec<IgnoredAny>,
    certificate: Option<Certificate>,
}

#[derive(Deserialize)]
struct Span {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct Certificate {
    state: State,
    #[serde(default)]
    why: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Complete,
    Partial,
    Unknown,
}

/// Reads the traces of edge cases; of one that stands there twice the last counts.
pub(crate) fn read(bytes: impl Read, truth: &Truth) -> Result<BTreeMap<u128, Captured>> {
    let mut captured = BTreeMap::new();
    for (idx, trace) in serde_json::Deserializer::from_reader(bytes).into_iter::<Trace>().enumerate() {
        let trace = trace.with_context(|| format!("trace {idx}"))?;
        let id = parse_id(&trace.trace).with_context(|| format!("trace {idx}"))?;
        if truth.edge_cases.contains_key(&id) {
            captured.insert(id, trace.into());
        }
    }
    Ok(captured)
}

/// Reads a trace id of 32 hex digits.
pub(super) fn parse_id(text: &str) -> Result<u128> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    anyhow::ensure!(is_id, "`{text}` is no trace id of 32 hex digits");
    u128::from_str_radix(text, 16).with_context(|| format!("`{text}` is no trace id"))
}

impl From<Trace> for Captured {
    fn from(trace: Trace) -> Self {
        let mut visits = BTreeMap::new();
        for span in trace.spans.iter().filter(|span| span.kind == "server") {
            // Named `service/api`; another name is a service that the truth does not know.
            let service = span.name.split_once('/').map_or(span.name.as_str(), |(service, _)| service);
            *visits.entry(service.to_owned()).or_default() += 1;
        }
        let claim = match trace.certificate {
            None => Claim::Uncertified { is_lossy: !trace.losses.is_empty() },
            Some(Certificate { state: State::Complete, .. }) => Claim::Complete,
            Some(Certificate { state: State::Partial, why }) => Claim::Incomplete { state: "partial", why },
            Some(Certificate { state: State::Unknown, why }) => Claim::Incomplete { state: "unknown", why },
        };
        Self { visits, claim }
    }
}
