//! Claims about a log: what was synced survives any end of its process, what fails leaves it as it was, and people are told what to do.

use super::{Log, Options, Removed, path_of};
use crate::format::FILE_HEADER_BYTES;
use crate::{Entry, Losses, Place, StoreError, TraceStore};
use backsight_core::ids::TraceId;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

fn open(folder: &Path) -> Log {
    Log::open(Options { folder: folder.to_owned(), file_bytes: 4096 }).unwrap()
}

fn payload(n: u64) -> Vec<u8> {
    (0..100 + n % 400).map(|byte| (byte + n) as u8).collect()
}

fn append(log: &mut Log, numbers: std::ops::Range<u64>) -> Result<Vec<Place>, StoreError> {
    let payloads: Vec<_> = numbers.map(|n| (n, payload(n))).collect();
    let of = |(n, payload): &'_ (u64, Vec<u8>)| (TraceId::new(1, *n), payload.clone());
    let owned: Vec<_> = payloads.iter().map(of).collect();
    let entries: Vec<_> = owned.iter().map(|(trace, payload)| Entry { trace: *trace, kind: 7, payload }).collect();
    log.append(&entries)
}

/// Returns the numbers of the entries that are found, checking each.
fn found(log: &mut Log) -> (Vec<u64>, Losses) {
    let reader = log.reader();
    let mut numbers = Vec::new();
    let losses = log.replay(&mut |place, entry| {
        assert_eq!((entry.kind, entry.payload), (7, payload(entry.trace.lo).as_slice()));
        assert_eq!(reader.read(place).unwrap().payload, entry.payload);
        numbers.push(entry.trace.lo);
    });
    (numbers, losses.unwrap())
}

#[test]
fn entries_are_found_where_they_were_put_and_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    for start in (0..60).step_by(3) {
        for place in append(&mut log, start..start + 3).unwrap() {
            log.reader().read(place).unwrap();
        }
    }
    log.sync().unwrap();
    assert!(log.files.len() >= 3, "files of 4 KiB are left when they are full");
    let bytes = log.bytes();
    drop(log);
    let mut log = open(folder.path());
    assert_eq!(found(&mut log), ((0..60).collect(), Losses::default()));
    assert_eq!(log.bytes(), bytes);
    append(&mut log, 60..61).unwrap();
    assert_eq!(found(&mut log).0, (0..61).collect::<Vec<_>>());
}

#[test]
fn a_torn_end_is_cut_and_a_hole_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let places: Vec<_> = (0..40).flat_map(|n| append(&mut log, n..n + 1).unwrap()).collect();
    log.sync().unwrap();
    drop(log);
    let (hole, newest) = (places[2], places[39]);
    let file = OpenOptions::new().write(true).open(path_of(folder.path(), hole.file)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xff; 30], u64::from(hole.offset) + 20).unwrap();
    let mut end = OpenOptions::new().append(true).open(path_of(folder.path(), newest.file)).unwrap();
    end.write_all(b"BKSE and then the power went").unwrap();
    let mut log = open(folder.path());
    let (numbers, losses) = found(&mut log);
    assert_eq!(numbers, (0..40).filter(|n| *n != 2).collect::<Vec<_>>());
    let lost_bytes = crate::format::entry_bytes(hole.len as usize) as u64;
    assert_eq!(losses, Losses { cut_bytes: 28, lost_bytes, n_holes: 1, ..Losses::default() });
    assert!(matches!(log.reader().read(hole), Err(StoreError::Damaged { .. })));
    append(&mut log, 40..41).unwrap();
    drop(log);
    assert_eq!(found(&mut open(folder.path())).1.cut_bytes, 0);
}

#[test]
fn files_that_are_unreadable_or_foreign_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(path_of(folder.path(), 1), [0x55; 1000]).unwrap();
    fs::write(path_of(folder.path(), 2), [0x55; 10]).unwrap();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    fs::create_dir(path_of(folder.path(), 9)).unwrap();
    let mut log = open(folder.path());
    append(&mut log, 0..1).unwrap();
    let (numbers, losses) = found(&mut log);
    assert_eq!((numbers, losses.n_unreadable_files, losses.lost_bytes), (vec![0], 1, 1000));
    assert_eq!(losses.n_removed_files, 1);
    assert_eq!(fs::read(path_of(folder.path(), 1)).unwrap().len(), 1000);
    assert_eq!(fs::read(folder.path().join("notes.txt")).unwrap(), b"mine");
}

#[test]
fn files_that_are_removed_as_they_hold_no_entry_are_named_with_their_length() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    append(&mut log, 0..1).unwrap();
    log.sync().unwrap();
    drop(log);
    let (begun, torn) = (path_of(folder.path(), 2), path_of(folder.path(), 3));
    fs::write(&begun, vec![0; FILE_HEADER_BYTES as usize]).unwrap();
    fs::write(&torn, "BKS").unwrap();
    let mut log = open(folder.path());
    let removed = [(torn, 3), (begun, FILE_HEADER_BYTES.into())].map(|(path, bytes)| Removed { path, bytes });
    assert_eq!(log.removed(), removed);
    assert!(removed.iter().all(|removed| !removed.path.exists()));
    assert_eq!(found(&mut log), (vec![0], Losses { n_removed_files: 2, ..Losses::default() }));
    drop(log);
    assert_eq!(open(folder.path()).removed(), []);
}

#[test]
fn the_oldest_files_go_first_and_readers_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let places: Vec<_> = (0..100).flat_map(|n| append(&mut log, n..n + 1).unwrap()).collect();
    log.sync().unwrap();
    let reader = log.reader();
    reader.read(places[0]).unwrap();
    let gone = log.retire(10_000).unwrap();
    assert!(!gone.is_empty() && gone.is_sorted() && log.bytes() <= 10_000);
    assert!(matches!(reader.read(places[0]), Err(StoreError::Retired { file: 1 })));
    let left: Vec<_> = places.iter().filter(|place| !gone.contains(&place.file)).map(|p| reader.read(*p)).collect();
    assert!(left.iter().all(Result::is_ok));
    assert_eq!(found(&mut log).0.len(), left.len());
    assert_eq!(log.retire(0).unwrap().len() + 1, left_files(&places, &gone), "the newest file stays");
}

fn left_files(places: &[Place], gone: &[u64]) -> usize {
    let files: std::collections::BTreeSet<_> = places.iter().map(|place| place.file).collect();
    files.len() - gone.len()
}

#[test]
fn a_folder_has_one_log_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let error = Log::open(Options::new(folder.path())).unwrap_err();
    let text = format!(
        "{} is in use by another collector (process {}); stop that one, or give each its own folder",
        folder.path().display(),
        std::process::id()
    );
    assert!(matches!(&error, StoreError::Locked { folder: locked, .. } if locked == folder.path()));
    assert_eq!(error.to_string(), text);
    drop(log);
    std::fs::write(folder.path().join("lock"), "of a dead process").unwrap();
    open(folder.path());
}

#[test]
fn too_long_is_refused_and_nothing_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut log = open(folder.path());
    let long = vec![0; crate::format::PAYLOAD_MAX_BYTES as usize + 1];
    let entry = |payload| Entry { trace: TraceId::new(1, 1), kind: 1, payload };
    assert!(matches!(log.append(&[entry(&long)]), Err(StoreError::EntryTooLong { .. })));
    let batch = [entry(&long[1..]); 5];
    assert!(matches!(log.append(&batch), Err(StoreError::BatchTooLong { .. })));
    assert_eq!((log.bytes(), log.append(&[]).unwrap()), (0, vec![]));
}

#[test]
fn a_file_where_the_folder_should_be_is_said() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Log::open(Options::new(file.path())).unwrap_err();
    assert!(matches!(&error, StoreError::Io { what: "make the folder", .. }), "{error}");
}

/// Runs the test `name` of this binary in a child process, which finds the folder in its environment, under `shell`.
fn child(name: &str, folder: &Path, shell: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{shell} exec \"$0\" \"$@\"")]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", &format!("log::tests::{name}"), "--nocapture"]);
    command.env("BKS_STORE_TEST_FOLDER", folder);
    command
}

fn folder_of_parent() -> Option<std::path::PathBuf> {
    std::env::var_os("BKS_STORE_TEST_FOLDER").map(Into::into)
}

/// In the child: appends and syncs until it is killed, and says what is durable.
#[test]
fn child_appends_forever() {
    let Some(folder) = folder_of_parent() else { return };
    let mut log = open(&folder);
    for n in 0.. {
        append(&mut log, n * 2..n * 2 + 2).unwrap();
        log.sync().unwrap();
        println!("\ndurable {}", n * 2 + 2);
    }
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    let folder = tempfile::tempdir().unwrap();
    for n_acknowledged in [1, 20, 50] {
        let sub = folder.path().join(n_acknowledged.to_string());
        let mut child = child("child_appends_forever", &sub, "").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let durable = |line: String| line.strip_prefix("durable ").map(|n| n.parse::<u64>().unwrap());
        let durable = lines.by_ref().filter_map(durable).nth(n_acknowledged).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let numbers = found(&mut open(&sub)).0;
        assert!(numbers.len() as u64 >= durable, "{} found, {durable} acknowledged", numbers.len());
        assert_eq!(numbers, (0..numbers.len() as u64).collect::<Vec<_>>());
    }
}

/// In the child, whose files may have 6 KiB at most: the write that passes it is partial, and fails.
#[test]
fn child_fills_its_room() {
    let Some(folder) = folder_of_parent() else { return };
    let mut log = Log::open(Options { folder: folder.clone(), file_bytes: 1 << 20 }).unwrap();
    let mut n = 0;
    let error = loop {
        match append(&mut log, n..n + 1) {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
    };
    let bytes = log.bytes();
    assert!(
        matches!(&error, StoreError::Full { folder: named, needed_bytes } if *named == folder && *needed_bytes > 100)
    );
    assert_eq!(fs::metadata(path_of(&folder, 1)).unwrap().len(), bytes, "the partial write is cut off");
    assert!(matches!(append(&mut log, n..n + 1), Err(StoreError::Full { .. })), "again while there is no room");
    assert_eq!(found(&mut log), ((0..n).collect(), Losses::default()));
    log.options.file_bytes = 4096; // room again: in the next file
    append(&mut log, n..n + 1).unwrap();
    log.sync().unwrap();
    assert_eq!(found(&mut log), ((0..=n).collect(), Losses::default()));
    println!("\nchild is done");
}

#[test]
fn a_write_that_finds_no_room_leaves_the_log_sound() {
    let folder = tempfile::tempdir().unwrap();
    // SIGXFSZ ignored, so that the write fails as one on a full disk does: partially, then with an error.
    let output = child("child_fills_its_room", folder.path(), "trap '' XFSZ; ulimit -f 12;").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("child is done"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Needs the right to mount; elsewhere the claim is that of the test above alone.
#[test]
fn a_full_disk_is_named_and_works_again_with_room() {
    let folder = tempfile::tempdir().unwrap();
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(folder.path()).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        println!("skipped: may not mount a tmpfs");
        return;
    }
    let mounted = Mounted(folder.path());
    let ballast = folder.path().join("ballast");
    fs::write(&ballast, vec![0; 40_000]).unwrap();
    let mut log = Log::open(Options { folder: folder.path().to_owned(), file_bytes: 1 << 20 }).unwrap();
    let mut n = 0;
    let error = loop {
        match append(&mut log, n..n + 1) {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().starts_with("no room for "), "{error}");
    assert_eq!(found(&mut log).0, (0..n).collect::<Vec<_>>());
    fs::remove_file(&ballast).unwrap();
    append(&mut log, n..n + 1).unwrap();
    log.sync().unwrap();
    assert_eq!(found(&mut log).0, (0..=n).collect::<Vec<_>>());
    drop(log);
    drop(mounted);
}

struct Mounted<'a>(&'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}
