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
        let version = hex(&fixed[..2])?;
        let goes_on = header.get(TRACEPARENT_BYTES);
        let ends_well = match version {
            0 => goes_on.is_none(),
            0xff => false,
            _ => goes_on.is_none_or(|byte| *byte == b'-'),
        };
        if !ends_well || fixed[2] != b'-' || fixed[35] != b'-' || fixed[52] != b'-' {
            return None;
        }
        let trace = TraceId::new(hex(&fixed[3..19])?, hex(&fixed[19..35])?);
        let span = SpanId(hex(&fixed[36..52])?);
        let flags = hex(&fixed[53..55])? as u8;
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

/// Returns the value of at most 16 lowercase hex digits.
fn hex(digits: &[u8]) -> Option<u64> {
    // Branch-free over the digits: the header is nearly always good.
    let (mut value, mut bad) = (0, 0);
    for digit in digits {
        let decoded = HEX_VALUES[usize::from(*digit)];
        bad |= decoded;
        value = value << 4 | u64::from(decoded & 0x0f);
    }
    (bad & 0x80 == 0).then_some(value)
}

/// The value of each byte as a lowercase hex digit, 0x80 for those that are none.
static HEX_VALUES: [u8; 256] = {
    let mut values = [0x80; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit as usize] as usize] = digit;
        digit += 1;
    }
    values
};

fn put_hex(out: &mut [u8], value: u64) {
    let n_digits = out.len();
    for (i, digit) in out.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(value >> (4 * (n_digits - 1 - i))) as usize & 15];
    }
}
