//! Claims about visits: what is said in them and in their spans, on whichever threads, before and after they pause.

use super::super::{Malformed, Notes};
use super::log_writer::LogWriter;
use super::{TRACE, assembled};
use crate::ids::SpanId;
use crate::record::{Kind, StatusCode, ValueType, seg_flags};

/// A thread may end the span that it resumed, and go on in those around it or where none is, whatever caused the visit.
#[test]
fn a_resumed_segment_goes_on_around_the_span_that_it_resumed() {
    for cause in [77, 0] {
        let mut a = LogWriter::new(TRACE, 9);
        a.begin(SpanId(cause), 0);
        a.span_start(1, cause, "outer");
        a.span_start(2, 1, "inner");
        a.end();
        let mut b = LogWriter::new(TRACE, 2);
        b.now = 2000;
        b.begin(SpanId(2), seg_flags::RESUME);
        b.span_end(2);
        b.record(Kind::Raw, 0, &[], b"in the outer one");
        b.span_end(1);
        b.record(Kind::Event, 0, &[cause, LogWriter::name(2, 0)], b"");
        b.record(Kind::Raw, 0, &[], b"in none");
        b.span_start(3, cause, "another");
        b.span_end(3);
        b.end();
        a.segments.extend(b.segments);
        let trace = assembled(a);
        let payloads = |notes: &Notes| notes.payloads.iter().map(|payload| payload.bytes.clone()).collect::<Vec<_>>();
        let of = |name| trace.spans.iter().find(|span| &*span.name == name).unwrap();
        assert_eq!((trace.malformed, trace.spans.len(), trace.visits.len()), (Malformed::default(), 3, 1));
        assert_eq!(
            (payloads(&of("outer").notes), of("another").parent),
            (vec![b"in the outer one".to_vec()], SpanId(cause))
        );
        assert_eq!(
            (payloads(&trace.visits[0].notes), trace.visits[0].notes.events.len()),
            (vec![b"in none".to_vec()], 1)
        );
    }
}

#[test]
fn a_resumed_segment_on_another_thread_belongs_to_its_span_and_visit() {
    let mut a = LogWriter::new(TRACE, 9);
    a.begin(SpanId(0), 0);
    a.span_start(1, 0, "async");
    a.end();
    let mut b = LogWriter::new(TRACE, 2);
    b.now = 2000;
    b.begin(SpanId(1), seg_flags::RESUME);
    b.record(Kind::Raw, 0, &[], b"on b");
    b.span_end(1);
    b.end();
    a.segments.extend(b.segments);
    let trace = assembled(a);
    assert_eq!((trace.spans.len(), trace.visits.len()), (1, 0));
    assert_eq!(trace.spans[0].notes.payloads[0].bytes, b"on b");
    assert!(trace.spans[0].end_ns.is_some());
}

/// A thread may pause a visit, go on with it in the same segment within a span, and then need a chunk: that segment names the span.
#[test]
fn a_visit_that_goes_on_in_a_chunk_of_another_parent_ends_its_span_there() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(77), 0);
    w.span_start(1, 77, "serve");
    w.end();
    w.record(Kind::Status, 0, &[1, StatusCode::Error as u64], b"no funds");
    w.next_chunk_in(SpanId(1));
    w.span_end(1);
    w.end();
    let trace = assembled(w);
    assert_eq!((trace.malformed, trace.visits.len(), trace.spans.len()), (Malformed::default(), 0, 1));
    assert!(trace.spans[0].end_ns.is_some() && trace.spans[0].status == StatusCode::Error);
}

/// Until it starts a span a visit works under the one that caused it, which another process has, or nobody.
#[test]
fn what_is_recorded_where_no_span_is_open_is_of_the_visit() {
    for cause in [77, 0] {
        let mut w = LogWriter::new(TRACE, 0);
        w.begin(SpanId(cause), 0);
        let say = |w: &mut LogWriter| {
            w.record(Kind::Attr, 0, &[cause, LogWriter::name(1, ValueType::I64 as u8), 500], b"");
            w.record(Kind::Event, 0, &[cause, LogWriter::name(2, 0)], b"");
            w.record(Kind::Status, 0, &[cause, StatusCode::Error as u64], b"no funds");
            w.record(Kind::Link, 0, &[cause, 1, 2, 3], b"");
        };
        say(&mut w);
        w.next_chunk();
        w.span_start(1, cause, "serve");
        w.span_end(1);
        say(&mut w);
        w.end();
        let trace = assembled(w);
        assert_eq!(trace.malformed, Malformed::default());
        assert_eq!(trace.spans.iter().map(|span| span.id.0).collect::<Vec<_>>(), [1], "and no other, under {cause}");
        let notes = &trace.visits[0].notes;
        let keys: Vec<_> = notes.attributes.iter().map(|attribute| &*attribute.key).collect();
        assert_eq!(keys, ["http.status", "otel.status_code", "otel.status_description"]);
        assert_eq!(notes.events.len(), 2);
    }
}

/// Segments are read one after another, though threads write them at the same time.
#[test]
fn threads_that_work_for_one_visit_at_the_same_time_record_in_its_span_and_do_not_end_it() {
    let mut a = LogWriter::new(TRACE, 9);
    a.begin(SpanId(0), 0);
    a.span_start(1, 0, "fan out");
    let mut b = LogWriter::new(TRACE, 2);
    b.now = a.now + 10;
    b.begin(SpanId(1), seg_flags::RESUME);
    b.record(Kind::Raw, 0, &[], b"on b");
    b.end();
    a.now = 2000;
    a.span_end(1);
    a.record(Kind::Raw, 0, &[], b"after it");
    a.end();
    let end = a.now;
    a.segments.extend(b.segments);
    let trace = assembled(a);
    assert_eq!(trace.spans[0].notes.payloads[0].bytes, b"on b");
    assert_eq!(trace.visits[0].notes.payloads[0].bytes, b"after it");
    assert_eq!(trace.visits[0].end_ns, Some(1_000_000_000_000_000_000 + end * 10));
}

/// A span's guard may drop in a task that the span itself caused.
#[test]
fn a_span_may_end_in_a_visit_that_it_caused() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.span_start(1, 0, "work");
    w.end();
    w.begin(SpanId(1), 0);
    w.record(Kind::Event, 0, &[1, LogWriter::name(2, 0)], b"in the visit");
    w.span_end(1);
    w.end();
    let trace = assembled(w);
    assert_eq!((trace.malformed, trace.spans.len(), trace.visits.len()), (Malformed::default(), 1, 1));
    assert!(trace.spans[0].end_ns.is_some() && trace.spans[0].notes.events.is_empty());
    assert_eq!(trace.visits[0].notes.events.len(), 1);
}
