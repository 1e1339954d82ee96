//! What applications load: every record of every request, written to shared memory in nanoseconds.
//!
//! Called by applications through the facade `backsight`, the C face `libbacksight.so`, and later faces. The host application comes
//! first: the write path never allocates, locks, logs, panics or waits, makes no system call but the
//! one that wakes a sleeping agent, and without an agent it does nothing.
//!
//! - [`Context`] is what a request carries; [`begin`] makes a thread work for it until the guard drops.
//! - [`span`], [`event`], [`attr`], [`raw`] record; [`trigger`](fn@trigger) says that the trace was worth keeping.
//! - [`InSegment`] carries the context through a future's polls; [`detach`] and [`attach`] through anything else.
//! - [`extract`] reads what a request brings along; [`inject`] gives what the next one takes along, and [`Call::answered`] its answer.
//! - [`last_words::install`] has crashes say what they died of.
//! - [`stats`](fn@stats) says whether recording works, and what was given up.
//!
//! Under loom there is nothing here: the models take the one file that they explore, `publication.rs`, as it is.
#![cfg(not(any(loom, shuttle)))]

pub mod autotrigger;
mod block;
mod clock;
mod connect;
mod context;
mod descriptor;
mod edge;
mod exit;
mod future;
mod guard;
pub mod last_words;
mod name;
mod process;
mod propagate;
mod publication;
mod record;
mod settings;
mod signals;
mod slab;
mod stats;
mod trigger;

pub use autotrigger::register as register_trigger;
pub use backsight_core::context::{KeptOthers, Others, RESPONSE_HEADER, ResponseText};
pub use backsight_core::ids::{AgentId, SpanId, TraceId, TriggerId};
pub use backsight_core::record::{Level, SpanKind, StatusCode};
pub use backsight_ringbuf::writer::Carried;
pub use context::Context;
pub use edge::{Call, Connection, response_crumb};
pub use exit::goodbye;
pub use future::{InSegment, SegmentExt};
pub use guard::{Segment, Span, attach, begin, detach, span};
pub use name::{Name, StaticName};
pub use process::{Missing, init};
pub use propagate::{Incoming, Outgoing, TRACEPARENT, TRACESTATE, extract, extract_with, inject};
pub use record::{
    Value, attr, attr_at, event, event_at, exception, link, named, named_at, raw, raw_at, rename, status,
};
pub use settings::Settings;
pub use stats::{Stats, stats};
pub use trigger::{trigger, trigger_for, trigger_with_laterals};

#[doc(hidden)]
pub mod ffi {
    //! What the C face needs beyond the Rust one.
    pub use crate::block::{ThreadBlock, current, recover, with_writer};
    pub use crate::clock::now;
    pub use crate::guard::{Started, begin_unguarded, end_unguarded, span_end_unguarded, span_start_unguarded};
    pub use crate::name::intern;
    pub use crate::record::{event_bytes, exception_bytes, raw_cold};
}
