//! Claims about aggregates: whatever the order and the split, the rows are the same; nothing is lost; files hold them.

use super::{AggRow, AggTable, Aggregates, Arrival, Fact, HOUR_NS, Hour, LabelRef, Limits, Population, Window};
use crate::objects::testing::Memory;
use crate::part::read::File;
use crate::part::read::aggs::Aggs;
use crate::part::tests::{batch, cut_with};
use crate::rows::{Energy, Event, Joules, SpanRow};
use crate::schema::Table;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::SpanKind;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::borrow::Cow;

/// An hour in 2026.
pub(super) const HOUR: i64 = 495_240;
const START_NS: i64 = HOUR * HOUR_NS;

/// Bounds that a handful of spans passes.
fn narrow() -> Limits {
    Limits {
        ops_max: 4,
        events_max: 5,
        events_of_op_max: 2,
        edges_max: 2,
        paths_max: 6,
        paths_of_root_max: 3,
        processes_max: 2,
        ..Limits::default()
    }
}

fn name(of: &'static [&'static str]) -> impl Strategy<Value = Cow<'static, str>> {
    prop::sample::select(of).prop_map(Cow::Borrowed)
}

fn events() -> impl Strategy<Value = Vec<Event<'static>>> {
    let names = name(&["hit", "miss", "retry 1", "retry 2", "took 5ms", "exception", "\"a\" gone", ""]);
    let event = names.prop_map(|name| Event { name, ..Event::default() });
    prop_oneof![1 => Just(Vec::new()), 2 => vec(event, 0..5)]
}

/// Spans of few labels and processes, in three hours and far from them, the longest over an hour.
fn span() -> impl Strategy<Value = SpanRow<'static>> {
    let start = prop_oneof![
        8 => -HOUR_NS..2 * HOUR_NS,
        2 => (HOUR_NS - 3_000_000_000)..HOUR_NS,
        1 => prop::sample::select(vec![-START_NS, 1_000_000 - START_NS, i64::MAX - START_NS]),
    ];
    let duration = prop_oneof![
        0..5_000_000_i64,
        0..3_000_000_000_i64,
        60_000_000_000..70_000_000_000_i64,
        Just(2 * HOUR_NS),
        Just(-5_i64)
    ];
    let label = (name(&["shop", "pay", "shop 7"]), name(&["GET /", "put", "GET /81"]), 2..4_i8);
    let rest = (name(&["p1", "p2", "p3", "p4"]), 0..3_i8, events(), prop::option::weighted(0.2, -9..9_i64));
    (start, duration, label, rest).prop_map(|(start, duration_ns, label, rest)| SpanRow {
        start_ns: START_NS.saturating_add(start),
        duration_ns,
        service: label.0,
        operation: label.1,
        kind: label.2,
        process: rest.0.clone(),
        host: rest.0,
        status: rest.1,
        events: rest.2.into(),
        energy: rest
            .3
            .map(|nj| Energy { components: [Joules { nj, low: nj - 1, high: nj + 1 }; 6], ..Energy::default() }),
        ..SpanRow::default()
    })
}

/// What aggregates are fed with.
#[derive(Clone, Debug)]
enum Fed {
    Span(Box<SpanRow<'static>>, Arrival),
    Trace(Vec<SpanRow<'static>>, Arrival),
}

impl Fed {
    fn feed(&self, aggregates: &mut Aggregates) {
        match self {
            Self::Span(span, arrival) => aggregates.add_span(span, *arrival),
            Self::Trace(spans, arrival) => aggregates.add_rows(spans, *arrival),
        }
    }
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let population = prop_oneof![3 => Just(Population::Ordinary), 1 => Just(Population::Triggered)];
    population.prop_map(|population| Arrival { population, ingest_ns: START_NS + HOUR_NS })
}

/// Traces of up to seven spans; some name a parent that is not there, or themselves.
pub(super) fn trace() -> impl Strategy<Value = Vec<SpanRow<'static>>> {
    let shape = (span(), 0..9_u64, 0..1_000_000_i64, 1..2_000_000_i64);
    (vec(shape, 1..8), -HOUR_NS..HOUR_NS).prop_map(|(shapes, start)| {
        let spans = (1_u64..).zip(shapes).map(|(id, (span, parent, offset, duration_ns))| SpanRow {
            trace: TraceId::new(1, 1),
            id: SpanId(id),
            parent: (id > 1 && parent > 0).then_some(SpanId(parent)),
            start_ns: START_NS + start + offset,
            duration_ns,
            ..span
        });
        spans.collect()
    })
}

fn fed() -> impl Strategy<Value = Fed> {
    prop_oneof![
        (span(), arrival()).prop_map(|(span, arrival)| Fed::Span(Box::new(span), arrival)),
        (trace(), arrival()).prop_map(|(spans, arrival)| Fed::Trace(spans, arrival)),
    ]
}

fn fed_with<'a>(limits: Limits, all: impl IntoIterator<Item = &'a Fed>) -> Aggregates {
    let mut aggregates = Aggregates::new(limits);
    all.into_iter().for_each(|fed| fed.feed(&mut aggregates));
    aggregates
}

fn rows(aggregates: &mut Aggregates) -> Vec<AggRow<'_>> {
    aggregates.settle();
    aggregates.rows().collect()
}

/// Returns aggregates with something in every table, twice the bounds of some.
pub(crate) fn some_aggregates() -> Aggregates {
    let mut runner = TestRunner::deterministic();
    let all: Vec<Fed> = (0..60).map(|_| fed().new_tree(&mut runner).unwrap().current()).collect();
    fed_with(Limits { processes_max: 3, ..Limits::default() }, &all).take()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// For all that is fed, all orders, all ways to spread it over aggregates, and all orders in which those are merged, some of them settled before: the
    /// rows are those of one that was fed with all, also where keys are so many that most are other.
    #[test]
    fn merging_is_independent_of_order(
        all in vec((fed(), any::<u64>(), 0..5_usize), 0..60),
        is_narrow: bool,
        is_settled: [bool; 5],
        merges in vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()), 4),
    ) {
        let limits = if is_narrow { narrow() } else { Limits::default() };
        let mut whole = fed_with(limits, all.iter().map(|(fed, ..)| fed));
        let mut shuffled = all.clone();
        shuffled.sort_by_key(|(_, order, _)| *order);
        let of = |shard: usize| shuffled.iter().filter(move |(.., of)| *of == shard).map(|(fed, ..)| fed);
        let mut shards: Vec<Aggregates> = (0..5).map(|shard| fed_with(limits, of(shard))).collect();
        for (shard, is_settled) in shards.iter_mut().zip(is_settled) {
            if is_settled {
                *shard = shard.take();
            }
        }
        for (from, into, is_taken) in merges {
            let from = shards.swap_remove(from.index(shards.len()));
            let idx = into.index(shards.len());
            shards[idx].merge(&from);
            if is_taken {
                shards[idx] = shards[idx].take();
            }
        }
        prop_assert_eq!(shards.len(), 1);
        prop_assert_eq!(rows(&mut shards[0]), rows(&mut whole));
    }

    /// For all that is fed and all bounds: what keys have and what is other sum to all that came.
    #[test]
    fn nothing_is_lost_to_bounds(all in vec(fed(), 0..60), is_narrow: bool, has_memory: bool) {
        let memory_bytes = if has_memory { usize::MAX } else { 0 };
        let limits = Limits { memory_bytes, ..if is_narrow { narrow() } else { Limits::default() } };
        let mut aggregates = fed_with(limits, &all);
        let spans = || all.iter().filter_map(|fed| if let Fed::Span(span, _) = fed { Some(span) } else { None });
        let traces = || all.iter().filter_map(|fed| if let Fed::Trace(spans, _) = fed { Some(spans) } else { None });
        let mut sums = [0_u128; 8];
        for row in rows(&mut aggregates) {
            match row.fact {
                Fact::Op(_, op) => {
                    let more = [op.n.into(), op.n_errors.into(), op.sum_ns, op.selfs.count().into()];
                    sums.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
                }
                Fact::Event(_, event) => sums[4] += u128::from(event.n),
                Fact::Root(_, root) => {
                    sums[5] += u128::from(root.n_traces);
                    sums[6] += u128::from(root.n_spans);
                }
                Fact::Process(_, process) => sums[7] += u128::from(process.n_tasks),
                _ => {}
            }
        }
        let n_of_traces: u128 = traces().map(|spans| spans.len() as u128).sum();
        let durations = spans().map(|span| u128::from(span.duration_ns.max(0).cast_unsigned()));
        prop_assert_eq!(sums[..5].to_vec(), vec![
            spans().count() as u128,
            spans().filter(|span| span.status == 2).count() as u128,
            durations.sum::<u128>(),
            n_of_traces,
            spans().map(|span| span.events.len() as u128).sum(),
        ]);
        prop_assert_eq!((sums[5], sums[7]), (traces().count() as u128, spans().count() as u128));
        // A trace of several roots is given one.
        prop_assert!((n_of_traces..=n_of_traces + sums[5]).contains(&sums[6]));
    }

    /// For all that is fed: no table keeps more keys than its bound, however it is fed.
    #[test]
    fn bounds_hold(all in vec(fed(), 0..60)) {
        let mut aggregates = fed_with(narrow(), &all);
        let rows = rows(&mut aggregates);
        let limits = narrow();
        for slot in rows.iter().map(|row| row.slot) {
            let n = |table| {
                let has_key = |fact: &Fact<'_>| !matches!(fact, Fact::Op(None, _) | Fact::Event(None, _) | Fact::Edge(None, _) | Fact::Process(None, _));
                rows.iter().filter(|row| row.slot == slot && row.fact.table() == table && has_key(&row.fact)).count()
            };
            prop_assert!(n(AggTable::Ops) <= limits.ops_max && n(AggTable::Events) <= limits.events_max);
            prop_assert!(n(AggTable::Edges) <= limits.edges_max && n(AggTable::Paths) <= limits.paths_max);
            prop_assert!(n(AggTable::Processes) <= limits.processes_max);
        }
    }

    /// For all that is fed and any labels: the rows of a window are those that it wants of all rows.
    #[test]
    fn a_window_is_found_without_looking_at_the_rest(
        all in vec(fed(), 0..40),
        label in (name(&["shop", "pay"]), name(&["GET /", "put"])),
        hours in (0..4_i64, 0..4_i64),
        is_far: bool,
    ) {
        let mut aggregates = fed_with(Limits::default(), &all);
        aggregates.settle();
        let (from_ns, to_ns) = (START_NS + (hours.0 - 2) * HOUR_NS, START_NS + (hours.1 - 1) * HOUR_NS);
        let of_label = LabelRef::new(&label.0, &label.1, SpanKind::Server);
        let window = match is_far {
            true => Window::far(Population::Ordinary),
            false => Window::new(Population::Ordinary, from_ns, to_ns),
        };
        let window = window
            .with_label(of_label)
            .with_root(LabelRef::new(&label.0, &label.1, SpanKind::Client))
            .with_process("p1", HOUR * 3_600_000 - 500..HOUR * 3_600_000 + 3000);
        let sorted = |rows: Vec<AggRow<'_>>| -> Vec<String> {
            let mut texts: Vec<_> = rows.iter().map(|row| format!("{row:?}")).collect();
            texts.sort();
            texts
        };
        let wanted = aggregates.rows().filter(|row| window.wants(row)).collect();
        prop_assert_eq!(sorted(aggregates.rows_of(&window).collect()), sorted(wanted));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// For all that is fed: what is written is read back, row by row, and can be merged.
    #[test]
    fn files_hold_aggregates(all in vec(fed(), 1..40)) {
        let mut aggregates = fed_with(Limits::default(), &all);
        aggregates.settle();
        let objects = Memory::default();
        let part = cut_with(&batch(), &aggregates, &[], &objects);
        let file = Aggs::new(File::open(&objects, part.file(Table::Agg).unwrap()).unwrap()).unwrap();
        let mut read = Aggregates::default();
        let mut tables = Vec::new();
        file.visit(0..file.file().n_rows(), &mut |row| {
            tables.push((row.fact.table(), row.slot));
            read.merge_row(row);
        }).unwrap();
        prop_assert!(tables.is_sorted());
        prop_assert_eq!(rows(&mut read), aggregates.rows().collect::<Vec<_>>());
    }
}

fn span_at(start_ns: i64) -> SpanRow<'static> {
    SpanRow { start_ns, duration_ns: 1000, service: "s".into(), operation: "o".into(), kind: 2, ..SpanRow::default() }
}

#[test]
fn hours_populations_and_what_is_far_are_kept_apart() {
    let mut aggregates = Aggregates::default();
    let arrival = |population| Arrival { population, ingest_ns: START_NS };
    for start_ns in [START_NS, START_NS - 1, START_NS - 25 * HOUR_NS, 0, START_NS + 2 * HOUR_NS, i64::MAX] {
        aggregates.add_span(&span_at(start_ns), arrival(Population::Ordinary));
    }
    aggregates.add_span(&span_at(START_NS), arrival(Population::Triggered));
    let mut counts: Vec<_> = Vec::new();
    for row in rows(&mut aggregates) {
        if let Fact::Op(Some(_), op) = row.fact {
            counts.push((row.slot.hour, row.slot.population, op.n));
        }
    }
    let want = [
        (Hour::At(HOUR - 1), Population::Ordinary, 1),
        (Hour::At(HOUR), Population::Ordinary, 1),
        (Hour::At(HOUR), Population::Triggered, 1),
        (Hour::Far, Population::Ordinary, 4),
    ];
    assert_eq!(counts, want);
}

#[test]
fn a_table_full_of_ids_keeps_the_names_without() {
    let mut aggregates = Aggregates::new(Limits { ops_max: 50, ..Limits::default() });
    let arrival = Arrival { population: Population::Ordinary, ingest_ns: START_NS };
    for n in 0..2000 {
        let operation = format!("GET /user/{n:06}");
        aggregates.add_span(&SpanRow { operation: operation.into(), ..span_at(START_NS) }, arrival);
    }
    for n in 0..40 {
        let operation = format!("GET /{}", ["a", "b", "c", "d"][n % 4].repeat(n / 4 + 1));
        aggregates.add_span(&SpanRow { operation: operation.into(), ..span_at(START_NS) }, arrival);
    }
    let is_named =
        |row: &AggRow<'_>| matches!(&row.fact, Fact::Op(Some(label), _) if !label.operation.contains("user"));
    assert_eq!(rows(&mut aggregates).into_iter().filter(is_named).count(), 40);
    assert_eq!(aggregates.sizes()[0].n_keys, 50);
    assert_eq!(aggregates.sizes()[0].n_other, 2000 + 40 - 50);
}

#[test]
fn memory_that_is_used_up_is_said_and_a_cut_frees_it() {
    let mut aggregates = Aggregates::new(Limits { memory_bytes: 200_000, ..Limits::default() });
    let arrival = Arrival { population: Population::Ordinary, ingest_ns: START_NS };
    for n in 0..5000 {
        let operation: String = format!("{n:04}").chars().map(|digit| (b'a' + digit as u8 - b'0') as char).collect();
        aggregates.add_span(&SpanRow { operation: operation.into(), ..span_at(START_NS) }, arrival);
    }
    assert!(aggregates.is_full() && aggregates.memory_bytes() < 500_000);
    assert!(aggregates.sizes()[0].n_other > 3000);
    let taken = aggregates.take();
    assert!(aggregates.is_empty() && !aggregates.is_full() && !taken.is_empty());
    aggregates.add_span(&span_at(START_NS), arrival);
    assert_eq!(aggregates.sizes()[0].n_other, 0);
}

#[test]
fn pages_without_a_row_of_a_window_are_passed_over() {
    let mut aggregates = Aggregates::new(Limits { processes_max: 1000, ..Limits::default() });
    let arrival = Arrival { population: Population::Ordinary, ingest_ns: START_NS };
    for n in 0..18_000 {
        let (service, process) = (format!("s{n:05}").into(), format!("p{:05}", n % 1001).into());
        let mut root = SpanRow { id: SpanId(1), service, process, ..span_at(START_NS + n * 100_000) };
        root.events = vec![Event { name: "p00700".into(), ..Event::default() }].into();
        let child = SpanRow { id: SpanId(2), parent: Some(SpanId(1)), ..root.clone() };
        aggregates.add_span(&root, arrival);
        aggregates.add_rows(&[root, child], arrival);
    }
    let aggregates = aggregates.take();
    let objects = Memory::default();
    let part = cut_with(&batch(), &aggregates, &[], &objects);
    let file = Aggs::new(File::open(&objects, part.file(Table::Agg).unwrap()).unwrap()).unwrap();
    let from_ms = START_NS / 1_000_000;
    let label = LabelRef::new("s05000", "o", SpanKind::Server);
    let window = Window::new(Population::Ordinary, START_NS, START_NS).with_label(label).with_root(label);
    let window = window.with_process("p00700", from_ms..from_ms + 10_000);
    let mut found = Vec::new();
    file.visit_window(&window, &mut |row| found.push(format!("{row:?}"))).unwrap();
    let mut wanted: Vec<_> = aggregates.rows().filter(|row| window.wants(row)).map(|row| format!("{row:?}")).collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    assert!(found.iter().any(|row| row.contains("Second(")) && found.iter().any(|row| row.contains("Path(")));
    let n_read: u64 = file.candidates(&window).iter().map(|rows| rows.end - rows.start).sum();
    let n_rows = file.file().n_rows();
    assert!(n_read * 2 < n_rows && n_rows > 90_000, "{n_read} of {n_rows}");
}
