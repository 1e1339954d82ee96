//! Burn rate: fires for bad requests while the error budget burns too fast, over a short and a long window.
//!
//! Called once per request with its outcome.

use super::window::{Outcome, Seen, Spans, Windows};
use super::{AutotriggerError, windows};
use crate::clock;
use backsight_core::ids::TriggerId;

/// How many times as fast as the budget allows bad requests must come, where nothing else is said: a budget of 30 days is then gone in two.
///
/// # Source
/// The Site Reliability Workbook (Beyer and others, 2018), chapter 5, "Multiwindow, multi-burn-rate alerts".
pub const FACTOR: f64 = 14.4;
/// Bad requests in the short window below which nothing burns: among the first few requests of a process one is too large a share. At the
/// budget itself, three among as many as one would be too large a share of come once in 20 000 times.
const BAD_MIN: u64 = 3;

/// What a service promised, and how fast it may break it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Burning {
    /// The share of requests that may be bad: 0.001 where 99.9 % are promised.
    pub budget: f64,
    /// How many times that share is too much.
    pub factor: f64,
    /// Over which windows.
    pub spans: Spans,
}

impl Burning {
    /// Returns what the budget `budget` means: 14.4 times as much, over 10 s and 60 s.
    pub fn of(budget: f64) -> Self {
        Self { budget, factor: FACTOR, spans: Spans::default() }
    }
}

/// What decides whether a budget burns: no ids, no agent, no clock.
///
/// # Shape
/// 3 KiB for windows of 10 s and 60 s, allocated by [`BurnRate::new`].
#[derive(Debug)]
pub struct BurnRate {
    too_much: f64,
    windows: Windows,
}

impl BurnRate {
    /// Returns empty windows.
    ///
    /// # Errors
    /// A budget outside of 0.00001 to 0.5, a factor below 1 or one that no share of requests reaches, spans outside of [`Spans`]'s.
    pub fn new(burning: Burning) -> Result<Self, AutotriggerError> {
        let Burning { budget, factor, spans } = burning;
        if !(0.00001..=0.5).contains(&budget) {
            return Err(AutotriggerError::OutOfRange { what: "budget", value: budget, expected: "0.00001 to 0.5" });
        }
        if !(factor >= 1.0 && budget * factor <= 1.0) {
            let expected = "at least 1, and with the budget a share of at most 1";
            return Err(AutotriggerError::OutOfRange { what: "factor", value: factor, expected });
        }
        Ok(Self { too_much: budget * factor, windows: windows(spans)? })
    }

    /// Counts a request in shard `shard` (taken modulo 16) at `now_ns`, on a clock that all callers share, and returns whether the budget
    /// burns: whether in each window bad requests are at least `budget * factor` of all, and three in the short one.
    ///
    /// # Cost
    /// One atomic add and two loads. Every 16th request of a shard, and the first of each tenth of the short window, adds up what 16 shards
    /// have counted; the answer is as old as that.
    #[inline]
    pub fn sample(&self, outcome: Outcome, shard: usize, now_ns: u64) -> bool {
        let too_much = self.too_much;
        let burns = move |Seen { short, long }| {
            short.n_bad >= BAD_MIN && short.bad_share() >= too_much && long.bad_share() >= too_much
        };
        self.windows.count(outcome, shard, now_ns, burns)
    }
}

/// Fires for bad requests while the error budget burns too fast, over a short and a long window.
///
/// # Shape
/// 3 KiB for windows of 10 s and 60 s, allocated once. Make one per promise and keep it in a static.
#[derive(Debug)]
pub struct Burn {
    trigger: TriggerId,
    rate: BurnRate,
}

impl Burn {
    /// Returns a trigger called `name`; [`Burning::of`] has what is usual.
    ///
    /// # Errors
    /// A name that is refused, or what [`BurnRate::new`] refuses.
    pub fn new(name: &str, burning: Burning) -> Result<Self, AutotriggerError> {
        let rate = BurnRate::new(burning)?;
        Ok(Self { trigger: super::register(name)?, rate })
    }

    /// Counts a request; where it is bad and the budget burns, fires for the active trace. Returns whether it did so.
    ///
    /// # Cost
    /// That of [`BurnRate::sample`], and of reading the kernel's coarse clock.
    #[inline]
    pub fn sample(&self, outcome: Outcome) -> bool {
        let burns = self.rate.sample(outcome, super::shard(), clock::coarse_ns());
        let fires = burns && outcome == Outcome::Bad;
        if fires {
            crate::trigger(self.trigger);
        }
        fires
    }

    /// Returns the trigger's id.
    pub fn trigger_id(&self) -> TriggerId {
        self.trigger
    }
}

#[cfg(test)]
mod tests;
