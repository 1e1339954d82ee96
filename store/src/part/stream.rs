//! Writes a part of which only some traces are in memory at a time.
//!
//! Called by compaction, which knows before it begins which keys are promoted, and gives traces in the order of the part.

use super::attributes::Slots;
use super::order::order;
use super::summary::Summary;
use super::table_file::{TableFile, encode_error};
use super::write::{Cut, RUN_ROWS};
use super::{PartError, Shelf, Sizes, agg, properties, reports, resources, slices, spans, traces};
use crate::agg::Aggregates;
use crate::batch::Batch;
use crate::manifest::entry::PartEntry;
use crate::objects::Objects;
use crate::promote::Promoted;
use crate::rows::Attribute;
use crate::schema::{self, Table};
use arrow_schema::SchemaRef;
use parquet::errors::ParquetError;
use std::collections::BTreeMap;

/// Where a part is written to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) objects: &'a dyn Objects,
    pub(crate) shelf: Shelf,
}

/// A part in the making.
pub(crate) struct Stream<'a> {
    place: Place<'a>,
    cut: Cut<'a>,
    promoted: Vec<Promoted>,
    sizes: Sizes,
    schema: SchemaRef,
    /// Those that have rows.
    files: BTreeMap<Table, TableFile>,
    summary: Summary,
    n_spans: u64,
}

impl<'a> Stream<'a> {
    /// Begins the part of `cut` with columns for `promoted`. Nobody sees it before [`Stream::finish`]; one that is dropped leaves nothing.
    pub(crate) fn new(place: Place<'a>, cut: Cut<'a>, promoted: Vec<Promoted>, sizes: Sizes) -> Self {
        let schema = schema::spans(&promoted);
        let files = BTreeMap::new();
        Self { place, cut, promoted, sizes, schema, files, summary: Summary::default(), n_spans: 0 }
    }

    /// Adds the traces of `batch`, each with all of its spans and behind all before.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn push_traces(&mut self, batch: &Batch) -> Result<(), PartError> {
        self.summary.add(batch);
        let mut order = order(batch);
        order.base = self.n_spans;
        if !order.rows.is_empty() {
            let mut file = self.take_file(Table::Spans)?;
            let slots = Slots::new(batch, &self.promoted);
            for rows in order.rows.chunks(RUN_ROWS) {
                file.write(spans::columns(batch, rows, &self.schema, &slots))?;
            }
            self.files.insert(Table::Spans, file);
        }
        let mut file = self.take_file(Table::Traces)?;
        for start in (0..order.traces.len()).step_by(RUN_ROWS) {
            let end = order.traces.len().min(start + RUN_ROWS);
            file.write(traces::columns(batch, &order, start..end))?;
        }
        self.files.insert(Table::Traces, file);
        self.n_spans += order.rows.len() as u64;
        Ok(())
    }

    /// Adds the slices of `batch` as they stand, behind all before.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn push_slices(&mut self, batch: &Batch) -> Result<(), PartError> {
        self.summary.add(batch);
        let rows: Vec<u32> = (0..batch.slices.len() as u32).collect();
        let mut file = self.take_file(Table::Slices)?;
        for rows in rows.chunks(RUN_ROWS) {
            file.write(slices::columns(batch, rows))?;
        }
        self.files.insert(Table::Slices, file);
        Ok(())
    }

    /// Adds the reports of `batch` as they stand, behind all before; the traces that they are of are added by themselves.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn push_reports(&mut self, batch: &Batch) -> Result<(), PartError> {
        let rows: Vec<u32> = (0..batch.n_reports() as u32).collect();
        let mut file = self.take_file(Table::Reports)?;
        for rows in rows.chunks(RUN_ROWS) {
            file.write(reports::columns(batch, rows))?;
        }
        self.files.insert(Table::Reports, file);
        Ok(())
    }

    /// Adds all aggregates of the part, settled.
    ///
    /// # Errors
    /// The store failed.
    pub(crate) fn push_aggregates(&mut self, aggregates: &Aggregates) -> Result<(), PartError> {
        let mut file = self.take_file(Table::Agg)?;
        for rows in aggregates.places().chunks(RUN_ROWS) {
            file.write(agg::columns(aggregates, rows))?;
        }
        self.files.insert(Table::Agg, file);
        Ok(())
    }

    /// Makes the files durable, and returns what a manifest says of the part; the spans' resources are `resources`.
    ///
    /// # Errors
    /// The store failed. Files that are there already are strangers then.
    pub(crate) fn finish(mut self, resources: &[Vec<Attribute<'static>>]) -> Result<PartEntry, PartError> {
        if let Some(file) = self.files.get_mut(&Table::Spans) {
            let failed = |error: std::io::Error| {
                let path = self.cut.id.path_on(self.place.shelf, Table::Spans);
                encode_error(&path, ParquetError::External(error.into()))
            };
            file.add_key(properties::key::RESOURCES, resources::encode(resources).map_err(failed)?);
        }
        let files = self.files.into_values().map(TableFile::finish);
        let files = files.collect::<Result<Vec<_>, _>>()?;
        Ok(self.summary.entry(&self.cut, self.promoted, files))
    }

    /// Returns the file of a table, which begins with its first row.
    fn take_file(&mut self, table: Table) -> Result<TableFile, PartError> {
        if let Some(file) = self.files.remove(&table) {
            return Ok(file);
        }
        let path = self.cut.id.path_on(self.place.shelf, table);
        let failed = |error: ParquetError| encode_error(&path, error);
        let footer = properties::Footer { table, writer: self.cut.writer, commit: self.cut.commit };
        let level = self.cut.zstd_level;
        let (schema, properties) = match table {
            Table::Spans => {
                let properties =
                    properties::spans(&self.sizes, &self.promoted, None, &footer, level).map_err(failed)?;
                (self.schema.clone(), properties)
            }
            Table::Traces => (schema::traces(), properties::traces(&self.sizes, &footer, level).map_err(failed)?),
            Table::Slices => (schema::slices(), properties::slices(&self.sizes, &footer, level).map_err(failed)?),
            Table::Reports => (schema::reports(), properties::reports(&self.sizes, &footer, level).map_err(failed)?),
            Table::Agg => (schema::agg(), properties::agg(&footer, level).map_err(failed)?),
        };
        TableFile::create(self.place.objects, table, path, schema, properties)
    }
}
