//! Requests on the admin socket that were refused, counted by reason.
//!
//! Counted by the admin thread, read by the loop for metrics. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed}; // each counter stands for itself

/// Why a request was refused. What is only not here, or fires too often, is answered and not refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No such path, or no such trigger.
    UnknownName,
    /// The path takes another method.
    Method,
    /// No HTTP, no trace id, or a body that says nothing.
    Malformed,
    /// No request came on the connection in time.
    TooLate,
    /// The loop has too much to answer already.
    Busy,
}

impl Reason {
    const ALL: [Self; 5] = [Self::UnknownName, Self::Method, Self::Malformed, Self::TooLate, Self::Busy];

    const fn name(self) -> &'static str {
        match self {
            Self::UnknownName => "unknown_name",
            Self::Method => "method",
            Self::Malformed => "malformed",
            Self::TooLate => "too_late",
            Self::Busy => "busy",
        }
    }
}

/// How many requests were refused. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct RefusedRequests {
    counts: Arc<[AtomicU64; Reason::ALL.len()]>,
}

impl RefusedRequests {
    /// Counts a request.
    pub fn count(&self, reason: Reason) {
        self.counts[reason as usize].fetch_add(1, Relaxed);
    }

    /// Returns how many there were, by the names of the reasons.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::ALL.into_iter().map(|reason| (reason.name(), self.counts[reason as usize].load(Relaxed)))
    }
}
