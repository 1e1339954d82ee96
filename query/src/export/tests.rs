//! Claims about exports: nothing that the other side can read is left out, and hostile texts stay texts.

use super::{chrome, columns, csv, otlp, perfetto};
use crate::rows::{EventRow, Facts, ProcessRow, SpanRow, TraceRows, columns_of};
use backsight_core::certificate::Verdict;
use backsight_core::columns::{Columns, Labels, Tree};
use backsight_core::critical::CriticalPath;
use backsight_core::ids::{AgentId, RegionId, SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::{Attribute, AttributeValue, Link, ProcessInfo, Span, Trace, Visit};
use backsight_proto::export::Extras;
use serde::Serialize;
use serde_json::{Value, json};

const START_NS: u64 = 1_700_000_000_000_000_000;

fn attribute(key: &str, value: AttributeValue) -> Attribute {
    Attribute { key: key.into(), value }
}

/// Returns a trace of two processes with one of everything that forms have a place for.
fn rows() -> TraceRows {
    let process = |service: &str, host: &str| ProcessRow {
        service: service.into(),
        host: Some(host.into()),
        instance: Some(format!("{host}:1").into()),
        attributes: vec![attribute("process.pid", AttributeValue::I64(1))],
    };
    let list = AttributeValue::Array(vec![AttributeValue::Bool(true), AttributeValue::F64(f64::NAN)]);
    let root = SpanRow {
        id: SpanId(1),
        operation: "a,\"b\"\r\n".into(),
        kind: Some(SpanKind::Server),
        scope: ("lib".into(), "2".into()),
        trace_state: "a=b".into(),
        flags: 1,
        start_ns: START_NS,
        duration_ns: 1000,
        attributes: vec![attribute("list", list), attribute("bytes", AttributeValue::Bytes(vec![255]))],
        events: vec![EventRow { at_ns: START_NS + 5, name: "e".into(), attributes: Vec::new() }],
        links: vec![Link { trace: TraceId::new(3, 4), span: SpanId(9) }],
        ..SpanRow::default()
    };
    let child = SpanRow {
        id: SpanId(2),
        parent: SpanId(1),
        operation: "charge".into(),
        status: StatusCode::Error,
        status_message: "no".into(),
        start_ns: START_NS + 200,
        duration_ns: 300,
        process_idx: 1,
        ..SpanRow::default()
    };
    let facts = Facts { verdict: Some(Verdict::Complete), triggers: vec!["tail".to_owned()], ..Facts::default() };
    let processes = vec![process("web", "h1"), process("till", "h2")];
    TraceRows { id: TraceId::new(0, 7), spans: vec![root, child], processes, facts }
}

fn value(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap()
}

#[test]
fn otlp_has_each_process_as_a_resource_and_all_of_each_span() {
    let exported = value(&otlp::Request::of(&[rows()]));
    let resources = exported["resourceSpans"].as_array().unwrap();
    assert_eq!(resources.len(), 2);
    let expected = json!([
        {"key": "service.name", "value": {"stringValue": "web"}},
        {"key": "process.pid", "value": {"intValue": "1"}},
        {"key": "host.name", "value": {"stringValue": "h1"}},
        {"key": "backsight.verdict", "value": {"stringValue": "complete"}},
        {"key": "backsight.triggers", "value": {"arrayValue": {"values": [{"stringValue": "tail"}]}}},
    ]);
    assert_eq!(resources[0]["resource"]["attributes"], expected);
    assert_eq!(resources[0]["scopeSpans"][0]["scope"], json!({"name": "lib", "version": "2"}));
    let list = json!({"arrayValue": {"values": [{"boolValue": true}, {"doubleValue": "NaN"}]}});
    let expected = json!({
        "traceId": "00000000000000000000000000000007",
        "spanId": "0000000000000001",
        "traceState": "a=b",
        "flags": 1,
        "name": "a,\"b\"\r\n",
        "kind": 2,
        "startTimeUnixNano": "1700000000000000000",
        "endTimeUnixNano": "1700000000000001000",
        "attributes": [{"key": "list", "value": list}, {"key": "bytes", "value": {"bytesValue": "/w=="}}],
        "events": [{"timeUnixNano": "1700000000000000005", "name": "e", "attributes": []}],
        "links": [{"traceId": "00000000000000030000000000000004", "spanId": "0000000000000009"}],
        "status": {"code": 0},
    });
    assert_eq!(resources[0]["scopeSpans"][0]["spans"][0], expected);
    let child = &resources[1]["scopeSpans"][0]["spans"][0];
    assert_eq!((&child["kind"], &child["status"]), (&json!(0), &json!({"code": 2, "message": "no"})));
}

#[test]
fn a_table_quotes_what_would_break_it() {
    let table = csv::export(&rows());
    assert!(table.contains(",web,\"a,\"\"b\"\"\r\n\",server,unset,"), "{table}");
    assert!(table.ends_with(",0000000000000001,till,charge,,error,1700000000000000200,300,h2,h2:1,[]\r\n"), "{table}");
}

#[test]
fn columns_have_an_element_for_each_span() {
    let expected = json!({
        "id": "00000000000000000000000000000007",
        "base_ns": "1700000000000000000",
        "strings": ["web", "till", "a,\"b\"\r\n", "charge", "h1:1", "h2:1"],
        "span": ["0000000000000001", "0000000000000002"],
        "parent": [-1, 0],
        "start_ns": [0, 200],
        "duration_ns": [1000, 300],
        "service": [0, 1],
        "operation": [2, 3],
        "process": [4, 5],
        "kind": [2, 0],
        "status": [0, 2],
        "n_events": [1, 0],
    });
    assert_eq!(value(&columns::Columns::of(&rows())), expected);
}

#[test]
fn a_flow_leads_from_a_parent_elsewhere() {
    let events = value(&chrome::Events::of(&rows()));
    let events = events["traceEvents"].as_array().unwrap();
    let (flow, end) = (&events[4], &events[5]);
    assert_eq!(
        (&flow["ph"], &flow["pid"], &flow["ts"], &flow["id"]),
        (&json!("s"), &json!(1), &json!(0.2), &end["id"])
    );
    assert_eq!((&end["ph"], &end["pid"], &end["bp"]), (&json!("f"), &json!(2), &json!("e")));
}

#[test]
fn perfetto_has_the_names_of_both_services() {
    let bytes = perfetto::export(&rows());
    for name in ["web", "till", "charge"] {
        assert!(bytes.windows(name.len()).any(|window| window == name.as_bytes()), "{name}");
    }
}

/// The critical path of a recorded trace is the same by way of its rows: visits around spans count once, and what hangs under a visit stays there.
#[test]
fn rows_give_the_path_that_the_trace_gives() {
    let process = |agent| ProcessInfo {
        agent: AgentId(agent),
        region: RegionId(1),
        service: format!("s{agent}").into(),
        ..ProcessInfo::default()
    };
    let span = |id, parent, process_idx, start, took| Span {
        id: SpanId(id),
        parent: SpanId(parent),
        name: format!("op{id}").into(),
        kind: SpanKind::Server,
        process_idx,
        tid: 7,
        start_ns: START_NS + start,
        end_ns: Some(START_NS + start + took),
        is_started: true,
        ..Span::default()
    };
    let visit = |parent, process_idx, start, took, calls: &[u64]| Visit {
        parent: SpanId(parent),
        process_idx,
        tid: 7,
        start_ns: START_NS + start,
        end_ns: Some(START_NS + start + took),
        calls: calls.iter().map(|id| SpanId(*id)).collect(),
        ..Visit::default()
    };
    let trace = Trace {
        id: TraceId::new(1, 2),
        processes: vec![process(1), process(2), process(3)],
        spans: vec![span(1, 0, 0, 0, 1000), span(2, 1, 1, 110, 200), span(3, 77, 2, 320, 100)],
        visits: vec![visit(1, 1, 100, 700, &[77]), visit(77, 2, 310, 120, &[])],
        ..Trace::default()
    };
    let path = |columns: &Columns, labels: &Labels| {
        let tree = Tree::new(columns, labels);
        let path = CriticalPath::of(&tree);
        path.stretches.iter().map(|of| (tree.row(of.node).id, of.from_ns, of.to_ns)).collect::<Vec<_>>()
    };
    let (mut labels, mut of_rows) = (Labels::default(), Labels::default());
    let direct = path(&Columns::of_trace(&trace, &mut labels), &labels);
    let rows = TraceRows::recorded(&trace, Extras::default());
    assert_eq!(path(&columns_of(&rows, &mut of_rows), &of_rows), direct);
    assert!(direct.len() > 5, "{direct:?}");
}
