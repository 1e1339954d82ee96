//! Claims about kept traces: caps hold, the lowest priority goes first, and what is given up is counted.
use super::{Change, Copied, GivenUp, Kept, Piece, TRACE_MAX};
use crate::triggers::Triggered;
use backsight_core::clock::Timeline;
use backsight_core::ids::{RegionId, StringId, TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::segment::{LastWords, Process, Segment, SegmentKey};
use backsight_core::telemetry::DropReason;
use backsight_core::units::{Bytes, Nanos};
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

fn trace(n: u64) -> TraceId {
    TraceId::new(1, n)
}

fn triggered(n: u64, base: u64) -> Triggered {
    Triggered { trace: trace(n), trigger: TriggerId::MANUAL, base: trace(base), fired: Nanos(n), fired_ns: None }
}

fn nothing_lingers(_: TraceId) -> bool {
    false
}

fn copied(offset: u32, len: usize) -> Copied {
    let key = SegmentKey { region: RegionId(9), chunk: 1, generation: 1, offset };
    Copied {
        process: Process { region: RegionId(9), ..Process::default() },
        segment: Segment { key, slot: 0, tid: 1, prev_chunk: Segment::NO_CHUNK, bytes: vec![0; len] },
        strings: vec![(StringId(3), "name".into())],
        interval: (10, 20),
        is_open: false,
        is_live: true,
    }
}

proptest! {
    /// For every sequence of segments the heap stays under its cap, counts its bytes right, and gives up whole groups only.
    #[test]
    fn the_cap_holds_and_groups_share_one_fate(steps in prop::collection::vec((any::<u8>(), 1_usize..4000), 1..200)) {
        let cap = Bytes::kib(64);
        let mut kept = Kept::new(cap, 0);
        for (offset, (n, len)) in (0_u32..).zip(steps) {
            let (n, base) = (u64::from(n % 32), u64::from(n % 32 / 4));
            kept.keep(triggered(n, base), copied(8 * offset, len), &nothing_lingers);
            prop_assert!(kept.bytes() <= cap);
            prop_assert_eq!(kept.bytes().0, kept.traces().map(|kept| kept.bytes).sum::<u64>());
            prop_assert_eq!(kept.order.len(), kept.n_traces());
        }
    }
}

#[test]
fn the_lowest_priority_is_given_up_whoever_came_first() {
    let mut kept = Kept::new(Bytes::kib(40), 0);
    for n in 0..40 {
        kept.keep(triggered(n, n), copied(0, 4096), &nothing_lingers);
    }
    let priority = |n| Priority::of(trace(n), 0, Salt::from_name("manual"));
    let mut by_priority: Vec<_> = (0..40).map(|n| (priority(n), trace(n))).collect();
    by_priority.sort();
    let survivors: Vec<_> = kept.traces().map(|kept| kept.triggered.trace).collect();
    let expected = by_priority.iter().rev().take(survivors.len());
    assert!(!survivors.is_empty() && expected.clone().all(|(_, trace)| survivors.contains(trace)));
}

#[test]
fn a_longer_copy_of_a_segment_replaces_the_shorter_one() {
    let mut kept = Kept::new(Bytes::mib(1), 0);
    for len in [64, 256, 128] {
        kept.keep(triggered(1, 1), copied(64, len), &nothing_lingers);
    }
    let slices = kept.slices(trace(1), &Timeline::default()).unwrap();
    assert_eq!((slices.len(), slices[0].segments.len(), slices[0].segments[0].bytes.len()), (1, 1, 256));
    assert_eq!(slices[0].process.strings, [(StringId(3), "name".to_owned())]);
}

#[test]
fn one_trace_cannot_fill_the_heap() {
    let mut kept = Kept::new(Bytes::mib(64), 0);
    let given_up: Vec<_> =
        (0..10).flat_map(|i| kept.keep(triggered(1, 1), copied(8 * i, 1 << 20), &nothing_lingers).given_up).collect();
    assert!(kept.bytes() <= TRACE_MAX);
    assert!(given_up.contains(&GivenUp { trace: trace(1), reason: DropReason::TraceTooLarge }));
    assert!(kept.get(trace(1)).is_some_and(|kept| kept.n_segments == 7), "what fits stays");
}

#[test]
fn a_death_is_noted_in_what_was_kept_before_it() {
    let mut kept = Kept::new(Bytes::mib(1), 0);
    kept.keep(triggered(1, 1), copied(0, 64), &nothing_lingers);
    let death = LastWords { signal: 9, ..LastWords::default() };
    assert_eq!(kept.note_ended(RegionId(9), Some(&death)), [trace(1)]);
    let slices = kept.slices(trace(1), &Timeline::default()).unwrap();
    assert_eq!(slices[0].process.death.as_ref().map(|death| death.signal), Some(9));
}
