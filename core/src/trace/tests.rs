//! Claims about assembly: what was written is what is read, a prefix of a log gives fewer spans but no other ones, and no bytes panic.

mod fragments;
mod log_writer;
mod visits;

use self::log_writer::LogWriter;
use super::{AttributeValue, ProcessClock, Trace, assemble};
use crate::clock::CalibrationPoint;
use crate::ids::{AgentId, RegionId, SpanId, StringId, TraceId, TriggerId};
use crate::record::{CrumbDirection, Kind, StatusCode, ValueType, flags, seg_flags};
use crate::segment::{LastWords, Process, Segment, SegmentKey, Slice};
use crate::session::SERVICE_MAX_BYTES;
use crate::telemetry::DropReason;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::collections::BTreeSet;

const TRACE: TraceId = TraceId::new(7, 9);

/// Returns what a process wrote, one tick being 10 ns of a wall clock that starts at 10^18.
fn slice(segments: Vec<Segment>) -> Slice {
    let point = |s: u64| CalibrationPoint {
        ticks: s * 100_000_000,
        realtime_ns: 1_000_000_000_000_000_000 + s * 1_000_000_000,
        monotonic_ns: s * 1_000_000_000,
    };
    let process = Process {
        agent: AgentId(5),
        region: RegionId(1),
        pid: 42,
        service: "cart".to_owned(),
        death: None,
        strings: [(1, "http.status"), (2, "payload"), (3, "service.name")]
            .map(|(id, text)| (StringId(id), text.to_owned()))
            .into(),
        clock: vec![point(0), point(1)],
    };
    Slice { process, segments }
}

fn assembled(writer: LogWriter) -> Trace {
    assemble(TRACE, &[slice(writer.segments)])
}

#[test]
fn a_span_is_of_the_service_that_it_or_the_span_around_it_says_else_of_its_process() {
    let mut w = LogWriter::new(TRACE, 0);
    let says = |w: &mut LogWriter, service: &[u8]| {
        w.record(Kind::Attr, flags::ELIDED, &[LogWriter::name(3, ValueType::String as u8)], service);
    };
    w.begin(SpanId(77), 0);
    w.span_start(1, 0, "checkout/pay");
    says(&mut w, b"checkout");
    w.span_start(2, 1, "call");
    w.span_start(3, 2, "bank/charge");
    says(&mut w, b"bank");
    w.span_start(4, 3, "query");
    w.span_start(5, 77, "nobody said");
    w.span_start(6, 5, "its process's own");
    says(&mut w, b"cart");
    w.span_start(7, 77, "no name of a service");
    says(&mut w, &[b'x'; 5000]);
    w.end();
    let trace = assembled(w);
    let services: Vec<_> = trace.spans.iter().map(|span| trace.service_of(span)).collect();
    assert_eq!(
        services.iter().map(|service| &**service).collect::<Vec<_>>(),
        ["checkout", "checkout", "bank", "bank", "cart", "cart", &*"x".repeat(SERVICE_MAX_BYTES)]
    );
    let differs: Vec<bool> = trace.spans.iter().map(|span| !span.service.is_empty()).collect();
    assert_eq!(differs, [true, true, true, true, false, false, true]);
}

#[test]
fn a_span_has_what_was_recorded_in_it() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(77), 0);
    w.span_start(1, 77, "GET /cart");
    w.record(Kind::Attr, flags::ELIDED, &[LogWriter::name(1, ValueType::I64 as u8), 500], b"");
    w.record(Kind::Attr, flags::ELIDED, &[LogWriter::name(1, ValueType::I64 as u8), 503], b"");
    w.record(Kind::Event, flags::ELIDED, &[LogWriter::name(2, 0)], b"cache miss");
    w.record(Kind::Attr, flags::ELIDED | flags::OF_EVENT, &[LogWriter::name(1, ValueType::Bool as u8), 1], b"");
    w.record(Kind::Raw, 0, &[], b"inside");
    w.record(Kind::Status, flags::ELIDED, &[StatusCode::Error as u64], b"no stock");
    w.record(Kind::Link, flags::ELIDED, &[3, 4, 5], b"");
    w.record(Kind::Exception, flags::ELIDED, &[LogWriter::name(2, 0)], b"boom");
    w.span_end(1);
    w.end();
    let trace = assembled(w);
    assert_eq!((trace.malformed, trace.visits.len(), trace.spans.len()), (Default::default(), 0, 1));
    let span = &trace.spans[0];
    assert_eq!((&*span.name, span.parent, span.tid), ("GET /cart", SpanId(77), 100));
    assert_eq!(span.start_ns, 1_000_000_000_000_000_000 + 1002 * 10);
    assert_eq!(span.end_ns, Some(1_000_000_000_000_000_000 + 1011 * 10));
    assert_eq!((span.status, &*span.status_text, span.links.len()), (StatusCode::Error, "no stock", 1));
    let notes = &span.notes;
    assert_eq!(notes.attributes.len(), 1, "the last value counts");
    assert_eq!((&*notes.attributes[0].key, &notes.attributes[0].value), ("http.status", &AttributeValue::I64(503)));
    assert_eq!(notes.events.iter().map(|event| &*event.name).collect::<Vec<_>>(), ["payload", "exception"]);
    assert_eq!((&*notes.events[0].message, notes.events[0].attributes.len()), ("cache miss", 1));
    assert_eq!(notes.payloads[0].bytes, b"inside");
    assert_eq!((&*trace.processes[0].service, trace.processes[0].clock), ("cart", ProcessClock::Wall));
    assert_eq!(trace.interval_ns(), Some((span.start_ns, span.end_ns.unwrap())));
}

#[test]
fn a_segment_without_spans_is_a_visit_with_its_payloads() {
    let mut w = LogWriter::new(TRACE, 3);
    w.begin(SpanId(0), 0);
    w.record(Kind::Raw, 0, &[], b"one");
    w.next_chunk();
    w.record(Kind::Named, 0, &[LogWriter::name(2, 0)], b"two");
    w.end();
    let trace = assembled(w);
    assert_eq!((trace.spans.len(), trace.visits.len()), (0, 1));
    let visit = &trace.visits[0];
    assert!(visit.end_ns.is_some_and(|end| end > visit.start_ns) && visit.tid == 103);
    let payloads: Vec<_> = visit.notes.payloads.iter().map(|p| (p.name.as_deref(), p.bytes.as_slice())).collect();
    assert_eq!(payloads, [(None, &b"one"[..]), (Some("payload"), b"two")]);
}

#[test]
fn time_records_move_the_base_within_a_segment() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.span_start(1, 0, "long");
    w.record(Kind::Time, 0, &[50_000_000_000], b"");
    w.span_end(1);
    let end = w.segments[0].bytes.len() - 16;
    w.segments[0].bytes[end + 4..end + 8].copy_from_slice(&3_u32.to_le_bytes());
    let trace = assembled(w);
    assert_eq!(trace.spans[0].end_ns, Some(1_000_000_000_000_000_000 + 50_000_000_003 * 10));
}

#[test]
fn calls_without_an_answer_stay_open_and_crumbs_are_listed_once() {
    let mut w = LogWriter::new(TRACE, 0);
    w.segment(SpanId(6), AgentId(3), 0, u32::MAX);
    w.crumb(7, CrumbDirection::Out, 1);
    w.crumb(9, CrumbDirection::Out, 1);
    w.crumb(0, CrumbDirection::Out, 2);
    w.crumb(8, CrumbDirection::To, 1);
    w.crumb(8, CrumbDirection::To, 1_000); // an answer to no call of the log
    w.record(Kind::Fired, 0, &[4 | 2 << 32], b"");
    w.end();
    let trace = assembled(w);
    let edges: Vec<_> = trace.open_edges.iter().map(|edge| (edge.span.0, edge.expected.0)).collect();
    assert_eq!(edges, [(1, 9), (2, 0)], "the answer closed the oldest call, whose guess was wrong");
    let crumbs: Vec<_> = trace.crumbs.iter().map(|crumb| (crumb.direction, crumb.agent.0, crumb.span.0)).collect();
    let (from, to, out) = (CrumbDirection::From, CrumbDirection::To, CrumbDirection::Out);
    assert_eq!(crumbs, [(from, 3, 6), (to, 8, 1), (to, 8, 1_000), (out, 7, 1), (out, 9, 1)]);
    assert_eq!((trace.fired[0].trigger, trace.fired[0].n_laterals), (TriggerId::CLI, 2));
}

/// Where calls of one span overlap nobody knows which of them was answered; the one that may have gone anywhere must not be forgotten.
#[test]
fn of_overlapping_calls_the_one_that_leads_nowhere_stays_open() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.crumb(0, CrumbDirection::Out, 1);
    w.crumb(7, CrumbDirection::Out, 1);
    w.crumb(0, CrumbDirection::To, 1);
    w.end();
    let open: Vec<_> = assembled(w).open_edges.iter().map(|edge| edge.expected.0).collect();
    assert_eq!(open, [0]);
}

/// A request needs a span to go out under; a visit without one gives each call an id, by which it is found again.
#[test]
fn a_visit_without_a_span_knows_the_ids_of_its_calls() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(77), 0);
    w.crumb(7, CrumbDirection::Out, 50);
    w.crumb(7, CrumbDirection::To, 50);
    w.crumb(8, CrumbDirection::Out, 77);
    w.span_start(1, 77, "serve");
    w.crumb(9, CrumbDirection::Out, 1);
    w.crumb(9, CrumbDirection::Out, 0);
    w.span_end(1);
    w.end();
    let trace = assembled(w);
    assert_eq!(trace.visits.iter().map(|visit| visit.calls.clone()).collect::<Vec<_>>(), [[SpanId(50)]]);
}

/// Somebody without a recorder is no agent to ask, and no callee that is missing.
#[test]
fn an_answer_without_a_recorder_closes_its_call() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.crumb(0, CrumbDirection::Out, 1);
    w.crumb(0, CrumbDirection::To, 1);
    w.record(Kind::Crumb, 0, &[8 | 9 << 32, 1], b""); // a direction of a later version
    w.end();
    let trace = assembled(w);
    assert_eq!((trace.open_edges.len(), trace.crumbs.len(), trace.malformed), (0, 0, Default::default()));
}

#[test]
fn losses_are_told_with_and_without_their_record() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), seg_flags::LOSS);
    w.record(Kind::Lost, 0, &[DropReason::NoChunk as u64 | 12 << 32, 480, 900, 950], b"");
    w.end();
    w.begin(SpanId(0), seg_flags::LOSS);
    w.end();
    let trace = assembled(w);
    let losses: Vec<_> = trace.losses.iter().map(|loss| (loss.reason, loss.n_records, loss.bytes)).collect();
    assert_eq!(losses, [(Some(DropReason::NoChunk), 12, 480), (None, 0, 0)]);
}

#[test]
fn death_cuts_what_is_open_and_leaves_its_last_words() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.span_start(1, 0, "done");
    w.span_end(1);
    w.span_start(2, 1, "serving");
    let mut slice = slice(w.segments);
    slice.process.death = Some(LastWords { signal: 11, ticks: 2000, ..LastWords::default() });
    let trace = assemble(TRACE, &[slice]);
    assert_eq!(trace.spans.iter().map(|span| span.is_cut).collect::<Vec<_>>(), [false, true]);
    let death = trace.processes[0].death.as_ref().unwrap();
    assert_eq!((death.last_words.signal, death.at_ns), (11, Some(1_000_000_000_000_000_000 + 2000 * 10)));
}

#[test]
fn without_calibration_times_are_ticks_since_the_first() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.span_start(1, 0, "a");
    let mut slice = slice(w.segments);
    slice.process.clock.truncate(1);
    let trace = assemble(TRACE, &[slice]);
    assert_eq!(trace.processes[0].clock, ProcessClock::Ticks { first: 1001 });
    assert_eq!((trace.spans[0].start_ns, trace.interval_ns()), (1, None));
}

#[test]
fn copies_count_once_and_segments_of_other_traces_not_at_all() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.span_start(1, 0, "a");
    let early = w.segments.clone();
    w.span_end(1);
    let mut other = LogWriter::new(TraceId::new(1, 1), 1);
    other.begin(SpanId(0), 0);
    let late = w.segments.into_iter().chain(other.segments).collect();
    let trace = assemble(TRACE, &[slice(early), slice(late)]);
    assert_eq!((trace.processes.len(), trace.spans.len(), trace.malformed.segments), (1, 1, 1));
    assert!(trace.spans[0].end_ns.is_some());
}

/// Writes a log that a client could have written; each number is an action.
fn valid_log(actions: &[u8]) -> Vec<Segment> {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    let (mut n_spans, mut open) = (0, Vec::new());
    for action in actions {
        match action % 8 {
            0 | 1 => {
                n_spans += 1;
                w.span_start(n_spans, open.last().copied().unwrap_or(0), "s");
                open.push(n_spans);
            }
            2 => open.pop().into_iter().for_each(|span| w.span_end(span)),
            3 => w.next_chunk(),
            4 => {
                w.record(Kind::Raw, flags::MORE, &[], b"first");
                w.next_chunk();
                w.record(Kind::Raw, flags::CONTINUES, &[], b"second");
            }
            5 if *action < 128 => w.crumb(u32::from(*action) / 64, CrumbDirection::Out, n_spans),
            5 => w.crumb(u32::from(*action) / 64 - 2, CrumbDirection::To, n_spans),
            6 => {
                w.end();
                w.begin(SpanId(0), 0);
            }
            _ => w.record(Kind::Event, 0, &[n_spans, LogWriter::name(2, 0)], b"e"),
        }
    }
    w.segments
}

/// The wall clock is set back by an hour, or the counter steps back, while a segment is written.
#[test]
fn no_step_of_a_clock_makes_a_duration_negative() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.span_start(1, 0, "long");
    w.now = 250_000_000;
    w.record(Kind::Event, 0, &[1, LogWriter::name(2, 0)], b"e");
    w.span_end(1);
    w.span_start(2, 0, "over the move");
    // What a writer does where its clock is behind its base.
    let moved = 10_000_u64;
    w.record(Kind::Time, 0, &[moved], b"");
    w.rebase(moved);
    w.span_end(2);
    let mut slice = slice(w.segments);
    let point = |s: u64, set_ns: u64| {
        let of_epoch = 1_000_000_000_000_000_000 + s * 1_000_000_000;
        CalibrationPoint { ticks: s * 100_000_000, realtime_ns: of_epoch - set_ns, monotonic_ns: s * 1_000_000_000 }
    };
    let hour = 3_600_000_000_000;
    slice.process.clock = vec![point(0, 0), point(1, 0), point(2, hour), point(3, hour)];
    let trace = assemble(TRACE, &[slice]);
    let of = |id| trace.spans.iter().find(|span| span.id == SpanId(id)).unwrap();
    let (long, moved) = (of(1), of(2));
    assert_eq!(long.end_ns.map(|end| end - long.start_ns), Some(10 * (250_000_002 - 1_002)), "{trace:#?}");
    assert!(long.notes.events[0].at_ns > long.start_ns && Some(long.notes.events[0].at_ns) < long.end_ns, "{trace:#?}");
    assert_eq!(moved.end_ns, Some(moved.start_ns), "nobody knows how long it took: {trace:#?}");
}

/// Returns the first `n_records` records of the log.
fn committed(segments: &[Segment], mut n_records: usize) -> Vec<Segment> {
    let mut prefix = Vec::new();
    for segment in segments {
        let ends = crate::record::Records::new(&segment.bytes).flatten().take(n_records);
        let ends: Vec<usize> = ends.map(|raw| (raw.offset + usize::from(raw.header.len)).next_multiple_of(8)).collect();
        let Some(end) = ends.last() else { break };
        n_records -= ends.len();
        prefix.push(Segment { bytes: segment.bytes[..*end].to_vec(), ..segment.clone() });
    }
    prefix
}

proptest! {
    /// For every valid log and every prefix of it: the spans are among the spans of the whole, and nothing but a fragment is malformed.
    #[test]
    fn a_committed_prefix_gives_a_subset_of_spans(actions: Vec<u8>, n_records in 0_usize..300) {
        let segments = valid_log(&actions);
        let ids = |trace: &Trace| trace.spans.iter().map(|s| (s.id, s.parent, s.start_ns)).collect::<BTreeSet<_>>();
        let whole = assemble(TRACE, &[slice(segments.clone())]);
        let part = assemble(TRACE, &[slice(committed(&segments, n_records))]);
        prop_assert!(ids(&part).is_subset(&ids(&whole)));
        prop_assert_eq!((whole.malformed.records, whole.malformed.fragments), (0, 0));
        prop_assert_eq!((part.malformed.records, part.malformed.segments), (0, 0));
    }

    /// For every order of the segments: the same trace.
    #[test]
    fn the_order_of_segments_does_not_matter(actions: Vec<u8>) {
        let segments = valid_log(&actions);
        let reversed = segments.iter().rev().cloned().collect();
        prop_assert_eq!(assemble(TRACE, &[slice(segments)]), assemble(TRACE, &[slice(reversed)]));
    }

    /// For any bytes behind a sound SEG record, and any places: a trace, and the same one twice.
    #[test]
    fn any_bytes_give_a_trace(
        parts in proptest::collection::vec((any::<[u64; 4]>(), 0_u32..4, proptest::collection::vec(any::<u8>(), 0..300)), 0..6),
        points in proptest::collection::vec(any::<[u64; 3]>(), 0..5),
    ) {
        let segments = parts.into_iter().map(|([base, parent, from_and_flags, at], slot, noise)| {
            let mut bytes = Vec::new();
            for word in [48 | 1 << 16, TRACE.hi, TRACE.lo, base, parent, from_and_flags] {
                bytes.extend(word.to_le_bytes());
            }
            bytes.extend(noise);
            let key = SegmentKey { region: RegionId(1), chunk: at as u32 % 8, generation: 1, offset: (at >> 40) as u32 };
            Segment { key, slot, tid: slot, prev_chunk: (at >> 32) as u32 % 8, bytes }
        });
        let mut slice = slice(segments.collect());
        slice.process.clock = points
            .into_iter()
            .map(|[ticks, realtime_ns, monotonic_ns]| CalibrationPoint { ticks, realtime_ns, monotonic_ns })
            .collect();
        let trace = assemble(TRACE, &[slice.clone()]);
        prop_assert!(trace.spans.iter().all(|span| span.end_ns.is_none_or(|end| end >= span.start_ns)));
        prop_assert_eq!(trace.spans.len(), assemble(TRACE, &[slice]).spans.len());
    }
}
