//! Token buckets: so many a second, and one second's worth at once.
//!
//! Called by the limits, and by whoever looks for names. Pure.

use backsight_core::units::Nanos;

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

#[cfg(test)]
mod tests {
    use super::TokenBucket;
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
    fn a_clock_that_steps_back_gives_no_tokens() {
        let mut bucket = TokenBucket::new(1, Nanos(10_000_000_000));
        assert!(bucket.take(Nanos(10_000_000_000)));
        assert!(!bucket.take(Nanos(1)) && !bucket.take(Nanos(10_000_000_000)));
    }
}
