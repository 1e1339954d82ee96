//! What must be reached, and when less is asked for.

use super::{AGENTS_OF_MUST, Case, PastDead, Sample, Samples, cases, cases_apart, of_dead};
use crate::bench::verdict::Verdict;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn sample(p99_ms: f64, reached_per_s: f64) -> Sample {
    Sample { p50_ms: 1.0, p99_ms, n_unfinished: 0.0, reached_per_s, collector_us_per_collect: 5.0, delay_p50_ms: 0.5 }
}

/// Returns the case at this place among those of the agents that must reach something: of each shape first the low rate.
fn case(idx: usize) -> Case {
    cases(&[AGENTS_OF_MUST], SECOND, SECOND)[idx]
}

fn verdict(case: &Case, metric: &str, rounds: Vec<Sample>, again: Vec<Sample>) -> Verdict {
    let rows = case.rows(&Samples { rounds, again }).unwrap();
    rows.iter().find(|row| row.metric == metric).unwrap().verdict
}

#[test]
fn each_rate_has_its_bound_and_noise_excuses_only_what_is_near_it() {
    let p99 = |idx, ours, again| {
        verdict(&case(idx), "traverse_p99_ms", vec![sample(ours, 100.0)], vec![sample(again, 100.0)])
    };
    assert_eq!([p99(0, 12.0, 12.0), p99(0, 14.0, 14.0)], [Verdict::Pass, Verdict::Miss]);
    assert_eq!([p99(1, 80.0, 80.0), p99(1, 400.0, 440.0)], [Verdict::Pass, Verdict::Miss]);
    assert_eq!(p99(1, 84.0, 126.0), Verdict::Inconclusive);
}

#[test]
fn what_does_not_end_is_a_miss_on_any_number_of_agents() {
    let case = cases(&[10], SECOND, SECOND)[0];
    let unfinished = Sample { n_unfinished: 1.0, ..sample(1.0, 100.0) };
    assert_eq!(verdict(&case, "unfinished", vec![unfinished], Vec::new()), Verdict::Miss);
    assert!(!case.has_must());
}

#[test]
fn a_rate_that_is_not_followed_is_halved_and_then_has_no_must() {
    assert!(case(1).is_too_much(&sample(300.0, 5_000.0)) && !case(1).is_too_much(&sample(3.0, 9_900.0)));
    assert!(!case(0).is_too_much(&sample(3.0, 50.0)));
    let lower = case(1).halved(&sample(300.0, 4_000.0)).halved(&sample(300.0, 2_000.0));
    assert_eq!(lower.load.triggers_per_s, 2_500.0);
    assert!(!lower.has_must() && lower.is_too_much(&sample(300.0, 2_000.0)));
    assert_eq!(case(1).halved(&sample(300.0, 700.0)).load.triggers_per_s, 1_250.0, "at most twice what was reached");
    let nothing = case(1).halved(&sample(300.0, 0.0));
    assert!(!nothing.is_too_much(&sample(300.0, 0.0)), "the search ends");
}

#[test]
fn hosts_apart_are_held_against_the_delay_of_their_network_unless_it_loses_packets() {
    let ratios = |case: &Case| {
        let rows = case.rows(&Samples { rounds: vec![sample(3.0, 100.0)], again: Vec::new() }).unwrap();
        rows.iter().filter(|row| row.peer.is_some()).map(|row| row.ratio).collect::<Vec<_>>()
    };
    let cases = cases_apart(SECOND);
    assert_eq!(
        cases.iter().map(ratios).collect::<Vec<_>>(),
        [vec![Some(2.0)], vec![Some(2.0)], vec![Some(2.0)], vec![]]
    );
}

#[test]
fn no_two_rows_have_the_same_key() {
    let sample = sample(300.0, 5_000.0);
    let mut of_rates = cases(&[1, 10, 35, 100], SECOND, SECOND);
    let lower = of_rates.iter().filter(|case| case.is_too_much(&sample)).map(|case| case.halved(&sample));
    let lower: Vec<Case> = lower.collect();
    assert_eq!(lower.len(), 9);
    let samples = Samples { rounds: vec![sample], again: Vec::new() };
    of_rates.extend(cases_apart(SECOND));
    let mut keys: Vec<(String, String)> = of_rates
        .iter()
        .chain(&lower)
        .flat_map(|case| case.rows(&samples).unwrap())
        .map(|row| (row.metric, row.case))
        .collect();
    let n_rows = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), n_rows);
}

#[test]
fn three_crumbs_must_lead_past_a_dead_agent_on_both_sides() {
    let seen = [PastDead { fired_after: 1.0, fired_before: 0.0 }];
    let verdicts = |n_crumbs| of_dead(n_crumbs, &seen).unwrap().iter().map(|row| row.verdict).collect::<Vec<_>>();
    assert_eq!(verdicts(3), [Verdict::Pass, Verdict::Miss]);
    assert_eq!(verdicts(1), [Verdict::Pass, Verdict::Pass]);
}
