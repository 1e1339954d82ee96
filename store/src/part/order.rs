//! The order of rows in a part: by the start of their trace, by trace, by start, by span.
//!
//! Called by `write` and `stream`. Rows that are equal in all four stay in the order in which they came.

use crate::batch::Batch;

/// Where rows and traces of a batch go.
pub(super) struct Order {
    /// The place in the batch of each row of the part.
    pub(super) rows: Vec<u32>,
    /// The place in the batch of each trace of the part.
    pub(super) traces: Vec<u32>,
    /// The first row of each trace, counted from `base`.
    pub(super) first_rows: Vec<u64>,
    /// The rows of the part that come before those of the batch.
    pub(super) base: u64,
}

/// Returns the order of `batch`.
///
/// # Cost
/// Sorts the traces, and the rows within each; linear in rows otherwise.
pub(super) fn order(batch: &Batch) -> Order {
    let mut traces: Vec<u32> = (0..batch.traces.len() as u32).collect();
    traces.sort_unstable_by_key(|idx| (trace_start_ns(batch, *idx), batch.traces[*idx as usize].trace));
    let mut first_rows = Vec::with_capacity(traces.len());
    let mut next = vec![0_u32; traces.len()];
    let mut n_rows = 0;
    for idx in &traces {
        first_rows.push(u64::from(n_rows));
        next[*idx as usize] = n_rows;
        n_rows += batch.traces[*idx as usize].n_rows;
    }
    let mut rows = vec![0; n_rows as usize];
    let live = batch.heads.iter().enumerate().filter(|(row, head)| batch.is_live(*row, head));
    for (row, head) in live {
        let place = &mut next[head.trace_idx as usize];
        rows[*place as usize] = row as u32;
        *place += 1;
    }
    for (idx, first) in traces.iter().zip(&first_rows) {
        let first = *first as usize;
        let of_trace = &mut rows[first..first + batch.traces[*idx as usize].n_rows as usize];
        of_trace.sort_by_key(|row| {
            let head = &batch.heads[*row as usize];
            (head.start_ns, head.id)
        });
    }
    Order { rows, traces, first_rows, base: 0 }
}

/// Returns the start of a trace; when it came, where it has no span.
pub(super) fn trace_start_ns(batch: &Batch, trace_idx: u32) -> i64 {
    let head = &batch.traces[trace_idx as usize];
    if head.n_rows > 0 { head.start_ns } else { ingest_ns(batch, trace_idx) }
}

/// Returns the end of a trace; when it came, where it has no span.
pub(super) fn trace_end_ns(batch: &Batch, trace_idx: u32) -> i64 {
    let head = &batch.traces[trace_idx as usize];
    if head.n_rows > 0 { head.end_ns } else { ingest_ns(batch, trace_idx) }
}

fn ingest_ns(batch: &Batch, trace_idx: u32) -> i64 {
    batch.facts_at(&batch.traces[trace_idx as usize]).ingest_ns
}
