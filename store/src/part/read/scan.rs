//! Reads rows of several ranges in one go, batch by batch, so that only one batch is in memory.
//!
//! Called by compaction and retention, which read whole parts.

use super::select::BATCH_ROWS;
use super::{File, Reports, Slices, Spans, Traces, decode, guarded, parquet_error};
use crate::part::PartError;
use crate::part::decode::{RowPlace, TracePlace};
use crate::rows::{ReportRow, SliceRow, SpanRow, TraceRow};
use arrow_array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::errors::ParquetError;
use std::ops::Range;

/// Rows of one batch of whole rows: some milliseconds of work.
const SCAN_ROWS: usize = 1024;

/// Some rows, decoded.
pub(crate) struct Decoded<T> {
    pub(crate) rows: Vec<T>,
    /// The bytes of the columns that they were decoded from, about those of their texts.
    pub(crate) bytes: usize,
}

type Decode<T> = fn(&RecordBatch, &mut Vec<T>) -> Result<(), String>;

/// Rows of a file, in ascending order.
pub(crate) struct Scan<T> {
    file: File,
    /// None where there are no rows to read.
    reader: Option<ParquetRecordBatchReader>,
    decode: Decode<T>,
}

impl<T> Scan<T> {
    fn new(
        file: &File,
        ranges: &[Range<u64>],
        names: Option<&[&str]>,
        n_rows: usize,
        decode: Decode<T>,
    ) -> Result<Self, PartError> {
        let mask = match names {
            Some(names) => file.roots(names),
            None => ProjectionMask::all(),
        };
        let made = |file: &File| {
            let reader = file.reader(ranges, mask, n_rows);
            reader.map_err(|error| parquet_error(file.path(), error))
        };
        let reader = match ranges.iter().all(Range::is_empty) {
            true => None,
            false => Some(guarded(file.path(), || made(file))?),
        };
        Ok(Self { file: file.clone(), reader, decode })
    }

    /// Returns the path of the file.
    pub(crate) fn path(&self) -> &str {
        self.file.path()
    }

    /// Returns the next rows, `None` behind the last.
    ///
    /// # Errors
    /// The file is damaged, or the store failed.
    pub(crate) fn next(&mut self) -> Result<Option<Decoded<T>>, PartError> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let file = &self.file;
        guarded(file.path(), || match reader.next() {
            None => Ok(None),
            Some(batch) => {
                let batch = batch.map_err(|error| parquet_error(file.path(), error.into()))?;
                let mut rows = Vec::new();
                (self.decode)(&batch, &mut rows).map_err(|why| file.damaged(why))?;
                Ok(Some(Decoded { rows, bytes: batch.get_array_memory_size() }))
            }
        })
    }
}

impl File {
    /// Returns a reader of the rows in `ranges`, which ascend and do not overlap, and of which one at least is not empty.
    fn reader(
        &self,
        ranges: &[Range<u64>],
        mask: ProjectionMask,
        n_rows: usize,
    ) -> Result<ParquetRecordBatchReader, ParquetError> {
        let (groups, local, n_rows_of_groups) = self.groups_of(ranges);
        ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), self.metadata.clone())
            .with_row_groups(groups)
            .with_row_selection(RowSelection::from_consecutive_ranges(local.into_iter(), n_rows_of_groups))
            .with_projection(mask)
            .with_batch_size(n_rows)
            .build()
    }

    /// Returns the one range of all rows.
    fn all(&self) -> [Range<u64>; 1] {
        std::array::from_fn(|_| 0..self.n_rows())
    }

    /// Returns the columns that are called `names`; one that there is not is passed over.
    fn roots(&self, names: &[&str]) -> ProjectionMask {
        let schema = self.metadata.parquet_schema();
        let fields = schema.root_schema().get_fields().iter().enumerate();
        ProjectionMask::roots(schema, fields.filter(|(_, field)| names.contains(&field.name())).map(|(idx, _)| idx))
    }

    /// Reads columns of all rows, batch by batch.
    ///
    /// # Errors
    /// The file is damaged, or the store failed.
    pub(crate) fn scan_columns(&self, names: &[&str]) -> Result<Scan<RecordBatch>, PartError> {
        let keep: Decode<RecordBatch> = |batch, batches| {
            batches.push(batch.clone());
            Ok(())
        };
        Scan::new(self, &self.all(), Some(names), SCAN_ROWS, keep)
    }
}

impl Spans {
    /// Reads the spans in `ranges`.
    pub(crate) fn scan(&self, ranges: &[Range<u64>]) -> Result<Scan<SpanRow<'static>>, PartError> {
        Scan::new(&self.file, ranges, None, SCAN_ROWS, decode::spans)
    }
}

impl Traces {
    /// Reads the traces in `ranges`.
    pub(crate) fn scan(&self, ranges: &[Range<u64>]) -> Result<Scan<TraceRow>, PartError> {
        Scan::new(&self.file, ranges, None, SCAN_ROWS, decode::traces)
    }

    /// Reads where all traces stand.
    pub(crate) fn scan_places(&self) -> Result<Scan<TracePlace>, PartError> {
        let names = ["trace_id", "first_row", "n_rows", "start_ns"];
        Scan::new(&self.file, &self.file.all(), Some(&names), BATCH_ROWS, decode::trace_places)
    }
}

impl Slices {
    /// Reads the slices in `ranges`.
    pub(crate) fn scan(&self, ranges: &[Range<u64>]) -> Result<Scan<SliceRow<'static>>, PartError> {
        Scan::new(&self.file, ranges, None, SCAN_ROWS, decode::slices)
    }

    /// Reads where all slices stand.
    pub(crate) fn scan_places(&self) -> Result<Scan<RowPlace>, PartError> {
        let names = ["trace_id", "start_ns"];
        Scan::new(&self.file, &self.file.all(), Some(&names), BATCH_ROWS, decode::slice_places)
    }
}

impl Reports {
    /// Reads the reports in `ranges`.
    pub(crate) fn scan(&self, ranges: &[Range<u64>]) -> Result<Scan<ReportRow<'static>>, PartError> {
        Scan::new(&self.file, ranges, None, SCAN_ROWS, decode::reports)
    }

    /// Reads where all reports stand.
    pub(crate) fn scan_places(&self) -> Result<Scan<RowPlace>, PartError> {
        let names = ["trace_id", "ingest_ns"];
        Scan::new(&self.file, &self.file.all(), Some(&names), BATCH_ROWS, decode::report_places)
    }
}
