//! Opens the files of a part, and reads rows: a range of spans, traces, or one trace by its id.
//!
//! Called by searches and by compaction. A file may be anything: footers and indexes are checked before they are believed, and what the
//! Parquet reader makes of the rest comes back as an error. Chosen columns of chosen rows are read in `select`; what excludes row groups
//! stands in `prune`.

mod check;
mod prune;
mod reports;
mod scan;
mod select;

pub use super::decode::{energies_of, events_of, links_of, spec_versions_of};
pub use check::verify;
pub(crate) use check::verify_until;
pub use prune::Limits;
pub use reports::Reports;
pub(crate) use scan::Scan;
pub use select::Wanted;

use super::source::Source;
use super::{FOOTER_MAX_BYTES, PartError, columns::bytes_of_trace, decode, footer, properties, resources};
use crate::batch::ROWS_MAX;
use crate::manifest::entry::FileEntry;
use crate::objects::{Objects, ReadAt};
use crate::rows::{Attribute, SliceRow, SpanRow, TraceRow};
use crate::schema::{Table, VERSION, Version};
use arrow_array::{Array, RecordBatch};
use backsight_core::ids::TraceId;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::bloom_filter::Sbbf;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

/// A Parquet file ends in the length of its metadata and this.
const MAGIC: &[u8; 4] = b"PAR1";
const TAIL_BYTES: u64 = 8;
/// The longest Bloom filter: one for all values of a full row group.
const BLOOM_MAX_BYTES: i32 = 16 << 20;

/// An open file of a part.
#[derive(Clone)]
pub struct File {
    source: Source,
    table: Table,
    version: Version,
    metadata: ArrowReaderMetadata,
    /// The same with dictionaries for texts.
    coded: ArrowReaderMetadata,
    /// By row group, for `trace_id`.
    blooms: Arc<[Option<Sbbf>]>,
    lazy: Arc<Mutex<prune::Lazy>>,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("File").field("path", &self.path()).field("n_rows", &self.n_rows()).finish_non_exhaustive()
    }
}

impl File {
    /// Opens a file that a manifest names.
    ///
    /// # Errors
    /// It is missing, foreign, damaged, newer, or of another length than the manifest says.
    /// # Cost
    /// Reads footer, page indexes and Bloom filters of trace ids, some 1 % of the file, and keeps them.
    pub fn open(objects: &dyn Objects, entry: &FileEntry) -> Result<Self, PartError> {
        let object = objects.open(&entry.path)?;
        let len = object.bytes();
        let file = Self::open_object(object)?;
        if len != entry.bytes || file.n_rows() != entry.rows {
            let why = format!("it has {len} bytes and {} rows, not {} and {}", file.n_rows(), entry.bytes, entry.rows);
            return Err(PartError::Damaged { path: entry.path.clone(), why });
        }
        Ok(file)
    }

    /// Opens whatever is said to be a file of a part.
    ///
    /// # Errors
    /// As of [`File::open`].
    pub fn open_object(object: Arc<dyn ReadAt>) -> Result<Self, PartError> {
        let source = Source(object);
        let path = source.0.path().to_owned();
        let metadata = guarded(&path, || metadata(&source))?;
        let (table, version) = identity(&path, &metadata)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(&path, || {
            ArrowReaderMetadata::try_new(Arc::new(metadata), options).map_err(|error| parquet_error(&path, error))
        })?;
        let coded = guarded(&path, || {
            let options = ArrowReaderOptions::new().with_schema(select::coded(metadata.schema()));
            ArrowReaderMetadata::try_new(metadata.metadata().clone(), options)
                .map_err(|error| parquet_error(&path, error))
        })?;
        let blooms = guarded(&path, || blooms(&source, metadata.metadata()))?;
        Ok(Self { source, table, version, metadata, coded, blooms: blooms.into(), lazy: prune::lazy() })
    }

    /// Returns its path.
    pub fn path(&self) -> &str {
        self.source.0.path()
    }

    /// Returns its table.
    pub fn table(&self) -> Table {
        self.table
    }

    /// Returns the version of its schema.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Returns its rows.
    pub fn n_rows(&self) -> u64 {
        self.metadata.metadata().file_metadata().num_rows() as u64
    }

    /// Returns its schema, footer and indexes, for whoever prunes by them.
    pub fn metadata(&self) -> &ArrowReaderMetadata {
        &self.metadata
    }

    /// Returns the rows of each row group whose Bloom filter does not exclude `trace`.
    pub fn candidates(&self, trace: TraceId) -> Vec<Range<u64>> {
        let id = bytes_of_trace(trace);
        let mut start = 0;
        let groups = self.metadata.metadata().row_groups().iter().zip(self.blooms.iter());
        let mut candidates = Vec::new();
        for (group, bloom) in groups {
            let end = start + group.num_rows() as u64;
            if bloom.as_ref().is_none_or(|bloom| bloom.check(&id[..])) {
                candidates.push(start..end);
            }
            start = end;
        }
        candidates
    }

    /// Returns the rows of `trace`, in ascending order, by a scan of the ids in the row groups that may hold it.
    ///
    /// # Errors
    /// The file is damaged.
    fn rows_of(&self, trace: TraceId) -> Result<Vec<u64>, PartError> {
        let id = bytes_of_trace(trace);
        let mut found = Vec::new();
        for rows in self.candidates(trace) {
            let mut row = rows.start;
            for batch in self.columns(&[rows], Wanted::Coded(&[&["trace_id"]]))? {
                let ids = decode::trace_id_column(&batch).map_err(|why| self.damaged(why))?;
                found.extend((0..ids.len()).filter(|idx| ids.value(*idx) == id).map(|idx| row + idx as u64));
                row += batch.num_rows() as u64;
            }
        }
        Ok(found)
    }

    /// Returns the error that says `why` the file is damaged, for whoever makes more of its columns than rows.
    pub fn damaged(&self, why: impl Into<String>) -> PartError {
        PartError::Damaged { path: self.path().to_owned(), why: why.into() }
    }

    /// Returns the file as one of `table`.
    fn expect(self, table: Table) -> Result<Self, PartError> {
        if self.table == table {
            return Ok(self);
        }
        let why = format!("it holds {} instead of {}", self.table.name(), table.name());
        Err(PartError::Foreign { path: self.path().to_owned(), why })
    }

    fn decoded<T>(
        &self,
        rows: &[Range<u64>],
        decode: impl Fn(&RecordBatch, &mut Vec<T>) -> Result<(), String>,
    ) -> Result<Vec<T>, PartError> {
        let mut decoded = Vec::new();
        for batch in self.columns(rows, Wanted::All)? {
            guarded(self.path(), || decode(&batch, &mut decoded).map_err(|why| self.damaged(why)))?;
        }
        Ok(decoded)
    }
}

/// The spans of a part.
#[derive(Clone, Debug)]
pub struct Spans {
    file: File,
    resources: Arc<[Vec<Attribute<'static>>]>,
}

impl Spans {
    /// Takes `file` as the spans of a part.
    ///
    /// # Errors
    /// It is another table, or its resources are damaged.
    pub fn new(file: File) -> Result<Self, PartError> {
        let file = file.expect(Table::Spans)?;
        let text = footer_text(file.metadata.metadata(), properties::key::RESOURCES);
        let resources = text.map_or(Ok(Vec::new()), resources::decode).map_err(|why| file.damaged(why))?;
        Ok(Self { file, resources: resources.into() })
    }

    /// Returns the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the resources, by their numbers.
    pub fn resources(&self) -> &[Vec<Attribute<'static>>] {
        &self.resources
    }

    /// Reads spans.
    ///
    /// # Errors
    /// There are no such rows, or the file is damaged.
    /// # Cost
    /// Some milliseconds for the rows of one trace: pages and dictionaries of all columns. About 1 KB a row in memory; the caller bounds
    /// `rows`, also where they come from a file of traces.
    pub fn read(&self, rows: Range<u64>) -> Result<Vec<SpanRow<'static>>, PartError> {
        self.read_ranges(&[rows])
    }

    /// Reads spans of several ranges, in ascending order, that do not overlap.
    ///
    /// # Errors
    /// As of [`Spans::read`].
    /// # Cost
    /// As of [`Spans::read`], with the dictionaries of a row group read once for all ranges in it.
    pub fn read_ranges(&self, rows: &[Range<u64>]) -> Result<Vec<SpanRow<'static>>, PartError> {
        self.file.decoded(rows, decode::spans)
    }
}

/// The traces of a part.
#[derive(Clone, Debug)]
pub struct Traces {
    file: File,
}

impl Traces {
    /// Takes `file` as the traces of a part.
    ///
    /// # Errors
    /// It is another table.
    pub fn new(file: File) -> Result<Self, PartError> {
        Ok(Self { file: file.expect(Table::Traces)? })
    }

    /// Returns the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads traces.
    ///
    /// # Errors
    /// There are no such rows, or the file is damaged.
    pub fn read(&self, rows: Range<u64>) -> Result<Vec<TraceRow>, PartError> {
        self.read_ranges(&[rows])
    }

    /// Reads traces of several ranges, in ascending order, that do not overlap.
    ///
    /// # Errors
    /// As of [`Traces::read`].
    pub fn read_ranges(&self, rows: &[Range<u64>]) -> Result<Vec<TraceRow>, PartError> {
        self.file.decoded(rows, decode::traces)
    }

    /// Finds a trace by its id.
    ///
    /// # Errors
    /// The file is damaged.
    /// # Cost
    /// Nothing is read where the Bloom filters exclude it; else the ids of a row group, and the row.
    pub fn find(&self, trace: TraceId) -> Result<Option<TraceRow>, PartError> {
        let Some(row) = self.file.rows_of(trace)?.first().copied() else { return Ok(None) };
        Ok(self.read(row..row + 1)?.pop())
    }
}

/// The slices of a part.
#[derive(Clone, Debug)]
pub struct Slices {
    file: File,
}

impl Slices {
    /// Takes `file` as the slices of a part.
    ///
    /// # Errors
    /// It is another table.
    pub fn new(file: File) -> Result<Self, PartError> {
        Ok(Self { file: file.expect(Table::Slices)? })
    }

    /// Returns the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Reads slices.
    ///
    /// # Errors
    /// There are no such rows, or the file is damaged.
    pub fn read(&self, rows: Range<u64>) -> Result<Vec<SliceRow<'static>>, PartError> {
        self.file.decoded(&[rows], decode::slices)
    }

    /// Finds the slices of a trace: they stand together.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn find(&self, trace: TraceId) -> Result<Vec<SliceRow<'static>>, PartError> {
        let rows = self.file.rows_of(trace)?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let mut found = self.read(*first..*last + 1)?;
        found.retain(|slice| slice.trace == trace);
        Ok(found)
    }
}

/// Returns the metadata of a file, every claim in it checked against the file's length.
fn metadata(source: &Source) -> Result<ParquetMetaData, PartError> {
    let path = source.0.path();
    let foreign = |why: String| PartError::Foreign { path: path.to_owned(), why };
    let damaged = |why: String| PartError::Damaged { path: path.to_owned(), why };
    let len = source.0.bytes();
    if len < TAIL_BYTES + MAGIC.len() as u64 {
        return Err(foreign(format!("it has {len} bytes")));
    }
    let tail = source.bytes_at(len - TAIL_BYTES, TAIL_BYTES)?;
    if !tail.ends_with(MAGIC) {
        return Err(foreign("it does not end as a Parquet file; its writing may not have been finished".to_owned()));
    }
    let footer_len = u64::from(tail[..4].iter().rev().fold(0_u32, |len, byte| len << 8 | u32::from(*byte)));
    if footer_len > FOOTER_MAX_BYTES.min(len - TAIL_BYTES) {
        return Err(damaged(format!("its metadata is said to have {footer_len} bytes")));
    }
    let bytes = source.bytes_at(len - TAIL_BYTES - footer_len, footer_len)?;
    footer::check(&bytes).map_err(|why| damaged(why.to_owned()))?;
    let metadata = ParquetMetaDataReader::decode_metadata(&bytes).map_err(|error| parquet_error(path, error))?;
    check_claims(source, &metadata)?;
    let mut indexes =
        ParquetMetaDataReader::new_with_metadata(metadata).with_page_index_policy(PageIndexPolicy::Optional);
    indexes.read_page_indexes(source).map_err(|error| parquet_error(path, error))?;
    indexes.finish().map_err(|error| parquet_error(path, error))
}

/// Checks what metadata says of rows and places.
fn check_claims(source: &Source, metadata: &ParquetMetaData) -> Result<(), PartError> {
    let damaged = |why: &str| PartError::Damaged { path: source.0.path().to_owned(), why: why.to_owned() };
    let n_rows = metadata.file_metadata().num_rows();
    let mut sum = 0_i64;
    for group in metadata.row_groups() {
        if !(0..=ROWS_MAX as i64).contains(&group.num_rows()) {
            return Err(damaged("a row group claims more rows than a part may have"));
        }
        sum += group.num_rows();
        group.columns().iter().try_for_each(|column| check_column(source, column))?;
    }
    if sum != n_rows || sum > ROWS_MAX as i64 {
        return Err(damaged("its row groups do not add up to its rows"));
    }
    Ok(())
}

fn check_column(source: &Source, column: &ColumnChunkMetaData) -> Result<(), PartError> {
    let damaged = |why: &str| PartError::Damaged { path: source.0.path().to_owned(), why: why.to_owned() };
    let beyond = || damaged("its metadata points beyond its end");
    let is_inside = |offset: i64, len: i64| {
        let end = offset.checked_add(len).filter(|_| offset >= 0 && len >= 0);
        end.is_some_and(|end| end as u64 <= source.0.bytes())
    };
    let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    if !is_inside(start, column.compressed_size()) || column.num_values() < 0 || column.data_page_offset() < start {
        return Err(beyond());
    }
    match (column.bloom_filter_offset(), column.bloom_filter_length()) {
        (Some(offset), Some(len)) if !is_inside(offset, len.into()) || len > BLOOM_MAX_BYTES => return Err(beyond()),
        _ => {}
    }
    let indexes = [
        (column.column_index_offset(), column.column_index_length()),
        (column.offset_index_offset(), column.offset_index_length()),
    ];
    for index in indexes {
        let (Some(offset), Some(len)) = index else { continue };
        if !is_inside(offset, len.into()) {
            return Err(beyond());
        }
        let bytes = source.bytes_at(offset as u64, len as u64)?;
        footer::check(&bytes).map_err(damaged)?;
    }
    Ok(())
}

/// Returns what the footer says the file is.
fn identity(path: &str, metadata: &ParquetMetaData) -> Result<(Table, Version), PartError> {
    let foreign = |why: &str| PartError::Foreign { path: path.to_owned(), why: why.to_owned() };
    let text = footer_text(metadata, properties::key::SCHEMA)
        .ok_or_else(|| foreign("its footer has no key backsight.schema"))?;
    let found = Version::parse(text).ok_or_else(|| foreign("its footer's backsight.schema is no version"))?;
    if found.major > VERSION.major {
        return Err(PartError::Newer { path: path.to_owned(), found });
    }
    let table = footer_text(metadata, properties::key::TABLE).and_then(Table::of_name);
    Ok((table.ok_or_else(|| foreign("its footer names no table that this version knows"))?, found))
}

fn footer_text<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    let entries = metadata.file_metadata().key_value_metadata()?;
    entries.iter().find(|entry| entry.key == key)?.value.as_deref()
}

/// Reads the Bloom filters of trace ids; a filter without a length is passed over.
fn blooms(source: &Source, metadata: &ParquetMetaData) -> Result<Vec<Option<Sbbf>>, PartError> {
    let bloom = |column: Option<&ColumnChunkMetaData>| match column {
        Some(column) if column.bloom_filter_length().is_some() => Sbbf::read_from_column_chunk(column, source)
            .map(|bloom| bloom.filter(|bloom| bloom.num_blocks() > 0))
            .map_err(|error| parquet_error(source.0.path(), error)),
        _ => Ok(None),
    };
    let trace_ids = metadata
        .row_groups()
        .iter()
        .map(|group| group.columns().iter().find(|column| column.column_path().parts() == ["trace_id"]));
    trace_ids.map(bloom).collect()
}

fn parquet_error(path: &str, error: ParquetError) -> PartError {
    match error {
        ParquetError::External(source) if source.is::<crate::objects::ObjectError>() => {
            match source.downcast::<crate::objects::ObjectError>() {
                Ok(error) => PartError::Object(*error),
                Err(source) => PartError::Damaged { path: path.to_owned(), why: source.to_string() },
            }
        }
        error => PartError::Damaged { path: path.to_owned(), why: error.to_string() },
    }
}

/// Runs what decodes a file's bytes, and returns a panic of the Parquet reader as damage: it is a library's, and the bytes are anybody's.
fn guarded<T>(path: &str, decode: impl FnOnce() -> Result<T, PartError>) -> Result<T, PartError> {
    // What a panic may leave half-done is dropped with the error.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let why = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("its bytes make no sense");
        Err(PartError::Damaged { path: path.to_owned(), why: why.to_owned() })
    })
}

pub mod aggs;
#[cfg(test)]
mod tests;
