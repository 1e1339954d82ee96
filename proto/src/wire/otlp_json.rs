//! OTLP trace requests that strangers send as JSON: rewritten as protobuf while they are read, and shown to a sink by [`super::otlp_visit`].
//!
//! Called by whoever takes OTLP in over HTTP, and importers. Only the form is read here, along the schema in `schema.rs`: what is rejected,
//! repaired or left out is decided where protobuf is read, so that both forms mean the same.

mod schema;
mod transcribe;

use super::otlp_visit::{self, Decoded, Limits, OtlpError, OtlpSink};

/// Shows `sink` what stands in `request`, an `ExportTraceServiceRequest` as JSON.
///
/// # Shape
/// Ids are hex in either case, bytes are base64, 64-bit integers text or numbers, enumerations numbers or names; field names in
/// lowerCamelCase or snake_case. Unknown fields are skipped, `null` is no value, and an id that is not hex has the wrong length. A text that
/// is not UTF-8, or has half a surrogate pair, is that of a span to reject.
/// # Errors
/// The request is no JSON, a field has a value of the wrong type, or the request is over [`Limits::request_max`].
/// # Cost
/// As [`otlp_visit::visit`], and before it time and memory linear in the request.
/// # Source
/// OTLP 1.x, "JSON Protobuf Encoding" (opentelemetry.io/docs/specs/otlp).
pub fn visit(request: &[u8], limits: &Limits, sink: &mut impl OtlpSink) -> Result<Decoded, JsonError> {
    let encoded = to_protobuf(request, limits)?;
    Ok(otlp_visit::visit(&encoded, limits, sink)?)
}

/// Returns the encoded `ExportTraceServiceRequest` that means the same as `request`, which is JSON.
///
/// # Errors
/// As [`visit`].
/// # Cost
/// Time linear in the request; memory for the result, which is no longer than the request.
pub fn to_protobuf(request: &[u8], limits: &Limits) -> Result<Vec<u8>, JsonError> {
    if request.len() > limits.request_max {
        return Err(OtlpError::TooLarge { len: request.len(), max: limits.request_max }.into());
    }
    let mut encoded = Vec::new();
    transcribe::request(request, limits, &mut encoded).map_err(JsonError::Json)?;
    Ok(encoded)
}

/// Why a request in JSON is refused as a whole.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is no JSON, or not that of OTLP.
    #[error("request is not OTLP/JSON")]
    Json(#[source] serde_json::Error),
    /// It is refused whatever its form.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
}

impl JsonError {
    /// Returns whether the request is too large, rather than malformed: status 413 rather than 400.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::Otlp(error) if error.is_too_large())
    }
}

#[cfg(test)]
mod tests;
