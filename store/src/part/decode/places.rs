//! Where traces, slices and reports stand, from the few columns that say it.
//!
//! Called by `read::scan`, for whoever puts rows of several parts into one order.

use super::nested::Columns;
use super::{trace_id, trace_id_column};
use arrow_array::{Int32Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use backsight_core::ids::TraceId;

/// Where the spans of a trace stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TracePlace {
    pub(crate) trace: TraceId,
    pub(crate) first_row: u64,
    pub(crate) n_rows: u32,
    pub(crate) start_ns: i64,
}

/// Whose a slice or a report is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RowPlace {
    pub(crate) trace: TraceId,
    /// When it began, or came.
    pub(crate) start_ns: i64,
}

/// Appends the places of the traces of `batch` to `places`.
pub(in crate::part) fn trace_places(batch: &RecordBatch, places: &mut Vec<TracePlace>) -> Result<(), String> {
    let trace_ids = trace_id_column(batch)?;
    let first_rows: &Int64Array = batch.required("first_row")?;
    let n_rows: &Int32Array = batch.required("n_rows")?;
    let starts: &TimestampNanosecondArray = batch.required("start_ns")?;
    for row in 0..batch.num_rows() {
        places.push(TracePlace {
            trace: trace_id(trace_ids, row),
            first_row: u64::try_from(first_rows.value(row)).map_err(|_| "column first_row is negative")?,
            n_rows: u32::try_from(n_rows.value(row)).map_err(|_| "column n_rows is negative")?,
            start_ns: starts.value(row),
        });
    }
    Ok(())
}

/// Appends the places of the slices of `batch` to `places`.
pub(in crate::part) fn slice_places(batch: &RecordBatch, places: &mut Vec<RowPlace>) -> Result<(), String> {
    row_places(batch, "start_ns", places)
}

/// Appends the places of the reports of `batch` to `places`.
pub(in crate::part) fn report_places(batch: &RecordBatch, places: &mut Vec<RowPlace>) -> Result<(), String> {
    row_places(batch, "ingest_ns", places)
}

fn row_places(batch: &RecordBatch, times: &str, places: &mut Vec<RowPlace>) -> Result<(), String> {
    let trace_ids = trace_id_column(batch)?;
    let times: &TimestampNanosecondArray = batch.required(times)?;
    let place = |row: usize| RowPlace { trace: trace_id(trace_ids, row), start_ns: times.value(row) };
    places.extend((0..batch.num_rows()).map(place));
    Ok(())
}
