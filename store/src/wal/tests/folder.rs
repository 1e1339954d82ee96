//! Claims about what stands where the log should be: files of others, of later versions, cut, empty or gone, and a real disk that is full.

use super::sim::Sim;
use super::{FILE_BYTES, found, known, options, payload};
use crate::wal::file::{FileHeader, HEADER_BYTES, name_of};
use crate::wal::record::{Header, Record};
use crate::wal::{Cause, Disk, Folder, Kind, Options, Seq, Wal, WalError};
use std::path::Path;
use std::process::Command;

const HEADER: FileHeader = FileHeader { node: 3, number: 5, first_seq: Seq(50), epoch: 2, salt: 0x5a17 };

/// Returns the bytes of a file with `header` and these records.
fn file(header: &FileHeader, records: &[(Record<'_>, u8)]) -> Vec<u8> {
    let mut bytes = header.encode().to_vec();
    for (record, kind) in records {
        let seed = header.seed();
        // The checksum covers the kind, so a header is made for it.
        let sum = |kind| {
            let front = Header { kind, ..Header::of(record, seed) };
            crc32c::crc32c_append(crc32c::crc32c_append(header_sum(header), &front.encode(seed)[..24]), record.payload)
        };
        bytes.extend(Header { kind: *kind, crc: sum(*kind), ..Header::of(record, seed) }.encode(seed));
        bytes.extend(record.payload);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    bytes.resize(FILE_BYTES as usize - HEADER_BYTES as usize, 0);
    bytes.extend(header.encode());
    bytes
}

fn header_sum(header: &FileHeader) -> u32 {
    crc32c::crc32c(&header.encode()[..60])
}

fn record(seq: u64, payload: &[u8]) -> Record<'_> {
    Record { seq: Seq(seq), kind: Kind::Otlp, ingest_ns: seq, payload }
}

#[test]
fn the_example_of_the_document_is_what_the_code_writes() {
    let document = include_str!("../../../../docs/spec/wal.md");
    let lines = document.lines().filter_map(|line| line.strip_prefix("00")?.split_once("  "));
    let bytes: Vec<u8> =
        lines.flat_map(|(_, hex)| hex.split(' ')).map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let header = FileHeader { salt: 0x1122_3344_5566_7788, ..HEADER };
    let record = Record { kind: Kind::Report, ingest_ns: 1_700_000_000_000_000_000, ..record(50, b"hello") };
    let written = file(&header, &[(record, Kind::Report.code())]);
    assert_eq!(bytes, written[..bytes.len()]);
    assert_eq!(bytes.len(), 64 + 40);
    let mut damaged = written;
    damaged[0x61] ^= 1;
    let recovery = |has_next: bool| {
        let disk = Sim::new(1);
        disk.put(&name_of(5), damaged.clone());
        if has_next {
            disk.put(&name_of(6), file(&FileHeader { number: 6, first_seq: Seq(51), ..HEADER }, &[]));
        }
        Wal::open_on(disk, options()).unwrap().1
    };
    let newest = recovery(false);
    assert_eq!((newest.torn.unwrap().bytes, newest.n_losses), (40, 0));
    let loss = recovery(true).losses.remove(0);
    assert_eq!((loss.offset, loss.bytes, loss.missing), (64, 40, Seq(50)..Seq(51)));
}

/// Checks that a log with this file is refused for the reason `text`, and left alone.
fn check_refused(name: &str, bytes: Vec<u8>, text: &str) {
    let disk = Sim::new(1);
    disk.put(&name_of(4), file(&FileHeader { number: 4, first_seq: Seq(49), epoch: 2, ..HEADER }, &[]));
    disk.put(name, bytes.clone());
    let error = Wal::open_on(disk.clone(), options()).unwrap_err();
    assert_eq!(error.to_string(), text);
    assert_eq!((disk.bytes(name), disk.names().len()), (bytes, 2));
}

#[test]
fn files_of_others_and_of_later_versions_are_named_and_left_alone() {
    let name = name_of(5);
    let refused = |header: FileHeader, text: &str| check_refused(&name, file(&header, &[]), text);
    let away = "move it out of the folder, or give this collector its own";
    let path = "sim/0000000000000005.wal";
    refused(FileHeader { node: 9, ..HEADER }, &format!("{path} is of node 9, not of node 3; {away}"));
    refused(FileHeader { number: 6, ..HEADER }, &format!("{path} says that it is file 0000000000000006; {away}"));
    let order = "which is behind the file in front of it";
    refused(FileHeader { first_seq: Seq(7), ..HEADER }, &format!("{path} has record 7 and epoch 2, {order}; {away}"));
    refused(FileHeader { epoch: 1, ..HEADER }, &format!("{path} has record 50 and epoch 1, {order}; {away}"));
    let never = format!("{path} has a number that no log reaches; {away}");
    refused(FileHeader { epoch: u64::MAX, ..HEADER }, &never);
    let mut later = HEADER.encode();
    later[8] = 2;
    let sum = crc32c::crc32c(&later[..60]);
    later[60..].copy_from_slice(&sum.to_le_bytes());
    let newer = "which a later version of the collector wrote; start that version";
    check_refused(&name, later.to_vec(), &format!("{path} holds a log of version 2, {newer}"));
    let of_kind = file(&HEADER, &[(record(50, b"known"), 1), (record(51, b"later"), 9)]);
    check_refused(&name, of_kind, &format!("{path} holds a record of kind 9 at byte 104, {newer}"));
}

#[test]
fn a_record_of_a_later_version_that_nobody_needs_hinders_nobody() {
    let disk = Sim::new(1);
    disk.put(&name_of(5), file(&HEADER, &[(record(50, b"later"), 9), (record(51, &payload(51, 5)), 1)]));
    let (wal, recovery) = Wal::open_on(disk, Options { known: known(51), ..options() }).unwrap();
    assert_eq!((found(&wal, 51), recovery.n_losses), (vec![(51, 51)], 0));
}

#[test]
fn files_without_a_header_are_told_and_left_alone() {
    for bytes in [vec![], vec![7; 10], vec![0; FILE_BYTES as usize], HEADER.encode()[..63].to_vec()] {
        let disk = Sim::new(1);
        disk.put(&name_of(5), file(&HEADER, &[(record(50, &payload(50, 9)), 1)]));
        disk.put(&name_of(6), bytes.clone());
        disk.put(&name_of(7), file(&FileHeader { number: 7, first_seq: Seq(53), ..HEADER }, &[]));
        disk.put(&name_of(8), bytes.clone());
        let (mut wal, recovery) = Wal::open_on(disk.clone(), options()).unwrap();
        let told: Vec<_> = recovery.losses.iter().map(|loss| (loss.cause, loss.bytes, loss.missing.clone())).collect();
        let len = bytes.len() as u64;
        assert_eq!(told, [(Cause::Unreadable, len, Seq(51)..Seq(53)), (Cause::Unreadable, len, Seq(53)..Seq(53))]);
        assert_eq!(wal.append(Kind::Otlp, 53, &payload(53, 1)).unwrap(), Seq(53));
        assert_eq!(found(&wal, 0), [(50, 50), (53, 53)]);
        assert_eq!((disk.bytes(&name_of(6)), disk.bytes(&name_of(8))), (bytes.clone(), bytes));
        assert!(disk.names().contains(&name_of(9)));
        wal.free_before(Seq(53)).unwrap();
        let left = ["0000000000000005.spare", "0000000000000007.spare", "0000000000000009.wal"];
        assert_eq!(disk.names(), left, "until nobody needs what stood there");
    }
}

#[test]
fn a_file_that_was_cut_shows_what_is_left_and_takes_no_more() {
    let disk = Sim::new(1);
    let mut bytes = file(&HEADER, &[(record(50, &payload(50, 40)), 1), (record(51, &payload(51, 40)), 1)]);
    bytes.truncate(64 + 72 + 71);
    disk.put(&name_of(5), bytes);
    let (mut wal, recovery) = Wal::open_on(disk.clone(), options()).unwrap();
    assert_eq!((recovery.torn.unwrap().bytes, recovery.next), (71, Seq(51)));
    wal.append(Kind::Otlp, 52, &payload(52, 40)).unwrap();
    assert_eq!((found(&wal, 0), disk.names().len()), (vec![(50, 50), (51, 52)], 2));
}

#[test]
fn records_of_a_file_that_is_gone_are_told() {
    let disk = Sim::new(1);
    disk.put(&name_of(5), file(&HEADER, &[(record(50, b""), 1)]));
    disk.put(&name_of(7), file(&FileHeader { number: 7, first_seq: Seq(60), ..HEADER }, &[]));
    let (_, recovery) = Wal::open_on(disk.clone(), Options { known: known(48), ..options() }).unwrap();
    let told: Vec<_> =
        recovery.losses.iter().map(|loss| (loss.cause, loss.path.clone(), loss.missing.clone())).collect();
    let path = |number| disk.path(&name_of(number));
    assert_eq!(told, [(Cause::Absent, path(5), Seq(48)..Seq(50)), (Cause::Absent, path(7), Seq(51)..Seq(60))]);
    let (_, recovery) = Wal::open_on(disk, Options { known: known(60), ..options() }).unwrap();
    assert_eq!(recovery.losses, [], "unless nobody needs them");
}

#[test]
fn a_real_folder_is_made_locked_and_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/wal");
    let (mut wal, recovery) = Wal::open(&path, options()).unwrap();
    assert_eq!((recovery.next, recovery.epoch, recovery.n_files), (Seq(1), 1, 0));
    for stamp in 1..=30 {
        wal.append(Kind::Report, stamp, &payload(stamp, 300)).unwrap();
    }
    std::fs::write(path.join("notes.txt"), "mine").unwrap();
    let error = Wal::open(&path, options()).unwrap_err();
    let holder = std::process::id();
    let text = format!(
        "{} is in use by another collector (process {holder}); stop that one, or give each its own folder",
        path.display()
    );
    assert_eq!(error.to_string(), text);
    wal.free_before(Seq(25)).unwrap();
    wal.close().unwrap();
    let (wal, recovery) = Wal::open(&path, options()).unwrap();
    assert_eq!((recovery.next, recovery.epoch, recovery.n_losses), (Seq(31), 2, 0));
    assert_eq!(found(&wal, 25), (25..=30).map(|stamp| (stamp, stamp)).collect::<Vec<_>>());
    assert_eq!(std::fs::read(path.join("notes.txt")).unwrap(), b"mine");
    let files =
        std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.file_name() != "notes.txt");
    let lens: Vec<_> = files.map(|entry| entry.metadata().unwrap().len()).filter(|len| *len >= FILE_BYTES).collect();
    assert!(
        lens.len() >= 3 && lens.iter().all(|len| *len == FILE_BYTES),
        "files have their full length from the beginning"
    );
}

#[test]
fn a_file_where_the_folder_should_be_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Wal::open(file.path(), options()).unwrap_err();
    assert!(matches!(&error, WalError::Io { what: "open the folder", .. }), "{error}");
}

/// Needs the right to mount; elsewhere the claims are those of `faults` alone.
#[test]
fn a_full_disk_is_named_and_works_again_with_room() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder.path()).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("skipped: may not mount a tmpfs");
        return;
    }
    let mounted = Mounted(folder.path());
    let path = folder.path().join("wal");
    let options = Options { wal_bytes: 1 << 20, ..options() };
    let (mut wal, _) = Wal::open(&path, options).unwrap();
    let append = |wal: &mut Wal<Folder>, stamp: u64| wal.append(Kind::Otlp, stamp, &payload(stamp, 3000)).map(drop);
    let mut stamp = 1;
    let error = loop {
        match append(&mut wal, stamp) {
            Ok(()) => stamp += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().starts_with("no room on the disk to create "), "{error}");
    wal.append(Kind::Otlp, stamp, &payload(stamp, 100)).unwrap(); // its file has room
    assert_eq!(found(&wal, 1).len() as u64, stamp);
    wal.free_before(Seq(5)).unwrap();
    append(&mut wal, stamp + 1).unwrap();
    wal.close().unwrap();
    let (wal, recovery) = Wal::open(&path, options).unwrap();
    assert_eq!((found(&wal, 5).last().copied(), recovery.n_losses), (Some((stamp + 1, stamp + 1)), 0));
    drop(wal);
    drop(mounted);
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
