//! Claims about the library as an archive: what a line rules out would not have matched, and pages meet without a gap.

use super::LibraryArchive;
use crate::library::tests::traces::{TestReport, TestSpan, one_span};
use crate::library::tests::{AGENT, open};
use crate::library::{Library, Options, QUIET_NS};
use crate::query::StatusSource;
use backsight_core::ids::TraceId;
use backsight_proto::v1;
use backsight_query::archive::{Archive as _, Ask, Budget};
use backsight_query::cursor::Sort;
use backsight_query::language::{matches, parse};
use std::sync::Arc;

struct Nobody;

impl StatusSource for Nobody {
    fn uptime_ms(&self) -> u64 {
        0
    }

    fn agents(&self) -> Vec<v1::AgentStatus> {
        Vec::new()
    }

    fn drops(&self) -> Vec<(String, u64)> {
        Vec::new()
    }
}

struct Endless;

impl Budget for Endless {
    fn is_spent(&self) -> bool {
        false
    }
}

const SPAN: TestSpan = TestSpan { id: 1, parent: 0, name: "GET /", start: 1000, took: 500, is_error: false };

/// Returns thirty traces of several services and operations, three of which begin at each of ten instants.
async fn filled(folder: &std::path::Path) -> Library {
    let library = open(folder, Options::default());
    let report = |lo: u64| {
        let service = ["cart", "till", ""][lo as usize % 3];
        let name = ["GET /", "charge"][lo as usize % 2];
        let first = TestSpan { start: 1000 * (lo / 3 + 1), took: 100 * lo, name, ..SPAN };
        let second = TestSpan { id: 2, parent: 1, name: "sweep", took: 50, is_error: lo.is_multiple_of(5), ..first };
        TestReport { segments: vec![vec![first, second]], ..one_span(lo + 1, service, first) }.message()
    };
    library.add(AGENT, (0..30).map(report).collect()).await.unwrap();
    library.settle(0);
    while library.settle(QUIET_NS).n > 0 {}
    library
}

fn ask(query: &str, sort: Sort, limit: usize) -> Ask {
    Ask { query: parse(query, 0).unwrap(), during: 0..u64::MAX, sort, limit, behind: None }
}

#[tokio::test]
async fn a_search_finds_all_that_match_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let library = filled(folder.path()).await;
    let archive = LibraryArchive::new(library.clone(), Arc::new(Nobody));
    let queries = [
        "service = cart",
        "service = unknown_service operation = charge",
        "service = till operation = sweep error",
        "{service = cart operation = charge} && {error}",
        "duration > 1us",
        "duration >= 2900ns operation = charge",
        "status = error duration < 60ns",
        "operation = nothing",
        "sweep",
    ];
    for query in queries {
        let parsed = parse(query, 0).unwrap();
        let rows = (1..=30).filter_map(|lo| archive.trace(TraceId::new(7, lo)).unwrap());
        let mut expected: Vec<_> = rows.filter(|rows| matches(&parsed, rows)).map(|rows| rows.id).collect();
        let found = archive.search(&ask(query, Sort::Recent, 100), &Endless).unwrap();
        let mut ids: Vec<_> = found.traces.iter().map(|rows| rows.id).collect();
        ids.sort_unstable();
        expected.sort_unstable();
        assert_eq!(ids, expected, "{query}");
        assert!(found.next.is_none() && found.partial.is_empty() && found.n_scanned == 30, "{query}");
    }
}

#[tokio::test]
async fn pages_meet_without_a_gap_in_every_order() {
    let folder = tempfile::tempdir().unwrap();
    let archive = LibraryArchive::new(filled(folder.path()).await, Arc::new(Nobody));
    for sort in Sort::ALL {
        let whole = archive.search(&ask("operation = sweep", sort, 100), &Endless).unwrap();
        let (mut paged, mut behind) = (Vec::new(), None);
        loop {
            let page = Ask { behind, ..ask("operation = sweep", sort, 7) };
            let page = archive.search(&page, &Endless).unwrap();
            assert!(page.traces.len() <= 7);
            paged.extend(page.traces);
            behind = page.next;
            if behind.is_none() {
                break;
            }
        }
        let ids = |rows: &[backsight_query::rows::TraceRows]| rows.iter().map(|rows| rows.id).collect::<Vec<_>>();
        assert_eq!((ids(&paged), whole.traces.len()), (ids(&whole.traces), 30), "{}", sort.name());
    }
    let recent = archive.search(&ask("operation = sweep", Sort::Recent, 4), &Endless).unwrap();
    let ids: Vec<_> = recent.traces.iter().map(|rows| rows.id.lo).collect();
    assert_eq!(ids, [28, 29, 30, 25], "the latest first, of equal starts the lower id");
}

#[tokio::test]
async fn names_are_those_that_traces_show() {
    let folder = tempfile::tempdir().unwrap();
    let archive = LibraryArchive::new(filled(folder.path()).await, Arc::new(Nobody));
    assert_eq!(archive.services(0..u64::MAX, &Endless).unwrap(), ["cart", "till", "unknown_service"]);
    assert_eq!(archive.services(0..5, &Endless).unwrap(), [""; 0]);
    let operations = archive.operations("unknown_service", 0..u64::MAX, &Endless).unwrap();
    let names: Vec<_> = operations.iter().map(|operation| &*operation.name).collect();
    assert_eq!(names, ["GET /", "charge", "sweep"]);
}
