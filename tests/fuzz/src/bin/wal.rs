//! A file of the write-ahead log from bytes that nobody vouches for: what is read was written, and no bytes panic, loop or ask for memory.
//!
//! The input is taken in two ways. As the file itself; and, because no fuzzer guesses checksums, as a list of records and of changes to the
//! file that holds them.
#![no_main]

use backsight_store::wal::file::FileHeader;
use backsight_store::wal::record::{Header, Kind, Record, Seq};
use backsight_store::wal::scan::{Extent, Found, Headers, scan};
use libfuzzer_sys::fuzz_target;

const HEADER: FileHeader = FileHeader { node: 1, number: 1, first_seq: Seq(1), epoch: 1, salt: 0x5eed };
/// Changes of one file; so few that checksums find them.
const CHANGES_MAX: usize = 4;

fuzz_target!(|input: &[u8]| {
    let headers = Headers::read(input, input.len() as u64).expect("bytes in memory can be read");
    let header = headers.header().unwrap_or(HEADER);
    read(input, header, headers.records_end(), &mut |_, _| {});
    changed(input);
});

/// Reads the records of a file, checking what must hold whatever the bytes are.
fn read(bytes: &[u8], header: FileHeader, end: u64, visit: &mut dyn FnMut(Record<'_>, u64)) {
    let (mut last, mut behind) = (None, 64);
    let scanned = scan(bytes, &Extent { header, end, limit: Seq(u64::MAX) }, &mut |found| {
        match &found {
            Found::Hole { offset, bytes, missing } => {
                assert_eq!(*offset, behind, "a hole begins behind the last record");
                assert!(*bytes > 0 && missing.start <= missing.end, "a hole has bytes");
                behind = offset + bytes;
            }
            Found::Record { offset, header, payload } => {
                assert_eq!(*offset, behind, "a record begins behind the last one, or behind a hole");
                assert!(last.is_none_or(|last| last < header.seq), "numbers ascend");
                assert_eq!(payload.len(), header.len as usize, "a payload is what the length says");
                last = Some(header.seq);
                behind = (offset + 32 + u64::from(header.len)).next_multiple_of(8);
                if let Ok(Some(record)) = found.record() {
                    visit(record, *offset);
                }
            }
        }
        Ok(())
    });
    let result = scanned.expect("bytes in memory can be read");
    assert_eq!(result.end, behind, "the end is that of the last record");
    assert!(last.is_none_or(|last| last.next() == result.next), "the next number is known");
}

/// Writes a file as the input says, changes it, and reads it back.
fn changed(input: &[u8]) {
    let (changes, mut rest) = input.split_at(input.len().min(1 + 4 * CHANGES_MAX));
    let mut bytes = HEADER.encode().to_vec();
    let mut written: Vec<(usize, u8, &[u8])> = Vec::new();
    while let [kind, len, tail @ ..] = rest {
        let (payload, tail) = tail.split_at(tail.len().min(usize::from(*len)));
        let kind = Kind::ALL[usize::from(*kind) % Kind::ALL.len()];
        let record = Record { seq: Seq(1 + written.len() as u64), kind, ingest_ns: 7, payload };
        written.push((bytes.len(), kind.code(), payload));
        bytes.extend(Header::of(&record, HEADER.seed()).encode(HEADER.seed()));
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        rest = tail;
    }
    let mut hits = Vec::new();
    for change in
        changes.get(1..).unwrap_or_default().chunks_exact(4).take(usize::from(changes.first().copied().unwrap_or(0)))
    {
        let at = u32::from_le_bytes([change[0], change[1], change[2], 0]) as usize;
        if (64..bytes.len()).contains(&at) && change[3] != 0 {
            bytes[at] ^= change[3];
            hits.push(at);
        }
    }
    let mut found = vec![false; written.len()];
    read(&bytes, HEADER, bytes.len() as u64, &mut |record, offset| {
        let idx = record.seq.0 as usize - 1;
        assert_eq!((offset as usize, record.kind.code(), record.payload), written[idx], "a record that nobody wrote");
        found[idx] = true;
    });
    for (idx, (start, _, payload)) in written.iter().enumerate() {
        let is_hit = hits.iter().any(|at| (*start..start + 32 + payload.len()).contains(at));
        assert!(found[idx] || is_hit, "record {idx} is lost, which nothing hit");
    }
}
