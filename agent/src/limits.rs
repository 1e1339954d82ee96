//! How often something may happen: token buckets, one per trigger, in a table that cannot grow without bound.
//!
//! Called by `triggers`. Pure: time comes in as an argument.

use backsight_core::ids::TriggerId;
use backsight_core::units::Nanos;
use std::collections::BTreeMap;

/// Triggers with a bucket, and with a name, of their own; later ones share one and are shown by their ids, so that random ids cannot use up
/// memory.
pub const TRIGGERS_MAX: usize = 1024;

const SECOND_NS: u64 = 1_000_000_000;

/// A token bucket: holds one second's worth, refills steadily.
///
/// # Shape
/// Counts in billionths of a token, so that no rate rounds to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenBucket {
    rate_per_s: u64,
    billionths: u64,
    refilled: Nanos,
}

impl TokenBucket {
    /// Returns a full bucket.
    pub const fn new(rate_per_s: u64, now: Nanos) -> Self {
        Self { rate_per_s, billionths: rate_per_s.saturating_mul(SECOND_NS), refilled: now }
    }

    /// Takes one token if there is one. Time that runs backwards refills nothing.
    pub fn take(&mut self, now: Nanos) -> bool {
        let elapsed = now.0.saturating_sub(self.refilled.0);
        self.refilled = Nanos(self.refilled.0.max(now.0));
        let full = self.rate_per_s.saturating_mul(SECOND_NS);
        self.billionths = self.billionths.saturating_add(elapsed.saturating_mul(self.rate_per_s)).min(full);
        match self.billionths.checked_sub(SECOND_NS) {
            Some(left) => {
                self.billionths = left;
                true
            }
            None => false,
        }
    }
}

/// One bucket per trigger.
#[derive(Clone, Debug)]
pub struct TriggerLimits {
    rate_per_s: u64,
    buckets: BTreeMap<TriggerId, TokenBucket>,
    shared: TokenBucket,
}

impl TriggerLimits {
    /// Returns limits that let each trigger fire `rate_per_s` times a second.
    pub const fn new(rate_per_s: u64, now: Nanos) -> Self {
        Self { rate_per_s, buckets: BTreeMap::new(), shared: TokenBucket::new(rate_per_s, now) }
    }

    /// Returns whether `trigger` may fire now.
    pub fn admit(&mut self, trigger: TriggerId, now: Nanos) -> bool {
        if !self.buckets.contains_key(&trigger) && self.buckets.len() >= TRIGGERS_MAX {
            return self.shared.take(now);
        }
        let rate_per_s = self.rate_per_s;
        self.buckets.entry(trigger).or_insert_with(|| TokenBucket::new(rate_per_s, now)).take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::{TRIGGERS_MAX, TokenBucket, TriggerLimits};
    use backsight_core::ids::TriggerId;
    use backsight_core::units::Nanos;
    use proptest::prelude::{prop, prop_assert, proptest};

    proptest! {
        /// For every rate and every sequence of steps, at most one second's worth and what flowed in since gets through.
        #[test]
        fn no_burst_exceeds_the_rate(rate in 1_u64..20_000, steps in prop::collection::vec(0_u64..50_000_000, 1..200)) {
            let mut bucket = TokenBucket::new(rate, Nanos(0));
            let (mut now, mut taken) = (0, 0_u64);
            for step in steps {
                now += step;
                taken += (0..40).filter(|_| bucket.take(Nanos(now))).count() as u64;
            }
            prop_assert!(taken <= rate + rate * now / 1_000_000_000 + 1);
        }
    }

    #[test]
    fn random_trigger_ids_share_one_bucket_and_spare_the_rest() {
        let mut limits = TriggerLimits::new(2, Nanos(0));
        for id in 0..TRIGGERS_MAX as u32 {
            assert!(limits.admit(TriggerId(id), Nanos(0)));
        }
        let admitted = (5000..9000).filter(|id| limits.admit(TriggerId(*id), Nanos(0))).count();
        assert_eq!(admitted, 2);
        assert!(limits.admit(TriggerId(7), Nanos(0)), "an old trigger has its own");
        assert_eq!(limits.buckets.len(), TRIGGERS_MAX);
    }

    #[test]
    fn a_clock_that_steps_back_gives_no_tokens() {
        let mut bucket = TokenBucket::new(1, Nanos(10_000_000_000));
        assert!(bucket.take(Nanos(10_000_000_000)));
        assert!(!bucket.take(Nanos(1)) && !bucket.take(Nanos(10_000_000_000)));
    }
}
