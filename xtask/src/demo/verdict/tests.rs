//! Tests of what `--check` demands.

use super::super::capture::{Found, Miss, Outcome};
use super::super::cost::{Cost, Rounds};
use super::super::load::{Killed, Report};
use super::{Standing, complaints, standing};

/// The cost of a request with recording, and rounds without it that differ by `noise`.
fn cost(ratio: f64, noise: f64) -> Cost {
    let mean = 100.0 * (1.0 + noise / 2.0);
    Cost::of(&Rounds {
        without: vec![100.0, 100.0 * (1.0 + noise)],
        services: vec![mean * ratio],
        recorder: vec![1000.0],
    })
    .unwrap()
}

fn report() -> Report {
    Report { killed: Some(Killed { parked: 40 }), ..Report::default() }
}

fn outcome(edge_cases: u64, n_missed: u64) -> Outcome {
    let miss = Miss { trace: "1".to_owned(), why: "no_answer".to_owned(), certificate_explains: true };
    let missed = vec![miss; n_missed as usize];
    Outcome { found: Found { edge_cases, n_missed, missed, ..Found::default() }, n_deaths: 40, ..Outcome::default() }
}

#[test]
fn one_in_a_thousand_may_be_missing_where_its_certificate_says_why() {
    assert_eq!(complaints(&outcome(1000, 1), &report(), Some(&cost(1.0, 0.0))), Vec::<String>::new());
    assert_eq!(complaints(&outcome(999, 1), &report(), Some(&cost(1.0, 0.0))).len(), 1);
    let mut unexplained = outcome(1000, 1);
    unexplained.found.missed[0].certificate_explains = false;
    assert_eq!(
        complaints(&unexplained, &report(), Some(&cost(1.0, 0.0))),
        ["1 misses are not explained by a certificate"]
    );
}

#[test]
fn nothing_captured_and_nobody_killed_is_no_success() {
    let complaints = complaints(&Outcome::default(), &Report::default(), Some(&cost(1.0, 0.0)));
    assert_eq!(complaints.len(), 3, "{complaints:#?}");
}

#[test]
fn a_false_certificate_is_never_accepted() {
    let mut outcome = outcome(1000, 0);
    outcome.found.false_complete = 1;
    assert_eq!(complaints(&outcome, &report(), Some(&cost(1.0, 0.0))), ["1 traces are called complete and are not"]);
}

#[test]
fn a_ratio_above_the_limit_is_a_miss_beyond_noise_alone() {
    assert_eq!(standing(&cost(1.049, 0.0)), Standing::Within);
    assert_eq!(standing(&cost(1.06, 0.02)), Standing::Inconclusive);
    assert_eq!(standing(&cost(1.08, 0.02)), Standing::Above);
    assert_eq!(complaints(&outcome(1000, 0), &report(), Some(&cost(1.08, 0.02))).len(), 1);
    assert_eq!(complaints(&outcome(1000, 0), &report(), None), Vec::<String>::new(), "where cost is not asked for");
}
