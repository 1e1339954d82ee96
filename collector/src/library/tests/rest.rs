//! When traces are summed up, and who is told.

use super::super::{QUIET_NS, RESTLESS_NS, SETTLE_MAX, Settled, TAIL_MAX};
use super::{Filter, Options, SPAN, add, one_span, open, open_again, trace};
use crate::library::Library;
use crate::library::tests::traces::{TestReport, TestSpan};
use tokio::sync::broadcast::error::TryRecvError;

const MS: u64 = 1_000_000;

/// Adds a further segment to trace `lo`.
async fn more(library: &Library, lo: u64, revision: u64) {
    let span = TestSpan { id: revision, ..SPAN };
    add(library, &[TestReport { revision, region: revision, ..one_span(lo, "cart", span) }]).await;
}

#[tokio::test]
async fn a_trace_is_told_once_it_is_quiet_and_again_when_more_comes() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let mut tail = library.tail();
    more(&library, 1, 1).await;
    assert_eq!(library.settle(0), Settled { n: 0, n_waiting: 1 });
    assert_eq!(library.settle(QUIET_NS - 1).n, 0);
    more(&library, 1, 2).await;
    assert_eq!(library.settle(QUIET_NS).n, 0, "it is not quiet any more");
    assert_eq!(library.settle(2 * QUIET_NS - 1).n, 0);
    assert_eq!(library.settle(2 * QUIET_NS), Settled { n: 1, n_waiting: 0 });
    assert_eq!(tail.try_recv().unwrap().summary.n_spans, 2);
    assert_eq!(library.settle(9 * QUIET_NS).n, 0);
    more(&library, 1, 3).await;
    library.settle(10 * QUIET_NS);
    library.settle(11 * QUIET_NS);
    assert_eq!(tail.try_recv().unwrap().summary.n_spans, 3);
    assert!(matches!(tail.try_recv(), Err(TryRecvError::Empty)));
    assert_eq!(library.search(&Filter::default(), 10).traces.len(), 1);
}

#[tokio::test]
async fn a_trace_that_never_rests_is_found_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let mut found_at = None;
    for n in 1..=30 {
        more(&library, 1, n).await;
        if library.settle(n * 500 * MS).n > 0 {
            found_at = found_at.or(Some(n * 500 * MS));
        }
    }
    assert_eq!(found_at, Some(500 * MS + RESTLESS_NS));
}

#[tokio::test]
async fn after_a_start_the_newest_are_summed_up_first_and_nobody_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let n_traces = SETTLE_MAX as u64 + 50;
    let reports: Vec<_> = (1..=n_traces).map(|lo| one_span(lo, "cart", SPAN)).collect();
    add(&library, &reports).await;
    let library = open_again(&library, folder.path()).await;
    let mut tail = library.tail();
    add(&library, &[one_span(1, "till", SPAN)]).await;
    assert_eq!(library.settle(0).n, SETTLE_MAX);
    let found = library.search(&Filter::default(), 1000).traces;
    assert_eq!(found.iter().map(|summary| summary.trace).max(), Some(trace(n_traces)));
    assert_eq!(found.iter().map(|summary| summary.trace).min(), Some(trace(51)));
    assert_eq!(library.settle(1), Settled { n: 49, n_waiting: 1 }, "the first one has changed since");
    assert_eq!(library.settle(QUIET_NS), Settled { n: 1, n_waiting: 0 });
    assert_eq!(tail.try_recv().unwrap().summary.trace, trace(1));
    assert!(matches!(tail.try_recv(), Err(TryRecvError::Empty)));
}

#[tokio::test]
async fn one_who_follows_too_slowly_misses_some_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let mut tail = library.tail();
    let n_traces = TAIL_MAX as u64 + 10;
    let reports: Vec<_> = (1..=n_traces).map(|lo| one_span(lo, "cart", SPAN)).collect();
    add(&library, &reports).await;
    library.settle(0);
    while library.settle(QUIET_NS).n > 0 {}
    assert!(matches!(tail.try_recv(), Err(TryRecvError::Lagged(10))));
    assert!(tail.try_recv().is_ok());
}
