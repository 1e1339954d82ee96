//! The peers that the recorder is measured against, each behind one small trait.
//!
//! Called by `rec-micro` and `rec-threads` through [`compare`]. A peer says in [`Peer::measures`] exactly what its numbers contain; a
//! peer that this host lacks is a value, [`Availability::Missing`], and the rows about it say `no-peer`.

use anyhow::Result;

use crate::bench::{pace::Load, threads::Measurement};

pub mod compare;
pub mod fastrace;
pub mod floor;
pub mod hindsight_model;
pub mod lttng;
pub mod opentelemetry;
pub mod ours;

/// The name of the one peer that is us; the rows compare it with all others.
pub const OURS: &str = "ours";

/// The name of the control: code that is not ours and depends on the machine alone.
pub const CONTROL: &str = "stores";

/// The payloads that events are measured with, in bytes.
pub const PAYLOADS: [usize; 5] = [8, 32, 128, 512, 2048];

/// The payload of each event of a visit, in bytes.
pub const VISIT_PAYLOAD: usize = 32;

/// How many traces a recorder begins and ends between two pauses: not quite a million a second.
const VISITS_PER_BURST: u64 = 4000;

/// How many bytes a recorder writes between two pauses: half a GB a second.
const BYTES_PER_BURST: usize = 2 << 20;

/// How many spans, or attributes, a peer hangs under one parent before it starts another, where it needs a parent at all.
pub const CHILDREN: u64 = 100;

/// One operation to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// An event with a time stamp and `payload` bytes, one of [`PAYLOADS`], inside a trace that is already begun.
    Event {
        /// The payload's length in bytes.
        payload: usize,
    },
    /// Begin a trace on this thread, and end it, with nothing between.
    BeginEnd,
    /// Start a span under an open trace, and end it.
    Span,
    /// Add an integer attribute to the current span.
    Attr,
    /// Begin a trace, record `events` events of [`VISIT_PAYLOAD`] bytes, end it.
    Visit {
        /// How many events the visit records.
        events: usize,
    },
}

/// Whether a peer can be measured on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Ok,
    /// It cannot, and this is why; where a package is missing, how to install it.
    Missing {
        /// The reason, for people.
        why: String,
    },
}

/// Something that records, and that can be asked what an operation costs.
pub trait Peer {
    /// Returns the name that rows carry.
    fn name(&self) -> &'static str;

    /// Returns what exactly is measured, in one or two sentences.
    fn measures(&self) -> &'static str;

    /// Returns whether this host has what the peer needs; the first call may start it.
    fn availability(&self) -> Availability {
        Availability::Ok
    }

    /// Returns whether the peer has `op` at all; asked before anything is started.
    fn supports(&self, op: Op) -> bool;

    /// Runs `op` `n` times on each of `threads` threads and returns its cost.
    ///
    /// # Errors
    /// The peer does not have `op`, or broke while it was measured.
    fn measure(&self, op: Op, threads: usize, n: u64) -> Result<Measurement>;

    /// Returns whether the peer can lose what it was given, so that [`Peer::lost_share`] means something.
    fn measures_loss(&self) -> bool {
        false
    }

    /// Runs a paced load and returns the share that was lost, 0 to 1.
    ///
    /// # Errors
    /// The peer has no notion of loss, or the load could not be run.
    fn lost_share(&self, load: Load) -> Result<f64> {
        anyhow::bail!("{} has no notion of loss, so none under {load:?}", self.name())
    }
}

/// Returns all peers, the floor first.
#[must_use]
pub fn all() -> Vec<Box<dyn Peer>> {
    vec![
        Box::new(floor::Floor),
        Box::new(ours::Ours::default()),
        Box::new(floor::Rdtsc),
        Box::new(floor::Stores),
        Box::new(lttng::Lttng::default()),
        Box::new(fastrace::Fastrace::default()),
        Box::new(opentelemetry::OpenTelemetry::default()),
        Box::new(hindsight_model::HindsightModel::default()),
    ]
}

/// Returns the error for an operation that `peer` does not have.
fn unsupported(peer: &dyn Peer, op: Op) -> anyhow::Error {
    anyhow::anyhow!("{} has no {op:?}", peer.name())
}

/// Returns how many operations come between two pauses that write a header and `payload` bytes each.
const fn ops_per_burst(payload: usize) -> u64 {
    (BYTES_PER_BURST / (8 + payload)) as u64
}

/// Returns how many visits with `events` events come between two pauses.
const fn visits_per_burst(events: usize) -> u64 {
    let by_bytes = ops_per_burst(events * (8 + VISIT_PAYLOAD));
    if by_bytes < VISITS_PER_BURST { by_bytes } else { VISITS_PER_BURST }
}
