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
        let (words, []) = trace.as_chunks::<8>() else { return None };
        let ([span_hi, span_lo], []) = span.as_chunks::<8>() else { return None };
        let [a, b, c, d, e, f] = [words[0], words[1], words[2], words[3], *span_hi, *span_lo].map(hex_word);
        let flags = hex_word([b'0', b'0', b'0', b'0', b'0', b'0', flags[0], flags[1]]);
        let wrong = a.wrong | b.wrong | c.wrong | d.wrong | e.wrong | f.wrong | flags.wrong;
        let trace = TraceId::new(a.value << 32 | b.value, c.value << 32 | d.value);
        let span = SpanId(e.value << 32 | f.value);
        let is_good = wrong == 0 && !trace.is_none() && !span.is_none();
        is_good.then_some(Self { trace, span, flags: flags.value as u8 })
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
    let version = hex_word([b'0', b'0', b'0', b'0', b'0', b'0', fixed[0], fixed[1]]);
    let is_later = version.wrong == 0 && version.value != 0 && version.value != 0xff;
    (is_later && next.is_none_or(|byte| *byte == b'-')).then_some(())
}

/// What 8 bytes are as hex digits.
#[derive(Clone, Copy)]
struct HexWord {
    value: u64,
    /// 0 where all are lowercase hex digits.
    wrong: u64,
}

/// Reads 8 lowercase hex digits, all at once: each byte of a word is a lane.
#[inline(always)]
fn hex_word(digits: [u8; 8]) -> HexWord {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_be_bytes(digits);
    let letters = (word >> 6) & ONES;
    let values = (word & (0x0f * ONES)) + 9 * letters;
    // Only digits come out again when the values are written as digits, and no value is above 15.
    let above_nine = ((values + 6 * ONES) >> 4) & ONES;
    let written = values + 0x30 * ONES + 0x27 * above_nine;
    let wrong = (written ^ word) | values & (0xf0 * ONES);
    let pairs = (values | (values >> 4)) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    HexWord { value: (quads | (quads >> 16)) & 0xffff_ffff, wrong }
}

/// Returns the lowercase digit of a value below 16.
#[inline(always)]
const fn hex_digit(value: u8) -> u8 {
    value + if value > 9 { b'a' - 10 } else { b'0' }
}
