//! Rows of `slices` from columns.
//!
//! Called by `read`.

use super::nested::{Columns, cow, optional_text};
use super::{ids, optional_span_id, trace_id, trace_id_column};
use crate::rows::SliceRow;
use arrow_array::{
    Array, BinaryArray, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use std::borrow::Cow;

/// Appends the slices of `batch` to `rows`.
pub(in crate::part) fn slices(batch: &RecordBatch, rows: &mut Vec<SliceRow<'static>>) -> Result<(), String> {
    let trace_ids = trace_id_column(batch)?;
    let span_ids = ids(batch, "span_id", 8)?;
    let hosts: &StringArray = batch.required("host")?;
    let processes: &StringArray = batch.required("process")?;
    let threads: &StringArray = batch.required("thread")?;
    let cpus: &Int32Array = batch.required("cpu")?;
    let kinds: &Int16Array = batch.required("kind")?;
    let starts: &TimestampNanosecondArray = batch.required("start_ns")?;
    let durations: &Int64Array = batch.required("duration_ns")?;
    let flags: &Int32Array = batch.required("flags")?;
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| batch.required::<Int64Array>(name));
    let numbers = [a?, b?, c?, d?];
    let texts: &StringArray = batch.required("text")?;
    let raw: &BinaryArray = batch.required("raw")?;
    for row in 0..batch.num_rows() {
        rows.push(SliceRow {
            trace: trace_id(trace_ids, row),
            span: optional_span_id(span_ids, row),
            host: cow(hosts, row),
            process: cow(processes, row),
            thread: cow(threads, row),
            cpu: cpus.value(row),
            kind: kinds.value(row),
            start_ns: starts.value(row),
            duration_ns: durations.value(row),
            flags: flags.value(row),
            numbers: numbers.map(|column| column.value(row)),
            text: optional_text(texts, row),
            raw: raw.is_valid(row).then(|| Cow::Owned(raw.value(row).to_vec())),
        });
    }
    Ok(())
}
