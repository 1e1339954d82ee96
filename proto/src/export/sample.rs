//! A trace with everything that an export has to say, for the tests of exports.

use backsight_core::ids::{AgentId, RegionId, SpanId, TraceId, TriggerId};
use backsight_core::names::{TriggerName, TriggerNames};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::segment::LastWords;
use backsight_core::trace::{
    Attribute, AttributeValue, Death, Event, Firing, Link, Loss, Notes, OpenEdge, Payload, ProcessClock, ProcessInfo,
    Span, Trace, Visit,
};

pub(crate) const START_NS: u64 = 1_700_000_000_000_000_000;

fn attribute(key: &str, value: AttributeValue) -> Attribute {
    Attribute { key: key.into(), value }
}

fn notes() -> Notes {
    let attributes = vec![
        attribute("ok", AttributeValue::Bool(true)),
        attribute("n", AttributeValue::I64(-5)),
        attribute("share", AttributeValue::F64(0.5)),
        attribute("who", AttributeValue::Str("me".into())),
        attribute("bits", AttributeValue::Bytes(vec![0xfb, 0xff])),
        attribute("list", AttributeValue::Array(vec![AttributeValue::I64(1), AttributeValue::Str("b".into())])),
    ];
    let event = Event {
        at_ns: START_NS + 30,
        name: "cache miss".into(),
        message: "cold".into(),
        attributes: vec![attribute("key", AttributeValue::Str("k".into()))],
    };
    let raw = Payload { at_ns: START_NS + 20, name: None, bytes: vec![1, 0xff], is_truncated: true };
    Notes { attributes, events: vec![event], payloads: vec![raw] }
}

fn span(id: u64, parent: u64, process_idx: usize, start: u64, end: Option<u64>) -> Span {
    Span {
        id: SpanId(id),
        parent: SpanId(parent),
        name: format!("span {id}").into(),
        process_idx,
        tid: 100,
        start_ns: START_NS + start,
        end_ns: end.map(|end| START_NS + end),
        is_started: true,
        ..Span::default()
    }
}

/// Returns a call from a process to another of the same pid, of which a third knows only ticks: spans 1 and 2 overlap on one thread, 3
/// serves 2 elsewhere and was cut by a death, 4 is open there.
pub(crate) fn trace() -> Trace {
    let process = |agent, region, service: &str| ProcessInfo {
        agent: AgentId(agent),
        region: RegionId(region),
        pid: 42,
        service: service.into(),
        ..ProcessInfo::default()
    };
    let death = Death { at_ns: None, last_words: LastWords { signal: 11, ..LastWords::default() } };
    let client = Span { kind: SpanKind::Client, ..span(2, 1, 0, 40, Some(120)) };
    let link = Link { trace: TraceId::new(3, 4), span: SpanId(9) };
    let server = Span {
        kind: SpanKind::Server,
        is_cut: true,
        status: StatusCode::Error,
        status_text: "no stock".into(),
        links: vec![link],
        ..span(3, 2, 1, 50, None)
    };
    let firing = |trigger| Firing { process_idx: 0, trigger, n_laterals: 0, at_ns: START_NS + 80 };
    let slow = TriggerName::new("bricks.slow").unwrap();
    let mut names = TriggerNames::new();
    assert!(names.add(slow.clone(), 1));
    Trace {
        id: TraceId::new(1, 2),
        processes: vec![
            process(5, 1, "cart"),
            ProcessInfo { death: Some(death), ..process(6, 1, "till") },
            ProcessInfo { clock: ProcessClock::Ticks { first: 9 }, ..process(6, 2, "") },
        ],
        spans: vec![Span { notes: notes(), ..span(1, 0, 0, 10, Some(100)) }, client, server, span(4, 3, 1, 60, None)],
        visits: vec![Visit { parent: SpanId(2), process_idx: 2, tid: 7, start_ns: 4, ..Visit::default() }],
        open_edges: vec![OpenEdge { process_idx: 0, span: SpanId(2), expected: AgentId::NONE, at_ns: START_NS + 70 }],
        fired: vec![firing(TriggerId::MANUAL), firing(slow.id()), firing(TriggerId(0x1234))],
        names,
        losses: vec![Loss { process_idx: 1, tid: 1, reason: None, n_records: 3, bytes: 9, first_ns: 0, last_ns: 0 }],
        ..Trace::default()
    }
}
