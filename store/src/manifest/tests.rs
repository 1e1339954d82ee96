//! Claims about manifests: each version is there as a whole or not at all, one writer has a name, and readers keep up from anywhere.

use super::entry::{FileEntry, PartEntry, SERVICES_MAX, Services, flag};
use super::read::{Reader, writers};
use super::write::Writer;
use super::{Change, ManifestError, SNAPSHOT_EVERY, hint_path, path_of};
use crate::objects::testing::{After, Fault, Memory};
use crate::objects::{Objects, Put};
use crate::part::PartId;
use crate::promote::{Kind, Promoted};
use proptest::prelude::*;
use std::collections::BTreeSet;

pub(crate) fn part(n: u64) -> PartEntry {
    let id = PartId::new(n * 1000, n.into());
    let file = FileEntry {
        table: "spans".to_owned(),
        path: id.path(crate::schema::Table::Spans),
        bytes: 10,
        rows: 1,
        xxh3: u64::MAX - n,
    };
    PartEntry {
        id,
        files: vec![file],
        min_start_ns: i64::MIN,
        max_start_ns: n as i64,
        max_end_ns: i64::MAX,
        max_duration_ns: 5,
        services: Services::of(["a", "b"].into_iter()),
        promoted: vec![Promoted { key: "http.\"route".to_owned(), kind: Kind::Str }],
        flags: flag::ERRORS | flag::ENERGY,
        min_ingest_ns: 1,
        max_ingest_ns: 2,
        parents: (n % 2 == 1).then(|| PartId::new(n, 0)).into_iter().collect(),
    }
}

fn add(n: u64) -> Change {
    Change { add: vec![part(n)], wal_low: Some(n), ..Change::default() }
}

fn ids(reader: &Reader) -> BTreeSet<PartId> {
    reader.state().parts.keys().copied().collect()
}

#[test]
fn a_reader_follows_the_writer_version_by_version() {
    let objects = Memory::default();
    let mut writer = Writer::open(&objects, "w-1", 1).unwrap();
    let mut reader = Reader::open(&objects, "w-1").unwrap();
    assert!(!reader.poll(&objects).unwrap());
    assert_eq!(writer.commit(&objects, add(1)).unwrap(), 2);
    assert_eq!(writer.commit(&objects, add(2)).unwrap(), 3);
    assert!(reader.poll(&objects).unwrap());
    assert_eq!(reader.state(), writer.state());
    assert_eq!(reader.state().parts[&part(1).id], part(1), "each field comes back");
    let change =
        Change { add: vec![part(3)], remove: vec![part(1).id, part(2).id], agg_upto: Some(9), ..Change::default() };
    writer.commit(&objects, change).unwrap();
    assert!(reader.poll(&objects).unwrap());
    assert_eq!(ids(&reader), BTreeSet::from([part(3).id]));
    assert_eq!((reader.state().wal_low, reader.state().agg_upto), (2, 9));
    assert_eq!(writers(&objects).unwrap(), BTreeSet::from(["w-1".to_owned()]));
}

#[test]
fn readers_begin_at_a_snapshot_and_late_ones_find_the_way() {
    let objects = Memory::default();
    let mut sleeper = Reader::open(&objects, "w").unwrap();
    let mut writer = Writer::open(&objects, "w", 1).unwrap();
    let n_versions = SNAPSHOT_EVERY * 3 + 5;
    while writer.state().version < n_versions {
        let version = writer.state().version + 1;
        writer.commit(&objects, add(version)).unwrap();
    }
    assert_eq!(writer.prune(&objects).unwrap(), SNAPSHOT_EVERY * 2 - 1);
    assert_eq!(Reader::open(&objects, "w").unwrap().state(), writer.state());
    assert!(sleeper.poll(&objects).unwrap());
    assert_eq!(sleeper.state(), writer.state());
    // The hint is one: without it, or with a wrong one, a listing says the same.
    objects.delete(&hint_path("w")).unwrap();
    assert_eq!(Reader::open(&objects, "w").unwrap().state(), writer.state());
    for wrong in ["no number", "64", "640000", "3"] {
        objects.put(&hint_path("w"), wrong.as_bytes()).unwrap();
        assert_eq!(Reader::open(&objects, "w").unwrap().state(), writer.state(), "{wrong}");
    }
    let mut next = Writer::open(&objects, "w", 2).unwrap();
    assert_eq!(next.commit(&objects, add(9999)).unwrap(), n_versions + 2);
}

#[test]
fn of_two_writers_with_one_name_the_first_stops() {
    let objects = Memory::default();
    let mut first = Writer::open(&objects, "w", 1).unwrap();
    first.commit(&objects, add(1)).unwrap();
    let mut second = Writer::open(&objects, "w", 2).unwrap();
    let fenced = first.commit(&objects, add(2)).unwrap_err();
    assert!(matches!(fenced, ManifestError::Fenced { version: 3, epoch: 2, .. }), "{fenced}");
    second.commit(&objects, add(3)).unwrap();
    assert!(matches!(first.commit(&objects, add(2)).unwrap_err(), ManifestError::Fenced { .. }), "for good");
    assert!(matches!(first.settle(&objects).unwrap_err(), ManifestError::Fenced { .. }));
    assert_eq!(ids(&Reader::open(&objects, "w").unwrap()), BTreeSet::from([part(1).id, part(3).id]));
}

/// Objects in which another writer begins just before our first version is put.
#[derive(Debug)]
struct Overtaken(Memory, std::sync::Mutex<Option<u64>>);

impl Objects for Overtaken {
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<Put, crate::objects::ObjectError> {
        let nonce = self.1.lock().unwrap().take();
        if let Some(nonce) = nonce {
            Writer::open(&self.0, "w", nonce).unwrap();
        }
        self.0.put_if_absent(path, bytes)
    }
    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), crate::objects::ObjectError> {
        self.0.put(path, bytes)
    }
    fn create(&self, path: &str) -> Result<Box<dyn crate::objects::Upload>, crate::objects::ObjectError> {
        self.0.create(path)
    }
    fn get(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, crate::objects::ObjectError> {
        self.0.get(path, max_bytes)
    }
    fn open(&self, path: &str) -> Result<std::sync::Arc<dyn crate::objects::ReadAt>, crate::objects::ObjectError> {
        self.0.open(path)
    }
    fn list(&self, folder: &str) -> Result<Vec<crate::objects::Listed>, crate::objects::ObjectError> {
        self.0.list(folder)
    }
    fn delete(&self, path: &str) -> Result<(), crate::objects::ObjectError> {
        self.0.delete(path)
    }
}

#[test]
fn of_two_writers_that_begin_at_once_one_is_told() {
    let objects = Overtaken(Memory::default(), std::sync::Mutex::new(Some(2)));
    let fenced = Writer::open(&objects, "w", 1).unwrap_err();
    assert!(matches!(fenced, ManifestError::Fenced { version: 1, epoch: 1, .. }), "{fenced}");
}

/// For each step of a commit and each kind of fault there: a reader sees the old version or the new one, and whoever goes on, in this process
/// or a new one, ends with the change made exactly once.
#[test]
fn a_commit_that_stops_at_any_step_is_made_or_not_made() {
    for version in [5, SNAPSHOT_EVERY - 1, SNAPSHOT_EVERY] {
        for (fault, after) in [
            (Fault::Refused, After::Dead),
            (Fault::AnswerLost, After::Dead),
            (Fault::Refused, After::Well),
            (Fault::AnswerLost, After::Well),
        ] {
            for step in 0..4 {
                stop_at(version, step, fault, after);
            }
        }
    }
}

fn stop_at(version: u64, step: usize, fault: Fault, after: After) {
    let objects = Memory::default();
    let mut writer = Writer::open(&objects, "w", 1).unwrap();
    while writer.state().version < version - 1 {
        let next = writer.state().version + 1;
        writer.commit(&objects, add(next)).unwrap();
    }
    let old = writer.state().clone();
    objects.fail_at(step, fault, after);
    let committed = writer.commit(&objects, add(version));
    let n_steps = objects.heal();
    let seen = Reader::open(&objects, "w").unwrap();
    let is_new = seen.state().parts.contains_key(&part(version).id);
    assert!(is_new || *seen.state() == old, "half a version: {:?}", seen.state());
    assert!(committed.is_err() || is_new, "said to be written, and is not");
    match after {
        After::Well => {
            if committed.is_err() {
                assert!(matches!(writer.commit(&objects, add(7777)), Err(ManifestError::Unsettled { .. })));
            }
            assert_eq!(writer.settle(&objects).unwrap(), version);
        }
        After::Dead => {
            let mut next = Writer::open(&objects, "w", 2).unwrap();
            if !next.state().parts.contains_key(&part(version).id) {
                next.commit(&objects, add(version)).unwrap();
            }
            writer = next;
        }
    }
    writer.commit(&objects, add(8888)).unwrap();
    let seen = Reader::open(&objects, "w").unwrap();
    assert_eq!(seen.state(), writer.state());
    assert_eq!(ids(&seen).len() as u64, version, "each part once, step {step} of {n_steps}");
}

#[test]
fn what_does_not_follow_is_named() {
    let objects = Memory::default();
    let mut writer = Writer::open(&objects, "w", 1).unwrap();
    for n in 1..5 {
        writer.commit(&objects, add(n)).unwrap();
    }
    let path = path_of("w", 3);
    let sound = objects.get(&path, 1 << 20).unwrap().unwrap();
    for at in 0..sound.len() {
        objects.change(&path, |bytes| bytes[at] ^= 1);
        let error = Reader::open(&objects, "w").unwrap_err();
        assert!(matches!(error, ManifestError::Damaged { .. } | ManifestError::Newer { .. }), "{error}");
        objects.change(&path, |bytes| bytes[at] ^= 1);
    }
    objects.change(&path, |bytes| *bytes = br#"{"format":2,"surprise":true}"#.to_vec());
    let error = Reader::open(&objects, "w").unwrap_err();
    assert!(error.to_string().contains("has format 2, and this version reads up to 1"), "{error}");
}

#[test]
fn changes_that_cannot_be_made_are_refused_before_anything_is_written() {
    let objects = Memory::default();
    let mut writer = Writer::open(&objects, "w", 1).unwrap();
    writer.commit(&objects, add(1)).unwrap();
    let (before, paths) = (writer.state().clone(), objects.paths());
    let remove = |ids: &[u64]| Change { remove: ids.iter().map(|n| part(*n).id).collect(), ..Change::default() };
    let twice = Change { add: vec![part(2), part(2)], ..Change::default() };
    for change in [add(1), remove(&[2]), remove(&[1, 1]), twice] {
        assert!(matches!(writer.commit(&objects, change), Err(ManifestError::BadChange { .. })));
    }
    assert_eq!((writer.state(), objects.paths()), (&before, paths));
    for name in ["", ".", "a/b", "..", "\u{e9}", &"x".repeat(65)] {
        assert!(matches!(Writer::open(&objects, name, 1), Err(ManifestError::BadName { .. })), "{name}");
    }
}

proptest! {
    /// For all names: a part's services never deny one that it has, listed or filtered; and strangers are mostly denied.
    #[test]
    fn services_are_never_denied(n in 1..600_usize) {
        let names: Vec<String> = (0..n).map(|n| format!("service-{n}")).collect();
        let services = Services::of(names.iter().map(String::as_str));
        prop_assert_eq!(matches!(services, Services::Names(_)), n <= SERVICES_MAX);
        let text = serde_json::to_string(&services).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Services>(&text).unwrap(), &services);
        prop_assert!(names.iter().all(|name| services.may_hold(name)));
        let n_wrong = (0..1000).filter(|n| services.may_hold(&format!("other-{n}"))).count();
        prop_assert!(n_wrong < 40, "{} of 1000", n_wrong);
    }
}
