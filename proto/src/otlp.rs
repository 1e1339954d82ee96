//! OTLP/JSON: a trace as any OpenTelemetry back end takes it, the body of a `POST /v1/traces`.
//!
//! Written by the command line and whoever exports; what others write is read by [`crate::wire::otlp_json`]. Field names and forms are those of OpenTelemetry, and must
//! never be ours.

mod convert;

use crate::export::Extras;
use backsight_core::flat::FlatTrace;
use backsight_core::trace::Trace;
use serde::Serialize;

/// A trace as an OTLP `ExportTraceServiceRequest`.
///
/// # Shape
/// The spans of the trace's flat form ([`FlatTrace`]), with one resource for each process and each further service of it. Ids are hex, 64-bit
/// integers are text, bytes are base64. Attributes of ours begin with `backsight.`: on resources
/// `agent`, `region`, `verdict`, `gaps`, `clock`, `triggers` (names, or ids where no name is known) with
/// `trigger_ids` beside it, `lost_records`, `death.signal`; on spans `open` (the end is not known, and
/// reads as the last that is), `cut` (by the death of the process), `start_lost`, `tid`. A visit is an internal span
/// `visit`; payloads are events `raw`, open edges events `call without answer`.
///
/// Times of a process without wall time are ticks behind the start of the trace; its resource has `backsight.clock` = `ticks`.
/// # Source
/// OTLP 1.x, "JSON Protobuf Encoding" (opentelemetry.io/docs/specs/otlp) and opentelemetry/proto/trace/v1/trace.proto.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportRequest {
    resource_spans: Vec<ResourceSpans>,
}

impl ExportRequest {
    /// Returns `trace` with what is known beside it.
    ///
    /// # Cost
    /// That of the flat form; memory linear in the trace, bytes grow by a third.
    pub fn new(trace: &Trace, extras: Extras<'_>) -> Self {
        Self { resource_spans: convert::resources(&FlatTrace::of(trace), extras) }
    }
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans {
    resource: Resource,
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct Resource {
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct ScopeSpans {
    scope: Scope,
    spans: Vec<SpanJson>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    parent_span_id: String,
    name: String,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<KeyValue>,
    events: Vec<EventJson>,
    links: Vec<LinkJson>,
    status: Status,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventJson {
    time_unix_nano: String,
    name: String,
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkJson {
    trace_id: String,
    span_id: String,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct Status {
    code: u8,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct KeyValue {
    key: String,
    value: AnyValue,
}

/// A value; what the variants are called is what stands in the JSON.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::enum_variant_names, reason = "OTLP names them so")]
enum AnyValue {
    StringValue(String),
    BoolValue(bool),
    IntValue(String),
    #[serde(with = "crate::trace_json::number")]
    DoubleValue(f64),
    ArrayValue(ArrayValue),
    BytesValue(String),
}

#[derive(Clone, PartialEq, Debug, Serialize)]
struct ArrayValue {
    values: Vec<AnyValue>,
}

#[cfg(test)]
mod tests;
