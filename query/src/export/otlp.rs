//! OTLP/JSON: traces as any OpenTelemetry back end takes them, and as Jaeger's API v3 answers them.
//!
//! # Source
//! OTLP 1.x, "JSON Protobuf Encoding", and opentelemetry/proto/trace/v1/trace.proto.

use crate::jaeger::v1::not_finite;
use crate::rows::{EventRow, ProcessRow, SpanRow, TraceRows, value_of};
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::trace::{Attribute, AttributeValue};
use backsight_proto::base64;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// Traces as an `ExportTraceServiceRequest`.
///
/// # Shape
/// One resource for each process of each trace, one scope for each library in it. What is known of a whole trace stands on its resources:
/// `backsight.verdict`, `backsight.triggers`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    resource_spans: Vec<ResourceSpans<'a>>,
}

impl<'a> Request<'a> {
    /// Returns `traces` in their order.
    ///
    /// # Cost
    /// Time `n log n` in the spans; texts are borrowed.
    pub fn of(traces: &'a [TraceRows]) -> Self {
        Self { resource_spans: traces.iter().flat_map(resources).collect() }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: Vec<ScopeSpans<'a>>,
}

#[derive(Debug, Serialize)]
struct Resource<'a> {
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Debug, Serialize)]
struct ScopeSpans<'a> {
    scope: Scope<'a>,
    spans: Vec<Span<'a>>,
}

#[derive(Debug, Serialize)]
struct Scope<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    #[serde(serialize_with = "text")]
    trace_id: TraceId,
    #[serde(serialize_with = "text")]
    span_id: SpanId,
    #[serde(skip_serializing_if = "str::is_empty")]
    trace_state: &'a str,
    #[serde(serialize_with = "text", skip_serializing_if = "is_none")]
    parent_span_id: SpanId,
    #[serde(skip_serializing_if = "is_zero")]
    flags: u8,
    name: &'a str,
    kind: u8,
    #[serde(serialize_with = "text")]
    start_time_unix_nano: u64,
    #[serde(serialize_with = "text")]
    end_time_unix_nano: u64,
    attributes: Vec<KeyValue<'a>>,
    events: Vec<Event<'a>>,
    links: Vec<Link>,
    status: Status<'a>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(serialize_with = "text")]
    time_unix_nano: u64,
    name: &'a str,
    attributes: Vec<KeyValue<'a>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    #[serde(serialize_with = "text")]
    trace_id: TraceId,
    #[serde(serialize_with = "text")]
    span_id: SpanId,
}

#[derive(Debug, Serialize)]
struct Status<'a> {
    code: u8,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
}

#[derive(Debug, Serialize)]
struct KeyValue<'a> {
    key: &'a str,
    value: Any<'a>,
}

/// A value, of an attribute or of ours.
#[derive(Debug)]
enum Any<'a> {
    Of(&'a AttributeValue),
    Text(&'a str),
    Texts(&'a [String]),
}

#[derive(Serialize)]
struct Values<'a> {
    values: Vec<Any<'a>>,
}

impl Serialize for Any<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::Text(text) => map.serialize_entry("stringValue", text)?,
            Self::Texts(texts) => {
                let values = texts.iter().map(|text| Self::Text(text)).collect();
                map.serialize_entry("arrayValue", &Values { values })?;
            }
            Self::Of(AttributeValue::Bool(flag)) => map.serialize_entry("boolValue", flag)?,
            Self::Of(AttributeValue::I64(number)) => map.serialize_entry("intValue", &number.to_string())?,
            Self::Of(AttributeValue::F64(number)) if number.is_finite() => {
                map.serialize_entry("doubleValue", number)?
            }
            Self::Of(AttributeValue::F64(number)) => map.serialize_entry("doubleValue", not_finite(*number))?,
            Self::Of(AttributeValue::Str(text)) => map.serialize_entry("stringValue", &**text)?,
            Self::Of(AttributeValue::Bytes(bytes)) => map.serialize_entry("bytesValue", &base64::encode(bytes))?,
            Self::Of(AttributeValue::Array(values)) => {
                let values = values.iter().map(Any::Of).collect();
                map.serialize_entry("arrayValue", &Values { values })?;
            }
        }
        map.end()
    }
}

fn text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_none(span: &SpanId) -> bool {
    span.is_none()
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
const fn is_zero(flags: &u8) -> bool {
    *flags == 0
}

/// Returns the resources of a trace in the order of its processes.
fn resources(rows: &TraceRows) -> impl Iterator<Item = ResourceSpans<'_>> {
    let mut scopes: BTreeMap<usize, BTreeMap<(&str, &str), Vec<Span<'_>>>> = BTreeMap::new();
    for row in &rows.spans {
        let of_process = scopes.entry(row.process_idx).or_default();
        of_process.entry((&row.scope.0, &row.scope.1)).or_default().push(span(rows.id, row));
    }
    scopes.into_iter().map(|(idx, scopes)| ResourceSpans {
        resource: Resource { attributes: resource(rows, rows.processes.get(idx)) },
        scope_spans: scopes
            .into_iter()
            .map(|((name, version), spans)| ScopeSpans { scope: Scope { name, version }, spans })
            .collect(),
    })
}

fn resource<'a>(rows: &'a TraceRows, process: Option<&'a ProcessRow>) -> Vec<KeyValue<'a>> {
    let service = process.map_or("", |process| &process.service);
    let service = if service.is_empty() { "unknown_service" } else { service };
    let mut attributes = vec![KeyValue { key: "service.name", value: Any::Text(service) }];
    let known = process.map_or(&[][..], |process| &process.attributes);
    attributes.extend(key_values(known));
    let host = process.and_then(|process| process.host.as_deref());
    let host = host.filter(|_| value_of(known, "host.name").is_none());
    attributes.extend(host.map(|host| KeyValue { key: "host.name", value: Any::Text(host) }));
    let verdict = rows.facts.verdict.map(|verdict| verdict.name());
    attributes.extend(verdict.map(|name| KeyValue { key: "backsight.verdict", value: Any::Text(name) }));
    if !rows.facts.triggers.is_empty() {
        attributes.push(KeyValue { key: "backsight.triggers", value: Any::Texts(&rows.facts.triggers) });
    }
    attributes
}

fn span(trace_id: TraceId, row: &SpanRow) -> Span<'_> {
    Span {
        trace_id,
        span_id: row.id,
        trace_state: &row.trace_state,
        parent_span_id: row.parent,
        flags: row.flags,
        name: &row.operation,
        kind: row.kind.map_or(0, |kind| kind as u8),
        start_time_unix_nano: row.start_ns,
        end_time_unix_nano: row.start_ns.saturating_add(row.duration_ns),
        attributes: key_values(&row.attributes).collect(),
        events: row.events.iter().map(event).collect(),
        links: row.links.iter().map(|link| Link { trace_id: link.trace, span_id: link.span }).collect(),
        status: Status { code: row.status as u8, message: &row.status_message },
    }
}

fn event(row: &EventRow) -> Event<'_> {
    Event { time_unix_nano: row.at_ns, name: &row.name, attributes: key_values(&row.attributes).collect() }
}

fn key_values(attributes: &[Attribute]) -> impl Iterator<Item = KeyValue<'_>> {
    attributes.iter().map(|attribute| KeyValue { key: &attribute.key, value: Any::Of(&attribute.value) })
}
