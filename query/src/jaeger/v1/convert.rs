//! From rows to the structures that become Jaeger's JSON. Pure; called by [`super::Trace::of`].

use super::{Log, Process, RefType, Reference, ShortTraceId, Span, Tag, TagValue, Trace};
use crate::rows::{EventRow, ProcessRow, SpanRow, TraceRows};
use backsight_core::record::StatusCode;
use backsight_core::trace::Attribute;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Trace {
    /// Returns `rows` as Jaeger has them: what is known of the whole trace is warnings, or tags that begin with `backsight.` at its root.
    ///
    /// # Cost
    /// Time and memory linear in the trace, but for processes: those are compared with one another.
    pub fn of(rows: &TraceRows) -> Self {
        let trace = ShortTraceId(rows.id);
        let mut names = ProcessNames { rows: &rows.processes, by_idx: BTreeMap::new(), processes: Vec::new() };
        let mut spans: Vec<_> = rows.spans.iter().map(|row| span(trace, row, names.name(row.process_idx))).collect();
        if let Some(root) = rows.root_idx().and_then(|idx| spans.get_mut(idx)) {
            root.tags.extend(facts(rows));
        }
        let warnings = some(&rows.facts.warnings);
        Self { trace, spans, processes: names.processes.into_iter().collect(), warnings }
    }
}

/// Which process is called what.
struct ProcessNames<'a> {
    rows: &'a [ProcessRow],
    by_idx: BTreeMap<usize, String>,
    processes: Vec<(String, Process)>,
}

impl ProcessNames<'_> {
    fn name(&mut self, idx: usize) -> String {
        if let Some(name) = self.by_idx.get(&idx) {
            return name.clone();
        }
        let process = process(self.rows.get(idx));
        let known = self.processes.iter().find(|(_, known)| *known == process).map(|(name, _)| name.clone());
        let name = known.unwrap_or_else(|| {
            let name = format!("p{}", self.processes.len() + 1);
            self.processes.push((name.clone(), process));
            name
        });
        self.by_idx.insert(idx, name.clone());
        name
    }
}

fn process(row: Option<&ProcessRow>) -> Process {
    let Some(row) = row else { return Process { service_name: "unknown_service".into(), tags: Vec::new() } };
    Process { service_name: row.service.clone(), tags: row.attributes.iter().map(tag).collect() }
}

fn span(trace: ShortTraceId, row: &SpanRow, process: String) -> Span {
    Span {
        trace,
        id: row.id,
        flags: row.flags.into(),
        operation_name: row.operation.clone(),
        references: references(trace, row),
        start_time: row.start_ns / 1000,
        duration: row.duration_ns / 1000,
        tags: tags(row),
        logs: row.events.iter().map(log).collect(),
        process,
        warnings: some(&row.warnings),
    }
}

fn references(trace: ShortTraceId, row: &SpanRow) -> Vec<Reference> {
    let parent = Reference { ref_type: RefType::ChildOf, trace, span: row.parent };
    let links = row.links.iter().map(|link| Reference {
        ref_type: RefType::FollowsFrom,
        trace: ShortTraceId(link.trace),
        span: link.span,
    });
    (!row.parent.is_none()).then_some(parent).into_iter().chain(links).collect()
}

/// Returns what is known of a span in the order in which OpenTelemetry's translator has it.
fn tags(row: &SpanRow) -> Vec<Tag> {
    let mut tags = Vec::with_capacity(row.attributes.len() + 6);
    let (scope, version) = &row.scope;
    tags.extend(text("otel.scope.name", scope));
    tags.extend(text("otel.scope.version", version));
    tags.extend(row.attributes.iter().map(tag));
    tags.extend(row.kind.and_then(|kind| text("span.kind", &kind.name().into())));
    match row.status {
        StatusCode::Unset => {}
        StatusCode::Ok => tags.extend(text("otel.status_code", &"OK".into())),
        StatusCode::Error => {
            tags.extend(text("otel.status_code", &"ERROR".into()));
            tags.push(Tag { key: "error".into(), value: TagValue::Bool(true) });
        }
    }
    tags.extend(text("otel.status_description", &row.status_message));
    tags.extend(text("w3c.tracestate", &row.trace_state));
    tags
}

/// Returns what is known of the whole trace, as tags of its root.
fn facts(rows: &TraceRows) -> Vec<Tag> {
    let facts = &rows.facts;
    let mut tags: Vec<Tag> = Vec::new();
    if !facts.triggers.is_empty() {
        tags.extend(text("backsight.triggers", &facts.triggers.join(",").into()));
    }
    tags.extend(facts.verdict.and_then(|verdict| text("backsight.verdict", &verdict.name().into())));
    tags.extend(facts.sampling.as_ref().and_then(|reason| text("backsight.sampling", reason)));
    tags
}

fn log(event: &EventRow) -> Log {
    let is_named = event.attributes.iter().any(|attribute| &*attribute.key == "event");
    let name = if is_named { None } else { text("event", &event.name) };
    Log { timestamp: event.at_ns / 1000, fields: name.into_iter().chain(event.attributes.iter().map(tag)).collect() }
}

fn tag(attribute: &Attribute) -> Tag {
    Tag { key: attribute.key.clone(), value: (&attribute.value).into() }
}

/// Returns a tag, unless it says nothing.
fn text(key: &str, value: &Arc<str>) -> Option<Tag> {
    (!value.is_empty()).then(|| Tag { key: key.into(), value: TagValue::String(value.clone()) })
}

fn some(warnings: &[String]) -> Option<Vec<String>> {
    (!warnings.is_empty()).then(|| warnings.to_vec())
}
