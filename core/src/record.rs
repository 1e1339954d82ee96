//! The record format of thread logs: how each entry of a segment is laid out in 8-byte words.
//!
//! The client writes these words, the agent and everyone behind it decode them ([`decode`]); the drawing is in `docs/spec/shm-abi.md`.
//! Decoding trusts nothing: any bytes give records or a [`DecodeError`], never a panic.

pub mod decode;

pub use decode::{DecodeError, RawRecord, Record, Records, Value};

/// Bytes of a record header; records start at multiples of it.
pub const RECORD_ALIGN: u64 = 8;
/// Bytes of a SEG record.
pub const SEG_BYTES: u64 = 48;
/// Bytes of a SEG_END record.
pub const SEG_END_BYTES: u64 = 8;
/// Bytes of a TIME record.
pub const TIME_BYTES: u64 = 16;
/// Bytes of a LOST record.
pub const LOST_BYTES: u64 = 40;
/// The most that one call records; longer payloads are cut and flagged [`flags::TRUNCATED`].
pub const PAYLOAD_MAX_BYTES: u64 = 1 << 20;

/// Declares the record kinds once: code, name.
macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $variant:ident = $code:literal;)*) => {
        /// What a record says. Readers skip by length the codes that they do not know.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[repr(u8)]
        pub enum Kind {
            $($(#[doc = $doc])* $variant = $code,)*
        }

        impl Kind {
            /// Every kind, in the order of the codes.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the kind with code `code`.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

kinds! {
    /// A segment begins: trace, time base, parent span, the agent it came from.
    Seg = 0x01;
    /// The segment ends.
    SegEnd = 0x02;
    /// A new time base within the segment.
    Time = 0x03;
    /// Records were lost here: reason, number, bytes, interval.
    Lost = 0x04;
    /// Nothing; fills room.
    Pad = 0x05;
    /// A span starts: id, parent, name, kind.
    SpanStart = 0x10;
    /// A span ends.
    SpanEnd = 0x11;
    /// An attribute of a span, or of the event before it.
    Attr = 0x12;
    /// An event of a span, with an optional message.
    Event = 0x13;
    /// A link from a span to a span of another trace.
    Link = 0x14;
    /// The status of a span: code and text.
    Status = 0x15;
    /// A new name for a span.
    Rename = 0x16;
    /// Where the request came from or went to.
    Crumb = 0x20;
    /// A trigger fired for this trace.
    Fired = 0x21;
    /// Bytes that only the application understands.
    Raw = 0x30;
    /// Bytes with an interned name.
    Named = 0x31;
    /// An exception was thrown or a panic began: type and text.
    Exception = 0x40;
}

/// Bits of a record's flags byte.
pub mod flags {
    /// The span id is left out: it is that of the record before.
    pub const ELIDED: u8 = 1 << 0;
    /// The body goes on in the next record of this thread's log.
    pub const MORE: u8 = 1 << 1;
    /// The body continues that of the record before.
    pub const CONTINUES: u8 = 1 << 2;
    /// The body was cut at [`super::PAYLOAD_MAX_BYTES`].
    pub const TRUNCATED: u8 = 1 << 3;
    /// Where the two bits of the detail level ([`super::Level`]) stand.
    pub const DETAIL_SHIFT: u32 = 4;
    /// The two bits of the detail level.
    pub const DETAIL_MASK: u8 = 3 << DETAIL_SHIFT;
    /// The attribute belongs to the event before it, not to the span itself.
    pub const OF_EVENT: u8 = 1 << 6;
}

/// Bits of a segment's flags word, which its writer may still change until the segment ends.
pub mod seg_flags {
    /// Attached from another thread or from an earlier poll: not the first segment of its visit.
    pub const RESUME: u32 = 1 << 0;
    /// Goes on from the chunk before, of the same thread.
    pub const CONTINUED: u32 = 1 << 1;
    /// A trigger has fired for the trace.
    pub const FIRED: u32 = 1 << 2;
    /// Kept from its first hop on.
    pub const HEAD_KEPT: u32 = 1 << 3;
    /// Ended because another trace began, not by its own end.
    pub const IMPLICIT_END: u32 = 1 << 4;
    /// Records were lost while it was active.
    pub const LOSS: u32 = 1 << 5;
    /// Holds at least one CRUMB record.
    pub const CRUMBS: u32 = 1 << 6;
    /// The request's `traceparent` said that its caller did not record; passed on as it came.
    pub const UNSAMPLED: u32 = 1 << 7;
    /// The request's `traceparent` said that the id's right-most 56 bits are random; passed on as it came.
    pub const RANDOM_ID: u32 = 1 << 8;
    /// An earlier hop recorded the trace.
    pub const RECORDED: u32 = 1 << 9;
    /// Where the bits of [`DETAIL`] stand.
    pub const DETAIL_SHIFT: u32 = 10;
    /// The lowest detail level ([`super::Level`]) of which records were left out of the visit up to the segment's end, 0 for none.
    pub const DETAIL: u32 = 3 << DETAIL_SHIFT;

    /// Returns `flags` and `more`: every bit of both, and of two levels in [`DETAIL`] the lower.
    pub const fn join(flags: u32, more: u32) -> u32 {
        let (of_flags, of_more) = (flags & DETAIL, more & DETAIL);
        let takes_more = of_flags == 0 || (of_more != 0 && of_more < of_flags);
        (flags | more) & !DETAIL | if takes_more { of_more } else { of_flags }
    }
}

/// How much of a detail a record is. Where a host looks back less far than it should, what is most of a detail is left out first.
///
/// # Shape
/// Two bits of a record's flags. Spans and what says how they ended, exceptions, links, crumbs and triggers are always [`Level::Always`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum Level {
    /// Recorded wherever its trace is.
    Always = 0,
    /// What events, attributes and payloads are that say nothing else.
    #[default]
    Normal = 1,
    /// Left out before what is normal.
    Debug = 2,
    /// Left out first.
    Verbose = 3,
}

impl Level {
    /// Every level, in the order of the codes.
    pub const ALL: [Self; 4] = [Self::Always, Self::Normal, Self::Debug, Self::Verbose];

    /// Returns the level with number `code`; unknown numbers are normal.
    #[inline(always)]
    pub const fn from_code(code: u8) -> Self {
        match code {
            0 => Self::Always,
            2 => Self::Debug,
            3 => Self::Verbose,
            _ => Self::Normal,
        }
    }

    /// Returns the level that a record's flags say.
    #[inline(always)]
    pub const fn of_flags(record_flags: u8) -> Self {
        Self::from_code((record_flags & flags::DETAIL_MASK) >> flags::DETAIL_SHIFT)
    }

    /// Returns the bits of a record's flags that say this level.
    #[inline(always)]
    pub const fn flags(self) -> u8 {
        (self as u8) << flags::DETAIL_SHIFT
    }

    /// Returns the lowest level of which a segment with flags `segment_flags` lacks records, `None` where it has all.
    pub const fn left_out(segment_flags: u32) -> Option<Self> {
        match (segment_flags & seg_flags::DETAIL) >> seg_flags::DETAIL_SHIFT {
            0 => None,
            code => Some(Self::from_code(code as u8)),
        }
    }
}

/// Kinds of a span, with OpenTelemetry's numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum SpanKind {
    /// Work inside one service.
    #[default]
    Internal = 1,
    /// Serves a request from elsewhere.
    Server = 2,
    /// Waits for another service.
    Client = 3,
    /// Hands a message to a queue.
    Producer = 4,
    /// Takes a message from a queue.
    Consumer = 5,
}

impl SpanKind {
    /// Returns the kind with number `code`; unknown numbers are internal spans.
    pub const fn from_code(code: u8) -> Self {
        match code {
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Internal,
        }
    }

    /// Returns the lowercase name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }
}

/// How a span ended, with OpenTelemetry's numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(u8)]
pub enum StatusCode {
    /// Nobody said.
    #[default]
    Unset = 0,
    /// As intended.
    Ok = 1,
    /// Not as intended.
    Error = 2,
}

impl StatusCode {
    /// Returns the status with number `code`; unknown numbers are unset.
    pub const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }

    /// Returns the lowercase name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// Types of an attribute's value, as they stand in the record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum ValueType {
    /// 8 bytes, 0 or 1.
    Bool = 1,
    /// 8 bytes, two's complement.
    I64 = 2,
    /// 8 bytes, IEEE 754.
    F64 = 3,
    /// 8 bytes, the id of an interned string.
    Interned = 4,
    /// UTF-8 to the end of the record.
    String = 5,
    /// Bytes to the end of the record.
    Bytes = 6,
    /// Elements back to back to the end of the record: `type u8, 3 bytes 0, len u32, bytes padded to 8`.
    Array = 7,
}

impl ValueType {
    /// Returns the type with number `code`.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Bool),
            2 => Some(Self::I64),
            3 => Some(Self::F64),
            4 => Some(Self::Interned),
            5 => Some(Self::String),
            6 => Some(Self::Bytes),
            7 => Some(Self::Array),
            _ => None,
        }
    }
}

/// Which way a breadcrumb points.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum CrumbDirection {
    /// The request came from that agent.
    From = 1,
    /// A call was answered from that agent's host, or by somebody without a recorder: agent 0. Closes the oldest open call of its span.
    To = 2,
    /// A call went out: an open out-edge until its answer comes. The agent is where the connection's last answer came from, 0 for unknown.
    Out = 3,
    /// The request came through that agent's host before it came to the one that [`CrumbDirection::From`] names: the way past that one, should
    /// its agent be dead. No end of a call.
    Before = 4,
    /// The request went on to that agent's host from one that a [`CrumbDirection::To`] names: the way past that one, likewise. No end of a call.
    After = 5,
}

impl CrumbDirection {
    /// Returns the direction with number `code`.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::From),
            2 => Some(Self::To),
            3 => Some(Self::Out),
            4 => Some(Self::Before),
            5 => Some(Self::After),
            _ => None,
        }
    }
}

/// The first word of every record.
///
/// # Shape
/// `len u16 | kind u8 | flags u8 | dt u32`, little-endian. `len` counts the header and the exact body; the next record starts at `len`
/// rounded up to 8. `dt` is the clock minus the segment's time base; in SEG it is the offset of the chunk's previous SEG, 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Bytes of the record with its header, without padding.
    pub len: u16,
    /// A [`Kind`], or a code of a later version.
    pub kind: u8,
    /// See [`flags`].
    pub flags: u8,
    /// Clock ticks since the time base.
    pub dt: u32,
}

impl Header {
    /// Returns the header as its word.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        self.len as u64 | (self.kind as u64) << 16 | (self.flags as u64) << 24 | (self.dt as u64) << 32
    }

    /// Returns the header that a word holds.
    #[inline(always)]
    pub const fn unpack(word: u64) -> Self {
        Self { len: word as u16, kind: (word >> 16) as u8, flags: (word >> 24) as u8, dt: (word >> 32) as u32 }
    }
}

/// Returns `len` rounded up to the next record boundary.
#[inline(always)]
pub const fn align8(len: u64) -> u64 {
    (len + 7) & !7
}

/// Returns the word that names something: `string id u32 | inline_len u16 | aux u8 | 0`.
///
/// Where the id is 0, `inline_len` bytes of UTF-8 follow the word, padded to 8.
#[inline(always)]
pub const fn name_word(id: u32, inline_len: u16, aux: u8) -> u64 {
    id as u64 | (inline_len as u64) << 32 | (aux as u64) << 48
}

#[cfg(test)]
mod tests;
