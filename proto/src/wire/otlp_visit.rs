//! OTLP trace requests that strangers send, in protobuf, read in place: a sink is shown resources, scopes and spans that borrow from the request.
//!
//! Called by whoever takes OTLP in (collector, importers), through [`crate::wire::otlp_json`] for the JSON form too. Everything that comes in is
//! checked here, once: a request that is malformed is refused as a whole, a span without which the others stand is rejected alone, and what
//! is over a limit is left out; each is counted. Nothing here decides what is kept, and nothing is written in a sender's name: what was repaired says so.

pub(super) mod fields;
mod limits;
mod list;
pub(super) mod pieces;
mod span;
mod value;
mod view;
mod walk;
pub(super) mod write;

pub use limits::{DEPTH_MAX, Limits};
pub use value::{Attribute, List, Map, Value};
pub use view::{Dropped, EventView, Events, LinkView, Links, ResourceView, ScopeView, SpanView};

use std::fmt;

/// What is shown the content of a request.
///
/// A resource comes before its scopes, and a scope before its spans, whatever the order on the wire. Where [`visit`] returns an error, what
/// the sink was shown of the request until then is to be thrown away.
pub trait OtlpSink {
    /// The spans that follow, up to the next resource, are of `resource`.
    fn resource(&mut self, resource: &ResourceView<'_>);

    /// The spans that follow, up to the next scope or resource, are of `scope`.
    fn scope(&mut self, scope: &ScopeView<'_>);

    /// Takes a span.
    ///
    /// # Errors
    /// Why the span is not taken, for the sender to hear.
    fn span(&mut self, span: &SpanView<'_>) -> Result<(), Reason>;
}

/// Shows `sink` what stands in `request`, an encoded `ExportTraceServiceRequest`.
///
/// # Shape
/// Fields may stand in any order and several times: of scalars the last counts, messages are put together. Unknown fields are skipped.
/// # Errors
/// The request is not of the format, or over [`Limits::request_max`]; the first such place ends the visit.
/// # Cost
/// Time linear in the request. Memory is taken once, for the largest span: at most 20 times its bytes, and 128 KiB for events and links by
/// default. A resource, a scope, and a span with a value that comes in pieces, take their own.
/// # Source
/// OTLP 1.x: opentelemetry/proto/collector/trace/v1/trace_service.proto and what it names.
pub fn visit(request: &[u8], limits: &Limits, sink: &mut impl OtlpSink) -> Result<Decoded, OtlpError> {
    if request.len() > limits.request_max {
        return Err(OtlpError::TooLarge { len: request.len(), max: limits.request_max });
    }
    walk::request(request, limits, sink)
}

/// What became of the spans of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Decoded {
    /// Spans that the sink took.
    pub n_taken: u64,
    /// Spans that were rejected.
    pub rejected: Rejected,
    /// What was left out or repaired of resources, scopes and the spans that were taken.
    pub repairs: Repairs,
}

/// Numbers of rejected spans, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rejected([u64; Reason::ALL.len()]);

impl Rejected {
    /// Returns how many spans were rejected for `reason`.
    pub fn of(&self, reason: Reason) -> u64 {
        self.0[reason as usize]
    }

    /// Returns how many spans were rejected.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    fn add(&mut self, reason: Reason, n_spans: u64) {
        self.0[reason as usize] += n_spans;
    }
}

impl fmt::Display for Rejected {
    /// Writes what a sender is told, such as `3 spans rejected: 2 trace_id, 1 invalid_utf8`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} spans rejected", self.total())?;
        let counted = Reason::ALL.iter().map(|reason| (*reason, self.of(*reason))).filter(|(_, n)| *n > 0);
        for (idx, (reason, n_spans)) in counted.enumerate() {
            write!(f, "{} {n_spans} {reason}", if idx == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

/// Why a span is rejected while the rest of its request is taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// The trace id is missing, zero, or not of 16 bytes.
    TraceId,
    /// The span id is missing, zero, or not of 8 bytes.
    SpanId,
    /// The id of the parent is there and not of 8 bytes.
    ParentSpanId,
    /// A text of the span, of its resource or of its scope is not UTF-8.
    InvalidUtf8,
    /// The start is after the year 2262, where 64 bits of signed nanoseconds end.
    TimeOutOfRange,
    /// The sink has no place for it.
    NotTaken,
}

impl Reason {
    /// Every reason.
    pub const ALL: &'static [Self] =
        &[Self::TraceId, Self::SpanId, Self::ParentSpanId, Self::InvalidUtf8, Self::TimeOutOfRange, Self::NotTaken];

    /// Returns the name under which metrics and answers show it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TraceId => "trace_id",
            Self::SpanId => "span_id",
            Self::ParentSpanId => "parent_span_id",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::TimeOutOfRange => "time_out_of_range",
            Self::NotTaken => "not_taken",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How often something was left out or repaired.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Repairs {
    /// Attributes whose key came again; the last value counts.
    pub duplicate_keys: u32,
    /// Attributes left out: too many, too large a list or map, or too deep a one.
    pub attributes_dropped: u32,
    /// Texts and bytes cut to [`Limits::attr_value_max`].
    pub values_truncated: u32,
    /// Events left out, being too many.
    pub events_dropped: u32,
    /// Links left out: too many, or to no span.
    pub links_dropped: u32,
    /// Times set: an end before its start to the start, one after the year 2262 to the last moment there is.
    pub times: u32,
}

impl Repairs {
    /// Returns whether nothing was.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn add(&mut self, more: &Self) {
        let pairs = [
            (&mut self.duplicate_keys, more.duplicate_keys),
            (&mut self.attributes_dropped, more.attributes_dropped),
            (&mut self.values_truncated, more.values_truncated),
            (&mut self.events_dropped, more.events_dropped),
            (&mut self.links_dropped, more.links_dropped),
            (&mut self.times, more.times),
        ];
        for (sum, more) in pairs {
            *sum = sum.saturating_add(more);
        }
    }
}

/// Why a request is refused as a whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OtlpError {
    /// It is larger than a request may be.
    #[error("request of {len} B is larger than {max} B")]
    TooLarge {
        /// Its length.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// A field is longer than what it stands in.
    #[error("field {field} of {len} B has {left} B left")]
    LengthOutOfRange {
        /// Its number.
        field: u32,
        /// Its length.
        len: u64,
        /// What is left of the message around it.
        left: usize,
    },
    /// A number that ends neither within ten bytes nor within its message, or is over 64 bits.
    #[error("number is longer than 64 bits or cut off")]
    Varint,
    /// A key that no field has.
    #[error("{key:#x} is the key of no field")]
    Key {
        /// The key.
        key: u64,
    },
    /// A group, which no version of OTLP has.
    #[error("field {field} is a group")]
    Group {
        /// Its number.
        field: u32,
    },
    /// A known field in another form than the schema says.
    #[error("field {field} of {message} is not written as the schema says")]
    WireType {
        /// The message that it stands in.
        message: &'static str,
        /// Its number.
        field: u32,
    },
}

impl OtlpError {
    /// Returns whether the request is too large, rather than malformed: status 413 rather than 400.
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. })
    }
}

/// Why reading something ends before its end.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(in crate::wire) enum Stop {
    /// The request is refused.
    Request(OtlpError),
    /// The span is rejected.
    Span(Reason),
    /// A value comes in pieces, which have to be put together first.
    InPieces,
}

impl From<OtlpError> for Stop {
    fn from(error: OtlpError) -> Self {
        Self::Request(error)
    }
}

#[cfg(any(test, feature = "otlp-testing"))]
pub mod testing;
#[cfg(test)]
pub(super) mod tests;
