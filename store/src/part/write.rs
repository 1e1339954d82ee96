//! Writes a batch as a part: one file for each table that has rows, each durable when it is there.
//!
//! Called at a cut. The part is nobody's until the entry that is returned stands in a manifest; before that its files are strangers.

use super::attributes::Slots;
use super::order::{Order, order};
use super::summary::Summary;
use super::table_file::{TableFile, encode_error};
use super::{ArrowResult, PartError, PartId, Sizes, agg, properties, reports, resources, slices, spans, traces};
use crate::agg::{Aggregates, RowPlace};
use crate::batch::Batch;
use crate::manifest::entry::{FileEntry, PartEntry};
use crate::objects::Objects;
use crate::promote::{Forced, Promoted, promote};
use crate::schema::{self, Table};
use arrow_array::RecordBatch;
use parquet::errors::ParquetError;
use std::ops::Range;

/// Rows whose columns are put together at once: they fit a core's cache.
pub(super) const RUN_ROWS: usize = 8192;

/// How a part is written.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'a> {
    /// Its id.
    pub id: PartId,
    /// Who writes it: the name of the manifest.
    pub writer: &'a str,
    /// The commit that the writer was built from.
    pub commit: &'a str,
    /// Keys that the part before it had columns for.
    pub before: &'a [Promoted],
    /// What people force of that.
    pub forced: &'a Forced,
    /// zstd's level: 1 for cuts, 3 for compaction.
    pub zstd_level: i32,
    /// Parts that it takes the place of.
    pub parents: &'a [PartId],
}

/// Writes `batch` as the part of `cut`, and returns what a manifest says of it.
///
/// # Errors
/// The store failed, or a file of that name is there. Files written before are strangers then, and a sweep removes them.
/// # Cost
/// About 2 microseconds a span on one core; the columns of 8,192 rows and the encoded row group in memory.
pub fn write(batch: &Batch, cut: &Cut<'_>, objects: &dyn Objects) -> Result<PartEntry, PartError> {
    write_with_aggregates(batch, &Aggregates::default(), cut, objects)
}

/// Writes `batch` as [`write`] does, and beside it what was counted since the cut before: all of it, so that after the commit memory need not hold it.
///
/// # Errors
/// As of [`write`].
/// # Cost
/// As of [`write`], and the encoded row group of `agg` in memory.
pub fn write_with_aggregates(
    batch: &Batch,
    aggregates: &Aggregates,
    cut: &Cut<'_>,
    objects: &dyn Objects,
) -> Result<PartEntry, PartError> {
    let promoted = promote(batch, cut.before, cut.forced);
    let sizes = Sizes::of(batch, &promoted);
    let (order, keys) = (order(batch), aggregates.places());
    let rows = Rows { batch, order, promoted: &promoted, sizes, aggregates, keys };
    let mut files = Vec::new();
    for table in Table::ALL {
        let n_rows = match table {
            Table::Spans => rows.order.rows.len(),
            Table::Traces => batch.n_traces(),
            Table::Slices => batch.n_slices(),
            Table::Reports => batch.n_reports(),
            Table::Agg => rows.keys.len(),
        };
        if n_rows > 0 {
            files.push(write_table(&rows, cut, objects, table)?);
        }
    }
    let mut summary = Summary::default();
    summary.add(batch);
    Ok(summary.entry(cut, promoted, files))
}

/// What goes into a part.
struct Rows<'a> {
    batch: &'a Batch,
    order: Order,
    promoted: &'a [Promoted],
    sizes: Sizes,
    aggregates: &'a Aggregates,
    /// Those of the aggregates, in their order.
    keys: Vec<RowPlace>,
}

fn write_table(rows: &Rows<'_>, cut: &Cut<'_>, objects: &dyn Objects, table: Table) -> Result<FileEntry, PartError> {
    let Rows { batch, order, promoted, sizes, aggregates, keys } = rows;
    let path = cut.id.path(table);
    let failed = |error: ParquetError| encode_error(&path, error);
    let footer = properties::Footer { table, writer: cut.writer, commit: cut.commit };
    match table {
        Table::Spans => {
            let resources = resources::encode(&batch.resources);
            let resources = resources.map_err(|error| failed(ParquetError::External(error.into())))?;
            let properties = properties::spans(sizes, promoted, Some(&resources), &footer, cut.zstd_level);
            let (schema, slots) = (schema::spans(promoted), Slots::new(batch, promoted));
            let run = |rows: Range<usize>| spans::columns(batch, &order.rows[rows], &schema, &slots);
            let properties = properties.map_err(failed)?;
            let file = TableFile::create(objects, table, path, schema.clone(), properties)?;
            write_rows(file, order.rows.len(), run)
        }
        Table::Traces => {
            let properties = properties::traces(sizes, &footer, cut.zstd_level).map_err(failed)?;
            let file = TableFile::create(objects, table, path, schema::traces(), properties)?;
            write_rows(file, order.traces.len(), |places| traces::columns(batch, order, places))
        }
        Table::Slices => {
            let properties = properties::slices(sizes, &footer, cut.zstd_level).map_err(failed)?;
            let rows = slices::order(batch);
            let file = TableFile::create(objects, table, path, schema::slices(), properties)?;
            write_rows(file, rows.len(), |places| slices::columns(batch, &rows[places]))
        }
        Table::Reports => {
            let properties = properties::reports(sizes, &footer, cut.zstd_level).map_err(failed)?;
            let rows = reports::order(batch, order);
            let file = TableFile::create(objects, table, path, schema::reports(), properties)?;
            write_rows(file, rows.len(), |places| reports::columns(batch, &rows[places]))
        }
        Table::Agg => {
            let properties = properties::agg(&footer, cut.zstd_level).map_err(failed)?;
            let file = TableFile::create(objects, table, path, schema::agg(), properties)?;
            write_rows(file, keys.len(), |places| agg::columns(aggregates, &keys[places]))
        }
    }
}

/// Writes the rows of a table, whose columns `run` puts together.
fn write_rows(
    mut file: TableFile,
    n_rows: usize,
    run: impl Fn(Range<usize>) -> ArrowResult<RecordBatch>,
) -> Result<FileEntry, PartError> {
    let mut start = 0;
    while start < n_rows {
        let end = n_rows.min(start + RUN_ROWS);
        file.write(run(start..end))?;
        start = end;
    }
    file.finish()
}
