//! Claims about sweeps: what a manifest names stays, what is young stays, and nothing goes that is not ours.

use super::{GRACE_NS, STRANGER_AGE_NS, Sweep};
use crate::manifest::Change;
use crate::manifest::tests::part;
use crate::manifest::write::Writer;
use crate::objects::Objects;
use crate::objects::testing::Memory;
use crate::part::Shelf;
use crate::schema::Table;

const HOUR: i64 = STRANGER_AGE_NS;

#[test]
fn strangers_go_after_an_hour_and_everything_else_stays() {
    let objects = Memory::default();
    let path = |n: u64| part(n).files[0].path.clone();
    let unfinished = "data/dt=1970-01-01/hh=00/.unfinished-00000000000000aa-3";
    let pinned = part(4).id.path_on(Shelf::Pinned, Table::Spans);
    for path in [&path(1), &path(2), &pinned, unfinished, "data/README.md", "data/other.spans.parquet"] {
        objects.put(path, b"x").unwrap();
    }
    objects.set_now(HOUR);
    objects.put(&path(3), b"x").unwrap();
    let mut writer = Writer::open(&objects, "w", 1).unwrap();
    writer.commit(&objects, Change { add: vec![part(1)], ..Change::default() }).unwrap();
    let mut sweep = Sweep::default();
    assert!(sweep.run(&objects, HOUR / 2).unwrap().is_empty());
    assert!(sweep.run(&objects, HOUR).unwrap().is_empty(), "not older than an hour");
    let mut gone = sweep.run(&objects, HOUR + 1).unwrap();
    gone.sort();
    assert_eq!(gone, [unfinished.to_owned(), path(2), pinned]);
    assert!(objects.paths().contains(&path(1)) && objects.paths().contains(&path(3)));
    assert!(objects.paths().contains(&"data/README.md".to_owned()));
}

#[test]
fn what_is_given_up_stays_for_searches_that_still_read_it() {
    let objects = Memory::default();
    objects.put(&part(1).files[0].path, b"x").unwrap();
    let mut writer = Writer::open(&objects, "w", 1).unwrap();
    writer.commit(&objects, Change { add: vec![part(1)], ..Change::default() }).unwrap();
    let (mut sweep, now) = (Sweep::default(), 9 * HOUR);
    assert!(sweep.run(&objects, now).unwrap().is_empty());
    writer.commit(&objects, Change { remove: vec![part(1).id], ..Change::default() }).unwrap();
    assert!(sweep.run(&objects, now + 1).unwrap().is_empty());
    assert!(sweep.run(&objects, now + GRACE_NS).unwrap().is_empty());
    assert_eq!(sweep.run(&objects, now + 1 + GRACE_NS).unwrap(), [part(1).files[0].path.clone()]);
}

#[test]
fn nothing_goes_while_a_manifest_cannot_be_read() {
    let objects = Memory::default();
    objects.put(&part(1).files[0].path, b"x").unwrap();
    let mut sweep = Sweep::default();
    sweep.run(&objects, 2 * HOUR).unwrap();
    Writer::open(&objects, "w", 1).unwrap();
    objects.change("manifest/w/00000000000000000001.json", |bytes| bytes.clear());
    assert!(sweep.run(&objects, 9 * HOUR).is_err());
    assert!(objects.paths().contains(&part(1).files[0].path));
}

#[test]
fn a_clock_that_jumps_back_removes_nothing_early() {
    let objects = Memory::default();
    objects.set_now(5 * HOUR);
    objects.put(&part(1).files[0].path, b"x").unwrap();
    let mut sweep = Sweep::default();
    for now in [9 * HOUR, HOUR, i64::MIN, 0, 5 * HOUR] {
        assert!(sweep.run(&objects, now).unwrap().is_empty(), "{now}");
    }
}
