//! One trace, in whichever form somebody wants it.

use super::forms::{SummaryAnswer, Whole};
use crate::api::answer::Answer;
use crate::api::endpoint::Asked;
use crate::export::{chrome, columns, csv, otlp, perfetto};
use crate::jaeger::v1::{self, Tag};
use crate::problem::Problem;
use crate::rows::{EventRow, ProcessRow, SpanRow, TraceRows};
use backsight_core::record::SpanKind;
use backsight_core::trace::Attribute;
use serde::Serialize;

/// What `format` may be.
const FORMATS: &str = "json, columns, otlp, jaeger, perfetto, chrome, csv";

pub(in crate::api) fn trace(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let format = asked.params.get("format");
    if !format.is_empty() && !FORMATS.split(", ").any(|known| known == format) {
        return Err(Problem::of_parameter("format", format!("expected one of {FORMATS}")));
    }
    let rows = super::stored(asked, "id", asked.captured())?;
    let file = |extension: &str| format!("{}.{extension}", rows.id);
    Ok(match format {
        "columns" => Answer::json(&columns::Columns::of(&rows)),
        "otlp" => Answer::json(&otlp::Request::of(std::slice::from_ref(&rows))),
        "jaeger" => Answer::json(&v1::Envelope::of(vec![v1::Trace::of(&rows)])),
        "perfetto" => Answer::of("application/octet-stream", perfetto::export(&rows)).file(file("pftrace")),
        "chrome" => Answer::json(&chrome::Events::of(&rows)),
        "csv" => Answer::of("text/csv; charset=utf-8", csv::export(&rows).into_bytes()).file(file("csv")),
        _ => Answer::json(&TraceAnswer::of(&rows)),
    })
}

/// A trace.
///
/// # Shape
/// Times of spans and events are nanoseconds from the trace's start.
#[derive(Debug, Serialize)]
struct TraceAnswer<'a> {
    summary: SummaryAnswer,
    warnings: &'a [String],
    processes: Vec<ProcessAnswer<'a>>,
    /// By start.
    spans: Vec<SpanAnswer<'a>>,
}

#[derive(Debug, Serialize)]
struct ProcessAnswer<'a> {
    service: &'a str,
    host: Option<&'a str>,
    instance: Option<&'a str>,
    attributes: Vec<Tag>,
}

#[derive(Debug, Serialize)]
struct SpanAnswer<'a> {
    id: String,
    parent: Option<String>,
    operation: &'a str,
    kind: Option<&'static str>,
    status: &'static str,
    status_message: &'a str,
    start_ns: Whole,
    duration_ns: Whole,
    process: usize,
    scope: [&'a str; 2],
    trace_state: &'a str,
    attributes: Vec<Tag>,
    events: Vec<EventAnswer<'a>>,
    links: Vec<LinkAnswer>,
    energy_nj: Option<Whole>,
    versions: &'a [u32],
    source: &'static str,
    warnings: &'a [String],
}

#[derive(Debug, Serialize)]
struct EventAnswer<'a> {
    at_ns: Whole,
    name: &'a str,
    attributes: Vec<Tag>,
}

#[derive(Debug, Serialize)]
struct LinkAnswer {
    trace: String,
    span: String,
}

impl<'a> TraceAnswer<'a> {
    fn of(rows: &'a TraceRows) -> Self {
        let start_ns = rows.interval_ns().map_or(0, |(start, _)| start);
        Self {
            summary: SummaryAnswer::of(rows),
            warnings: &rows.facts.warnings,
            processes: rows.processes.iter().map(process).collect(),
            spans: rows.spans.iter().map(|row| span(row, start_ns)).collect(),
        }
    }
}

fn process(row: &ProcessRow) -> ProcessAnswer<'_> {
    let (host, instance) = (row.host.as_deref(), row.instance.as_deref());
    ProcessAnswer { service: &row.service, host, instance, attributes: tags(&row.attributes) }
}

fn span(row: &SpanRow, start_ns: u64) -> SpanAnswer<'_> {
    let event = |event: &'_ EventRow| Whole(event.at_ns.saturating_sub(start_ns));
    SpanAnswer {
        id: row.id.to_string(),
        parent: (!row.parent.is_none()).then(|| row.parent.to_string()),
        operation: &row.operation,
        kind: row.kind.map(SpanKind::name),
        status: row.status.name(),
        status_message: &row.status_message,
        start_ns: Whole(row.start_ns.saturating_sub(start_ns)),
        duration_ns: Whole(row.duration_ns),
        process: row.process_idx,
        scope: [&row.scope.0, &row.scope.1],
        trace_state: &row.trace_state,
        attributes: tags(&row.attributes),
        events: row
            .events
            .iter()
            .map(|row| EventAnswer { at_ns: event(row), name: &row.name, attributes: tags(&row.attributes) })
            .collect(),
        links: row
            .links
            .iter()
            .map(|link| LinkAnswer { trace: link.trace.to_string(), span: link.span.to_string() })
            .collect(),
        energy_nj: row.energy.map(|energy| Whole(energy.0)),
        versions: &row.versions,
        source: row.source.name(),
        warnings: &row.warnings,
    }
}

fn tags(attributes: &[Attribute]) -> Vec<Tag> {
    attributes.iter().map(|of| Tag { key: of.key.clone(), value: (&of.value).into() }).collect()
}
