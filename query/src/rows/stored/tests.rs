//! Claims about uniting: what came again is one row, the recorder's last word counts, and nothing else is lost.

use super::{StoredSpan, Union, any_value};
use crate::language::{Operand, SpanField, SpanView, parse, span_matches};
use crate::rows::TraceRows;
use backsight_core::certificate::Verdict;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::AttributeValue;
use backsight_core::units::NanoJoules;
use backsight_store::rows::{
    Attribute, Dropped, Event, FiredTrigger, ResourceId, Sampling, SpanRow, TraceFacts, Value, flag, source,
};

fn row(source: i8, operation: &str) -> SpanRow<'static> {
    SpanRow {
        id: SpanId(7),
        start_ns: 100,
        duration_ns: 50,
        service: "web".into(),
        operation: operation.to_owned().into(),
        host: "h".into(),
        kind: 2,
        status: 2,
        source,
        attributes: vec![Attribute::new("nan", Value::Dbl(f64::NAN))].into(),
        ..SpanRow::default()
    }
}

/// Returns the trace whose rows stand in a part each.
fn united(rows: &[SpanRow<'static>]) -> TraceRows {
    let mut union = Union::new(TraceId::new(0, 1));
    for row in rows {
        union.begin();
        union.add_span(row.clone(), &[]);
    }
    union.finish().unwrap()
}

fn operations(trace: &TraceRows) -> Vec<&str> {
    trace.spans.iter().map(|span| &*span.operation).collect()
}

#[test]
fn what_came_again_is_one_row() {
    let late = SpanRow {
        flags: flag::LATE,
        sampling_weight: 3.0,
        self_cp_ns: Some(1),
        resource: ResourceId(2),
        ..row(source::OTLP, "GET")
    };
    let trace = united(&[row(source::OTLP, "GET"), late]);
    assert_eq!((operations(&trace), trace.processes.len()), (vec!["GET"], 1));
    assert_eq!(trace.spans[0].warnings, Vec::<String>::new());
}

#[test]
fn the_last_word_of_the_recorder_counts_and_others_stand_side_by_side() {
    let recorded = |operation| row(source::RECORDER, operation);
    assert_eq!(operations(&united(&[recorded("a"), recorded("b"), recorded("a"), recorded("c")])), ["c"]);
    let clash = united(&[row(source::OTLP, "a"), row(source::OTLP, "b"), recorded("c"), recorded("d")]);
    assert_eq!(operations(&clash), ["a", "b", "d"]);
    assert!(clash.spans.iter().all(|span| span.warnings == ["another span of this trace has its id"]));
    let later = SpanRow { start_ns: 101, ..recorded("a") };
    assert_eq!(operations(&united(&[recorded("a"), later.clone()])), ["a"], "all that was recorded was told again");
    let mut union = Union::new(TraceId::new(0, 1));
    union.add_span(recorded("a"), &[]);
    union.add_span(later, &[]);
    assert_eq!(operations(&union.finish().unwrap()), ["a", "a"], "another start is another span");
}

#[test]
fn all_that_is_stored_of_a_span_is_answered() {
    let event = Event { time_offset_ns: -150, name: "early".into(), ..Event::default() };
    let stored = SpanRow {
        start_ns: -10,
        parent: Some(SpanId(9)),
        flags: flag::OPEN | flag::SAMPLED | flag::REPAIRED_TIME | flag::TRUNCATED,
        dropped: Dropped { attrs: 2, ..Dropped::default() },
        events: vec![event].into(),
        ..row(9, "GET")
    };
    let resource = [
        Attribute::new("service.name", Value::Str("other".into())),
        Attribute::new("k", Value::Other(vec![0x2a, 4, 0x0a, 2, 0x18, 5].into())),
    ];
    let mut union = Union::new(TraceId::new(0, 1));
    union.add_span(stored.clone(), &resource);
    let trace = union.finish().unwrap();
    let span = &trace.spans[0];
    assert_eq!((span.start_ns, span.duration_ns, span.events[0].at_ns), (0, 40, 0));
    assert_eq!(
        (span.kind, span.status, span.flags, span.parent),
        (Some(SpanKind::Server), StatusCode::Error, 1, SpanId(9))
    );
    assert_eq!(span.warnings.len(), 5, "{:?}", span.warnings);
    assert!(span.warnings.contains(&"it began before 1970, which is shown as 1970".to_owned()));
    let process = &trace.processes[0];
    assert_eq!((&*process.service, process.host.as_deref(), process.instance.as_deref()), ("web", Some("h"), None));
    assert_eq!(process.attributes.len(), 1);
    assert_eq!(process.attributes[0].value, AttributeValue::Array(vec![AttributeValue::I64(5)]));
    let search = |text: &str| {
        let query = parse(text, 0).unwrap();
        span_matches(&query.groups[0], &StoredSpan { row: &stored, resource: &resource })
    };
    assert!(search("resource.k = 5 resource.service.name = web duration = 40ns source = import error"));
    assert!(!search("process exists"));
    let view = StoredSpan { row: &stored, resource: &resource };
    assert!(!view.any(&SpanField::Tag("k".into()), &mut |_: Operand<'_>| true), "tags are asked for as two");
}

#[test]
fn what_is_known_of_a_trace_is_united() {
    let facts = |wal_seq, completeness, reason: &'static str, nj, names: &[&'static str]| TraceFacts {
        wal_seq,
        completeness,
        sampling: Sampling { reason: reason.into(), ..Sampling::default() },
        energy_nj: nj,
        rarity: wal_seq as f32 / 10.0,
        triggers: names.iter().map(|name| FiredTrigger { name: (*name).into(), ..FiredTrigger::default() }).collect(),
        ..TraceFacts::default()
    };
    let mut union = Union::new(TraceId::new(0, 1));
    let pieces =
        [facts(3, 2, "slow", Some(-2), &["a"]), facts(5, 1, "rare", Some(7), &["b", "a"]), facts(9, 0, "", None, &[])];
    for facts in &pieces {
        union.begin();
        union.add_facts(facts);
    }
    let facts = union.finish().unwrap().facts;
    assert_eq!((facts.verdict, facts.sampling.as_deref()), (Some(Verdict::Complete), Some("rare")));
    assert_eq!((facts.energy, facts.rarity), (Some(NanoJoules(5)), Some(0.9)));
    assert_eq!(facts.triggers, ["a", "b"]);
    assert_eq!(Union::new(TraceId::new(0, 1)).finish(), None);
}

#[test]
fn any_bytes_are_a_value() {
    let decode = any_value::decode;
    assert_eq!(decode(b""), AttributeValue::Array(Vec::new()));
    assert_eq!(decode(&[0x3a, 1, 7]), AttributeValue::Bytes(vec![7]));
    assert_eq!(decode(b"\xff\xff"), AttributeValue::Bytes(b"\xff\xff".to_vec()));
    // {"k": {"n": 5, "b": "Bw=="}}
    let inner = [0x0a, 7, 0x0a, 1, b'n', 0x12, 2, 0x18, 5, 0x0a, 8, 0x0a, 1, b'b', 0x12, 3, 0x3a, 1, 7];
    let mut pair = vec![0x0a, 1, b'k', 0x12, inner.len() as u8 + 2, 0x32, inner.len() as u8];
    pair.extend(inner);
    let mut map = vec![0x32, pair.len() as u8 + 2, 0x0a, pair.len() as u8];
    map.extend(pair);
    let AttributeValue::Str(json) = decode(&map) else { panic!("{:?}", decode(&map)) };
    let read: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(read, serde_json::json!({"k": {"n": 5, "b": "Bw=="}}));
    // Arrays within arrays, deeper than anything that is taken in.
    let deep = (0..60).fold(vec![0x18, 5], |inner, _| field(0x2a, &field(0x0a, &inner)));
    assert_eq!(decode(&deep), AttributeValue::Bytes(deep.clone()));
    let shallow = (0..3).fold(vec![0x18, 5], |inner, _| field(0x2a, &field(0x0a, &inner)));
    assert!(matches!(decode(&shallow), AttributeValue::Array(_)));
}

/// Returns a field of a message, with a length of one or two bytes.
fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len();
    let len = if len < 128 { vec![len as u8] } else { vec![len as u8 | 0x80, (len >> 7) as u8] };
    [&[tag], &*len, bytes].concat()
}
