//! Claims about OTLP/JSON: the official types read it, see what the trace has, and write it down again as it is.

use super::ExportRequest;
use crate::export::Extras;
use crate::export::sample::{START_NS, trace};
use backsight_core::certificate::{Certificate, Gap, GapKind, Verdict};
use backsight_core::ids::AgentId;
use backsight_core::trace::{Attribute, AttributeValue, Notes, Span};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1;
use std::collections::BTreeMap;

fn read(request: &ExportRequest) -> ExportTraceServiceRequest {
    let json = serde_json::to_string(request).unwrap();
    serde_json::from_str(&json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    let pair = attributes.iter().find(|pair| pair.key == key)?;
    pair.value.as_ref()?.value.as_ref()
}

fn text(text: &str) -> Value {
    Value::StringValue(text.to_owned())
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<&v1::Span> {
    let scopes = request.resource_spans.iter().flat_map(|of| &of.scope_spans);
    scopes.flat_map(|scope| &scope.spans).collect()
}

#[test]
fn the_official_types_see_the_same_spans() {
    let (trace, request) = (trace(), read(&ExportRequest::new(&trace(), Extras::default())));
    let spans = spans(&request);
    assert_eq!(spans.len(), trace.spans.len() + trace.visits.len());
    for (theirs, ours) in spans.iter().zip(&trace.spans) {
        let id = [trace.id.hi.to_be_bytes(), trace.id.lo.to_be_bytes()].concat();
        assert_eq!((&theirs.trace_id, &theirs.span_id), (&id, &ours.id.0.to_be_bytes().to_vec()));
        let parent = if ours.parent.is_none() { Vec::new() } else { ours.parent.0.to_be_bytes().to_vec() };
        assert_eq!((&theirs.parent_span_id, theirs.name.as_str()), (&parent, &*ours.name));
        assert_eq!((theirs.kind, theirs.start_time_unix_nano), (ours.kind as i32, ours.start_ns));
        let status = theirs.status.as_ref().unwrap();
        assert_eq!((status.code, status.message.as_str()), (ours.status as i32, &*ours.status_text));
    }
    let ends: Vec<_> = spans[..4].iter().map(|span| span.end_time_unix_nano - START_NS).collect();
    assert_eq!(ends, [100, 120, 60, 60], "what was cut lasted until the last that is known of its process");
    let (cut, open) = (&spans[2].attributes, &spans[3].attributes);
    assert_eq!(value(cut, "backsight.cut"), Some(&Value::BoolValue(true)));
    assert_eq!(value(open, "backsight.open"), Some(&Value::BoolValue(true)));
    assert_eq!(value(&spans[0].attributes, "backsight.open"), None);
    let link = &spans[2].links[0];
    assert_eq!((link.trace_id.len(), link.span_id.clone()), (16, vec![0, 0, 0, 0, 0, 0, 0, 9]));
}

#[test]
fn attributes_events_and_payloads_keep_their_types() {
    let request = read(&ExportRequest::new(&trace(), Extras::default()));
    let span = spans(&request)[0];
    let of = |key| value(&span.attributes, key).unwrap().clone();
    assert_eq!(
        (of("ok"), of("n"), of("share")),
        (Value::BoolValue(true), Value::IntValue(-5), Value::DoubleValue(0.5))
    );
    assert_eq!((of("who"), of("bits")), (text("me"), Value::BytesValue(vec![0xfb, 0xff])));
    let Value::ArrayValue(list) = of("list") else { panic!("{:?}", of("list")) };
    assert_eq!(list.values, [Value::IntValue(1), text("b")].map(|value| AnyValue { value: Some(value) }));
    let events: Vec<_> = span.events.iter().map(|event| (event.name.as_str(), event.time_unix_nano)).collect();
    assert_eq!(events, [("raw", START_NS + 20), ("cache miss", START_NS + 30)]);
    assert_eq!(value(&span.events[0].attributes, "backsight.payload"), Some(&Value::BytesValue(vec![1, 0xff])));
    assert_eq!(value(&span.events[1].attributes, "message"), Some(&text("cold")));
    assert_eq!(spans(&request)[1].events[0].name, "call without answer");
}

#[test]
fn numbers_that_json_does_not_know_are_text() {
    let mut trace = trace();
    let attributes = vec![Attribute { key: "x".into(), value: AttributeValue::F64(f64::NAN) }];
    trace.spans = vec![Span { notes: Notes { attributes, ..Notes::default() }, ..Span::default() }];
    let json = serde_json::to_string(&ExportRequest::new(&trace, Extras::default())).unwrap();
    assert!(json.contains(r#"{"key":"x","value":{"doubleValue":"NaN"}}"#), "{json}");
}

#[test]
fn spans_of_another_service_than_their_process_have_a_resource_of_their_own() {
    let mut trace = trace();
    let before = read(&ExportRequest::new(&trace, Extras::default()));
    trace.spans[0].service = "checkout".into();
    let request = read(&ExportRequest::new(&trace, Extras::default()));
    let further = &request.resource_spans[before.resource_spans.len()];
    let of = |key| value(&further.resource.as_ref().unwrap().attributes, key).cloned();
    assert_eq!((of("service.name"), of("process.pid")), (Some(text("checkout")), Some(Value::IntValue(42))));
    assert_eq!(further.scope_spans[0].spans.len(), 1);
    assert_eq!(spans(&request).len(), spans(&before).len());
}

#[test]
fn resources_are_processes_with_what_is_known_of_the_whole() {
    let gap = Gap { kind: GapKind::NoAnswer, agent: AgentId(5), n: 1 };
    let certificate = Certificate { verdict: Verdict::Partial, gaps: vec![gap], ..Certificate::default() };
    let hosts = BTreeMap::from([(AgentId(5), "web-1".to_owned())]);
    let extras = Extras { certificate: Some(&certificate), hosts: Some(&hosts) };
    let request = read(&ExportRequest::new(&trace(), extras));
    let of = |idx: usize, key| value(&request.resource_spans[idx].resource.as_ref().unwrap().attributes, key).cloned();
    assert_eq!(of(0, "service.name"), Some(text("cart")));
    assert_eq!((of(0, "process.pid"), of(0, "host.name")), (Some(Value::IntValue(42)), Some(text("web-1"))));
    assert_eq!(of(0, "backsight.agent"), Some(text(&AgentId(5).to_string())));
    assert_eq!((of(0, "backsight.verdict"), of(1, "host.name")), (Some(text("partial")), None));
    let Some(Value::ArrayValue(gaps)) = of(0, "backsight.gaps") else { panic!("no gaps") };
    assert_eq!(gaps.values[0].value, Some(text("no_answer 1 at 0000005")));
    assert_eq!(of(1, "backsight.death.signal"), Some(Value::IntValue(11)));
    assert_eq!(of(1, "backsight.lost_records"), Some(Value::IntValue(3)));
    let list = |key| match of(0, key) {
        Some(Value::ArrayValue(list)) => list.values.into_iter().map(|of| of.value.unwrap()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(list("backsight.triggers"), ["manual", "0x1234", "bricks.slow"].map(text));
    assert_eq!(list("backsight.trigger_ids"), ["0x3", "0x1234", "0x8f88809c"].map(text));
    assert_eq!(of(1, "backsight.triggers"), None);
    assert_eq!((of(2, "service.name"), of(2, "backsight.clock")), (Some(text("unknown_service")), Some(text("ticks"))));
}

#[test]
fn a_visit_without_a_span_is_a_span_whose_id_stays() {
    let (first, second) = (trace(), trace());
    let request = read(&ExportRequest::new(&first, Extras::default()));
    let visit = spans(&request)[4];
    assert_eq!((visit.name.as_str(), visit.kind), ("visit", v1::span::SpanKind::Internal as i32));
    assert_eq!(visit.start_time_unix_nano, START_NS + 10 + 4, "ticks count from the start of the trace");
    assert_eq!(visit.parent_span_id, [0, 0, 0, 0, 0, 0, 0, 2]);
    assert_eq!(first.visit_id(&first.visits[0]), second.visit_id(&second.visits[0]));
}
