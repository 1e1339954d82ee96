//! Claims about records that stand in several chunks, and what stands at a chunk's start.

use super::super::{Malformed, assemble};
use super::log_writer::LogWriter;
use super::{TRACE, assembled, slice};
use crate::ids::SpanId;
use crate::record::{Kind, flags};

#[test]
fn fragments_join_across_chunks_and_a_missing_one_is_counted() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.span_start(1, 0, "upload");
    w.record(Kind::Raw, flags::MORE, &[], &[b'a'; 100]);
    w.next_chunk();
    w.record(Kind::Raw, flags::CONTINUES | flags::MORE, &[], &[b'b'; 100]);
    w.next_chunk();
    w.record(Kind::Raw, flags::CONTINUES | flags::TRUNCATED, &[], &[b'c'; 7]);
    w.record(Kind::SpanEnd, flags::ELIDED, &[], b"");
    w.end();
    let segments = w.segments.clone();
    let trace = assembled(w);
    // The id that the last record leaves out is that of the record before the one that ends in its segment.
    assert_eq!((trace.malformed.fragments, trace.malformed.records), (0, 0));
    let payload = &trace.spans[0].notes.payloads[0];
    assert_eq!((payload.bytes.len(), payload.bytes[199], payload.bytes[206]), (207, b'b', b'c'));
    assert!(payload.is_truncated);
    let without_middle = vec![segments[0].clone(), segments[2].clone()];
    let trace = assemble(TRACE, &[slice(without_middle)]);
    assert_eq!((trace.malformed.fragments, trace.malformed.records), (2, 1));
    assert!(trace.spans[0].notes.payloads.is_empty());
}

/// One call writes all its fragments at one tick, and a chunk that was granted again has a number lower than those before it.
#[test]
fn fragments_of_one_tick_join_in_the_order_of_their_links() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.record(Kind::Raw, flags::MORE, &[], b"a");
    for more in [flags::MORE, flags::MORE, flags::MORE, 0] {
        w.next_chunk();
        w.record(Kind::Raw, flags::CONTINUES | more, &[], &[b'a' + w.segments.len() as u8 - 1]);
    }
    w.end();
    let numbers = [40, 41, 7, 3, 5];
    let tick = w.segments[1].bytes[24..32].to_vec();
    for (idx, segment) in w.segments.iter_mut().enumerate() {
        segment.key.chunk = numbers[idx];
        if idx > 0 {
            segment.prev_chunk = numbers[idx - 1];
            segment.bytes[24..32].copy_from_slice(&tick);
        }
    }
    let trace = assembled(w);
    assert_eq!(trace.malformed, Malformed::default());
    assert_eq!(trace.visits[0].notes.payloads[0].bytes, b"abcde");
}

/// A thread that goes on with a visit where its chunk is nearly full, then gets the one back that it had before.
#[test]
fn segments_of_one_tick_in_two_chunks_by_turns_begin_where_one_continues_none() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.next_chunk();
    w.record(Kind::Raw, flags::MORE, &[], b"a");
    w.next_chunk();
    w.record(Kind::Raw, flags::CONTINUES, &[], b"b");
    w.end();
    let tick = w.segments[0].bytes[24..32].to_vec();
    w.segments[1].bytes[24..32].copy_from_slice(&tick);
    for (segment, [chunk, generation, prev]) in w.segments.iter_mut().zip([[7, 1, 3], [3, 2, 7], [7, 2, 3]]) {
        (segment.key.chunk, segment.key.generation, segment.prev_chunk) = (chunk, generation, prev);
    }
    let trace = assembled(w);
    assert_eq!((trace.malformed, &*trace.visits[0].notes.payloads[0].bytes), (Malformed::default(), &b"ab"[..]));
}

#[test]
fn an_elided_id_at_the_start_of_a_segment_is_malformed() {
    let mut w = LogWriter::new(TRACE, 0);
    w.begin(SpanId(0), 0);
    w.span_start(1, 0, "a");
    w.next_chunk();
    w.record(Kind::Event, flags::ELIDED, &[LogWriter::name(2, 0)], b"whose?");
    w.end();
    let trace = assembled(w);
    assert_eq!(trace.malformed.records, 1);
    assert!(trace.spans[0].notes.events.is_empty() && trace.visits.is_empty());
}
