//! Rows from columns: spans here, the other tables and where rows stand in files of their own.
//!
//! Called by `read`. Columns are found by name: unknown ones are ignored, as a later minor version may have more; one that is missing, or of
//! another type, is an error told in words. Numbers in columns are believed by nobody: they come from a file.

mod agg;
mod nested;
mod places;
mod reports;
mod slices;
mod traces;

pub(super) use agg::agg;
pub(crate) use places::{RowPlace, TracePlace};
pub(super) use places::{report_places, slice_places, trace_places};
pub(super) use reports::reports;
pub(super) use slices::slices;
pub(super) use traces::traces;

use crate::promote::Kind;
use crate::rows::{Attribute, Dropped, Energy, Event, Link, ResourceId, SpanRow, SpecVersion, Value};
use crate::schema::PROMOTED_PREFIX;
use arrow_array::{
    Array, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float64Array, Int8Array, Int32Array, Int64Array, ListArray,
    MapArray, RecordBatch, StringArray, StructArray, TimestampNanosecondArray,
};
use backsight_core::ids::{SpanId, TraceId};
use nested::{Columns, cow, items, optional_text, text_attributes};
use std::borrow::Cow;

/// Returns the column of trace ids.
pub(super) fn trace_id_column(batch: &RecordBatch) -> Result<&FixedSizeBinaryArray, String> {
    ids(batch, "trace_id", 16)
}

/// Returns a column of ids with `len` bytes each.
fn ids<'a>(columns: &'a impl Columns, name: &str, len: i32) -> Result<&'a FixedSizeBinaryArray, String> {
    let ids: &FixedSizeBinaryArray = columns.required(name)?;
    if ids.value_length() == len { Ok(ids) } else { Err(format!("column {name} has ids of another length")) }
}

fn trace_id(ids: &FixedSizeBinaryArray, row: usize) -> TraceId {
    let id = ids.value(row).iter().fold(0_u128, |id, byte| id << 8 | u128::from(*byte));
    TraceId::new((id >> 64) as u64, id as u64)
}

fn span_id(ids: &FixedSizeBinaryArray, row: usize) -> SpanId {
    SpanId(ids.value(row).iter().fold(0, |id, byte| id << 8 | u64::from(*byte)))
}

fn optional_span_id(ids: &FixedSizeBinaryArray, row: usize) -> Option<SpanId> {
    ids.is_valid(row).then(|| span_id(ids, row))
}

/// Appends the spans of `batch` to `rows`.
pub(super) fn spans(batch: &RecordBatch, rows: &mut Vec<SpanRow<'static>>) -> Result<(), String> {
    let trace_ids = trace_id_column(batch)?;
    let span_ids = ids(batch, "span_id", 8)?;
    let parents = ids(batch, "parent_span_id", 8)?;
    let starts: &TimestampNanosecondArray = batch.required("start_ns")?;
    let durations: &Int64Array = batch.required("duration_ns")?;
    let [service, operation, scope, host, process, thread, status_message, trace_state] =
        ["service", "operation", "scope", "host", "process", "thread", "status_message", "trace_state"]
            .map(|name| batch.required::<StringArray>(name));
    let (service, operation, scope, host) = (service?, operation?, scope?, host?);
    let (process, thread, status_message, trace_state) = (process?, thread?, status_message?, trace_state?);
    let kind: &Int8Array = batch.required("kind")?;
    let status: &Int8Array = batch.required("status")?;
    let source: &Int8Array = batch.required("source")?;
    let flags: &Int32Array = batch.required("flags")?;
    let resource: &Int32Array = batch.required("resource_id")?;
    let self_cp_ns: &Int64Array = batch.required("self_cp_ns")?;
    let weights: &Float64Array = batch.required("sampling_weight")?;
    let mut attributes = attributes(batch)?.into_iter();
    let dropped: &StructArray = batch.required("dropped")?;
    let dropped_counts = ["attrs", "events", "links"].map(|name| dropped.required::<Int32Array>(name));
    let [dropped_attrs, dropped_events, dropped_links] = dropped_counts;
    let (dropped_attrs, dropped_events, dropped_links) = (dropped_attrs?, dropped_events?, dropped_links?);
    let mut events = events_of(batch)?.into_iter();
    let mut links = links_of(batch)?.into_iter();
    let mut energies = energies_of(batch)?.into_iter();
    let mut versions = spec_versions_of(batch)?.into_iter();
    rows.reserve(batch.num_rows());
    for row in 0..batch.num_rows() {
        rows.push(SpanRow {
            trace: trace_id(trace_ids, row),
            id: span_id(span_ids, row),
            parent: optional_span_id(parents, row),
            start_ns: starts.value(row),
            duration_ns: durations.value(row),
            service: cow(service, row),
            operation: cow(operation, row),
            scope: optional_text(scope, row),
            host: cow(host, row),
            process: cow(process, row),
            thread: optional_text(thread, row),
            kind: kind.value(row),
            status: status.value(row),
            source: source.value(row),
            status_message: optional_text(status_message, row),
            trace_state: optional_text(trace_state, row),
            flags: flags.value(row),
            attributes: attributes.next().unwrap_or_default().into(),
            dropped: if dropped.is_valid(row) {
                Dropped {
                    attrs: dropped_attrs.value(row),
                    events: dropped_events.value(row),
                    links: dropped_links.value(row),
                }
            } else {
                Dropped::default()
            },
            resource: ResourceId(resource.value(row) as u32),
            events: events.next().unwrap_or_default().into(),
            links: links.next().unwrap_or_default().into(),
            energy: energies.next().flatten(),
            spec_versions: versions.next().unwrap_or_default().into(),
            self_cp_ns: self_cp_ns.is_valid(row).then(|| self_cp_ns.value(row)),
            sampling_weight: weights.value(row),
        });
    }
    Ok(())
}

/// Returns the attributes of each row, in the order in which they came.
fn attributes(batch: &RecordBatch) -> Result<Vec<Vec<Attribute<'static>>>, String> {
    let mut rows = vec![Vec::new(); batch.num_rows()];
    promoted(batch, &mut rows)?;
    let maps: &MapArray = batch.required("attrs_str")?;
    mapped(maps, &mut rows, |values: &StringArray, idx| Value::Str(cow(values, idx)))?;
    let maps: &MapArray = batch.required("attrs_int")?;
    mapped(maps, &mut rows, |values: &Int64Array, idx| Value::Int(values.value(idx)))?;
    let maps: &MapArray = batch.required("attrs_dbl")?;
    mapped(maps, &mut rows, |values: &Float64Array, idx| Value::Dbl(values.value(idx)))?;
    let maps: &MapArray = batch.required("attrs_bool")?;
    mapped(maps, &mut rows, |values: &BooleanArray, idx| Value::Bool(values.value(idx)))?;
    let maps: &MapArray = batch.required("attrs_other")?;
    mapped(maps, &mut rows, |values: &BinaryArray, idx| Value::Other(Cow::Owned(values.value(idx).to_vec())))?;
    let order: &BinaryArray = batch.required("attrs_order")?;
    for (row, attributes) in rows.iter_mut().enumerate() {
        if order.is_valid(row) {
            let sorted = std::mem::take(attributes);
            *attributes = unsorted(sorted, order.value(row)).ok_or("column attrs_order names no attributes")?;
        }
    }
    Ok(rows)
}

/// Adds the attributes that stand in columns of their own, in the order of the columns.
fn promoted(batch: &RecordBatch, rows: &mut [Vec<Attribute<'static>>]) -> Result<(), String> {
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let Some(key) = field.name().strip_prefix(PROMOTED_PREFIX) else { continue };
        let kind = Kind::of_data_type(field.data_type());
        let value: Box<dyn Fn(usize) -> Value<'static>> = match kind {
            Some(Kind::Str) => {
                let values: &StringArray = batch.required(field.name())?;
                Box::new(|idx| Value::Str(cow(values, idx)))
            }
            Some(Kind::Int) => {
                let values: &Int64Array = batch.required(field.name())?;
                Box::new(|idx| Value::Int(values.value(idx)))
            }
            Some(Kind::Dbl) => {
                let values: &Float64Array = batch.required(field.name())?;
                Box::new(|idx| Value::Dbl(values.value(idx)))
            }
            Some(Kind::Bool) => {
                let values: &BooleanArray = batch.required(field.name())?;
                Box::new(|idx| Value::Bool(values.value(idx)))
            }
            None => return Err(format!("column {} has a type that no attribute has", field.name())),
        };
        for (idx, attributes) in rows.iter_mut().enumerate().filter(|(idx, _)| column.is_valid(*idx)) {
            attributes.push(Attribute { key: Cow::Owned(key.to_owned()), value: value(idx) });
        }
    }
    Ok(())
}

/// Adds the attributes of a map.
fn mapped<A: Array + 'static>(
    maps: &MapArray,
    rows: &mut [Vec<Attribute<'static>>],
    value: impl Fn(&A, usize) -> Value<'static>,
) -> Result<(), String> {
    let keys: &StringArray = maps.keys().as_any().downcast_ref().ok_or("a map's keys are no texts")?;
    let values: &A = maps.values().as_any().downcast_ref().ok_or("a map's values have another type")?;
    for (row, attributes) in rows.iter_mut().enumerate() {
        for idx in items(maps.value_offsets(), row) {
            attributes.push(Attribute { key: cow(keys, idx), value: value(values, idx) });
        }
    }
    Ok(())
}

/// Puts attributes into the order in which they came: `places` holds for each its place among `sorted`, as LEB128.
fn unsorted(sorted: Vec<Attribute<'static>>, places: &[u8]) -> Option<Vec<Attribute<'static>>> {
    let mut sorted: Vec<_> = sorted.into_iter().map(Some).collect();
    let mut attributes = Vec::with_capacity(sorted.len());
    let mut bytes = places.iter();
    while attributes.len() < sorted.len() {
        let (mut place, mut shift) = (0_usize, 0);
        loop {
            let byte = *bytes.next()?;
            place |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        attributes.push(sorted.get_mut(place)?.take()?);
    }
    Some(attributes)
}

/// Returns the events of each row.
///
/// # Errors
/// The column is missing, or damaged; told in words.
pub fn events_of(batch: &RecordBatch) -> Result<Vec<Vec<Event<'static>>>, String> {
    let lists: &ListArray = batch.required("events")?;
    let structs = nested::structs(lists)?;
    let offsets: &Int64Array = structs.required("time_offset_ns")?;
    let names: &StringArray = structs.required("name")?;
    let dropped: &Int32Array = structs.required("dropped")?;
    let event = |idx: usize| {
        Ok(Event {
            time_offset_ns: offsets.value(idx),
            name: cow(names, idx),
            attributes: text_attributes(structs, idx)?.into(),
            dropped: dropped.value(idx),
        })
    };
    nested::lists(lists, event)
}

/// Returns the links of each row.
///
/// # Errors
/// The column is missing, or damaged; told in words.
pub fn links_of(batch: &RecordBatch) -> Result<Vec<Vec<Link<'static>>>, String> {
    let lists: &ListArray = batch.required("links")?;
    let structs = nested::structs(lists)?;
    let trace_ids = ids(structs, "trace_id", 16)?;
    let span_ids = ids(structs, "span_id", 8)?;
    let states: &StringArray = structs.required("trace_state")?;
    let dropped: &Int32Array = structs.required("dropped")?;
    let flags: &Int32Array = structs.required("flags")?;
    let link = |idx: usize| {
        Ok(Link {
            trace: trace_id(trace_ids, idx),
            span: span_id(span_ids, idx),
            trace_state: optional_text(states, idx),
            attributes: text_attributes(structs, idx)?.into(),
            dropped: dropped.value(idx),
            flags: flags.value(idx),
        })
    };
    nested::lists(lists, link)
}

/// Returns the energy of each row.
///
/// # Errors
/// The column is missing, or damaged; told in words.
pub fn energies_of(batch: &RecordBatch) -> Result<Vec<Option<Energy<'static>>>, String> {
    nested::energies(batch.required("energy")?)
}

/// Returns the versions of specialised code that ran in each row.
///
/// # Errors
/// The column is missing, or damaged; told in words.
pub fn spec_versions_of(batch: &RecordBatch) -> Result<Vec<Vec<SpecVersion>>, String> {
    let lists: &ListArray = batch.required("spec_version")?;
    let structs = nested::structs(lists)?;
    let points: &Int32Array = structs.required("point")?;
    let versions: &Int32Array = structs.required("version")?;
    nested::lists(lists, |idx| Ok(SpecVersion { point: points.value(idx), version: versions.value(idx) }))
}
