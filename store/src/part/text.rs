//! Values of attributes as text, where a column holds texts only: attributes of events and links, and resources.
//!
//! Called by whoever writes or reads such a column. Each value comes back as it was, bit by bit, from its text and the code of its type.

use crate::rows::Value;
use std::borrow::Cow;
use std::fmt::Write;

/// Codes of types: one byte for each attribute in the column `types`, which is null where all are strings.
pub(super) mod code {
    pub(in crate::part) const STR: u8 = 0;
    pub(in crate::part) const INT: u8 = 1;
    pub(in crate::part) const DBL: u8 = 2;
    pub(in crate::part) const BOOL: u8 = 3;
    pub(in crate::part) const OTHER: u8 = 4;
}

/// Returns the text of a double: decimal, and where that would lose bits (of a NaN), `0x` and all 16 hex digits.
pub(super) fn of_double(value: f64) -> String {
    let text = format!("{value:?}");
    let is_exact = text.parse::<f64>().is_ok_and(|read| read.to_bits() == value.to_bits());
    if is_exact { text } else { format!("0x{:016x}", value.to_bits()) }
}

/// Returns bytes as lowercase hex.
pub(super) fn of_bytes(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // a string takes all
        text
    })
}

/// Returns code and text of a value.
pub(super) fn of_value<'a>(value: &'a Value<'_>) -> (u8, Cow<'a, str>) {
    match value {
        Value::Str(text) => (code::STR, Cow::Borrowed(text)),
        Value::Int(value) => (code::INT, Cow::Owned(value.to_string())),
        Value::Dbl(value) => (code::DBL, Cow::Owned(of_double(*value))),
        Value::Bool(value) => (code::BOOL, Cow::Owned(value.to_string())),
        Value::Other(bytes) => (code::OTHER, Cow::Owned(of_bytes(bytes))),
    }
}

/// Returns the value with this code and text, `None` where there is none.
pub(super) fn value_of(code: u8, text: &str) -> Option<Value<'static>> {
    Some(match code {
        code::STR => Value::Str(Cow::Owned(text.to_owned())),
        code::INT => Value::Int(text.parse().ok()?),
        code::DBL => Value::Dbl(double_of(text)?),
        code::BOOL => Value::Bool(text.parse().ok()?),
        code::OTHER => Value::Other(Cow::Owned(bytes_of(text)?)),
        _ => return None,
    })
}

fn double_of(text: &str) -> Option<f64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(f64::from_bits),
        None => text.parse().ok(),
    }
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    text.as_bytes().chunks_exact(2).map(pair).collect()
}
