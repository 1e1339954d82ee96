//! Claims about copying segments out: which spans are unfinished, which trigger fired, which strings a segment names.
use super::{ServedRequests, fired_in, is_ended, string_ids};
use backsight_core::ids::{SpanId, StringId, TraceId, TriggerId};
use backsight_core::record::{Header, Kind, SpanKind, ValueType, flags, name_word};
use proptest::prelude::{any, prop, proptest};

/// Appends a record.
fn put(bytes: &mut Vec<u8>, kind: Kind, record_flags: u8, dt: u32, words: &[u64]) {
    let len = 8 + 8 * words.len() as u16;
    bytes.extend(Header { len, kind: kind as u8, flags: record_flags, dt }.pack().to_le_bytes());
    words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
}

fn segment(trace: TraceId, base: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, Kind::Seg, 0, 0, &[trace.hi, trace.lo, base, 0, 0]);
    bytes
}

fn trace(n: u64) -> TraceId {
    TraceId::new(1, n)
}

#[test]
fn a_server_span_without_an_end_in_any_segment_is_an_unanswered_request() {
    let mut served = ServedRequests::default();
    for (n, base, kind) in [(1, 100, SpanKind::Server), (2, 300, SpanKind::Server), (3, 50, SpanKind::Internal)] {
        let mut bytes = segment(trace(n), base);
        put(&mut bytes, Kind::SpanStart, 0, 5, &[n, 0, name_word(1, 0, kind as u8)]);
        served.read(trace(n), &bytes);
    }
    assert_eq!(served.unanswered(), [trace(2), trace(1)], "newest first, servers only");
    let mut end = segment(trace(2), 400);
    put(&mut end, Kind::Event, 0, 1, &[2, name_word(1, 0, 0)]);
    put(&mut end, Kind::SpanEnd, flags::ELIDED, 2, &[]);
    served.read(trace(2), &end);
    assert_eq!(served.unanswered(), [trace(1)], "the span id of the end is that of the record before");
}

#[test]
fn a_request_that_another_thread_answered_is_answered_whichever_segment_is_read_first() {
    let (mut start, mut end) = (segment(trace(1), 100), segment(trace(1), 200));
    put(&mut start, Kind::SpanStart, 0, 5, &[7, 0, name_word(1, 0, SpanKind::Server as u8)]);
    put(&mut end, Kind::SpanEnd, 0, 2, &[7]);
    for segments in [[&start, &end], [&end, &start]] {
        let mut served = ServedRequests::default();
        segments.into_iter().for_each(|bytes| served.read(trace(1), bytes));
        assert_eq!(served.unanswered(), []);
    }
}

#[test]
fn the_strings_of_names_keys_values_and_arrays_are_found() {
    let mut bytes = segment(trace(1), 0);
    let span = SpanId(9).0;
    put(&mut bytes, Kind::SpanStart, 0, 0, &[span, 0, name_word(3, 0, 1)]);
    put(&mut bytes, Kind::Attr, 0, 0, &[span, name_word(4, 0, ValueType::Interned as u8), 5]);
    let element = u64::from(ValueType::Interned as u8) | 8 << 32;
    put(&mut bytes, Kind::Attr, 0, 0, &[span, name_word(6, 0, ValueType::Array as u8), element, 7]);
    put(&mut bytes, Kind::Event, flags::ELIDED, 0, &[name_word(8, 0, 0)]);
    let ids: Vec<u32> = string_ids(&bytes).into_iter().map(|StringId(id)| id).collect();
    assert_eq!(ids, [3, 4, 5, 6, 7, 8]);
}

#[test]
fn the_last_fired_record_names_the_trigger() {
    let mut bytes = segment(trace(1), 0);
    assert_eq!(fired_in(&bytes), None);
    put(&mut bytes, Kind::Fired, 0, 0, &[500]);
    put(&mut bytes, Kind::Fired, 0, 0, &[600]);
    assert_eq!(fired_in(&bytes), Some(TriggerId(600)));
}

#[test]
fn a_segment_is_ended_by_its_last_record() {
    let mut bytes = segment(trace(1), 0);
    assert!(!is_ended(&bytes));
    put(&mut bytes, Kind::SegEnd, 0, 0, &[]);
    assert!(is_ended(&bytes));
}

proptest! {
    /// Any bytes are read without a panic.
    #[test]
    fn noise_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let mut served = ServedRequests::default();
        served.read(trace(1), &bytes);
        string_ids(&bytes);
        fired_in(&bytes);
        is_ended(&bytes);
    }
}
