//! The horizon as an objective: what threads leave out so that data gets as old as is wanted.
//!
//! Called by the recorder ten times a second. Pure. Below the target, shares of all traces lose first what is verbose, then what is for
//! debugging, then everything but spans, errors and crumbs, and at last themselves; above it they get it back, slower and in the opposite
//! order. Which traces that are is a hash's affair, so that all hosts leave out the same ones.
//!
//! # Source
//! Hindsight spec, section 4.7.

use backsight_core::units::Nanos;

/// How long the prediction is below the target before anything is left out.
const PATIENCE: Nanos = Nanos::from_ms(1_000);
/// How much of all traces more is left out in a second.
const SHED_PER_S: f64 = 0.10;
/// How much of them gets it back in a second.
const REGAIN_PER_S: f64 = 0.02;
/// How far above the target the prediction is before anything is given back.
const SLACK: f64 = 1.2;
/// However short the horizon: some traces are recorded whole.
const RECORD_MIN: f64 = 0.01;

/// What is left out, as shares of all traces.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Shedding {
    /// Traces without records of detail levels 1, 2 and 3; each at least as many as the one before.
    pub detail: [f64; 3],
    /// Traces that are not recorded at all.
    pub record: f64,
}

impl Shedding {
    /// Returns what is left out by either.
    pub fn max(self, other: Self) -> Self {
        let mut detail = self.detail;
        detail.iter_mut().zip(other.detail).for_each(|(own, other)| *own = own.max(other));
        Self { detail, record: self.record.max(other.record) }
    }

    /// Returns the threshold on a trace's hash below which a share of all traces lies.
    pub fn threshold(share: f64) -> u64 {
        (share.clamp(0.0, 1.0) * 18_446_744_073_709_551_616.0) as u64 // saturates
    }
}

/// See the module.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Objective {
    target: Nanos,
    /// The share of traces that is not recorded however far the agent looks back.
    unrecorded: f64,
    shedding: Shedding,
    below_since: Option<Nanos>,
    ticked: Option<Nanos>,
}

impl Objective {
    /// Returns an objective that leaves out nothing yet but what `record_share` of all traces does not have.
    pub fn new(target: Nanos, record_share: f64) -> Self {
        let unrecorded = 1.0 - record_share;
        let shedding = Shedding { record: unrecorded, ..Shedding::default() };
        Self { target, unrecorded, shedding, below_since: None, ticked: None }
    }

    /// Returns what is left out now.
    pub const fn shedding(&self) -> Shedding {
        self.shedding
    }

    /// Takes the age that data will reach at the present rate, `None` while nothing is written.
    pub fn tick(&mut self, now: Nanos, predicted: Option<Nanos>) {
        let elapsed_s = self.ticked.map_or(0.0, |before| now.0.saturating_sub(before.0) as f64 / 1e9).min(1.0);
        self.ticked = Some(now);
        let predicted = predicted.unwrap_or(Nanos(u64::MAX));
        if predicted >= self.target {
            self.below_since = None;
            if predicted.0 as f64 >= self.target.0 as f64 * SLACK {
                self.regain(elapsed_s * REGAIN_PER_S);
            }
            return;
        }
        let since = *self.below_since.get_or_insert(now);
        if now.0.saturating_sub(since.0) >= PATIENCE.0 {
            self.shed(elapsed_s * SHED_PER_S);
        }
    }

    fn shed(&mut self, share: f64) {
        let Shedding { detail, record } = &mut self.shedding;
        match detail.iter_mut().rev().find(|level| **level < 1.0) {
            Some(level) => *level = (*level + share).min(1.0),
            None => *record = (*record + share).min(1.0 - RECORD_MIN).max(self.unrecorded),
        }
    }

    fn regain(&mut self, share: f64) {
        let Shedding { detail, record } = &mut self.shedding;
        if *record > self.unrecorded {
            *record = (*record - share).max(self.unrecorded);
        } else if let Some(level) = detail.iter_mut().find(|level| **level > 0.0) {
            *level = (*level - share).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Objective, RECORD_MIN, Shedding};
    use backsight_core::units::Nanos;
    use proptest::prelude::{prop, prop_assert, proptest};

    const TARGET: Nanos = Nanos::from_ms(10_000);

    /// Lets `seconds` pass at one prediction.
    fn pass(objective: &mut Objective, from_s: u64, seconds: u64, predicted_ms: u64) {
        for tick in 0..=10 * seconds {
            objective.tick(Nanos::from_ms(1_000 * from_s + 100 * tick), Some(Nanos::from_ms(predicted_ms)));
        }
    }

    proptest! {
        /// For every course of predictions: coarser detail is never left out of a trace that keeps finer detail, and some traces stay whole.
        #[test]
        fn levels_are_nested(steps in prop::collection::vec((0_u64..30_000, 1_u64..20), 1..100), record_share in 0.1_f64..1.0) {
            let mut objective = Objective::new(TARGET, record_share);
            let mut now_s = 0;
            for (predicted_ms, seconds) in steps {
                pass(&mut objective, now_s, seconds, predicted_ms);
                now_s += seconds;
                let Shedding { detail: [normal, debug, verbose], record } = objective.shedding();
                prop_assert!(normal <= debug && debug <= verbose && (0.0..=1.0).contains(&verbose));
                prop_assert!(record >= 1.0 - record_share - 1e-9 && record <= (1.0 - RECORD_MIN).max(1.0 - record_share));
                prop_assert!(record <= 1.0 - record_share + 1e-9 || normal >= 1.0, "records go last");
            }
        }
    }

    #[test]
    fn verbose_detail_goes_first_by_a_tenth_a_second_and_a_short_dip_costs_nothing() {
        let mut objective = Objective::new(TARGET, 1.0);
        pass(&mut objective, 0, 0, 5_000);
        objective.tick(Nanos::from_ms(900), Some(Nanos::from_ms(5_000)));
        objective.tick(Nanos::from_ms(950), Some(TARGET));
        assert_eq!(objective.shedding(), Shedding::default());
        pass(&mut objective, 2, 6, 5_000);
        let Shedding { detail: [normal, debug, verbose], .. } = objective.shedding();
        assert!((0.45..0.65).contains(&verbose) && (normal, debug) == (0.0, 0.0), "{verbose}");
        pass(&mut objective, 8, 40, 5_000);
        assert_eq!(objective.shedding(), Shedding { detail: [1.0; 3], record: 1.0 - RECORD_MIN });
    }

    #[test]
    fn what_was_left_out_comes_back_slowly_and_not_before_there_is_slack() {
        let mut objective = Objective::new(TARGET, 1.0);
        pass(&mut objective, 0, 6, 5_000);
        let before = objective.shedding();
        pass(&mut objective, 6, 10, 11_000);
        assert_eq!(objective.shedding(), before, "it is enough, and no more");
        pass(&mut objective, 16, 10, 13_000);
        let [.., verbose] = objective.shedding().detail;
        assert!((0.15..0.25).contains(&(before.detail[2] - verbose)), "{verbose}");
        pass(&mut objective, 26, 60, 13_000);
        assert_eq!(objective.shedding(), Shedding::default());
    }

    #[test]
    fn a_prediction_that_follows_what_is_written_settles_at_the_target() {
        // A third of what is written is verbose, and data gets 8 s old if all of it is.
        let mut objective = Objective::new(TARGET, 1.0);
        for tick in 0..3_000 {
            let written = 1.0 - objective.shedding().detail[2] / 3.0;
            objective.tick(Nanos::from_ms(100 * tick), Some(Nanos::from_ms((8_000.0 / written) as u64)));
        }
        let [normal, debug, verbose] = objective.shedding().detail;
        assert!((normal, debug) == (0.0, 0.0) && (0.55..0.75).contains(&verbose), "{verbose}");
    }

    #[test]
    fn thresholds_cut_the_hashes_where_the_shares_say() {
        assert_eq!((Shedding::threshold(0.0), Shedding::threshold(0.5)), (0, 1 << 63));
        assert_eq!(Shedding::threshold(1.0), u64::MAX);
    }
}
