//! Claims about back-tests: they find what a live trigger fires for, and say what keeping it takes.

use super::{Backtest, Counts, Range, Summary};
use crate::expressions::Expressions;
use crate::walk::Walk;
use crate::walk::log::{Log, TICKS_PER_SECOND, read, with_copy};
use backsight_core::expr::parse;
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::record::seg_flags;
use backsight_core::segment::Segment;
use backsight_core::units::Nanos;
use backsight_ringbuf::reader::SegmentInfo;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
use std::collections::BTreeSet;

/// Returns one request a number, each a chunk: a server span that takes as many microseconds.
fn requests(durations_us: &[u16]) -> Vec<Segment> {
    let mut now = 1000;
    let one = |(n, us): (usize, &u16)| {
        let mut log = Log::new(TraceId::new(1, n as u64 + 1));
        log.now = now;
        log.begin(n as u32 % 4, 0, 0);
        log.start(1, 0, 2);
        log.now += u64::from(*us) * TICKS_PER_SECOND / 1_000_000;
        log.end_span(1);
        log.end();
        now = log.now;
        log.segments
    };
    durations_us.iter().enumerate().flat_map(one).collect()
}

fn trace_of(segment: &Segment) -> TraceId {
    let word = |at: usize| u64::from_le_bytes(segment.bytes[at..at + 8].try_into().unwrap());
    TraceId::new(word(8), word(16))
}

fn info(segment: &Segment, marks: u32) -> SegmentInfo {
    SegmentInfo {
        offset: 64,
        end: 64 + segment.bytes.len() as u32,
        trace: trace_of(segment),
        base_ticks: u64::from_le_bytes(segment.bytes[24..32].try_into().unwrap()),
        parent_span: SpanId(0),
        from_agent: AgentId::NONE,
        flags: marks,
    }
}

/// Runs a back-test over chunks, of which those below `evicted` have gone.
fn run(expr: &str, segments: &[Segment], evicted: u64, marks: u32, (rate_per_s, since): (u64, u64)) -> Summary {
    let range = Range { from: 0, to: segments.len() as u64 };
    let mut backtest = Backtest::new(1, parse(expr).unwrap(), range, 1000, TICKS_PER_SECOND);
    let mut shares = vec![0.0];
    while let Some(wanted) = backtest.next_chunk() {
        let number = wanted.max(evicted);
        let segment = segments.get(number as usize);
        match segment {
            Some(segment) if backtest.wants_records() => with_copy(segment, |copy| backtest.read(copy)),
            Some(segment) => backtest.measure(&info(segment, marks)),
            None => {}
        }
        backtest.go_on(segment.map(|_| number));
        shares.push(backtest.progress_share());
    }
    assert!(shares.is_sorted() && shares.last() == Some(&1.0), "{shares:?}");
    backtest.sum_up(rate_per_s, since);
    backtest.summary()
}

proptest! {
    /// For every expression of these and all requests: the back-test finds the traces that the live expression fires for, each once.
    #[test]
    fn a_back_test_finds_what_the_live_trigger_fires_for(
        durations_us in prop::collection::vec(any::<u16>(), 0..400),
        expr in prop::sample::select(vec![
            "duration > 30ms",
            "duration > p90",
            "duration >= p50 and name starts_with \"GET\" rate > 3/s",
            "not duration > 60ms",
        ]),
    ) {
        let segments = requests(&durations_us);
        let (mut expressions, mut fired) = (Expressions::default(), Vec::new());
        expressions.set("live", parse(expr).unwrap()).unwrap();
        let mut walk = Walk::new(TICKS_PER_SECOND, expressions.wanted());
        for segment in &segments {
            read(&mut walk, segment, &mut |ended| expressions.take(ended, &mut fired));
        }
        let live: BTreeSet<TraceId> = fired.iter().map(|(_, trace)| *trace).collect();
        let summary = run(expr, &segments, 0, 0, (1_000_000, 0));
        prop_assert_eq!(fired.len(), live.len());
        prop_assert_eq!(summary.newest.iter().map(|(trace, _)| *trace).collect::<BTreeSet<_>>(), live);
        prop_assert!(summary.newest.is_sorted_by_key(|(trace, _)| std::cmp::Reverse(trace.lo)));
        prop_assert_eq!(summary.n_complete, summary.n_traces);
    }
}

#[test]
fn what_keeping_takes_is_said() {
    let segments = requests(&[10, 2_000, 3_000, 10, 5_000]);
    let summary = run("duration > 1ms", &segments, 0, 0, (1, 0));
    let bytes: u64 = [1, 2, 4].iter().map(|idx: &usize| segments[*idx].bytes.len() as u64).sum();
    assert_eq!((summary.n_traces, summary.bytes, summary.n_refused), (3, bytes, 1));
    assert_eq!(summary.counts, Counts { spans: 5, matches: 3, chunks: 5, ..Counts::default() });
    let durations: Vec<u64> = summary.newest.iter().map(|(_, duration)| duration.0 / 1_000_000).collect();
    assert_eq!(durations, [5, 3, 2]);
    assert!(summary.window > Nanos::from_ms(10) && summary.window < Nanos::from_ms(11), "{}", summary.window);
}

#[test]
fn what_was_overwritten_is_passed_over_and_traces_that_may_lack_some_are_not_called_complete() {
    let segments = requests(&[5_000, 5_000, 5_000, 5_000]);
    let since = info(&segments[2], 0).base_ticks;
    let summary = run("duration > 1ms", &segments, 2, 0, (100, since));
    assert_eq!((summary.counts.chunks, summary.counts.chunks_evicted), (2, 2));
    assert_eq!((summary.n_traces, summary.n_complete), (2, 1), "one began before what was overwritten ended");
    assert_eq!(run("duration > 1ms", &segments, 0, seg_flags::RESUME, (100, 0)).n_complete, 0);
}

#[test]
fn nothing_retained_is_over_at_once() {
    let summary = run("status = error", &[], 0, 0, (100, 0));
    assert_eq!((summary.n_traces, summary.window, summary.counts), (0, Nanos(0), Counts::default()));
}
