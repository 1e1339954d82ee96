//! Recording within the active segment: events, attributes, payloads, links, status.
//!
//! Everything belongs to the innermost open span of the calling thread. Outside a segment nothing is recorded, and that is counted. Events,
//! attributes and payloads have a detail level, [`Level::Normal`] unless their caller says another; the rest is always recorded.

use crate::block;
use crate::name::{Name, Resolved, StaticName};
use backsight_core::ids::SpanId;
use backsight_core::record::{Kind, Level, StatusCode, ValueType, align8, flags, name_word};
use backsight_ringbuf::shm::View;
use backsight_ringbuf::writer::Writer;

/// Room on the stack for a name in place and what follows it, which happens only when the string table is full.
const INLINE_BYTES: usize = 512;
/// The longest name in place before a text; longer ones are cut.
const INLINE_NAME_MAX: usize = 128;

/// The value of an attribute.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// True or false.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// A floating-point number.
    F64(f64),
    /// Text, copied into the log.
    Str(&'a str),
    /// Text that is interned where its name is.
    Name(Name<'a>),
    /// Bytes, copied into the log.
    Bytes(&'a [u8]),
}

macro_rules! value_from {
    ($($from:ty => $to:expr;)*) => {
        $(impl<'a> From<$from> for Value<'a> {
            #[inline(always)]
            fn from(value: $from) -> Self {
                ($to)(value)
            }
        })*
    };
}

value_from! {
    bool => Value::Bool;
    i64 => Value::I64;
    i32 => |value| Value::I64(i64::from(value));
    i16 => |value| Value::I64(i64::from(value));
    u32 => |value| Value::I64(i64::from(value));
    u16 => |value| Value::I64(i64::from(value));
    u8 => |value| Value::I64(i64::from(value));
    usize => |value| Value::from(value as u64);
    f64 => Value::F64;
    f32 => |value| Value::F64(f64::from(value));
    &'a str => Value::Str;
    &'a String => |value: &'a String| Value::Str(value);
    &'a [u8] => Value::Bytes;
    &'static StaticName => |name| Value::Name(Name::Static(name));
}

impl From<u64> for Value<'_> {
    /// Numbers beyond `i64::MAX` are recorded as that.
    #[inline(always)]
    fn from(value: u64) -> Self {
        Self::I64(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

/// Records bytes that only the application understands: the published system's tracepoint.
///
/// # Cost
/// 8 bytes and the payload; a clock read, a copy and one release store, about the time of the clock read alone for small payloads.
#[inline(always)]
pub fn raw(payload: &[u8]) {
    raw_at(Level::Normal, payload);
}

/// Does what [`raw`] does, at another level.
#[inline(always)]
pub fn raw_at(level: Level, payload: &[u8]) {
    block::with_writer(|writer, now| writer.record(now, Kind::Raw, level.flags(), [], payload));
}

/// What the C face calls when its inlined copy of [`raw_at`] does not write: the same, out of line.
#[cold]
pub fn raw_cold(level: Level, payload: &[u8]) {
    raw_at(level, payload);
}

/// Records bytes with a name.
#[inline(always)]
pub fn named<'a>(name: impl Into<Name<'a>>, payload: &[u8]) {
    named_at(Level::Normal, name, payload);
}

/// Does what [`named`] does, at another level.
#[inline(always)]
pub fn named_at<'a>(level: Level, name: impl Into<Name<'a>>, payload: &[u8]) {
    let name = name.into();
    with_epoch(|writer, now, epoch| {
        let name = name.resolve_interned(writer, epoch);
        if name.text.is_empty() {
            writer.record(now, Kind::Named, level.flags(), [name_word(name.id.0, 0, 0)], payload);
        } else {
            let put = |word, tail: &[u8], cut| writer.record(now, Kind::Named, level.flags() | cut, [word], tail);
            inline(name, 0, payload, put);
        }
    });
}

/// Records an event of the innermost open span, with a message that may be empty.
#[inline(always)]
pub fn event<'a>(name: impl Into<Name<'a>>, message: &str) {
    event_at(Level::Normal, name, message);
}

/// Does what [`event`] does, at another level.
#[inline(always)]
pub fn event_at<'a>(level: Level, name: impl Into<Name<'a>>, message: &str) {
    event_bytes(level, name.into(), message.as_bytes());
}

/// Records an event whose message need not be UTF-8: what the C face is given.
#[inline(always)]
pub fn event_bytes(level: Level, name: Name<'_>, message: &[u8]) {
    with_epoch(|writer, now, epoch| {
        let name = name.resolve_interned(writer, epoch);
        Noted { kind: Kind::Event, level, aux: 0 }.put(writer, now, name, message);
    });
}

/// What a record of the innermost open span is that is a name and bytes.
#[derive(Clone, Copy)]
struct Noted {
    kind: Kind,
    level: Level,
    /// The name word's free byte.
    aux: u8,
}

impl Noted {
    #[inline(always)]
    fn put(self, writer: &mut Writer<View>, now: u64, name: Resolved<'_>, bytes: &[u8]) {
        let Self { kind, level, aux } = self;
        let span = writer.span();
        if name.text.is_empty() {
            writer.record_of_span::<1, 2>(now, kind, level.flags(), span, [name_word(name.id.0, 0, aux)], bytes);
        } else {
            inline(name, aux, bytes, |word, tail, cut| {
                writer.record_of_span::<1, 2>(now, kind, level.flags() | cut, span, [word], tail)
            });
        }
    }
}

/// Records an attribute of the innermost open span.
///
/// # Cost
/// 24 bytes for a number under an interned key; text and bytes are copied.
#[inline(always)]
pub fn attr<'a, 'b>(key: impl Into<Name<'a>>, value: impl Into<Value<'b>>) {
    attr_at(Level::Normal, key, value);
}

/// Does what [`attr`] does, at another level.
#[inline(always)]
pub fn attr_at<'a, 'b>(level: Level, key: impl Into<Name<'a>>, value: impl Into<Value<'b>>) {
    let (key, value) = (key.into(), value.into());
    with_epoch(|writer, now, epoch| put_attr(writer, now, epoch, level, key, value));
}

/// Writes an ATTR record of the innermost open span.
#[inline(always)]
fn put_attr(writer: &mut Writer<View>, now: u64, epoch: u32, level: Level, key: Name<'_>, value: Value<'_>) {
    let (code, word, tail): (ValueType, u64, &[u8]) = match value {
        Value::Bool(value) => (ValueType::Bool, u64::from(value), &[]),
        Value::I64(value) => (ValueType::I64, value.cast_unsigned(), &[]),
        Value::F64(value) => (ValueType::F64, value.to_bits(), &[]),
        Value::Str(text) => (ValueType::String, 0, text.as_bytes()),
        Value::Bytes(bytes) => (ValueType::Bytes, 0, bytes),
        Value::Name(name) => interned(name.resolve(writer, epoch)),
    };
    let in_tail = matches!(code, ValueType::String | ValueType::Bytes);
    let key = key.resolve_interned(writer, epoch);
    if in_tail || !key.text.is_empty() {
        let number = word.to_le_bytes();
        let bytes: &[u8] = if in_tail { tail } else { &number };
        Noted { kind: Kind::Attr, level, aux: code as u8 }.put(writer, now, key, bytes);
    } else {
        let (span, key_word) = (writer.span(), name_word(key.id.0, 0, code as u8));
        writer.record_of_span::<2, 3>(now, Kind::Attr, level.flags(), span, [key_word, word], &[]);
    }
}

/// Returns how a value that is a name goes into an ATTR record.
#[inline(always)]
fn interned(name: Resolved<'_>) -> (ValueType, u64, &[u8]) {
    match name {
        Resolved { text: "", id } => (ValueType::Interned, u64::from(id.0), &[]),
        Resolved { text, .. } => (ValueType::String, 0, text.as_bytes()),
    }
}

/// Says how the innermost open span ended, and why.
#[inline(always)]
pub fn status(code: StatusCode, text: &str) {
    block::with_writer(|writer, now| {
        let span = writer.span();
        writer.record_of_span::<1, 2>(now, Kind::Status, 0, span, [code as u64], text.as_bytes())
    });
}

/// Gives the innermost open span another name.
#[inline(always)]
pub fn rename<'a>(name: impl Into<Name<'a>>) {
    let name = name.into();
    with_epoch(|writer, now, epoch| {
        let (span, (word, text)) = (writer.span(), name.resolve(writer, epoch).in_place(0));
        writer.record_of_span::<1, 2>(now, Kind::Rename, 0, span, [word], text)
    });
}

/// Links the innermost open span to span `to` of another trace.
#[inline(always)]
pub fn link(trace: backsight_core::ids::TraceId, to: SpanId) {
    block::with_writer(|writer, now| {
        let span = writer.span();
        writer.record_of_span::<3, 4>(now, Kind::Link, 0, span, [trace.hi, trace.lo, to.0], &[])
    });
}

/// Records that an exception was thrown or a panic began in the innermost open span.
#[cold]
pub fn exception<'a>(kind: impl Into<Name<'a>>, text: &str) {
    exception_bytes(kind.into(), text.as_bytes());
}

/// Records an exception whose text need not be UTF-8: what the C face is given.
#[cold]
pub fn exception_bytes(kind: Name<'_>, text: &[u8]) {
    with_epoch(|writer, now, epoch| {
        let kind = kind.resolve_interned(writer, epoch);
        Noted { kind: Kind::Exception, level: Level::Always, aux: 0 }.put(writer, now, kind, text);
    });
}

/// Runs `write` with the writer, the time and the session's epoch.
#[inline(always)]
pub(crate) fn with_epoch<R>(write: impl FnOnce(&mut Writer<View>, u64, u32) -> R) -> Option<R> {
    block::with_block(|block, writer, now| write(writer, now, block.epoch.get()))
}

/// Hands `put` a name word, and a tail of the name in place and `bytes`, with the flag for what had to be cut.
#[cold]
fn inline(name: Resolved<'_>, aux: u8, bytes: &[u8], put: impl FnOnce(u64, &[u8], u8) -> bool) -> bool {
    let mut tail = [0; INLINE_BYTES];
    let name_len = name.text.floor_char_boundary(INLINE_NAME_MAX);
    let start = align8(name_len as u64) as usize;
    let len = bytes.len().min(INLINE_BYTES - start);
    tail[..name_len].copy_from_slice(&name.text.as_bytes()[..name_len]);
    tail[start..start + len].copy_from_slice(&bytes[..len]);
    let cut = if len < bytes.len() || name_len < name.text.len() { flags::TRUNCATED } else { 0 };
    put(name_word(0, name_len as u16, aux), &tail[..start + len], cut)
}
