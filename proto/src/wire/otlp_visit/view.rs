//! What a sink is shown: views that borrow from the request and from what reads it.

use super::{Attribute, Repairs};
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};

/// Who wrote spans: a service instance, a process.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct ResourceView<'a> {
    /// What is known of it, each key once.
    pub attributes: &'a [Attribute<'a>],
    /// Attributes that the sender has left out.
    pub dropped_attributes: u32,
    /// The schema of the attributes, empty where none is named.
    pub schema_url: &'a str,
}

/// The library that wrote spans.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct ScopeView<'a> {
    /// Its name, empty where it has none.
    pub name: &'a str,
    /// Its version, empty where it has none.
    pub version: &'a str,
    /// What is known of it, each key once.
    pub attributes: &'a [Attribute<'a>],
    /// Attributes that the sender has left out.
    pub dropped_attributes: u32,
    /// The schema of the scope, its spans and their events, empty where none is named.
    pub schema_url: &'a str,
}

/// A span.
///
/// # Shape
/// Ids are there and not zero, `start_ns <= end_ns <= i64::MAX`. What the sender left out stands in `dropped`, what was left out here, or
/// repaired, in `repairs`.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct SpanView<'a> {
    /// The trace.
    pub trace: TraceId,
    /// Its own id.
    pub span: SpanId,
    /// The span that it was called from, where it is no root.
    pub parent: Option<SpanId>,
    /// W3C's `tracestate` as it came, empty where there was none.
    pub trace_state: &'a str,
    /// OTLP's flags: W3C's in the lowest 8 bits; bit 8 says that bit 9 says whether the parent is remote.
    pub flags: u32,
    /// What it is called; may be empty.
    pub name: &'a str,
    /// Its kind, where OTLP knows it and it is specified.
    pub kind: Option<SpanKind>,
    /// Its start, in nanoseconds since 1970.
    pub start_ns: u64,
    /// Its end, likewise.
    pub end_ns: u64,
    /// What is known of it, each key once.
    pub attributes: &'a [Attribute<'a>],
    /// What happened in it.
    pub events: Events<'a>,
    /// Spans elsewhere that it has to do with.
    pub links: Links<'a>,
    /// What the sender has left out.
    pub dropped: Dropped,
    /// How it ended; unknown numbers are unset.
    pub status: StatusCode,
    /// What was said about that, empty where nothing was.
    pub status_message: &'a str,
    /// What was left out of the span here, or repaired.
    pub repairs: Repairs,
}

/// How much a sender has left out of a span.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Dropped {
    /// Attributes.
    pub attributes: u32,
    /// Events.
    pub events: u32,
    /// Links.
    pub links: u32,
}

/// An event of a span.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct EventView<'a> {
    /// When, in nanoseconds since 1970, at most `i64::MAX`; may be before or after the span.
    pub time_ns: u64,
    /// What it is called; may be empty.
    pub name: &'a str,
    /// What is known of it, each key once.
    pub attributes: &'a [Attribute<'a>],
    /// Attributes that the sender has left out.
    pub dropped_attributes: u32,
}

/// A link from a span to another.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct LinkView<'a> {
    /// The other's trace.
    pub trace: TraceId,
    /// The other.
    pub span: SpanId,
    /// W3C's `tracestate` of the other, empty where there was none.
    pub trace_state: &'a str,
    /// What is known of the link, each key once.
    pub attributes: &'a [Attribute<'a>],
    /// Attributes that the sender has left out.
    pub dropped_attributes: u32,
    /// OTLP's flags of the other, as those of a span.
    pub flags: u32,
}

/// The events of a span in the order in which they came.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Events<'a>(pub(super) Rows<'a, EventView<'a>>);

/// The links of a span in the order in which they came.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Links<'a>(pub(super) Rows<'a, LinkView<'a>>);

/// Views whose attributes stand in one list behind each other.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Rows<'a, T> {
    pub(super) rows: &'a [Row<T>],
    pub(super) attributes: &'a [Attribute<'a>],
}

/// A view whose attributes are not in it yet, and where they are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Row<T> {
    pub(super) view: T,
    pub(super) first_idx: usize,
    pub(super) end_idx: usize,
}

impl<T> Default for Rows<'_, T> {
    fn default() -> Self {
        Self { rows: &[], attributes: &[] }
    }
}

impl<'a, T> Rows<'a, T> {
    fn of(&self, row: &Row<T>) -> &'a [Attribute<'a>] {
        self.attributes.get(row.first_idx..row.end_idx).unwrap_or_default()
    }
}

impl<'a> Events<'a> {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// Returns each event.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = EventView<'a>> + use<'a> {
        let rows = self.0;
        rows.rows.iter().map(move |row| EventView { attributes: rows.of(row), ..row.view })
    }
}

impl<'a> Links<'a> {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.0.rows.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.rows.is_empty()
    }

    /// Returns each link.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = LinkView<'a>> + use<'a> {
        let rows = self.0;
        rows.rows.iter().map(move |row| LinkView { attributes: rows.of(row), ..row.view })
    }
}
