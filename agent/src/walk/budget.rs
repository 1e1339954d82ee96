//! What the walk may cost, and which traces it passes over when that is not enough.
//!
//! Called by the recorder. Pure: the time and what was spent come in as arguments.

use backsight_core::ids::TraceId;
use backsight_core::priority::{Priority, Salt};
use backsight_core::units::Nanos;

/// The longest time that is saved up for: more would let a walk that was idle take the loop for itself.
const SAVED_MAX: Nanos = Nanos::from_ms(1_000);
/// What must be there before a walk that ran out goes on: below it, turns would be all overhead.
const QUANTUM: Nanos = Nanos(500_000);
/// How often the number of traces that are walked is looked at.
const STEP_EVERY: Nanos = Nanos::from_ms(100);
/// Chunks that wait longer than this say that there are too many.
const LAG_MAX: Nanos = Nanos::from_ms(1_000);
/// Below this the walk keeps up, and takes more traces again.
const LAG_FINE: Nanos = Nanos::from_ms(200);
/// How much of all traces goes at a step, and comes back at one: fast down, slowly up, as everywhere.
const STEPS_DOWN: u64 = 10;
const STEPS_UP: u64 = 50;

/// Time of a core, of which a share flows in.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    share: f64,
    balance_ns: f64,
    refilled: Nanos,
}

impl Allowance {
    /// Returns an allowance of `share` of a core, with nothing saved up.
    pub const fn new(share: f64, now: Nanos) -> Self {
        Self { share, balance_ns: 0.0, refilled: now }
    }

    /// Lets flow in what is due; time that runs backwards brings nothing.
    pub fn refill(&mut self, now: Nanos) {
        let elapsed = now.0.saturating_sub(self.refilled.0);
        self.refilled = Nanos(self.refilled.0.max(now.0));
        self.balance_ns = (self.balance_ns + elapsed as f64 * self.share).min(SAVED_MAX.0 as f64 * self.share);
    }

    /// Returns whether anything may be spent now.
    pub const fn has_any(&self) -> bool {
        self.balance_ns > 0.0
    }

    /// Takes what was spent, which may be more than was there: it is missing next time.
    pub fn spend(&mut self, spent: Nanos) {
        self.balance_ns -= spent.0 as f64;
    }

    /// Returns how long it takes until it is worth going on.
    pub fn wait(&self) -> Nanos {
        let missing = QUANTUM.0 as f64 - self.balance_ns;
        Nanos((missing.max(0.0) / self.share.max(1e-9)) as u64)
    }
}

/// Which traces are walked: those of the highest priority, so that all hosts look at the same ones.
#[derive(Clone, Copy, Debug)]
pub struct Shedding {
    salt: Salt,
    /// Traces whose priority is below it are passed over.
    threshold: u64,
    stepped: Nanos,
}

impl Shedding {
    /// Returns the state in which all traces are walked.
    pub fn new(now: Nanos) -> Self {
        Self { salt: Salt::from_name("walk"), threshold: 0, stepped: now }
    }

    /// Returns whether a trace is walked.
    pub fn takes(&self, trace: TraceId) -> bool {
        self.threshold == 0 || Priority::of(trace, 0, self.salt).hash() >= self.threshold
    }

    /// Takes how long the oldest chunk has waited; a tenth of a second after the last time it takes fewer traces, or more.
    pub fn step(&mut self, now: Nanos, lag: Nanos) {
        if now.0.saturating_sub(self.stepped.0) < STEP_EVERY.0 {
            return;
        }
        self.stepped = now;
        if lag > LAG_MAX {
            self.threshold = self.threshold.saturating_add(u64::MAX / STEPS_DOWN);
        } else if lag < LAG_FINE {
            self.threshold = self.threshold.saturating_sub(u64::MAX / STEPS_UP);
        }
    }

    /// Returns the share of traces that is walked.
    pub fn taken_share(&self) -> f64 {
        1.0 - self.threshold as f64 / u64::MAX as f64
    }
}

#[cfg(test)]
mod tests {
    use super::{Allowance, LAG_FINE, LAG_MAX, STEP_EVERY, Shedding};
    use backsight_core::ids::TraceId;
    use backsight_core::units::Nanos;
    use proptest::prelude::{prop, prop_assert, proptest};

    proptest! {
        /// For every share and every sequence of turns of bounded cost: what is spent stays within the share, but for what is saved up and one
        /// turn.
        #[test]
        fn no_more_is_spent_than_flows_in(
            share in 0.001_f64..1.0,
            turns in prop::collection::vec((0_u64..50_000_000, 1_u64..300_000), 1..300),
        ) {
            let mut allowance = Allowance::new(share, Nanos(0));
            let (mut now, mut spent, mut dearest) = (0, 0, 0);
            for (step, cost) in turns {
                now += step;
                allowance.refill(Nanos(now));
                if allowance.has_any() {
                    allowance.spend(Nanos(cost));
                    spent += cost;
                    dearest = dearest.max(cost);
                }
            }
            prop_assert!(spent as f64 <= now as f64 * share + dearest as f64 + 1.0);
        }

        /// For every balance: after the wait that it says there is something to spend.
        #[test]
        fn after_its_wait_an_allowance_has_some(share in 0.001_f64..1.0, debt in 0_u64..50_000_000) {
            let mut allowance = Allowance::new(share, Nanos(0));
            allowance.spend(Nanos(debt));
            allowance.refill(allowance.wait());
            prop_assert!(allowance.has_any());
        }
    }

    #[test]
    fn a_walk_that_lags_takes_fewer_traces_and_all_again_once_it_keeps_up() {
        let mut shedding = Shedding::new(Nanos(0));
        let n_taken = |shedding: &Shedding| (0..1000).filter(|n| shedding.takes(TraceId::new(1, *n))).count();
        let mut now = 0;
        let mut steps = |shedding: &mut Shedding, n: u64, lag: Nanos| {
            for _ in 0..n {
                now += STEP_EVERY.0;
                shedding.step(Nanos(now), lag);
            }
        };
        assert_eq!(n_taken(&shedding), 1000);
        steps(&mut shedding, 5, Nanos(LAG_MAX.0 + 1));
        assert!((400..600).contains(&n_taken(&shedding)), "{}", n_taken(&shedding));
        let half = shedding;
        steps(&mut shedding, 20, Nanos(LAG_MAX.0 + 1));
        assert_eq!(n_taken(&shedding), 0);
        steps(&mut shedding, 25, LAG_FINE);
        assert_eq!(n_taken(&shedding), 0, "neither late nor early");
        steps(&mut shedding, 51, Nanos(0));
        assert_eq!((n_taken(&shedding), shedding.taken_share()), (1000, 1.0));
        assert!((0..1000).map(|n| TraceId::new(1, n)).all(|trace| !half.takes(trace) || shedding.takes(trace)));
    }
}
