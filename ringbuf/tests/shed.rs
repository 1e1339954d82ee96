//! Claims about what a thread leaves out: which records, what its segment says of them, and how long it stays so.

#![cfg(not(any(loom, shuttle)))]

#[allow(dead_code, reason = "each test uses its part")]
#[path = "common/region.rs"]
mod region;

use backsight_core::ids::{SpanId, TraceId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::record::{Kind, Level, Record, Records, flags};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::Class;
use backsight_ringbuf::region::{Shed, set_seed, set_shed, shed};
use backsight_ringbuf::slot;
use backsight_ringbuf::storage::Heap;
use backsight_ringbuf::writer::{SegmentStart, Writer};
use region::{Agent, Chunks};
use std::sync::Arc;

const TRACE: TraceId = TraceId::new(7, 9);
const SPAN: SpanId = SpanId(3);
const SEED: u64 = 0x5eed;

/// A thread and its agent, which has the seed and one chunk granted.
fn start() -> (Agent<Arc<Heap>>, Writer<Arc<Heap>>) {
    let chunks = Chunks { small: 2, medium: 0, large: 0 };
    let store = Arc::new(chunks.heap(1));
    let mut agent = Agent::new(store.clone(), chunks, 1_000_000);
    set_seed(&store, SEED, 1);
    agent.grant(Class::Small);
    let number = slot::claim(&store, 42).expect("a slot is free");
    (agent, Writer::new(store, number, 42))
}

fn begin(writer: &mut Writer<Arc<Heap>>, now: u64) -> bool {
    writer.begin(SegmentStart { trace: TRACE, parent_span: SPAN, span: SPAN, ..SegmentStart::default() }, now)
}

/// Records an event of `level` in [`SPAN`].
fn event(writer: &mut Writer<Arc<Heap>>, now: u64, level: Level) -> bool {
    writer.record_of_span::<1, 2>(now, Kind::Event, level.flags(), SPAN, [u64::from(level as u8) + 1], &[])
}

/// Returns the levels of the segments' records, and the lowest that each segment says was left out.
fn recorded(agent: &Agent<Arc<Heap>>) -> (Vec<Level>, Vec<Option<Level>>) {
    let chunks = agent.open_chunks();
    let segments = chunks.iter().flat_map(|chunk| &chunk.segments);
    let events = segments.clone().flat_map(|(_, bytes)| Records::new(bytes).map(Result::unwrap));
    let levels = events.filter(|raw| raw.header.kind == Kind::Event as u8).map(|raw| {
        assert!(matches!(Record::decode(raw.header, raw.body), Ok(Record::Event { .. })));
        Level::of_flags(raw.header.flags)
    });
    (levels.collect(), segments.map(|(info, _)| Level::left_out(info.flags)).collect())
}

/// The threshold just above the trace's priority, and the priority itself, which is not above it.
fn thresholds(salt: Salt) -> (u64, u64) {
    let hash = Priority::of(TRACE, SEED, salt).hash();
    (hash + 1, hash)
}

#[test]
fn levels_below_their_threshold_are_left_out_and_the_segment_names_the_lowest() {
    let (above, equal) = thresholds(Salt::DETAIL);
    let cases = [
        ([0, 0, 0], None),
        ([equal, equal, equal], None),
        ([0, 0, above], Some(Level::Verbose)),
        ([0, above, above], Some(Level::Debug)),
        ([above, above, u64::MAX], Some(Level::Normal)),
        ([above, 0, 0], Some(Level::Normal)), // half of what the agent sets: a level's own threshold decides
    ];
    for (detail, lowest) in cases {
        let (agent, mut writer) = start();
        set_shed(&agent.store, Shed { record: 0, detail });
        assert_eq!(shed(&agent.store), Shed { record: 0, detail });
        begin(&mut writer, 1);
        let kept: Vec<Level> = Level::ALL.into_iter().rev().filter(|level| event(&mut writer, 2, *level)).collect();
        let is_kept = |level: &Level| {
            detail
                .get((*level as usize).wrapping_sub(1))
                .is_none_or(|threshold| *threshold != above && *threshold != u64::MAX)
        };
        let wanted: Vec<Level> = Level::ALL.into_iter().rev().filter(is_kept).collect();
        assert_eq!(kept, wanted, "{detail:x?}");
        assert_eq!(recorded(&agent), (kept, vec![lowest]));
        let drops = slot::drops(&agent.store, writer.slot_number());
        assert_eq!(drops.iter().sum::<u64>(), 0, "what the flag tells of is no drop");
    }
}

/// What the thread knows of its trace's priority holds for that trace alone, against the thresholds of the moment.
#[test]
fn thresholds_that_move_within_a_segment_and_the_next_trace_are_seen_at_once() {
    let (above, equal) = thresholds(Salt::DETAIL);
    let next = (10_u64..).map(|lo| TraceId::new(7, lo)).find(|id| Priority::of(*id, SEED, Salt::DETAIL).hash() < equal);
    let next = SegmentStart { trace: next.unwrap(), parent_span: SPAN, span: SPAN, ..SegmentStart::default() };
    let (agent, mut writer) = start();
    let set = |threshold| set_shed(&agent.store, Shed { record: 0, detail: [threshold; 3] });
    set(equal);
    begin(&mut writer, 1);
    let kept = [equal, above, equal, 0, u64::MAX, equal].map(|threshold| {
        set(threshold);
        event(&mut writer, 2, Level::Normal)
    });
    assert_eq!(kept, [true, false, true, true, false, true]);
    writer.begin(next, 3);
    assert!(!event(&mut writer, 4, Level::Normal), "a trace of a lower priority");
    let paused = writer.pause(5);
    begin(&mut writer, 6);
    assert!(event(&mut writer, 7, Level::Normal));
    writer.end(8);
    writer.resume(paused, 9);
    assert!(!event(&mut writer, 10, Level::Normal));
    assert_eq!(recorded(&agent).1, [Some(Level::Normal), Some(Level::Normal), None]);
}

#[test]
fn record_after_one_that_was_left_out_says_its_span_itself() {
    let (agent, mut writer) = start();
    set_shed(&agent.store, Shed { detail: [0, 0, u64::MAX], ..Shed::default() });
    begin(&mut writer, 1);
    assert!(!event(&mut writer, 2, Level::Verbose));
    assert!(event(&mut writer, 3, Level::Always));
    assert!(event(&mut writer, 4, Level::Normal));
    let chunks = agent.open_chunks();
    let records = Records::new(&chunks[0].segments[0].1).map(Result::unwrap);
    let elided: Vec<bool> = records
        .filter(|raw| raw.header.kind == Kind::Event as u8)
        .map(|raw| raw.header.flags & flags::ELIDED != 0)
        .collect();
    assert_eq!(elided, [false, true]);
}

#[test]
fn trace_that_is_shed_has_a_context_and_a_count_but_no_segment() {
    let (above, equal) = thresholds(Salt::RECORD);
    let (agent, mut writer) = start();
    set_shed(&agent.store, Shed { record: above, ..Shed::default() });
    assert!(!begin(&mut writer, 1));
    assert!(writer.is_shed() && !event(&mut writer, 2, Level::Always));
    writer.start_span(3, SpanId(5), 0);
    assert_eq!((writer.trace(), writer.span()), (TRACE, SpanId(5)));
    let context = slot::context(&agent.store, writer.slot_number()).unwrap();
    assert_eq!((context.trace, context.span), (TRACE, 5));
    writer.end(4);
    assert!(!writer.is_shed());
    assert_eq!(recorded(&agent), (vec![], vec![]));
    let drops = slot::drops(&agent.store, writer.slot_number());
    assert_eq!((drops[DropReason::Priority as usize], drops.iter().sum::<u64>()), (1, 1));

    set_shed(&agent.store, Shed { record: equal, ..Shed::default() });
    assert!(begin(&mut writer, 5) && event(&mut writer, 6, Level::Normal));
    assert_eq!(recorded(&agent), (vec![Level::Normal], vec![None]));
}

/// A future's polls: the first writes a segment to say what is left out, later ones need none.
#[test]
fn visit_says_once_what_is_left_out_of_its_polls() {
    let (agent, mut writer) = start();
    set_shed(&agent.store, Shed { detail: [0, 0, u64::MAX], ..Shed::default() });
    let mut visit = SegmentStart { trace: TRACE, parent_span: SPAN, span: SPAN, ..SegmentStart::default() };
    let other = SegmentStart { trace: TraceId::new(1, 1), ..SegmentStart::default() };
    for now in 1..4 {
        writer.resume(visit, 10 * now);
        assert!(!event(&mut writer, 10 * now + 1, Level::Verbose));
        visit = writer.pause(10 * now + 2);
        writer.begin(other, 10 * now + 3); // so that the visit's segment is not the last
        writer.end(10 * now + 4);
    }
    assert_eq!(recorded(&agent), (vec![], vec![Some(Level::Verbose), None, None, None]));
}
