//! Claims about what is run.

use super::{CASES, Load, Plan};
use crate::bench::cli::Options;
use clap::Parser as _;

fn plan(case_idx: usize, flags: &[&str]) -> Plan {
    Plan::of(CASES[case_idx], &Options::parse_from(["rec-rpc"].iter().chain(flags)))
}

#[test]
fn rounds_suffice_for_a_median_wherever_there_are_any() {
    for (case_idx, flags, n_rounds) in [
        (0, &[][..], 21),
        (1, &[], 5),
        (2, &[], 5),
        (0, &["--quick"], 5),
        (1, &["--quick"], 0),
        (1, &["--quick", "--rounds", "7"], 7),
    ] {
        assert_eq!(plan(case_idx, flags).rounds.n_rounds, n_rounds, "{case_idx} {flags:?}");
    }
}

#[test]
fn a_quick_run_of_the_first_two_cases_leaves_time_for_starts_in_its_minute() {
    let truths = |plan: &Plan| 3.0 * plan.n_truths as f64 * (plan.truth_seconds + plan.truth_warmup_seconds);
    let (two, ten) = (plan(0, &["--quick"]), plan(1, &["--quick"]));
    let timed_runs = two.rounds.n_rounds * (6 + 3); // under both loads
    let timed = timed_runs as f64 * (two.seconds + two.warmup_seconds(Load::Highest { concurrency: 32 }));
    assert!(timed + truths(&two) + truths(&ten) < 40.0);
}

#[test]
fn loads_are_told_apart_in_words() {
    assert_eq!(Load::Highest { concurrency: 32 }.words(), "highest rate");
    assert_eq!(Load::Rate(200).words(), "200/s");
}
