//! Claims about retention: the oldest goes first and no more than must, what is pinned stays, and files outlast those who read them.

mod model;

use super::pins::{PINS_MAX, PinError, pin, unpin};
use super::{Known, Limits, Rest, Retention, due};
use crate::agg::tests::some_aggregates;
use crate::compact::Settings;
use crate::manifest::entry::{FileEntry, PartEntry};
use crate::manifest::read::Reader;
use crate::manifest::sweep::GRACE_NS;
use crate::manifest::write::Writer;
use crate::manifest::{Change, State};
use crate::objects::Objects;
use crate::objects::testing::Memory;
use crate::part::read::{Spans, Traces};
use crate::part::tests::{batch, open};
use crate::part::write::{Cut, write, write_with_aggregates};
use crate::part::{PartId, Shelf};
use crate::promote::Forced;
use crate::rows::{SpanRow, TraceFacts};
use crate::schema::Table;
use backsight_core::ids::{SpanId, TraceId};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

const HOUR_NS: i64 = 3_600_000_000_000;

/// A part of 100 bytes that came at hour `n`.
fn part(n: u64, table: &str) -> PartEntry {
    let mut part = crate::manifest::tests::part(n);
    part.id = PartId::new(n * 3_600_000, n.into());
    part.files[0].table = table.to_owned();
    part.files[0].path = part.id.path(Table::Spans);
    part.files[0].bytes = 100;
    part.max_ingest_ns = n as i64 * HOUR_NS;
    part
}

fn state(parts: impl IntoIterator<Item = PartEntry>) -> State {
    State { parts: parts.into_iter().map(|part| (part.id, part)).collect(), ..State::default() }
}

fn limits(age_h: i64, bytes: u64) -> Limits {
    Limits { age_ns: age_h * HOUR_NS, agg_age_ns: 4 * age_h * HOUR_NS, bytes, fs_share: 0.5 }
}

fn hours(due: &[(PartId, Rest)]) -> Vec<u64> {
    due.iter().map(|(id, _)| id.time_ms() / 3_600_000).collect()
}

#[test]
fn parts_go_by_age_since_they_came_and_tables_of_others_later() {
    let mut untold = part(3, "spans");
    untold.max_ingest_ns = 0;
    let state = state([part(5, "spans"), part(1, "spans"), untold, part(2, "agg")]);
    let due = |now_h: i64| hours(&due(&state, &Known::default(), &limits(4, u64::MAX), None, now_h * HOUR_NS));
    assert!(due(5).is_empty());
    assert_eq!(due(6), [1]);
    assert_eq!(due(8), [1, 3], "one that does not say when it came, by when it was written");
    assert_eq!(due(18), [1, 3, 5]);
    assert_eq!(due(19), [1, 2, 3, 5]);
    assert!(due(i64::MIN / HOUR_NS).is_empty());
}

#[test]
fn parts_go_by_bytes_the_oldest_first_and_no_more_than_must() {
    let state = state((1..=6).map(|n| part(n, "spans")));
    let due = |bytes, fs_bytes| hours(&due(&state, &Known::default(), &limits(99, bytes), fs_bytes, 7 * HOUR_NS));
    assert!(due(600, None).is_empty());
    assert_eq!(due(599, None), [1]);
    assert_eq!(due(400, None), [1, 2]);
    assert_eq!(due(0, None), [1, 2, 3, 4, 5, 6]);
    assert_eq!(due(600, Some(600)), [1, 2, 3], "half of the file system");
    // What goes by age makes room.
    let by_age = super::due(&state, &Known::default(), &limits(4, 300), None, 7 * HOUR_NS);
    assert_eq!(hours(&by_age), [1, 2, 3]);
}

#[test]
fn what_was_counted_outlasts_rows_and_goes_after_them() {
    let with_agg = |n| {
        let mut part = part(n, "spans");
        part.files.push(FileEntry { table: "agg".to_owned(), ..part.files[0].clone() });
        part
    };
    let state = state((1..=3).map(with_agg));
    let due = |limits, now_h: i64| due(&state, &Known::default(), &limits, None, now_h * HOUR_NS);
    let of = |part: u64, rest| (with_agg(part).id, rest);
    assert_eq!(due(limits(4, u64::MAX), 6), [of(1, Rest::Aggregates)]);
    assert_eq!(due(limits(4, u64::MAX), 18), [of(1, Rest::Nothing), of(2, Rest::Aggregates), of(3, Rest::Aggregates)]);
    assert_eq!(due(limits(99, 500), 3), [of(1, Rest::Aggregates)]);
    assert_eq!(due(limits(99, 299), 3), [of(1, Rest::Nothing), of(2, Rest::Aggregates), of(3, Rest::Aggregates)]);
}

#[test]
fn of_an_old_part_what_was_counted_stays_and_its_other_files_are_deleted() {
    let mut store = Store::new(0, 0, limits(10, u64::MAX));
    let mut rows = batch();
    rows.push_span(&SpanRow { trace: trace(0, 0), ..SpanRow::default() }).unwrap();
    let (forced, parents, before) = (Forced::default(), &[], &[]);
    let id = PartId::new(3_600_000, 0);
    let cut = Cut { id, writer: "w", commit: "c", before, forced: &forced, zstd_level: 1, parents };
    let part = write_with_aggregates(&rows, &some_aggregates(), &cut, &store.objects).unwrap();
    let agg = part.file(Table::Agg).unwrap().clone();
    store.writer.commit(&store.objects, Change { add: vec![part], ..Change::default() }).unwrap();
    let outcome = store.run(12 * HOUR_NS);
    assert_eq!((outcome.gone.len(), outcome.gone[0].files.len()), (1, 2));
    let kept = Reader::open(&store.objects, "w").unwrap().state().parts[&id].clone();
    assert_eq!(kept.files, std::slice::from_ref(&agg));
    assert_eq!(store.run(12 * HOUR_NS + GRACE_NS).deleted.len(), 2);
    assert!(store.objects.paths().contains(&agg.path));
    store.run(42 * HOUR_NS);
    assert_eq!(store.run(42 * HOUR_NS + GRACE_NS).deleted, [agg.path]);
}

#[test]
fn parts_of_pinned_traces_stay_until_one_is_unpinned() {
    let mut pinned = part(1, "spans");
    pinned.files[0].path = pinned.id.path_on(Shelf::Pinned, Table::Spans);
    let (id, trace) = (pinned.id, TraceId::new(1, 1));
    let mut state = state([pinned, part(2, "spans")]);
    state.pins.insert(trace);
    let mut known = Known::default();
    let due = |state: &State, known: &Known| hours(&due(state, known, &limits(1, 0), None, 99 * HOUR_NS));
    assert_eq!(due(&state, &known), [2], "not known what it holds");
    known.pinned.insert(id, [trace].into());
    assert_eq!(due(&state, &known), [2]);
    known.pinned.insert(id, [trace, TraceId::new(2, 2)].into());
    assert_eq!(due(&state, &known), [1, 2]);
    state.pins.clear();
    assert_eq!(due(&state, &known), [1, 2]);
}

/// A store with one part an hour, of `n_traces` traces with two spans each.
struct Store {
    objects: Memory,
    writer: Writer,
    retention: Retention,
}

fn trace(hour: u64, n: u64) -> TraceId {
    TraceId::new(hour + 1, n + 1)
}

impl Store {
    fn new(n_hours: u64, n_traces: u64, limits: Limits) -> Self {
        let objects = Memory::default();
        let mut writer = Writer::open(&objects, "w", 1).unwrap();
        for hour in 0..n_hours {
            let mut batch = batch();
            for (n, span) in (0..n_traces).flat_map(|n| [(n, 0), (n, 1)]) {
                let start_ns = hour as i64 * HOUR_NS + n as i64;
                let trace = trace(hour, n);
                batch.push_span(&SpanRow { trace, id: SpanId(span + 1), start_ns, ..SpanRow::default() }).unwrap();
                let facts = TraceFacts { ingest_ns: (hour as i64 + 1) * HOUR_NS, ..TraceFacts::default() };
                batch.set_trace(trace, &facts).unwrap();
            }
            let id = PartId::new((hour + 1) * 3_600_000, hour.into());
            let (forced, parents, before) = (Forced::default(), &[], &[]);
            let cut = Cut { id, writer: "w", commit: "c", before, forced: &forced, zstd_level: 1, parents };
            let add = vec![write(&batch, &cut, &objects).unwrap()];
            writer.commit(&objects, Change { add, ..Change::default() }).unwrap();
        }
        Self { objects, writer, retention: Retention::new(limits) }
    }

    fn run(&mut self, now_ns: i64) -> super::Outcome {
        self.objects.set_now(now_ns);
        let forced = Forced::default();
        let settings = Settings { writer: "w", commit: "c", forced: &forced, random: now_ns as u128 };
        let go_on = &mut || ControlFlow::Continue(());
        self.retention.run(&self.objects, &mut self.writer, &settings, None, now_ns, go_on).unwrap()
    }

    /// Returns the traces in all parts that a reader sees, those of pinned parts first.
    fn seen(&self) -> (BTreeSet<TraceId>, BTreeSet<TraceId>) {
        let reader = Reader::open(&self.objects, "w").unwrap();
        let (mut pinned, mut others) = (BTreeSet::new(), BTreeSet::new());
        for part in reader.state().parts.values() {
            let traces = Traces::new(open(&self.objects, part, Table::Traces)).unwrap();
            let spans = Spans::new(open(&self.objects, part, Table::Spans)).unwrap();
            let rows = traces.read(0..traces.file().n_rows()).unwrap();
            assert!(rows.iter().all(|row| spans.read(row.first_row..row.first_row + 2).unwrap().len() == 2));
            let set = if part.is_pinned() { &mut pinned } else { &mut others };
            set.extend(rows.iter().map(|row| row.trace));
        }
        (pinned, others)
    }
}

#[test]
fn pinned_traces_are_moved_before_their_part_goes() {
    let mut store = Store::new(2, 3, limits(10, u64::MAX));
    let wanted = [trace(0, 1), trace(1, 2)];
    for trace in wanted {
        assert!(pin(&store.objects, &mut store.writer, trace).unwrap());
        assert!(!pin(&store.objects, &mut store.writer, trace).unwrap(), "once is enough");
    }
    let version = store.writer.state().version;
    store.run(10 * HOUR_NS);
    assert_eq!(store.writer.state().version, version, "nothing is due");
    assert_eq!(store.run(11 * HOUR_NS + 1).gone.len(), 1);
    assert_eq!(store.seen().0, [wanted[0]].into());
    store.run(12 * HOUR_NS + 1);
    assert_eq!(store.seen(), (wanted.into(), BTreeSet::new()));
    // Parts of pinned traces stay, until they are let go.
    let version = store.writer.state().version;
    store.run(999 * HOUR_NS);
    assert_eq!(store.writer.state().version, version);
    assert!(unpin(&store.objects, &mut store.writer, wanted[0]).unwrap());
    assert!(!unpin(&store.objects, &mut store.writer, wanted[0]).unwrap());
    store.run(1000 * HOUR_NS);
    assert_eq!(store.seen().0, [wanted[1]].into());
    store.run(1000 * HOUR_NS + GRACE_NS);
    let is_old = |path: &String| path.starts_with("data/");
    assert_eq!(store.objects.paths().iter().filter(|path| is_old(path)).count(), 0, "{:?}", store.objects.paths());
}

#[test]
fn files_are_deleted_ten_minutes_after_the_manifest_gave_them_up() {
    let mut store = Store::new(3, 1, limits(10, u64::MAX));
    let n_files = |store: &Store| store.objects.list("data").unwrap().len();
    let gone = 12 * HOUR_NS + 1;
    let outcome = store.run(gone);
    assert_eq!((outcome.gone.len(), outcome.deleted.len(), n_files(&store)), (2, 0, 6));
    assert_eq!(store.run(gone + GRACE_NS - 1).deleted.len(), 0);
    assert_eq!((store.run(gone + GRACE_NS).deleted.len(), n_files(&store)), (4, 2));
    // Whoever takes over does not know of them, and sweeps.
    let outcome = store.run(13 * HOUR_NS + 1);
    assert_eq!((outcome.gone.len(), n_files(&store)), (1, 2));
    store.retention = Retention::new(limits(10, u64::MAX));
    store.run(14 * HOUR_NS);
    assert_eq!((store.run(14 * HOUR_NS + GRACE_NS).deleted.len(), n_files(&store)), (2, 0));
}

#[test]
fn a_step_that_was_overtaken_is_not_taken() {
    let mut store = Store::new(2, 2, limits(10, u64::MAX));
    let (forced, now) = (Forced::default(), 99 * HOUR_NS);
    let prepare = |store: &mut Store, random| {
        let settings = Settings { writer: "w", commit: "c", forced: &forced, random };
        let (state, go_on) = (store.writer.state().clone(), &mut || ControlFlow::Continue(()));
        store.retention.prepare(&store.objects, &state, &settings, None, now, go_on).unwrap()
    };
    let step = prepare(&mut store, 1);
    pin(&store.objects, &mut store.writer, trace(1, 1)).unwrap();
    assert!(!store.retention.commit(step, &store.objects, &mut store.writer, now).unwrap(), "it would lose the pin");
    let (first, second) = (prepare(&mut store, 2), prepare(&mut store, 3));
    assert!(store.retention.commit(first, &store.objects, &mut store.writer, now).unwrap());
    assert!(!store.retention.commit(second, &store.objects, &mut store.writer, now).unwrap(), "its parts are gone");
    assert_eq!(store.seen(), ([trace(1, 1)].into(), BTreeSet::new()));
}

#[test]
fn a_part_that_cannot_be_read_stays_while_something_is_pinned_and_others_go() {
    let mut store = Store::new(3, 2, limits(10, u64::MAX));
    pin(&store.objects, &mut store.writer, trace(0, 0)).unwrap();
    let first = store.writer.state().parts.values().next().unwrap().clone();
    store.objects.change(&first.file(Table::Traces).unwrap().path, |bytes| bytes.truncate(50));
    let outcome = store.run(99 * HOUR_NS);
    assert_eq!((outcome.gone.len(), outcome.unreadable[0].0), (2, first.id));
    assert_eq!(store.writer.state().parts.keys().collect::<Vec<_>>(), [&first.id]);
    unpin(&store.objects, &mut store.writer, trace(0, 0)).unwrap();
    assert_eq!(store.run(100 * HOUR_NS).gone.len(), 1, "nobody wants anything of it");
}

#[test]
fn pins_stand_in_each_snapshot_and_are_bounded() {
    let objects = Memory::default();
    let mut writer = Writer::open(&objects, "w", 1).unwrap();
    let many = Change { pin: (0..PINS_MAX as u64).map(|n| TraceId::new(7, n)).collect(), ..Change::default() };
    writer.commit(&objects, many).unwrap();
    assert!(matches!(pin(&objects, &mut writer, TraceId::new(8, 1)), Err(PinError::TooMany)));
    assert!(matches!(pin(&objects, &mut writer, TraceId::NONE), Err(PinError::NoTrace)));
    for n in 0..130 {
        assert!(unpin(&objects, &mut writer, TraceId::new(7, n)).unwrap());
    }
    assert_eq!(Reader::open(&objects, "w").unwrap().state(), writer.state());
    assert_eq!(writer.state().pins.len(), PINS_MAX - 130);
    assert!(pin(&objects, &mut writer, TraceId::new(8, 1)).unwrap());
}
