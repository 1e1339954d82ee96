//! Values of attributes, borrowed from the request. Lists and maps stay encoded, and are read when somebody asks.
//!
//! Called by what reads spans, and by sinks. Whatever a sink sees was checked before, all the way down.

use super::fields::{Fields, Raw, unlike_schema};
use super::{Reason, Stop, write};
use prost::encoding;

/// A key and its value.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Attribute<'a> {
    /// The key; may be empty.
    pub key: &'a str,
    /// The value.
    pub value: Value<'a>,
}

/// What stands under a key, OTLP's `AnyValue`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub enum Value<'a> {
    /// No value, or one of a kind that is not for traces.
    #[default]
    Empty,
    /// A text.
    Text(&'a str),
    /// Yes or no.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number, which may be infinite or none.
    Double(f64),
    /// A list of values, which may differ in kind.
    List(List<'a>),
    /// Keys and values.
    Map(Map<'a>),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// A list of values, still encoded.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct List<'a> {
    encoded: &'a [u8],
}

/// Keys and values, still encoded.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Map<'a> {
    encoded: &'a [u8],
}

impl<'a> List<'a> {
    /// Returns the values in their order.
    ///
    /// # Cost
    /// Reads each value again when it is asked for; nothing is allocated.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        elements(self.encoded).map(|element| Value::read(element).unwrap_or_default())
    }
}

impl<'a> Map<'a> {
    /// Returns keys and values in their order, a key that stands twice twice: the last one counts.
    ///
    /// # Cost
    /// Reads each pair again when it is asked for; nothing is allocated.
    pub fn iter(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        elements(self.encoded).filter_map(|element| Attribute::read(element).ok())
    }
}

/// Returns what stands in field 1 of a list or map, as far as it is well-formed.
fn elements<'a>(encoded: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let mut fields = Fields::of(encoded);
    std::iter::from_fn(move || {
        while let Ok(Some((field, raw))) = fields.next() {
            if let (1, Raw::Bytes(element)) = (field, raw) {
                return Some(element);
            }
        }
        None
    })
}

impl<'a> Attribute<'a> {
    /// Reads a pair; what stands inside of a list or map is not looked at.
    #[inline]
    pub(in crate::wire) fn read(pair: &'a [u8]) -> Result<Self, Stop> {
        let mut fields = Fields::of(pair);
        let (mut key, mut value) = (&[][..], None);
        while let Some((field, raw)) = fields.next()? {
            match (field, raw) {
                (1, Raw::Bytes(bytes)) => key = bytes,
                (2, Raw::Bytes(bytes)) if value.is_none() => value = Some(bytes),
                (2, Raw::Bytes(_)) => return Err(Stop::InPieces),
                (1 | 2, _) => return Err(unlike_schema("KeyValue", field).into()),
                _ => {}
            }
        }
        let value = Value::read(value.unwrap_or_default())?;
        Ok(Self { key: text(key)?, value })
    }
}

impl<'a> Value<'a> {
    /// Reads a value; what stands inside of a list or map is not looked at. Of several the last counts.
    #[inline]
    pub(super) fn read(any_value: &'a [u8]) -> Result<Self, Stop> {
        let mut fields = Fields::of(any_value);
        let mut value = Self::Empty;
        while let Some((field, raw)) = fields.next()? {
            value = match (field, raw, value) {
                (1, Raw::Bytes(bytes), _) => Self::Text(text(bytes)?),
                (2, Raw::Varint(number), _) => Self::Bool(number != 0),
                (3, Raw::Varint(number), _) => Self::Int(number as i64),
                (4, Raw::Fixed64(bits), _) => Self::Double(f64::from_bits(bits)),
                (5, Raw::Bytes(_), Self::List(_)) | (6, Raw::Bytes(_), Self::Map(_)) => return Err(Stop::InPieces),
                (5, Raw::Bytes(encoded), _) => Self::List(List { encoded }),
                (6, Raw::Bytes(encoded), _) => Self::Map(Map { encoded }),
                (7, Raw::Bytes(bytes), _) => Self::Bytes(bytes),
                (8, Raw::Varint(_), _) => Self::Empty, // a place in a table that only profiles have
                (1..=8, ..) => return Err(unlike_schema("AnyValue", field).into()),
                (_, _, value) => value,
            };
        }
        Ok(value)
    }

    /// Checks what stands inside, down to `levels` values below each other with this one, and returns whether no more do.
    ///
    /// What lies below them is not looked at.
    #[inline]
    pub(super) fn check(&self, levels: usize) -> Result<bool, Stop> {
        match self {
            Self::List(List { encoded }) | Self::Map(Map { encoded }) => self.check_inside(encoded, levels),
            _ => Ok(true),
        }
    }

    fn check_inside(&self, encoded: &'a [u8], levels: usize) -> Result<bool, Stop> {
        let mut fields = Fields::of(encoded);
        while let Some((field, raw)) = fields.next()? {
            let within = match (field, raw, self) {
                (1, Raw::Bytes(_), _) if levels <= 1 => false,
                (1, Raw::Bytes(element), Self::List(_)) => Self::read(element)?.check(levels - 1)?,
                (1, Raw::Bytes(element), _) => Attribute::read(element)?.value.check(levels - 1)?,
                (1, ..) => return Err(unlike_schema("ArrayValue or KeyValueList", field).into()),
                _ => true,
            };
            if !within {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns the bytes that a text, list, map or bytes take in the request.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::List(List { encoded }) | Self::Map(Map { encoded }) | Self::Bytes(encoded) => encoded.len(),
            Self::Empty | Self::Bool(_) | Self::Int(_) | Self::Double(_) => 0,
        }
    }

    /// Appends the value to `out` as OTLP's `AnyValue`, lists and maps as they came.
    ///
    /// # Cost
    /// One copy.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Empty => {}
            Self::Text(text) => write::bytes(1, text.as_bytes(), out),
            Self::Bool(value) => encoding::bool::encode(2, value, out),
            Self::Int(value) => encoding::int64::encode(3, value, out),
            Self::Double(value) => encoding::double::encode(4, value, out),
            Self::List(list) => write::bytes(5, list.encoded, out),
            Self::Map(map) => write::bytes(6, map.encoded, out),
            Self::Bytes(bytes) => write::bytes(7, bytes, out),
        }
    }
}

/// Returns bytes as the text that they have to be.
#[inline]
pub(super) fn text(bytes: &[u8]) -> Result<&str, Stop> {
    std::str::from_utf8(bytes).map_err(|_| Stop::Span(Reason::InvalidUtf8))
}
