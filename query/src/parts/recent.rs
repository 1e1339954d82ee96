//! Rows that are in no part yet: which of their traces may be what is searched for, and what they have of one trace.
//!
//! Called by `find` and `byid`. What comes in behind the rows that were counted first is not looked at.

use crate::archive::Budget;
use crate::language::{Query, span_matches};
use crate::rows::stored::{StoredSpan, Union, clamped};
use backsight_core::ids::TraceId;
use backsight_store::batch::Batch;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

/// Rows that are read under one hold of a batch's lock, as rows that come in wait for it.
const HELD_ROWS: usize = 4096;

/// What was seen of a trace whose spans stand in several places, or in none that is finished.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    /// Which groups a span of it was found for, as bits.
    pub(super) groups: u64,
    /// Its first start so far.
    pub(super) start_ns: u64,
    /// Whether a span of it lies in the time that is asked for.
    pub(super) is_during: bool,
}

impl Seen {
    /// Of a trace of which nothing was seen.
    pub(super) const NOTHING: Self = Self { groups: 0, start_ns: u64::MAX, is_during: false };
}

/// The batches of a view, with the rows that were there when it was taken.
#[derive(Debug)]
pub(super) struct Recent(Vec<Counted>);

#[derive(Debug)]
struct Counted {
    batch: Arc<RwLock<Batch>>,
    n_spans: usize,
    n_traces: usize,
}

impl Counted {
    fn read(&self) -> RwLockReadGuard<'_, Batch> {
        self.batch.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    pub(super) fn new(batches: &[Arc<RwLock<Batch>>]) -> Self {
        let counted = |batch: &Arc<RwLock<Batch>>| {
            let (n_spans, n_traces) = {
                let batch = batch.read().unwrap_or_else(PoisonError::into_inner);
                (batch.n_spans(), batch.n_traces())
            };
            Counted { batch: batch.clone(), n_spans, n_traces }
        };
        Self(batches.iter().map(counted).collect())
    }

    /// Returns the ids of all traces, those of several batches several times.
    pub(super) fn ids(&self) -> Vec<TraceId> {
        self.0.iter().flat_map(|counted| counted.read().trace_ids(0..counted.n_traces).collect::<Vec<_>>()).collect()
    }

    /// Returns what its spans say of each trace, as far as the budget goes.
    pub(super) fn scan(&self, query: &Query, during: &Range<u64>, budget: &dyn Budget) -> HashMap<TraceId, Seen> {
        let mut traces = HashMap::new();
        for counted in &self.0 {
            let mut start = 0;
            while start < counted.n_spans && !budget.is_spent() {
                let end = counted.n_spans.min(start + HELD_ROWS);
                scan_rows(&counted.read(), start..end, query, during, &mut traces);
                start = end;
            }
        }
        traces
    }

    /// Returns how many spans a trace has here, and its first start.
    pub(super) fn extent(&self, trace: TraceId) -> (u64, Option<u64>) {
        let (mut n_spans, mut first) = (0, None);
        for counted in &self.0 {
            for start in counted.read().starts_of(trace, counted.n_spans) {
                n_spans += 1;
                first = Some(first.map_or(start, |before: i64| before.min(start)));
            }
        }
        (n_spans, first.map(clamped))
    }

    /// Adds what is here of a trace.
    pub(super) fn add_to(&self, union: &mut Union, trace: TraceId) {
        for counted in &self.0 {
            let batch = counted.read();
            if !batch.has_trace(trace, counted.n_traces) {
                continue;
            }
            union.set_pending();
            union.begin();
            for span in batch.spans_of(trace, counted.n_spans) {
                let resource = batch.resource(span.resource);
                union.add_span(span.into_owned(), resource);
            }
            if let Some(facts) = batch.facts_of(trace) {
                union.add_facts(facts);
            }
        }
    }

    /// Shows all spans, with the attributes of their resources, until `visit` returns false.
    pub(super) fn visit(&self, visit: &mut dyn FnMut(StoredSpan<'_>) -> bool) {
        for counted in &self.0 {
            let mut start = 0;
            while start < counted.n_spans {
                let end = counted.n_spans.min(start + HELD_ROWS);
                let batch = counted.read();
                for row in batch.spans(start..end) {
                    if !visit(StoredSpan { row: &row, resource: batch.resource(row.resource) }) {
                        return;
                    }
                }
                start = end;
            }
        }
    }
}

fn scan_rows(
    batch: &Batch,
    rows: Range<usize>,
    query: &Query,
    during: &Range<u64>,
    traces: &mut HashMap<TraceId, Seen>,
) {
    for (trace, start_ns, duration_ns) in batch.times(rows.clone()) {
        let seen = traces.entry(trace).or_insert(Seen::NOTHING);
        seen.start_ns = seen.start_ns.min(clamped(start_ns));
        seen.is_during |= overlaps(during, start_ns, start_ns.saturating_add(duration_ns.max(0)));
    }
    if query.groups.is_empty() {
        return;
    }
    for row in batch.spans(rows) {
        let Some(seen) = traces.get_mut(&row.trace) else { continue };
        let span = StoredSpan { row: &row, resource: batch.resource(row.resource) };
        for (idx, group) in query.groups.iter().enumerate() {
            if seen.groups & 1 << idx == 0 && span_matches(group, &span) {
                seen.groups |= 1 << idx;
            }
        }
    }
}

/// Returns whether what lasted from `start_ns` to `end_ns`, both included, was there during `during`.
pub(super) fn overlaps(during: &Range<u64>, start_ns: i64, end_ns: i64) -> bool {
    clamped(start_ns) < during.end && clamped(end_ns) >= during.start
}
