//! Claims about the clock: times on the line are exact, order is kept, memory is bounded, no step of any clock bends a duration.

use super::{BRACKET_MAX, CalibrationPoint, ClockSource, TIMELINE_POINTS_MAX, Timeline};
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
    let long = Timeline::new((1..=1000).map(point));
    let bracket = long.bracket(ticks(1), ticks(900));
    assert_eq!((bracket.len(), bracket[0], bracket[BRACKET_MAX - 1]), (BRACKET_MAX, point(1), point(900)));
    assert!(bracket.windows(2).all(|two| two[1].ticks - two[0].ticks <= ticks(30) - ticks(0)));
}

#[test]
fn points_that_no_clock_gives_do_not_panic() {
    let absurd = |ticks, ns| CalibrationPoint { ticks, realtime_ns: ns, monotonic_ns: ns };
    let timeline = Timeline::new([absurd(0, 1), absurd(1, u64::MAX)]);
    assert_eq!(timeline.realtime_ns(u64::MAX), Some(u64::MAX));
}

#[test]
fn unknown_clock_is_the_one_that_is_right_everywhere() {
    assert_eq!([0, 1, 2, u32::MAX].map(ClockSource::from_code)[1..], [ClockSource::Monotonic; 3]);
    assert_eq!(ClockSource::from_code(0), ClockSource::Tsc);
}

/// The wall clock is set by an hour, either way, between the fifth and the sixth second.
#[test]
fn wall_clock_that_is_set_begins_a_new_epoch() {
    let ticks = |ms: u64| ms * 2_500_000;
    let since = |ms: u64| 1_000_000_000_000_000_000 + ms * 1_000_000;
    for hour in [-3_600_000_i64, 3_600_000] {
        let set = |s: u64| {
            let point = point(s);
            CalibrationPoint { realtime_ns: point.realtime_ns.strict_add_signed(hour * 1_000_000), ..point }
        };
        let timeline = Timeline::new((1..=5).map(point).chain((6..=10).map(set)));
        let wall = |ms| timeline.realtime_ns(ticks(ms));
        assert_eq!([4_500, 5_000, 5_999].map(wall), [4_500, 5_000, 5_999].map(|ms| Some(since(ms))), "before");
        let after = [6_000_u64, 7_500, 12_000].map(|ms| Some(since(ms.strict_add_signed(hour.max(-6_000)))));
        if hour > 0 {
            assert_eq!([6_000, 7_500, 12_000].map(wall), after);
        }
        for (first, last) in [(4_500, 5_500), (4_500, 8_000), (5_900, 6_000), (6_500, 8_000)] {
            let start = timeline.realtime_ns_since(ticks(first), ticks(first));
            let end = timeline.realtime_ns_since(ticks(first), ticks(last));
            assert_eq!(
                (start, end.zip(start).map(|(end, start)| end - start)),
                (wall(first), Some((last - first) * 1_000_000))
            );
        }
    }
}

/// A virtual machine is moved to a host whose counter is behind: from then on its times are those of the new counter.
#[test]
fn counter_that_steps_back_begins_anew_at_the_rate_so_far() {
    let mut timeline = Timeline::new((100..=110).map(point));
    let moved = |s: u64| CalibrationPoint { ticks: point(s - 100).ticks, ..point(s) };
    timeline.push(moved(111));
    assert_eq!((timeline.ticks_in(1_000), timeline.points().len()), (Some(2_500), 2));
    timeline.push(moved(112));
    for ms in [11_500, 12_000, 13_000] {
        let wall = timeline.realtime_ns(ms * 2_500_000);
        assert_eq!(wall, Some(1_000_000_000_000_000_000 + (ms + 100_000) * 1_000_000), "{ms} ms of the new counter");
    }
}

proptest! {
    #[test]
    fn order_is_kept(a in 0_u64..40_000_000_000, b in 0_u64..40_000_000_000) {
        let timeline = Timeline::new((1..=10).map(point));
        let (a, b) = (a.min(b), a.max(b));
        prop_assert!(timeline.realtime_ns(a) <= timeline.realtime_ns(b));
    }
}
