//! Claims about a file's bytes: what was written is read, damage loses only what it hit, and no bytes panic.

use super::{ENTRY_HEADER_BYTES, FILE_HEADER_BYTES, FileHeader, encode_entry, entry_bytes, scan};
use crate::{Entry, Place};
use backsight_core::ids::TraceId;
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

const SEQ: u64 = 3;
const HEADER: FileHeader = FileHeader { seq: SEQ, salt: 0x5eed };

type Owned = (TraceId, u8, Vec<u8>);

fn entry(idx: usize, payload: &[u8]) -> Entry<'_> {
    Entry { trace: TraceId::new(1, idx as u64), kind: idx as u8, payload }
}

/// Returns the bytes of a file with these payloads, and where each entry stands.
fn file(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<std::ops::Range<usize>>) {
    let mut bytes = HEADER.encode().to_vec();
    let mut ranges = Vec::new();
    for (idx, payload) in payloads.iter().enumerate() {
        let start = bytes.len();
        encode_entry(&entry(idx, payload), HEADER.salt, start as u64, &mut bytes);
        ranges.push(start..bytes.len());
    }
    (bytes, ranges)
}

fn found(bytes: &[u8]) -> (Vec<Owned>, super::Scan) {
    let mut found = Vec::new();
    let scan = scan(SEQ, bytes, &mut |place, entry| {
        assert_eq!(place.len as usize, entry.payload.len());
        found.push((entry.trace, entry.kind, entry.payload.to_vec()));
    });
    (found, scan)
}

fn expected(payloads: &[Vec<u8>], is_hit: impl Fn(usize) -> bool) -> Vec<Owned> {
    let of = |(idx, payload): (usize, &Vec<u8>)| (TraceId::new(1, idx as u64), idx as u8, payload.clone());
    payloads.iter().enumerate().filter(|(idx, _)| !is_hit(*idx)).map(of).collect()
}

#[test]
fn a_file_without_a_sound_header_of_its_number_shows_nothing() {
    let (mut bytes, _) = file(&[b"x".to_vec()]);
    assert_eq!(scan(SEQ + 1, &bytes, &mut |_, _| panic!("shown")).header, None);
    bytes[0] ^= 1;
    assert_eq!(found(&bytes).0.len(), 1, "the second copy is enough");
    bytes[FILE_HEADER_BYTES as usize / 2] ^= 1;
    assert_eq!(found(&bytes).1, super::Scan::default());
}

#[test]
fn a_payload_that_looks_like_an_entry_is_none() {
    let mut forged = vec![0; 0];
    for _ in 0..64 {
        encode_entry(&entry(9, b"forged"), 0, forged.len() as u64, &mut forged);
    }
    let (mut bytes, ranges) = file(&[forged, b"next".to_vec()]);
    bytes[ranges[0].start] ^= 1; // its header is lost, so that its payload is searched
    assert_eq!(found(&bytes).0, [(TraceId::new(1, 1), 1, b"next".to_vec())]);
}

proptest! {
    /// For all payloads: what is written is what is read, at the places that were counted.
    #[test]
    fn what_is_written_is_read(payloads in vec(vec(any::<u8>(), 0..80), 0..20)) {
        let (bytes, ranges) = file(&payloads);
        let (entries, result) = found(&bytes);
        prop_assert_eq!(entries, expected(&payloads, |_| false));
        prop_assert_eq!((result.end, result.lost_bytes), (bytes.len() as u64, 0));
        let sizes: Vec<_> = payloads.iter().map(|payload| entry_bytes(payload.len())).collect();
        prop_assert_eq!(ranges.iter().map(|range| range.len()).collect::<Vec<_>>(), sizes);
    }

    /// For all payloads and all changed bytes behind the file's header: entries that were not hit are found, and no other ones.
    #[test]
    fn damage_loses_only_what_it_hit(
        payloads in vec(vec(any::<u8>(), 0..80), 1..20),
        hits in vec((any::<proptest::sample::Index>(), 1..=255_u8), 0..4),
    ) {
        let (mut bytes, ranges) = file(&payloads);
        let mut changed = bytes.clone();
        for (place, flip) in &hits {
            let at = FILE_HEADER_BYTES as usize + place.index(bytes.len() - FILE_HEADER_BYTES as usize);
            changed[at] = bytes[at] ^ flip;
        }
        std::mem::swap(&mut bytes, &mut changed);
        let is_padding = |idx: usize, at: usize| at >= ranges[idx].start + ENTRY_HEADER_BYTES as usize + payloads[idx].len();
        let is_hit = |idx: usize| ranges[idx].clone().any(|at| bytes[at] != changed[at] && !is_padding(idx, at));
        let (entries, result) = found(&bytes);
        prop_assert_eq!(entries, expected(&payloads, is_hit));
        let lost: usize = (0..payloads.len()).filter(|idx| is_hit(*idx)).map(|idx| ranges[idx].len()).sum();
        prop_assert_eq!(result.lost_bytes + bytes.len() as u64 - result.end, lost as u64);
    }

    /// For all payloads and cuts: entries before the cut are found, and the end is that of the last of them.
    #[test]
    fn a_cut_loses_only_what_is_behind_it(payloads in vec(vec(any::<u8>(), 0..80), 1..20), cut in any::<proptest::sample::Index>()) {
        let (bytes, ranges) = file(&payloads);
        let cut = FILE_HEADER_BYTES as usize + cut.index(bytes.len() - FILE_HEADER_BYTES as usize);
        let (entries, result) = found(&bytes[..cut]);
        prop_assert_eq!(entries, expected(&payloads, |idx| ranges[idx].end > cut));
        prop_assert!(result.end <= cut as u64);
        prop_assert_eq!(result.lost_bytes, 0);
    }

    /// For all bytes: no panic, and no place beyond them.
    #[test]
    fn any_bytes_are_read(tail in vec(any::<u8>(), 0..600), with_header in any::<bool>()) {
        let mut bytes = if with_header { HEADER.encode().to_vec() } else { Vec::new() };
        bytes.extend(tail);
        let mut places: Vec<Place> = Vec::new();
        scan(SEQ, &bytes, &mut |place, _| places.push(place));
        prop_assert!(places.iter().all(|place| place.offset as usize + place.len as usize <= bytes.len()));
    }
}
