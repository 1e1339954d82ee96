//! Claims about Jaeger's API: its answers have the documented form, and its requests are read, or refused with its words.
//!
//! The fixtures are written by hand after Jaeger's own; tags stand in them in the order in which Jaeger has them.

mod requests;

use super::metrics::{GroupBy, Measure, MetricFamily, Series};
use super::v1::{Dependency, Envelope, Operation, Trace, dependencies};
use super::{Layout, ShortTraceId, json, v3};
use crate::rows::{EventRow, Facts, ProcessRow, SpanRow, TraceRows};
use backsight_core::certificate::Verdict;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::{Attribute, AttributeValue, Link};
use backsight_core::units::NanoJoules;
use serde_json::{Value, json as value};

const START_NS: u64 = 1_700_000_000_000_000_000;

fn attribute(key: &str, value: AttributeValue) -> Attribute {
    Attribute { key: key.into(), value }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::Str(text.into())
}

fn root() -> SpanRow {
    let list = vec![AttributeValue::I64(1), text("b"), AttributeValue::F64(2.0)];
    let event = |at_ns, name: &str, key: &str, of: &str| EventRow {
        at_ns,
        name: name.into(),
        attributes: vec![attribute(key, text(of))],
    };
    SpanRow {
        id: SpanId(1),
        operation: "GET /pay".into(),
        kind: Some(SpanKind::Server),
        status: StatusCode::Error,
        status_message: "no stock".into(),
        trace_state: "a=b".into(),
        scope: ("shop".into(), "1.2".into()),
        flags: 1,
        start_ns: START_NS + 1_000,
        duration_ns: 2_500_999,
        attributes: vec![
            attribute("text", text("a")),
            attribute("flag", AttributeValue::Bool(true)),
            attribute("safe", AttributeValue::I64((1 << 53) - 1)),
            attribute("unsafe", AttributeValue::I64(-(1 << 53))),
            attribute("half", AttributeValue::F64(0.5)),
            attribute("whole", AttributeValue::F64(3.0)),
            attribute("none", AttributeValue::F64(f64::NAN)),
            attribute("bytes", AttributeValue::Bytes(vec![0xfb, 0xff])),
            attribute("list", AttributeValue::Array(list)),
        ],
        events: vec![
            event(START_NS + 2_999, "exception", "message", "timeout"),
            event(START_NS + 3_000, "has a field of that name", "event", "of its own"),
        ],
        energy: Some(NanoJoules(5)),
        ..SpanRow::default()
    }
}

/// Returns a trace with everything that the form has a place for; its third span is of a process that equals the first's.
fn rows() -> TraceRows {
    let web = ProcessRow {
        service: "web".into(),
        attributes: vec![attribute("host.name", text("h1"))],
        ..ProcessRow::default()
    };
    let till = ProcessRow { service: "till".into(), ..ProcessRow::default() };
    let charge = SpanRow {
        id: SpanId(2),
        parent: SpanId(1),
        operation: "charge".into(),
        status: StatusCode::Ok,
        start_ns: START_NS + 2_000,
        duration_ns: 999,
        process_idx: 1,
        links: vec![Link { trace: TraceId::new(3, 4), span: SpanId(9) }],
        warnings: vec!["its clock was moved by 5 ms".to_owned()],
        ..SpanRow::default()
    };
    let bare = SpanRow {
        id: SpanId(3),
        parent: SpanId(1),
        start_ns: START_NS + 3_000,
        duration_ns: 1_000,
        process_idx: 2,
        ..SpanRow::default()
    };
    let facts = Facts {
        triggers: vec!["tail".to_owned(), "manual".to_owned()],
        verdict: Some(Verdict::Partial),
        warnings: vec!["evicted: it had left the horizon of agent 0k3m9zq".to_owned()],
        ..Facts::default()
    };
    TraceRows {
        id: TraceId::new(0, 7),
        spans: vec![root(), charge, bare],
        processes: vec![web.clone(), till, web],
        facts,
    }
}

fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn a_trace_has_the_form_of_the_fixture_to_the_byte() {
    let answer = Envelope::of(vec![Trace::of(&rows())]);
    assert_eq!(json(&answer, Layout::Pretty), include_str!("fixtures/trace.json").trim_end());
    assert_eq!(read(&json(&answer, Layout::Compact)), read(include_str!("fixtures/trace.json")));
}

#[test]
fn summaries_have_the_form_of_the_fixture() {
    let answer = v3::Summaries { summaries: vec![v3::Summary::of(&rows())] };
    assert_eq!(read(&json(&answer, Layout::Compact)), read(include_str!("fixtures/summaries.json")));
    let empty = read(&json(&v3::Summary::of(&TraceRows::default()), Layout::Compact));
    assert_eq!(empty, value!({"traceId": "00000000000000000000000000000000"}));
}

#[test]
fn series_have_the_form_of_the_fixture() {
    let at_ns = 1_622_711_526_000_000_000;
    let points = vec![(at_ns, 0.5), (at_ns + 5_000_000_000, f64::NAN)];
    let series = Series { service: "driver".to_owned(), operation: Some("/FindNearest".to_owned()), points };
    let family = MetricFamily::of(Measure::Calls, GroupBy::Operation, vec![series]);
    assert_eq!(read(&json(&family, Layout::Compact)), read(include_str!("fixtures/metrics.json")));
    let empty = MetricFamily::of(Measure::Latency(0.95), GroupBy::Service, Vec::new());
    let expected =
        value!({"name": "service_latencies", "type": "GAUGE", "help": "0.95th quantile latency, grouped by service"});
    assert_eq!(read(&json(&empty, Layout::Compact)), expected);
}

#[test]
fn ids_have_16_digits_where_the_high_half_is_0() {
    assert_eq!(ShortTraceId(TraceId::new(0, 255)).to_string(), "00000000000000ff");
    assert_eq!(ShortTraceId(TraceId::new(1, 255)).to_string(), "000000000000000100000000000000ff");
}

#[test]
fn envelopes_say_how_many_names_there_are_and_what_is_missing() {
    let answer = |answer: &dyn Fn() -> String| read(&answer());
    let names = answer(&|| json(&Envelope::counted(vec!["web", "till"]), Layout::Compact));
    assert_eq!(names, value!({"data": ["web", "till"], "total": 2, "limit": 0, "offset": 0, "errors": null}));
    let missing =
        answer(&|| json(&Envelope::<Vec<Trace>>::with_missing(Vec::new(), &[TraceId::new(0, 7)]), Layout::Compact));
    let errors = value!([{"msg": "trace not found", "traceID": "0000000000000007"}]);
    assert_eq!(missing, value!({"data": [], "total": 0, "limit": 0, "offset": 0, "errors": errors}));
    let error = answer(&|| json(&Envelope::error(404, super::TRACE_NOT_FOUND), Layout::Compact));
    let errors = value!([{"code": 404, "msg": "trace not found"}]);
    assert_eq!(error, value!({"data": null, "total": 0, "limit": 0, "offset": 0, "errors": errors}));
}

#[test]
fn calls_between_services_are_summed_and_filtered() {
    let call = |parent: &str, child: &str, call_count| Dependency {
        parent: parent.to_owned(),
        child: child.to_owned(),
        call_count,
    };
    let calls = || [call("web", "till", 2), call("till", "bank", 1), call("web", "till", 3), call("cron", "mail", 1)];
    let all = dependencies(calls(), "");
    assert_eq!(all, [call("cron", "mail", 1), call("till", "bank", 1), call("web", "till", 5)]);
    assert_eq!(dependencies(calls(), "till"), [call("till", "bank", 1), call("web", "till", 5)]);
    assert_eq!(json(&all[..1], Layout::Compact), r#"[{"parent":"cron","child":"mail","callCount":1}]"#);
}

#[test]
fn answers_of_v3_have_its_form() {
    let operation = |name: &str, kind: &str| Operation { name: name.to_owned(), span_kind: kind.to_owned() };
    let operations = v3::Operations::of(vec![operation("GET", "server"), operation("sweep", "")]);
    assert_eq!(
        json(&operations, Layout::Compact),
        r#"{"operations":[{"name":"GET","spanKind":"server"},{"name":"sweep","spanKind":"internal"}]}"#
    );
    assert_eq!(json(&v3::Services { services: Vec::new() }, Layout::Compact), r#"{"services":[]}"#);
    assert_eq!(
        json(&v3::ErrorAnswer::new(404, v3::NO_TRACES), Layout::Compact),
        r#"{"error":{"httpCode":404,"message":"No traces found"}}"#
    );
    let request = backsight_proto::otlp::ExportRequest::new(&Default::default(), Default::default());
    assert_eq!(json(&v3::Traces { result: request }, Layout::Compact), r#"{"result":{"resourceSpans":[]}}"#);
}
