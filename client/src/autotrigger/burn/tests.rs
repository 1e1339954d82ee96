//! Tests of when a budget burns; the time is the test's.

use super::{BurnRate, Burning};
use crate::autotrigger::{Outcome, Spans};
use std::time::Duration;

const SECOND_NS: u64 = 1_000_000_000;
const PER_S: u64 = 100;

/// Samples one second of requests of which every `bad_one_in`th is bad, none where that is 0; returns whether the budget burns at its end.
fn second(rate: &BurnRate, second: u64, bad_one_in: u64) -> bool {
    let mut burns = false;
    for i in 0..PER_S {
        let is_bad = bad_one_in != 0 && i % bad_one_in == 0;
        let outcome = if is_bad { Outcome::Bad } else { Outcome::Good };
        burns = rate.sample(outcome, 0, second * SECOND_NS + i * SECOND_NS / PER_S);
    }
    burns
}

/// A fifth of all requests is bad, and a tenth is too much: of the short window that is so after 5 s, of the long one after 30 s. When all
/// are good again, the short one is below it after 5 s.
#[test]
fn budget_burns_while_it_does_so_in_both_windows() {
    let rate = BurnRate::new(Burning { factor: 10.0, ..Burning::of(0.01) }).unwrap();
    assert!((1000..1060).all(|at| !second(&rate, at, 0)));
    let mut answers = (1060..1180).map(|at| second(&rate, at, 5));
    let begun = answers.position(|burns| burns).unwrap();
    assert!((29..=32).contains(&begun), "after {begun} s");
    assert!(answers.all(|burns| burns), "and goes on");
    let over = (1180..1240).find(|at| !second(&rate, *at, 0)).unwrap() - 1180;
    assert!((4..=7).contains(&over), "after {over} s");
}

#[test]
fn few_bad_requests_are_no_rate_and_a_budget_that_is_kept_never_burns() {
    let rate = BurnRate::new(Burning::of(0.01)).unwrap();
    let bad = |now_ns| rate.sample(Outcome::Bad, 3, now_ns);
    // A second apart, so that each is added up as it comes.
    assert_eq!([5, 6, 7].map(|at| bad(at * SECOND_NS)), [false, false, true]);
    assert!((1000..1200).all(|at| !second(&rate, at, PER_S)), "one in a hundred is what the budget allows");
}

#[test]
fn parameters_that_cannot_work_are_refused() {
    let refused = |burning| BurnRate::new(burning).unwrap_err().to_string();
    assert_eq!(refused(Burning::of(0.0)), "budget is 0, expected 0.00001 to 0.5");
    let expected = "factor is 14.4, expected at least 1, and with the budget a share of at most 1";
    assert_eq!(refused(Burning::of(0.1)), expected, "no share of bad requests is as large");
    let spans = Spans { short: Duration::ZERO, long: Duration::MAX };
    assert!(refused(Burning { spans, ..Burning::of(0.01) }).starts_with("short window is 0, expected 0.1 to 600"));
}
