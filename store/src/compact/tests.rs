//! Claims about compaction: which parts, in which order, and that joined they say what they said; damage and too much are left alone.
//!
//! That a reader never sees anything else, whatever happens meanwhile, is claimed by the tests of retention.

use super::{CompactError, GoOn, PARENTS, SMALL_MAX_BYTES, Settings, TRACE_ROWS_MAX, pick};
use crate::agg::Aggregates;
use crate::agg::tests::some_aggregates;
use crate::batch::Batch;
use crate::manifest::entry::PartEntry;
use crate::manifest::{Change, State};
use crate::objects::testing::Memory;
use crate::part::read::aggs::Aggs;
use crate::part::read::{Reports, Slices, Spans, Traces};
use crate::part::tests::open;
use crate::part::write::{Cut, write, write_with_aggregates};
use crate::part::{PartId, Shelf};
use crate::promote::{Forced, Kind, Promoted};
use crate::rows::{Attribute, ReportRow, ResourceId, SliceRow, SpanRow, TraceFacts, Value, source};
use crate::schema::Table;
use backsight_core::ids::{SpanId, TraceId};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

const HOUR_MS: u64 = 3_600_000;
const MIB: u64 = 1 << 20;

/// A part of so many bytes, written so many seconds after the begin of hour 10.
fn sized(second: u64, mib: u64) -> PartEntry {
    let mut part = crate::manifest::tests::part(1);
    part.id = PartId::new(10 * HOUR_MS + second * 1000, 0);
    part.files[0].path = part.id.path(Table::Spans);
    part.files[0].bytes = mib * MIB;
    part
}

fn state(parts: impl IntoIterator<Item = PartEntry>) -> State {
    State { parts: parts.into_iter().map(|part| (part.id, part)).collect(), ..State::default() }
}

/// Returns the seconds at which the parts to join were written.
fn picked(state: &State, now_ms: u64) -> Option<Vec<u64>> {
    let pick = pick(state, now_ms, &BTreeSet::new())?;
    Some(pick.parents.iter().map(|part| part.id.time_ms() / 1000 - 10 * HOUR_MS / 1000).collect())
}

#[test]
fn four_small_neighbours_of_one_hour_are_joined() {
    let now = 10 * HOUR_MS;
    assert_eq!(picked(&state([1, 2, 3].map(|second| sized(second, 1))), now), None);
    assert_eq!(picked(&state([1, 2, 3, 3600].map(|second| sized(second, 1))), now + 9 * HOUR_MS), None, "two hours");
    assert_eq!(picked(&state([1, 2, 3, 4, 5].map(|second| sized(second, 1))), now), Some(vec![1, 2, 3, 4]));
    let large = SMALL_MAX_BYTES / MIB;
    let around = [sized(1, 1), sized(2, 1), sized(3, large), sized(4, 1), sized(5, 1), sized(6, 1)];
    assert_eq!(picked(&state(around), now), None, "a large one stands between them");
    let small = (1..=4).map(|second| sized(second, large - 1));
    assert_eq!(picked(&state(small), now), Some(vec![1, 2, 3, 4]));
    let fewest =
        [(1, 9), (2, 9), (3, 9), (4, 9), (5, 3), (6, 3), (7, 3), (8, 3)].map(|(second, mib)| sized(second, mib));
    assert_eq!(picked(&state(fewest), now), Some(vec![5, 6, 7, 8]));
}

#[test]
fn while_the_hour_goes_on_a_large_part_waits_for_others_of_its_size() {
    let parts = || state([(1, 4), (2, 1), (3, 1), (4, 1)].map(|(second, mib)| sized(second, mib)));
    assert_eq!(picked(&parts(), 10 * HOUR_MS + 100_000), None);
    assert_eq!(picked(&parts(), 11 * HOUR_MS + 130_000), Some(vec![1, 2, 3, 4]));
}

#[test]
fn each_row_is_written_again_a_few_times_only() {
    // An hour of cuts of 1 MiB, one a minute, each followed by as many compactions as there are.
    let (mut state, mut written) = (State::default(), 0);
    for minute in 0..60 {
        let part = sized(minute * 60, 1);
        state.parts.insert(part.id, part);
        while let Some(pick) = pick(&state, 10 * HOUR_MS + minute * 60_000, &BTreeSet::new()) {
            let mib = pick.parents.iter().map(PartEntry::bytes).sum::<u64>() / MIB;
            let last = pick.parents[PARENTS - 1].id;
            pick.parents.iter().for_each(|part| drop(state.parts.remove(&part.id)));
            let id = last.between(None, 0).unwrap();
            state.parts.insert(id, PartEntry { id, ..sized(0, mib) });
            state.parts.get_mut(&id).unwrap().files[0].bytes = mib * MIB;
            written += mib;
        }
    }
    assert!(written <= 3 * 60, "{written} MiB for 60");
    assert!(state.parts.len() < 12, "{} parts", state.parts.len());
}

#[test]
fn what_could_not_be_joined_and_what_is_not_known_is_left_alone() {
    let now = 10 * HOUR_MS;
    let parts = [1, 2, 3, 4, 5].map(|second| sized(second, 1));
    let passed_over = BTreeSet::from([parts[0].id]);
    let found = pick(&state(parts.clone()), now, &passed_over).unwrap();
    assert_eq!(found.parents, parts[1..]);
    let mut foreign = parts.clone();
    foreign[2].files[0].table = "later".to_owned();
    assert_eq!(picked(&state(foreign), now), None, "its rows would be lost");
    let many = parts.map(|mut part| {
        part.files[0].rows = 3 << 20;
        part
    });
    assert_eq!(picked(&state(many), now), None);
}

#[test]
fn pinned_parts_are_joined_with_each_other_whenever_they_came() {
    let pinned = |hour: u64| {
        let mut part = sized(hour * 3600, 1);
        part.files[0].path = part.id.path_on(Shelf::Pinned, Table::Spans);
        part
    };
    assert_eq!(picked(&state([pinned(1), pinned(2), sized(7300, 1), pinned(3)]), 0), None);
    let all = state([pinned(1), pinned(2), sized(7300, 1), pinned(3), pinned(4)]);
    assert_eq!(picked(&all, 0), Some([1, 2, 3, 4].map(|hour| hour * 3600).to_vec()));
}

/// Returns span `n` of trace `of`; traces begin one after another.
fn span(of: u64, n: u64) -> SpanRow<'static> {
    SpanRow {
        trace: TraceId::new(of.wrapping_mul(0x9e37_79b9_7f4a_7c15), of + 1),
        id: SpanId(n + 1),
        start_ns: (of * 1000 + n) as i64,
        service: "shop".into(),
        operation: format!("op {}", n % 3).into(),
        attributes: vec![Attribute::new("n", Value::Int(n as i64))].into(),
        resource: ResourceId(0),
        ..SpanRow::default()
    }
}

/// Writes part `n` of an hour with these spans, in which each trace came at `n`.
fn part(objects: &Memory, n: u64, spans: impl IntoIterator<Item = SpanRow<'static>>) -> PartEntry {
    let mut batch = Batch::new(n);
    // Each part numbers resources in its own way.
    for idx in 0..=n {
        let name = if idx == 0 { "shared".to_owned() } else { format!("r{n}") };
        batch.push_resource(&[Attribute::new("service.name", Value::Str(name.into()))]).unwrap();
    }
    for span in spans {
        batch.push_span(&span).unwrap();
        batch.set_trace(span.trace, &TraceFacts { ingest_ns: n as i64 + 1, ..TraceFacts::default() }).unwrap();
    }
    let id = PartId::new(10 * HOUR_MS + n, 0);
    let (forced, parents, before) = (Forced::default(), &[], &[]);
    let cut = Cut { id, writer: "w", commit: "c", before, forced: &forced, zstd_level: 1, parents };
    write(&batch, &cut, objects).unwrap()
}

fn join(objects: &Memory, parts: &[PartEntry], ask: &mut GoOn<'_>) -> Result<Change, CompactError> {
    let pick = pick(&state(parts.iter().cloned()), 99 * HOUR_MS, &BTreeSet::new()).unwrap();
    let forced = Forced::default();
    pick.join(objects, &Settings { writer: "w", commit: "c", forced: &forced, random: 77 }, ask)
}

fn joined(objects: &Memory, parts: &[PartEntry]) -> PartEntry {
    let mut change = join(objects, parts, &mut || ControlFlow::Continue(())).unwrap();
    assert_eq!(change.remove, parts.iter().map(|part| part.id).collect::<Vec<_>>());
    let part = change.add.pop().unwrap();
    assert_eq!((part.parents.len(), part.id.time_ms()), (PARENTS, parts[3].id.time_ms()));
    assert!(part.id > parts[3].id);
    part
}

#[test]
fn split_traces_are_joined_over_many_runs() {
    let objects = Memory::default();
    let n_traces = 6000;
    // Trace by trace seven spans, of which each part has some; each seventh trace is in one part only.
    let has = |part: u64, trace: u64, n: u64| if trace.is_multiple_of(7) { part == trace % 4 } else { part == n % 4 };
    let rows = |part: u64| {
        let of_trace = move |trace| (0..7).filter(move |n| has(part, trace, *n)).map(move |n| span(trace, n));
        (0..n_traces).flat_map(of_trace)
    };
    let parts: Vec<_> = (0..4).map(|n| part(&objects, n, rows(n))).collect();
    let all = joined(&objects, &parts);
    assert_eq!((all.min_ingest_ns, all.max_ingest_ns), (1, 4));
    assert_eq!((all.min_start_ns, all.max_start_ns), (0, (n_traces as i64 - 1) * 1000));
    let spans = Spans::new(open(&objects, &all, Table::Spans)).unwrap();
    let want: Vec<_> = (0..n_traces).flat_map(|trace| (0..7).map(move |n| span(trace, n))).collect();
    assert!(spans.read(0..7 * n_traces).unwrap() == want);
    let traces = Traces::new(open(&objects, &all, Table::Traces)).unwrap();
    for (n, row) in traces.read(0..n_traces).unwrap().iter().enumerate() {
        let n = n as u64;
        assert_eq!((row.trace, row.first_row, row.n_rows), (span(n, 0).trace, 7 * n, 7));
        assert_eq!(row.facts.ingest_ns, if n.is_multiple_of(7) { n as i64 % 4 + 1 } else { 4 });
    }
    assert_eq!(traces.find(span(4321, 0).trace).unwrap().unwrap().first_row, 7 * 4321);
}

#[test]
fn resources_of_all_parts_are_one_list_without_those_that_no_span_has() {
    let objects = Memory::default();
    let of_part = |n: u64| {
        let own = SpanRow { resource: ResourceId(n as u32), ..span(n, 1) };
        part(&objects, n, [SpanRow { resource: ResourceId(0), ..span(n, 0) }, own])
    };
    let parts: Vec<_> = (0..4).map(of_part).collect();
    let all = joined(&objects, &parts);
    let spans = Spans::new(open(&objects, &all, Table::Spans)).unwrap();
    let name = |id: ResourceId| match &spans.resources()[id.0 as usize][0].value {
        Value::Str(name) => name.to_string(),
        value => panic!("{value:?}"),
    };
    let names: Vec<_> = spans.read(0..8).unwrap().iter().map(|span| name(span.resource)).collect();
    assert_eq!(names, ["shared", "shared", "shared", "r1", "shared", "r2", "shared", "r3"]);
    assert_eq!(spans.resources().len(), 4);
}

#[test]
fn reports_of_one_trace_stand_together_and_what_was_counted_adds_up() {
    let objects = Memory::default();
    let counted = some_aggregates();
    let of_part = |n: u64| {
        let mut batch = Batch::new(n);
        for (of, payload) in (0..3).flat_map(|of| [(of, n as u8), (of, 9)]) {
            let (trace, payload) = (span(of, 0).trace, vec![payload].into());
            batch.push_report(&ReportRow { trace, kind: 1, ingest_ns: n as i64, payload }).unwrap();
        }
        let (forced, parents, before) = (Forced::default(), &[], &[]);
        let id = PartId::new(10 * HOUR_MS + n, 0);
        let cut = Cut { id, writer: "w", commit: "c", before, forced: &forced, zstd_level: 1, parents };
        write_with_aggregates(&batch, &counted, &cut, &objects).unwrap()
    };
    let all = joined(&objects, &(0..4).map(of_part).collect::<Vec<_>>());
    let reports = Reports::new(open(&objects, &all, Table::Reports)).unwrap();
    assert_eq!(reports.file().n_rows(), 3 * 5);
    for of in 0..3 {
        let found: Vec<_> = reports.find(span(of, 0).trace).unwrap().iter().map(|report| report.payload[0]).collect();
        assert_eq!(found, [0, 9, 1, 2, 3], "as they came, the same once");
    }
    let (mut read, mut want) = (Aggregates::default(), Aggregates::default());
    let aggs = Aggs::new(open(&objects, &all, Table::Agg)).unwrap();
    let mut n_rows = 0;
    aggs.visit(0..aggs.file().n_rows(), &mut |row| {
        read.merge_row(row);
        n_rows += 1;
    })
    .unwrap();
    (0..4).for_each(|_| want.merge(&counted));
    read.settle();
    want.settle();
    assert!(read.rows().eq(want.rows()) && n_rows == want.rows().count(), "each key once");
}

#[test]
fn a_trace_that_was_made_again_is_as_it_was_made_last_with_its_slices() {
    let objects = Memory::default();
    let of_part = |n: u64, told: &[(u64, u64)]| {
        let mut batch = Batch::new(n);
        batch.push_resource(&[]).unwrap();
        for (of, id) in told {
            batch.push_span(&SpanRow { source: source::RECORDER, ..span(*of, *id) }).unwrap();
            let (trace, start_ns) = (span(*of, 0).trace, (of * 1000 + id) as i64);
            batch.push_slice(&SliceRow { trace, start_ns, ..SliceRow::default() }).unwrap();
        }
        let (forced, parents, before) = (Forced::default(), &[], &[]);
        let id = PartId::new(10 * HOUR_MS + n, 0);
        let cut = Cut { id, writer: "w", commit: "c", before, forced: &forced, zstd_level: 1, parents };
        write(&batch, &cut, &objects).unwrap()
    };
    let told: [&[(u64, u64)]; 4] = [&[(0, 1), (0, 2), (1, 1)], &[(2, 1)], &[(0, 2), (0, 3)], &[(2, 2)]];
    let parts: Vec<_> = (0..4).map(|n| of_part(n, told[n as usize])).collect();
    let all = joined(&objects, &parts);
    let spans = Spans::new(open(&objects, &all, Table::Spans)).unwrap();
    let starts: Vec<_> = spans.read(0..spans.file().n_rows()).unwrap().iter().map(|span| span.start_ns).collect();
    assert_eq!(starts, [2, 3, 1001, 2002]);
    let slices = Slices::new(open(&objects, &all, Table::Slices)).unwrap();
    let of_slices: Vec<_> =
        slices.read(0..slices.file().n_rows()).unwrap().iter().map(|slice| slice.start_ns).collect();
    assert_eq!(of_slices, starts);
}

#[test]
fn promotion_is_decided_over_all_rows() {
    let objects = Memory::default();
    let with = |part_idx: u64| {
        (0..100).map(move |n| {
            let mut attributes = vec![Attribute::new("always", Value::Str(format!("v{n}").into()))];
            // One key in few rows of one part; one with another type in the first part.
            let rare = (part_idx == 0 && n < 7).then(|| Attribute::new("rare", Value::Int(1)));
            let mixed = match part_idx {
                0 => Value::Str("x".into()),
                _ => Value::Int(2),
            };
            attributes.extend(rare);
            attributes.push(Attribute::new("mixed", mixed));
            SpanRow { attributes: attributes.into(), ..span(part_idx, n) }
        })
    };
    let parts: Vec<_> = (0..4).map(|n| part(&objects, n, with(n))).collect();
    assert_eq!(parts[0].promoted.len(), 3);
    let all = joined(&objects, &parts);
    let promoted = |key: &str, kind| Promoted { key: key.to_owned(), kind };
    assert_eq!(all.promoted, [promoted("always", Kind::Str), promoted("mixed", Kind::Int)], "7 of 400 are too few");
    let spans = Spans::new(open(&objects, &all, Table::Spans)).unwrap();
    assert!(spans.read(0..400).unwrap() == (0..4).flat_map(with).collect::<Vec<_>>());
}

#[test]
fn long_rows_are_read_fewer_at_a_time() {
    let objects = Memory::default();
    let long = |n: u64| format!("{n}{}", "x".repeat(64 << 10));
    let of_part = |part_idx: u64| {
        (0..300).map(move |n| {
            let text = Attribute::new("text", Value::Str(long(part_idx * 300 + n).into()));
            SpanRow { attributes: vec![text].into(), ..span(4 * n + part_idx, 0) }
        })
    };
    let parts: Vec<_> = (0..4).map(|n| part(&objects, n, of_part(n))).collect();
    let all = joined(&objects, &parts);
    let spans = Spans::new(open(&objects, &all, Table::Spans)).unwrap();
    for (row, n) in [(0, 0), (1, 300), (6, 601), (1199, 1199)] {
        let span = spans.read(row..row + 1).unwrap().pop().unwrap();
        assert!(span.attributes[0].value == Value::Str(long(n).into()), "row {row}");
    }
}

#[test]
fn a_trace_that_fits_no_memory_is_left_in_its_parts() {
    let objects = Memory::default();
    let n_rows = TRACE_ROWS_MAX / 4 + 1;
    let slices = |n: u64| {
        let mut batch = Batch::new(n);
        for row in 0..n_rows {
            let start_ns = (row * 4 + n) as i64;
            batch.push_slice(&SliceRow { trace: TraceId::new(1, 1), start_ns, ..SliceRow::default() }).unwrap();
        }
        let (forced, parents, before) = (Forced::default(), &[], &[]);
        let id = PartId::new(10 * HOUR_MS + n, 0);
        let cut = Cut { id, writer: "w", commit: "c", before, forced: &forced, zstd_level: 1, parents };
        write(&batch, &cut, &objects).unwrap()
    };
    let parts: Vec<_> = (0..4).map(slices).collect();
    let before = objects.paths();
    let error = join(&objects, &parts, &mut || ControlFlow::Continue(())).unwrap_err();
    assert_eq!(error.to_string(), "together they have more rows of one trace than one part may have");
    assert_eq!(objects.paths(), before);
}

#[test]
fn damage_is_named_and_not_written_again() {
    let objects = Memory::default();
    let parts: Vec<_> = (0..4).map(|n| part(&objects, n, (0..9).map(|row| span(n, row)))).collect();
    let path = parts[2].file(Table::Spans).unwrap().path.clone();
    objects.change(&path, |bytes| bytes[100] ^= 1);
    let before = objects.paths();
    let error = join(&objects, &parts, &mut || ControlFlow::Continue(())).unwrap_err();
    assert!(error.to_string().starts_with(&format!("{path} is not as it was written")), "{error}");
    assert_eq!(objects.paths(), before);
}

#[test]
fn wherever_it_is_stopped_nothing_is_left() {
    let objects = Memory::default();
    let parts: Vec<_> = (0..4).map(|n| part(&objects, n, (0..3000).map(|row| span(row, n)))).collect();
    let before = objects.paths();
    let mut n_asked = 0;
    let mut stop_at = |stop: usize| {
        let mut n = 0;
        let stopped = join(&objects, &parts, &mut || {
            n += 1;
            if n == stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        n_asked = n_asked.max(n);
        stopped
    };
    for stop in (1..200).step_by(2) {
        if stop_at(stop).is_ok() {
            break;
        }
        assert_eq!(objects.paths(), before, "stopped at {stop}");
    }
    assert!((40..199).contains(&n_asked), "asked {n_asked} times, some milliseconds apart");
}
