//! Stored traces in one line each, as JSON: what `backsight trace search --json` prints, and `trace tail --json` line by line.

use crate::trace_json::{CompletenessJson, why};
use crate::wire::Summary;
use backsight_core::ids::TraceId;
use serde::{Deserialize, Serialize};

/// What a search found.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct SearchJson {
    /// Newest first.
    pub traces: Vec<SummaryJson>,
    /// How many more match, at least.
    pub n_more: u64,
}

/// A stored trace in one line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SummaryJson {
    /// The trace.
    #[serde(with = "crate::text")]
    pub trace: TraceId,
    /// Its start in nanoseconds since 1970, 0 where none is known.
    pub start_unix_ns: u64,
    /// From there to the last end.
    pub duration_ns: u64,
    /// The service in which it began.
    pub root_service: String,
    /// What it began with.
    pub root_operation: String,
    /// All services.
    pub services: Vec<String>,
    /// Its spans.
    pub n_spans: u64,
    /// Those that ended in an error.
    pub n_errors: u64,
    /// Hosts that reported something.
    pub n_agents: u64,
    /// Bytes of its records.
    pub bytes: u64,
    /// Processes that died while they worked for it.
    pub n_deaths: u64,
    /// Why it is stored.
    pub fired: Vec<FiredJson>,
    /// Whether it is complete.
    pub state: CompletenessJson,
    /// Why it is not complete.
    pub why: Vec<String>,
}

/// A trigger that fired for a stored trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FiredJson {
    /// Its name, or the id as `0x…` where the name is not known.
    pub trigger: String,
    /// Its id, as `0x…`; empty where an older version wrote this.
    #[serde(default)]
    pub trigger_id: String,
    /// The agent that kept the trace for it, 7 base32 digits.
    pub agent: String,
    /// When, in nanoseconds since 1970.
    pub fired_unix_ns: u64,
    /// The symptomatic trace, where this one is its lateral.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
}

impl From<&Summary> for SummaryJson {
    fn from(summary: &Summary) -> Self {
        let fired = summary.fired.iter().map(|fired| FiredJson {
            trigger: summary.names.label(fired.trigger),
            trigger_id: format!("{:#x}", fired.trigger.0),
            agent: fired.agent.to_string(),
            fired_unix_ns: fired.fired_ns,
            base: fired.base.map(|base| base.to_string()),
        });
        Self {
            trace: summary.trace,
            start_unix_ns: summary.start_ns,
            duration_ns: summary.duration_ns,
            root_service: summary.root_service.clone(),
            root_operation: summary.root_operation.clone(),
            services: summary.services.clone(),
            n_spans: summary.n_spans,
            n_errors: summary.n_errors,
            n_agents: summary.n_agents,
            bytes: summary.bytes,
            n_deaths: summary.n_deaths,
            fired: fired.collect(),
            state: summary.verdict.into(),
            why: summary.gaps.iter().map(why).collect(),
        }
    }
}
