//! From a trace to the structures that become OTLP/JSON. Pure; called by [`super::ExportRequest::new`].

use super::{
    AnyValue, ArrayValue, EventJson, KeyValue, LinkJson, Resource, ResourceSpans, Scope, ScopeSpans, SpanJson, Status,
};
use crate::base64;
use crate::export::{Extras, Part, Relations};
use backsight_core::ids::SpanId;
use backsight_core::record::SpanKind;
use backsight_core::trace::{Attribute, AttributeValue, Event, Notes, Payload, ProcessClock, Span, Trace, Visit};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Returns a resource for each process, with what it wrote, and then one for each further service of a process, with that one's spans.
pub(super) fn resources(trace: &Trace, extras: Extras<'_>) -> Vec<ResourceSpans> {
    let relations = Relations::of(trace);
    let of = |idx| OfProcess { trace, relations: &relations, idx, spans: Vec::new() };
    let mut all: Vec<_> = (0..trace.processes.len()).map(of).collect();
    let mut further: BTreeMap<(usize, Arc<str>), OfProcess<'_>> = BTreeMap::new();
    for (idx, span) in trace.spans.iter().enumerate() {
        let of = match span.service.is_empty() {
            true => all.get_mut(span.process_idx),
            false => {
                let key = (span.process_idx, span.service.clone());
                Some(further.entry(key).or_insert_with(|| of(span.process_idx)))
            }
        };
        if let Some(of) = of {
            let span = of.span(idx, span);
            of.spans.push(span);
        }
    }
    for (idx, visit) in trace.visits.iter().enumerate() {
        if let Some(of) = all.get_mut(visit.process_idx) {
            let visit = of.visit(idx, visit);
            of.spans.push(visit);
        }
    }
    let one = |(service, of): (Option<Arc<str>>, OfProcess<'_>)| {
        let process = trace.processes.get(of.idx)?;
        let scope = Scope { name: "backsight", version: env!("CARGO_PKG_VERSION") };
        let service = service.unwrap_or_else(|| process.service.clone());
        let resource = Resource { attributes: resource(trace, of.idx, &service, extras) };
        Some(ResourceSpans { resource, scope_spans: vec![ScopeSpans { scope, spans: of.spans }] })
    };
    let further = further.into_iter().map(|((_, service), of)| (Some(service), of));
    all.into_iter().map(|of| (None, of)).chain(further).filter_map(one).collect()
}

fn resource(trace: &Trace, idx: usize, service: &str, extras: Extras<'_>) -> Vec<KeyValue> {
    let Some(process) = trace.processes.get(idx) else { return Vec::new() };
    let mut attributes = vec![
        text("service.name", if service.is_empty() { "unknown_service" } else { service }),
        int("process.pid", process.pid.into()),
        text("backsight.agent", &process.agent.to_string()),
        text("backsight.region", &process.region.to_string()),
    ];
    attributes.extend(extras.host(process.agent).map(|host| text("host.name", host)));
    if matches!(process.clock, ProcessClock::Ticks { .. }) {
        attributes.push(text("backsight.clock", "ticks"));
    }
    if let Some(death) = &process.death {
        attributes.push(int("backsight.death.signal", death.last_words.signal.into()));
    }
    let fired = trace.fired.iter().filter(|firing| firing.process_idx == idx);
    let triggers: BTreeSet<_> = fired.map(|firing| firing.trigger).collect();
    if !triggers.is_empty() {
        attributes.push(texts("backsight.triggers", triggers.iter().map(|trigger| trace.names.label(*trigger))));
        attributes.push(texts("backsight.trigger_ids", triggers.iter().map(|trigger| format!("{:#x}", trigger.0))));
    }
    let lost = trace.losses.iter().filter(|loss| loss.process_idx == idx);
    let lost = lost.fold(0_u64, |sum, loss| sum.saturating_add(loss.n_records));
    if lost > 0 {
        attributes.push(int("backsight.lost_records", i64::try_from(lost).unwrap_or(i64::MAX)));
    }
    if let Some(certificate) = extras.certificate {
        attributes.push(text("backsight.verdict", certificate.verdict.name()));
        let gap = |gap: &backsight_core::certificate::Gap| match gap.agent.is_none() {
            true => format!("{} {}", gap.kind.name(), gap.n),
            false => format!("{} {} at {}", gap.kind.name(), gap.n, gap.agent),
        };
        attributes.push(texts("backsight.gaps", certificate.gaps.iter().map(gap)));
    }
    attributes
}

/// What one process wrote, on its way.
struct OfProcess<'a> {
    trace: &'a Trace,
    relations: &'a Relations,
    idx: usize,
    spans: Vec<SpanJson>,
}

impl OfProcess<'_> {
    fn span(&self, idx: usize, span: &Span) -> SpanJson {
        let part = Part::Span(idx);
        let mut attributes = notes_attributes(&span.notes);
        attributes.extend(state(span.end_ns.is_none(), span.is_cut));
        if !span.is_started {
            attributes.push(flag("backsight.start_lost"));
        }
        attributes.push(int("backsight.tid", span.tid.into()));
        let links = span.links.iter();
        let links = links.map(|link| LinkJson { trace_id: link.trace.to_string(), span_id: link.span.to_string() });
        SpanJson {
            trace_id: self.trace.id.to_string(),
            span_id: span.id.to_string(),
            parent_span_id: optional(self.relations.parent(span.parent)),
            name: span.name.to_string(),
            kind: span.kind as u8,
            start_time_unix_nano: span.start_ns.to_string(),
            end_time_unix_nano: self.relations.end_ns(part).to_string(),
            attributes,
            events: self.events(part, &span.notes),
            links: links.collect(),
            status: Status { code: span.status as u8, message: span.status_text.to_string() },
        }
    }

    fn visit(&self, idx: usize, visit: &Visit) -> SpanJson {
        let part = Part::Visit(idx);
        let mut attributes = notes_attributes(&visit.notes);
        attributes.extend(state(visit.end_ns.is_none(), visit.is_cut));
        attributes.push(int("backsight.tid", visit.tid.into()));
        SpanJson {
            trace_id: self.trace.id.to_string(),
            span_id: self.trace.visit_id(visit).to_string(),
            parent_span_id: optional(self.relations.parent(visit.parent)),
            name: "visit".to_owned(),
            kind: SpanKind::Internal as u8,
            start_time_unix_nano: visit.start_ns.to_string(),
            end_time_unix_nano: self.relations.end_ns(part).to_string(),
            attributes,
            events: self.events(part, &visit.notes),
            links: Vec::new(),
            status: Status { code: 0, message: String::new() },
        }
    }

    fn events(&self, part: Part, notes: &Notes) -> Vec<EventJson> {
        let event = |event: &Event| {
            let mut attributes: Vec<_> = event.attributes.iter().map(attribute).collect();
            if !event.message.is_empty() {
                attributes.push(text("message", &event.message));
            }
            (
                event.at_ns,
                EventJson { time_unix_nano: event.at_ns.to_string(), name: event.name.to_string(), attributes },
            )
        };
        let raw = |payload: &Payload| {
            let mut attributes = vec![pair("backsight.payload", AnyValue::BytesValue(base64::encode(&payload.bytes)))];
            attributes.extend(payload.name.as_ref().map(|name| text("backsight.name", name)));
            if payload.is_truncated {
                attributes.push(flag("backsight.truncated"));
            }
            (payload.at_ns, EventJson { time_unix_nano: payload.at_ns.to_string(), name: "raw".to_owned(), attributes })
        };
        let open_call = |at: &u64| {
            let (time_unix_nano, name) = (at.to_string(), "call without answer".to_owned());
            (*at, EventJson { time_unix_nano, name, attributes: Vec::new() })
        };
        let open_calls = self.relations.open_calls(part).iter().map(open_call);
        let notes = notes.events.iter().map(event).chain(notes.payloads.iter().map(raw));
        let mut events: Vec<_> = notes.chain(open_calls).collect();
        events.sort_by_key(|(at, _)| *at);
        events.into_iter().map(|(_, event)| event).collect()
    }
}

fn state(is_open: bool, is_cut: bool) -> Option<KeyValue> {
    match (is_open, is_cut) {
        (_, true) => Some(flag("backsight.cut")),
        (true, false) => Some(flag("backsight.open")),
        (false, false) => None,
    }
}

fn notes_attributes(notes: &Notes) -> Vec<KeyValue> {
    notes.attributes.iter().map(attribute).collect()
}

fn attribute(attribute: &Attribute) -> KeyValue {
    pair(&attribute.key, value(&attribute.value))
}

fn value(from: &AttributeValue) -> AnyValue {
    match from {
        AttributeValue::Bool(value) => AnyValue::BoolValue(*value),
        AttributeValue::I64(value) => AnyValue::IntValue(value.to_string()),
        AttributeValue::F64(value) => AnyValue::DoubleValue(*value),
        AttributeValue::Str(text) => AnyValue::StringValue(text.to_string()),
        AttributeValue::Bytes(bytes) => AnyValue::BytesValue(base64::encode(bytes)),
        AttributeValue::Array(values) => {
            AnyValue::ArrayValue(ArrayValue { values: values.iter().map(value).collect() })
        }
    }
}

fn optional(span: SpanId) -> String {
    if span.is_none() { String::new() } else { span.to_string() }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.to_owned(), value }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, AnyValue::StringValue(value.to_owned()))
}

fn texts(key: &str, values: impl IntoIterator<Item = String>) -> KeyValue {
    pair(key, AnyValue::ArrayValue(ArrayValue { values: values.into_iter().map(AnyValue::StringValue).collect() }))
}

fn int(key: &str, value: i64) -> KeyValue {
    pair(key, AnyValue::IntValue(value.to_string()))
}

fn flag(key: &str) -> KeyValue {
    pair(key, AnyValue::BoolValue(true))
}
