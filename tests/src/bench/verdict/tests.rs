//! Claims about thresholds and verdicts.

use super::{Clock, Numbers, Threshold, Verdict, judge};

fn numbers(value: f64, ratio: Option<f64>, aa_ratio: Option<f64>) -> Numbers {
    Numbers { value, ratio, aa_ratio }
}

/// Judges one row given as text and numbers.
fn check(must: &str, numbers: Numbers, clock: Clock, expected: Verdict) {
    let must: Threshold = must.parse().expect("a threshold");
    assert_eq!(judge(Some(&must), numbers, clock), expected, "{must} on {numbers:?} by {clock:?}");
}

#[test]
fn thresholds_print_as_they_are_written() {
    for text in ["ratio<=1.6", "value<=40", "ratio>=0.99", "value==0"] {
        assert_eq!(text.parse::<Threshold>().expect("a threshold").to_string(), text);
    }
}

#[test]
fn other_texts_are_no_thresholds() {
    for text in ["", "ratio", "ratio<1", "share<=1", "value<=", "value<=x", "value<=inf", "value<=NaN", " value<=1"] {
        assert!(text.parse::<Threshold>().is_err(), "{text:?}");
    }
}

#[test]
fn cpu_time_is_never_inconclusive() {
    check("ratio<=1.6", numbers(12.0, Some(1.6), Some(1.4)), Clock::Cpu, Verdict::Pass);
    check("ratio<=1.6", numbers(12.0, Some(1.61), Some(1.4)), Clock::Cpu, Verdict::Miss);
    check("value<=40", numbers(40.5, None, Some(0.5)), Clock::Cpu, Verdict::Miss);
}

#[test]
fn wall_clock_is_inconclusive_when_the_same_set_up_differs_more_than_the_distance() {
    check("ratio>=0.99", numbers(1.0, Some(0.97), Some(0.90)), Clock::Wall, Verdict::Inconclusive);
    check("ratio>=0.99", numbers(1.0, Some(1.01), Some(1.10)), Clock::Wall, Verdict::Inconclusive);
    check("ratio>=0.99", numbers(1.0, Some(0.50), Some(0.90)), Clock::Wall, Verdict::Miss);
    check("ratio>=0.99", numbers(1.0, Some(1.20), Some(1.01)), Clock::Wall, Verdict::Pass);
}

#[test]
fn a_count_of_zero_is_exact() {
    check("value==0", numbers(0.0, None, None), Clock::Count, Verdict::Pass);
    check("value==0", numbers(1e-9, None, None), Clock::Count, Verdict::Miss);
    check("value==0", numbers(0.0, None, Some(1.5)), Clock::Wall, Verdict::Pass);
}

#[test]
fn a_ratio_without_a_peer_has_no_peer() {
    check("ratio<=0.2", numbers(10.0, None, None), Clock::Cpu, Verdict::NoPeer);
}

#[test]
fn a_row_that_asks_for_nothing_passes() {
    assert_eq!(judge(None, numbers(1e9, None, None), Clock::Cpu), Verdict::Pass);
}
