//! Rows of `reports` from columns.
//!
//! Called by `read`.

use super::nested::Columns;
use super::{trace_id, trace_id_column};
use crate::rows::ReportRow;
use arrow_array::{BinaryArray, Int16Array, RecordBatch, TimestampNanosecondArray};
use std::borrow::Cow;

/// Appends the reports of `batch` to `rows`.
pub(in crate::part) fn reports(batch: &RecordBatch, rows: &mut Vec<ReportRow<'static>>) -> Result<(), String> {
    let trace_ids = trace_id_column(batch)?;
    let kinds: &Int16Array = batch.required("kind")?;
    let times: &TimestampNanosecondArray = batch.required("ingest_ns")?;
    let payloads: &BinaryArray = batch.required("payload")?;
    for row in 0..batch.num_rows() {
        rows.push(ReportRow {
            trace: trace_id(trace_ids, row),
            kind: kinds.value(row),
            ingest_ns: times.value(row),
            payload: Cow::Owned(payloads.value(row).to_vec()),
        });
    }
    Ok(())
}
