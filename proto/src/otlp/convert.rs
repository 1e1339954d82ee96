//! From a flat trace to the structures that become OTLP/JSON. Pure; called by [`super::ExportRequest::new`].

use super::{
    AnyValue, ArrayValue, EventJson, KeyValue, LinkJson, Resource, ResourceSpans, Scope, ScopeSpans, SpanJson, Status,
};
use crate::base64;
use crate::export::Extras;
use backsight_core::flat::{FlatEvent, FlatSpan, FlatTrace, Home};
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::trace::{Attribute, AttributeValue};
use std::collections::BTreeSet;

/// Returns a resource for each process, with what it wrote, and then one for each further service of a process, with that one's spans.
pub(super) fn resources(flat: &FlatTrace<'_>, extras: Extras<'_>) -> Vec<ResourceSpans> {
    let mut spans: Vec<Vec<SpanJson>> = vec![Vec::new(); flat.homes.len()];
    for of in &flat.spans {
        spans[of.home_idx].push(span(flat.trace.id, of));
    }
    let one = |(home, spans)| {
        let scope = Scope { name: "backsight", version: env!("CARGO_PKG_VERSION") };
        let resource = Resource { attributes: resource(flat, home, extras) };
        ResourceSpans { resource, scope_spans: vec![ScopeSpans { scope, spans }] }
    };
    flat.homes.iter().zip(spans).map(one).collect()
}

fn resource(flat: &FlatTrace<'_>, home: &Home, extras: Extras<'_>) -> Vec<KeyValue> {
    let (trace, idx) = (flat.trace, home.process_idx);
    let mut attributes = vec![text("service.name", &home.service)];
    if let Some(process) = trace.processes.get(idx) {
        attributes.extend(process.attributes(extras.host(process.agent)).iter().map(attribute));
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

fn span(trace: TraceId, span: &FlatSpan<'_>) -> SpanJson {
    let links = span.links().iter();
    let links = links.map(|link| LinkJson { trace_id: link.trace.to_string(), span_id: link.span.to_string() });
    SpanJson {
        trace_id: trace.to_string(),
        span_id: span.id.to_string(),
        parent_span_id: optional(span.parent),
        name: span.operation().to_owned(),
        kind: span.kind() as u8,
        start_time_unix_nano: span.start_ns.to_string(),
        end_time_unix_nano: span.end_ns.to_string(),
        attributes: span.attributes().map(|of| attribute(&of)).collect(),
        events: span.events().iter().map(event).collect(),
        links: links.collect(),
        status: Status { code: span.status() as u8, message: span.status_text().to_owned() },
    }
}

fn event(event: &FlatEvent<'_>) -> EventJson {
    EventJson {
        time_unix_nano: event.at_ns.to_string(),
        name: event.name().to_owned(),
        attributes: event.attributes().iter().map(|of| attribute(of)).collect(),
    }
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
