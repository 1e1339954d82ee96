//! Claims about the log as a whole: `crash` (power failures and deaths at any call), `faults` (what the disk refuses), `damage` (flipped bits),
//! `kill` (processes that really die), `folder` (what stands where the log should be).

mod crash;
mod damage;
mod faults;
mod folder;
mod kill;
mod sim;

use super::disk::Disk;
use super::{Known, Options, Seq, Wal};

/// Small files, so that many are filled.
const FILE_BYTES: u64 = 4096;

fn options() -> Options {
    Options { node: 3, file_bytes: FILE_BYTES, wal_bytes: 6 * FILE_BYTES, ..Options::default() }
}

fn known(wal_low: u64) -> Known {
    Known { wal_low: Seq(wal_low), ..Known::default() }
}

/// Returns the payload of the record with stamp `stamp`: some are all zeros, as is what they are written over.
fn payload(stamp: u64, len: usize) -> Vec<u8> {
    let of = |idx: usize| if stamp.is_multiple_of(3) { 0 } else { (stamp as usize * 31 + idx * 7) as u8 };
    (0..len).map(of).collect()
}

/// Returns the numbers and stamps of the records from `from` on, checking that they ascend.
fn found<D: Disk>(wal: &Wal<D>, from: u64) -> Vec<(u64, u64)> {
    let mut found: Vec<(u64, u64)> = Vec::new();
    let n_records = wal.replay(Seq(from), &mut |record| {
        assert_eq!(
            record.payload,
            payload(record.ingest_ns, record.payload.len()),
            "record {} is another one",
            record.seq
        );
        assert!(found.last().is_none_or(|(seq, _)| *seq < record.seq.0), "record {} comes again", record.seq);
        found.push((record.seq.0, record.ingest_ns));
    });
    assert_eq!(n_records.unwrap(), found.len() as u64);
    found
}
