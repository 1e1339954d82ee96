//! Claims about the walk: it hands on the spans that assembly would find, wherever their records stand, in bounded memory.

use super::carry::EVENTS_MAX;
use super::log::{Log, STRINGS, TICKS_PER_SECOND, ended_in, name, read};
use super::{CARRIED_SPANS_MAX, EndedSpan, Walk};
use backsight_core::clock::CalibrationPoint;
use backsight_core::expr::{Wanted, parse};
use backsight_core::ids::{RegionId, SpanId, StringId, TraceId};
use backsight_core::record::{Kind, ValueType, flags, seg_flags};
use backsight_core::segment::{Process, Segment, Slice};
use backsight_core::trace::{AttributeValue, Trace, assemble};
use backsight_core::units::Nanos;
use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

const TRACE: TraceId = TraceId::new(0xabc, 7);

fn wanted(text: &str) -> Wanted {
    let mut wanted = Wanted::default();
    wanted.add(&parse(text).unwrap().condition);
    wanted
}

fn walk() -> Walk {
    Walk::new(TICKS_PER_SECOND, wanted("attr(\"http.status\") and event_attr(\"exception.type\")"))
}

/// What is compared of a span: all but its events.
#[derive(Clone, PartialEq, Debug)]
struct Seen {
    span: u64,
    name: String,
    service: String,
    kind: &'static str,
    duration: Nanos,
    status: (&'static str, String),
    attribute: Option<AttributeValue>,
    events: Vec<String>,
}

fn seen(ended: &EndedSpan<'_>) -> Seen {
    let view = &ended.view;
    Seen {
        span: ended.span.0,
        name: view.name.into(),
        service: view.service.into(),
        kind: view.kind.name(),
        duration: view.duration,
        status: (view.status.name(), view.status_message.into()),
        attribute: view.attributes.first().map(|attribute| attribute.value.clone()),
        events: view.events.iter().map(|event| event.name.to_string()).collect(),
    }
}

fn assembled(segments: &[Segment]) -> Trace {
    let strings = (1..).zip(STRINGS).map(|(id, text)| (StringId(id), text.to_owned())).collect();
    let clock = [0, TICKS_PER_SECOND].map(|ticks| CalibrationPoint {
        ticks,
        realtime_ns: 10 * ticks,
        monotonic_ns: 10 * ticks,
    });
    let process =
        Process { region: RegionId(1), service: "shop".into(), strings, clock: clock.into(), ..Process::default() };
    assemble(TRACE, &[Slice { process, segments: segments.to_vec() }])
}

/// Returns the spans of a trace that have ended, by id.
fn expected(segments: &[Segment]) -> Vec<Seen> {
    let trace = assembled(segments);
    let ended = trace.spans.iter().filter_map(|span| Some((span, span.end_ns.filter(|_| span.is_started)?)));
    let mut ended: Vec<Seen> = ended
        .map(|(span, end_ns)| Seen {
            span: span.id.0,
            name: span.name.to_string(),
            service: trace.service_of(span).to_string(),
            kind: span.kind.name(),
            duration: Nanos(end_ns - span.start_ns),
            status: (span.status.name(), span.status_text.to_string()),
            attribute: span
                .notes
                .attributes
                .iter()
                .find(|attribute| &*attribute.key == "http.status")
                .map(|attribute| attribute.value.clone()),
            events: span.notes.events.iter().take(EVENTS_MAX).map(|event| event.name.to_string()).collect(),
        })
        .collect();
    ended.sort_by_key(|span| span.span);
    ended
}

/// Writes what a process could have: each number is an action on one of three threads. Returns the segments in the order of writing.
fn written(actions: &[u8]) -> Vec<Segment> {
    let mut log = Log::new(TRACE);
    let (mut n_spans, mut open) = (0_u64, Vec::new());
    for action in actions {
        let thread = u32::from(action >> 6);
        log.now += u64::from(*action);
        log.begin(thread, 0, 0);
        let some = open.get(usize::from(action >> 3) % open.len().max(1)).copied();
        match (action % 8, some) {
            (0, _) | (1, _) | (_, None) => {
                n_spans += 1;
                log.start(n_spans, some.unwrap_or(0), 1 + action % 5);
                if action % 3 == 0 {
                    let words = [n_spans, name(3, ValueType::String as u8)];
                    log.record(Kind::Attr, 0, &words, format!("of {n_spans}").as_bytes());
                }
                open.push(n_spans);
            }
            (2, Some(span)) => {
                open.retain(|known| *known != span);
                log.end_span(span);
            }
            (3, Some(span)) => {
                let words = [span, name(2, ValueType::I64 as u8), u64::from(*action)];
                log.record(Kind::Attr, 0, &words, b"");
                log.record(Kind::Attr, flags::ELIDED, &[name(4, ValueType::I64 as u8), 1], b"");
            }
            (4, Some(span)) => log.record(Kind::Status, 0, &[span, u64::from(action % 3)], b"said"),
            (5, Some(span)) => log.record(Kind::Rename, 0, &[span, name(4, 0)], b""),
            (6, Some(span)) => log.record(Kind::Event, 0, &[span, name(4, 0)], b"message"),
            (_, Some(span)) => log.record(Kind::Exception, 0, &[span, name(1, 0)], b"boom"),
        }
        log.end();
    }
    log.segments
}

proptest! {
    /// For everything that a process writes: the walk hands on each span that assembly finds ended, once, and as it is there.
    #[test]
    fn the_walk_finds_the_spans_that_assembly_finds(actions in prop::collection::vec(any::<u8>(), 0..120)) {
        let segments = written(&actions);
        let mut found = Vec::new();
        let mut walk = walk();
        segments.iter().for_each(|segment| read(&mut walk, segment, &mut |span| found.push(seen(span))));
        found.sort_by_key(|span| span.span);
        prop_assert_eq!(found, expected(&segments));
        prop_assert_eq!(walk.shortfalls().spans_given_up, 0);
    }

    /// For every order in which the chunks of several threads are sealed: the same spans end.
    #[test]
    fn spans_end_whatever_chunk_comes_first(actions in prop::collection::vec(any::<u8>(), 0..80), seed in any::<u64>()) {
        let segments = written(&actions);
        let mut shuffled = segments.clone();
        let rank = |segment: &Segment| u64::from(segment.key.chunk + 1).wrapping_mul(seed | 1).rotate_left(17);
        shuffled.sort_by_key(rank);
        let mut ended = ended_in(&mut walk(), &shuffled);
        ended.sort_unstable();
        prop_assert_eq!(ended, expected(&segments).iter().map(|span| SpanId(span.span)).collect::<Vec<_>>());
    }

    /// For any bytes: no panic, and nothing is carried that no record speaks of.
    #[test]
    fn any_bytes_are_read(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5)) {
        let mut walk = walk();
        for bytes in parts {
            let mut log = Log::new(TRACE);
            log.begin(0, 0, seg_flags::CONTINUED);
            let mut segment = log.segments.remove(0);
            segment.bytes.extend(&bytes);
            read(&mut walk, &segment, &mut |_| {});
            prop_assert!(walk.n_carried() <= 100);
        }
    }
}

#[test]
fn a_record_without_a_span_is_about_the_innermost_one_across_chunks() {
    let mut log = Log::new(TRACE);
    log.begin(1, 0, 0);
    log.start(1, 0, 2);
    log.begin(1, 0, seg_flags::CONTINUED);
    log.record(Kind::Attr, 0, &[0, name(2, ValueType::I64 as u8), 503], b"");
    log.end_span(1);
    log.end();
    // Another thread takes the slot over, and goes on with nothing.
    log.begin(1, 0, seg_flags::CONTINUED);
    log.record(Kind::Attr, 0, &[0, name(2, ValueType::I64 as u8), 1], b"");
    let (mut walk, mut found) = (walk(), Vec::new());
    log.segments.iter().for_each(|segment| read(&mut walk, segment, &mut |span| found.push(seen(span))));
    assert_eq!((found.len(), found[0].attribute.clone()), (1, Some(AttributeValue::I64(503))));
    assert_eq!(walk.n_carried(), 0);
}

#[test]
fn a_resumed_segment_belongs_to_the_span_that_it_resumes() {
    let mut log = Log::new(TRACE);
    log.begin(1, 77, 0);
    log.start(9, 77, 2);
    log.end();
    log.begin(2, 9, seg_flags::RESUME);
    log.record(Kind::Attr, 0, &[0, name(2, ValueType::I64 as u8), 7], b"");
    log.end_span(9);
    log.record(Kind::Attr, 0, &[77, name(2, ValueType::I64 as u8), 8], b"");
    log.end();
    let (mut walk, mut found) = (walk(), Vec::new());
    log.segments.iter().for_each(|segment| read(&mut walk, segment, &mut |span| found.push(seen(span))));
    assert_eq!(found.iter().map(|span| span.attribute.clone()).collect::<Vec<_>>(), [Some(AttributeValue::I64(7))]);
    assert_eq!(walk.n_carried(), 0, "what is said of the visit is of no span");
}

#[test]
fn what_never_ends_is_given_up_oldest_first_and_counted() {
    let mut walk = walk();
    let n = CARRIED_SPANS_MAX as u64 + 10;
    for span in 1..=n {
        let mut log = Log::new(TRACE);
        log.begin(1, 0, 0);
        log.start(span, 0, 2);
        log.end();
        assert!(ended_in(&mut walk, &log.segments).is_empty());
    }
    assert_eq!((walk.n_carried(), walk.shortfalls().spans_given_up), (CARRIED_SPANS_MAX, 10));
    let mut log = Log::new(TRACE);
    log.begin(1, 0, 0);
    log.end_span(1);
    log.end_span(n);
    assert_eq!(ended_in(&mut walk, &log.segments), [SpanId(n)]);
}

#[test]
fn long_texts_are_cut_and_counted_and_notes_that_nobody_wants_are_left_out() {
    let mut walk = Walk::new(TICKS_PER_SECOND, Wanted::default());
    let mut log = Log::new(TRACE);
    log.begin(1, 0, 0);
    log.start(1, 0, 2);
    log.record(Kind::Status, 0, &[1, 2], &[b'x'; 300]);
    log.record(Kind::Attr, 0, &[1, name(2, ValueType::I64 as u8), 7], b"");
    log.record(Kind::Event, 0, &[1, name(4, 0)], b"");
    log.end_span(1);
    let mut found = Vec::new();
    read(&mut walk, &log.segments[0], &mut |span| found.push(seen(span)));
    assert_eq!((found[0].status.1.len(), found[0].attribute.clone(), found[0].events.len()), (256, None, 0));
    assert_eq!(walk.shortfalls().notes_cut, 1);
}
