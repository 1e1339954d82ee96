//! Claims about what belongs to what: a call is of whoever made it, a callee hangs under it, and nothing ends before what it caused.

use super::{Part, Relations};
use backsight_core::ids::{AgentId, SpanId};
use backsight_core::trace::{Death, OpenEdge, ProcessInfo, Span, Trace, Visit};

fn span(id: u64, parent: u64, process_idx: usize, start_ns: u64, end_ns: Option<u64>) -> Span {
    Span { id: SpanId(id), parent: SpanId(parent), process_idx, start_ns, end_ns, ..Span::default() }
}

fn call(process_idx: usize, span: u64, at_ns: u64) -> OpenEdge {
    OpenEdge { process_idx, span: SpanId(span), expected: AgentId::NONE, at_ns }
}

#[test]
fn calls_without_answer_are_of_what_made_them() {
    let visit = Visit { parent: SpanId(77), process_idx: 1, calls: vec![SpanId(50)], ..Visit::default() };
    let trace = Trace {
        processes: vec![ProcessInfo::default(); 3],
        spans: vec![span(1, 0, 0, 1, None), span(2, 88, 2, 1, None), span(1, 0, 1, 1, None)],
        visits: vec![visit],
        // By a span, a visit under an id of its own, one under its cause, and outside the span that the cause had there.
        open_edges: vec![call(0, 1, 10), call(1, 50, 20), call(1, 77, 30), call(2, 88, 40), call(2, 99, 50)],
        ..Trace::default()
    };
    let relations = Relations::of(&trace);
    assert_eq!(relations.open_calls(Part::Span(0)), [10]);
    assert_eq!(relations.open_calls(Part::Visit(0)), [20, 30]);
    assert_eq!(relations.open_calls(Part::Span(1)), [40]);
    assert_eq!(relations.open_calls(Part::Span(2)), [] as [u64; 0], "another process has a span of that id");
}

#[test]
fn a_callee_of_a_visit_without_a_span_hangs_under_the_visit() {
    let visit = Visit { calls: vec![SpanId(50), SpanId(51)], ..Visit::default() };
    let trace = Trace { processes: vec![ProcessInfo::default()], visits: vec![visit], ..Trace::default() };
    let relations = Relations::of(&trace);
    let id = trace.visit_id(&trace.visits[0]);
    assert_eq!([50, 51, 52].map(|named| relations.parent(SpanId(named))), [id, id, SpanId(52)]);
}

/// A visit of which only a later part is there names its cause in its calls, and a client may name anything.
#[test]
fn nobody_takes_the_children_of_a_span_or_becomes_its_own_parent() {
    let visit = |parent, call| Visit { parent: SpanId(parent), calls: vec![SpanId(call)], ..Visit::default() };
    let trace = Trace {
        processes: vec![ProcessInfo::default()],
        spans: vec![span(1, 0, 0, 1, None)],
        visits: vec![visit(77, 77), visit(0, 1)],
        ..Trace::default()
    };
    let relations = Relations::of(&trace);
    assert_eq!([77, 1].map(|named| relations.parent(SpanId(named))), [SpanId(77), SpanId(1)]);
}

#[test]
fn an_unfinished_call_is_within_what_made_it() {
    let trace = Trace {
        processes: vec![ProcessInfo::default()],
        spans: vec![span(1, 0, 0, 1, None)],
        visits: vec![Visit { parent: SpanId(77), ..Visit::default() }],
        open_edges: vec![call(0, 1, 10), call(0, 77, 20)],
        ..Trace::default()
    };
    let relations = Relations::of(&trace);
    assert_eq!([Part::Span(0), Part::Visit(0)].map(|part| relations.end_ns(part)), [10, 20]);
}

#[test]
fn what_did_not_end_lasted_as_long_as_what_it_caused_and_until_its_process_died() {
    let death = |at_ns| ProcessInfo { death: Some(Death { at_ns, ..Death::default() }), ..ProcessInfo::default() };
    let cut = Span { is_cut: true, ..span(3, 2, 1, 30, None) };
    let trace = Trace {
        processes: vec![ProcessInfo::default(), death(Some(90))],
        // 1 waits for 2, and that for 3, which was cut; 4 is over; 5 and 6 are each other's parents.
        spans: vec![
            span(1, 0, 0, 10, None),
            span(2, 1, 0, 20, None),
            cut,
            span(4, 1, 0, 25, Some(28)),
            span(5, 6, 0, 1, None),
            span(6, 5, 0, 1, None),
        ],
        ..Trace::default()
    };
    let relations = Relations::of(&trace);
    let ends: Vec<_> = (0..6).map(|idx| relations.end_ns(Part::Span(idx))).collect();
    assert_eq!(ends, [90, 90, 90, 28, 1, 1]);
}
