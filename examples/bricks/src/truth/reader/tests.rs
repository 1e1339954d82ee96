//! Claims about reading ground truth: edge cases are those by definition, and any bytes are read or refused.

use super::{Truth, Visits, parse};
use crate::faults::{Fault, FaultKind};
use crate::truth::format::{Event, Header, RECORD_LEN, Record};
use proptest::prelude::*;
use std::path::Path;

/// Writes the file of a process `name` with id `pid` and services `a` and `b`.
fn write(dir: &Path, name: &str, pid: u32, records: &[(u128, Event)]) {
    let header = Header { process: name.to_owned(), pid, services: vec!["a".to_owned(), "b".to_owned()] };
    let mut bytes = header.encode().unwrap();
    bytes.extend(records.iter().flat_map(|(trace, event)| Record { trace: *trace, event: *event }.encode()));
    std::fs::write(dir.join(format!("{name}.{pid}.truth")), bytes).unwrap();
}

fn intended(visit: u64, service_idx: u16) -> Event {
    Event::Intended { visit, service_idx }
}

const fn acted(visit: u64, kind: FaultKind) -> Event {
    Event::Acted { visit, kind }
}

const fn done(visit: u64) -> Event {
    Event::Done { visit }
}

#[test]
fn edge_cases_are_those_in_which_a_fault_acted_or_a_kill_cut_or_an_answer_failed() {
    let dir = tempfile::tempdir().unwrap();
    let planned = Event::Request { fault: Fault { kind: FaultKind::Slow, service_idx: 1 } };
    let (ok, failed) = (Event::Answered { is_ok: true }, Event::Answered { is_ok: false });
    write(dir.path(), "load", 1, &[(1, planned), (1, ok), (2, ok), (3, failed), (4, failed), (5, failed), (6, ok)]);
    write(
        dir.path(),
        "front",
        2,
        &[
            (1, intended(0, 0)),
            (2, intended(1, 0)),
            (1, done(0)),
            (3, intended(2, 0)),
            (2, done(1)),
            (3, done(2)),
            (4, intended(3, 0)),
            (6, intended(4, 0)),
        ],
    );
    write(
        dir.path(),
        "back",
        3,
        &[
            (2, intended(0, 1)),
            (2, acted(0, FaultKind::Slow)),
            (2, done(0)),
            (2, intended(1, 1)),
            (2, done(1)),
            (4, intended(2, 1)),
            (4, acted(2, FaultKind::Park)),
            (6, intended(3, 1)),
            (6, done(3)),
        ],
    );
    std::fs::write(dir.path().join("back.3.killed"), []).unwrap();
    write(dir.path(), "back", 4, &[(6, intended(0, 1)), (6, acted(0, FaultKind::Park))]);
    let truth = Truth::read(dir.path()).unwrap();
    // 1 carried a fault that never acted; 5 reached no service; 6 is open, but nobody was killed.
    assert_eq!(truth.edge_cases.keys().copied().collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!((truth.n_unreached, truth.torn_bytes), (1, 0));
    let of = |trace: u128, service: &str| truth.edge_cases[&trace].visits[service];
    assert_eq!(of(2, "a"), Visits { intended: 1, done: 1 });
    assert_eq!(of(2, "b"), Visits { intended: 2, done: 2 });
    assert_eq!(of(4, "a"), Visits { intended: 1, done: 0 });
    assert_eq!(of(4, "b"), Visits { intended: 1, done: 0 });
    let (slow, cut) = (&truth.edge_cases[&2], &truth.edge_cases[&4]);
    assert!(slow.acted.contains(&FaultKind::Slow) && !slow.is_cut && !slow.is_failed);
    assert!(cut.acted.contains(&FaultKind::Park) && cut.is_cut && cut.is_failed);
}

#[test]
fn a_torn_end_is_counted_and_garbage_within_is_refused_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "front", 2, &[(1, intended(0, 0)), (1, acted(0, FaultKind::Error)), (1, done(0))]);
    let path = dir.path().join("front.2.truth");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 5);
    std::fs::write(&path, &bytes).unwrap();
    let truth = Truth::read(dir.path()).unwrap();
    assert_eq!(truth.torn_bytes, RECORD_LEN as u64 - 5);
    assert_eq!(truth.edge_cases[&1].visits["a"], Visits { intended: 1, done: 0 });
    let at = bytes.len() - 2 * RECORD_LEN + 5;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let error = format!("{:#}", Truth::read(dir.path()).unwrap_err());
    assert!(error.contains("front.2.truth: at byte 96: a record does not match its check value"), "{error}");
}

#[test]
fn a_folder_without_truth_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("report.json"), "{}").unwrap();
    assert!(Truth::read(dir.path()).is_err());
    assert!(Truth::read(&dir.path().join("nowhere")).is_err());
}

proptest! {
    /// For any bytes: they are read or refused, and nothing panics.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(&bytes[..], |_, _| {});
    }

    /// For every good file and any change of one byte: the records before the change are read as they were.
    #[test]
    fn what_stands_before_a_damage_is_read(
        n in 1..20_u64, at: prop::sample::Index, flip in 1..=255_u8
    ) {
        let header = Header { process: "p".to_owned(), pid: 1, services: vec!["a".to_owned()] };
        let mut bytes = header.encode().expect("it is short");
        let header_len = bytes.len();
        for visit in 0..n {
            bytes.extend(Record { trace: 7, event: intended(visit, 0) }.encode());
        }
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let mut seen = 0;
        let read = parse(&bytes[..], |_, record| {
            assert_eq!(record, Record { trace: 7, event: intended(seen, 0) });
            seen += 1;
        });
        if at >= header_len {
            prop_assert!(read.is_err());
            prop_assert_eq!(seen as usize, (at - header_len) / RECORD_LEN);
        }
    }
}
