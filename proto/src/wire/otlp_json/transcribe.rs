//! Writes what stands in JSON as protobuf, field by field as it is read. Called by [`super::to_protobuf`].
//!
//! Takes stack only for messages that the schema knows, and of values below each other only for so many as may be: the rest is skipped, which
//! takes none, and leaves an empty value one level too deep for whoever reads the result.

use super::schema::{Field, Form, Message, REQUEST};
use crate::base64;
use crate::wire::otlp_visit::{Limits, write};
use prost::encoding;
use serde::Deserializer;
use serde::de::{Deserialize, DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor};
use std::fmt;

/// Appends `request` to `out` as protobuf.
pub(super) fn request(request: &[u8], limits: &Limits, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    let mut json = serde_json::Deserializer::from_slice(request);
    json.disable_recursion_limit(); // what follows has its own
    json.deserialize_map(Fields { message: &REQUEST, levels: limits.levels(), out })?;
    json.end()
}

/// The fields of a message are expected, in an object.
struct Fields<'o> {
    message: &'static Message,
    /// How many values may stand below each other from here on.
    levels: usize,
    out: &'o mut Vec<u8>,
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
        while let Some(field) = object.next_key_seed(Name(self.message))? {
            match field {
                Some(field) => object.next_value_seed(Content { field, levels: self.levels, out: &mut *self.out })?,
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

/// The name of a field of the message is expected.
struct Name(&'static Message);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<&'static Field>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<&'static Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Self::Value, E> {
        Ok(self.0.field(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        self.visit_bytes(name.as_bytes())
    }
}

/// What stands in a field is expected, or `null`.
struct Content<'o> {
    field: &'static Field,
    levels: usize,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Content<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Content<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.field.form {
            Form::Text => "a text",
            Form::Id => "hex digits",
            Form::Bytes => "base64",
            Form::Bool => "true or false",
            Form::Double => "a number",
            Form::Int64 | Form::Uint32 | Form::Fixed32 | Form::Fixed64 => "an integer in range",
            Form::Enumeration(_) => "a number or name of an enumeration",
            Form::One(_) => "an object",
            Form::Many(_) => "a list",
        })?;
        write!(f, " for {}", self.field.name)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match self.field.form {
            // As bytes, for what is no UTF-8 concerns one span, not the request.
            Form::Text | Form::Id | Form::Bytes => json.deserialize_bytes(self),
            Form::One(message) => {
                let Content { field, levels, out } = self;
                Inner { message, field, levels, out }.deserialize(json)
            }
            Form::Many(_) => json.deserialize_seq(self),
            _ => json.deserialize_any(self),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Form::Many(message) = self.field.form else {
            return Err(Error::invalid_type(Unexpected::Seq, &self));
        };
        let Content { field, levels, out } = self;
        while list.next_element_seed(Inner { message, field, levels, out: &mut *out })?.is_some() {}
        Ok(())
    }

    fn visit_bytes<E: Error>(self, text: &[u8]) -> Result<(), E> {
        let Content { field, out, .. } = self;
        let is_read = write::message(field.number, out, |out| match field.form {
            Form::Bytes => {
                let bytes = std::str::from_utf8(text).ok().and_then(base64::decode);
                out.extend(bytes.iter().flatten());
                bytes.is_some()
            }
            Form::Id => {
                hex(text, out);
                true
            }
            _ => {
                out.extend_from_slice(text);
                true
            }
        });
        if is_read { Ok(()) } else { Err(E::custom(format_args!("{} is not base64", field.name))) }
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        if !matches!(self.field.form, Form::Bool) {
            return Err(E::invalid_type(Unexpected::Bool(value), &self));
        }
        encoding::bool::encode(self.field.number, &value, self.out);
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        match self.field.form {
            Form::Double => self.visit_f64(number as f64),
            _ => self.integer(number.into()),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        match self.field.form {
            Form::Double => self.visit_f64(number as f64),
            _ => self.integer(number.into()),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        if matches!(self.field.form, Form::Double) {
            encoding::double::encode(self.field.number, &number, self.out);
            return Ok(());
        }
        if number.fract() != 0.0 {
            return Err(E::invalid_value(Unexpected::Float(number), &self));
        }
        self.integer(number as i128) // what is beyond that type ends up at its end, out of range for every field
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.field.form {
            Form::Double => match text.parse() {
                Ok(number) => self.visit_f64(number),
                Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
            },
            Form::Enumeration(names) => match names.iter().position(|name| *name == text) {
                Some(place) => self.integer(place as i128),
                None => self.integer(text.parse().unwrap_or_default()),
            },
            _ => match text.parse() {
                Ok(number) => self.integer(number),
                Err(_) => Err(E::invalid_value(Unexpected::Str(text), &self)),
            },
        }
    }
}

impl<'o> Content<'o> {
    /// Writes an integer, where one of its size may stand.
    fn integer<E: Error>(self, number: i128) -> Result<(), E> {
        let Content { field, out, .. } = self;
        let written = match field.form {
            Form::Int64 => number.try_into().map(|number| encoding::int64::encode(field.number, &number, out)),
            Form::Uint32 => number.try_into().map(|number| encoding::uint32::encode(field.number, &number, out)),
            Form::Fixed32 => number.try_into().map(|number| encoding::fixed32::encode(field.number, &number, out)),
            Form::Fixed64 => number.try_into().map(|number| encoding::fixed64::encode(field.number, &number, out)),
            Form::Enumeration(names) => {
                // What nobody knows, by name or by number, is unspecified.
                let known = u32::try_from(number).ok().filter(|number| (*number as usize) < names.len());
                encoding::uint32::encode(field.number, &known.unwrap_or_default(), out);
                Ok(())
            }
            _ => return Err(E::custom(format_args!("{} is no number", field.name))),
        };
        written.map_err(|_| E::custom(format_args!("{number} is out of range for {}", field.name)))
    }
}

/// A message is expected in a field: as its only one, or as one of a list.
struct Inner<'o> {
    message: &'static Message,
    field: &'static Field,
    levels: usize,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Inner<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        let Inner { message, field, levels, out } = self;
        if message.is_value && levels == 0 {
            IgnoredAny::deserialize(json)?;
            write::bytes(field.number, &[], out);
            return Ok(());
        }
        let levels = levels - usize::from(message.is_value);
        write::message(field.number, out, |out| json.deserialize_map(Fields { message, levels, out }))
    }
}

/// Appends the bytes that hex digits stand for. What is not hex becomes an id of the wrong length, as which it is rejected.
fn hex(text: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    let digit = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    for pair in text.chunks(2) {
        match *pair {
            [high, low] if let (Some(high), Some(low)) = (digit(high), digit(low)) => out.push(high << 4 | low),
            _ => {
                out.truncate(begin);
                out.push(0);
                return;
            }
        }
    }
}
