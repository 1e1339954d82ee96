//! How often something may happen. Over its rate a limit refuses by priority, not by arrival, so that hosts which each refuse most of a
//! storm keep the same traces of it.
//!
//! Called by `triggers`. Pure: time comes in as an argument. Limits of triggers stand in a table that cannot grow without bound.

mod bucket;

pub use bucket::TokenBucket;

use backsight_core::ids::TriggerId;
use backsight_core::priority::Priority;
use backsight_core::units::Nanos;
use std::collections::BTreeMap;

/// Triggers with a limit, and with a name, of their own; more share one and are shown by their ids, so that random ids cannot use up
/// memory.
pub const TRIGGERS_MAX: usize = 1024;

/// How often a limit adapts.
const ADAPT_EVERY: Nanos = Nanos::from_ms(100);
/// What is counted apart: the ten spans of the last second, and the present one.
const SPANS: usize = 11;

/// Lets the part of highest priority of what comes through, as large as its rate allows.
///
/// # Shape
/// Ten times a second a threshold on the priority's hash is set such that of what came in the last second, the rate would have passed. A
/// storm meets that only by and by: behind it a token bucket at twice the rate refuses by arrival.
///
/// # Source
/// Hindsight spec, section 4.8.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PriorityLimit {
    rate_per_s: u64,
    /// What has a smaller hash is refused.
    threshold: u64,
    /// What came in each of the last spans; the present one is at `span % SPANS`.
    offered: [u32; SPANS],
    /// The number of the present span since time began.
    span: u64,
    bucket: TokenBucket,
}

impl PriorityLimit {
    /// Returns a limit that nothing has met yet.
    pub const fn new(rate_per_s: u64, now: Nanos) -> Self {
        Self {
            rate_per_s,
            threshold: 0,
            offered: [0; SPANS],
            span: now.0 / ADAPT_EVERY.0,
            bucket: TokenBucket::new(rate_per_s.saturating_mul(2), now),
        }
    }

    /// Returns whether what has this priority may pass now.
    pub fn admit(&mut self, priority: Priority, now: Nanos) -> bool {
        self.adapt(now);
        let offered = &mut self.offered[(self.span % SPANS as u64) as usize];
        *offered = offered.saturating_add(1);
        priority.hash() >= self.threshold && self.bucket.take(now)
    }

    /// Returns whether the limit is as if nothing had ever met it: nothing did within the time that it looks back, nor since the bucket was
    /// full again.
    const fn is_idle(&self, now: Nanos) -> bool {
        (now.0 / ADAPT_EVERY.0).saturating_sub(self.span) >= SPANS as u64
    }

    /// Returns the share of all priorities that is refused now.
    pub fn refused_share(&self) -> f64 {
        self.threshold as f64 / HASHES
    }

    /// Sets the threshold anew where a span has ended. Time that runs backwards ends none.
    fn adapt(&mut self, now: Nanos) {
        let span = now.0 / ADAPT_EVERY.0;
        if span <= self.span {
            return;
        }
        for gone in (self.span + 1..=span).take(SPANS) {
            self.offered[(gone % SPANS as u64) as usize] = 0;
        }
        self.span = span;
        let offered: u64 = self.offered.iter().map(|n| u64::from(*n)).sum();
        self.threshold = match offered > self.rate_per_s {
            true => ((1.0 - self.rate_per_s as f64 / offered as f64) * HASHES) as u64,
            false => 0,
        };
    }
}

/// How many hashes there are.
const HASHES: f64 = 18_446_744_073_709_551_616.0;

/// One limit per trigger.
///
/// # Shape
/// At most [`TRIGGERS_MAX`]; where there are as many, idle ones are forgotten, ten times a second.
#[derive(Clone, Debug)]
pub struct TriggerLimits {
    rate_per_s: u64,
    limits: BTreeMap<TriggerId, PriorityLimit>,
    shared: PriorityLimit,
    /// When idle ones were looked for.
    swept: Nanos,
}

impl TriggerLimits {
    /// Returns limits that let each trigger fire `rate_per_s` times a second.
    pub const fn new(rate_per_s: u64, now: Nanos) -> Self {
        Self { rate_per_s, limits: BTreeMap::new(), shared: PriorityLimit::new(rate_per_s, now), swept: now }
    }

    /// Returns whether `trigger` may fire now for a trace of this priority.
    pub fn admit(&mut self, trigger: TriggerId, priority: Priority, now: Nanos) -> bool {
        if !self.limits.contains_key(&trigger) && !self.has_place(now) {
            return self.shared.admit(priority, now);
        }
        let rate_per_s = self.rate_per_s;
        self.limits.entry(trigger).or_insert_with(|| PriorityLimit::new(rate_per_s, now)).admit(priority, now)
    }

    /// Returns whether another trigger can have a limit of its own.
    fn has_place(&mut self, now: Nanos) -> bool {
        let is_full = self.limits.len() >= TRIGGERS_MAX;
        if is_full && now.0.saturating_sub(self.swept.0) >= ADAPT_EVERY.0 {
            self.swept = now;
            self.limits.retain(|_, limit| !limit.is_idle(now));
        }
        self.limits.len() < TRIGGERS_MAX
    }

    /// Returns the share of its firings that the limit of `trigger` refuses now.
    pub fn refused_share(&self, trigger: TriggerId) -> f64 {
        self.limits.get(&trigger).map_or(0.0, PriorityLimit::refused_share)
    }
}

#[cfg(test)]
mod tests;
