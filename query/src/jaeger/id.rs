//! Ids of traces as Jaeger reads and writes them.
//!
//! Called for paths, parameters and answers of both generations.

use super::BadRequest;
use super::go::quoted;
use backsight_core::ids::TraceId;
use backsight_proto::base64;
use std::fmt;

/// The longest base64 of 16 bytes.
const BASE64_MAX_BYTES: usize = 24;

/// Returns the id that `text` is: 1 to 32 hex digits, or the base64 of at most 16 bytes in either alphabet. It may be 0, which no trace has.
///
/// # Errors
/// Any other text.
pub fn parse_trace_id(text: &str) -> Result<TraceId, BadRequest> {
    if text.len() > 32 {
        let shown: String = text.chars().take(256).collect();
        return Err(BadRequest(format!("TraceID cannot be longer than 32 hex characters: {shown}")));
    }
    let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Ok(id) = u128::from_str_radix(text, 16)
        && is_hex
    {
        return Ok(of_number(id));
    }
    let bytes = if text.len() <= BASE64_MAX_BYTES { base64::decode(text) } else { None };
    match bytes {
        Some(bytes) if !bytes.is_empty() && bytes.len() <= 16 => {
            Ok(of_number(bytes.iter().fold(0, |id, byte| id << 8 | u128::from(*byte))))
        }
        _ => Err(BadRequest(format!("strconv.ParseUint: parsing {}: invalid syntax", quoted(text)))),
    }
}

const fn of_number(id: u128) -> TraceId {
    TraceId::new((id >> 64) as u64, id as u64)
}

/// An id as the classic API writes it: 16 digits where the high half is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShortTraceId(pub TraceId);

impl fmt::Display for ShortTraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.hi == 0 { write!(f, "{:016x}", self.0.lo) } else { self.0.fmt(f) }
    }
}

impl serde::Serialize for ShortTraceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
