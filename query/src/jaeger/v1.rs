//! The answers of Jaeger's classic API: traces, names, dependencies, and the envelope around them.
//!
//! Written by the endpoints under `/api` but for `/api/v3`, and by whoever exports a trace as Jaeger's page reads it.

mod convert;
mod value;

pub use value::TagValue;
pub(crate) use value::{not_finite, plain};

use super::ShortTraceId;
use backsight_core::ids::{SpanId, TraceId};
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

/// What stands around every answer.
///
/// # Shape
/// `{data, total, limit, offset, errors}`; an error has `data: null`, and its status is that of the answer, too.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Envelope<T> {
    /// What was asked for.
    pub data: Option<T>,
    /// How many names there are; 0 for traces and dependencies.
    pub total: usize,
    /// Always 0.
    pub limit: usize,
    /// Always 0.
    pub offset: usize,
    /// What went wrong; `None` for nothing.
    pub errors: Option<Vec<Error>>,
}

impl<T> Envelope<T> {
    /// Returns an answer.
    pub const fn of(data: T) -> Self {
        Self { data: Some(data), total: 0, limit: 0, offset: 0, errors: None }
    }
}

impl<T> Envelope<Vec<T>> {
    /// Returns an answer that says how many there are: of services and operations.
    pub fn counted(data: Vec<T>) -> Self {
        let total = data.len();
        Self { total, ..Self::of(data) }
    }

    /// Returns traces, and which of those that were named are not there.
    pub fn with_missing(data: Vec<T>, missing: &[TraceId]) -> Self {
        let error = |trace: &TraceId| Error {
            code: 0,
            msg: super::TRACE_NOT_FOUND.to_owned(),
            trace: Some(ShortTraceId(*trace)),
        };
        let errors: Vec<_> = missing.iter().map(error).collect();
        Self { errors: (!errors.is_empty()).then_some(errors), ..Self::of(data) }
    }
}

impl Envelope<()> {
    /// Returns the answer that there is none: `code` is its status.
    pub fn error(code: u16, msg: impl Into<String>) -> Self {
        let error = Error { code, msg: msg.into(), trace: None };
        Self { data: None, total: 0, limit: 0, offset: 0, errors: Some(vec![error]) }
    }
}

/// Something that went wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Error {
    /// The status, where the whole answer is an error.
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
    /// What.
    pub msg: String,
    /// With which trace.
    #[serde(rename = "traceID", skip_serializing_if = "Option::is_none")]
    pub trace: Option<ShortTraceId>,
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

/// A trace.
///
/// # Shape
/// Processes are called `p1`, `p2`, .. in the order in which spans name them; equal ones are one.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Trace {
    /// Its id.
    #[serde(rename = "traceID")]
    pub trace: ShortTraceId,
    /// Its spans.
    pub spans: Vec<Span>,
    /// What they are of.
    pub processes: BTreeMap<String, Process>,
    /// What people should know of it; `null` for nothing.
    pub warnings: Option<Vec<String>>,
}

/// A process.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its service.
    #[serde(serialize_with = "text")]
    pub service_name: Arc<str>,
    /// Its attributes.
    pub tags: Vec<Tag>,
}

/// A span.
///
/// # Shape
/// Times are whole microseconds since 1970, cut off.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Its trace.
    #[serde(rename = "traceID")]
    pub trace: ShortTraceId,
    /// Its id.
    #[serde(rename = "spanID", serialize_with = "text")]
    pub id: SpanId,
    /// Whether it was sampled; left out at 0.
    #[serde(skip_serializing_if = "is_zero")]
    pub flags: u32,
    /// Its name.
    #[serde(serialize_with = "text")]
    pub operation_name: Arc<str>,
    /// What it came from: its parent, then its links.
    pub references: Vec<Reference>,
    /// When it began.
    pub start_time: u64,
    /// How long it took.
    pub duration: u64,
    /// What is known of it, in Jaeger's order.
    pub tags: Vec<Tag>,
    /// Its events.
    pub logs: Vec<Log>,
    /// Its process.
    #[serde(rename = "processID")]
    pub process: String,
    /// What people should know of it; `null` for nothing.
    pub warnings: Option<Vec<String>>,
}

fn text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// A span from which another came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reference {
    /// How.
    pub ref_type: RefType,
    /// Its trace.
    #[serde(rename = "traceID")]
    pub trace: ShortTraceId,
    /// Its id.
    #[serde(rename = "spanID", serialize_with = "text")]
    pub span: SpanId,
}

/// How a span came from another.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RefType {
    /// The other caused it, and may wait for it.
    ChildOf,
    /// The other is linked.
    FollowsFrom,
}

/// An attribute.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Tag {
    /// Its name.
    #[serde(serialize_with = "text")]
    pub key: Arc<str>,
    /// Its type and value.
    #[serde(flatten)]
    pub value: TagValue,
}

/// An event.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Log {
    /// When, in microseconds since 1970.
    pub timestamp: u64,
    /// Its name as `event`, then its attributes.
    pub fields: Vec<Tag>,
}

/// An operation of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Operation {
    /// Its name.
    pub name: String,
    /// The kind of its spans.
    pub span_kind: String,
}

/// How often one service called another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Who called.
    pub parent: String,
    /// Who was called.
    pub child: String,
    /// How often.
    pub call_count: u64,
}

/// Returns the calls between services: each pair once, and where `of` is a service only those that it is an end of.
pub fn dependencies(calls: impl IntoIterator<Item = Dependency>, of: &str) -> Vec<Dependency> {
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for call in calls.into_iter().filter(|call| of.is_empty() || call.parent == of || call.child == of) {
        let count = counts.entry((call.parent, call.child)).or_default();
        *count = count.saturating_add(call.call_count);
    }
    counts.into_iter().map(|((parent, child), call_count)| Dependency { parent, child, call_count }).collect()
}
