//! The one slow request of many: what has to move, and how long it takes until somebody can read it (`rec-lttng`).
//!
//! Called by the bench of that name. The load is the same twice: [`load`] writes it with Backsight, `bench/peers/lttng/requests.c` with
//! LTTng-UST. Both processes run all the time, so that both have full memory and the same neighbours when their slow request comes.

use serde::{Deserialize, Serialize};

pub mod load;
pub mod lttng;
pub mod ours;

/// Bytes of an event: the words that [`load`] writes, and a request's id and four words with LTTng.
pub const EVENT_BYTES: usize = 40;
/// Memory that either has on the host for what is recorded.
pub const MEMORY_BYTES: u64 = 16 << 20;

/// What a process serves.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Threads that serve.
    pub n_threads: usize,
    /// Requests a second of all threads together.
    pub requests_per_s: f64,
    /// Events of a request, between its begin and its end.
    pub n_events: usize,
    /// How long a slow request waits half-way, in milliseconds.
    pub slow_ms: u64,
}

/// The load of the bench: some megabytes a second, so that memory holds seconds of it.
pub const LOAD: Load = Load { n_threads: 4, requests_per_s: 10_000.0, n_events: 10, slow_ms: 50 };

/// A slow request that has ended: the symptom from which time counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Symptom {
    /// The request's id; the low half of its trace's.
    pub id: u64,
    /// When it ended: nanoseconds of the monotonic clock.
    pub at_ns: u64,
}

/// What one slow request took.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// Bytes that were written elsewhere for it.
    pub bytes: u64,
    /// From the symptom until all of its records had been read, or the end of what there was to read, in milliseconds.
    pub found_ms: f64,
    /// Whether all of its records were there.
    pub is_found: bool,
}

impl Symptom {
    /// Returns how long ago the request ended, in milliseconds.
    #[must_use]
    pub fn elapsed_ms(&self) -> f64 {
        load::monotonic_ns().saturating_sub(self.at_ns) as f64 / 1e6
    }
}
