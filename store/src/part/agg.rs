//! The columns of `agg`: rows of aggregates laid flat.
//!
//! Called by `write`, run after run. What each column holds for each table stands in `docs/spec/parts.md` section 11.

use super::ArrowResult;
use super::columns::{Ends, optional_structs, optional_texts, texts};
use crate::agg::{
    AggRow, Aggregates, EnergySums, Fact, HOUR_NS, Hour, LabelRef, Population, RowPlace, put_diffs, put_intervals,
};
use crate::rows::{ENERGY_COMPONENTS, Joules};
use crate::schema;
use arrow_array::builder::BinaryBuilder;
use arrow_array::{
    ArrayRef, BooleanArray, Decimal128Array, Int8Array, Int64Array, RecordBatch, StructArray, TimestampNanosecondArray,
};
use backsight_core::sketch::Sketch;
use std::borrow::Cow;
use std::sync::Arc;

/// Nanoseconds of a second.
pub(super) const SECOND_NS: i64 = 1_000_000_000;

/// Returns the number of a population in its column.
const fn population_code(population: Population) -> i8 {
    match population {
        Population::Ordinary => 1,
        Population::Triggered => 2,
    }
}

/// Returns the population with number `code`.
pub(super) fn population_of_code(code: i8) -> Option<Population> {
    Population::ALL.into_iter().find(|population| population_code(*population) == code)
}

/// Returns the number of a label's kind in its column; 0 is the root that a trace of several roots is given.
fn kind_code(label: &LabelRef<'_>) -> i8 {
    label.kind.map_or(0, |kind| kind as i8)
}

/// A row as its columns have it.
#[derive(Default)]
struct Flat<'a> {
    label: Option<LabelRef<'a>>,
    below: Vec<LabelRef<'a>>,
    text: Option<Cow<'a, str>>,
    is_sync: Option<bool>,
    second: Option<i64>,
    n: u64,
    n_having: u64,
    n_errors: u64,
    sum_ns: u128,
    peak: Option<u64>,
    sketch: Option<Cow<'a, Sketch>>,
    selfs: Option<Cow<'a, Sketch>>,
    list: Option<Vec<u8>>,
    energy: Option<Box<EnergySums>>,
}

/// Returns a part of sums, lent where they are.
fn part<'a, S: Clone, P: Clone>(sums: &Cow<'a, S>, of: impl Fn(&S) -> &P) -> Cow<'a, P> {
    match sums {
        Cow::Borrowed(sums) => Cow::Borrowed(of(sums)),
        Cow::Owned(sums) => Cow::Owned(of(sums).clone()),
    }
}

impl<'a> Flat<'a> {
    fn of(fact: Fact<'a>) -> Self {
        match fact {
            Fact::Op(label, sums) => Self {
                label,
                n: sums.n,
                n_errors: sums.n_errors,
                sum_ns: sums.sum_ns,
                energy: sums.energy.clone(),
                sketch: Some(part(&sums, |sums| &sums.durations)),
                selfs: Some(part(&sums, |sums| &sums.selfs)),
                ..Self::default()
            },
            Fact::Event(event, sums) => {
                let (label, text) = event.map(|event| (event.label, event.key)).unzip();
                Self { label, text, n: sums.n, n_having: sums.n_tasks, ..Self::default() }
            }
            Fact::Edge(edge, sums) => Self {
                label: edge.map(|edge| edge.parent),
                below: edge.iter().map(|edge| edge.child).collect(),
                is_sync: edge.map(|edge| edge.is_sync),
                n: sums.n,
                n_having: sums.n_parents,
                ..Self::default()
            },
            Fact::Root(label, sums) => {
                let (n, n_having, sum_ns) = (sums.n_spans, sums.n_traces, sums.sum_ns);
                Self { label, n, n_having, sum_ns, ..Self::default() }
            }
            Fact::Path(labels, sums) => Self {
                label: labels.first().copied(),
                below: labels.get(1..).unwrap_or_default().to_vec(),
                n: sums.n_spans,
                n_having: sums.n_traces,
                sum_ns: sums.sum_ns,
                selfs: Some(part(&sums, |sums| &sums.selfs)),
                ..Self::default()
            },
            Fact::Process(name, sums) => {
                let mut list = Vec::new();
                put_intervals(&mut list, &sums.intervals);
                let (text, n, n_having) = (name.map(Cow::Borrowed), sums.n_tasks, sums.n_intervals_other);
                Self { text, n, n_having, list: Some(list), ..Self::default() }
            }
            Fact::Second(name, second, sums) => {
                let mut list = Vec::new();
                put_diffs(&mut list, &sums.diffs);
                let (text, second) = (Some(Cow::Borrowed(name)), Some(second));
                let (n, peak) = (sums.carry_in, Some(sums.peak()));
                Self { text, second, n, peak, list: Some(list), ..Self::default() }
            }
        }
    }
}

/// Returns the columns of the rows at `places`.
pub(super) fn columns(aggregates: &Aggregates, places: &[RowPlace]) -> ArrowResult<RecordBatch> {
    let rows: Vec<AggRow<'_>> = places.iter().filter_map(|place| aggregates.row(*place)).collect();
    let tables = Int8Array::from_iter_values(rows.iter().map(|row| row.fact.table() as i8));
    let hours: TimestampNanosecondArray = rows.iter().map(|row| hour_ns(row.slot.hour)).collect();
    let populations = Int8Array::from_iter_values(rows.iter().map(|row| population_code(row.slot.population)));
    let rows: Vec<Flat<'_>> = rows.into_iter().map(|row| Flat::of(row.fact)).collect();
    let seconds: TimestampNanosecondArray =
        rows.iter().map(|row| row.second.map(|second| second.saturating_mul(SECOND_NS))).collect();
    let count = |count: fn(&Flat<'_>) -> u64| {
        let counts = rows.iter().map(|row| i64::try_from(count(row)).unwrap_or(i64::MAX));
        Arc::new(Int64Array::from_iter_values(counts)) as ArrayRef
    };
    let peaks = rows.iter().map(|row| row.peak.map(|peak| i64::try_from(peak).unwrap_or(i64::MAX)));
    // Sums stay below 10^38.
    let sums = Decimal128Array::from_iter_values(rows.iter().map(|row| row.sum_ns.cast_signed()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(tables),
        Arc::new(hours.with_timezone("UTC")),
        Arc::new(populations),
        optional_texts(rows.iter().map(|row| row.label.map(|label| label.service))),
        optional_texts(rows.iter().map(|row| row.label.map(|label| label.operation))),
        Arc::new(Int8Array::from_iter(rows.iter().map(|row| row.label.as_ref().map(kind_code)))),
        below(&rows)?,
        optional_texts(rows.iter().map(|row| row.text.as_deref())),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.is_sync))),
        Arc::new(seconds.with_timezone("UTC")),
        count(|row| row.n),
        count(|row| row.n_having),
        count(|row| row.n_errors),
        Arc::new(sums.with_precision_and_scale(schema::SUM_DIGITS, 0)?),
        Arc::new(Int64Array::from_iter(peaks)),
        sketches(rows.iter().map(|row| row.sketch.as_deref())),
        sketches(rows.iter().map(|row| row.selfs.as_deref())),
        lists(rows.iter().map(|row| row.list.as_deref())),
        energies(&rows)?,
    ];
    RecordBatch::try_new(schema::agg(), columns)
}

fn hour_ns(hour: Hour) -> Option<i64> {
    match hour {
        Hour::At(hour) => Some(hour.saturating_mul(HOUR_NS)),
        Hour::Far => None,
    }
}

fn below(rows: &[Flat<'_>]) -> ArrowResult<ArrayRef> {
    let mut ends = Ends::new();
    let mut labels: Vec<LabelRef<'_>> = Vec::new();
    for row in rows {
        labels.extend_from_slice(&row.below);
        ends.push(labels.len());
    }
    let columns: Vec<ArrayRef> = vec![
        texts(labels.iter().map(|label| label.service)),
        texts(labels.iter().map(|label| label.operation)),
        Arc::new(Int8Array::from_iter_values(labels.iter().map(kind_code))),
    ];
    ends.structs(schema::label_fields(), columns, None)
}

fn sketches<'a>(sketches: impl Iterator<Item = Option<&'a Sketch>>) -> ArrayRef {
    let (mut column, mut bytes) = (BinaryBuilder::new(), Vec::new());
    for sketch in sketches {
        bytes.clear();
        let encoded = sketch.map(|sketch| {
            sketch.encode(&mut bytes);
            bytes.as_slice()
        });
        column.append_option(encoded);
    }
    Arc::new(column.finish())
}

fn lists<'a>(lists: impl Iterator<Item = Option<&'a [u8]>>) -> ArrayRef {
    let mut column = BinaryBuilder::new();
    lists.for_each(|list| column.append_option(list));
    Arc::new(column.finish())
}

fn energies(rows: &[Flat<'_>]) -> ArrowResult<ArrayRef> {
    let is_there = rows.iter().map(|row| row.energy.is_some()).collect();
    optional_structs(schema::energy_sum_fields(), is_there, || {
        let component = |idx: usize| {
            let column = |amount: fn(&Joules) -> i64| {
                let amounts = rows.iter().map(|row| row.energy.as_ref().map_or(0, |sums| amount(&sums[idx])));
                Arc::new(Int64Array::from_iter_values(amounts)) as ArrayRef
            };
            let amounts = vec![column(|joules| joules.nj), column(|joules| joules.low), column(|joules| joules.high)];
            Ok(Arc::new(StructArray::try_new(schema::joules_fields(), amounts, None)?) as ArrayRef)
        };
        (0..ENERGY_COMPONENTS.len()).map(component).collect()
    })
}
