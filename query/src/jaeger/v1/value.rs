//! The value of a tag: a type, and a form of JSON that JavaScript reads without loss.
//!
//! Called by serde, from [`super::Tag`], and by the conversion.

use backsight_core::trace::AttributeValue;
use backsight_proto::base64;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::sync::Arc;

/// A value.
///
/// # Shape
/// `type` and `value`: `string`, `bool`, `int64` (as text where a double cannot hold it), `float64`, and `binary`, as base64.
#[derive(Clone, PartialEq, Debug)]
pub enum TagValue {
    /// Text; also what stands for arrays, as JSON.
    String(Arc<str>),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int64(i64),
    /// Any other number; JSON has none that is not finite, so that those are text.
    Float64(f64),
    /// Bytes.
    Binary(Vec<u8>),
}

/// The largest number up to which a double holds every whole one.
const SAFE_MAX: i64 = (1 << 53) - 1;

impl From<&AttributeValue> for TagValue {
    fn from(value: &AttributeValue) -> Self {
        match value {
            AttributeValue::Bool(flag) => Self::Bool(*flag),
            AttributeValue::I64(number) => Self::Int64(*number),
            AttributeValue::F64(number) if !number.is_finite() => Self::String(not_finite(*number).into()),
            AttributeValue::F64(number) => Self::Float64(*number),
            AttributeValue::Str(text) => Self::String(text.clone()),
            AttributeValue::Bytes(bytes) => Self::Binary(bytes.clone()),
            AttributeValue::Array(_) => Self::String(plain(value).to_string().into()),
        }
    }
}

/// Returns the text that stands for a number which JSON does not have.
pub(crate) fn not_finite(number: f64) -> &'static str {
    match number {
        f64::INFINITY => "Infinity",
        f64::NEG_INFINITY => "-Infinity",
        _ => "NaN",
    }
}

/// Returns a value as plain JSON, as it stands in the text of an array.
pub(crate) fn plain(value: &AttributeValue) -> serde_json::Value {
    match value {
        AttributeValue::Bool(flag) => (*flag).into(),
        AttributeValue::I64(number) => (*number).into(),
        AttributeValue::F64(number) if !number.is_finite() => not_finite(*number).into(),
        AttributeValue::F64(number) => whole(*number).map_or_else(|| (*number).into(), Into::into),
        AttributeValue::Str(text) => (**text).into(),
        AttributeValue::Bytes(bytes) => base64::encode(bytes).into(),
        AttributeValue::Array(values) => values.iter().map(plain).collect(),
    }
}

/// Returns a number without a part as a whole one: Go writes `1`, where others write `1.0`.
fn whole(number: f64) -> Option<i64> {
    let is_whole =
        number.trunc() == number && number.abs() <= SAFE_MAX as f64 && !(number == 0.0 && number.is_sign_negative());
    is_whole.then_some(number as i64)
}

impl Serialize for TagValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("TagValue", 2)?;
        let name = match self {
            Self::String(_) => "string",
            Self::Bool(_) => "bool",
            Self::Int64(_) => "int64",
            Self::Float64(_) => "float64",
            Self::Binary(_) => "binary",
        };
        fields.serialize_field("type", name)?;
        match self {
            Self::String(text) => fields.serialize_field("value", &**text)?,
            Self::Bool(flag) => fields.serialize_field("value", flag)?,
            Self::Int64(number) if (-SAFE_MAX..=SAFE_MAX).contains(number) => {
                fields.serialize_field("value", number)?
            }
            Self::Int64(number) => fields.serialize_field("value", &number.to_string())?,
            Self::Float64(number) => match whole(*number) {
                Some(whole) => fields.serialize_field("value", &whole)?,
                None => fields.serialize_field("value", number)?,
            },
            Self::Binary(bytes) => fields.serialize_field("value", &base64::encode(bytes))?,
        }
        fields.end()
    }
}
