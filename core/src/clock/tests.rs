//! Claims about the clock: times on the line are exact, order is kept, memory is bounded.

use super::{CalibrationPoint, TIMELINE_POINTS_MAX, Timeline};
use proptest::prelude::{prop_assert, proptest};

/// Returns a point `s` seconds after boot of a 2.5 GHz counter; wall time starts at 10^18.
fn point(s: u64) -> CalibrationPoint {
    let ns = s * 1_000_000_000;
    CalibrationPoint { ticks: ns / 2 * 5, realtime_ns: 1_000_000_000_000_000_000 + ns, monotonic_ns: ns }
}

#[test]
fn ticks_between_outside_and_on_points_have_their_time() {
    let timeline = Timeline::new((1..=10).map(point));
    for ms in [1, 999, 1000, 5500, 10_000, 12_000] {
        assert_eq!(timeline.monotonic_ns(ms * 2_500_000), Some(ms * 1_000_000), "{ms} ms");
        assert_eq!(timeline.realtime_ns(ms * 2_500_000), Some(1_000_000_000_000_000_000 + ms * 1_000_000));
    }
    assert_eq!(timeline.ticks_in(1_000), Some(2_500));
    assert_eq!(Timeline::new([point(1)]).realtime_ns(7), None);
}

#[test]
fn points_that_do_not_advance_are_ignored_and_memory_is_bounded() {
    let mut timeline = Timeline::new([point(2), point(1), point(2)]);
    assert_eq!(timeline.points(), [point(2)]);
    for s in 3..3 * TIMELINE_POINTS_MAX as u64 {
        timeline.push(point(s));
        assert!(timeline.points().len() <= TIMELINE_POINTS_MAX);
    }
    assert_eq!(timeline.points()[0], point(2), "the oldest point stays");
}

#[test]
fn a_bracket_holds_the_points_around_an_interval() {
    let timeline = Timeline::new((1..=10).map(point));
    let ticks = |s: u64| s * 2_500_000_000;
    assert_eq!(timeline.bracket(ticks(3) + 1, ticks(4) + 1), [point(3), point(4), point(5)]);
    assert_eq!(timeline.bracket(0, 1), [point(1), point(2)], "before the first point");
    assert_eq!(timeline.bracket(ticks(50), ticks(60)), [point(9), point(10)], "after the last point");
}

#[test]
fn points_that_no_clock_gives_do_not_panic() {
    let absurd = |ticks, ns| CalibrationPoint { ticks, realtime_ns: ns, monotonic_ns: ns };
    let timeline = Timeline::new([absurd(0, 1), absurd(1, u64::MAX)]);
    assert_eq!(timeline.realtime_ns(u64::MAX), Some(u64::MAX));
}

proptest! {
    #[test]
    fn order_is_kept(a in 0_u64..40_000_000_000, b in 0_u64..40_000_000_000) {
        let timeline = Timeline::new((1..=10).map(point));
        let (a, b) = (a.min(b), a.max(b));
        prop_assert!(timeline.realtime_ns(a) <= timeline.realtime_ns(b));
    }
}
