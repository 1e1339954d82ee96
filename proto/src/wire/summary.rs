//! Summaries: a stored trace in one line, as searches and `tail` give it.

use super::{WireError, certificate, name_texts, names, optional_trace_id, trace_bytes, trace_id};
use crate::v1;
use backsight_core::certificate::{Gap, Verdict};
use backsight_core::coordination::Fired;
use backsight_core::ids::{AgentId, TraceId, TriggerId};
use backsight_core::names::TriggerNames;

/// A stored trace in one line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// The trace.
    pub trace: TraceId,
    /// Its start in nanoseconds since 1970, 0 where none is known.
    pub start_ns: u64,
    /// From there to the last end.
    pub duration_ns: u64,
    /// The service in which it began, as far as it is known.
    pub root_service: String,
    /// What it began with.
    pub root_operation: String,
    /// All services, ascending.
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
    pub fired: Vec<Fired>,
    /// Names of these triggers, as far as they are known.
    pub names: TriggerNames,
    /// Whether it is complete.
    pub verdict: Verdict,
    /// Why not.
    pub gaps: Vec<Gap>,
}

impl From<&Fired> for v1::Fired {
    fn from(fired: &Fired) -> Self {
        Self {
            trigger: fired.trigger.0,
            agent: fired.agent.0,
            fired_ns: fired.fired_ns,
            base: fired.base.map(trace_bytes).unwrap_or_default(),
        }
    }
}

impl TryFrom<v1::Fired> for Fired {
    type Error = WireError;

    fn try_from(fired: v1::Fired) -> Result<Self, WireError> {
        Ok(Self {
            trigger: TriggerId(fired.trigger),
            agent: AgentId(fired.agent),
            fired_ns: fired.fired_ns,
            base: optional_trace_id("fired.base", &fired.base)?,
        })
    }
}

impl From<&Summary> for v1::TraceSummary {
    fn from(summary: &Summary) -> Self {
        Self {
            trace: trace_bytes(summary.trace),
            start_ns: summary.start_ns,
            duration_ns: summary.duration_ns,
            root_service: summary.root_service.clone(),
            root_operation: summary.root_operation.clone(),
            services: summary.services.clone(),
            n_spans: summary.n_spans,
            n_errors: summary.n_errors,
            n_agents: summary.n_agents,
            bytes: summary.bytes,
            fired: summary.fired.iter().map(Into::into).collect(),
            verdict: summary.verdict as u32,
            gaps: summary.gaps.iter().map(Into::into).collect(),
            n_deaths: summary.n_deaths,
            trigger_names: name_texts(&summary.names),
        }
    }
}

impl TryFrom<v1::TraceSummary> for Summary {
    type Error = WireError;

    fn try_from(summary: v1::TraceSummary) -> Result<Self, WireError> {
        Ok(Self {
            trace: trace_id("summary.trace", &summary.trace)?,
            start_ns: summary.start_ns,
            duration_ns: summary.duration_ns,
            root_service: summary.root_service,
            root_operation: summary.root_operation,
            services: summary.services,
            n_spans: summary.n_spans,
            n_errors: summary.n_errors,
            n_agents: summary.n_agents,
            bytes: summary.bytes,
            n_deaths: summary.n_deaths,
            fired: summary.fired.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            names: names("summary.trigger_names", &summary.trigger_names)?,
            verdict: certificate::verdict(summary.verdict),
            gaps: summary.gaps.into_iter().filter_map(certificate::gap).collect(),
        })
    }
}
