//! Columns put together value by value: ids, texts, times, lists and maps.
//!
//! Called by `spans`, `traces` and `slices`.

use super::ArrowResult;
use crate::schema;
use arrow_array::builder::{ArrayBuilder, StringBuilder};
use arrow_array::{ArrayRef, FixedSizeBinaryArray, ListArray, MapArray, StringArray, StructArray};
use arrow_array::{TimestampNanosecondArray, new_null_array};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Fields};
use backsight_core::ids::{SpanId, TraceId};
use std::sync::Arc;

/// Returns a column of trace ids, each as 16 bytes in the order of its text.
pub(super) fn trace_ids(ids: impl ExactSizeIterator<Item = TraceId>) -> ArrowResult<ArrayRef> {
    let mut bytes = Vec::with_capacity(16 * ids.len());
    for id in ids {
        bytes.extend_from_slice(&bytes_of_trace(id));
    }
    Ok(Arc::new(FixedSizeBinaryArray::try_new(16, Buffer::from_vec(bytes), None)?))
}

/// Returns the bytes of a trace id.
pub(super) fn bytes_of_trace(id: TraceId) -> [u8; 16] {
    (u128::from(id.hi) << 64 | u128::from(id.lo)).to_be_bytes()
}

/// Returns a column of span ids, each as 8 bytes in the order of its text.
pub(super) fn span_ids(ids: impl ExactSizeIterator<Item = SpanId>) -> ArrowResult<ArrayRef> {
    let mut bytes = Vec::with_capacity(8 * ids.len());
    for id in ids {
        bytes.extend_from_slice(&id.0.to_be_bytes());
    }
    Ok(Arc::new(FixedSizeBinaryArray::try_new(8, Buffer::from_vec(bytes), None)?))
}

/// Returns a column of span ids that may be null.
pub(super) fn optional_span_ids(ids: impl ExactSizeIterator<Item = Option<SpanId>>) -> ArrowResult<ArrayRef> {
    let mut bytes = Vec::with_capacity(8 * ids.len());
    let mut is_there = Vec::with_capacity(ids.len());
    for id in ids {
        bytes.extend_from_slice(&id.unwrap_or_default().0.to_be_bytes());
        is_there.push(id.is_some());
    }
    let nulls = NullBuffer::from(is_there);
    Ok(Arc::new(FixedSizeBinaryArray::try_new(8, Buffer::from_vec(bytes), Some(nulls))?))
}

/// Returns a column of texts.
pub(super) fn texts<'a>(texts: impl Iterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(texts))
}

/// Returns a column of texts that may be null.
pub(super) fn optional_texts<'a>(texts: impl Iterator<Item = Option<&'a str>>) -> ArrayRef {
    Arc::new(StringArray::from_iter(texts))
}

/// Returns a column of times.
pub(super) fn times(times_ns: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampNanosecondArray::from_iter_values(times_ns).with_timezone("UTC"))
}

/// Where the lists of a column end, one list a row.
#[derive(Debug)]
pub(super) struct Ends(Vec<i32>);

impl Ends {
    pub(super) fn new() -> Self {
        Self(vec![0])
    }

    /// Ends the list of a row where `n_items` of all rows stand.
    pub(super) fn push(&mut self, n_items: usize) {
        self.0.push(n_items as i32);
    }

    pub(super) fn offsets(self) -> OffsetBuffer<i32> {
        OffsetBuffer::new(ScalarBuffer::from(self.0))
    }

    /// Returns a column of lists of structs.
    pub(super) fn structs(
        self,
        fields: Fields,
        columns: Vec<ArrayRef>,
        nulls: Option<NullBuffer>,
    ) -> ArrowResult<ArrayRef> {
        let element = schema::element(DataType::Struct(fields.clone()));
        let items = StructArray::try_new(fields, columns, None)?;
        Ok(Arc::new(ListArray::try_new(element, self.offsets(), Arc::new(items), nulls)?))
    }
}

/// A column of maps in the making.
#[derive(Debug)]
pub(super) struct Maps<V> {
    ends: Ends,
    keys: StringBuilder,
    pub(super) values: V,
    value_type: DataType,
}

impl<V: ArrayBuilder> Maps<V> {
    pub(super) fn new(values: V, value_type: DataType) -> Self {
        Self { ends: Ends::new(), keys: StringBuilder::new(), values, value_type }
    }

    /// Adds a key, whose value the caller adds to `values`.
    pub(super) fn key(&mut self, key: &str) {
        self.keys.append_value(key);
    }

    /// Ends the map of a row.
    pub(super) fn end_row(&mut self) {
        self.ends.push(self.keys.len());
    }

    /// Returns the column.
    pub(super) fn finish(mut self) -> ArrowResult<ArrayRef> {
        let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), self.values.finish()];
        let entries = StructArray::try_new(schema::map_fields(self.value_type.clone()), columns, None)?;
        let maps = MapArray::try_new(schema::map_entries(self.value_type), self.ends.offsets(), entries, None, false)?;
        Ok(Arc::new(maps))
    }
}

/// Returns a column of structs that may be null, and only nulls where `is_there` is false throughout.
pub(super) fn optional_structs(
    fields: Fields,
    is_there: Vec<bool>,
    columns: impl FnOnce() -> ArrowResult<Vec<ArrayRef>>,
) -> ArrowResult<ArrayRef> {
    if !is_there.contains(&true) {
        return Ok(new_null_array(&DataType::Struct(fields), is_there.len()));
    }
    let structs = StructArray::try_new(fields, columns()?, Some(NullBuffer::from(is_there)))?;
    Ok(Arc::new(structs))
}
