//! The aggregates of a part.
//!
//! Called by queries, which unite them with those of memory, and by compaction. Pages in which a window has no row are passed over by their bounds.

use super::{File, Wanted, guarded};
use crate::agg::{AggRow, AggTable, Window};
use crate::part::{PartError, decode};
use crate::schema::Table;
use parquet::file::page_index::column_index::ColumnIndexMetaData;
use std::ops::Range;

/// Rows whose columns are in memory at once.
const RUN_ROWS: u64 = 16_384;

/// The aggregates of a part.
#[derive(Clone, Debug)]
pub struct Aggs {
    file: File,
}

/// The rows of a page, and what its file says of one column in them.
struct Page<B> {
    rows: Range<u64>,
    /// The least and the greatest value, or less and more than they; `None` where all are null.
    bounds: Option<(B, B)>,
    has_nulls: bool,
}

impl Aggs {
    /// Takes `file` as the aggregates of a part.
    ///
    /// # Errors
    /// It is another table.
    pub fn new(file: File) -> Result<Self, PartError> {
        Ok(Self { file: file.expect(Table::Agg)? })
    }

    /// Returns the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Shows rows, one after the other.
    ///
    /// # Errors
    /// There are no such rows, or the file is damaged; then some may have been shown.
    /// # Cost
    /// The columns of 16,384 rows in memory, and one sketch.
    pub fn visit(&self, rows: Range<u64>, see: &mut dyn FnMut(&AggRow<'_>)) -> Result<(), PartError> {
        let mut start = rows.start;
        while start < rows.end {
            let end = rows.end.min(start.saturating_add(RUN_ROWS));
            for batch in self.file.columns(std::slice::from_ref(&(start..end)), Wanted::All)? {
                guarded(self.file.path(), || decode::agg(&batch, see).map_err(|why| self.file.damaged(why)))?;
            }
            start = end;
        }
        Ok(())
    }

    /// Shows the rows that `window` asks for.
    ///
    /// # Errors
    /// The file is damaged; then some may have been shown.
    /// # Cost
    /// Reads the pages of 2,048 rows whose bounds hold a service or process of the window.
    pub fn visit_window(&self, window: &Window<'_>, see: &mut dyn FnMut(&AggRow<'_>)) -> Result<(), PartError> {
        for rows in self.candidates(window) {
            self.visit(rows, &mut |row| {
                if window.wants(row) {
                    see(row);
                }
            })?;
        }
        Ok(())
    }

    /// Returns ascending ranges of rows outside which no row of `window` is.
    pub(crate) fn candidates(&self, window: &Window<'_>) -> Vec<Range<u64>> {
        let mut candidates: Vec<Range<u64>> = Vec::new();
        let mut start = 0;
        for (group, metadata) in self.file.metadata.metadata().row_groups().iter().enumerate() {
            let rows = start..start + metadata.num_rows() as u64;
            start = rows.end;
            let mut of_group = self.candidates_of(group, &rows, window).unwrap_or_else(|| vec![rows]);
            of_group.sort_by_key(|rows| rows.start);
            for rows in of_group {
                match candidates.last_mut().filter(|last| rows.start <= last.end) {
                    Some(last) => last.end = last.end.max(rows.end),
                    None => candidates.push(rows),
                }
            }
        }
        candidates
    }

    /// Returns ranges of rows of a row group, `None` where nothing is known of its pages.
    fn candidates_of(&self, group: usize, rows: &Range<u64>, window: &Window<'_>) -> Option<Vec<Range<u64>>> {
        let hours = self.pages(group, rows, "hour", |index, page| match index {
            ColumnIndexMetaData::INT64(index) => index.min_value(page).copied().zip(index.max_value(page).copied()),
            _ => None,
        })?;
        if !hours.iter().any(|page| window.may_have_hours(page.bounds, page.has_nulls)) {
            return Some(Vec::new());
        }
        let tables = self.pages(group, rows, "table", |index, page| match index {
            ColumnIndexMetaData::INT32(index) => index.min_value(page).copied().zip(index.max_value(page).copied()),
            _ => None,
        })?;
        // Processes and their seconds come last. What is text elsewhere is an event.
        let is_contention = |(_, greatest): (i32, i32)| greatest >= AggTable::Processes as i32;
        let first = tables.iter().find(|page| page.bounds.is_none_or(is_contention));
        let contention = first.map_or(rows.end, |page| page.rows.start);
        let services = self.pages(group, rows, "service", text_bounds)?.into_iter().filter(|page| match page.bounds {
            // Among rows that have a service, one without is other.
            Some((least, greatest)) => page.has_nulls || window.has_service_between(least, greatest),
            None => page.rows.start < contention,
        });
        let texts = self.pages(group, rows, "text", text_bounds)?.into_iter().filter(|page| match page.bounds {
            Some((least, greatest)) => page.has_nulls || window.has_process_between(least, greatest),
            None => true,
        });
        let of_contention = texts.map(|page| page.rows.start.max(contention)..page.rows.end);
        let all = services.map(|page| page.rows).chain(of_contention);
        Some(all.filter(|rows| !rows.is_empty()).collect())
    }

    /// Returns the pages of a column in a row group of these rows, `None` where the file says nothing of them that makes sense.
    fn pages<'a, B>(
        &'a self,
        group: usize,
        rows: &Range<u64>,
        name: &str,
        bounds: impl Fn(&'a ColumnIndexMetaData, usize) -> Option<(B, B)>,
    ) -> Option<Vec<Page<B>>> {
        let metadata = self.file.metadata.metadata();
        let columns = metadata.row_group(group).columns();
        let column = columns.iter().position(|column| column.column_path().parts() == [name])?;
        let index = metadata.column_index()?.get(group)?.get(column)?;
        let places = metadata.offset_index()?.get(group)?.get(column)?.page_locations();
        let starts = places.iter().map(|place| Some(rows.start + u64::try_from(place.first_row_index).ok()?));
        let mut starts: Vec<u64> = starts.collect::<Option<_>>()?;
        starts.push(rows.end);
        if starts.first() != Some(&rows.start) || !starts.is_sorted() || index.num_pages() != places.len() as u64 {
            return None;
        }
        let page = |(page, ends): (usize, &[u64])| {
            let has_nulls = index.null_count(page).is_none_or(|n| n > 0);
            Some(Page { rows: ends[0]..ends[1], bounds: bounds(index, page), has_nulls })
        };
        starts.windows(2).enumerate().map(page).collect()
    }
}

fn text_bounds(index: &ColumnIndexMetaData, page: usize) -> Option<(&[u8], &[u8])> {
    match index {
        ColumnIndexMetaData::BYTE_ARRAY(index) => index.min_value(page).zip(index.max_value(page)),
        _ => None,
    }
}
