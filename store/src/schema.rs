//! The columns of the tables of a part, as `docs/spec/parts.md` has them: names, types, and which may be null.
//!
//! Called by `part`, which writes and reads them. A part of a later minor version may have more columns; they are ignored. Nothing here
//! depends on what is in a part but the columns of promoted keys.

use crate::promote::Promoted;
use crate::rows::ENERGY_COMPONENTS;
use arrow_schema::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit};
use std::sync::Arc;

/// The version of the schema that this code writes. It reads all of the same major version.
pub const VERSION: Version = Version { major: 1, minor: 0 };
/// What the name of a promoted key's column begins with.
pub const PROMOTED_PREFIX: &str = "attr.";

/// A version of the schema, in the footer as `<major>` or `<major>.<minor>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Version {
    /// Rises where a reader of the old version would read something wrong.
    pub major: u16,
    /// Rises where columns come in that a reader of the old version may ignore.
    pub minor: u16,
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.minor == 0 { write!(f, "{}", self.major) } else { write!(f, "{}.{}", self.major, self.minor) }
    }
}

impl Version {
    /// Reads a version, `None` where the text is none.
    pub fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.').unwrap_or((text, "0"));
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

/// A table of a part; each is a file of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Table {
    /// One row a span.
    Spans,
    /// One row a trace.
    Traces,
    /// One row a visit or kernel record.
    Slices,
    /// One row for what a producer said of a trace at a time.
    Reports,
    /// One row a key of the aggregates, hour and population.
    Agg,
}

impl Table {
    /// All tables, in the order in which they are written.
    pub const ALL: [Self; 5] = [Self::Spans, Self::Traces, Self::Slices, Self::Reports, Self::Agg];

    /// Returns its name, which stands in names of files and in the manifest.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Traces => "traces",
            Self::Slices => "slices",
            Self::Reports => "reports",
            Self::Agg => "agg",
        }
    }

    /// Returns the table called `name`.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|table| table.name() == name)
    }
}

/// The type of times: nanoseconds since 1970, UTC.
pub(crate) fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))
}

/// The type of a map from texts. Named as Parquet has it.
pub(crate) fn map(value: DataType) -> DataType {
    DataType::Map(map_entries(value), false)
}

pub(crate) fn map_entries(value: DataType) -> FieldRef {
    Arc::new(Field::new("key_value", DataType::Struct(map_fields(value)), false))
}

pub(crate) fn map_fields(value: DataType) -> Fields {
    Fields::from(vec![required("key", DataType::Utf8), required("value", value)])
}

pub(crate) fn element(item: DataType) -> FieldRef {
    Arc::new(required("element", item))
}

fn list(item: DataType) -> DataType {
    DataType::List(element(item))
}

fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

fn nullable(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

/// The fields of one event.
pub(crate) fn event_fields() -> Fields {
    Fields::from(vec![
        required("time_offset_ns", DataType::Int64),
        required("name", DataType::Utf8),
        required("attrs", map(DataType::Utf8)),
        nullable("types", DataType::Binary),
        required("dropped", DataType::Int32),
    ])
}

/// The fields of one link.
pub(crate) fn link_fields() -> Fields {
    Fields::from(vec![
        required("trace_id", DataType::FixedSizeBinary(16)),
        required("span_id", DataType::FixedSizeBinary(8)),
        nullable("trace_state", DataType::Utf8),
        required("attrs", map(DataType::Utf8)),
        nullable("types", DataType::Binary),
        required("dropped", DataType::Int32),
        required("flags", DataType::Int32),
    ])
}

/// The fields of the counts of what was left out.
pub(crate) fn dropped_fields() -> Fields {
    Fields::from(["attrs", "events", "links"].map(|name| required(name, DataType::Int32)).to_vec())
}

/// The fields of one component's energy.
pub(crate) fn joules_fields() -> Fields {
    Fields::from(["nj", "low", "high"].map(|name| required(name, DataType::Int64)).to_vec())
}

/// The fields of an energy.
pub(crate) fn energy_fields() -> Fields {
    let mut fields = ENERGY_COMPONENTS.map(|name| required(name, DataType::Struct(joules_fields()))).to_vec();
    fields.extend([
        required("kind", DataType::Int8),
        required("model", DataType::Int32),
        required("hardware", DataType::Utf8),
        required("covered_share", DataType::Float32),
    ]);
    Fields::from(fields)
}

/// The fields of a version of specialised code.
pub(crate) fn spec_version_fields() -> Fields {
    Fields::from(vec![required("point", DataType::Int32), required("version", DataType::Int32)])
}

/// The fields of what a trace has of one service.
pub(crate) fn service_fields() -> Fields {
    Fields::from(vec![
        required("name", DataType::Utf8),
        required("spans", DataType::Int32),
        required("errors", DataType::Int32),
    ])
}

/// The fields of a trigger that fired.
pub(crate) fn trigger_fields() -> Fields {
    Fields::from(vec![
        required("id", DataType::Int64),
        required("name", DataType::Utf8),
        required("fired_at", timestamp()),
        required("agent", DataType::Utf8),
    ])
}

/// The fields of how a trace was chosen.
pub(crate) fn sampling_fields() -> Fields {
    Fields::from(vec![
        required("head", DataType::Utf8),
        required("rho", DataType::Float64),
        required("p", DataType::Float64),
        required("weight", DataType::Float64),
        nullable("threshold", DataType::Int64),
        required("reason", DataType::Utf8),
        required("policy", DataType::Utf8),
        required("model_epoch", DataType::Int32),
        nullable("ot_th", DataType::Utf8),
    ])
}

/// The fields of the clock of a host.
pub(crate) fn clock_fields() -> Fields {
    Fields::from(vec![
        required("host", DataType::Utf8),
        required("offset_ns", DataType::Int64),
        required("low", DataType::Int64),
        required("high", DataType::Int64),
        required("pairs", DataType::Int32),
    ])
}

/// Returns the columns of `spans`, those of promoted keys included.
pub fn spans(promoted: &[Promoted]) -> SchemaRef {
    let mut fields = vec![
        required("trace_id", DataType::FixedSizeBinary(16)),
        required("span_id", DataType::FixedSizeBinary(8)),
        nullable("parent_span_id", DataType::FixedSizeBinary(8)),
        required("start_ns", timestamp()),
        required("duration_ns", DataType::Int64),
        required("service", DataType::Utf8),
        required("operation", DataType::Utf8),
        nullable("scope", DataType::Utf8),
        required("host", DataType::Utf8),
        required("process", DataType::Utf8),
        nullable("thread", DataType::Utf8),
        required("kind", DataType::Int8),
        required("status", DataType::Int8),
        required("source", DataType::Int8),
        nullable("status_message", DataType::Utf8),
        nullable("trace_state", DataType::Utf8),
        required("flags", DataType::Int32),
    ];
    fields.extend(promoted.iter().map(|promoted| nullable(&promoted.column(), promoted.kind.data_type())));
    fields.extend([
        required("attrs_str", map(DataType::Utf8)),
        required("attrs_int", map(DataType::Int64)),
        required("attrs_dbl", map(DataType::Float64)),
        required("attrs_bool", map(DataType::Boolean)),
        required("attrs_other", map(DataType::Binary)),
        nullable("attrs_order", DataType::Binary),
        nullable("dropped", DataType::Struct(dropped_fields())),
        required("resource_id", DataType::Int32),
        required("events", list(DataType::Struct(event_fields()))),
        required("links", list(DataType::Struct(link_fields()))),
        nullable("energy", DataType::Struct(energy_fields())),
        nullable("spec_version", list(DataType::Struct(spec_version_fields()))),
        nullable("self_cp_ns", DataType::Int64),
        required("sampling_weight", DataType::Float64),
    ]);
    Arc::new(Schema::new(fields))
}

/// Returns the columns of `traces`.
pub fn traces() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("trace_id", DataType::FixedSizeBinary(16)),
        required("first_row", DataType::Int64),
        required("n_rows", DataType::Int32),
        required("start_ns", timestamp()),
        required("end_ns", timestamp()),
        required("duration_ns", DataType::Int64),
        nullable("root_service", DataType::Utf8),
        nullable("root_operation", DataType::Utf8),
        nullable("root_span_id", DataType::FixedSizeBinary(8)),
        required("n_errors", DataType::Int32),
        required("services", list(DataType::Struct(service_fields()))),
        nullable("entry", DataType::Utf8),
        required("triggers", list(DataType::Struct(trigger_fields()))),
        required("sampling", DataType::Struct(sampling_fields())),
        required("completeness", DataType::Int8),
        nullable("certificate", DataType::Binary),
        nullable("energy_no_span", DataType::Struct(energy_fields())),
        required("clock", list(DataType::Struct(clock_fields()))),
        nullable("energy_nj", DataType::Int64),
        required("rarity", DataType::Float32),
        required("wal_seq", DataType::Int64),
        required("ingest_ns", timestamp()),
        required("flags", DataType::Int32),
        required("resource", list(map(DataType::Utf8))),
    ]))
}

/// Returns the columns of `slices`.
pub fn slices() -> SchemaRef {
    let mut fields = vec![
        required("trace_id", DataType::FixedSizeBinary(16)),
        nullable("span_id", DataType::FixedSizeBinary(8)),
        required("host", DataType::Utf8),
        required("process", DataType::Utf8),
        required("thread", DataType::Utf8),
        required("cpu", DataType::Int32),
        required("kind", DataType::Int16),
        required("start_ns", timestamp()),
        required("duration_ns", DataType::Int64),
        required("flags", DataType::Int32),
    ];
    fields.extend(["a", "b", "c", "d"].map(|name| required(name, DataType::Int64)));
    fields.extend([nullable("text", DataType::Utf8), nullable("raw", DataType::Binary)]);
    Arc::new(Schema::new(fields))
}

/// Returns the columns of `reports`.
pub fn reports() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("trace_id", DataType::FixedSizeBinary(16)),
        required("kind", DataType::Int16),
        required("ingest_ns", timestamp()),
        required("payload", DataType::Binary),
    ]))
}

/// Digits of a sum of nanoseconds, none of them behind the point.
pub(crate) const SUM_DIGITS: u8 = 38;

/// The fields of a label.
pub(crate) fn label_fields() -> Fields {
    Fields::from(vec![
        required("service", DataType::Utf8),
        required("operation", DataType::Utf8),
        required("kind", DataType::Int8),
    ])
}

/// The fields of sums of energy.
pub(crate) fn energy_sum_fields() -> Fields {
    Fields::from(ENERGY_COMPONENTS.map(|name| required(name, DataType::Struct(joules_fields()))).to_vec())
}

/// Returns the columns of `agg`.
pub fn agg() -> SchemaRef {
    Arc::new(Schema::new(vec![
        required("table", DataType::Int8),
        nullable("hour", timestamp()),
        required("population", DataType::Int8),
        nullable("service", DataType::Utf8),
        nullable("operation", DataType::Utf8),
        nullable("kind", DataType::Int8),
        required("below", list(DataType::Struct(label_fields()))),
        nullable("text", DataType::Utf8),
        nullable("sync", DataType::Boolean),
        nullable("second", timestamp()),
        required("n", DataType::Int64),
        required("n_having", DataType::Int64),
        required("n_errors", DataType::Int64),
        required("sum_ns", DataType::Decimal128(SUM_DIGITS, 0)),
        nullable("peak", DataType::Int64),
        nullable("sketch", DataType::Binary),
        nullable("self_sketch", DataType::Binary),
        nullable("list", DataType::Binary),
        nullable("energy", DataType::Struct(energy_sum_fields())),
    ]))
}
