//! Claims about the flat form: every span and visit is one span, a call is of whoever made it, a callee hangs under it, and what did not end lasts as
//! long as anything is known of it.

use super::{Ending, FlatTrace, Happened, UNKNOWN_SERVICE};
use crate::ids::{AgentId, SpanId};
use crate::record::SpanKind;
use crate::trace::{
    Attribute, AttributeValue, Death, Event, Firing, Notes, OpenEdge, Payload, ProcessClock, ProcessInfo, Span, Trace,
    Visit,
};
use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

fn span(id: u64, parent: u64, process_idx: usize, start_ns: u64, end_ns: Option<u64>) -> Span {
    let (id, parent) = (SpanId(id), SpanId(parent));
    Span { id, parent, process_idx, start_ns, end_ns, is_started: true, ..Span::default() }
}

fn visit(parent: u64, start_ns: u64, calls: &[u64]) -> Visit {
    let calls = calls.iter().copied().map(SpanId).collect();
    Visit { parent: SpanId(parent), start_ns, end_ns: Some(start_ns + 100), calls, ..Visit::default() }
}

fn call(process_idx: usize, span: u64, at_ns: u64) -> OpenEdge {
    OpenEdge { process_idx, span: SpanId(span), expected: AgentId::NONE, at_ns }
}

fn processes(n: usize) -> Vec<ProcessInfo> {
    vec![ProcessInfo::default(); n]
}

fn parents(flat: &FlatTrace<'_>) -> Vec<(SpanId, SpanId)> {
    flat.spans.iter().map(|span| (span.id, span.parent)).collect()
}

fn ends(flat: &FlatTrace<'_>) -> Vec<u64> {
    flat.spans.iter().map(|span| span.end_ns).collect()
}

#[test]
fn calls_without_answer_are_of_what_made_them() {
    let trace = Trace {
        processes: processes(3),
        spans: vec![span(1, 0, 0, 1, None), span(2, 88, 2, 1, None), span(1, 0, 1, 1, None)],
        visits: vec![Visit { process_idx: 1, ..visit(77, 0, &[50]) }],
        // By a span, a visit under an id of its own, one under its cause, and outside the span that the cause had there.
        open_edges: vec![call(0, 1, 10), call(1, 50, 20), call(1, 77, 30), call(2, 88, 40), call(2, 99, 50)],
        ..Trace::default()
    };
    let flat = FlatTrace::of(&trace);
    let calls: Vec<_> = flat.spans.iter().map(|span| span.open_calls_ns.clone()).collect();
    assert_eq!(calls, [vec![10], vec![40], vec![], vec![20, 30]], "another process has a span of that id");
}

#[test]
fn a_callee_of_a_visit_without_a_span_hangs_under_the_visit() {
    let trace = Trace {
        processes: processes(2),
        spans: vec![span(1, 50, 1, 1, None), span(2, 51, 1, 1, None), span(3, 52, 1, 1, None)],
        visits: vec![visit(0, 0, &[50, 51])],
        ..Trace::default()
    };
    let id = trace.visit_id(&trace.visits[0]);
    let parents: Vec<_> = FlatTrace::of(&trace).spans.iter().map(|span| span.parent).collect();
    assert_eq!(parents, [id, id, SpanId(52), SpanId::NONE]);
}

/// A visit of which only a later part is there names its cause in its calls, and a client may name anything.
#[test]
fn nobody_takes_the_children_of_a_span_or_becomes_its_own_parent() {
    let trace = Trace {
        processes: processes(2),
        spans: vec![span(1, 0, 1, 0, Some(1)), span(2, 1, 1, 0, Some(1))],
        visits: vec![visit(77, 0, &[77]), visit(0, 0, &[1])],
        ..Trace::default()
    };
    let parents: Vec<_> = FlatTrace::of(&trace).spans.iter().map(|span| span.parent).collect();
    assert_eq!(parents, [0, 1, 77, 0].map(SpanId));
}

#[test]
fn spans_that_began_in_a_visit_for_its_cause_hang_under_it() {
    let noted = |process_idx, tid| Visit { process_idx, tid, ..visit(77, 1000, &[]) };
    let on = |id, tid, start_ns| Span { tid, ..span(id, 77, 0, start_ns, Some(start_ns + 10)) };
    let trace = Trace {
        processes: processes(2),
        spans: vec![
            on(1, 5, 1000),
            on(2, 5, 1100),
            on(3, 5, 1101),
            on(4, 6, 1050),
            Span { tid: 5, ..span(5, 1, 0, 1001, Some(1002)) },
        ],
        visits: vec![noted(0, 5), noted(1, 6)],
        ..Trace::default()
    };
    let flat = FlatTrace::of(&trace);
    let (around, elsewhere) = (trace.visit_id(&trace.visits[0]), trace.visit_id(&trace.visits[1]));
    let cause = SpanId(77);
    let want = [
        (SpanId(1), around),
        (SpanId(2), around),
        (SpanId(3), cause),
        (SpanId(4), cause),
        (SpanId(5), SpanId(1)),
        (around, cause),
        (elsewhere, cause),
    ];
    assert_eq!(parents(&flat), want);
}

#[test]
fn a_visit_is_an_internal_span_whose_id_does_not_depend_on_other_processes() {
    let ticks = ProcessInfo { clock: ProcessClock::Ticks { first: 3 }, ..ProcessInfo::default() };
    let of = |start_ns| Trace {
        processes: vec![ProcessInfo::default(), ticks.clone()],
        spans: vec![span(1, 0, 0, start_ns, Some(start_ns + 1))],
        visits: vec![Visit { process_idx: 1, ..visit(1, 7, &[]) }],
        ..Trace::default()
    };
    let (early, late) = (of(1000), of(2000));
    let (early, late) = (FlatTrace::of(&early), FlatTrace::of(&late));
    let (early, late) = (&early.spans[1], &late.spans[1]);
    assert_eq!((early.id, early.start_ns, late.start_ns), (late.id, 1007, 2007), "ticks count from the start");
    assert_eq!((early.operation(), early.kind(), early.is_repaired), ("visit", SpanKind::Internal, true));
}

#[test]
fn what_did_not_end_lasts_until_the_last_that_is_known_of_its_process() {
    let event = Event { at_ns: 20, name: "e".into(), message: "".into(), attributes: Vec::new() };
    let payload = Payload { at_ns: 50, name: None, bytes: Vec::new(), is_truncated: false };
    let notes = Notes { events: vec![event], payloads: vec![payload], ..Notes::default() };
    let trace = Trace {
        processes: processes(4),
        spans: vec![
            Span { notes, ..span(1, 0, 0, 1, None) },
            span(2, 0, 1, 1, None),
            span(3, 0, 2, 1, None),
            span(4, 0, 3, 7, None),
        ],
        visits: vec![Visit { end_ns: None, ..visit(0, 30, &[]) }],
        open_edges: vec![call(1, 2, 10)],
        fired: vec![Firing { process_idx: 2, at_ns: 80, trigger: Default::default(), n_laterals: 0 }],
        ..Trace::default()
    };
    assert_eq!(ends(&FlatTrace::of(&trace)), [50, 10, 80, 7, 50]);
}

#[test]
fn what_did_not_end_lasts_as_long_as_what_it_caused_unless_its_process_died() {
    let death = |at_ns| ProcessInfo { death: Some(Death { at_ns, ..Death::default() }), ..ProcessInfo::default() };
    let cut = |id, parent| Span { is_cut: true, ..span(id, parent, 1, 30, None) };
    let trace = Trace {
        processes: vec![ProcessInfo::default(), death(Some(90)), ProcessInfo::default()],
        // 1 waits for 2, and that for 3, which was cut while it waited for 7; 4 is over; 5 and 6 are each other's parents.
        spans: vec![
            span(1, 0, 0, 10, None),
            span(2, 1, 0, 20, None),
            cut(3, 2),
            span(4, 1, 0, 25, Some(28)),
            span(5, 6, 0, 1, None),
            span(6, 5, 0, 1, None),
            span(7, 3, 2, 40, Some(200)),
        ],
        ..Trace::default()
    };
    let flat = FlatTrace::of(&trace);
    assert_eq!(ends(&flat), [90, 90, 90, 28, 28, 28, 200]);
    assert_eq!(flat.spans[2].ending, Ending::Cut);
    let keys = |idx: usize| flat.spans[idx].attributes().map(|of| of.key.to_string()).collect::<Vec<_>>();
    assert_eq!(keys(0), ["backsight.open", "backsight.tid"]);
    assert_eq!(
        (keys(2), keys(3)),
        (vec!["backsight.cut".into(), "backsight.tid".into()], vec!["backsight.tid".into()])
    );
}

#[test]
fn further_services_of_a_process_are_homes_of_their_own() {
    let named = |service: &str| ProcessInfo { service: service.into(), ..ProcessInfo::default() };
    let of = |id, process_idx, service: &str| Span { service: service.into(), ..span(id, 0, process_idx, 0, Some(1)) };
    let trace = Trace {
        processes: vec![named("web"), named("")],
        spans: vec![
            of(1, 1, "b"),
            of(2, 0, "b"),
            of(3, 0, ""),
            of(4, 0, "a"),
            of(5, 0, "b"),
            of(6, 0, "web"),
            of(7, 9, ""),
        ],
        ..Trace::default()
    };
    let flat = FlatTrace::of(&trace);
    let homes: Vec<_> = flat.homes.iter().map(|home| (home.process_idx, &*home.service)).collect();
    let unknown = UNKNOWN_SERVICE;
    assert_eq!(homes, [(0, "web"), (1, unknown), (0, "a"), (0, "b"), (1, "b"), (9, unknown)]);
    assert_eq!(flat.spans.iter().map(|span| span.home_idx).collect::<Vec<_>>(), [4, 3, 0, 2, 3, 0, 5]);
}

#[test]
fn events_payloads_and_open_calls_are_events_in_order_of_time() {
    let event = Event { at_ns: 30, name: "miss".into(), message: "cold".into(), attributes: Vec::new() };
    let payload = Payload { at_ns: 20, name: Some("body".into()), bytes: vec![1], is_truncated: true };
    let notes = Notes { events: vec![event], payloads: vec![payload], ..Notes::default() };
    let trace = Trace {
        processes: processes(1),
        spans: vec![Span { notes, ..span(1, 0, 0, 10, Some(40)) }],
        open_edges: vec![call(0, 1, 25)],
        ..Trace::default()
    };
    let flat = FlatTrace::of(&trace);
    let events = flat.spans[0].events();
    let said: Vec<_> = events.iter().map(|event| (event.at_ns, event.name())).collect();
    assert_eq!(said, [(20, "raw"), (25, "call without answer"), (30, "miss")]);
    let attributes = |idx: usize| events[idx].attributes().iter().map(|of| (**of).clone()).collect::<Vec<_>>();
    let want = [
        Attribute::new("backsight.payload", AttributeValue::Bytes(vec![1])),
        Attribute::new("backsight.name", "body".into()),
        Attribute::new("backsight.truncated", true.into()),
    ];
    assert_eq!((attributes(0), attributes(1)), (want.to_vec(), Vec::new()));
    assert_eq!(attributes(2), [Attribute::new("message", "cold".into())]);
    assert!(matches!(events[1].what, Happened::OpenCall));
}

proptest! {
    /// For any spans and visits of two processes: each is one span, whose end is not before its start, and known ends stay; every call is of one span;
    /// and what is open, in a process that lives, ends no earlier than what it caused later.
    #[test]
    fn nothing_is_lost_and_nothing_ends_before_what_it_waits_for(
        spans in prop::collection::vec((0_u64..12, 0_u64..12, 0_usize..2, 0_u64..50, prop::option::of(0_u64..30), prop::bool::ANY), 0..20),
        visits in prop::collection::vec((0_u64..12, 0_usize..2, 0_u64..50, prop::collection::vec(0_u64..12, 0..3)), 0..6),
        calls in prop::collection::vec((0_usize..2, 0_u64..12, 0_u64..90), 0..6),
    ) {
        let of_span = |(id, parent, process_idx, start, len, is_cut): (u64, u64, usize, u64, Option<u64>, bool)| {
            Span { is_cut: is_cut && len.is_none(), ..span(id, parent, process_idx, start, len.map(|len| start + len)) }
        };
        let of_visit = |(parent, process_idx, start, calls): (u64, usize, u64, Vec<u64>)| {
            Visit { process_idx, ..visit(parent, start, &calls) }
        };
        let trace = Trace {
            processes: processes(2),
            spans: spans.into_iter().map(of_span).collect(),
            visits: visits.into_iter().map(of_visit).collect(),
            open_edges: calls.into_iter().map(|(process_idx, span, at_ns)| call(process_idx, span, at_ns)).collect(),
            ..Trace::default()
        };
        let flat = FlatTrace::of(&trace);
        prop_assert_eq!(flat.spans.len(), trace.spans.len() + trace.visits.len());
        for (flat, span) in flat.spans.iter().zip(&trace.spans) {
            prop_assert_eq!((flat.id, flat.start_ns), (span.id, span.start_ns));
            prop_assert!(flat.end_ns >= flat.start_ns && span.end_ns.is_none_or(|end| end == flat.end_ns));
        }
        prop_assert!(flat.spans.iter().map(|span| span.open_calls_ns.len()).sum::<usize>() <= trace.open_edges.len());
        for callee in &flat.spans {
            for caller in flat.spans.iter().filter(|caller| caller.id == callee.parent && caller.ending == Ending::Open) {
                let is_later = callee.ending != Ending::Open || callee.start_ns > caller.start_ns;
                prop_assert!(!is_later || caller.end_ns >= callee.end_ns, "{caller:?} {callee:?}");
            }
        }
    }
}
