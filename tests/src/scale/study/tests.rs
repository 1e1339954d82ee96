//! What the study must say where the answer is known.

use super::{Length, SHARE_MAX, highest, run, size};
use crate::scale::costs::Costs;
use crate::scale::workload::Workload;

/// Where only the coordinator's questions cost anything, 400 us each, a trigger on eight hosts takes it seven of them: it follows 357 a
/// second, and says that its task, and with it one of two threads, is what is full.
#[test]
fn the_highest_rate_is_that_which_fills_the_only_part_that_works() {
    let costs = Costs { step_collect_us: 400.0, ..Costs::default() };
    let workload = Workload { lateral_share: 0.0, ..Workload::of(100) };
    let (per_s, shares) = highest(&workload, &costs, Length { n_tries: 7, ..Length::QUICK });
    assert!((320.0..375.0).contains(&per_s), "{per_s}");
    assert_eq!(shares.busiest(false).0, "coordinator's task");
}

#[test]
fn shares_are_products_of_rates_and_costs() {
    let costs = Costs { step_collect_us: 100.0, idle_connection_us_per_s: 10.0, ..Costs::default() };
    let workload = Workload { lateral_share: 0.0, ..Workload::of(1000) }.at(300.0);
    let run = run(&workload, 1, &costs, Length::QUICK);
    let expected = 300.0 * 7.0 * 100e-6;
    assert!((run.shares.coordinator / expected - 1.0).abs() < 0.2, "{run:?}, expected {expected}");
    let expected = (expected + 1000.0 * 10e-6) / 2.0;
    assert!((run.shares.runtime / expected - 1.0).abs() < 0.2, "{run:?}, expected {expected}");
    assert!((run.shares.groups - 300.0 * 60.0 / 100_000.0).abs() < 1e-9, "{run:?}");
}

#[test]
fn so_many_collectors_are_taken_that_none_is_too_busy() {
    let costs = Costs { step_collect_us: 2_500.0, ..Costs::default() };
    let size = size(200, &costs, Length { n_tries: 1, ..Length::QUICK });
    assert!(size.one.shares.of_collector() > SHARE_MAX, "{:?}", size.one);
    assert!(size.n_collectors > 1 && size.enough.shares.of_collector() <= SHARE_MAX, "{size:?}");
}
