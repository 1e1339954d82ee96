//! Services, operations and calls, against brute force.

use super::{Endless, Item, World, any, span};
use crate::archive::{Archive, Calls, Operation};
use crate::rows::stored::{Times, kind_of};
use backsight_core::record::SpanKind;
use backsight_store::rows::SpanRow;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_assert_eq, prop_oneof, proptest};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

fn is_during(span: &SpanRow<'_>, during: &Range<u64>) -> bool {
    let times = Times::of(span.start_ns, span.duration_ns);
    times.start_ns < during.end && times.start_ns + times.duration_ns >= during.start
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// For all spans in parts and a batch, and all times: exactly the services and operations of spans that lie in it are answered.
    #[test]
    fn services_and_operations_are_those_of_spans_in_that_time(
        parts in vec(vec(any::span(any::Drawn::ODD).prop_map(Item::Span), 1..8), 0..3),
        batch in vec(any::span(any::Drawn::ODD).prop_map(Item::Span), 0..5),
        during in prop_oneof![Just(0..u64::MAX), (0..30_u64, 0..20_u64).prop_map(|(start, len)| start..start + len)],
    ) {
        let mut world = World::default();
        parts.iter().for_each(|items| { world.cut(items); });
        world.add_batch(&batch);
        let archive = world.archive();
        let spans = || parts.iter().flatten().chain(&batch).filter_map(|item| match item {
            Item::Span(span) if is_during(span, &during) => Some(span),
            _ => None,
        });
        let services: BTreeSet<_> = spans().map(|span| span.service.to_string()).collect();
        prop_assert_eq!(archive.services(during.clone(), &Endless).unwrap(), Vec::from_iter(services));
        let of_service = spans().filter(|span| span.service == "a");
        let operations: BTreeSet<_> = of_service
            .map(|span| Operation { name: span.operation.to_string(), kind: kind_of(span.kind) })
            .collect();
        prop_assert_eq!(archive.operations("a", during.clone(), &Endless).unwrap(), Vec::from_iter(operations));
    }
}

#[test]
fn calls_are_counted_once_also_over_the_edges_of_parts() {
    let of = |service: &str, trace, n, start_ns| {
        let mut span = span(trace, n, start_ns);
        span.service = service.to_owned().into();
        span.kind = 2;
        span
    };
    let (root, child) = (of("web", 1, 1, 100), of("db", 1, 2, 110));
    let mut world = World::default();
    world.cut(&[Item::Span(root.clone()), Item::Span(child.clone()), Item::Span(of("web", 1, 3, 105))]);
    world.cut(&[Item::Span(of("cache", 1, 4, 120)), Item::Span(child.clone())]);
    world.cut(&[Item::Span(of("web", 2, 1, 200)), Item::Span(of("db", 2, 2, 210))]);
    world.add_batch(&[Item::Span(of("db", 1, 5, 130))]);
    let archive = world.archive();
    let calls = archive.calls(0..u64::MAX, &Endless).unwrap();
    let counted: BTreeMap<_, _> = calls.iter().map(|Calls { callee, n, .. }| (callee.as_str(), *n)).collect();
    assert_eq!(counted, BTreeMap::from([("cache", 1), ("db", 3)]));
    assert!(calls.iter().all(|call| call.caller == "web"));
    let late = archive.calls(205..300, &Endless).unwrap();
    assert_eq!(late, [Calls { caller: "web".to_owned(), callee: "db".to_owned(), n: 1 }]);
    let operations = archive.operations("db", 0..u64::MAX, &Endless).unwrap();
    assert_eq!(operations, [Operation { name: "GET".to_owned(), kind: Some(SpanKind::Server) }]);
}

#[test]
fn a_span_that_ends_before_it_begins_is_there_when_it_begins() {
    let mut odd = span(1, 1, 10);
    odd.duration_ns = -1;
    let mut world = World::default();
    world.cut(&[Item::Span(odd), Item::Span(span(2, 1, 0))]);
    let archive = world.archive();
    assert_eq!(archive.services(10..11, &Endless).unwrap(), ["shop"]);
    assert_eq!(archive.operations("shop", 10..11, &Endless).unwrap().len(), 1);
}
