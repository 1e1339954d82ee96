//! What is kept in memory of a part's traces: their ids, rows and times, so that a row is known by its trace and a trace by its id.
//!
//! Called by searches. 44 bytes a trace, read from the table `traces` once.

use crate::rows::stored::clamped;
use arrow_array::{Array, FixedSizeBinaryArray, Int32Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use backsight_core::ids::TraceId;
use backsight_store::part::PartError;
use backsight_store::part::read::{Traces, Wanted};
use std::ops::Range;

const COLUMNS: &[&[&str]] = &[&["trace_id"], &["first_row"], &["n_rows"], &["start_ns"], &["end_ns"]];

/// The traces of a part, in the order of its table.
#[derive(Debug, Default)]
pub(super) struct Skeleton {
    pub(super) ids: Vec<TraceId>,
    first_rows: Vec<u32>,
    n_rows: Vec<u32>,
    pub(super) starts: Vec<i64>,
    pub(super) ends: Vec<i64>,
    /// Places in the order of the ids.
    by_id: Vec<u32>,
}

impl Skeleton {
    /// Reads the traces of a part.
    ///
    /// # Errors
    /// The file is damaged.
    pub(super) fn read(traces: &Traces) -> Result<Self, PartError> {
        let mut skeleton = Self::default();
        let file = traces.file();
        let rows = 0..file.n_rows();
        for batch in file.columns(&[rows], Wanted::Coded(COLUMNS))? {
            let added = skeleton.add(&batch);
            added.ok_or_else(|| file.damaged("its traces have rows that no spans can have"))?;
        }
        skeleton.by_id = (0..skeleton.ids.len() as u32).collect();
        skeleton.by_id.sort_unstable_by_key(|place| skeleton.ids[*place as usize]);
        Ok(skeleton)
    }

    /// Adds traces; `None` where their columns are not what they should be: rows follow one another without gaps.
    fn add(&mut self, batch: &RecordBatch) -> Option<()> {
        let ids: &FixedSizeBinaryArray = column(batch, "trace_id")?;
        let first_rows: &Int64Array = column(batch, "first_row")?;
        let n_rows: &Int32Array = column(batch, "n_rows")?;
        let starts: &TimestampNanosecondArray = column(batch, "start_ns")?;
        let ends: &TimestampNanosecondArray = column(batch, "end_ns")?;
        for row in 0..batch.num_rows() {
            let (hi, lo) = ids.value(row).split_first_chunk::<8>()?;
            self.ids.push(TraceId::new(u64::from_be_bytes(*hi), u64::from_be_bytes(lo.try_into().ok()?)));
            let (first, n) = (u32::try_from(first_rows.value(row)).ok()?, u32::try_from(n_rows.value(row)).ok()?);
            if u64::from(first) != self.n_spans() {
                return None;
            }
            self.first_rows.push(first);
            self.n_rows.push(n);
        }
        self.starts.extend_from_slice(starts.values());
        self.ends.extend_from_slice(ends.values());
        Some(())
    }

    /// Returns the number of traces.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Returns the number of their spans.
    pub(super) fn n_spans(&self) -> u64 {
        let last = self.first_rows.last().zip(self.n_rows.last());
        last.map_or(0, |(first, n)| u64::from(*first) + u64::from(*n))
    }

    /// Returns the place of the trace `id`.
    pub(super) fn find(&self, id: TraceId) -> Option<usize> {
        let found = self.by_id.binary_search_by_key(&id, |place| self.ids[*place as usize]);
        found.ok().map(|idx| self.by_id[idx] as usize)
    }

    /// Returns the rows of the trace at `place`.
    pub(super) fn rows(&self, place: usize) -> Range<u64> {
        let first = u64::from(self.first_rows[place]);
        first..first + u64::from(self.n_rows[place])
    }

    /// Returns how many spans the trace at `place` has.
    pub(super) fn n_rows(&self, place: usize) -> u64 {
        self.n_rows[place].into()
    }

    /// Returns how long each trace took, as it is answered.
    pub(super) fn durations(&self) -> impl Iterator<Item = u64> + '_ {
        self.starts.iter().zip(&self.ends).map(|(start, end)| clamped(*end).saturating_sub(clamped(*start)))
    }

    /// Returns the place of the trace that has `row`.
    pub(super) fn place_of(&self, row: u64) -> usize {
        self.first_rows.partition_point(|first| u64::from(*first) <= row).saturating_sub(1)
    }

    /// Returns the rows of the traces that `is_wanted` picks by their places, ranges that touch put together.
    pub(super) fn rows_where(&self, is_wanted: impl Fn(usize) -> bool) -> Vec<Range<u64>> {
        let mut ranges: Vec<Range<u64>> = Vec::new();
        for place in (0..self.len()).filter(|place| is_wanted(*place)) {
            push_range(&mut ranges, self.rows(place));
        }
        ranges
    }

    pub(super) fn memory_bytes(&self) -> usize {
        44 * self.len()
    }
}

/// Appends a range that comes behind the others, put together with the last where they touch.
pub(super) fn push_range(ranges: &mut Vec<Range<u64>>, range: Range<u64>) {
    match ranges.last_mut() {
        _ if range.is_empty() => {}
        Some(last) if last.end == range.start => last.end = range.end,
        _ => ranges.push(range),
    }
}

/// Returns a column of a type; `None` where there is none.
pub(super) fn column<'a, A: Array + 'static>(batch: &'a RecordBatch, name: &str) -> Option<&'a A> {
    batch.column_by_name(name)?.as_any().downcast_ref()
}
