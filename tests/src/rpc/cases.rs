//! What is run: the topologies, how hard each is loaded, how long and how often.
//!
//! Called by the bench; pure.

use crate::bench::{cli::Options, runner::Rounds};

/// How many requests get a fault, of all from 0 to 1.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Faults {
    /// That are slow.
    pub slow: f64,
    /// That fail.
    pub error: f64,
    /// Whose handler panics.
    pub panic: f64,
}

impl Faults {
    /// One request in a hundred is an edge case: half of them slow, half of them errors.
    pub const RARE: Self = Self { slow: 0.005, error: 0.005, panic: 0.0 };
}

/// A topology and its loads.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Case {
    /// What `bricks --topology` takes.
    pub topology: &'static str,
    /// Requests in flight where the highest rate is asked for: enough to keep a small machine busy.
    pub concurrency: u32,
    /// Requests a second of the moderate rate: below half of what two cores serve, so that latency is not queueing.
    pub rate: u32,
}

/// The cases, by the names that `--case` takes.
pub const CASES: [Case; 3] = [
    Case { topology: "two", concurrency: 32, rate: 1000 },
    Case { topology: "ten", concurrency: 32, rate: 200 },
    Case { topology: "synthetic93", concurrency: 16, rate: 20 },
];

/// How requests come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Load {
    /// As fast as they are answered, so many in flight.
    Highest {
        /// Requests in flight.
        concurrency: u32,
    },
    /// So many a second, answered or not.
    Rate(u32),
}

impl Load {
    /// Returns the load in words, as it stands in a case's name.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Self::Highest { .. } => "highest rate".to_owned(),
            Self::Rate(rate) => format!("{rate}/s"),
        }
    }
}

/// How long and how often.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds of each load that are timed.
    pub rounds: Rounds,
    /// Seconds of load that count in such a round.
    pub seconds: f64,
    /// Seconds of load before them, at a rate.
    warmup_seconds: f64,
    /// The same at the highest rate: long enough for a process to write where it wrote before, as any does that has run for a while. The first
    /// time, each page costs it a fault.
    warmup_at_highest_seconds: f64,
    /// Runs with the truth written, for each tracer.
    pub n_truths: usize,
    /// Seconds of load of these.
    pub truth_seconds: f64,
    /// Seconds before them, without edge cases.
    pub truth_warmup_seconds: f64,
}

impl Plan {
    /// Returns the plan for `case`: a full one takes minutes, a quick one its share of a minute, and no time at all for rounds where
    /// the spec asks nothing of cost.
    #[must_use]
    pub fn of(case: Case, options: &Options) -> Self {
        let is_two = case.topology == "two";
        let n_rounds = options.rounds.map_or_else(|| default_rounds(is_two, options.quick), usize::from);
        Self {
            rounds: Rounds { n_rounds, n_warmup: options.pick(0, 1) },
            seconds: options.pick(0.45, 2.0),
            warmup_seconds: options.pick(0.2, 1.0),
            warmup_at_highest_seconds: options.pick(0.2, 6.0),
            n_truths: options.pick(1, 5),
            truth_seconds: options.pick(1.5, 8.0),
            truth_warmup_seconds: 0.2,
        }
    }

    /// Returns the seconds of `load` before those that count.
    #[must_use]
    pub fn warmup_seconds(&self, load: Load) -> f64 {
        match load {
            Load::Highest { .. } => self.warmup_at_highest_seconds,
            Load::Rate(_) => self.warmup_seconds,
        }
    }
}

/// The musts about cost are on `two`; the others show how it grows.
fn default_rounds(is_two: bool, quick: bool) -> usize {
    match (is_two, quick) {
        (true, false) => 21,
        (true, true) | (false, false) => 5,
        (false, true) => 0,
    }
}

#[cfg(test)]
mod tests;
