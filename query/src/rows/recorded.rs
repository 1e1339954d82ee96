//! From what agents recorded to rows. Visits that have no span are spans called `visit`, payloads and calls without answer are events, as in
//! the other exports.

use super::{EventRow, Facts, MESSAGE, ProcessRow, Source, SpanRow, TraceRows};
use backsight_core::ids::TriggerId;
use backsight_core::record::SpanKind;
use backsight_core::trace::{Attribute, AttributeValue, Notes, ProcessClock, Span, Trace, Visit};
use backsight_proto::export::{Extras, Part, Relations, on_one_clock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl TraceRows {
    /// Returns what of `trace` can be answered, with what is known beside it.
    ///
    /// # Cost
    /// Time `n log n`, memory linear in the trace; texts are shared.
    pub fn recorded(trace: &Trace, extras: Extras<'_>) -> Self {
        let trace = on_one_clock(trace);
        let mut made = Making { trace: &trace, relations: Relations::of(&trace), processes: processes(&trace, extras) };
        let mut further = BTreeMap::new();
        let mut spans = Vec::with_capacity(trace.spans.len() + trace.visits.len());
        for (idx, span) in trace.spans.iter().enumerate() {
            let process_idx = made.process_idx(span, &mut further);
            spans.push(SpanRow { process_idx, ..made.span(idx, span) });
        }
        spans.extend(trace.visits.iter().enumerate().map(|(idx, visit)| made.visit(idx, visit)));
        spans.sort_by_key(|span| span.start_ns);
        Self { id: trace.id, spans, processes: made.processes, facts: facts(&trace, extras) }
    }
}

fn facts(trace: &Trace, extras: Extras<'_>) -> Facts {
    let triggers: BTreeSet<TriggerId> = trace.fired.iter().map(|firing| firing.trigger).collect();
    let mut warnings = Vec::new();
    if let Some(certificate) = extras.certificate {
        for gap in &certificate.gaps {
            warnings.push(backsight_proto::trace_json::why(gap));
        }
    }
    let lost = trace.losses.iter().fold(0_u64, |sum, loss| sum.saturating_add(loss.n_records));
    if lost > 0 {
        warnings.push(format!("{lost} records were given up while the trace was active"));
    }
    Facts {
        triggers: triggers.into_iter().map(|trigger| trace.names.label(trigger).to_string()).collect(),
        verdict: extras.certificate.map(|certificate| certificate.verdict),
        warnings,
        ..Facts::default()
    }
}

fn processes(trace: &Trace, extras: Extras<'_>) -> Vec<ProcessRow> {
    let row = |process: &backsight_core::trace::ProcessInfo| {
        let host: Option<Arc<str>> = extras.host(process.agent).map(Into::into);
        let mut attributes = vec![
            int("process.pid", process.pid.into()),
            text("backsight.agent", &process.agent.to_string()),
            text("backsight.region", &process.region.to_string()),
        ];
        attributes.extend(host.as_ref().map(|host| text("host.name", host)));
        if matches!(process.clock, ProcessClock::Ticks { .. }) {
            attributes.push(text("backsight.clock", "ticks"));
        }
        if let Some(death) = &process.death {
            attributes.push(int("backsight.death.signal", death.last_words.signal.into()));
        }
        let on = host.as_deref().map_or_else(|| process.agent.to_string(), str::to_owned);
        let service: Arc<str> =
            if process.service.is_empty() { "unknown_service".into() } else { process.service.clone() };
        ProcessRow { service, host, instance: Some(format!("{on}:{}", process.pid).into()), attributes }
    };
    trace.processes.iter().map(row).collect()
}

/// A trace on its way.
struct Making<'a> {
    trace: &'a Trace,
    relations: Relations,
    processes: Vec<ProcessRow>,
}

impl Making<'_> {
    /// Returns the row of a span's process: of its own where it is of another service than the process.
    fn process_idx(&mut self, span: &Span, further: &mut BTreeMap<(usize, Arc<str>), usize>) -> usize {
        if span.service.is_empty() {
            return span.process_idx;
        }
        let processes = &mut self.processes;
        *further.entry((span.process_idx, span.service.clone())).or_insert_with(|| {
            let of = processes.get(span.process_idx).cloned().unwrap_or_default();
            processes.push(ProcessRow { service: span.service.clone(), ..of });
            processes.len() - 1
        })
    }

    fn span(&self, idx: usize, span: &Span) -> SpanRow {
        let part = Part::Span(idx);
        let mut attributes = span.notes.attributes.clone();
        attributes.extend(state(span.end_ns.is_none(), span.is_cut));
        if !span.is_started {
            attributes.push(flag("backsight.start_lost"));
        }
        attributes.push(int("backsight.tid", span.tid.into()));
        SpanRow {
            id: span.id,
            parent: self.relations.parent(span.parent),
            operation: span.name.clone(),
            kind: Some(span.kind),
            status: span.status,
            status_message: span.status_text.clone(),
            scope: scope(),
            start_ns: span.start_ns,
            duration_ns: self.relations.end_ns(part).saturating_sub(span.start_ns),
            process_idx: span.process_idx,
            attributes,
            events: self.events(part, &span.notes),
            links: span.links.clone(),
            source: Source::Recorder,
            ..SpanRow::default()
        }
    }

    fn visit(&self, idx: usize, visit: &Visit) -> SpanRow {
        let part = Part::Visit(idx);
        let mut attributes = visit.notes.attributes.clone();
        attributes.extend(state(visit.end_ns.is_none(), visit.is_cut));
        attributes.push(int("backsight.tid", visit.tid.into()));
        SpanRow {
            id: self.trace.visit_id(visit),
            parent: self.relations.parent(visit.parent),
            operation: "visit".into(),
            kind: Some(SpanKind::Internal),
            scope: scope(),
            start_ns: visit.start_ns,
            duration_ns: self.relations.end_ns(part).saturating_sub(visit.start_ns),
            process_idx: visit.process_idx,
            attributes,
            events: self.events(part, &visit.notes),
            source: Source::Recorder,
            ..SpanRow::default()
        }
    }

    fn events(&self, part: Part, notes: &Notes) -> Vec<EventRow> {
        let noted = notes.events.iter().map(|event| {
            let mut attributes = event.attributes.clone();
            if !event.message.is_empty() {
                attributes.push(text(MESSAGE, &event.message));
            }
            EventRow { at_ns: event.at_ns, name: event.name.clone(), attributes }
        });
        let raw = notes.payloads.iter().map(|payload| {
            let mut attributes = vec![pair("backsight.payload", AttributeValue::Bytes(payload.bytes.clone()))];
            attributes.extend(payload.name.as_ref().map(|name| text("backsight.name", name)));
            if payload.is_truncated {
                attributes.push(flag("backsight.truncated"));
            }
            EventRow { at_ns: payload.at_ns, name: "raw".into(), attributes }
        });
        let open_calls = self.relations.open_calls(part).iter();
        let open_calls = open_calls.map(|at_ns| EventRow {
            at_ns: *at_ns,
            name: "call without answer".into(),
            attributes: Vec::new(),
        });
        let mut events: Vec<_> = noted.chain(raw).chain(open_calls).collect();
        events.sort_by_key(|event| event.at_ns);
        events
    }
}

fn scope() -> (Arc<str>, Arc<str>) {
    ("backsight".into(), env!("CARGO_PKG_VERSION").into())
}

fn state(is_open: bool, is_cut: bool) -> Option<Attribute> {
    match (is_open, is_cut) {
        (_, true) => Some(flag("backsight.cut")),
        (true, false) => Some(flag("backsight.open")),
        (false, false) => None,
    }
}

fn pair(key: &str, value: AttributeValue) -> Attribute {
    Attribute { key: key.into(), value }
}

fn text(key: &str, value: &str) -> Attribute {
    pair(key, AttributeValue::Str(value.into()))
}

fn int(key: &str, value: i64) -> Attribute {
    pair(key, AttributeValue::I64(value))
}

fn flag(key: &str) -> Attribute {
    pair(key, AttributeValue::Bool(true))
}
