//! What nobody should send: refused as a whole, rejected span by span, or repaired and counted; and never large.

use crate::wire::otlp_visit::span::Room;
use crate::wire::otlp_visit::testing::Seen;
use crate::wire::otlp_visit::{
    Attribute, Decoded, Limits, OtlpError, OtlpSink, Reason, Repairs, ResourceView, ScopeView, SpanView, Value, visit,
    write,
};
use backsight_core::ids::{SpanId, TraceId};
use opentelemetry_proto::tonic::trace::v1::Span;
use proptest::prelude::{any, prop, prop_assert, proptest};
use prost::{Message, encoding};

const TRACE: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
const SPAN: [u8; 8] = [1; 8];

/// Returns a field that holds bytes.
fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::bytes(number, bytes, &mut out);
    out
}

fn fixed64(number: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    encoding::fixed64::encode(number, &value, &mut out);
    out
}

/// Returns a span with good ids and `fields`.
fn good(fields: &[Vec<u8>]) -> Vec<u8> {
    [field(1, &TRACE), field(2, &SPAN), fields.concat()].concat()
}

/// Returns a request of one resource and scope with `spans`.
fn request(spans: &[Vec<u8>]) -> Vec<u8> {
    let spans: Vec<_> = spans.iter().map(|span| field(2, span)).collect();
    field(1, &field(2, &spans.concat()))
}

fn pair(key: &str, any_value: &[u8]) -> Vec<u8> {
    [field(1, key.as_bytes()), field(2, any_value)].concat()
}

fn text(text: &str) -> Vec<u8> {
    field(1, text.as_bytes())
}

/// Returns a value with `levels` values below each other.
fn nested(levels: usize) -> Vec<u8> {
    (1..levels).fold(text("x"), |inner, level| {
        let element = if level % 2 == 0 { inner } else { pair("k", &inner) };
        field(if level % 2 == 0 { 5 } else { 6 }, &field(1, &element))
    })
}

/// Returns the span as it was shown, and what came of it, after a good span that has to be taken whatever the other is.
fn shown(span: Vec<u8>) -> (Option<Span>, Decoded) {
    let (seen, mut decoded) = Seen::of(&request(&[good(&[]), span]));
    decoded.n_taken -= 1;
    (seen.resource_spans[0].scope_spans[0].spans.get(1).cloned(), decoded)
}

fn taken(span: Vec<u8>) -> (Span, Repairs) {
    let (shown, decoded) = shown(span);
    (shown.unwrap(), decoded.repairs)
}

#[test]
fn ids_that_are_none_reject_their_span_alone() {
    let spans = [
        (field(2, &SPAN), Reason::TraceId),
        ([field(1, &[0; 16]), field(2, &SPAN)].concat(), Reason::TraceId),
        ([field(1, &TRACE[..15]), field(2, &SPAN)].concat(), Reason::TraceId),
        (field(1, &TRACE), Reason::SpanId),
        ([field(1, &TRACE), field(2, &[0; 8])].concat(), Reason::SpanId),
        ([field(1, &TRACE), field(2, &[1; 9])].concat(), Reason::SpanId),
        (good(&[field(4, &[1; 7])]), Reason::ParentSpanId),
        (good(&[field(5, b"\xff")]), Reason::InvalidUtf8),
        (good(&[field(9, &pair("k", &field(1, b"\xc3")))]), Reason::InvalidUtf8),
        (good(&[field(9, &pair("k", &field(5, &field(1, &field(1, b"\xc3")))))]), Reason::InvalidUtf8),
        (good(&[field(11, &field(2, b"\xff"))]), Reason::InvalidUtf8),
        (good(&[fixed64(7, 1 << 63)]), Reason::TimeOutOfRange),
    ];
    for (span, reason) in spans {
        let (span, decoded) = shown(span);
        assert_eq!((decoded.rejected.of(reason), decoded.rejected.total(), span), (1, 1, None), "{reason}");
        assert_eq!(decoded.rejected.to_string(), format!("1 spans rejected: 1 {reason}"));
    }
}

#[test]
fn a_resource_or_scope_that_is_no_text_rejects_its_spans_and_no_others() {
    let bad = pair("k", &field(1, b"\xff"));
    let spans = [field(2, &good(&[])), field(2, &good(&[]))].concat();
    let of_scope = field(2, &[field(1, &field(3, &bad)), spans.clone()].concat());
    let of_resource = [field(1, &field(1, &bad)), field(2, &spans)].concat();
    for resource_spans in [[of_scope, field(2, &spans)].concat(), of_resource] {
        let bytes = [field(1, &resource_spans), field(1, &field(2, &spans))].concat();
        let decoded = Seen::of(&bytes).1;
        assert_eq!(decoded.rejected.of(Reason::InvalidUtf8), 2);
        assert_eq!(decoded.n_taken + 2, bytes.windows(16).filter(|bytes| *bytes == TRACE).count() as u64);
    }
}

#[test]
fn times_that_cannot_be_are_set_and_counted() {
    let of = |start, end| taken(good(&[fixed64(7, start), fixed64(8, end)]));
    let times = |(span, repairs): (Span, Repairs)| (span.start_time_unix_nano, span.end_time_unix_nano, repairs.times);
    assert_eq!(times(of(10, 5)), (10, 10, 1), "an end before its start");
    assert_eq!(times(of(0, 0)), (0, 0, 0), "1970 is a time");
    assert_eq!(times(of(7_258_118_400_000_000_000, 7_258_118_400_000_000_001)).2, 0, "so is 2200");
    assert_eq!(times(of(5, u64::MAX)), (5, i64::MAX as u64, 1));
    let (span, repairs) = taken(good(&[field(11, &fixed64(1, u64::MAX))]));
    assert_eq!((span.events[0].time_unix_nano, repairs.times), (i64::MAX as u64, 1));
}

#[test]
fn of_keys_that_come_again_the_last_value_counts_however_many_there_are() {
    for n_keys in [1, 3, 16, 17, 18, 400] {
        let pairs = (0..2 * n_keys).map(|idx| field(9, &pair(&format!("k{}", idx % n_keys), &text(&idx.to_string()))));
        let (span, repairs) = taken(good(&pairs.collect::<Vec<_>>()));
        assert_eq!((span.attributes.len(), repairs.duplicate_keys as usize), (n_keys, n_keys));
        for (idx, attribute) in span.attributes.iter().enumerate() {
            let value = attribute.value.as_ref().unwrap().encode_to_vec();
            assert_eq!((&attribute.key, value), (&format!("k{idx}"), text(&(idx + n_keys).to_string())));
        }
    }
}

#[test]
fn what_is_over_a_limit_is_left_out_and_counted() {
    let pairs = |number, n: usize| (0..n).map(move |idx| field(number, &pair(&format!("k{idx}"), &text("v"))));
    let (span, repairs) = taken(good(&pairs(9, 515).collect::<Vec<_>>()));
    assert_eq!((span.attributes.len(), repairs.attributes_dropped), (512, 3));
    let (span, repairs) = taken(good(&[field(11, &pairs(3, 513).collect::<Vec<_>>().concat())]));
    assert_eq!((span.events[0].attributes.len(), repairs.attributes_dropped), (512, 1));
    let (span, repairs) = taken(good(&vec![field(11, &[]); 1026]));
    assert_eq!((span.events.len(), repairs.events_dropped), (1024, 2));
    let link = field(13, &[field(1, &TRACE), field(2, &SPAN)].concat());
    let (span, repairs) = taken(good(&[vec![link; 1025], vec![field(13, &field(1, &TRACE))]].concat()));
    assert_eq!((span.links.len(), repairs.links_dropped), (1024, 2));
    let (span, repairs) = taken(good(&[field(13, &field(1, &TRACE))]));
    assert_eq!((span.links.len(), repairs.links_dropped), (0, 1), "a link to no span");
    assert!(!repairs.is_none());
}

#[test]
fn large_values_are_cut_between_characters_and_large_lists_left_out() {
    let max = Limits::default().attr_value_max;
    let long = "é".repeat(max); // two bytes each, and one before them
    let whole = format!("-{}", &long[..max - 2]);
    let pairs = [
        pair("text", &text(&format!("-{long}"))),
        pair("bytes", &field(7, &vec![7; max + 1])),
        pair("list", &field(5, &field(1, &text(&long)))),
        pair("fits", &text(&long[..max])),
    ];
    let (span, repairs) = taken(good(&[pairs.map(|pair| field(9, &pair)).concat(), field(5, long.as_bytes())]));
    let len = |idx: usize| span.attributes[idx].value.as_ref().unwrap().encode_to_vec();
    assert_eq!((len(0), len(1), len(2)), (text(&whole), field(7, &vec![7; max]), text(&long[..max])));
    assert_eq!((span.attributes.len(), span.name.len()), (3, max));
    assert_eq!((repairs.values_truncated, repairs.attributes_dropped), (3, 1));
}

#[test]
fn values_too_deep_cost_their_attribute() {
    for (levels, n_kept) in [(1, 1), (31, 1), (32, 1), (33, 0), (2000, 0)] {
        let (span, repairs) = taken(good(&[field(9, &pair("k", &nested(levels)))]));
        assert_eq!((span.attributes.len(), repairs.attributes_dropped as usize), (n_kept, 1 - n_kept), "{levels}");
    }
}

#[test]
fn values_torn_apart_at_every_level_are_put_together_within_the_limits() {
    // An empty piece beside each: what is there has to be joined level by level.
    let torn = |levels: usize| {
        (1..levels).fold(text("x"), |inner, _| {
            let element = [field(1, b"k"), field(2, &[]), field(2, &inner)].concat();
            [field(6, &[]), field(6, &field(1, &element))].concat()
        })
    };
    let whole = |levels: usize| (1..levels).fold(text("x"), |inner, _| field(6, &field(1, &pair("k", &inner))));
    for (levels, is_kept) in [(2, true), (32, true), (33, false), (1000, false)] {
        let torn = pair("k", &torn(levels));
        let link = [field(1, &TRACE), field(2, &SPAN), field(4, &torn)].concat();
        let (span, repairs) = taken(good(&[field(9, &torn), field(11, &field(3, &torn)), field(13, &link)]));
        assert_eq!(repairs.attributes_dropped, if is_kept { 0 } else { 3 }, "{levels}");
        for attributes in [&span.attributes, &span.events[0].attributes, &span.links[0].attributes] {
            let encoded: Vec<_> = attributes.iter().map(Message::encode_to_vec).collect();
            assert_eq!(encoded, if is_kept { vec![pair("k", &whole(levels))] } else { Vec::new() }, "{levels}");
        }
    }
}

#[test]
fn what_leads_out_of_the_request_is_refused_as_a_whole() {
    let refused = |bytes: &[u8]| visit(bytes, &Limits::default(), &mut Seen::default()).unwrap_err();
    let in_span = |field: &[u8]| refused(&request(&[good(&[]), good(&[field.to_vec()])]));
    assert_eq!(refused(b"\x0a\x05abc"), OtlpError::LengthOutOfRange { field: 1, len: 5, left: 3 });
    assert_eq!(in_span(b"\x2a\x7fabc"), OtlpError::LengthOutOfRange { field: 5, len: 127, left: 3 });
    assert_eq!(in_span(b"\x39abc"), OtlpError::LengthOutOfRange { field: 7, len: 8, left: 3 });
    let huge = [&b"\x2a"[..], &[0xff; 9], &[1]].concat();
    assert_eq!(in_span(&huge), OtlpError::LengthOutOfRange { field: 5, len: u64::MAX, left: 0 });
    assert_eq!(in_span(&[&b"\x50"[..], &[0x80; 10], &[0]].concat()), OtlpError::Varint, "11 bytes");
    assert_eq!(in_span(&[&b"\x50"[..], &[0xff; 9], &[2]].concat()), OtlpError::Varint, "65 bits");
    assert_eq!(in_span(b"\x50\x80"), OtlpError::Varint, "cut off");
    assert_eq!(
        (in_span(b"\xa3\x06"), in_span(b"\xa4\x06")),
        (OtlpError::Group { field: 100 }, OtlpError::Group { field: 100 })
    );
    assert_eq!((in_span(b"\x07"), in_span(b"\x0e")), (OtlpError::Key { key: 7 }, OtlpError::Key { key: 14 }));
    assert_eq!(in_span(b"\x28\x01"), OtlpError::WireType { message: "Span", field: 5 });
    let limits = Limits { request_max: 3, ..Limits::default() };
    let error = visit(&[0; 4], &limits, &mut Seen::default()).unwrap_err();
    assert!(error.is_too_large() && !in_span(b"\x07").is_too_large());
}

#[test]
fn unknown_fields_are_skipped_everywhere() {
    let unknown = [field(1000, b"new"), fixed64(999, 1), b"\x80\x7d\x05".to_vec()].concat();
    let value = [text("v"), unknown.clone()].concat();
    let pair = [pair("k", &value), unknown.clone()].concat();
    let span = good(&[field(9, &pair), unknown.clone(), field(11, &unknown), field(15, &unknown)]);
    let scope = [field(1, &unknown), field(2, &span), unknown.clone()].concat();
    let resource = [field(1, &unknown), field(2, &scope), unknown.clone()].concat();
    let (seen, decoded) = Seen::of(&[field(1, &resource), unknown].concat());
    assert_eq!((decoded.n_taken, decoded.repairs), (1, Repairs::default()));
    assert_eq!(seen.resource_spans[0].scope_spans[0].spans[0].attributes.len(), 1);
}

/// Takes spans until it has as many as it may.
struct Full(u64);

impl OtlpSink for Full {
    fn resource(&mut self, _: &ResourceView<'_>) {}

    fn scope(&mut self, _: &ScopeView<'_>) {}

    fn span(&mut self, span: &SpanView<'_>) -> Result<(), Reason> {
        assert_eq!(
            (span.trace, span.span),
            (TraceId::new(0x0102_0304_0506_0708, 0x090a_0b0c_0d0e_0f10), SpanId(0x0101_0101_0101_0101))
        );
        assert_eq!(span.attributes, [Attribute { key: "k", value: Value::Text("v") }]);
        self.0 = self.0.checked_sub(1).ok_or(Reason::NotTaken)?;
        Ok(())
    }
}

#[test]
fn what_a_sink_does_not_take_is_told_to_the_sender() {
    let span = good(&[field(9, &pair("k", &text("v")))]);
    let decoded = visit(&request(&vec![span; 5]), &Limits::default(), &mut Full(2)).unwrap();
    assert_eq!((decoded.n_taken, decoded.rejected.of(Reason::NotTaken)), (2, 3));
}

/// Bytes of memory for each byte of a span, and beside that, at most: events may be empty, but there are only so many.
const GROWTH_MAX: usize = 20;
const BESIDE_BYTES: usize = 128 << 10;

proptest! {
    /// For any span made of as many small things as fit: what it takes in memory is within a multiple of what it takes on the wire, and a
    /// second one like it takes no more.
    #[test]
    fn no_span_is_much_larger_in_memory(parts in prop::collection::vec((0..5_u8, 0..3000_usize), 0..5)) {
        let part = |(kind, n): &(u8, usize)| -> Vec<u8> {
            let small = |idx: usize| [field(1, &(idx as u16).to_le_bytes().map(|byte| byte & 0x7f)), field(2, &[])].concat();
            (0..*n).flat_map(|idx| match kind {
                0 => field(9, &small(idx)),
                1 => field(9, &[]),
                2 => field(11, &[]),
                3 => field(11, &field(3, &small(idx))),
                _ => field(13, &[field(1, &TRACE), field(2, &SPAN), field(4, &[])].concat()),
            }).collect()
        };
        let span = good(&parts.iter().map(part).collect::<Vec<_>>());
        let mut room = Room::default();
        prop_assert!(room.read(&span, &Limits::default()).is_ok());
        let taken = room.capacity_bytes();
        prop_assert!(taken <= GROWTH_MAX * span.len() + BESIDE_BYTES, "{} B for {} B", taken, span.len());
        prop_assert!(room.read(&span, &Limits::default()).is_ok());
        prop_assert!(room.capacity_bytes() == taken);
    }

    /// For any bytes: they are read or refused, and end.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        for bytes in [bytes.clone(), request(std::slice::from_ref(&bytes)), request(&[good(&[bytes])])] {
            let _ = visit(&bytes, &Limits::default(), &mut Seen::default());
        }
    }
}
