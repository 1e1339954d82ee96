//! What searches find: exactly what the filter of `query.proto` says.

use super::super::QUIET_NS;
use super::traces::{EPOCH_NS, TestReport, TestSpan};
use super::{Filter, Options, SPAN, add, one_span, open};
use crate::library::Library;
use backsight_core::ids::TriggerId;

/// Stores four traces, of which the newest is 4.
async fn library(folder: &std::path::Path) -> Library {
    let library = open(folder, Options::default());
    let slow = TestSpan { id: 1, name: "slow", start: 10_000, took: 900, ..SPAN };
    let failed = TestSpan { id: 2, name: "quick", start: 10_100, took: 10, is_error: true, ..SPAN };
    let quick = TestSpan { id: 3, name: "quick", start: 10_200, took: 300, ..SPAN };
    let mixed = TestReport { segments: vec![vec![slow, failed, quick]], ..one_span(2, "till", slow) };
    let reports = [
        one_span(1, "cart", SPAN),
        mixed,
        one_span(3, "till", TestSpan { start: 20_000, ..SPAN }),
        TestReport { trigger: TriggerId::CLI, ..one_span(4, "cart", TestSpan { start: 30_000, took: 0, ..SPAN }) },
    ];
    add(&library, &reports).await;
    library.settle(0);
    assert_eq!(library.settle(QUIET_NS).n, 4);
    library
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[tokio::test]
async fn a_search_finds_what_matches_newest_first() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path()).await;
    let of = |change: fn(&mut Filter)| {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    };
    let cases: &[(&str, Filter, &[u64])] = &[
        ("all", of(|_| {}), &[4, 3, 2, 1]),
        ("service", of(|f| f.service = text("cart")), &[4, 1]),
        ("part of a name", of(|f| f.service = text("car")), &[]),
        ("operation", of(|f| f.operation = text("quick")), &[2]),
        ("operation of another service", of(|f| (f.service, f.operation) = (text("cart"), text("quick"))), &[]),
        ("duration", of(|f| f.min_duration_ns = 500), &[3, 2, 1]),
        ("duration of another span", of(|f| (f.operation, f.min_duration_ns) = (text("quick"), 301)), &[]),
        ("duration of this span", of(|f| (f.operation, f.min_duration_ns) = (text("quick"), 300)), &[2]),
        ("errors", of(|f| f.errors_only = true), &[2]),
        ("error of another span", of(|f| (f.operation, f.errors_only) = (text("slow"), true)), &[]),
        (
            "no error took so long",
            of(|f| (f.operation, f.errors_only, f.min_duration_ns) = (text("quick"), true, 11)),
            &[],
        ),
        ("an error took so long", of(|f| (f.errors_only, f.min_duration_ns) = (true, 10)), &[2]),
        ("trigger", of(|f| f.trigger = TriggerId::CLI), &[4]),
        ("from its last instant", of(|f| f.from_ns = EPOCH_NS + 20_500), &[4, 3]),
        ("from behind it", of(|f| f.from_ns = EPOCH_NS + 20_501), &[4]),
        ("to its first instant", of(|f| f.to_ns = EPOCH_NS + 10_000), &[2, 1]),
        ("to before it", of(|f| f.to_ns = EPOCH_NS + 9_999), &[1]),
        ("between", of(|f| (f.from_ns, f.to_ns) = (EPOCH_NS + 2000, EPOCH_NS + 9000)), &[]),
        ("inside one", of(|f| (f.from_ns, f.to_ns) = (EPOCH_NS + 10_300, EPOCH_NS + 10_301)), &[2]),
    ];
    for (name, filter, expected) in cases {
        let found: Vec<_> = library.search(filter, 10).traces.iter().map(|summary| summary.trace.lo).collect();
        assert_eq!(&found, expected, "{name}");
    }
}

#[tokio::test]
async fn what_is_beyond_the_limit_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path()).await;
    for limit in 0..6 {
        let found = library.search(&Filter::default(), limit);
        assert_eq!((found.traces.len(), found.n_more), (limit.min(4), 4_u64.saturating_sub(limit as u64)));
    }
}

#[tokio::test]
async fn operations_beyond_the_bound_are_counted_and_the_whole_is_still_searched() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let names: Vec<&'static str> = (0..300).map(|n| &*Box::leak(format!("op {n}").into_boxed_str())).collect();
    let span = |(idx, name): (usize, &&'static str)| TestSpan { id: idx as u64 + 1, name, took: idx as u64, ..SPAN };
    let spans: Vec<_> = names.iter().enumerate().map(span).collect();
    add(&library, &[TestReport { segments: vec![spans], ..one_span(1, "cart", SPAN) }]).await;
    library.settle(0);
    library.settle(QUIET_NS);
    let n = |filter: &Filter| library.search(filter, 10).traces.len();
    assert_eq!(n(&Filter { min_duration_ns: 299, ..Filter::default() }), 1);
    assert_eq!(n(&Filter { operation: text("op 0"), ..Filter::default() }), 1);
    assert_eq!(library.stats().drops.get("too_many_operations"), Some(&1));
}
