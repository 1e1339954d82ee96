//! Jaeger's query API in both its generations: what requests say, and the forms of the answers.
//!
//! Called by the endpoints that other programs know: Jaeger's page, Grafana's data source, scripts. Field names, defaults and texts of
//! errors are Jaeger's, and must never be ours; where Jaeger's own texts depend on its libraries, as for JSON, only the beginning is the same.
//!
//! # Source
//! Jaeger 2.x at commit 8498073f (`cmd/jaeger/internal/extension/jaegerquery`), and for the endpoints that it removed in August 2026 the
//! commit before 639eefe0; OpenTelemetry's `pkg/translator/jaeger` for the order of tags.

pub mod go;
mod id;
pub mod metrics;
pub mod params;
mod translate;
pub mod v1;
pub mod v3;

pub use id::{ShortTraceId, parse_trace_id};
pub use translate::{Wanted, search_of};

use serde::Serialize;

/// A request that cannot be read: status 400, with this text.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadRequest(pub String);

/// What is said of a trace that is not there, with status 404.
pub const TRACE_NOT_FOUND: &str = "trace not found";

/// How an answer is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Layout {
    /// In one line.
    #[default]
    Compact,
    /// For people: indented by four blanks.
    Pretty,
}

/// Returns `answer` as JSON.
pub fn json(answer: &(impl Serialize + ?Sized), layout: Layout) -> String {
    let mut bytes = Vec::new();
    let written = match layout {
        Layout::Compact => serde_json::to_writer(&mut bytes, answer),
        Layout::Pretty => {
            let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
            answer.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        }
    };
    debug_assert!(written.is_ok(), "answers have text for keys, and go to memory");
    String::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests;
