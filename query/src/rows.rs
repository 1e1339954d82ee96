//! A trace as the read side answers it: spans on one clock, each with everything that the forms of answers say of it.
//!
//! Made from what was recorded ([`recorded`]) and from the rows of parts ([`stored`]); searched in ([`view`]), and written in the forms of
//! others, as [`crate::jaeger::v1`].

mod columns;
mod recorded;
pub(crate) mod stored;
mod view;

pub use columns::columns_of;
pub use stored::Union;

use backsight_core::certificate::Verdict;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::{Attribute, AttributeValue, Link};
use backsight_core::units::NanoJoules;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A trace.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct TraceRows {
    /// Its id.
    pub id: TraceId,
    /// Its spans, by start.
    pub spans: Vec<SpanRow>,
    /// What its spans are of; each `process_idx` is a position here.
    pub processes: Vec<ProcessRow>,
    /// What is known of the trace as a whole.
    pub facts: Facts,
}

/// What is known of a trace beside its spans.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// The names of the triggers that fired for it, or their ids, each once.
    pub triggers: Vec<String>,
    /// Whether it is complete, where it has a certificate.
    pub verdict: Option<Verdict>,
    /// Why sampling kept it.
    pub sampling: Option<Arc<str>>,
    /// What it used.
    pub energy: Option<NanoJoules>,
    /// How rare it is.
    pub rarity: Option<f32>,
    /// Whether parts of it may still come.
    pub is_pending: bool,
    /// What people should know before they believe it, as sentences.
    pub warnings: Vec<String>,
}

/// A process, or one of several services in it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct ProcessRow {
    /// Its service.
    pub service: Arc<str>,
    /// The name of its host, where it is known.
    pub host: Option<Arc<str>>,
    /// What tells it from others of its service.
    pub instance: Option<Arc<str>>,
    /// Its attributes, without the service.
    pub attributes: Vec<Attribute>,
}

/// Where a span came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Source {
    /// An agent.
    #[default]
    Recorder,
    /// OTLP.
    Otlp,
    /// A simulator.
    Sim,
    /// Files of somebody else.
    Import,
}

impl Source {
    /// Returns its lowercase name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Recorder => "recorder",
            Self::Otlp => "otlp",
            Self::Sim => "sim",
            Self::Import => "import",
        }
    }
}

/// A span.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SpanRow {
    /// Its id.
    pub id: SpanId,
    /// The span that caused it, 0 for none; it may be missing.
    pub parent: SpanId,
    /// Its name.
    pub operation: Arc<str>,
    /// Its kind, where somebody said it.
    pub kind: Option<SpanKind>,
    /// How it ended.
    pub status: StatusCode,
    /// Why, often empty.
    pub status_message: Arc<str>,
    /// What `tracestate` said, often empty.
    pub trace_state: Arc<str>,
    /// The name of the library that recorded it, and its version; often empty.
    pub scope: (Arc<str>, Arc<str>),
    /// The flags of its `traceparent`.
    pub flags: u8,
    /// Its start, in nanoseconds since 1970.
    pub start_ns: u64,
    /// How long it took; where its end is not known, until the last that is known of it.
    pub duration_ns: u64,
    /// Its process.
    pub process_idx: usize,
    /// Its attributes, each key once.
    pub attributes: Vec<Attribute>,
    /// Its events, by time.
    pub events: Vec<EventRow>,
    /// Spans of other traces, or of this one, that it names.
    pub links: Vec<Link>,
    /// What it used itself.
    pub energy: Option<NanoJoules>,
    /// Versions of specialised code that it ran.
    pub versions: Vec<u32>,
    /// Where it came from.
    pub source: Source,
    /// What people should know before they believe it, as sentences.
    pub warnings: Vec<String>,
}

/// An event of a span.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct EventRow {
    /// When, in nanoseconds since 1970.
    pub at_ns: u64,
    /// Its name.
    pub name: Arc<str>,
    /// Its attributes; [`MESSAGE`] is its message.
    pub attributes: Vec<Attribute>,
}

/// The attribute of an event that holds its message.
pub const MESSAGE: &str = backsight_core::flat::key::MESSAGE;

impl TraceRows {
    /// Returns the place of the span from which all others come: the first to start of those that name no cause, else of those whose cause is
    /// not here.
    pub fn root_idx(&self) -> Option<usize> {
        let first = |is_root: &dyn Fn(&SpanRow) -> bool| {
            let roots = self.spans.iter().enumerate().filter(|(_, span)| is_root(span));
            roots.min_by_key(|(_, span)| (span.start_ns, span.id)).map(|(idx, _)| idx)
        };
        first(&|span| span.parent.is_none()).or_else(|| {
            let ids: BTreeSet<_> = self.spans.iter().map(|span| span.id).collect();
            first(&|span| !ids.contains(&span.parent))
        })
    }

    /// Returns that span.
    pub fn root(&self) -> Option<&SpanRow> {
        self.spans.get(self.root_idx()?)
    }

    /// Returns the first start and the last end of its spans.
    pub fn interval_ns(&self) -> Option<(u64, u64)> {
        let intervals = self.spans.iter().map(|span| (span.start_ns, span.start_ns.saturating_add(span.duration_ns)));
        intervals.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
    }

    /// Returns the number of the thread that a span ran on, where somebody said it.
    pub fn thread(span: &SpanRow) -> Option<u32> {
        let number = ["backsight.tid", "thread.id"].iter().find_map(|key| match value_of(&span.attributes, key) {
            Some(AttributeValue::I64(number)) => Some(*number),
            _ => None,
        });
        number.and_then(|number| u32::try_from(number).ok())
    }

    /// Returns the service of a span; empty where its process is missing.
    pub fn service(&self, span: &SpanRow) -> &str {
        self.processes.get(span.process_idx).map_or("", |process| &process.service)
    }
}

/// Returns the value of the attribute `key`.
pub fn value_of<'a>(attributes: &'a [Attribute], key: &str) -> Option<&'a AttributeValue> {
    attributes.iter().find(|attribute| &*attribute.key == key).map(|attribute| &attribute.value)
}

#[cfg(test)]
mod tests;
