//! Log lines that others can cause as often as they like: of each kind one a second is written, and how many were left out.

use std::time::{Duration, Instant};

/// The time between two lines of a kind.
const EVERY: Duration = Duration::from_secs(1);

/// What was logged of one kind.
#[derive(Debug, Default)]
pub(crate) struct Seldom {
    last: Option<Instant>,
    n_silenced: u64,
}

impl Seldom {
    /// Returns how many lines were left out since the last, or `None` where this one is to be left out too.
    pub(crate) fn admit(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            self.n_silenced += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.n_silenced))
    }
}
