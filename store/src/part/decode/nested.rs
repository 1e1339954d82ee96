//! Columns by name and type, and what stands in lists, maps and structures of them.
//!
//! Called by the decoders of all tables.

use crate::part::text;
use crate::rows::{Attribute, ENERGY_COMPONENTS, Energy, Joules};
use arrow_array::{
    Array, ArrayRef, BinaryArray, Float32Array, Int8Array, Int32Array, Int64Array, ListArray, MapArray, RecordBatch,
    StringArray, StructArray,
};
use std::borrow::Cow;
use std::ops::Range;

/// Columns by name: of a batch, or of a structure in one.
pub(super) trait Columns {
    /// Returns a column.
    fn column(&self, name: &str) -> Option<&ArrayRef>;

    /// Returns a column of a type.
    ///
    /// # Errors
    /// There is none.
    fn required<A: Array + 'static>(&self, name: &str) -> Result<&A, String> {
        let column = self.column(name).ok_or_else(|| format!("column {name} is missing"))?;
        let typed = column.as_any().downcast_ref();
        typed.ok_or_else(|| format!("column {name} has type {}", column.data_type()))
    }
}

impl Columns for RecordBatch {
    fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.column_by_name(name)
    }
}

impl Columns for StructArray {
    fn column(&self, name: &str) -> Option<&ArrayRef> {
        self.column_by_name(name)
    }
}

pub(super) fn cow(texts: &StringArray, row: usize) -> Cow<'static, str> {
    Cow::Owned(texts.value(row).to_owned())
}

pub(super) fn optional_text(texts: &StringArray, row: usize) -> Option<Cow<'static, str>> {
    texts.is_valid(row).then(|| cow(texts, row))
}

/// Returns where the items of a row's list or map stand.
pub(super) fn items(offsets: &[i32], row: usize) -> Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

/// Returns the structures that stand in lists.
pub(super) fn structs(lists: &ListArray) -> Result<&StructArray, String> {
    lists.values().as_any().downcast_ref().ok_or_else(|| "a list holds no structures".to_owned())
}

/// Returns the list of each row, each item made by `item`.
pub(super) fn lists<T>(lists: &ListArray, item: impl Fn(usize) -> Result<T, String>) -> Result<Vec<Vec<T>>, String> {
    let list = |row: usize| items(lists.value_offsets(), row).map(&item).collect();
    (0..lists.len()).map(list).collect()
}

/// Returns the attributes of one event or link, whose values stand as texts.
pub(super) fn text_attributes(structs: &StructArray, idx: usize) -> Result<Vec<Attribute<'static>>, String> {
    let maps: &MapArray = structs.required("attrs")?;
    let types: &BinaryArray = structs.required("types")?;
    let (keys, values) = text_entries(maps)?;
    let codes = if types.is_valid(idx) { types.value(idx) } else { &[] };
    let attribute = |(place, at): (usize, usize)| {
        let code = codes.get(place).copied().unwrap_or(text::code::STR);
        let value = text::value_of(code, values.value(at));
        let value = value.ok_or_else(|| format!("no value of type {code} is written `{}`", values.value(at)))?;
        Ok(Attribute { key: cow(keys, at), value })
    };
    items(maps.value_offsets(), idx).enumerate().map(attribute).collect()
}

/// Returns keys and values of maps of texts.
pub(super) fn text_entries(maps: &MapArray) -> Result<(&StringArray, &StringArray), String> {
    let keys = maps.keys().as_any().downcast_ref().ok_or("a map's keys are no texts")?;
    let values = maps.values().as_any().downcast_ref().ok_or("a map's values are no texts")?;
    Ok((keys, values))
}

/// Returns the energy of each row.
pub(super) fn energies(structs: &StructArray) -> Result<Vec<Option<Energy<'static>>>, String> {
    let mut components = Vec::with_capacity(ENERGY_COMPONENTS.len());
    for name in ENERGY_COMPONENTS {
        let amounts: &StructArray = structs.required(name)?;
        let nj: &Int64Array = amounts.required("nj")?;
        let low: &Int64Array = amounts.required("low")?;
        let high: &Int64Array = amounts.required("high")?;
        components.push((nj, low, high));
    }
    let kind: &Int8Array = structs.required("kind")?;
    let model: &Int32Array = structs.required("model")?;
    let hardware: &StringArray = structs.required("hardware")?;
    let covered: &Float32Array = structs.required("covered_share")?;
    let energy = |row: usize| {
        structs.is_valid(row).then(|| {
            let mut energy = Energy {
                components: Default::default(),
                kind: kind.value(row),
                model: model.value(row),
                hardware: cow(hardware, row),
                covered_share: covered.value(row),
            };
            for (joules, (nj, low, high)) in energy.components.iter_mut().zip(&components) {
                *joules = Joules { nj: nj.value(row), low: low.value(row), high: high.value(row) };
            }
            energy
        })
    };
    Ok((0..structs.len()).map(energy).collect())
}
