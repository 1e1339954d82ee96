//! Tests of when events come too often; the time is the test's.

use super::EventRate;
use crate::autotrigger::Spans;

/// Samples one second of `n` events; returns whether they come too often at its end.
fn second(rate: &EventRate, second: u64, n: u64) -> bool {
    (0..n).fold(false, |_, i| rate.sample(0, second * 1_000_000_000 + i * 1_000_000_000 / n))
}

/// Twice as many events as are too many: of the long window that is so after 30 s. When few come, the short one is below it after 6.25 s.
#[test]
fn rate_is_too_high_while_it_is_so_in_both_windows() {
    let rate = EventRate::new(50.0, Spans::default()).unwrap();
    let mut answers = (1000..1120).map(|at| second(&rate, at, 100));
    let begun = answers.position(|exceeds| exceeds).unwrap();
    assert!((29..=32).contains(&begun), "after {begun} s");
    assert!(answers.all(|exceeds| exceeds), "and goes on");
    let over = (1120..1180).find(|at| !second(&rate, *at, 20)).unwrap() - 1120;
    assert!((5..=8).contains(&over), "after {over} s");
}

#[test]
fn rates_that_cannot_be_are_refused() {
    for per_s in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(EventRate::new(per_s, Spans::default()).is_err(), "{per_s}");
    }
}
