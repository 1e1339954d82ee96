//! Decoding records from bytes that nobody vouches for: the agent's copies, files, the wire.
//!
//! Called by the agent's index and walk, by assembly and by the readers of stored traces.

use super::{CrumbDirection, Header, Kind, SpanKind, StatusCode, ValueType, align8, flags};
use crate::ids::{AgentId, SpanId, StringId, TraceId, TriggerId};

/// Bytes that are not a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// A record shorter than its header, or longer than what is there.
    #[error("record of {len} B at offset {offset} does not fit the {room} B that follow")]
    Length {
        /// Where the record stands.
        offset: usize,
        /// Its stated length.
        len: u16,
        /// Bytes from there to the end.
        room: usize,
    },
    /// A body shorter than its kind demands.
    #[error("body of {len} B is too short for a record of kind {kind:#04x}")]
    Body {
        /// The record's kind.
        kind: u8,
        /// Bytes of its body.
        len: usize,
    },
    /// A value type that no version wrote.
    #[error("value type {code} is unknown")]
    ValueType {
        /// The type's number.
        code: u8,
    },
}

/// One record as it stands, before its body is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawRecord<'a> {
    /// Where it starts in the bytes given to [`Records::new`].
    pub offset: usize,
    /// Its first word.
    pub header: Header,
    /// Its body, exact.
    pub body: &'a [u8],
}

/// Walks records back to back, without those that say nothing ([`Kind::Pad`]). Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Records<'a> {
    /// Returns an iterator over the records of `bytes`, which start at its first byte.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<RawRecord<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let offset = self.offset;
            let rest = self.bytes.get(offset..).filter(|rest| !rest.is_empty())?;
            let header = rest.first_chunk().map(|word| Header::unpack(u64::from_le_bytes(*word)));
            let record = header.and_then(|header| Some((header, rest.get(8..usize::from(header.len))?)));
            let Some((header, body)) = record else {
                self.offset = self.bytes.len();
                let len = header.map_or(0, |header| header.len);
                return Some(Err(DecodeError::Length { offset, len, room: rest.len() }));
            };
            self.offset = offset + align8(u64::from(header.len)) as usize;
            if header.kind != Kind::Pad as u8 {
                return Some(Ok(RawRecord { offset, header, body }));
            }
        }
    }
}

/// A string of a record: interned, or given in place because the table was full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Name<'a> {
    /// The id of an interned string of the record's region.
    Interned(StringId),
    /// The text itself; bytes that are not UTF-8 are shown lossily by whoever prints it.
    Inline(&'a [u8]),
}

/// The value of an attribute.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// A floating-point number.
    F64(f64),
    /// An interned string.
    Interned(StringId),
    /// A string in place.
    String(&'a [u8]),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Elements, still encoded.
    Array(&'a [u8]),
}

/// What a record says. `span: None` means that the id was elided: it is that of the record before.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Record<'a> {
    /// See [`Kind::Seg`].
    Seg {
        /// The trace that the segment belongs to.
        trace: TraceId,
        /// The clock at its start.
        base_tsc: u64,
        /// The span that caused it, 0 for none.
        parent_span: SpanId,
        /// The agent that it came from, 0 for this one or unknown.
        from_agent: AgentId,
        /// See [`super::seg_flags`].
        seg_flags: u32,
    },
    /// See [`Kind::SegEnd`].
    SegEnd,
    /// See [`Kind::Time`].
    Time {
        /// The new time base.
        tsc: u64,
    },
    /// See [`Kind::Lost`].
    Lost {
        /// A code of [`crate::telemetry::DropReason`].
        reason: u16,
        /// Records lost.
        n: u32,
        /// Their bytes.
        bytes: u64,
        /// The clock at the first.
        first_tsc: u64,
        /// The clock at the last.
        last_tsc: u64,
    },
    /// See [`Kind::Pad`].
    Pad,
    /// See [`Kind::SpanStart`].
    SpanStart {
        /// The span.
        span: SpanId,
        /// Its parent, 0 for none.
        parent: SpanId,
        /// Its name.
        name: Name<'a>,
        /// Its kind.
        kind: SpanKind,
    },
    /// See [`Kind::SpanEnd`].
    SpanEnd {
        /// The span.
        span: Option<SpanId>,
    },
    /// See [`Kind::Attr`].
    Attr {
        /// The span.
        span: Option<SpanId>,
        /// Whether it belongs to the event before it.
        of_event: bool,
        /// The attribute's name.
        key: Name<'a>,
        /// Its value.
        value: Value<'a>,
    },
    /// See [`Kind::Event`].
    Event {
        /// The span.
        span: Option<SpanId>,
        /// The event's name.
        name: Name<'a>,
        /// A message, often empty.
        message: &'a [u8],
    },
    /// See [`Kind::Link`].
    Link {
        /// The span that the link belongs to.
        span: Option<SpanId>,
        /// The other trace.
        trace: TraceId,
        /// The span there.
        to: SpanId,
    },
    /// See [`Kind::Status`].
    Status {
        /// The span.
        span: Option<SpanId>,
        /// How it ended.
        code: StatusCode,
        /// Why, often empty.
        text: &'a [u8],
    },
    /// See [`Kind::Rename`].
    Rename {
        /// The span.
        span: Option<SpanId>,
        /// Its new name.
        name: Name<'a>,
    },
    /// See [`Kind::Crumb`].
    Crumb {
        /// The agent, 0 for unknown.
        agent: AgentId,
        /// Which way.
        direction: CrumbDirection,
        /// The span that made the call, 0 for none.
        span: SpanId,
    },
    /// See [`Kind::Fired`].
    Fired {
        /// The trigger.
        trigger: TriggerId,
        /// Laterals that it named.
        n_laterals: u32,
    },
    /// See [`Kind::Raw`].
    Raw {
        /// The payload.
        bytes: &'a [u8],
    },
    /// See [`Kind::Named`].
    Named {
        /// The payload's name.
        name: Name<'a>,
        /// The payload.
        bytes: &'a [u8],
    },
    /// See [`Kind::Exception`].
    Exception {
        /// The span.
        span: Option<SpanId>,
        /// The exception's type.
        kind: Name<'a>,
        /// Its text.
        text: &'a [u8],
    },
    /// A record of a later version.
    Unknown,
}

impl<'a> Record<'a> {
    /// Reads a record whose body is whole: not one of several fragments.
    ///
    /// # Errors
    /// A body that its kind cannot have.
    pub fn decode(header: Header, body: &'a [u8]) -> Result<Self, DecodeError> {
        let mut body = Body { kind: header.kind, rest: body, len: body.len() };
        let Some(kind) = Kind::from_code(header.kind) else { return Ok(Self::Unknown) };
        Ok(match kind {
            Kind::Seg => Self::Seg {
                trace: TraceId::new(body.word()?, body.word()?),
                base_tsc: body.word()?,
                parent_span: SpanId(body.word()?),
                from_agent: AgentId(body.half()?),
                seg_flags: body.half()?,
            },
            Kind::SegEnd => Self::SegEnd,
            Kind::Time => Self::Time { tsc: body.word()? },
            Kind::Lost => Self::decode_lost(&mut body)?,
            Kind::Pad => Self::Pad,
            Kind::SpanStart => Self::decode_span_start(&mut body)?,
            Kind::Crumb => Self::decode_crumb(&mut body)?,
            Kind::Fired => Self::Fired { trigger: TriggerId(body.half()?), n_laterals: body.half()? },
            Kind::Raw => Self::Raw { bytes: body.rest },
            Kind::Named => {
                let (name, _) = body.name()?;
                Self::Named { name, bytes: body.rest }
            }
            _ => Self::decode_of_span(kind, header.flags, &mut body)?,
        })
    }

    fn decode_lost(body: &mut Body<'a>) -> Result<Self, DecodeError> {
        let reason = body.half()? as u16;
        Ok(Self::Lost { reason, n: body.half()?, bytes: body.word()?, first_tsc: body.word()?, last_tsc: body.word()? })
    }

    fn decode_span_start(body: &mut Body<'a>) -> Result<Self, DecodeError> {
        let (span, parent) = (SpanId(body.word()?), SpanId(body.word()?));
        let (name, kind) = body.name()?;
        Ok(Self::SpanStart { span, parent, name, kind: SpanKind::from_code(kind) })
    }

    fn decode_crumb(body: &mut Body<'a>) -> Result<Self, DecodeError> {
        let agent = AgentId(body.half()?);
        let direction = CrumbDirection::from_code(body.half()? as u8);
        let span = SpanId(body.word()?);
        // A direction of a later version is none of the others: taken for an answer it would hide a missing callee.
        Ok(direction.map_or(Self::Unknown, |direction| Self::Crumb { agent, direction, span }))
    }

    /// Reads the kinds whose body begins with a span id that may be elided.
    fn decode_of_span(kind: Kind, record_flags: u8, body: &mut Body<'a>) -> Result<Self, DecodeError> {
        let span = if record_flags & flags::ELIDED == 0 { Some(SpanId(body.word()?)) } else { None };
        Ok(match kind {
            Kind::SpanEnd => Self::SpanEnd { span },
            Kind::Attr => {
                let (key, value_type) = body.name()?;
                let of_event = record_flags & flags::OF_EVENT != 0;
                Self::Attr { span, of_event, key, value: body.value(value_type)? }
            }
            Kind::Event => {
                let (name, _) = body.name()?;
                Self::Event { span, name, message: body.rest }
            }
            Kind::Link => {
                Self::Link { span, trace: TraceId::new(body.word()?, body.word()?), to: SpanId(body.word()?) }
            }
            Kind::Status => {
                let code = StatusCode::from_code(body.word()? as u32);
                Self::Status { span, code, text: body.rest }
            }
            Kind::Rename => Self::Rename { span, name: body.name()?.0 },
            Kind::Exception => {
                let (kind, _) = body.name()?;
                Self::Exception { span, kind, text: body.rest }
            }
            _ => Self::Unknown,
        })
    }
}

/// What is left of a record's body.
struct Body<'a> {
    kind: u8,
    rest: &'a [u8],
    len: usize,
}

impl<'a> Body<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(DecodeError::Body { kind: self.kind, len: self.len });
        };
        self.rest = rest;
        Ok(taken)
    }

    fn word(&mut self) -> Result<u64, DecodeError> {
        let bytes = self.take(8)?;
        Ok(bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word)))
    }

    fn half(&mut self) -> Result<u32, DecodeError> {
        let bytes = self.take(4)?;
        Ok(bytes.first_chunk().map_or(0, |half| u32::from_le_bytes(*half)))
    }

    /// Reads a name word and what belongs to it; returns the name and the word's free byte.
    fn name(&mut self) -> Result<(Name<'a>, u8), DecodeError> {
        let word = self.word()?;
        let (id, inline_len, aux) = (word as u32, usize::from((word >> 32) as u16), (word >> 48) as u8);
        if id != 0 || inline_len == 0 {
            return Ok((Name::Interned(StringId(id)), aux));
        }
        let text = self.take(inline_len)?;
        let padding = (inline_len.next_multiple_of(8) - inline_len).min(self.rest.len());
        self.take(padding)?;
        Ok((Name::Inline(text), aux))
    }

    fn value(&mut self, code: u8) -> Result<Value<'a>, DecodeError> {
        let value_type = ValueType::from_code(code).ok_or(DecodeError::ValueType { code })?;
        Ok(match value_type {
            ValueType::Bool => Value::Bool(self.word()? != 0),
            ValueType::I64 => Value::I64(self.word()?.cast_signed()),
            ValueType::F64 => Value::F64(f64::from_bits(self.word()?)),
            ValueType::Interned => Value::Interned(StringId(self.word()? as u32)),
            ValueType::String => Value::String(self.rest),
            ValueType::Bytes => Value::Bytes(self.rest),
            ValueType::Array => Value::Array(self.rest),
        })
    }
}
