//! Claims about one file's bytes: what was written is read, nothing else is, and no bytes panic or take long.

use super::{Extent, Found, Headers, Scan, scan};
use crate::wal::file::{FileHeader, HEADER_BYTES};
use crate::wal::record::{Header, Kind, Record, Seq, padding, record_bytes};
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

const HEADER: FileHeader = FileHeader { node: 1, number: 1, first_seq: Seq(100), epoch: 1, salt: 0x5eed };

/// Returns the bytes of a file with these payloads, its second header included.
fn file(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = HEADER.encode().to_vec();
    for (idx, payload) in payloads.iter().enumerate() {
        let record = Record { seq: Seq(100 + idx as u64), kind: Kind::Otlp, ingest_ns: 7, payload };
        bytes.extend(Header::of(&record, HEADER.seed()).encode(HEADER.seed()));
        bytes.extend(payload);
        bytes.extend(padding(payload.len() as u32));
    }
    bytes.extend(HEADER.encode());
    bytes
}

fn pass(bytes: &[u8], limit: Seq) -> (Vec<(u64, Vec<u8>)>, u64, Scan) {
    let end = Headers::read(bytes, bytes.len() as u64).unwrap().records_end();
    let (mut found, mut lost) = (Vec::new(), 0);
    let scanned = scan(bytes, &Extent { header: HEADER, end, limit }, &mut |what| {
        match what {
            Found::Record { header, payload, .. } => found.push((header.seq.0, payload.to_vec())),
            Found::Hole { missing, .. } => lost += missing.end.0 - missing.start.0,
        }
        Ok(())
    });
    (found, lost, scanned.unwrap())
}

#[test]
fn a_file_ends_where_the_next_one_begins() {
    let bytes = file(&[vec![1; 10], vec![2; 10], vec![3; 10]]);
    let (found, lost, scan) = pass(&bytes, Seq(102));
    assert_eq!((found.len(), lost, scan.next, scan.torn_bytes), (2, 0, Seq(102), 0));
    assert_eq!(pass(&bytes, Seq(100)).0.len(), 0);
}

#[test]
fn behind_damage_no_number_is_believed_that_the_next_file_has_or_that_has_no_room() {
    let mut bytes = file(&[vec![1; 10], vec![2; 10], vec![3; 10]]);
    let second = HEADER_BYTES as usize + record_bytes(10) as usize;
    bytes[second] ^= 1;
    assert_eq!(pass(&bytes, Seq(102)).0.len(), 1, "record 102 is the next file's");
    assert_eq!(pass(&bytes, Seq(103)).0.len(), 2);
    // Where record 101 stood no more than one other can have stood.
    let third = second + record_bytes(10) as usize;
    let far = Record { seq: Seq(103), kind: Kind::Otlp, ingest_ns: 7, payload: &[3; 10] };
    bytes[third..third + 32].copy_from_slice(&Header::of(&far, HEADER.seed()).encode(HEADER.seed()));
    assert_eq!(pass(&bytes, Seq(u64::MAX)).0.len(), 1);
}

#[test]
fn a_copy_of_the_file_within_a_payload_is_not_read_again() {
    // What somebody could have read of the file before he sent this.
    let copy = file(&[vec![1; 10], vec![2; 10]]);
    let mut bytes = file(&[vec![1; 10], vec![2; 10], copy, vec![9; 10]]);
    let third = HEADER_BYTES as usize + 2 * record_bytes(10) as usize;
    bytes[third + 1] ^= 1; // so that its payload is searched
    let (found, lost, _) = pass(&bytes, Seq(u64::MAX));
    assert_eq!((found, lost), (vec![(100, vec![1; 10]), (101, vec![2; 10]), (103, vec![9; 10])], 1));
}

#[test]
fn a_payload_of_headers_is_searched_in_no_time() {
    // Each says that the rest of the payload is its own, and would be summed if its header were believed.
    let mut payload = Vec::new();
    for idx in 0..100_000_u32 {
        let record = Record { seq: Seq(101 + u64::from(idx)), kind: Kind::Otlp, ingest_ns: 7, payload: b"" };
        let forged = Header { len: (100_000 - idx - 1) * 32, ..Header::of(&record, HEADER.seed()) };
        payload.extend(forged.encode(FileHeader { salt: 0, ..HEADER }.seed()));
    }
    let mut bytes = file(&[payload, vec![9; 10]]);
    bytes[HEADER_BYTES as usize + 1] ^= 1;
    let (found, lost, _) = pass(&bytes, Seq(u64::MAX));
    assert_eq!((found, lost), (vec![(101, vec![9; 10])], 1));
}

#[test]
fn a_header_is_found_by_either_copy() {
    let mut bytes = file(&[vec![1; 10]]);
    let len = bytes.len() as u64;
    let headers = |bytes: &[u8]| Headers::read(bytes, len).unwrap();
    assert!(headers(&bytes).is_whole());
    bytes[3] ^= 1;
    assert_eq!((headers(&bytes).header(), headers(&bytes).is_whole()), (Ok(HEADER), false));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(headers(&bytes).header().is_err());
    bytes[3] ^= 1;
    assert_eq!((headers(&bytes).header(), headers(&bytes).records_end()), (Ok(HEADER), len));
}

proptest! {
    /// For all payloads: what is written is read, and the end is that of the last record.
    #[test]
    fn what_is_written_is_read(payloads in vec(vec(any::<u8>(), 0..80), 0..20)) {
        let bytes = file(&payloads);
        let (found, lost, scan) = pass(&bytes, Seq(u64::MAX));
        let expected: Vec<_> = (100..).zip(payloads).collect();
        prop_assert_eq!((found.len() as u64, scan.torn_bytes, lost), (scan.n_records, 0, 0));
        prop_assert_eq!(found, expected);
        prop_assert_eq!(scan.end, bytes.len() as u64 - u64::from(HEADER_BYTES));
    }

    /// For all payloads and cuts: the records before the cut are read, and none behind it.
    #[test]
    fn a_cut_loses_only_what_is_behind_it(payloads in vec(vec(any::<u8>(), 0..80), 1..20), cut in any::<proptest::sample::Index>()) {
        let bytes = file(&payloads);
        let cut = HEADER_BYTES as usize + cut.index(bytes.len() - 2 * HEADER_BYTES as usize);
        let (found, lost, scan) = pass(&bytes[..cut], Seq(u64::MAX));
        let mut end = HEADER_BYTES as usize;
        let mut expected = Vec::new();
        for (seq, payload) in (100..).zip(payloads) {
            if end + 32 + payload.len() > cut {
                break;
            }
            end += record_bytes(payload.len() as u32) as usize;
            expected.push((seq, payload));
        }
        prop_assert_eq!((found, lost), (expected, 0));
        prop_assert!(scan.torn_bytes <= cut as u64);
    }

    /// For all bytes behind a header: no panic, and no record.
    #[test]
    fn any_bytes_are_no_records(tail in vec(any::<u8>(), 0..600)) {
        let bytes = [&HEADER.encode()[..], &tail].concat();
        let (found, lost, _) = pass(&bytes, Seq(u64::MAX));
        prop_assert!(found.is_empty() && lost == 0);
    }
}
