//! Attributes by key in the columns of a part: a column of its own where the key is promoted, and maps by type.
//!
//! Called by `terms`. A row has a key in at most one place, and no value of a promoted key's type stands in a map.

use super::skeleton::column;
use crate::language::{Operand, Test, Value};
use crate::rows::stored::value_any;
use arrow_array::types::Int32Type;
use arrow_array::{
    Array, BinaryArray, BooleanArray, DictionaryArray, Float64Array, Int64Array, MapArray, RecordBatch, StringArray,
};
use backsight_core::expr::Equality;
use backsight_store::part::PartError;
use backsight_store::part::read::{Limits, Spans};
use backsight_store::rows as stored;
use backsight_store::schema::PROMOTED_PREFIX;
use std::borrow::Cow;

type Ask<'a> = &'a mut dyn FnMut(Operand<'_>) -> bool;

const STRINGS: &str = "attrs_str";
const OTHERS: &str = "attrs_other";
const MAPS: [&str; 5] = [STRINGS, "attrs_int", "attrs_dbl", "attrs_bool", OTHERS];

/// Returns the columns of row group `group` in which `key` may stand.
///
/// # Errors
/// The file is damaged.
pub(super) fn places(key: &str, spans: &Spans, group: usize) -> Result<Vec<String>, PartError> {
    let file = spans.file();
    let mut places = Vec::new();
    let promoted = format!("{PROMOTED_PREFIX}{key}");
    let is_there = file.metadata().schema().field_with_name(&promoted).is_ok();
    if is_there && file.limits(group, &[&promoted]) != Some(Limits::Nothing) {
        places.push(promoted);
    }
    for map in MAPS {
        if file.may_have_key(group, map, key)? {
            places.push(map.to_owned());
        }
    }
    Ok(places)
}

/// Returns the columns of row group `group` that say whether `test` holds for `key`; none where it holds on no row.
///
/// # Errors
/// The file is damaged.
pub(super) fn places_for(key: &str, test: &Test, spans: &Spans, group: usize) -> Result<Vec<String>, PartError> {
    let mut kept = Vec::new();
    for place in places(key, spans, group)? {
        let may_hold = match test {
            Test::Equal(Equality::Is, value) => may_be(&place, value, spans, group)?,
            Test::In(values) => {
                let mut may_hold = false;
                for value in values {
                    may_hold = may_hold || may_be(&place, value, spans, group)?;
                }
                may_hold
            }
            _ => true,
        };
        if may_hold {
            kept.push(place);
        }
    }
    Ok(kept)
}

/// Returns whether a value in the column `place` may be `value`.
fn may_be(place: &str, value: &Value, spans: &Spans, group: usize) -> Result<bool, PartError> {
    let file = spans.file();
    let is_promoted = place.starts_with(PROMOTED_PREFIX);
    Ok(match value {
        Value::Text(text) if is_promoted => match file.limits(group, &[place]) {
            Some(Limits::Int(..) | Limits::Dbl(..)) => false,
            Some(Limits::Str(min, max)) => is_between(text, &min, &max) && file.may_hold(group, &[place], text)?,
            _ => file.may_hold(group, &[place], text)?,
        },
        Value::Text(text) if place == STRINGS => file.may_hold(group, &[place, "key_value", "value"], text)?,
        Value::Text(_) => place == OTHERS, // in an array
        Value::Integer(number) if is_promoted => match file.limits(group, &[place]) {
            Some(Limits::Int(min, max)) => (min..=max).contains(number),
            _ => true,
        },
        _ => true,
    })
}

/// Returns whether `text` lies within limits, which are in the order of bytes.
pub(super) fn is_between(text: &str, min: &str, max: &str) -> bool {
    (min.as_bytes()..=max.as_bytes()).contains(&text.as_bytes())
}

/// The values of one key, by row.
pub(super) struct Keyed<'a> {
    promoted: Option<Values<'a>>,
    maps: Vec<Map<'a>>,
}

/// A column of maps.
struct Map<'a> {
    offsets: &'a [i32],
    keys: &'a DictionaryArray<Int32Type>,
    /// By code whether it is of the key.
    is_key: Vec<bool>,
    values: Values<'a>,
}

impl<'a> Map<'a> {
    fn new(map: &'a MapArray, key: &str) -> Option<Self> {
        let keys: &DictionaryArray<Int32Type> = map.keys().as_any().downcast_ref()?;
        let texts: &StringArray = keys.values().as_any().downcast_ref()?;
        let is_key = texts.iter().map(|text| text == Some(key)).collect();
        Some(Self { offsets: map.value_offsets(), keys, is_key, values: Values::of(map.values())? })
    }

    fn any(&self, row: usize, is_it: Ask<'_>) -> bool {
        let entries = self.offsets[row] as usize..self.offsets[row + 1] as usize;
        let is_key = |idx: usize| self.keys.key(idx).and_then(|code| self.is_key.get(code)) == Some(&true);
        entries.into_iter().any(|idx| is_key(idx) && self.values.any(idx, is_it))
    }
}

enum Values<'a> {
    Coded(&'a DictionaryArray<Int32Type>, &'a StringArray),
    Int(&'a Int64Array),
    Dbl(&'a Float64Array),
    Bool(&'a BooleanArray),
    Other(&'a BinaryArray),
}

impl<'a> Values<'a> {
    fn of(array: &'a dyn Array) -> Option<Self> {
        let any = array.as_any();
        if let Some(coded) = any.downcast_ref::<DictionaryArray<Int32Type>>() {
            return Some(Self::Coded(coded, coded.values().as_any().downcast_ref()?));
        }
        None.or_else(|| any.downcast_ref().map(Self::Int))
            .or_else(|| any.downcast_ref().map(Self::Dbl))
            .or_else(|| any.downcast_ref().map(Self::Bool))
            .or_else(|| any.downcast_ref().map(Self::Other))
    }

    fn any(&self, idx: usize, is_it: Ask<'_>) -> bool {
        match self {
            Self::Coded(coded, texts) => {
                let code = coded.key(idx).filter(|code| *code < texts.len());
                code.is_some_and(|code| is_it(Operand::Text(texts.value(code))))
            }
            Self::Int(values) => values.is_valid(idx) && is_it(Operand::Integer(values.value(idx).into())),
            Self::Dbl(values) => values.is_valid(idx) && is_it(Operand::Real(values.value(idx))),
            Self::Bool(values) => values.is_valid(idx) && is_it(Operand::Flag(values.value(idx))),
            Self::Other(values) => {
                values.is_valid(idx) && value_any(&stored::Value::Other(Cow::Borrowed(values.value(idx))), is_it)
            }
        }
    }
}

impl<'a> Keyed<'a> {
    /// Returns the values of `key` in what was read.
    ///
    /// # Errors
    /// Columns have types that they should not have.
    pub(super) fn new(batch: &'a RecordBatch, key: &str) -> Result<Self, String> {
        let promoted = batch.column_by_name(&format!("{PROMOTED_PREFIX}{key}"));
        let promoted = promoted.map(|array| Values::of(array).ok_or("a promoted key has a type that no attribute has"));
        let mut maps = Vec::new();
        for name in MAPS {
            let Some(map) = column::<MapArray>(batch, name) else { continue };
            maps.push(Map::new(map, key).ok_or("a map has other types than it should have")?);
        }
        Ok(Self { promoted: promoted.transpose()?, maps })
    }

    /// Returns the texts of the promoted key, where nothing else can have the key.
    pub(super) fn only_coded(&self) -> Option<&'a DictionaryArray<Int32Type>> {
        match &self.promoted {
            Some(Values::Coded(coded, _)) if self.maps.is_empty() => Some(coded),
            _ => None,
        }
    }

    /// Calls `is_it` for each value of the key in a row.
    pub(super) fn any(&self, row: usize, is_it: Ask<'_>) -> bool {
        if self.promoted.as_ref().is_some_and(|values| values.any(row, is_it)) {
            return true;
        }
        self.maps.iter().any(|map| map.any(row, is_it))
    }
}
