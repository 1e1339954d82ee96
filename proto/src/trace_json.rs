//! A trace as JSON: what `GET /v1/traces/{id}` answers and `backsight trace get --json` prints.
//!
//! Written by the agent and the collector from [`backsight_core::trace::Trace`], read by the command line and the page.
//!
//! # Shape
//! Span ids are 16 hex digits, and left out where there is none. Times are offsets in nanoseconds, so that they fit a double: from
//! [`TraceJson::start_unix_ns`] in processes whose clock is `wall`; in those whose clock is `ticks`, ticks of unknown length from the
//! process's first one.

mod certificate;
mod convert;
pub(crate) mod number;
mod size;

pub use certificate::why;
pub use size::json_bytes;

use backsight_core::ids::TraceId;
use serde::{Deserialize, Serialize};

/// A trace.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TraceJson {
    /// Its id.
    #[serde(with = "crate::text")]
    pub trace: TraceId,
    /// Where its offsets begin, in nanoseconds since 1970; 0 where no process has wall time.
    pub start_unix_ns: u64,
    /// From there to the last end that is known.
    pub duration_ns: u64,
    /// The processes that wrote for it.
    pub processes: Vec<ProcessJson>,
    /// Its spans, by start.
    pub spans: Vec<SpanJson>,
    /// Visits without a span, or with records outside their spans, by start.
    #[serde(default)]
    pub visits: Vec<VisitJson>,
    /// Where the request came from and went to.
    #[serde(default)]
    pub crumbs: Vec<CrumbJson>,
    /// Calls whose answer never came.
    #[serde(default)]
    pub open_edges: Vec<OpenEdgeJson>,
    /// The triggers that fired for it.
    #[serde(default)]
    pub fired: Vec<FiringJson>,
    /// What is known to be lost.
    #[serde(default)]
    pub losses: Vec<LossJson>,
    /// What could not be read.
    #[serde(default)]
    pub malformed: MalformedJson,
    /// What is known of its completeness; nothing where one agent answers for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateJson>,
}

/// A process.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ProcessJson {
    /// Its agent, 7 base32 digits.
    pub agent: String,
    /// Its region on that agent's host.
    pub region: u64,
    /// Its id on its host.
    pub pid: u32,
    /// The service that it said it is.
    pub service: String,
    /// What its times are.
    pub clock: ClockJson,
    /// How it ended, where it did without a goodbye.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub death: Option<DeathJson>,
}

/// What the times of a process are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClockJson {
    /// Nanoseconds from the trace's start.
    #[default]
    Wall,
    /// Ticks from the process's first.
    Ticks,
}

/// The end of a process that said no goodbye.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DeathJson {
    /// When; left out where the process had no time to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ns: Option<i64>,
    /// The fatal signal's number, 0 where it left no words (SIGKILL).
    pub signal: u32,
    /// The faulting address, hex.
    pub address: String,
    /// The instruction, hex.
    pub instruction: String,
    /// Whether the dying thread worked for this trace.
    pub in_this_trace: bool,
    /// Return addresses, innermost first, hex.
    #[serde(default)]
    pub frames: Vec<String>,
}

/// A span.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct SpanJson {
    /// Its id.
    pub span: String,
    /// Its parent; left out for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Its name; empty where its start was not found.
    pub name: String,
    /// `internal`, `server`, `client`, `producer` or `consumer`.
    pub kind: String,
    /// Where it ran.
    #[serde(flatten)]
    pub at: PlaceJson,
    /// How it ended: `unset`, `ok` or `error`.
    pub status: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub status_text: String,
    /// Whether its start was found; else `start_ns` is the first record of it that was.
    pub is_started: bool,
    /// Spans of other traces that it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkJson>,
    /// What was recorded in it.
    #[serde(flatten)]
    pub notes: NotesJson,
}

/// A begin and its end on one thread.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct VisitJson {
    /// The span that caused it; left out for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parent: String,
    /// Where it ran.
    #[serde(flatten)]
    pub at: PlaceJson,
    /// What was recorded in it outside any span.
    #[serde(flatten)]
    pub notes: NotesJson,
    /// The ids under which its callees hang, where no span was open when it called them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<String>,
}

/// Where and when a span or visit ran.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PlaceJson {
    /// Position in [`TraceJson::processes`].
    pub process_idx: usize,
    /// That process's service, repeated for those who filter.
    pub service: String,
    /// The thread.
    pub tid: u32,
    /// Its start.
    pub start_ns: i64,
    /// Its length; left out where its end is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ns: Option<u64>,
    /// Whether the death of its process cut it short.
    pub is_cut: bool,
}

/// What was recorded in a span or visit.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct NotesJson {
    /// Attributes in the order in which they were set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeJson>,
    /// Events by time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<EventJson>,
    /// Payloads by time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payloads: Vec<PayloadJson>,
}

/// A key and its value.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct AttributeJson {
    /// The key.
    pub key: String,
    /// The value.
    pub value: ValueJson,
}

/// A value under the name of its type, as `{"i64": 503}`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueJson {
    /// True or false.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// A floating-point number; `"NaN"`, `"Infinity"` and `"-Infinity"` as text.
    F64(#[serde(with = "number")] f64),
    /// A string.
    Str(String),
    /// Bytes, hex.
    Bytes(String),
    /// Values in order.
    Array(Vec<Self>),
}

/// Something that happened at an instant.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct EventJson {
    /// When.
    pub at_ns: i64,
    /// Its name.
    pub name: String,
    /// A message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Its attributes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeJson>,
}

/// Bytes that only the application understands: `text` where they are UTF-8, else `hex`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PayloadJson {
    /// When.
    pub at_ns: i64,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Number of bytes.
    pub len: u64,
    /// Whether more was offered than one call may record.
    pub is_truncated: bool,
    /// The bytes as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The bytes in hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hex: Option<String>,
}

/// A span of another trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LinkJson {
    /// The trace, 32 hex digits.
    pub trace: String,
    /// The span there.
    pub span: String,
}

/// A breadcrumb.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CrumbJson {
    /// The agent on whose host it was left.
    pub seen_by: String,
    /// `from`, `to` (answered from there), `out` (called, as far as the connection knew) or `before` (the request came through there).
    pub direction: String,
    /// The agent that it points to.
    pub agent: String,
    /// The span that made the call; left out for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub span: String,
}

/// A call whose answer never came.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenEdgeJson {
    /// Position in [`TraceJson::processes`].
    pub process_idx: usize,
    /// The span that made the call; left out for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub span: String,
    /// The agent that the connection's last answer came from; left out for unknown.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub expected: String,
    /// When.
    pub at_ns: i64,
}

/// A trigger that fired.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FiringJson {
    /// Position in [`TraceJson::processes`].
    pub process_idx: usize,
    /// Its name, or the id as `0x…` where the name is not known.
    pub trigger: String,
    /// Its id, as `0x…`; empty where an older version wrote this.
    #[serde(default)]
    pub trigger_id: String,
    /// Traces collected with this one.
    pub n_laterals: u32,
    /// When.
    pub at_ns: i64,
}

/// Records that were given up while the trace was active.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LossJson {
    /// Position in [`TraceJson::processes`].
    pub process_idx: usize,
    /// The thread.
    pub tid: u32,
    /// Why (`core::telemetry::DropReason`), or `unknown`.
    pub reason: String,
    /// Records lost, by the thread as a whole; 0 where only the loss itself is known.
    pub n_records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first.
    pub first_ns: i64,
    /// The last.
    pub last_ns: i64,
}

/// What could not be read; see [`backsight_core::trace::Malformed`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MalformedJson {
    /// Segments that were no segments of the trace.
    pub segments: u64,
    /// Records that no client writes.
    pub records: u64,
    /// Records of which a fragment is missing.
    pub fragments: u64,
    /// Names of strings that are not known.
    pub strings: u64,
}

/// What a stored trace says about its own completeness.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CertificateJson {
    /// The verdict.
    pub state: CompletenessJson,
    /// Why it is not complete, each a short text that begins with a name (`core::certificate::GapKind`).
    #[serde(default)]
    pub why: Vec<String>,
    /// Every agent that was reached or named.
    #[serde(default)]
    pub agents: Vec<AgentPartJson>,
}

/// The part of one agent in a trace.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AgentPartJson {
    /// The agent, 7 base32 digits.
    pub agent: String,
    /// `asked`, `answered`, `unreachable` or `unknown`.
    pub contact: String,
    /// What it said it has (`core::holding::HoldingState`); left out until it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Segments that it said it has.
    pub announced_segments: u64,
    /// Their bytes.
    pub announced_bytes: u64,
    /// Segments that arrived.
    pub received_segments: u64,
    /// Their bytes.
    pub received_bytes: u64,
    /// How far back it could look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub horizon_ms: Option<u64>,
}

/// Whether a trace is complete.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CompletenessJson {
    /// Everything that was recorded is here.
    Complete,
    /// Something is missing.
    Partial,
    /// Somebody who was asked has not answered yet.
    Unknown,
}

#[cfg(test)]
mod tests;
