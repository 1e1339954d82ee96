//! Trace context on the wire: what a request brings along, and what the requests that it causes take along.
//!
//! Called by servers and clients of applications, once for each request. `docs/spec/wire.md` is the format.

use crate::block;
use crate::context::Context;
use crate::edge::{Call, Connection};
use crate::guard::context_of;
use crate::process;
use backsight_core::context::traceparent::TRACEPARENT_BYTES;
use backsight_core::context::{Others, STATE_BYTES_MAX, TraceParent, TraceState, Trail, TrailFlags};
use backsight_core::ids::SpanId;
use backsight_ringbuf::region;
use backsight_ringbuf::shm::View;
use backsight_ringbuf::writer::Writer;

/// The header that names the trace and the calling span.
pub const TRACEPARENT: &str = "traceparent";
/// The header that holds our trail and the members of other vendors.
pub const TRACESTATE: &str = "tracestate";

/// What a request brought along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incoming<'h> {
    /// The request's trace, the calling span and the trail; what [`crate::begin`] takes.
    pub context: Context,
    /// The members of other vendors in its `tracestate`, to pass on with [`inject`]. [`Others::keep`] copies them.
    pub others: Others<'h>,
}

/// Reads the headers `traceparent` and `tracestate` of a request, as they came.
///
/// A request without a `traceparent`, or with a malformed one, begins a new trace, and its `tracestate` is ignored, as the standard wants.
/// A malformed member of ours is ignored.
///
/// # Cost
/// Allocates nothing. At most 8 KiB of `tracestate` are looked at.
pub fn extract<'h>(traceparent: Option<&[u8]>, tracestate: Option<&'h [u8]>) -> Incoming<'h> {
    let Some(parent) = traceparent.and_then(TraceParent::parse) else {
        return Incoming { context: Context::new_trace(), others: Others::NONE };
    };
    let state = tracestate.map(TraceState::parse).unwrap_or_default();
    Incoming { context: Context::arrived(&parent, state.trail.as_ref()), others: state.others }
}

/// Does what [`extract`] does with the headers that `get` finds by their lowercase names.
///
/// With `http::HeaderMap`: `extract_with(|name| headers.get(name).map(|value| value.as_bytes()))`; a `tonic` `MetadataMap` likewise. Where a
/// request has several `tracestate` headers, give the first: ours stands on its left.
#[inline]
pub fn extract_with<'h>(mut get: impl FnMut(&'static str) -> Option<&'h [u8]>) -> Incoming<'h> {
    extract(get(TRACEPARENT), get(TRACESTATE))
}

/// The headers of a request that goes out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// To be told of the answer: [`Call::answered`].
    pub call: Call,
    parent: [u8; TRACEPARENT_BYTES],
    state: [u8; STATE_BYTES_MAX],
    state_len: u16,
    /// Whether there is a trace.
    is_traced: bool,
    has_fired: bool,
}

impl Outgoing {
    /// No headers.
    const NONE: Self = Self {
        call: Call::NONE,
        parent: [0; TRACEPARENT_BYTES],
        state: [0; STATE_BYTES_MAX],
        state_len: 0,
        is_traced: false,
        has_fired: false,
    };

    /// Returns the value of `traceparent`; empty without a trace.
    pub fn traceparent(&self) -> &str {
        std::str::from_utf8(self.traceparent_bytes()).unwrap_or_default() // ASCII by construction
    }

    /// Returns the bytes of [`Self::traceparent`]: what libraries of HTTP take without another look at whether they are text.
    #[inline]
    pub fn traceparent_bytes(&self) -> &[u8] {
        if self.is_traced { &self.parent } else { b"" }
    }

    /// Returns the value of `tracestate`; empty where nothing travels beside the trace.
    pub fn tracestate(&self) -> &str {
        std::str::from_utf8(self.tracestate_bytes()).unwrap_or_default() // as above
    }

    /// Returns the bytes of [`Self::tracestate`].
    #[inline]
    pub fn tracestate_bytes(&self) -> &[u8] {
        &self.state[..usize::from(self.state_len)]
    }

    /// Returns whether a trigger has fired for the trace; where none has, requests over one connection mostly have the same `tracestate`, which
    /// compression of headers should keep.
    pub fn has_fired(&self) -> bool {
        self.has_fired
    }

    /// Returns the names and values of the headers to set, one or two of them, or none without a trace.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let headers = [(TRACEPARENT, self.traceparent()), (TRACESTATE, self.tracestate())];
        headers.into_iter().filter(|(_, value)| !value.is_empty())
    }
}

/// Returns the headers of a request that the calling thread sends over `connection`, and records that it goes out: an open edge, until
/// [`Call::answered`].
///
/// The request belongs to the thread's active segment and its innermost span; outside a segment, and without an agent, to `given`, which
/// then passes on as it came. `others` are those of the request that is being served, [`Others::NONE`] for a request that began here.
///
/// # Cost
/// Allocates nothing. 24 bytes of the log; 64 of the signal ring outside a segment, where there is no chunk, or where the trace has fired.
#[inline(always)] // so that there is one place for the headers beside the caller's own
pub fn inject(given: &Context, others: Others<'_>, connection: &Connection) -> Outgoing {
    let mut outgoing = Outgoing::NONE;
    write(given, others, connection, &mut outgoing);
    outgoing
}

/// Does what [`inject`] does, in `outgoing`, which is [`Outgoing::NONE`].
#[inline(never)]
fn write(given: &Context, others: Others<'_>, connection: &Connection, outgoing: &mut Outgoing) {
    let departure = if process::is_open() { depart(given, connection) } else { Departure::of(given, None) };
    let Departure { parent, trail, call } = departure;
    (outgoing.call, outgoing.parent, outgoing.is_traced) = (call, parent.format(), !parent.trace.is_none());
    outgoing.has_fired = trail.flags.has(TrailFlags::FIRED);
    if outgoing.is_traced {
        outgoing.state_len = others.format(&trail, &mut outgoing.state) as u16;
    }
}

/// What a request that goes out says.
struct Departure {
    parent: TraceParent,
    trail: Trail,
    call: Call,
}

impl Departure {
    /// Returns what a request of `context` says; where `writer` is given, the agent's crumb is its newest.
    #[inline(always)] // as `TraceState::parse`
    fn of(context: &Context, writer: Option<&Writer<View>>) -> Self {
        let mut trail = context.trail();
        if let Some(writer) = writer {
            let view = writer.store();
            trail.leave(region::agent(view), region::crumbs(view).path_len.into());
            if region::is_recording(view) && !writer.is_shed() {
                trail.flags = trail.flags.with(TrailFlags::RECORDED);
            }
        }
        // The standard knows no request without a span: where none is open, its callee hangs under an id of its own.
        let span = if context.span.is_none() { SpanId(block::random() | 1) } else { context.span };
        Self { parent: TraceParent { trace: context.trace, span, flags: context.w3c_flags() }, trail, call: Call::NONE }
    }
}

/// Leaves this host's crumbs, in the request and in the log.
fn depart(given: &Context, connection: &Connection) -> Departure {
    let departed = block::with_writer(|writer, now| {
        let active = writer.segment();
        let context = if active.trace.is_none() { *given } else { context_of(&active) };
        let now = if context.trace.is_none() { None } else { block::attached(writer, now) }?;
        let mut departure = Departure::of(&context, Some(writer));
        departure.call = Call::record(writer, now, context.trace, departure.parent.span, connection);
        Some(departure)
    });
    departed.flatten().unwrap_or_else(|| Departure::of(given, None))
}
