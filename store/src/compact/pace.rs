//! How long to rest, so that work takes no more than a share of a core.
//!
//! Called by whoever runs compaction, with times that it measured. Pure.

use std::time::Duration;

/// Shorter rests are saved up: to sleep and wake costs more than they give back.
const REST_LEAST: Duration = Duration::from_millis(5);
/// The longest rest at once, so that whoever is to stop stops soon.
const REST_MOST: Duration = Duration::from_millis(500);
/// The most rest that counts in advance.
const CREDIT_MOST: Duration = Duration::from_millis(100);
/// Less than a thousandth of a core is none.
const SHARE_LEAST: f64 = 0.001;

/// The pace of one thread's work.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Pace {
    /// Rest for each second of work.
    rest_per_work: f64,
    /// Rest that is owed, seconds; below zero where there was more than was owed.
    owed_s: f64,
}

impl Pace {
    /// Returns a pace of at most `share` of a core, 0.001 to 1.
    pub fn new(share: f64) -> Self {
        let share = if share.is_nan() { SHARE_LEAST } else { share.clamp(SHARE_LEAST, 1.0) };
        Self { rest_per_work: (1.0 - share) / share, owed_s: 0.0 }
    }

    /// Takes note of work, and returns how long to rest now; zero where it is too short to be worth it.
    pub fn worked(&mut self, work: Duration) -> Duration {
        self.owed_s += work.as_secs_f64() * self.rest_per_work;
        if self.owed_s < REST_LEAST.as_secs_f64() {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(self.owed_s.min(REST_MOST.as_secs_f64()))
    }

    /// Takes note of a rest, as long as it was: a sleep may take longer than was asked for.
    pub fn rested(&mut self, rest: Duration) {
        self.owed_s = (self.owed_s - rest.as_secs_f64()).max(-CREDIT_MOST.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::{CREDIT_MOST, Pace, REST_MOST};
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::time::Duration;

    proptest! {
        /// For all shares, amounts of work and sleeps that take too long: of all time at most the share is work, but for one short rest.
        #[test]
        fn work_takes_at_most_its_share(share in 0.001..1.0_f64, steps in vec((0..50_000_u64, 0..30_000_u64), 1..200)) {
            let mut pace = Pace::new(share);
            let (mut worked_s, mut rested_s) = (0.0, 0.0);
            for (work_us, oversleep_us) in steps {
                let work = Duration::from_micros(work_us);
                worked_s += work.as_secs_f64();
                let mut rest = pace.worked(work);
                while !rest.is_zero() {
                    prop_assert!(rest <= REST_MOST);
                    let took = rest + Duration::from_micros(oversleep_us);
                    pace.rested(took);
                    rested_s += took.as_secs_f64();
                    rest = pace.worked(Duration::ZERO);
                }
            }
            let owed_s = worked_s * (1.0 - share) / share;
            prop_assert!(rested_s + 0.006 >= owed_s, "{} s of {}", rested_s, owed_s);
        }
    }

    #[test]
    fn long_rests_come_in_pieces_and_sleeps_that_took_too_long_count() {
        let mut pace = Pace::new(0.1);
        assert_eq!(pace.worked(Duration::from_micros(500)), Duration::ZERO, "saved up");
        assert_eq!(pace.worked(Duration::from_millis(100)), REST_MOST);
        pace.rested(Duration::from_secs(9));
        assert_eq!(pace.worked(CREDIT_MOST / 9), Duration::ZERO, "rested in advance, but not for 8 seconds");
        assert!(!pace.worked(Duration::from_millis(2)).is_zero());
    }

    #[test]
    fn odd_shares_are_shares() {
        for share in [f64::NAN, -1.0, 0.0, 7.0, f64::INFINITY] {
            assert!(Pace::new(share).worked(Duration::from_secs(1)) <= REST_MOST, "{share}");
        }
        assert_eq!(Pace::new(1.0).worked(Duration::from_secs(9)), Duration::ZERO);
    }
}
