//! Names and values of records, with interned strings looked up.
//!
//! Called by assembly. A string is shared, not copied: a short record that names a long string stays short.

use super::AttributeValue;
use crate::ids::StringId;
use crate::record::decode::Name;
use crate::record::{Value, ValueType};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Arrays of arrays are read this deep; what lies deeper is left out.
const ARRAY_DEPTH_MAX: u32 = 4;

/// The interned strings of a process.
#[derive(Default)]
pub(super) struct Strings {
    by_id: BTreeMap<StringId, Arc<str>>,
    /// Names that were asked for and are not there.
    pub(super) n_unknown: u64,
}

impl Strings {
    /// Adds strings; an id that is there keeps its string.
    pub(super) fn extend(&mut self, strings: &[(StringId, String)]) {
        for (id, text) in strings {
            self.by_id.entry(*id).or_insert_with(|| text.as_str().into());
        }
    }

    /// Returns the text of a name; `#<id>` for a string that is not there.
    pub(super) fn name(&mut self, name: Name<'_>) -> Arc<str> {
        match name {
            Name::Inline(bytes) => text(bytes),
            Name::Interned(StringId::NONE) => Arc::default(),
            Name::Interned(id) => self.by_id.get(&id).cloned().unwrap_or_else(|| {
                self.n_unknown += 1;
                id.to_string().into()
            }),
        }
    }

    /// Returns a value on its own; elements of an array that cannot be read end it.
    pub(super) fn value(&mut self, value: Value<'_>) -> AttributeValue {
        self.value_at_depth(value, 0)
    }

    fn value_at_depth(&mut self, value: Value<'_>, depth: u32) -> AttributeValue {
        match value {
            Value::Bool(value) => AttributeValue::Bool(value),
            Value::I64(value) => AttributeValue::I64(value),
            Value::F64(value) => AttributeValue::F64(value),
            Value::Interned(id) => AttributeValue::Str(self.name(Name::Interned(id))),
            Value::String(bytes) => AttributeValue::Str(text(bytes)),
            Value::Bytes(bytes) => AttributeValue::Bytes(bytes.to_vec()),
            Value::Array(mut rest) => {
                let mut values = Vec::new();
                while depth < ARRAY_DEPTH_MAX
                    && let Some((element, after)) = element(rest)
                {
                    values.push(self.value_at_depth(element, depth + 1));
                    rest = after;
                }
                AttributeValue::Array(values)
            }
        }
    }
}

/// Returns the first element of an encoded array, and what follows it.
fn element(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<8>()?;
    let word = u64::from_le_bytes(*head);
    let len = (word >> 32) as usize;
    let body = rest.get(..len)?;
    let after = rest.get(len.next_multiple_of(8)..).unwrap_or_default();
    let number = || body.first_chunk().map(|word| u64::from_le_bytes(*word));
    let value = match ValueType::from_code(word as u8)? {
        ValueType::Bool => Value::Bool(number()? != 0),
        ValueType::I64 => Value::I64(number()?.cast_signed()),
        ValueType::F64 => Value::F64(f64::from_bits(number()?)),
        ValueType::Interned => Value::Interned(StringId(number()? as u32)),
        ValueType::String => Value::String(body),
        ValueType::Bytes => Value::Bytes(body),
        ValueType::Array => Value::Array(body),
    };
    Some((value, after))
}

/// Returns bytes as text; what is not UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}
