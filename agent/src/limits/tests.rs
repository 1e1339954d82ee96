//! Claims about limits: the rate is held, hosts refuse alike, nothing is refused below the rate.

use super::{PriorityLimit, TRIGGERS_MAX, TriggerLimits};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::units::Nanos;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use std::collections::BTreeSet;

const SECOND_NS: u64 = 1_000_000_000;

fn priority(n: u64) -> Priority {
    Priority::of(TraceId::new(1, n), 0, Salt::of_trigger(TriggerId::MANUAL))
}

/// Returns which of `n` traces, evenly spread over `seconds` in an order that `step` shuffles, pass.
fn admitted(limit: &mut PriorityLimit, n: u64, seconds: u64, step: u64) -> BTreeSet<u64> {
    let one = |idx: u64| (idx * step % n, Nanos(SECOND_NS * seconds * idx / n));
    (0..n).map(one).filter(|(trace, now)| limit.admit(priority(*trace), *now)).map(|(trace, _)| trace).collect()
}

proptest! {
    /// For every rate and every load, no more passes than twice the rate, and one second's worth of that at once.
    #[test]
    fn the_bucket_bounds_what_passes(rate in 1_u64..2_000, steps in prop::collection::vec((0_u64..300_000_000, any::<u64>()), 1..300)) {
        let mut limit = PriorityLimit::new(rate, Nanos(0));
        let (mut now, mut n_passed) = (0, 0_u64);
        for (step, trace) in steps {
            now += step;
            n_passed += (0..20).filter(|n| limit.admit(priority(trace ^ n), Nanos(now))).count() as u64;
        }
        prop_assert!(n_passed <= 2 * rate + 2 * rate * now / SECOND_NS + 1);
    }

    /// For every load that stays below the rate in each second, everything passes.
    #[test]
    fn below_the_rate_nothing_is_refused(rate in 20_u64..2_000, traces in prop::collection::vec(any::<u64>(), 1..500)) {
        let mut limit = PriorityLimit::new(rate, Nanos(0));
        for (idx, trace) in (0_u64..).zip(traces) {
            prop_assert!(limit.admit(priority(trace), Nanos(SECOND_NS * idx / (rate * 9 / 10))));
        }
    }
}

#[test]
fn a_storm_is_held_at_the_rate_and_what_passes_has_the_highest_priority() {
    let mut limit = PriorityLimit::new(1_000, Nanos(0));
    let passed = admitted(&mut limit, 200_000, 20, 7_919);
    assert!((19_000..24_500).contains(&passed.len()), "{} of 20,000 passed", passed.len());
    let mut by_priority: Vec<u64> = (0..200_000).collect();
    by_priority.sort_by_key(|trace| std::cmp::Reverse(priority(*trace)));
    let n_highest = by_priority[..20_000].iter().filter(|trace| passed.contains(trace)).count();
    assert!(n_highest > 18_000, "{n_highest} of the 20,000 of highest priority passed");
}

#[test]
fn hosts_that_meet_the_same_storm_in_other_orders_keep_the_same_traces() {
    let mut limits = [PriorityLimit::new(1_000, Nanos(0)), PriorityLimit::new(1_000, Nanos(0))];
    let one = admitted(&mut limits[0], 200_000, 20, 7_919);
    let other = admitted(&mut limits[1], 200_000, 20, 10_007);
    let n_both = one.intersection(&other).count();
    assert!(n_both * 100 > one.len() * 85, "{n_both} of {} and {}", one.len(), other.len());
}

#[test]
fn when_a_storm_is_over_nothing_is_refused_after_a_second() {
    let mut limit = PriorityLimit::new(100, Nanos(0));
    admitted(&mut limit, 100_000, 10, 7_919);
    assert!(limit.refused_share() > 0.98);
    let calm = Nanos(12 * SECOND_NS);
    assert!((0..50).all(|trace| limit.admit(priority(trace), calm)));
}

proptest! {
    /// For every storm: a limit that is idle decides as a new one does, so that it may be forgotten.
    #[test]
    fn an_idle_limit_is_as_good_as_new(rate in 1_u64..1_000, storm in prop::collection::vec(0_u64..400, 1..100), hashes in prop::collection::vec(any::<u64>(), 1..300)) {
        let (mut limit, mut now) = (PriorityLimit::new(rate, Nanos(0)), 0);
        for step in storm {
            now += step;
            (0..50).for_each(|trace| _ = limit.admit(priority(trace), Nanos::from_ms(now)));
        }
        while !limit.is_idle(Nanos::from_ms(now)) {
            now += 37;
        }
        let mut new = PriorityLimit::new(rate, Nanos::from_ms(now));
        for (n, trace) in (0_u64..).zip(hashes) {
            let at = Nanos::from_ms(now + n);
            prop_assert_eq!(limit.admit(priority(trace), at), new.admit(priority(trace), at));
        }
    }
}

#[test]
fn random_trigger_ids_share_one_limit_and_spare_the_rest() {
    let mut limits = TriggerLimits::new(2, Nanos(0));
    for id in 0..TRIGGERS_MAX as u32 {
        assert!(limits.admit(TriggerId(id), priority(0), Nanos(0)));
    }
    let n_admitted = (5000..9000).filter(|id| limits.admit(TriggerId(*id), priority(0), Nanos(0))).count();
    assert_eq!(n_admitted, 4, "as many as one trigger's bucket holds");
    assert!(limits.admit(TriggerId(7), priority(0), Nanos(0)), "an old trigger has its own");
    assert_eq!(limits.limits.len(), TRIGGERS_MAX);
    let (soon, later) = (Nanos::from_ms(900), Nanos::from_ms(1_500));
    assert!(limits.admit(TriggerId(7), priority(0), soon) && limits.limits.len() == TRIGGERS_MAX);
    assert!(limits.admit(TriggerId(9000), priority(0), later));
    let known: Vec<u32> = limits.limits.keys().map(|id| id.0).collect();
    assert_eq!(known, [7, 9000], "those that nobody fired lately are as good as new");
}
