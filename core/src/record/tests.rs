//! Claims about the record codec: headers round-trip, and decoding any bytes ends without a panic.

use super::decode::Name;
use super::{Header, Kind, Level, Record, Records, SpanKind, Value, ValueType, align8, flags, name_word, seg_flags};
use crate::ids::{SpanId, StringId};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

/// Returns a record of `kind` whose body is `words` followed by `tail`.
fn record(kind: Kind, record_flags: u8, words: &[u64], tail: &[u8]) -> Vec<u8> {
    let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain(tail.iter().copied()).collect();
    let header = Header { len: (8 + body.len()) as u16, kind: kind as u8, flags: record_flags, dt: 7 };
    let mut bytes = header.pack().to_le_bytes().to_vec();
    bytes.extend(body);
    bytes.resize(align8(bytes.len() as u64) as usize, 0);
    bytes
}

fn decode_one(bytes: &[u8]) -> Record<'_> {
    let raw = Records::new(bytes).next().unwrap().unwrap();
    Record::decode(raw.header, raw.body).unwrap()
}

proptest! {
    #[test]
    fn header_round_trips(len in any::<u16>(), kind in any::<u8>(), bits in any::<u8>(), dt in any::<u32>()) {
        let header = Header { len, kind, flags: bits, dt };
        prop_assert_eq!(Header::unpack(header.pack()), header);
    }

    /// Every bit of both, and of two levels the lower, where 0 is none: in any order, and however often.
    #[test]
    fn segment_flags_join(a in any::<u32>(), b in any::<u32>()) {
        let joined = seg_flags::join(a, b);
        prop_assert_eq!(joined & !seg_flags::DETAIL, (a | b) & !seg_flags::DETAIL);
        let lowest = [a, b].into_iter().filter_map(Level::left_out).min();
        prop_assert_eq!(Level::left_out(joined), lowest);
        prop_assert_eq!((joined, joined), (seg_flags::join(b, a), seg_flags::join(joined, b)));
    }

    #[test]
    fn any_bytes_end_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let mut last = 0;
        for raw in Records::new(&bytes).flatten() {
            prop_assert!(raw.offset >= last && raw.offset + 8 + raw.body.len() <= bytes.len());
            last = raw.offset + 8;
            let _ = Record::decode(raw.header, raw.body);
        }
    }
}

#[test]
fn span_start_decodes_with_interned_and_inline_name() {
    let interned = record(Kind::SpanStart, 0, &[11, 12, name_word(5, 0, SpanKind::Server as u8)], b"");
    let want = |name| Record::SpanStart { span: SpanId(11), parent: SpanId(12), name, kind: SpanKind::Server };
    assert_eq!(decode_one(&interned), want(Name::Interned(StringId(5))));
    let inline = record(Kind::SpanStart, 0, &[11, 12, name_word(0, 3, SpanKind::Server as u8)], b"get");
    assert_eq!(decode_one(&inline), want(Name::Inline(b"get")));
}

#[test]
fn elided_attribute_decodes_after_an_inline_key() {
    let bytes = record(Kind::Attr, flags::ELIDED, &[name_word(0, 8, ValueType::String as u8)], b"http.urlGET /");
    let want =
        Record::Attr { span: None, of_event: false, key: Name::Inline(b"http.url"), value: Value::String(b"GET /") };
    assert_eq!(decode_one(&bytes), want);
}

#[test]
fn short_bodies_and_unknown_types_are_errors_and_unknown_kinds_are_skipped() {
    for kind in [Kind::Seg, Kind::Time, Kind::SpanStart, Kind::Attr, Kind::Link, Kind::Lost] {
        let bytes = record(kind, 0, &[], b"x");
        let raw = Records::new(&bytes).next().unwrap().unwrap();
        assert!(Record::decode(raw.header, raw.body).is_err(), "{kind:?}");
    }
    let bytes = record(Kind::Attr, flags::ELIDED, &[name_word(1, 0, 99), 0], b"");
    let raw = Records::new(&bytes).next().unwrap().unwrap();
    assert!(Record::decode(raw.header, raw.body).is_err());
    assert_eq!(Record::decode(Header { len: 8, kind: 0xee, flags: 0, dt: 0 }, &[]), Ok(Record::Unknown));
}

#[test]
fn a_record_longer_than_what_is_there_ends_the_walk() {
    let mut bytes = record(Kind::SegEnd, 0, &[], b"");
    bytes.extend(Header { len: 64, kind: 1, flags: 0, dt: 0 }.pack().to_le_bytes());
    let all: Vec<_> = Records::new(&bytes).collect();
    assert_eq!(all.len(), 2);
    assert!(all[0].is_ok() && all[1].is_err());
}

#[test]
fn level_stands_in_two_bits_beside_the_other_flags() {
    for level in Level::ALL {
        assert_eq!(Level::of_flags(level.flags() | flags::ELIDED | flags::OF_EVENT | flags::TRUNCATED), level);
        assert_eq!((level.flags() & !flags::DETAIL_MASK, Level::from_code(level as u8)), (0, level));
    }
    assert_eq!((Level::from_code(4), Level::default()), (Level::Normal, Level::Normal));
}
