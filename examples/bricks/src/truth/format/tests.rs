//! Claims about the bytes of ground truth: what is written is read again, and any other bytes are refused, never a panic.

use super::{Event, FormatError, HEADER_LEN_MAX, Header, MAGIC, RECORD_LEN, Record, VERSION};
use crate::faults::{Fault, FaultKind};
use proptest::prelude::*;

fn header(n_services: usize) -> Header {
    let services = (0..n_services).map(|idx| format!("service-{idx}")).collect();
    Header { process: "front".to_owned(), pid: 4711, services }
}

fn any_kind() -> impl Strategy<Value = FaultKind> {
    prop::sample::select(vec![FaultKind::Slow, FaultKind::Error, FaultKind::Panic, FaultKind::Park])
}

fn any_event() -> impl Strategy<Value = Event> {
    let named = 0..7_u16;
    prop_oneof![
        (any_kind(), named.clone())
            .prop_map(|(kind, service_idx)| Event::Request { fault: Fault { kind, service_idx } }),
        any::<u16>().prop_map(|service_idx| Event::Request { fault: Fault { kind: FaultKind::None, service_idx } }),
        any::<bool>().prop_map(|is_ok| Event::Answered { is_ok }),
        (any::<u64>(), named).prop_map(|(visit, service_idx)| Event::Intended { visit, service_idx }),
        (any::<u64>(), any_kind()).prop_map(|(visit, kind)| Event::Acted { visit, kind }),
        any::<u64>().prop_map(|visit| Event::Done { visit }),
    ]
}

proptest! {
    /// For every record: it is read as it was written, and not at all with one bit changed.
    #[test]
    fn a_record_is_read_as_it_was_written_and_not_with_a_bit_changed(
        trace: u128, event in any_event(), bit in 0..RECORD_LEN * 8
    ) {
        let record = Record { trace, event };
        let mut bytes = record.encode();
        prop_assert_eq!(Record::decode(&bytes, 7), Ok(record));
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(Record::decode(&bytes, 7), Err(FormatError::Check));
    }

    /// For any bytes and any cut of a header: reading them ends in a header or an error.
    #[test]
    fn any_bytes_behind_a_good_start_are_read_or_refused(
        len in 0..200_u32, tail in prop::collection::vec(any::<u8>(), 0..200)
    ) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.extend(tail);
        if let Ok(header) = Header::decode(&bytes) {
            let again = header.encode().expect("what was read is no longer than what may be written");
            prop_assert!(again.len() <= bytes.len());
            prop_assert_eq!(Header::decode(&again), Ok(header));
        }
    }

    /// For every cut of a header: it is refused as cut off, and with any other byte in the magic as something else.
    #[test]
    fn a_header_that_is_cut_off_is_refused(n_services in 0..20_usize, cut: prop::sample::Index) {
        let bytes = header(n_services).encode().expect("it is short");
        prop_assert_eq!(Header::decode(&bytes), Ok(header(n_services)));
        let n = cut.index(bytes.len());
        prop_assert_eq!(Header::decode(&bytes[..n]), Err(FormatError::HeaderCut { len: n }));
    }
}

#[test]
fn a_header_is_a_whole_number_of_records_so_that_none_lies_across_two_pages() {
    for n in 0..50 {
        assert_eq!(header(n).encode().unwrap().len() % RECORD_LEN, 0);
    }
}

#[test]
fn other_versions_other_files_and_impossible_lengths_are_told_apart() {
    let bytes = header(2).encode().unwrap();
    let mut later = bytes.clone();
    later[8] = 9;
    assert_eq!(Header::decode(&later), Err(FormatError::Version { found: 9 }));
    let mut other = bytes.clone();
    other[..8].copy_from_slice(b"PNG12345");
    assert_eq!(Header::decode(&other), Err(FormatError::Magic { found: *b"PNG12345" }));
    for len in [0, 33, u32::MAX, HEADER_LEN_MAX as u32 + 32] {
        let mut wrong = bytes.clone();
        wrong[12..16].copy_from_slice(&len.to_le_bytes());
        assert_eq!(Header::decode(&wrong), Err(FormatError::HeaderLen { len }));
    }
    let mut many = bytes;
    many[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(Header::decode(&many), Err(FormatError::Names { .. })));
}

#[test]
fn zeros_and_unknown_kinds_and_services_are_no_records() {
    assert_eq!(Record::decode(&[0; RECORD_LEN], 1), Err(FormatError::Check));
    let intended = Record { trace: 1, event: Event::Intended { visit: 0, service_idx: 3 } }.encode();
    assert_eq!(Record::decode(&intended, 3), Err(FormatError::Service { service_idx: 3, n_services: 3 }));
    let none = Record { trace: 1, event: Event::Acted { visit: 0, kind: FaultKind::None } }.encode();
    assert_eq!(Record::decode(&none, 3), Err(FormatError::Kind { kind: 4, detail: 0 }));
}

#[test]
fn names_that_do_not_fit_are_not_written() {
    let long = Header { services: vec!["x".repeat(1 << 16)], ..header(0) };
    assert_eq!(long.encode(), None);
    let many = Header { services: vec!["x".repeat(60_000); 18], ..header(0) };
    assert_eq!(many.encode(), None);
}
