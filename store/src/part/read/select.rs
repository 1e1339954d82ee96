//! Columns of chosen rows: of ranges that may lie anywhere in the file, and of chosen columns.
//!
//! Called by `read` for whole rows, and by searches, which read column after column of ever fewer rows.

use super::{File, PartError, guarded, parquet_error};
use arrow_array::RecordBatch;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::errors::ParquetError;
use std::ops::Range;
use std::sync::Arc;

/// Rows of one batch of columns.
const BATCH_ROWS: usize = 8192;

/// Which columns are read, and as what.
#[derive(Clone, Copy, Debug)]
pub enum Wanted<'a> {
    /// All, as `schema` has them.
    All,
    /// The leaves below these paths, each the names from the root on. Texts of columns, and of maps that are columns, come as dictionaries
    /// with keys of 32 bits, so that each text of a row group is looked at once; those in lists come as they are.
    Coded(&'a [&'a [&'a str]]),
}

impl File {
    /// Returns the rows of each row group.
    pub fn groups(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut start = 0;
        self.metadata.metadata().row_groups().iter().map(move |group| {
            let rows = start..start + group.num_rows() as u64;
            start = rows.end;
            rows
        })
    }

    /// Reads columns of `rows`: ranges in ascending order that do not overlap.
    ///
    /// # Errors
    /// There are no such rows, or the file is damaged.
    /// # Cost
    /// Reads the pages that hold the rows, and the dictionaries of their row groups.
    pub fn columns(&self, rows: &[Range<u64>], wanted: Wanted<'_>) -> Result<Vec<RecordBatch>, PartError> {
        let end = rows.last().map_or(0, |range| range.end);
        if end > self.n_rows() || !rows.is_sorted_by(|a, b| a.end <= b.start) {
            let path = self.path().to_owned();
            return Err(PartError::NoSuchRows { path, n_rows: self.n_rows(), end });
        }
        if rows.iter().all(Range::is_empty) {
            return Ok(Vec::new());
        }
        guarded(self.path(), || self.read_columns(rows, wanted).map_err(|error| parquet_error(self.path(), error)))
    }

    fn read_columns(&self, rows: &[Range<u64>], wanted: Wanted<'_>) -> Result<Vec<RecordBatch>, ParquetError> {
        let (groups, local, n_rows) = self.groups_of(rows);
        let n_selected: usize = local.iter().map(ExactSizeIterator::len).sum();
        let selection = RowSelection::from_consecutive_ranges(local.into_iter(), n_rows);
        let metadata = match wanted {
            Wanted::All => self.metadata.clone(),
            Wanted::Coded(_) => self.coded.clone(),
        };
        let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), metadata)
            .with_row_groups(groups)
            .with_row_selection(selection)
            .with_batch_size(BATCH_ROWS.min(n_selected));
        if let Wanted::Coded(paths) = wanted {
            let schema = self.metadata.parquet_schema();
            let is_wanted = |leaf: &usize| {
                let parts = schema.column(*leaf).path().parts().to_vec();
                paths.iter().any(|path| parts.iter().zip(path.iter()).filter(|(a, b)| a == *b).count() == path.len())
            };
            let leaves: Vec<_> = (0..schema.num_columns()).filter(is_wanted).collect();
            builder = builder.with_projection(ProjectionMask::leaves(schema, leaves));
        }
        let batches: Result<Vec<_>, _> = builder.build()?.collect();
        Ok(batches?)
    }

    /// Returns the row groups that hold `rows`, the rows' places within them, and how many rows they have.
    fn groups_of(&self, rows: &[Range<u64>]) -> (Vec<usize>, Vec<Range<usize>>, usize) {
        let (mut groups, mut local, mut n_before) = (Vec::new(), Vec::new(), 0);
        let mut rest = rows;
        for (idx, group) in self.groups().enumerate() {
            while let [first, behind @ ..] = rest {
                if first.end > group.start {
                    break;
                }
                rest = behind;
            }
            let here = rest.iter().take_while(|range| range.start < group.end);
            let here = here.map(|range| range.start.max(group.start)..range.end.min(group.end));
            let place = |row: u64| (row - group.start) as usize + n_before;
            let n_local = local.len();
            local.extend(here.filter(|range| !range.is_empty()).map(|range| place(range.start)..place(range.end)));
            if local.len() > n_local {
                groups.push(idx);
                n_before += (group.end - group.start) as usize;
            }
        }
        (groups, local, n_before)
    }
}

/// Returns `schema` with dictionaries for texts of columns and of maps that are columns.
pub(super) fn coded(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Map(entries, is_sorted) => {
            let DataType::Struct(of_entry) = entries.data_type() else { return field.clone() };
            let of_entry: Vec<_> = of_entry.iter().map(coded_text).collect();
            let entries = entries.as_ref().clone().with_data_type(DataType::Struct(of_entry.into()));
            let map = DataType::Map(Arc::new(entries), *is_sorted);
            Arc::new(field.as_ref().clone().with_data_type(map))
        }
        _ => coded_text(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn coded_text(field: &Arc<Field>) -> Arc<Field> {
    if *field.data_type() != DataType::Utf8 {
        return field.clone();
    }
    let coded = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(field.as_ref().clone().with_data_type(coded))
}
