//! The answers of our own API, but for traces.

use crate::jaeger::v3;
use crate::rows::TraceRows;
use backsight_core::certificate::Verdict;
use serde::{Serialize, Serializer};

/// A whole number as JavaScript reads it without loss: from 2^53 on it is text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Whole(pub(super) u64);

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 < 1 << 53 { serializer.serialize_u64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct SearchAnswer {
    pub(super) traces: Vec<SummaryAnswer>,
    pub(super) next: Option<String>,
    pub(super) partial: Vec<PartialAnswer>,
    pub(super) scanned: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct PartialAnswer {
    pub(super) reason: &'static str,
    pub(super) what: String,
}

/// A trace in a line.
#[derive(Debug, Serialize)]
pub(super) struct SummaryAnswer {
    id: String,
    start: String,
    duration_ns: Whole,
    root: RootAnswer,
    services: Vec<ServiceAnswer>,
    spans: u32,
    errors: u32,
    triggers: Vec<String>,
    sampling: Option<String>,
    completeness: &'static str,
    energy_nj: Option<Whole>,
    pending: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct RootAnswer {
    service: String,
    operation: String,
}

#[derive(Debug, Serialize)]
struct ServiceAnswer {
    name: String,
    spans: u32,
    errors: u32,
}

impl SummaryAnswer {
    pub(super) fn of(rows: &TraceRows) -> Self {
        let summary = v3::Summary::of(rows);
        let (start, end) = (summary.min_start_time_unix_nano, summary.max_end_time_unix_nano);
        let service = |service: v3::ServiceSummary| ServiceAnswer {
            name: service.name,
            spans: service.span_count,
            errors: service.error_span_count,
        };
        Self {
            id: rows.id.to_string(),
            start: start.to_string(),
            duration_ns: Whole(end.saturating_sub(start)),
            root: RootAnswer { service: summary.root_service_name, operation: summary.root_operation_name },
            services: summary.services.into_iter().map(service).collect(),
            spans: summary.span_count,
            errors: summary.error_span_count,
            triggers: rows.facts.triggers.clone(),
            sampling: rows.facts.sampling.as_deref().map(str::to_owned),
            completeness: rows.facts.verdict.map_or("none", Verdict::name),
            energy_nj: rows.facts.energy.map(|energy| Whole(energy.0)),
            pending: rows.facts.is_pending,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct NamesAnswer {
    pub(super) services: Vec<NameAnswer>,
}

#[derive(Debug, Serialize)]
pub(super) struct NameAnswer {
    pub(super) name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct OperationsAnswer {
    pub(super) operations: Vec<OperationAnswer>,
}

#[derive(Debug, Serialize)]
pub(super) struct OperationAnswer {
    pub(super) name: String,
    pub(super) kind: Option<&'static str>,
}
