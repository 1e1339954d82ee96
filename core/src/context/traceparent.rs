//! The `traceparent` header: which trace, and which span caused the request.
//!
//! Source: W3C Trace Context level 2, section 3.2.

use crate::ids::{SpanId, TraceId};

/// Bytes of the header in version 00.
pub const TRACEPARENT_BYTES: usize = 55;

/// A parsed header.
///
/// # Shape
/// `00-<trace, 32 hex digits>-<span, 16 hex digits>-<flags, 2 hex digits>`, lowercase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TraceParent {
    /// The trace, never none in a parsed header.
    pub trace: TraceId,
    /// The span that caused the request, never none in a parsed header.
    pub span: SpanId,
    /// Bit 0: the caller recorded; bit 1: the id's right-most 56 bits are random. Others are kept as they came.
    pub flags: u8,
}

impl TraceParent {
    /// The flag of a caller that recorded the trace.
    pub const SAMPLED: u8 = 1;
    /// The flag of an id whose right-most 56 bits are random.
    pub const RANDOM: u8 = 2;

    /// Reads the header; `None` where it is malformed, which starts a new trace.
    ///
    /// A later version than 00 is read as far as 00 goes; version `ff` is malformed.
    ///
    /// # Cost
    /// At most 55 bytes are read, whatever the header's length.
    #[inline]
    pub fn parse(header: &[u8]) -> Option<Self> {
        let fixed: &[u8; TRACEPARENT_BYTES] = header.first_chunk()?;
        if header.len() != TRACEPARENT_BYTES || !fixed.starts_with(b"00") {
            later_version(fixed, header.get(TRACEPARENT_BYTES))?;
        }
        let [_, _, b'-', ids @ ..] = fixed else { return None };
        let (trace, [b'-', span @ ..]) = ids.split_first_chunk::<32>()? else { return None };
        let (span, [b'-', flags @ ..]) = span.split_first_chunk::<16>()? else { return None };
        let mut digits = [0; 48];
        digits[..32].copy_from_slice(trace);
        digits[32..].copy_from_slice(span);
        let (values, are_hex) = hex_values(&digits);
        let word = |idx: usize| values.as_chunks::<8>().0.get(idx).map_or(0, |values| packed(*values));
        let trace = TraceId::new(word(0) << 32 | word(1), word(2) << 32 | word(3));
        let span = SpanId(word(4) << 32 | word(5));
        let flags = hex_byte(*flags.first_chunk()?)?;
        (are_hex && !trace.is_none() && !span.is_none()).then_some(Self { trace, span, flags })
    }

    /// Returns the header in version 00.
    #[inline]
    pub fn format(&self) -> [u8; TRACEPARENT_BYTES] {
        let mut bytes = [0; 25];
        bytes[..8].copy_from_slice(&self.trace.hi.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.trace.lo.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.span.0.to_be_bytes());
        bytes[24] = self.flags;
        let mut digits = [[0; 2]; 25];
        for (pair, byte) in digits.iter_mut().zip(bytes) {
            *pair = [hex_digit(byte >> 4), hex_digit(byte & 15)];
        }
        let digits = digits.as_flattened();
        let mut header = *b"00-00000000000000000000000000000000-0000000000000000-00";
        header[3..35].copy_from_slice(&digits[..32]);
        header[36..52].copy_from_slice(&digits[32..48]);
        header[53..55].copy_from_slice(&digits[48..]);
        header
    }
}

/// Judges a header that is not of version 00 and its length: `None` where it is malformed.
#[cold]
fn later_version(fixed: &[u8; TRACEPARENT_BYTES], next: Option<&u8>) -> Option<()> {
    let version = hex_byte([fixed[0], fixed[1]])?;
    let is_later = version != 0 && version != 0xff;
    (is_later && next.is_none_or(|byte| *byte == b'-')).then_some(())
}

/// Returns the values of lowercase hex digits, and whether all are digits. No branches: the compiler makes vectors of it.
#[inline(always)]
fn hex_values(digits: &[u8; 48]) -> ([u8; 48], bool) {
    let (mut values, mut wrong) = ([0; 48], [0; 48]);
    for (i, digit) in digits.iter().enumerate() {
        let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
        values[i] = if number <= 9 { number } else { letter.wrapping_add(10) };
        wrong[i] = u8::from(number > 9) & u8::from(letter > 5);
    }
    (values, wrong.iter().fold(0, |any, wrong| any | wrong) == 0)
}

/// Returns the number whose 8 hex digits have these values, all at once: each byte of a word is a lane.
#[inline(always)]
const fn packed(values: [u8; 8]) -> u64 {
    let values = u64::from_be_bytes(values);
    let pairs = (values | (values >> 4)) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    (quads | (quads >> 16)) & 0xffff_ffff
}

/// Returns what two lowercase hex digits say.
#[inline(always)]
fn hex_byte(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    });
    Some(high? << 4 | low?)
}

/// Returns the lowercase digit of a value below 16.
#[inline(always)]
const fn hex_digit(value: u8) -> u8 {
    value + if value > 9 { b'a' - 10 } else { b'0' }
}
