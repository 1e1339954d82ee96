//! What became of the requests: counts and latencies. Pure: times come in as numbers.

use crate::faults::FaultKind;
use anyhow::{Context as _, Result};
use hdrhistogram::Histogram;

/// The longest latency that is told apart; longer ones count as this.
const LATENCY_MAX_US: u64 = 120_000_000;
/// Latencies are kept to this many decimal digits.
const DIGITS: u8 = 3;

/// What became of one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Outcome {
    /// When it should have been sent.
    pub(crate) due_ns: u64,
    /// When it was answered, or known to have failed.
    pub(crate) done_ns: u64,
    /// Whether the answer was good.
    pub(crate) is_ok: bool,
    /// The fault that it carried.
    pub(crate) fault: FaultKind,
    /// Whether it counts: not during the warm-up.
    pub(crate) is_measured: bool,
}

/// Counts of requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counts {
    /// Due in the measured time: all of those below together, and those still under way.
    pub(crate) sent: u64,
    /// Answered well.
    pub(crate) answered: u64,
    /// Answered with an error, or not.
    pub(crate) failed: u64,
    /// Not sent, because too many were under way.
    pub(crate) refused: u64,
    /// Sent with each kind of fault, by its number.
    pub(crate) faults: [u64; 5],
    /// Whose fault acted, or which failed: of the warm-up too.
    pub(crate) edge_cases: u64,
}

/// Counts and latencies.
#[derive(Debug)]
pub(crate) struct Ledger {
    counts: Counts,
    latencies_us: Histogram<u64>,
}

impl Ledger {
    /// Returns an empty one.
    pub(crate) fn new() -> Result<Self> {
        let latencies_us = Histogram::new_with_max(LATENCY_MAX_US, DIGITS).context("histogram of latencies")?;
        Ok(Self { counts: Counts::default(), latencies_us })
    }

    /// A request that counts is sent with a fault of `kind`.
    pub(crate) fn sent(&mut self, kind: FaultKind) {
        self.counts.sent += 1;
        self.counts.faults[kind as usize] += 1;
    }

    /// A request is not sent.
    pub(crate) fn refused(&mut self, is_measured: bool) {
        if is_measured {
            self.counts.sent += 1;
            self.counts.refused += 1;
        }
    }

    /// A request that was sent has ended. Its latency counts from when it was due, however late it was sent.
    pub(crate) fn settle(&mut self, outcome: &Outcome) {
        let has_acted = matches!(outcome.fault, FaultKind::Slow | FaultKind::Error | FaultKind::Panic);
        self.counts.edge_cases += u64::from(has_acted || !outcome.is_ok);
        if !outcome.is_measured {
            return;
        }
        if !outcome.is_ok {
            self.counts.failed += 1;
            return;
        }
        self.counts.answered += 1;
        let latency_us = outcome.done_ns.saturating_sub(outcome.due_ns) / 1000;
        self.latencies_us.saturating_record(latency_us);
    }

    /// Returns the counts.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Returns the latency that `share` of the good answers did not exceed.
    pub(crate) fn latency_us(&self, share: f64) -> u64 {
        self.latencies_us.value_at_quantile(share)
    }
}

#[cfg(test)]
mod tests;
