//! Claims about two archives as one: page by page all that either holds, each trace once, in one order.

use super::{Both, joined, key};
use crate::archive::{Archive, Ask, Budget, Calls, Found, Operation, Unanswered};
use crate::cursor::{Cursor, Sort};
use crate::language::Query;
use crate::rows::{ProcessRow, SpanRow, TraceRows};
use backsight_core::ids::{SpanId, TraceId};
use proptest::collection::vec;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

/// Holds traces, and finds so many at a time.
#[derive(Debug)]
struct Few {
    traces: Vec<TraceRows>,
    at_a_time: usize,
}

fn place(rows: &TraceRows) -> (Reverse<u64>, TraceId) {
    (Reverse(key(rows, Sort::Recent)), rows.id)
}

impl Archive for Few {
    fn trace(&self, id: TraceId) -> Result<Option<TraceRows>, Unanswered> {
        Ok(self.traces.iter().find(|rows| rows.id == id).cloned())
    }

    fn search(&self, ask: &Ask, _: &dyn Budget) -> Result<Found, Unanswered> {
        let mut left: Vec<_> = self.traces.clone();
        left.sort_by_key(place);
        left.retain(|rows| ask.behind.is_none_or(|behind| place(rows) > (Reverse(behind.key), behind.trace)));
        let n = ask.limit.min(self.at_a_time);
        let mut found = Found { n_scanned: 1, ..Found::default() };
        if let Some(last) = left.get(n.wrapping_sub(1)).filter(|_| left.len() > n) {
            let (Reverse(key), trace) = place(last);
            found.next = Some(Cursor { sort: ask.sort, key, trace, manifest: 3 });
        }
        left.truncate(n);
        found.traces = left;
        Ok(found)
    }

    fn services(&self, _: Range<u64>, _: &dyn Budget) -> Result<Vec<String>, Unanswered> {
        Ok(vec!["a".to_owned(), self.at_a_time.to_string()])
    }

    fn operations(&self, _: &str, _: Range<u64>, _: &dyn Budget) -> Result<Vec<Operation>, Unanswered> {
        Err(Unanswered::Unreadable("nothing".to_owned()))
    }

    fn calls(&self, _: Range<u64>, _: &dyn Budget) -> Result<Vec<Calls>, Unanswered> {
        Ok(vec![Calls { caller: "a".to_owned(), callee: "b".to_owned(), n: self.at_a_time as u64 }])
    }
}

struct Endless;

impl Budget for Endless {
    fn is_spent(&self) -> bool {
        false
    }
}

fn rows(id: u64, start_ns: u64, span: u64) -> TraceRows {
    let span = SpanRow { id: SpanId(span), start_ns, ..SpanRow::default() };
    TraceRows {
        id: TraceId::new(0, id),
        spans: vec![span],
        processes: vec![ProcessRow::default()],
        ..TraceRows::default()
    }
}

fn any_archive(span: u64, ids: Range<u64>) -> impl Strategy<Value = Few> {
    let traces = prop::collection::btree_map(ids, 0_u64..6, 0..12);
    (traces, 1_usize..5).prop_map(move |(traces, at_a_time)| {
        let traces = traces.into_iter().map(|(id, start_ns)| rows(id, start_ns, span)).collect();
        Few { traces, at_a_time }
    })
}

proptest! {
    /// For all that two archives hold, however little each finds at a time: the pages are all of it, each trace once, in order.
    #[test]
    fn pages_are_all_that_either_holds(
        one in any_archive(1, 0..20),
        other in any_archive(2, 20..40),
        limit in 1_usize..6,
    ) {
        let mut want: Vec<_> = one.traces.iter().chain(&other.traces).cloned().collect();
        want.sort_by_key(place);
        let both = Both(Arc::new(one), Arc::new(other));
        let mut ask = Ask { query: Query::default(), during: 0..u64::MAX, sort: Sort::Recent, limit, behind: None };
        let mut pages = Vec::new();
        loop {
            let found = both.search(&ask, &Endless).unwrap();
            prop_assert!(found.traces.len() <= limit);
            pages.extend(found.traces);
            match found.next {
                Some(next) => ask.behind = Some(next),
                None => break,
            }
        }
        prop_assert_eq!(pages, want);
    }

    /// For all spans: what two say of one trace is one trace, and each span keeps its process.
    #[test]
    fn a_trace_in_both_is_one(starts in vec((0_u64..9, 0_u64..9), 0..5)) {
        let of = |which: usize| {
            let mut all = rows(7, 0, 1);
            all.spans.clear();
            all.processes = vec![ProcessRow { service: which.to_string().into(), ..ProcessRow::default() }];
            let spans = starts.iter().map(|(one, other)| if which == 0 { *one } else { *other });
            all.spans.extend(spans.map(|start_ns| SpanRow { start_ns, kind: None, ..SpanRow::default() }));
            all.spans.sort_by_key(|span| span.start_ns);
            all
        };
        let united = joined(of(0), of(1));
        prop_assert_eq!(united.spans.len(), 2 * starts.len());
        prop_assert!(united.spans.is_sorted_by_key(|span| span.start_ns));
        for which in [0, 1] {
            let name = which.to_string();
            prop_assert_eq!(united.spans.iter().filter(|span| united.service(span) == name).count(), starts.len());
        }
    }
}

#[test]
fn names_are_united_and_calls_add_up() {
    let few = |at_a_time| Arc::new(Few { traces: Vec::new(), at_a_time });
    let both = Both(few(2), few(3));
    assert_eq!(both.services(0..1, &Endless).unwrap(), ["2", "3", "a"]);
    assert_eq!(both.calls(0..1, &Endless).unwrap()[0].n, 5);
    assert!(both.operations("a", 0..1, &Endless).is_err());
}
