//! OTLP's message `AnyValue`, in which arrays, lists of keys and values, and bytes are stored as they came.
//!
//! Called for attributes that are neither string, number nor flag. Any bytes give a value: those that are no such message are bytes.

use backsight_core::trace::AttributeValue;
use backsight_proto::base64;
use serde_json::{Map, Value};

/// Values in values, deeper than any that intake takes.
const DEPTH_MAX: usize = 40;

/// Returns the value that `message` says. A list of keys and values is its JSON, an empty value an empty array.
///
/// # Source
/// opentelemetry/proto/common/v1/common.proto
pub(super) fn decode(message: &[u8]) -> AttributeValue {
    value(message, DEPTH_MAX).unwrap_or_else(|| AttributeValue::Bytes(message.to_vec()))
}

/// A field of a message.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn value(message: &[u8], depth: usize) -> Option<AttributeValue> {
    let depth = depth.checked_sub(1)?;
    let mut last = AttributeValue::Array(Vec::new());
    let mut rest = message;
    while !rest.is_empty() {
        last = match next(&mut rest)? {
            (1, Field::Bytes(text)) => AttributeValue::Str(String::from_utf8_lossy(text).into()),
            (2, Field::Number(flag)) => AttributeValue::Bool(flag != 0),
            (3, Field::Number(number)) => AttributeValue::I64(number.cast_signed()),
            (4, Field::Number(bits)) => AttributeValue::F64(f64::from_bits(bits)),
            (5, Field::Bytes(array)) => AttributeValue::Array(elements(array, depth)?),
            (6, Field::Bytes(pairs)) => AttributeValue::Str(object(pairs, depth)?.to_string().into()),
            (7, Field::Bytes(bytes)) => AttributeValue::Bytes(bytes.to_vec()),
            _ => continue,
        };
    }
    Some(last)
}

fn elements(mut array: &[u8], depth: usize) -> Option<Vec<AttributeValue>> {
    let mut elements = Vec::new();
    while !array.is_empty() {
        if let (1, Field::Bytes(element)) = next(&mut array)? {
            elements.push(value(element, depth)?);
        }
    }
    Some(elements)
}

fn object(mut pairs: &[u8], depth: usize) -> Option<Value> {
    let mut object = Map::new();
    while !pairs.is_empty() {
        let (1, Field::Bytes(mut pair)) = next(&mut pairs)? else { continue };
        let (mut key, mut of_key) = (String::new(), Value::Null);
        while !pair.is_empty() {
            match next(&mut pair)? {
                (1, Field::Bytes(text)) => key = String::from_utf8_lossy(text).into_owned(),
                (2, Field::Bytes(message)) => of_key = json(message, depth)?,
                _ => {}
            }
        }
        object.insert(key, of_key);
    }
    Some(Value::Object(object))
}

/// Returns a value as JSON, objects within objects.
fn json(message: &[u8], depth: usize) -> Option<Value> {
    let depth = depth.checked_sub(1)?;
    let mut rest = message;
    let mut last = Value::Null;
    while !rest.is_empty() {
        if let (6, Field::Bytes(pairs)) = next(&mut rest)? {
            last = object(pairs, depth)?;
        }
    }
    Some(if last.is_null() { plain(value(message, depth)?) } else { last })
}

fn plain(value: AttributeValue) -> Value {
    match value {
        AttributeValue::Bool(flag) => flag.into(),
        AttributeValue::I64(number) => number.into(),
        AttributeValue::F64(number) => number.into(),
        AttributeValue::Str(text) => (*text).into(),
        AttributeValue::Bytes(bytes) => base64::encode(&bytes).into(),
        AttributeValue::Array(values) => values.into_iter().map(plain).collect(),
    }
}

/// Takes a field; `None` where the bytes are none.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let tag = varint(rest)?;
    let field = match tag & 7 {
        0 => Field::Number(varint(rest)?),
        1 => Field::Number(u64::from_le_bytes(*take(rest, 8)?.first_chunk()?)),
        2 => {
            let len = usize::try_from(varint(rest)?).ok()?;
            Field::Bytes(take(rest, len)?)
        }
        5 => Field::Number(u32::from_le_bytes(*take(rest, 4)?.first_chunk()?).into()),
        _ => return None,
    };
    Some((tag >> 3, field))
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(len)?;
    *rest = behind;
    Some(taken)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if *byte < 0x80 {
            return Some(number);
        }
    }
    None
}
