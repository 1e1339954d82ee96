//! What whoever sent an OTLP request is told, in the form in which it asked: how much was taken, or why nothing was.
//!
//! Called by whoever takes OTLP in; which HTTP or gRPC status goes with a reply is decided there. Texts are clipped: a sender's own words must not come
//! back at length.
//!
//! # Source
//! OTLP 1.x, "Full Success", "Partial Success", "Failures"; google/rpc/status.proto and error_details.proto.

use super::otlp_visit::{Rejected, write};
use prost::encoding;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::time::Duration;

/// Bytes of a text at most.
const TEXT_BYTES_MAX: usize = 1024;

/// What a request came to: an `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Response {
    /// Spans that were rejected.
    pub rejected_spans: u64,
    /// Why, or a warning where none was; empty where there is nothing to say.
    pub error_message: String,
}

/// Why a request was refused: a `google.rpc.Status`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// A code of gRPC, such as [`Status::INVALID_ARGUMENT`].
    pub code: i32,
    /// What was wrong, for people.
    pub message: String,
    /// When it may be tried again, where that helps.
    pub retry_after: Option<Duration>,
}

impl Response {
    /// Returns what is told of a request whose other spans were taken.
    pub fn of(rejected: &Rejected) -> Self {
        let rejected_spans = rejected.total();
        let error_message = if rejected_spans == 0 { String::new() } else { rejected.to_string() };
        Self { rejected_spans, error_message }
    }

    /// Returns whether everything was taken, and nothing is to be said.
    pub fn is_full_success(&self) -> bool {
        self.rejected_spans == 0 && self.error_message.is_empty()
    }

    /// Returns the encoded message: empty where everything was taken.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut partial = Vec::new();
        int64(1, i64::try_from(self.rejected_spans).unwrap_or(i64::MAX), &mut partial);
        text(2, &self.error_message, &mut partial);
        let mut out = Vec::new();
        if !self.is_full_success() {
            write::bytes(1, &partial, &mut out);
        }
        out
    }
}

impl Serialize for Response {
    /// Writes OTLP/JSON: `{}` where everything was taken.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Partial<'a> {
            #[serde(with = "crate::text")]
            rejected_spans: u64,
            #[serde(skip_serializing_if = "str::is_empty")]
            error_message: &'a str,
        }
        let mut object = serializer.serialize_map(None)?;
        if !self.is_full_success() {
            let partial = Partial { rejected_spans: self.rejected_spans, error_message: clipped(&self.error_message) };
            object.serialize_entry("partialSuccess", &partial)?;
        }
        object.end()
    }
}

impl Status {
    /// The request is malformed; with HTTP status 400 or 413.
    pub const INVALID_ARGUMENT: i32 = 3;
    /// There is no room for it now; with 429.
    pub const RESOURCE_EXHAUSTED: i32 = 8;
    /// The receiver is down; with 503.
    pub const UNAVAILABLE: i32 = 14;

    /// Returns that the request is refused for `error`, with what caused that, and is not to be sent again.
    pub fn invalid(error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self { code: Self::INVALID_ARGUMENT, message, retry_after: None }
    }

    /// Returns the encoded message.
    pub fn to_protobuf(&self) -> Vec<u8> {
        let mut out = Vec::new();
        int64(1, self.code.into(), &mut out);
        text(2, &self.message, &mut out);
        if let Some(after) = self.retry_after {
            let (mut delay, mut retry, mut any) = (Vec::new(), Vec::new(), Vec::new());
            int64(1, i64::try_from(after.as_secs()).unwrap_or(i64::MAX), &mut delay);
            int64(2, after.subsec_nanos().into(), &mut delay);
            write::bytes(1, &delay, &mut retry);
            text(1, RETRY_INFO, &mut any);
            write::bytes(2, &retry, &mut any);
            write::bytes(3, &any, &mut out);
        }
        out
    }
}

/// What a detail that tells when to try again is called.
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

impl Serialize for Status {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Retry {
            #[serde(rename = "@type")]
            name: &'static str,
            #[serde(rename = "retryDelay")]
            delay: String,
        }
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("code", &self.code)?;
        object.serialize_entry("message", clipped(&self.message))?;
        if let Some(after) = self.retry_after {
            let delay = format!("{}.{:09}s", after.as_secs(), after.subsec_nanos());
            object.serialize_entry("details", &[Retry { name: RETRY_INFO, delay }])?;
        }
        object.end()
    }
}

/// Returns the beginning of a text.
fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// Appends a text, where it is not empty.
fn text(field: u32, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        write::bytes(field, clipped(text).as_bytes(), out);
    }
}

/// Appends an integer, where it is not 0.
fn int64(field: u32, number: i64, out: &mut Vec<u8>) {
    if number != 0 {
        encoding::int64::encode(field, &number, out);
    }
}

#[cfg(test)]
mod tests;
