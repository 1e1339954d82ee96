//! A trace as one array for each field: what a page draws tens of thousands of spans from.

use crate::rows::TraceRows;
use backsight_core::ids::SpanId;
use serde::Serialize;
use std::collections::BTreeMap;

/// A trace.
///
/// # Shape
/// All arrays but `strings` have one element a span, by start. Times are nanoseconds from `base_ns`. `parent` is the row of the parent, -1 where there is
/// none; of rows with one id the first. Kinds and states have OpenTelemetry's numbers. `service`, `operation` and `process` are positions in `strings`.
#[derive(Debug, Serialize)]
pub struct Columns<'a> {
    id: String,
    base_ns: String,
    strings: Vec<&'a str>,
    span: Vec<String>,
    parent: Vec<i64>,
    start_ns: Vec<u64>,
    duration_ns: Vec<u64>,
    service: Vec<usize>,
    operation: Vec<usize>,
    process: Vec<usize>,
    kind: Vec<u8>,
    status: Vec<u8>,
    n_events: Vec<usize>,
}

/// Texts, each once.
#[derive(Default)]
struct Strings<'a> {
    known: BTreeMap<&'a str, usize>,
    all: Vec<&'a str>,
}

impl<'a> Strings<'a> {
    fn idx(&mut self, text: &'a str) -> usize {
        let all = &mut self.all;
        *self.known.entry(text).or_insert_with(|| {
            all.push(text);
            all.len() - 1
        })
    }
}

impl<'a> Columns<'a> {
    /// Returns `rows`.
    ///
    /// # Cost
    /// Time `n log n`, memory linear in the spans; texts are borrowed.
    pub fn of(rows: &'a TraceRows) -> Self {
        let base_ns = rows.interval_ns().map_or(0, |(start, _)| start);
        let by_id: BTreeMap<SpanId, i64> =
            rows.spans.iter().enumerate().rev().map(|(idx, row)| (row.id, idx as i64)).collect();
        let parent = |parent: SpanId| by_id.get(&parent).copied().filter(|_| !parent.is_none()).unwrap_or(-1);
        let mut strings = Strings::default();
        let service = rows.spans.iter().map(|row| strings.idx(rows.service(row))).collect();
        let operation = rows.spans.iter().map(|row| strings.idx(&row.operation)).collect();
        let instance = |idx: usize| rows.processes.get(idx).and_then(|process| process.instance.as_deref());
        let process = rows.spans.iter().map(|row| strings.idx(instance(row.process_idx).unwrap_or_default())).collect();
        Self {
            id: rows.id.to_string(),
            base_ns: base_ns.to_string(),
            span: rows.spans.iter().map(|row| row.id.to_string()).collect(),
            parent: rows.spans.iter().map(|row| parent(row.parent)).collect(),
            start_ns: rows.spans.iter().map(|row| row.start_ns.saturating_sub(base_ns)).collect(),
            duration_ns: rows.spans.iter().map(|row| row.duration_ns).collect(),
            service,
            operation,
            process,
            kind: rows.spans.iter().map(|row| row.kind.map_or(0, |kind| kind as u8)).collect(),
            status: rows.spans.iter().map(|row| row.status as u8).collect(),
            n_events: rows.spans.iter().map(|row| row.events.len()).collect(),
            strings: strings.all,
        }
    }
}
