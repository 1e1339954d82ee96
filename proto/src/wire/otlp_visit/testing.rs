//! What tests of both forms share: random requests, a sink that writes down what it is shown in the official types, and what the official
//! decoder's result has to be for that to be the same.
//!
//! Built for tests alone, those of the collector behind the feature `otlp-testing`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use super::{Attribute, Decoded, Limits, OtlpSink, Reason, ResourceView, ScopeView, SpanView, visit};
use backsight_core::ids::{SpanId, TraceId};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_oneof};
use prost::Message;

/// Writes down what it is shown.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Seen(pub ExportTraceServiceRequest);

impl Seen {
    /// Returns what a sink is shown of `request`.
    ///
    /// # Panics
    /// The request is malformed.
    pub fn of(request: &[u8]) -> (ExportTraceServiceRequest, Decoded) {
        let mut seen = Self::default();
        let decoded = visit(request, &Limits::default(), &mut seen).unwrap();
        (seen.0, decoded)
    }
}

impl OtlpSink for Seen {
    fn resource(&mut self, view: &ResourceView<'_>) {
        let resource = Resource {
            attributes: pairs(view.attributes),
            dropped_attributes_count: view.dropped_attributes,
            ..Resource::default()
        };
        let schema_url = view.schema_url.to_owned();
        self.0.resource_spans.push(ResourceSpans { resource: Some(resource), scope_spans: Vec::new(), schema_url });
    }

    fn scope(&mut self, view: &ScopeView<'_>) {
        let scope = InstrumentationScope {
            name: view.name.to_owned(),
            version: view.version.to_owned(),
            attributes: pairs(view.attributes),
            dropped_attributes_count: view.dropped_attributes,
        };
        let scope = ScopeSpans { scope: Some(scope), spans: Vec::new(), schema_url: view.schema_url.to_owned() };
        self.0.resource_spans.last_mut().unwrap().scope_spans.push(scope);
    }

    fn span(&mut self, view: &SpanView<'_>) -> Result<(), Reason> {
        let scope = self.0.resource_spans.last_mut().unwrap().scope_spans.last_mut().unwrap();
        scope.spans.push(span(view));
        Ok(())
    }
}

fn span(view: &SpanView<'_>) -> Span {
    let event = |view: super::EventView<'_>| Event {
        time_unix_nano: view.time_ns,
        name: view.name.to_owned(),
        attributes: pairs(view.attributes),
        dropped_attributes_count: view.dropped_attributes,
    };
    let link = |view: super::LinkView<'_>| Link {
        trace_id: trace_bytes(view.trace),
        span_id: span_bytes(view.span),
        trace_state: view.trace_state.to_owned(),
        attributes: pairs(view.attributes),
        dropped_attributes_count: view.dropped_attributes,
        flags: view.flags,
    };
    Span {
        trace_id: trace_bytes(view.trace),
        span_id: span_bytes(view.span),
        trace_state: view.trace_state.to_owned(),
        parent_span_id: view.parent.map(span_bytes).unwrap_or_default(),
        flags: view.flags,
        name: view.name.to_owned(),
        kind: view.kind.map_or(0, |kind| kind as i32),
        start_time_unix_nano: view.start_ns,
        end_time_unix_nano: view.end_ns,
        attributes: pairs(view.attributes),
        dropped_attributes_count: view.dropped.attributes,
        events: view.events.iter().map(event).collect(),
        dropped_events_count: view.dropped.events,
        links: view.links.iter().map(link).collect(),
        dropped_links_count: view.dropped.links,
        status: Some(Status { message: view.status_message.to_owned(), code: view.status as i32 }),
    }
}

fn trace_bytes(trace: TraceId) -> Vec<u8> {
    [trace.hi.to_be_bytes(), trace.lo.to_be_bytes()].concat()
}

fn span_bytes(span: SpanId) -> Vec<u8> {
    span.0.to_be_bytes().to_vec()
}

/// Returns attributes in the official types, read through the views.
fn pairs(attributes: &[Attribute<'_>]) -> Vec<KeyValue> {
    attributes.iter().map(pair).collect()
}

fn pair(attribute: &Attribute<'_>) -> KeyValue {
    let mut encoded = Vec::new();
    attribute.value.encode(&mut encoded);
    let read = value(&attribute.value);
    let mut official = AnyValue::decode(encoded.as_slice()).unwrap();
    canonical(&mut official);
    assert_eq!(official.encode_to_vec(), read.encode_to_vec(), "what is read is what leaves as it came");
    KeyValue { key: attribute.key.to_owned(), value: Some(read), ..KeyValue::default() }
}

fn value(value: &super::Value<'_>) -> AnyValue {
    let value = match value {
        super::Value::Empty => None,
        super::Value::Text(text) => Some(Value::StringValue((*text).to_owned())),
        super::Value::Bool(value) => Some(Value::BoolValue(*value)),
        super::Value::Int(number) => Some(Value::IntValue(*number)),
        super::Value::Double(number) => Some(Value::DoubleValue(*number)),
        super::Value::Bytes(bytes) => Some(Value::BytesValue(bytes.to_vec())),
        super::Value::List(list) => {
            let values = list.iter().map(|element| self::value(&element)).collect();
            Some(Value::ArrayValue(ArrayValue { values }))
        }
        super::Value::Map(map) => {
            let values = map.iter().map(|attribute| pair(&attribute)).collect();
            Some(Value::KvlistValue(KeyValueList { values }))
        }
    };
    AnyValue { value }
}

/// Makes what means the same be the same: a value that is not there is empty, and those that only profiles have are none.
fn canonical(value: &mut AnyValue) {
    match &mut value.value {
        Some(Value::ArrayValue(list)) => list.values.iter_mut().for_each(canonical),
        Some(Value::KvlistValue(map)) => map.values.iter_mut().for_each(canonical_pair),
        Some(Value::StringValueStrindex(_)) => value.value = None,
        _ => {}
    }
}

fn canonical_pair(pair: &mut KeyValue) {
    pair.key_strindex = 0;
    canonical(pair.value.get_or_insert_default());
}

/// Returns each key once, with its last value at its first place.
fn each_key_once(pairs: &[KeyValue]) -> Vec<KeyValue> {
    let mut once: Vec<KeyValue> = Vec::new();
    for pair in pairs {
        let mut pair = pair.clone();
        canonical_pair(&mut pair);
        match once.iter_mut().find(|other| other.key == pair.key) {
            Some(other) => *other = pair,
            None => once.push(pair),
        }
    }
    once
}

/// Returns what a sink has to be shown of what the official decoder made of a request.
pub fn expected(mut request: ExportTraceServiceRequest) -> ExportTraceServiceRequest {
    for resource_spans in &mut request.resource_spans {
        let resource = resource_spans.resource.get_or_insert_default();
        resource.attributes = each_key_once(&resource.attributes);
        resource.entity_refs.clear();
        for scope_spans in &mut resource_spans.scope_spans {
            let scope = scope_spans.scope.get_or_insert_default();
            scope.attributes = each_key_once(&scope.attributes);
            scope_spans.spans.retain(is_a_span);
            scope_spans.spans.iter_mut().for_each(repair);
        }
    }
    request
}

fn is_id(bytes: &[u8], len: usize) -> bool {
    bytes.len() == len && bytes.iter().any(|byte| *byte != 0)
}

const TIME_MAX_NS: u64 = i64::MAX as u64;

fn is_a_span(span: &Span) -> bool {
    let is_parent = matches!(span.parent_span_id.len(), 0 | 8);
    is_id(&span.trace_id, 16) && is_id(&span.span_id, 8) && is_parent && span.start_time_unix_nano <= TIME_MAX_NS
}

fn repair(span: &mut Span) {
    span.attributes = each_key_once(&span.attributes);
    if !is_id(&span.parent_span_id, 8) {
        span.parent_span_id.clear();
    }
    if !(0..=5).contains(&span.kind) {
        span.kind = 0;
    }
    span.end_time_unix_nano = span.end_time_unix_nano.max(span.start_time_unix_nano).min(TIME_MAX_NS);
    let status = span.status.get_or_insert_default();
    if !(0..=2).contains(&status.code) {
        status.code = 0;
    }
    for event in &mut span.events {
        event.attributes = each_key_once(&event.attributes);
        event.time_unix_nano = event.time_unix_nano.min(TIME_MAX_NS);
    }
    span.links.retain(|link| is_id(&link.trace_id, 16) && is_id(&link.span_id, 8));
    for link in &mut span.links {
        link.attributes = each_key_once(&link.attributes);
    }
}

fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        1 => Just(None),
        6 => ".{0,12}".prop_map(|text| Some(Value::StringValue(text))),
        1 => any::<bool>().prop_map(|value| Some(Value::BoolValue(value))),
        2 => any::<i64>().prop_map(|number| Some(Value::IntValue(number))),
        2 => any::<f64>().prop_filter("JSON has no others", |of| of.is_finite()).prop_map(|of| Some(Value::DoubleValue(of))),
        1 => prop::collection::vec(any::<u8>(), 0..12).prop_map(|bytes| Some(Value::BytesValue(bytes))),
    ];
    leaf.prop_map(|value| AnyValue { value }).prop_recursive(4, 16, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        let map = prop::collection::vec(pair_of(inner), 0..4);
        prop_oneof![
            list.prop_map(|values| AnyValue { value: Some(Value::ArrayValue(ArrayValue { values })) }),
            map.prop_map(|values| AnyValue { value: Some(Value::KvlistValue(KeyValueList { values })) }),
        ]
    })
}

/// Few keys, so that some come twice.
fn pair_of(value: impl Strategy<Value = AnyValue>) -> impl Strategy<Value = KeyValue> {
    ("[a-e]{1,2}", value).prop_map(|(key, value)| KeyValue { key, value: Some(value), ..KeyValue::default() })
}

fn some_pairs(max: usize) -> BoxedStrategy<Vec<KeyValue>> {
    prop::collection::vec(pair_of(any_value()), 0..=max).boxed()
}

fn id(len: usize) -> BoxedStrategy<Vec<u8>> {
    let whole = prop::collection::vec(any::<u8>(), len);
    prop_oneof![12 => whole, 1 => Just(vec![0; len]), 1 => Just(Vec::new()), 1 => prop::collection::vec(any::<u8>(), 0..20)].boxed()
}

fn time() -> BoxedStrategy<u64> {
    prop_oneof![8 => 0..4_000_000_000_000_000_000_u64, 1 => any::<u64>()].boxed()
}

fn some_event() -> impl Strategy<Value = Event> {
    (time(), ".{0,8}", some_pairs(3), any::<u32>()).prop_map(|(time_unix_nano, name, attributes, dropped)| Event {
        time_unix_nano,
        name,
        attributes,
        dropped_attributes_count: dropped,
    })
}

fn some_link() -> impl Strategy<Value = Link> {
    (id(16), id(8), "[a-z=,]{0,8}", some_pairs(2), any::<(u32, u32)>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, (dropped_attributes_count, flags))| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn some_span() -> impl Strategy<Value = Span> {
    let ids = (id(16), id(8), prop_oneof![Just(Vec::new()), id(8)]);
    let texts = ("[a-z=,]{0,8}", ".{0,12}", prop::option::of((".{0,8}", -1..4_i32)));
    let lists = (
        prop_oneof![8 => some_pairs(8), 1 => some_pairs(40)],
        prop::collection::vec(some_event(), 0..3),
        prop::collection::vec(some_link(), 0..3),
    );
    (ids, texts, (time(), time()), lists, any::<[u32; 4]>(), -1..7_i32).prop_map(
        |(ids, texts, times, (attributes, events, links), numbers, kind)| Span {
            trace_id: ids.0,
            span_id: ids.1,
            parent_span_id: ids.2,
            trace_state: texts.0,
            name: texts.1,
            status: texts.2.map(|(message, code)| Status { message, code }),
            start_time_unix_nano: times.0,
            end_time_unix_nano: times.1,
            attributes,
            events,
            links,
            flags: numbers[0],
            dropped_attributes_count: numbers[1],
            dropped_events_count: numbers[2],
            dropped_links_count: numbers[3],
            kind,
        },
    )
}

/// Any request that the official types can say.
pub fn some_request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    let scope = (".{0,6}", ".{0,6}", some_pairs(2), any::<u32>()).prop_map(|(name, version, attributes, dropped)| {
        InstrumentationScope { name, version, attributes, dropped_attributes_count: dropped }
    });
    let spans = prop::collection::vec(some_span(), 0..4);
    let scope_spans = (prop::option::of(scope), spans, "[a-z:/]{0,6}")
        .prop_map(|(scope, spans, schema_url)| ScopeSpans { scope, spans, schema_url });
    let resource = (some_pairs(4), any::<u32>()).prop_map(|(attributes, dropped_attributes_count)| Resource {
        attributes,
        dropped_attributes_count,
        ..Resource::default()
    });
    let scopes = prop::collection::vec(scope_spans, 0..3);
    let resource_spans = (prop::option::of(resource), scopes, "[a-z:/]{0,6}")
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url });
    prop::collection::vec(resource_spans, 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}
