//! Traces as people and programs read them: spans, visits, losses and open edges, assembled from what processes wrote.
//!
//! [`assemble`] is called by the agent for its own kept traces and by the collector for those of many hosts. It is a pure function; what
//! it is given is trusted by nobody, so any bytes give a trace, with what could not be read counted in [`Malformed`].

mod assemble;
mod draft;
mod edges;
mod log;
mod process;
mod service;
mod strings;
mod time;

pub use assemble::assemble;

use crate::ids::{AgentId, RegionId, SpanId, TraceId, TriggerId};
use crate::names::TriggerNames;
use crate::record::{CrumbDirection, SpanKind, StatusCode};
use crate::segment::LastWords;
use crate::telemetry::DropReason;
use std::sync::Arc;

/// A trace, as far as it is known.
///
/// # Shape
/// Times are nanoseconds since 1970 where the process's [`ProcessInfo::clock`] is [`ProcessClock::Wall`], else ticks since the process's
/// first. Lists are sorted by time, then by process; every `process_idx` is a position in `processes`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// The processes that wrote for it, by agent and region.
    pub processes: Vec<ProcessInfo>,
    /// Its spans.
    pub spans: Vec<Span>,
    /// Visits that have no span, or that recorded something outside their spans.
    pub visits: Vec<Visit>,
    /// Where the request came from and went to, without repetition.
    pub crumbs: Vec<Crumb>,
    /// Calls whose answer never came: a callee may be missing.
    pub open_edges: Vec<OpenEdge>,
    /// The triggers that fired for it.
    pub fired: Vec<Firing>,
    /// Names of triggers, as far as whoever had it assembled knows them: no record holds one.
    pub names: TriggerNames,
    /// What is known to be lost.
    pub losses: Vec<Loss>,
    /// What could not be read.
    pub malformed: Malformed,
}

impl Trace {
    /// Returns the first and last instant of the trace in nanoseconds since 1970, or `None` where no process has wall time.
    pub fn interval_ns(&self) -> Option<(u64, u64)> {
        let spans = self.spans.iter().map(|span| (span.process_idx, span.start_ns, span.end_ns));
        let visits = self.visits.iter().map(|visit| (visit.process_idx, visit.start_ns, visit.end_ns));
        let is_wall = |idx: usize| self.processes.get(idx).is_some_and(|p| p.clock == ProcessClock::Wall);
        spans
            .chain(visits)
            .filter(|(process_idx, ..)| is_wall(*process_idx))
            .map(|(_, start, end)| (start, end.unwrap_or(start)))
            .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Returns the id of the span that stands for a visit: the same for the same visit of the same process.
    pub fn visit_id(&self, visit: &Visit) -> SpanId {
        let process = self.processes.get(visit.process_idx);
        let (agent, region) = process.map(|process| (process.agent, process.region)).unwrap_or_default();
        SpanId::of_place(&format!("visit {agent} {region} {} {}", visit.tid, visit.start_ns))
    }
}

/// A process that wrote for a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ProcessInfo {
    /// Its agent.
    pub agent: AgentId,
    /// Its region on that agent's host.
    pub region: RegionId,
    /// Its id on its host.
    pub pid: u32,
    /// The service that it said it is; empty where it said nothing.
    pub service: Arc<str>,
    /// What its times are.
    pub clock: ProcessClock,
    /// How it ended, where it did without a goodbye, or crashed after it.
    pub death: Option<Death>,
}

/// What the times of a process are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ProcessClock {
    /// Nanoseconds since 1970.
    #[default]
    Wall,
    /// Fewer than two calibration points came with the segments: ticks since the process's first, of unknown length.
    Ticks {
        /// That first tick.
        first: u64,
    },
}

/// The end of a process that said no goodbye, or crashed after it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Death {
    /// When, as the dying thread saw it; `None` where it had no time to look (SIGKILL).
    pub at_ns: Option<u64>,
    /// What it left.
    pub last_words: LastWords,
}

/// A span.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Span {
    /// Its id; unique within a process, and meant to be within the trace.
    pub id: SpanId,
    /// The span that caused it, 0 for none; it may stand in another process, or be missing.
    pub parent: SpanId,
    /// Its name; empty where its start was not found.
    pub name: Arc<str>,
    /// Its kind.
    pub kind: SpanKind,
    /// Its process.
    pub process_idx: usize,
    /// Its service where that is not its process's, else empty: see [`Trace::service_of`].
    pub service: Arc<str>,
    /// The thread that started it.
    pub tid: u32,
    /// Its start, or the first record that speaks of it where the start was not found.
    pub start_ns: u64,
    /// Its end, never before its start; `None` while it is open, was cut, or its end was lost.
    pub end_ns: Option<u64>,
    /// Whether the start was found.
    pub is_started: bool,
    /// Whether the death of its process cut it short.
    pub is_cut: bool,
    /// How it ended.
    pub status: StatusCode,
    /// Why, often empty.
    pub status_text: Arc<str>,
    /// Spans of other traces that it names.
    pub links: Vec<Link>,
    /// What was recorded in it.
    pub notes: Notes,
}

/// One begin and end on one thread, with the continuations and resumptions that belong to it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Visit {
    /// The span that caused it, 0 for none.
    pub parent: SpanId,
    /// Its process.
    pub process_idx: usize,
    /// The thread that began it.
    pub tid: u32,
    /// Its begin.
    pub start_ns: u64,
    /// Its end, never before its begin; `None` while it is open, was cut, or its end was lost.
    pub end_ns: Option<u64>,
    /// Whether the death of its process cut it short.
    pub is_cut: bool,
    /// What was recorded in it outside any span.
    pub notes: Notes,
    /// The ids under which callees of it hang, ascending: a call where no span is open, nor one that caused the visit, has an id of its own.
    pub calls: Vec<SpanId>,
}

/// What was recorded in a span or a visit.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Notes {
    /// Attributes in the order in which they were first set; of several values the last.
    pub attributes: Vec<Attribute>,
    /// Events by time. An exception is an event `exception` with `exception.type` and `exception.message`, as OpenTelemetry has it.
    pub events: Vec<Event>,
    /// Payloads by time.
    pub payloads: Vec<Payload>,
}

/// A key and its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Attribute {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: AttributeValue,
}

impl Attribute {
    /// Returns an attribute.
    pub fn new(key: &str, value: AttributeValue) -> Self {
        Self { key: key.into(), value }
    }
}

/// The value of an attribute, with interned strings resolved.
#[derive(Clone, PartialEq, Debug)]
pub enum AttributeValue {
    /// True or false.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// A floating-point number, any bits.
    F64(f64),
    /// A string; bytes that were not UTF-8 are replaced.
    Str(Arc<str>),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Values in order.
    Array(Vec<Self>),
}

impl From<bool> for AttributeValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for AttributeValue {
    fn from(value: i64) -> Self {
        Self::I64(value)
    }
}

impl From<&str> for AttributeValue {
    fn from(text: &str) -> Self {
        Self::Str(text.into())
    }
}

impl From<String> for AttributeValue {
    fn from(text: String) -> Self {
        Self::Str(text.into())
    }
}

/// Something that happened at an instant.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// When.
    pub at_ns: u64,
    /// Its name.
    pub name: Arc<str>,
    /// A message, often empty.
    pub message: Arc<str>,
    /// Its attributes, as written.
    pub attributes: Vec<Attribute>,
}

/// Bytes that only the application understands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payload {
    /// When.
    pub at_ns: u64,
    /// Its name, where it has one.
    pub name: Option<Arc<str>>,
    /// The bytes, at most [`crate::record::PAYLOAD_MAX_BYTES`].
    pub bytes: Vec<u8>,
    /// Whether more was offered than one call may record.
    pub is_truncated: bool,
}

/// A span of another trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Link {
    /// The trace.
    pub trace: TraceId,
    /// The span there.
    pub span: SpanId,
}

/// A breadcrumb that was found in the trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Crumb {
    /// The agent on whose host it was left.
    pub seen_by: AgentId,
    /// Which way it points.
    pub direction: CrumbDirection,
    /// The agent that it points to; never the unknown one, see [`OpenEdge`].
    pub agent: AgentId,
    /// The span that made the call, 0 for none.
    pub span: SpanId,
    /// How often it was found: a visit for each call that came in, an answer for each that went out.
    pub n: u64,
}

/// A call that went out and whose answer never came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenEdge {
    /// The process that called.
    pub process_idx: usize,
    /// The span that made the call, 0 for none.
    pub span: SpanId,
    /// The agent that the connection's last answer came from: where to ask for the callee. 0 for unknown.
    pub expected: AgentId,
    /// When.
    pub at_ns: u64,
}

/// A trigger that fired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Firing {
    /// The process in which it fired.
    pub process_idx: usize,
    /// The trigger.
    pub trigger: TriggerId,
    /// Traces collected with this one.
    pub n_laterals: u32,
    /// When.
    pub at_ns: u64,
}

/// Records that were given up while the trace was active.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// The process.
    pub process_idx: usize,
    /// The thread.
    pub tid: u32,
    /// Why; `None` where the reason is of a later version, or only the loss itself is known.
    pub reason: Option<DropReason>,
    /// Records lost, by the thread as a whole; 0 where a segment says that there was loss, but no record how much.
    pub n_records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The first.
    pub first_ns: u64,
    /// The last, never before the first.
    pub last_ns: u64,
}

/// What could not be read. All zero for what a sound client wrote and a sound agent copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Malformed {
    /// Segments that do not begin with a SEG record of this trace.
    pub segments: u64,
    /// Records that no client writes: wrong lengths, a span that starts twice, a span id left out with none before it.
    pub records: u64,
    /// Records of which a fragment is missing; also the unfinished one of a process that died inside a long write.
    pub fragments: u64,
    /// Names of strings that did not come with the segments; they read `#<id>`.
    pub strings: u64,
}

#[cfg(test)]
mod tests;
