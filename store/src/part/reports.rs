//! The columns of `reports`, in the order of the traces that they are of.
//!
//! Called by `write`, run after run.

use super::ArrowResult;
use super::columns::{times, trace_ids};
use super::order::Order;
use crate::batch::{Batch, ReportCell};
use crate::schema;
use arrow_array::{BinaryArray, Int16Array, RecordBatch};
use std::sync::Arc;

/// Returns the reports of a batch in the order of its traces; those of one trace as they came.
pub(super) fn order(batch: &Batch, order: &Order) -> Vec<u32> {
    let mut places = vec![0; order.traces.len()];
    for (place, idx) in (0_u32..).zip(&order.traces) {
        places[*idx as usize] = place;
    }
    let mut rows: Vec<u32> = (0..batch.reports.len() as u32).collect();
    rows.sort_by_key(|row| places[batch.reports[*row as usize].trace_idx as usize]);
    rows
}

/// Returns the columns of the reports `rows`, places in the batch.
pub(super) fn columns(batch: &Batch, rows: &[u32]) -> ArrowResult<RecordBatch> {
    let cells: Vec<&ReportCell> = rows.iter().map(|row| &batch.reports[*row as usize]).collect();
    let reports: Vec<_> = cells.iter().map(|cell| batch.report(cell)).collect();
    let payloads = BinaryArray::from_iter_values(reports.iter().map(|report| &*report.payload));
    let columns = vec![
        trace_ids(reports.iter().map(|report| report.trace))?,
        Arc::new(Int16Array::from_iter_values(reports.iter().map(|report| report.kind))),
        times(reports.iter().map(|report| report.ingest_ns)),
        Arc::new(payloads),
    ];
    RecordBatch::try_new(schema::reports(), columns)
}
