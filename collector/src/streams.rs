//! Streams of agents and readers that were refused or ended because of what came on them: counted by reason.
//!
//! Counted by the intake, the coordinator's shell and the query service; read for metrics and `status`. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed}; // each counter stands for itself
use tonic::{Code, Status};

/// Why a stream was refused, or ended by the collector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// Its first message is no hello, or one of another protocol or without an agent.
    BadHello,
    /// A batch came that is not the next one, or something that is no batch.
    NotNextBatch,
    /// A batch cannot be unpacked.
    BadBatch,
    /// A message that no version of the protocol says.
    Malformed,
    /// A message longer than its service takes.
    TooLong,
    /// The agent let too many messages wait.
    Deaf,
    /// As many readers follow the tail as may.
    TooManyFollowers,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::BadHello,
        Self::NotNextBatch,
        Self::BadBatch,
        Self::Malformed,
        Self::TooLong,
        Self::Deaf,
        Self::TooManyFollowers,
    ];

    /// Returns the name under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BadHello => "bad_hello",
            Self::NotNextBatch => "not_next_batch",
            Self::BadBatch => "bad_batch",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Deaf => "deaf",
            Self::TooManyFollowers => "too_many_followers",
        }
    }
}

/// How many streams were refused. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    counts: Arc<[AtomicU64; Reason::ALL.len()]>,
}

impl Refused {
    /// Counts a stream.
    pub fn count(&self, reason: Reason) {
        self.counts[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts a stream that ends with `status`, and returns that.
    pub fn with(&self, reason: Reason, status: Status) -> Status {
        self.count(reason);
        status
    }

    /// Counts a stream that could not be read on, where that is because of what came on it, and returns what to say of it.
    pub fn unread(&self, status: Status) -> Status {
        // Where the connection broke, that is the status' source.
        let is_of_message = std::error::Error::source(&status).is_none();
        match status.code() {
            Code::OutOfRange if is_of_message => self.count(Reason::TooLong),
            Code::Internal if is_of_message => self.count(Reason::Malformed),
            _ => {}
        }
        status
    }

    /// Returns how many there were, by the names of the reasons.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::ALL.into_iter().map(|reason| (reason.name(), self.counts[reason as usize].load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Reason, Refused};

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let refused = Refused::default();
        for (idx, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, idx);
            (0..=idx).for_each(|_| refused.clone().count(reason));
        }
        assert!(refused.counts().map(|(_, n)| n).eq(1..=Reason::ALL.len() as u64));
    }
}
