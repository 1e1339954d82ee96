//! How each column is encoded: dictionaries, deltas, split bytes, Bloom filters, statistics.
//!
//! Called by `write`. Pages are of version 1, which all engines read; there the writer has no dictionary for ids of fixed length. What a
//! reader may rely on stands in `docs/spec/parts.md`; the rest follows from measurements.

use super::{PAGE_ROWS, ROW_GROUP_ROWS};
use crate::batch::{Batch, CellValue};
use crate::promote::{Kind, Promoted};
use crate::schema::{Table, VERSION};
use backsight_core::checksum::checksum;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use parquet::schema::types::ColumnPath;

/// Keys of the footer.
pub(super) mod key {
    /// The version of the schema.
    pub(in crate::part) const SCHEMA: &str = "backsight.schema";
    /// The table.
    pub(in crate::part) const TABLE: &str = "backsight.table";
    /// Who wrote the file.
    pub(in crate::part) const WRITER: &str = "backsight.writer";
    /// The commit that the writer was built from.
    pub(in crate::part) const COMMIT: &str = "backsight.commit";
    /// The resources of the part.
    pub(in crate::part) const RESOURCES: &str = "backsight.resources";
}

/// The longest page of a dictionary; beyond it the rest of a row group is plain.
const DICTIONARY_PAGE_BYTES: usize = 1 << 20;
/// A promoted key gets a Bloom filter from this many distinct values on.
const BLOOM_FROM_DISTINCT: f64 = 1000.0;
const BLOOM_TRACE_FPP: f64 = 0.01;
const BLOOM_TRACES_TABLE_FPP: f64 = 0.001;
const BLOOM_VALUE_FPP: f64 = 0.05;
/// The most values that the filter of a map's values is made for.
const BLOOM_VALUES_MAX: u64 = 1 << 20;

/// What goes into the footer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Footer<'a> {
    pub(super) table: Table,
    pub(super) writer: &'a str,
    pub(super) commit: &'a str,
}

/// What all columns have that nothing else is said of.
fn common(
    footer: &Footer<'_>,
    resources: Option<&str>,
    zstd_level: i32,
) -> Result<WriterPropertiesBuilder, ParquetError> {
    let entry = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let mut keys = vec![
        entry(key::SCHEMA, &VERSION.to_string()),
        entry(key::TABLE, footer.table.name()),
        entry(key::WRITER, footer.writer),
        entry(key::COMMIT, footer.commit),
    ];
    keys.extend(resources.map(|resources| entry(key::RESOURCES, resources)));
    Ok(WriterProperties::builder()
        .set_created_by(concat!("backsight-store version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(zstd_level)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_page_size_limit(DICTIONARY_PAGE_BYTES)
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_key_value_metadata(Some(keys)))
}

/// Returns the properties of `spans`, with `resources` as they stand in a footer, where they are known when it begins.
pub(super) fn spans(
    sizes: &Sizes,
    promoted: &[Promoted],
    resources: Option<&str>,
    footer: &Footer<'_>,
    zstd_level: i32,
) -> Result<WriterProperties, ParquetError> {
    let rows = rows_of_group(sizes.n_spans);
    let mut builder = common(footer, resources, zstd_level)?;
    builder = bloom(builder, path(&["trace_id"]), rows.min(sizes.n_traces.max(1)), BLOOM_TRACE_FPP);
    builder = builder
        .set_column_compression(path(&["span_id"]), Compression::UNCOMPRESSED)
        .set_column_statistics_enabled(path(&["span_id"]), EnabledStatistics::None)
        .set_column_statistics_enabled(path(&["parent_span_id"]), EnabledStatistics::None);
    builder = encoded(builder, path(&["start_ns"]), Encoding::DELTA_BINARY_PACKED);
    builder = encoded(builder, path(&["duration_ns"]), Encoding::BYTE_STREAM_SPLIT);
    let offset = path(&["events", "list", "element", "time_offset_ns"]);
    builder = encoded(builder, offset, Encoding::DELTA_BINARY_PACKED);
    for (promoted, n_distinct) in promoted.iter().zip(&sizes.n_distinct) {
        if *n_distinct > BLOOM_FROM_DISTINCT {
            builder = bloom(builder, path(&[&promoted.column()]), rows, BLOOM_VALUE_FPP);
        }
    }
    let n_values = sizes.n_map_values.clamp(1, BLOOM_VALUES_MAX);
    Ok(bloom(builder, path(&["attrs_str", "key_value", "value"]), n_values, BLOOM_VALUE_FPP).build())
}

/// Returns the properties of `traces`.
pub(super) fn traces(sizes: &Sizes, footer: &Footer<'_>, zstd_level: i32) -> Result<WriterProperties, ParquetError> {
    let n_traces = rows_of_group(sizes.n_traces);
    let mut builder = bloom(common(footer, None, zstd_level)?, path(&["trace_id"]), n_traces, BLOOM_TRACES_TABLE_FPP)
        .set_column_statistics_enabled(path(&["root_span_id"]), EnabledStatistics::None);
    for column in ["first_row", "start_ns", "end_ns", "wal_seq", "ingest_ns"] {
        builder = encoded(builder, path(&[column]), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(encoded(builder, path(&["duration_ns"]), Encoding::BYTE_STREAM_SPLIT).build())
}

/// Returns the properties of `slices`.
pub(super) fn slices(sizes: &Sizes, footer: &Footer<'_>, zstd_level: i32) -> Result<WriterProperties, ParquetError> {
    let rows = rows_of_group(sizes.n_slices);
    let mut builder = bloom(common(footer, None, zstd_level)?, path(&["trace_id"]), rows, BLOOM_TRACE_FPP);
    builder = builder.set_column_statistics_enabled(path(&["span_id"]), EnabledStatistics::None);
    builder = encoded(builder, path(&["start_ns"]), Encoding::DELTA_BINARY_PACKED);
    Ok(encoded(builder, path(&["duration_ns"]), Encoding::BYTE_STREAM_SPLIT).build())
}

/// Returns the properties of `reports`. What a payload's least and greatest bytes are helps nobody.
pub(super) fn reports(sizes: &Sizes, footer: &Footer<'_>, zstd_level: i32) -> Result<WriterProperties, ParquetError> {
    let n_traces = rows_of_group(sizes.n_traces);
    let builder = bloom(common(footer, None, zstd_level)?, path(&["trace_id"]), n_traces, BLOOM_TRACES_TABLE_FPP)
        .set_column_dictionary_enabled(path(&["payload"]), false)
        .set_column_statistics_enabled(path(&["payload"]), EnabledStatistics::None);
    Ok(encoded(builder, path(&["ingest_ns"]), Encoding::DELTA_BINARY_PACKED).build())
}

/// Returns the properties of `agg`: sketches and lists hardly come twice, and nobody looks for one.
pub(super) fn agg(footer: &Footer<'_>, zstd_level: i32) -> Result<WriterProperties, ParquetError> {
    let mut builder = common(footer, None, zstd_level)?;
    for column in ["sketch", "self_sketch", "list"] {
        builder = encoded(builder, path(&[column]), Encoding::PLAIN)
            .set_column_statistics_enabled(path(&[column]), EnabledStatistics::None);
    }
    Ok(builder.build())
}

fn path(segments: &[&str]) -> ColumnPath {
    ColumnPath::new(segments.iter().map(|segment| (*segment).to_owned()).collect())
}

/// Gives a column an encoding in place of a dictionary.
fn encoded(builder: WriterPropertiesBuilder, column: ColumnPath, encoding: Encoding) -> WriterPropertiesBuilder {
    builder.set_column_dictionary_enabled(column.clone(), false).set_column_encoding(column, encoding)
}

/// Gives a column a Bloom filter for at most `max_ndv` values of a row group; the writer folds it to what came.
fn bloom(builder: WriterPropertiesBuilder, column: ColumnPath, max_ndv: u64, fpp: f64) -> WriterPropertiesBuilder {
    builder.set_column_bloom_filter_fpp(column.clone(), fpp).set_column_bloom_filter_max_ndv(column, max_ndv)
}

/// Returns the most rows that a row group has of so many.
fn rows_of_group(n_rows: u64) -> u64 {
    n_rows.clamp(1, ROW_GROUP_ROWS as u64)
}

/// How many rows and values a part has, by which its Bloom filters are made. More than it has is no harm: filters are folded.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Sizes {
    pub(crate) n_spans: u64,
    pub(crate) n_traces: u64,
    pub(crate) n_slices: u64,
    /// For each promoted key roughly how many values its column has; 0 where they are no strings.
    pub(crate) n_distinct: Vec<f64>,
    /// String values that stay in the map.
    pub(crate) n_map_values: u64,
}

impl Sizes {
    /// Returns the sizes of `batch`.
    pub(super) fn of(batch: &Batch, promoted: &[Promoted]) -> Self {
        let column = |code: usize| {
            let key = batch.names.text(code as u32);
            let found = promoted.binary_search_by(|promoted| promoted.key.as_str().cmp(key)).ok();
            found.filter(|idx| promoted[*idx].kind == Kind::Str)
        };
        let columns: Vec<Option<usize>> = (0..batch.names.len()).map(column).collect();
        let mut counters = vec![DistinctCounter::default(); promoted.len()];
        let mut n_map_values = 0;
        for cell in batch.live_heads().flat_map(|head| &batch.cells[head.attributes.range()]) {
            let CellValue::Str(text) = cell.value else { continue };
            match columns[cell.key as usize] {
                Some(idx) => counters[idx].add(batch.bytes(text)),
                None => n_map_values += 1,
            }
        }
        Self {
            n_spans: batch.n_spans() as u64,
            n_traces: batch.n_traces() as u64,
            n_slices: batch.n_slices() as u64,
            n_distinct: counters.iter().map(DistinctCounter::estimate).collect(),
            n_map_values,
        }
    }
}

/// Bits by which distinct values are counted: enough to tell a thousand from more.
const COUNT_BITS: usize = 1 << 13;

/// Counts distinct values by linear counting.
///
/// # Source
/// Whang, Vander-Zanden, Taylor, "A linear-time probabilistic counting algorithm for database applications", 1990.
#[derive(Clone, Debug)]
pub(crate) struct DistinctCounter(Box<[u64; COUNT_BITS / 64]>);

impl Default for DistinctCounter {
    fn default() -> Self {
        Self(Box::new([0; COUNT_BITS / 64]))
    }
}

impl DistinctCounter {
    /// Counts a value.
    pub(crate) fn add(&mut self, value: &[u8]) {
        let bit = checksum(0, value) as usize % COUNT_BITS;
        self.0[bit / 64] |= 1 << (bit % 64);
    }

    /// Returns roughly how many values there were.
    pub(crate) fn estimate(&self) -> f64 {
        let n_zero = COUNT_BITS as f64 - f64::from(self.0.iter().map(|word| word.count_ones()).sum::<u32>());
        COUNT_BITS as f64 * (COUNT_BITS as f64 / n_zero.max(1.0)).ln()
    }
}
