//! Claims about kept traces: caps hold, the lowest priority goes first, and what is given up is counted.
use super::{Change, Copied, GivenUp, Kept, Piece, TRACE_MAX};
use crate::triggers::Triggered;
use backsight_core::clock::Timeline;
use backsight_core::holding::CrumbTo;
use backsight_core::ids::{AgentId, SpanId};
use backsight_core::ids::{RegionId, StringId, TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::record::{CrumbDirection, Header, Kind, SEG_BYTES, seg_flags};
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
            prop_assert_eq!(kept.queues.len(), kept.n_traces());
            prop_assert_eq!(kept.bytes().0, kept.by_trigger().values().map(|(_, bytes)| bytes).sum::<u64>());
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
fn a_storm_of_one_trigger_takes_nothing_from_one_that_wants_less_than_its_share() {
    let mut kept = Kept::new(Bytes::kib(80), 0);
    let rare = |n| Triggered { trigger: TriggerId(900), ..triggered(n, n) };
    for n in 0..400 {
        let of = if n % 50 == 0 { rare(n) } else { triggered(n, n) };
        let keeping = kept.keep(of, copied(0, 4096), &nothing_lingers);
        assert!(keeping.given_up.iter().all(|given_up| given_up.trace.lo % 50 != 0), "{:?}", keeping.given_up);
    }
    assert_eq!(kept.by_trigger()[&TriggerId(900)].0, 8);
}

#[test]
fn triggers_that_all_want_more_than_there_is_have_bytes_by_their_weights() {
    let mut kept = Kept::new(Bytes::kib(400), 0);
    kept.set_weights([(TriggerId(900), 3)].into_iter().collect());
    for n in 0..800 {
        let trigger = if n % 2 == 0 { TriggerId(900) } else { TriggerId(901) };
        kept.keep(Triggered { trigger, ..triggered(n, n) }, copied(0, 4096), &nothing_lingers);
    }
    let bytes = kept.by_trigger();
    let (heavy, light) = (bytes[&TriggerId(900)].1, bytes[&TriggerId(901)].1);
    assert!((heavy as f64 / light as f64 - 3.0).abs() < 0.2, "{heavy} B and {light} B");
}

#[test]
fn a_trace_whose_trigger_is_known_by_now_is_of_that_one_s_share() {
    let mut kept = Kept::new(Bytes::kib(80), 0);
    let heard = |n| Triggered { trigger: TriggerId::ELSEWHERE, ..triggered(n, n) };
    kept.keep(heard(1), copied(0, 4096), &nothing_lingers);
    assert!(kept.retrigger(triggered(1, 1)) && !kept.retrigger(triggered(1, 1)) && !kept.retrigger(triggered(2, 2)));
    assert_eq!(kept.by_trigger().keys().copied().collect::<Vec<_>>(), [TriggerId::MANUAL]);
    for n in 2..100 {
        kept.keep(heard(n), copied(0, 4096), &nothing_lingers);
    }
    assert!(kept.get(trace(1)).is_some(), "the storm is of another trigger");
    assert_eq!(kept.bytes().0, kept.traces().map(|kept| kept.bytes).sum::<u64>());
}

#[test]
fn what_another_host_gave_up_goes_first() {
    let mut kept = Kept::new(Bytes::kib(40), 0);
    let highest = (0..40).max_by_key(|n| kept.priority(TriggerId::MANUAL, trace(*n))).unwrap_or(0);
    kept.keep(triggered(highest, highest), copied(0, 4096), &nothing_lingers);
    kept.demote(trace(highest));
    let others = (0..40).filter(|n| *n != highest);
    let given_up = others.flat_map(|n| kept.keep(triggered(n, n), copied(0, 4096), &nothing_lingers).given_up);
    assert_eq!(given_up.map(|given_up| given_up.trace).next(), Some(trace(highest)));
}

#[test]
fn a_trace_of_two_triggers_is_rarer_under_the_one_that_keeps_less_beside_it() {
    let mut kept = Kept::new(Bytes::mib(1), 0);
    let of = |trigger, n| Triggered { trigger, ..triggered(n, n) };
    kept.keep(of(TriggerId::MANUAL, 1), copied(0, 4096), &nothing_lingers);
    assert!(!kept.is_rarer(TriggerId::CLI, trace(1)), "it is alone");
    kept.keep(of(TriggerId::MANUAL, 2), copied(8, 4096), &nothing_lingers);
    assert!(kept.is_rarer(TriggerId::CLI, trace(1)));
    kept.keep(of(TriggerId::CLI, 3), copied(16, 8192), &nothing_lingers);
    assert!(!kept.is_rarer(TriggerId::CLI, trace(1)));
    kept.retrigger(of(TriggerId::CLI, 2));
    assert!(kept.is_rarer(TriggerId::MANUAL, trace(2)));
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

/// The bytes of a segment with these flags that came from agent 5, and of `records` after it.
fn segment_bytes(flags: u32, records: &[(Kind, &[u64])]) -> Vec<u8> {
    let header = |kind: Kind, len: u64| Header { len: len as u16, kind: kind as u8, flags: 0, dt: 0 }.pack();
    let mut words = vec![header(Kind::Seg, SEG_BYTES), 1, 1, 10, 77, 5 | u64::from(flags) << 32];
    for (kind, body) in records {
        words.push(header(*kind, 8 + 8 * body.len() as u64));
        words.extend(*body);
    }
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

fn crumb_word(agent: u32, direction: CrumbDirection) -> u64 {
    u64::from(agent) | (direction as u64) << 32
}

#[test]
fn crumbs_are_read_as_copies_grow_and_open_edges_and_the_own_agent_are_none() {
    let mut kept = Kept::new(Bytes::mib(1), 0);
    let records: [(Kind, &[u64]); 3] = [
        (Kind::Crumb, &[crumb_word(6, CrumbDirection::To), 8]),
        (Kind::Crumb, &[crumb_word(0, CrumbDirection::To), 9]),
        (Kind::Crumb, &[crumb_word(42, CrumbDirection::To), 9]),
    ];
    let crumb = |agent, direction, span| CrumbTo { agent: AgentId(agent), direction, span: SpanId(span) };
    let expected = [crumb(5, CrumbDirection::From, 77), crumb(6, CrumbDirection::To, 8)];
    for n in 0..=3 {
        let mut copy = copied(0, 0);
        copy.segment.bytes = segment_bytes(0, &records[..n]);
        let (len, keeping) = (copy.segment.bytes.len() as u32, kept.keep(triggered(1, 1), copy, &nothing_lingers));
        assert!(matches!(keeping.change, Change::Grew(Piece { len: grown, .. }) if grown == len));
        let found: Vec<_> = kept.get(trace(1)).unwrap().crumbs(AgentId(42)).copied().collect();
        assert_eq!(found, expected[..(n + 1).min(2)]);
    }
}

#[test]
fn a_segment_is_open_until_it_ends_goes_on_elsewhere_or_its_process_does() {
    let mut kept = Kept::new(Bytes::mib(1), 0);
    let mut keep = |chunk: u32, prev_chunk: u32, is_open: bool, bytes: Vec<u8>| {
        let mut copy = Copied { is_open, ..copied(0, 0) };
        (copy.segment.key.chunk, copy.segment.prev_chunk, copy.segment.bytes) = (chunk, prev_chunk, bytes);
        kept.keep(triggered(1, 1), copy, &nothing_lingers);
        kept.get(trace(1)).unwrap().n_open()
    };
    assert_eq!(keep(1, Segment::NO_CHUNK, true, segment_bytes(0, &[])), 1);
    assert_eq!(keep(1, Segment::NO_CHUNK, false, segment_bytes(0, &[])), 1, "sealed, and it goes on somewhere");
    assert_eq!(keep(2, 1, true, segment_bytes(seg_flags::CONTINUED, &[])), 1, "here it goes on");
    assert_eq!(keep(2, 1, true, segment_bytes(seg_flags::CONTINUED, &[(Kind::SegEnd, &[])])), 0);
    assert_eq!(keep(3, 2, false, segment_bytes(seg_flags::LOSS, &[])), 0, "it had no next chunk");
    assert_eq!(keep(4, 3, true, segment_bytes(0, &[])), 1);
    assert_eq!(kept.note_ended(RegionId(9), None), [trace(1)]);
    assert_eq!(kept.get(trace(1)).unwrap().n_open(), 0);
}

#[test]
fn what_a_collector_has_goes_first_oldest_first_unless_it_lingers() {
    let mut kept = Kept::new(Bytes::kib(40), 0);
    let mut released = Vec::new();
    for n in 0..40 {
        let keeping = kept.keep(triggered(n, n), copied(0, 4096), &|of| of == trace(2));
        assert_eq!(keeping.given_up, [], "nothing that the collector lacks is given up");
        assert_eq!(keeping.receipted, [], "somebody may still write for it");
        released.extend(keeping.released);
        kept.note_acked(trace(n));
    }
    let expected: Vec<_> = (0..40).filter(|n| *n != 2).map(trace).take(released.len()).collect();
    assert!(!released.is_empty() && released == expected && kept.get(trace(2)).is_some());
}

#[test]
fn of_what_a_collector_has_a_receipt_stays_and_more_is_kept_with_it() {
    let mut kept = Kept::new(Bytes::kib(40), 0);
    let all_linger = |_| true;
    let (mut receipted, mut given_up) = (Vec::new(), Vec::new());
    let ended = |offset| {
        let mut copy = copied(offset, 0);
        copy.segment.bytes = segment_bytes(0, &[(Kind::SegEnd, &[])]);
        copy.segment.bytes.resize(4096, 0);
        copy
    };
    for n in 0..40 {
        let keeping = kept.keep(triggered(n, n), ended(8 * n as u32), &all_linger);
        receipted.extend(keeping.receipted);
        given_up.extend(keeping.given_up);
        if n != 2 {
            kept.note_acked(trace(n));
        }
    }
    assert!(given_up.is_empty() && kept.get(trace(2)).is_some(), "nothing that the collector lacks is given up");
    let expected: Vec<_> = (0..40).filter(|n| *n != 2).map(trace).take(receipted.len()).collect();
    assert!(!receipted.is_empty() && receipted == expected, "the oldest: {receipted:?}");
    let (first, key) = (trace(0), ended(0).segment.key);
    let amounts = kept.amounts(first).unwrap();
    assert_eq!((amounts.n_segments, amounts.record_bytes, amounts.n_open), (1, 4096, 0));
    assert_eq!((kept.get(first).is_none(), kept.len_of(first, &key)), (true, Some(4096)));
    let again = kept.keep(triggered(0, 0), ended(0), &all_linger);
    assert_eq!((again.change, again.given_up), (Change::None, Vec::new()), "the collector has it");
    let more = kept.keep(triggered(0, 0), ended(8_000), &all_linger);
    assert!(matches!(more.change, Change::Grew(_)));
    let amounts = kept.amounts(first).unwrap();
    assert_eq!((amounts.n_segments, amounts.record_bytes), (2, 8192), "one with what the collector has");
    let mut grown = ended(0);
    grown.segment.bytes.resize(6144, 0);
    kept.keep(triggered(0, 0), grown, &all_linger);
    let amounts = kept.amounts(first).unwrap();
    assert_eq!((amounts.n_segments, amounts.record_bytes), (2, 6144 + 4096), "and nothing counts twice");
}

#[test]
fn receipts_take_a_part_of_the_cap_and_a_small_one_of_traces_that_no_longer_linger() {
    let receipts_of = |lingers: &dyn Fn(TraceId) -> bool| {
        let mut kept = Kept::new(Bytes::kib(40), 0);
        for n in 0..400 {
            let mut copy = copied(8 * n as u32, 0);
            copy.segment.bytes = segment_bytes(0, &[(Kind::SegEnd, &[])]);
            let keeping = kept.keep(triggered(n, n), copy, lingers);
            assert_eq!(keeping.given_up, []);
            kept.note_acked(trace(n));
            assert!(kept.bytes() <= Bytes::kib(40));
        }
        (0..400).filter(|n| kept.get(trace(*n)).is_none() && kept.amounts(trace(*n)).is_some()).collect::<Vec<u64>>()
    };
    let all = receipts_of(&|_| true);
    assert!((30..60).contains(&all.len()) && !all.contains(&0), "the newest: {all:?}");
    let idle = receipts_of(&nothing_lingers);
    assert!((3..8).contains(&idle.len()), "some, in case that a trigger fires once more: {idle:?}");
}

#[test]
fn a_report_carries_the_lengths_and_strings_that_are_asked_for() {
    let mut kept = Kept::new(Bytes::mib(1), 0);
    let name = 3_u64;
    let mut copy = copied(0, 0);
    copy.segment.bytes = segment_bytes(0, &[(Kind::SpanStart, &[1, 0, name]), (Kind::SegEnd, &[])]);
    let (key, whole) = (copy.segment.key, copy.segment.bytes.len() as u32);
    kept.keep(triggered(1, 1), copy, &nothing_lingers);
    let slices = |segments: &[(SegmentKey, u32)], also: &[u64]| {
        let also = also.iter().copied().map(RegionId).collect();
        kept.get(trace(1)).unwrap().slices_of(segments, &also, &Timeline::default())
    };
    let all = slices(&[(key, whole)], &[]);
    assert_eq!((all[0].segments[0].bytes.len() as u32, all[0].process.strings.len()), (whole, 1));
    let head = slices(&[(key, 48)], &[]);
    assert_eq!((head[0].segments[0].bytes.len(), head[0].process.strings.len()), (48, 0));
    let death = slices(&[], &[9, 10]);
    assert_eq!((death.len(), death[0].segments.len()), (1, 0), "processes that wrote nothing are not named");
}

#[test]
fn a_trace_was_active_until_its_last_record_whatever_its_thread_did_then() {
    let mut kept = Kept::new(Bytes::mib(1), 0);
    let mut keep = |records: &[(Kind, &[u64])], end| {
        let mut copy = Copied { interval: (10, end), ..copied(0, 0) };
        copy.segment.bytes = segment_bytes(0, records);
        kept.keep(triggered(1, 1), copy, &nothing_lingers);
        kept.get(trace(1)).unwrap().interval()
    };
    assert_eq!(keep(&[(Kind::Time, &[40])], 50), Some((10, 50)), "it is still being written");
    assert_eq!(keep(&[(Kind::Time, &[40]), (Kind::Time, &[60]), (Kind::SegEnd, &[])], 5_000), Some((10, 60)));
}
