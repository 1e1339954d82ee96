//! Puts together values that come in pieces: protobuf lets a message stand several times in a field, and means all of them as one.
//!
//! Called by the walk for the rare message that has such a value, which no encoder writes but one that appends. Lists, events and links are
//! many messages, not pieces, and stay.

use super::fields::{Fields, Raw};
use super::{DEPTH_MAX, Limits, OtlpError, write};
use prost::encoding;
use std::borrow::Cow;

/// The messages around attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::wire) enum Message {
    Resource,
    Scope,
    Span,
    Event,
    Link,
    KeyValue,
    AnyValue,
    List,
    Map,
}

/// How messages in a field of another are meant.
enum Within {
    /// Each for itself.
    Many(Message),
    /// All as one.
    One(Message),
}

impl Message {
    /// Returns what stands in `field`, where that is a message with attributes or values in it.
    fn within(self, field: u32) -> Option<Within> {
        Some(match (self, field) {
            (Self::Resource, 1) | (Self::Scope | Self::Event, 3) | (Self::Link, 4) | (Self::Span, 9) => {
                Within::Many(Self::KeyValue)
            }
            (Self::Span, 11) => Within::Many(Self::Event),
            (Self::Span, 13) => Within::Many(Self::Link),
            (Self::Map, 1) => Within::Many(Self::KeyValue),
            (Self::List, 1) => Within::Many(Self::AnyValue),
            (Self::KeyValue, 2) => Within::One(Self::AnyValue),
            (Self::AnyValue, 5) => Within::One(Self::List),
            (Self::AnyValue, 6) => Within::One(Self::Map),
            _ => return None,
        })
    }
}

/// Returns `bytes`, a `message`, with every value in one piece.
///
/// # Cost
/// Time linear in `bytes` and in how deep values stand below each other. Memory for `bytes` a few times, and for each such level as much as
/// a list or map may have: what is too large or too deep to be taken stays as it is.
pub(in crate::wire) fn joined(message: Message, bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, OtlpError> {
    let mut out = Vec::with_capacity(bytes.len());
    join(message, bytes, limits, LEVELS_MAX, &mut out)?;
    Ok(out)
}

/// A value in a map is three messages below that of the map; the outermost is as far below its span, in an event.
const LEVELS_MAX: usize = 3 * DEPTH_MAX + 3;

/// Appends `message` to `out`, with every value down to `levels` messages below it in one piece.
fn join(message: Message, bytes: &[u8], limits: &Limits, levels: usize, out: &mut Vec<u8>) -> Result<(), OtlpError> {
    let is_too_large = matches!(message, Message::List | Message::Map) && bytes.len() > limits.attr_value_max;
    if levels == 0 || is_too_large {
        out.extend_from_slice(bytes);
        return Ok(());
    }
    let begin = out.len();
    let mut whole = Whole::default();
    let mut fields = Fields::of(bytes);
    while let Some((field, raw)) = fields.next()? {
        match (message.within(field), raw, message) {
            (Some(Within::One(inner)), Raw::Bytes(piece), _) => whole.add(field, inner, piece),
            (Some(Within::Many(inner)), Raw::Bytes(one), _) => {
                write::message(field, out, |out| join(inner, one, limits, levels - 1, out))?;
            }
            // Of the kinds of a value the last counts: what was there of another is forgotten.
            (_, raw, Message::AnyValue) if field <= 8 => {
                whole = Whole::default();
                out.truncate(begin);
                copy(field, raw, out);
            }
            (_, raw, _) => copy(field, raw, out),
        }
    }
    if let Some((field, inner)) = whole.of {
        write::message(field, out, |out| join(inner, &whole.pieces, limits, levels - 1, out))?;
    }
    Ok(())
}

/// The pieces of one message, and where it stands.
#[derive(Default)]
struct Whole<'a> {
    of: Option<(u32, Message)>,
    pieces: Cow<'a, [u8]>,
}

impl<'a> Whole<'a> {
    /// Adds a piece; one for another field takes the place of those before.
    fn add(&mut self, field: u32, message: Message, piece: &'a [u8]) {
        if self.of == Some((field, message)) {
            self.pieces.to_mut().extend_from_slice(piece);
        } else {
            *self = Self { of: Some((field, message)), pieces: Cow::Borrowed(piece) };
        }
    }
}

/// Appends a field as it came.
pub(in crate::wire) fn copy(field: u32, raw: Raw<'_>, out: &mut Vec<u8>) {
    match raw {
        Raw::Varint(number) => encoding::uint64::encode(field, &number, out),
        Raw::Fixed64(bits) => encoding::fixed64::encode(field, &bits, out),
        Raw::Bytes(bytes) => write::bytes(field, bytes, out),
        Raw::Fixed32(bits) => encoding::fixed32::encode(field, &bits, out),
    }
}
