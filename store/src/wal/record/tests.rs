//! Claims about a record's bytes: what is written is read, in its own file alone, and whatever is changed is noticed.

use super::{HEADER_BYTES, Header, Kind, PAYLOAD_MAX_BYTES, Record, Seed, Seq, Unknown, padding, record_bytes};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

const SEED: Seed = Seed(0x5eed);

fn record(payload: &[u8]) -> Record<'_> {
    Record { seq: Seq(7), kind: Kind::Report, ingest_ns: 1_700_000_000_000_000_000, payload }
}

#[test]
fn kinds_have_the_numbers_of_the_document_and_others_are_named() {
    assert_eq!(Kind::ALL.map(Kind::code), [1, 2, 3, 4, 5, 6]);
    for code in 0..=u8::MAX {
        match Kind::try_from(code) {
            Ok(kind) => assert_eq!(kind.code(), code),
            Err(unknown) => assert_eq!((unknown, code == 0 || code > 6), (Unknown::Kind(code), true)),
        }
    }
    assert_eq!(Unknown::Kind(9).to_string(), "kind 9");
}

#[test]
fn whole_records_of_a_later_version_are_told_from_damage() {
    let of = |kind, flags| Header { kind, flags, ..Header::of(&record(b"later"), SEED) }.record(b"later");
    assert_eq!(of(7, 0), Err(Unknown::Kind(7)));
    assert_eq!(of(2, 0x80), Err(Unknown::Flags(0x80)));
    assert_eq!(of(2, 0).map(|record| record.kind), Ok(Kind::Report));
}

#[test]
fn a_length_over_the_limit_is_no_header() {
    let of = |len| Header::decode(&Header { len, ..Header::of(&record(b""), SEED) }.encode(SEED), SEED);
    assert!(of(PAYLOAD_MAX_BYTES).is_some());
    assert_eq!(of(PAYLOAD_MAX_BYTES + 1), None);
}

proptest! {
    /// For all records: what is encoded is decoded, takes the bytes that are counted, and means nothing under another seed.
    #[test]
    fn what_is_written_is_read_in_its_own_file_alone(
        seq in any::<u64>(), ingest_ns in any::<u64>(), kind in 0..6_usize, payload in vec(any::<u8>(), 0..100), other in any::<u32>(),
    ) {
        let record = Record { seq: Seq(seq), kind: Kind::ALL[kind], ingest_ns, payload: &payload };
        let header = Header::of(&record, SEED);
        let bytes = header.encode(SEED);
        let read = Header::decode(&bytes, SEED);
        prop_assert_eq!(read, Some(header));
        prop_assert!(header.matches(SEED, &payload));
        prop_assert_eq!(header.record(&payload), Ok(record));
        let len = payload.len() as u32;
        prop_assert_eq!(u64::from(HEADER_BYTES) + payload.len() as u64 + padding(len).len() as u64, record_bytes(len));
        prop_assert_eq!(record_bytes(len) % 8, 0);
        let elsewhere = Seed(other);
        prop_assert!(elsewhere == SEED || (Header::decode(&bytes, elsewhere).is_none() && !header.matches(elsewhere, &payload)));
    }

    /// For all records and all changes within 32 bits: the change is noticed. (CRC-32C finds every burst of that length.)
    #[test]
    fn a_change_is_noticed(payload in vec(any::<u8>(), 0..100), at in any::<proptest::sample::Index>(), flip in 1..=u32::MAX) {
        let header = Header::of(&record(&payload), SEED);
        let mut bytes = header.encode(SEED).to_vec();
        bytes.extend(&payload);
        let at = at.index(bytes.len());
        for (byte, flip) in bytes[at..].iter_mut().zip(flip.to_le_bytes()) {
            *byte ^= flip;
        }
        let whole = [&header.encode(SEED)[..], &payload].concat();
        let is_sound = Header::decode(&bytes, SEED).is_some_and(|read| read.matches(SEED, &bytes[HEADER_BYTES as usize..]));
        prop_assert_eq!(is_sound, bytes == whole);
    }

    /// For all bytes: no panic, and a header only where one was encoded.
    #[test]
    fn any_bytes_are_no_header(bytes in vec(any::<u8>(), 0..40)) {
        prop_assert_eq!(Header::decode(&bytes, SEED), None);
        prop_assert_eq!(Header::decode(&[b"WR", &bytes[..]].concat(), SEED), None);
    }
}
