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
    /// The resources, as `resources` encodes them; empty for tables without.
    pub(super) resources: &'a str,
}

/// What all columns have that nothing else is said of.
fn common(footer: &Footer<'_>, zstd_level: i32) -> Result<WriterPropertiesBuilder, ParquetError> {
    let entry = |key: &str, value: &str| KeyValue::new(key.to_owned(), value.to_owned());
    let mut keys = vec![
        entry(key::SCHEMA, &VERSION.to_string()),
        entry(key::TABLE, footer.table.name()),
        entry(key::WRITER, footer.writer),
        entry(key::COMMIT, footer.commit),
    ];
    if !footer.resources.is_empty() {
        keys.push(entry(key::RESOURCES, footer.resources));
    }
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

/// Returns the properties of `spans`.
pub(super) fn spans(
    batch: &Batch,
    promoted: &[Promoted],
    footer: &Footer<'_>,
    zstd_level: i32,
) -> Result<WriterProperties, ParquetError> {
    let rows = ROW_GROUP_ROWS.min(batch.n_spans()).max(1) as u64;
    let mut builder = common(footer, zstd_level)?;
    builder = bloom(builder, path(&["trace_id"]), rows.min(batch.n_traces().max(1) as u64), BLOOM_TRACE_FPP);
    builder = builder
        .set_column_compression(path(&["span_id"]), Compression::UNCOMPRESSED)
        .set_column_statistics_enabled(path(&["span_id"]), EnabledStatistics::None)
        .set_column_statistics_enabled(path(&["parent_span_id"]), EnabledStatistics::None);
    builder = encoded(builder, path(&["start_ns"]), Encoding::DELTA_BINARY_PACKED);
    builder = encoded(builder, path(&["duration_ns"]), Encoding::BYTE_STREAM_SPLIT);
    let offset = path(&["events", "list", "element", "time_offset_ns"]);
    builder = encoded(builder, offset, Encoding::DELTA_BINARY_PACKED);
    let distinct = distinct_values(batch, promoted);
    for (promoted, n_distinct) in promoted.iter().zip(&distinct.promoted) {
        if *n_distinct > BLOOM_FROM_DISTINCT {
            builder = bloom(builder, path(&[&promoted.column()]), rows, BLOOM_VALUE_FPP);
        }
    }
    let n_values = distinct.n_map_values.clamp(1, BLOOM_VALUES_MAX);
    Ok(bloom(builder, path(&["attrs_str", "key_value", "value"]), n_values, BLOOM_VALUE_FPP).build())
}

/// Returns the properties of `traces`.
pub(super) fn traces(batch: &Batch, footer: &Footer<'_>, zstd_level: i32) -> Result<WriterProperties, ParquetError> {
    let n_traces = ROW_GROUP_ROWS.min(batch.n_traces()).max(1) as u64;
    let mut builder = bloom(common(footer, zstd_level)?, path(&["trace_id"]), n_traces, BLOOM_TRACES_TABLE_FPP)
        .set_column_statistics_enabled(path(&["root_span_id"]), EnabledStatistics::None);
    for column in ["first_row", "start_ns", "end_ns", "wal_seq", "ingest_ns"] {
        builder = encoded(builder, path(&[column]), Encoding::DELTA_BINARY_PACKED);
    }
    Ok(encoded(builder, path(&["duration_ns"]), Encoding::BYTE_STREAM_SPLIT).build())
}

/// Returns the properties of `slices`.
pub(super) fn slices(batch: &Batch, footer: &Footer<'_>, zstd_level: i32) -> Result<WriterProperties, ParquetError> {
    let rows = ROW_GROUP_ROWS.min(batch.n_slices()).max(1) as u64;
    let mut builder = bloom(common(footer, zstd_level)?, path(&["trace_id"]), rows, BLOOM_TRACE_FPP);
    builder = builder.set_column_statistics_enabled(path(&["span_id"]), EnabledStatistics::None);
    builder = encoded(builder, path(&["start_ns"]), Encoding::DELTA_BINARY_PACKED);
    Ok(encoded(builder, path(&["duration_ns"]), Encoding::BYTE_STREAM_SPLIT).build())
}

/// Returns the properties of `reports`. What a payload's least and greatest bytes are helps nobody.
pub(super) fn reports(batch: &Batch, footer: &Footer<'_>, zstd_level: i32) -> Result<WriterProperties, ParquetError> {
    let n_traces = ROW_GROUP_ROWS.min(batch.n_traces()).max(1) as u64;
    let builder = bloom(common(footer, zstd_level)?, path(&["trace_id"]), n_traces, BLOOM_TRACES_TABLE_FPP)
        .set_column_dictionary_enabled(path(&["payload"]), false)
        .set_column_statistics_enabled(path(&["payload"]), EnabledStatistics::None);
    Ok(encoded(builder, path(&["ingest_ns"]), Encoding::DELTA_BINARY_PACKED).build())
}

/// Returns the properties of `agg`: sketches and lists hardly come twice, and nobody looks for one.
pub(super) fn agg(footer: &Footer<'_>, zstd_level: i32) -> Result<WriterProperties, ParquetError> {
    let mut builder = common(footer, zstd_level)?;
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

struct Distinct {
    /// For each promoted key roughly how many values its column has; 0 where they are no strings.
    promoted: Vec<f64>,
    /// String values that stay in the map.
    n_map_values: u64,
}

/// Bits by which distinct values are counted: enough to tell a thousand from more.
const COUNT_BITS: usize = 1 << 13;

/// Counts distinct values by linear counting.
///
/// # Source
/// Whang, Vander-Zanden, Taylor, "A linear-time probabilistic counting algorithm for database applications", 1990.
fn distinct_values(batch: &Batch, promoted: &[Promoted]) -> Distinct {
    let column = |code: usize| {
        let key = batch.names.text(code as u32);
        let found = promoted.binary_search_by(|promoted| promoted.key.as_str().cmp(key)).ok();
        found.filter(|idx| promoted[*idx].kind == Kind::Str)
    };
    let columns: Vec<Option<usize>> = (0..batch.names.len()).map(column).collect();
    let mut bits = vec![[0_u64; COUNT_BITS / 64]; promoted.len()];
    let mut n_map_values = 0;
    for cell in batch.heads.iter().flat_map(|head| &batch.cells[head.attributes.range()]) {
        let CellValue::Str(text) = cell.value else { continue };
        let Some(idx) = columns[cell.key as usize] else {
            n_map_values += 1;
            continue;
        };
        let bit = checksum(0, batch.bytes(text)) as usize % COUNT_BITS;
        bits[idx][bit / 64] |= 1 << (bit % 64);
    }
    let estimate = |bits: &[u64; COUNT_BITS / 64]| {
        let n_zero = COUNT_BITS as f64 - f64::from(bits.iter().map(|word| word.count_ones()).sum::<u32>());
        COUNT_BITS as f64 * (COUNT_BITS as f64 / n_zero.max(1.0)).ln()
    };
    Distinct { promoted: bits.iter().map(estimate).collect(), n_map_values }
}
