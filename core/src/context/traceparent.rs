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
    pub fn parse(header: &[u8]) -> Option<Self> {
        let fixed: &[u8; TRACEPARENT_BYTES] = header.first_chunk()?;
        let version = hex_2(fixed[0], fixed[1])?;
        let goes_on = header.get(TRACEPARENT_BYTES);
        let ends_well = match version {
            0 => goes_on.is_none(),
            0xff => false,
            _ => goes_on.is_none_or(|byte| *byte == b'-'),
        };
        if !ends_well || fixed[2] != b'-' || fixed[35] != b'-' || fixed[52] != b'-' {
            return None;
        }
        let trace = TraceId::new(hex_16(fixed, 3)?, hex_16(fixed, 19)?);
        let span = SpanId(hex_16(fixed, 36)?);
        let flags = hex_2(fixed[53], fixed[54])?;
        (!trace.is_none() && !span.is_none()).then_some(Self { trace, span, flags })
    }

    /// Returns the header in version 00.
    pub fn format(&self) -> [u8; TRACEPARENT_BYTES] {
        let mut header = *b"00-00000000000000000000000000000000-0000000000000000-00";
        put_hex(&mut header[3..19], self.trace.hi);
        put_hex(&mut header[19..35], self.trace.lo);
        put_hex(&mut header[36..52], self.span.0);
        put_hex(&mut header[53..55], u64::from(self.flags));
        header
    }
}

/// Returns the value of the 16 lowercase hex digits at `at`.
#[inline]
fn hex_16(header: &[u8; TRACEPARENT_BYTES], at: usize) -> Option<u64> {
    let word = |at: usize| header.get(at..)?.first_chunk().and_then(|digits| hex_word(*digits));
    Some((word(at)? << 32) | word(at + 8)?)
}

/// Returns the value of two lowercase hex digits.
fn hex_2(high: u8, low: u8) -> Option<u8> {
    hex_word([b'0', b'0', b'0', b'0', b'0', b'0', high, low]).map(|value| value as u8)
}

/// Returns the value of 8 lowercase hex digits, all at once: each byte of a word is a lane.
#[inline]
fn hex_word(digits: [u8; 8]) -> Option<u64> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_be_bytes(digits);
    let letters = (word >> 6) & ONES;
    let values = (word & (0x0f * ONES)) + 9 * letters;
    // Only digits come out again when the values are written as digits, and no value is above 15.
    let above_nine = ((values + 6 * ONES) >> 4) & ONES;
    let written = values + 0x30 * ONES + 0x27 * above_nine;
    if written != word || values & (0xf0 * ONES) != 0 {
        return None;
    }
    let pairs = (values | (values >> 4)) & 0x00ff_00ff_00ff_00ff;
    let quads = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    Some((quads | (quads >> 16)) & 0xffff_ffff)
}

/// Writes `value` as lowercase hex digits, as many as `out` has room for.
fn put_hex(out: &mut [u8], value: u64) {
    let bytes = value.to_be_bytes();
    for (pair, byte) in out.chunks_exact_mut(2).rev().zip(bytes.iter().rev()) {
        pair.copy_from_slice(&HEX_PAIRS[usize::from(*byte)]);
    }
}

/// The two digits of each byte.
static HEX_PAIRS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};
