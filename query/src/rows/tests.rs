//! Claims about rows: nothing of what was recorded is left out, and it is found again.

mod agree;

use super::{Source, TraceRows};
use crate::language::{matches, parse};
use backsight_core::certificate::{Certificate, Gap, GapKind, Verdict};
use backsight_core::ids::{AgentId, RegionId, SpanId, TraceId, TriggerId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::{
    Attribute, AttributeValue, Death, Event, Firing, Notes, OpenEdge, Payload, ProcessClock, ProcessInfo, Span, Trace,
    Visit,
};
use backsight_proto::export::Extras;
use std::collections::BTreeMap;

const START_NS: u64 = 1_700_000_000_000_000_000;

/// Returns a trace of two processes: `web` calls, and is never answered; one of its spans is of a service of its own, one is cut.
fn trace() -> Trace {
    let process = |agent, service: &str| ProcessInfo {
        agent: AgentId(agent),
        region: RegionId(1),
        pid: 42,
        service: service.into(),
        ..ProcessInfo::default()
    };
    let event =
        Event { at_ns: START_NS + 30, name: "miss".into(), message: "cold cache".into(), attributes: Vec::new() };
    let notes = Notes {
        attributes: vec![Attribute { key: "n".into(), value: AttributeValue::I64(5) }],
        events: vec![event],
        payloads: vec![Payload { at_ns: START_NS + 20, name: None, bytes: vec![1], is_truncated: true }],
    };
    let root = Span {
        id: SpanId(1),
        name: "GET".into(),
        kind: SpanKind::Server,
        start_ns: START_NS,
        end_ns: Some(START_NS + 100),
        is_started: true,
        notes,
        ..Span::default()
    };
    let inner = Span {
        id: SpanId(2),
        parent: SpanId(1),
        name: "sql".into(),
        service: "db".into(),
        start_ns: START_NS + 10,
        ..root.clone()
    };
    let cut = Span {
        id: SpanId(3),
        parent: SpanId(2),
        end_ns: None,
        is_cut: true,
        process_idx: 1,
        start_ns: 50,
        status: StatusCode::Error,
        ..root.clone()
    };
    let visit = Visit { parent: SpanId(1), start_ns: START_NS + 5, end_ns: Some(START_NS + 9), ..Visit::default() };
    let ticks =
        ProcessInfo { clock: ProcessClock::Ticks { first: 0 }, death: Some(Death::default()), ..process(6, "") };
    Trace {
        id: TraceId::new(1, 2),
        processes: vec![process(5, "web"), ticks],
        spans: vec![root, inner, cut],
        visits: vec![visit],
        open_edges: vec![OpenEdge { process_idx: 0, span: SpanId(1), expected: AgentId(0), at_ns: START_NS + 40 }],
        fired: vec![Firing { process_idx: 0, trigger: TriggerId::MANUAL, n_laterals: 0, at_ns: START_NS }],
        ..Trace::default()
    }
}

#[test]
fn all_that_was_recorded_is_found_again() {
    let hosts = BTreeMap::from([(AgentId(5), "h5".to_owned())]);
    let gap = Gap { kind: GapKind::Unreachable, agent: AgentId(7), n: 0 };
    let certificate = Certificate { verdict: Verdict::Partial, gaps: vec![gap], ..Certificate::default() };
    let rows = TraceRows::recorded(&trace(), Extras { certificate: Some(&certificate), hosts: Some(&hosts) });
    assert_eq!(rows.spans.len(), 4);
    assert!(rows.spans.iter().all(|span| span.source == Source::Recorder && span.start_ns >= START_NS));
    assert_eq!(rows.facts.warnings, ["unreachable: agent 0000007 cannot be reached"]);
    let searches = [
        "service = web operation = GET host = h5 process = \"h5:42\" attr.n = 5 event ~ cold event = \"call without answer\" event = raw",
        "service = db operation = sql attr.backsight.tid exists resource.process.pid = 42",
        "service = unknown_service error attr.backsight.cut = true resource.backsight.clock = ticks",
        "operation = visit kind = internal duration = 4ns",
        "trace.root = GET trace.root_service = web trigger = manual trace.completeness = partial trace.services = 3",
    ];
    for search in searches {
        assert!(matches(&parse(search, 0).unwrap(), &rows), "{search}");
    }
}

#[test]
fn the_root_is_the_first_whose_cause_is_not_here() {
    let mut rows = TraceRows::recorded(&trace(), Extras::default());
    assert_eq!(rows.root().map(|root| root.id), Some(SpanId(1)));
    rows.spans.retain(|span| span.id != SpanId(1) && &*span.operation != "visit");
    assert_eq!(rows.root().map(|root| root.id), Some(SpanId(2)));
    assert_eq!(TraceRows::default().root(), None);
    assert_eq!(TraceRows::default().interval_ns(), None);
}
