//! Columns of chosen rows: of ranges that may lie anywhere in the file, and of chosen columns.
//!
//! Called by `read` for whole rows, and by searches, which read column after column of ever fewer rows.

use super::prune::is_nothing;
use super::{File, PartError, guarded, parquet_error};
use arrow_array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::errors::ParquetError;
use parquet::schema::types::SchemaDescriptor;
use std::ops::Range;
use std::sync::Arc;

/// Rows of one batch of columns.
pub(super) const BATCH_ROWS: usize = 8192;

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
        let schema = self.metadata.parquet_schema();
        let empty = if matches!(wanted, Wanted::All) { self.empty_roots(&groups) } else { Vec::new() };
        let (metadata, mask) = match wanted {
            Wanted::All => {
                let n_roots = schema.root_schema().get_fields().len();
                let kept = (0..n_roots).filter(|root| !empty.contains(root));
                (self.metadata.clone(), ProjectionMask::roots(schema, kept))
            }
            Wanted::Coded(paths) => (self.coded.clone(), leaves(schema, paths)),
        };
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(self.source.clone(), metadata)
            .with_row_groups(groups)
            .with_row_selection(selection)
            .with_batch_size(BATCH_ROWS.min(n_selected))
            .with_projection(mask)
            .build()?;
        reader.map(|batch| self.with_empty(&batch?, &empty)).collect()
    }

    /// Returns the columns, by their places, that have no value but null in `groups`: they need not be read to be known.
    fn empty_roots(&self, groups: &[usize]) -> Vec<usize> {
        let metadata = self.metadata.metadata();
        let mut is_empty = vec![true; self.metadata.schema().fields().len()];
        for group in groups {
            for (leaf, column) in metadata.row_group(*group).columns().iter().enumerate() {
                if let Some(is_empty) = is_empty.get_mut(self.metadata.parquet_schema().get_column_root_idx(leaf)) {
                    *is_empty &= is_nothing(column);
                }
            }
        }
        (0..is_empty.len()).filter(|root| is_empty[*root]).collect()
    }

    /// Returns columns together with those that were not read.
    fn with_empty(&self, read: &RecordBatch, empty: &[usize]) -> Result<RecordBatch, ParquetError> {
        if empty.is_empty() {
            return Ok(read.clone());
        }
        let mut columns_read = read.columns().iter();
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for (root, field) in self.metadata.schema().fields().iter().enumerate() {
            let field = field.as_ref().clone();
            if empty.contains(&root) {
                columns.push(new_null_array(field.data_type(), read.num_rows()));
                fields.push(field.with_nullable(true));
            } else if let Some(column) = columns_read.next() {
                columns.push(column.clone());
                fields.push(field);
            }
        }
        let schema = Arc::new(Schema::new(fields));
        let rows = RecordBatchOptions::new().with_row_count(Some(read.num_rows()));
        Ok(RecordBatch::try_new_with_options(schema, columns, &rows)?)
    }

    /// Returns the row groups that hold `rows`, the rows' places within them, and how many rows they have.
    pub(super) fn groups_of(&self, rows: &[Range<u64>]) -> (Vec<usize>, Vec<Range<usize>>, usize) {
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

/// Returns what picks the leaves below `paths`.
fn leaves(schema: &SchemaDescriptor, paths: &[&[&str]]) -> ProjectionMask {
    let is_wanted = |leaf: &usize| {
        let column = schema.column(*leaf);
        let parts = column.path().parts();
        paths.iter().any(|path| parts.len() >= path.len() && parts.iter().zip(*path).all(|(a, b)| a == b))
    };
    ProjectionMask::leaves(schema, (0..schema.num_columns()).filter(is_wanted))
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
