//! The columns of `slices`, in the order of the traces that they belong to.
//!
//! Called by `write`, run after run.

use super::ArrowResult;
use super::columns::{optional_span_ids, optional_texts, texts, times, trace_ids};
use super::order::trace_start_ns;
use crate::batch::Batch;
use crate::rows::SliceRow;
use crate::schema;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{ArrayRef, Int16Array, Int32Array, Int64Array, RecordBatch};
use std::collections::HashMap;
use std::sync::Arc;

/// Returns the slices of a batch by the start of their trace, by trace and by start. A trace without a row begins with its first slice.
pub(super) fn order(batch: &Batch) -> Vec<u32> {
    let mut starts = HashMap::new();
    for (idx, head) in batch.traces.iter().enumerate() {
        starts.insert(head.trace, trace_start_ns(batch, idx as u32));
    }
    let mut first_slices = HashMap::new();
    for slice in batch.slices.iter().filter(|slice| !starts.contains_key(&slice.trace)) {
        let start = first_slices.entry(slice.trace).or_insert(slice.start_ns);
        *start = slice.start_ns.min(*start);
    }
    starts.extend(first_slices);
    let live = |row: &u32| batch.is_live_slice(*row as usize, batch.slices[*row as usize].trace);
    let mut rows: Vec<u32> = (0..batch.slices.len() as u32).filter(live).collect();
    rows.sort_by_key(|row| {
        let slice = &batch.slices[*row as usize];
        (starts.get(&slice.trace), slice.trace, slice.start_ns)
    });
    rows
}

/// Returns the columns of the slices `rows`, places in the batch.
pub(super) fn columns(batch: &Batch, rows: &[u32]) -> ArrowResult<RecordBatch> {
    let slices: Vec<&SliceRow<'_>> = rows.iter().map(|row| &batch.slices[*row as usize]).collect();
    let short = |number: fn(&&SliceRow<'_>) -> i32| {
        Arc::new(Int32Array::from_iter_values(slices.iter().map(number))) as ArrayRef
    };
    let mut raw = BinaryBuilder::new();
    slices.iter().for_each(|slice| raw.append_option(slice.raw.as_deref()));
    let mut columns = vec![
        trace_ids(slices.iter().map(|slice| slice.trace))?,
        optional_span_ids(slices.iter().map(|slice| slice.span))?,
        texts(slices.iter().map(|slice| &*slice.host)),
        texts(slices.iter().map(|slice| &*slice.process)),
        texts(slices.iter().map(|slice| &*slice.thread)),
        short(|slice| slice.cpu),
        Arc::new(Int16Array::from_iter_values(slices.iter().map(|slice| slice.kind))),
        times(slices.iter().map(|slice| slice.start_ns)),
        Arc::new(Int64Array::from_iter_values(slices.iter().map(|slice| slice.duration_ns))),
        short(|slice| slice.flags),
    ];
    columns.extend(
        (0..4).map(|idx| {
            Arc::new(Int64Array::from_iter_values(slices.iter().map(|slice| slice.numbers[idx]))) as ArrayRef
        }),
    );
    columns
        .extend([optional_texts(slices.iter().map(|slice| slice.text.as_deref())), Arc::new(raw.finish()) as ArrayRef]);
    RecordBatch::try_new(schema::slices(), columns)
}
