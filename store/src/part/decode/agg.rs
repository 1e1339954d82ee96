//! Rows of `agg` from columns, one after the other: a sketch takes up to a hundred times as much memory as its bytes.
//!
//! Called by `read`.

use super::nested::{Columns, items, structs};
use crate::agg::{
    AggRow, AggTable, COUNT_MAX, EdgeOf, EdgeSums, EnergySums, EventOf, EventSums, Fact, HOUR_NS, Hour, LabelRef,
    OpSums, PathSums, ProcessSums, RootSums, SUM_MAX, SecondSums, Slot, diffs, intervals,
};
use crate::part::agg::{SECOND_NS, population_of_code};
use crate::rows::{ENERGY_COMPONENTS, Joules};
use crate::schema::SUM_DIGITS;
use arrow_array::{
    Array, BinaryArray, BooleanArray, Decimal128Array, Int8Array, Int64Array, ListArray, RecordBatch, StringArray,
    StructArray, TimestampNanosecondArray,
};
use arrow_schema::DataType;
use backsight_core::columns::PATH_DEPTH_NORMAL;
use backsight_core::record::SpanKind;
use backsight_core::sketch::Sketch;
use std::borrow::Cow;

/// The columns of some rows.
struct Rows<'a> {
    table: &'a Int8Array,
    hour: &'a TimestampNanosecondArray,
    population: &'a Int8Array,
    label: Labels<'a>,
    below: Labels<'a>,
    below_ends: &'a [i32],
    text: &'a StringArray,
    sync: &'a BooleanArray,
    second: &'a TimestampNanosecondArray,
    n: &'a Int64Array,
    n_having: &'a Int64Array,
    n_errors: &'a Int64Array,
    sum_ns: &'a Decimal128Array,
    sketch: &'a BinaryArray,
    self_sketch: &'a BinaryArray,
    list: &'a BinaryArray,
    energy: &'a StructArray,
    joules: Vec<[&'a Int64Array; 3]>,
}

/// Columns of labels.
struct Labels<'a> {
    service: &'a StringArray,
    operation: &'a StringArray,
    kind: &'a Int8Array,
}

impl<'a> Labels<'a> {
    fn new(columns: &'a impl Columns) -> Result<Self, String> {
        let (service, operation) = (columns.required("service")?, columns.required("operation")?);
        Ok(Self { service, operation, kind: columns.required("kind")? })
    }

    /// Returns the label of a row, `None` where it has none.
    fn get(&self, row: usize) -> Result<Option<LabelRef<'a>>, String> {
        if self.service.is_null(row) {
            return Ok(None);
        }
        if self.operation.is_null(row) || self.kind.is_null(row) {
            return Err("a label lacks its operation or kind".to_owned());
        }
        let (service, operation) = (self.service.value(row), self.operation.value(row));
        match self.kind.value(row) {
            0 => Ok(Some(LabelRef::SYNTHETIC)),
            code @ 1..=5 => Ok(Some(LabelRef::new(service, operation, SpanKind::from_code(code.cast_unsigned())))),
            code => Err(format!("there is no kind {code}")),
        }
    }
}

/// Shows the rows of `batch`; those of tables that a later version has are passed over.
pub(in crate::part) fn agg(batch: &RecordBatch, see: &mut dyn FnMut(&AggRow<'_>)) -> Result<(), String> {
    let rows = Rows::new(batch)?;
    for row in 0..batch.num_rows() {
        if let Some(table) = AggTable::of_code(rows.table.value(row)) {
            see(&AggRow { slot: rows.slot(row)?, fact: rows.fact(row, table)? });
        }
    }
    Ok(())
}

impl<'a> Rows<'a> {
    fn new(batch: &'a RecordBatch) -> Result<Self, String> {
        let below: &ListArray = batch.required("below")?;
        let energy: &StructArray = batch.required("energy")?;
        let sum_ns: &Decimal128Array = batch.required("sum_ns")?;
        if *sum_ns.data_type() != DataType::Decimal128(SUM_DIGITS, 0) {
            return Err(format!("column sum_ns has type {}", sum_ns.data_type()));
        }
        let mut joules = Vec::with_capacity(ENERGY_COMPONENTS.len());
        for name in ENERGY_COMPONENTS {
            let amounts: &StructArray = energy.required(name)?;
            joules.push([amounts.required("nj")?, amounts.required("low")?, amounts.required("high")?]);
        }
        Ok(Self {
            table: batch.required("table")?,
            hour: batch.required("hour")?,
            population: batch.required("population")?,
            label: Labels::new(batch)?,
            below: Labels::new(structs(below)?)?,
            below_ends: below.value_offsets(),
            text: batch.required("text")?,
            sync: batch.required("sync")?,
            second: batch.required("second")?,
            n: batch.required("n")?,
            n_having: batch.required("n_having")?,
            n_errors: batch.required("n_errors")?,
            sum_ns,
            sketch: batch.required("sketch")?,
            self_sketch: batch.required("self_sketch")?,
            list: batch.required("list")?,
            energy,
            joules,
        })
    }

    fn slot(&self, row: usize) -> Result<Slot, String> {
        let code = self.population.value(row);
        let population = population_of_code(code).ok_or_else(|| format!("there is no population {code}"))?;
        let hour = match self.hour.is_valid(row).then(|| self.hour.value(row)) {
            None => Hour::Far,
            Some(time_ns) if time_ns.rem_euclid(HOUR_NS) == 0 => Hour::of(time_ns),
            Some(time_ns) => return Err(format!("an hour begins at {time_ns} ns")),
        };
        Ok(Slot { hour, population })
    }

    fn fact(&self, row: usize, table: AggTable) -> Result<Fact<'a>, String> {
        let label = self.label.get(row)?;
        let (n, n_having) = (count(self.n, row)?, count(self.n_having, row)?);
        Ok(match table {
            AggTable::Ops => Fact::Op(label, Cow::Owned(self.op(row, n)?)),
            AggTable::Events => {
                let key = label.zip(self.text(row)).map(|(label, key)| EventOf { label, key: Cow::Borrowed(key) });
                Fact::Event(key, EventSums { n_tasks: n_having, n })
            }
            AggTable::Edges => {
                let edge = label.map(|parent| self.edge(row, parent)).transpose()?;
                Fact::Edge(edge, EdgeSums { n_parents: n_having, n })
            }
            AggTable::Roots => Fact::Root(label, RootSums { n_traces: n_having, n_spans: n, sum_ns: self.sum(row)? }),
            AggTable::Paths => {
                let mut labels = vec![label.ok_or("a path has no root")?];
                labels.extend(self.below(row)?);
                let (sum_ns, selfs) = (self.sum(row)?, sketch(self.self_sketch, row)?);
                let sums = PathSums { n_traces: n_having, n_spans: n, sum_ns, selfs };
                Fact::Path(Cow::Owned(labels), Cow::Owned(sums))
            }
            AggTable::Processes => {
                let intervals = intervals(list(self.list, row)?).map_err(|error| error.to_string())?;
                let sums = ProcessSums { n_tasks: n, intervals, n_intervals_other: n_having };
                Fact::Process(self.text(row), Cow::Owned(sums))
            }
            AggTable::Seconds => {
                let diffs = diffs(list(self.list, row)?).map_err(|error| error.to_string())?;
                let sums = SecondSums { carry_in: n, diffs };
                Fact::Second(self.text(row).ok_or("a second has no process")?, self.second(row)?, Cow::Owned(sums))
            }
        })
    }

    fn op(&self, row: usize, n: u64) -> Result<OpSums, String> {
        let energy = self.energy.is_valid(row).then(|| {
            let mut sums = Box::<EnergySums>::default();
            for (sum, [nj, low, high]) in sums.iter_mut().zip(&self.joules) {
                *sum = Joules { nj: nj.value(row), low: low.value(row), high: high.value(row) };
            }
            sums
        });
        Ok(OpSums {
            n,
            n_errors: count(self.n_errors, row)?,
            sum_ns: self.sum(row)?,
            durations: sketch(self.sketch, row)?,
            selfs: sketch(self.self_sketch, row)?,
            energy,
        })
    }

    fn edge(&self, row: usize, parent: LabelRef<'a>) -> Result<EdgeOf<'a>, String> {
        let below = self.below(row)?;
        let &[child] = below.as_slice() else { return Err("an edge has no child, or several".to_owned()) };
        if self.sync.is_null(row) {
            return Err("an edge says not whether it is waited for".to_owned());
        }
        Ok(EdgeOf { parent, child, is_sync: self.sync.value(row) })
    }

    fn below(&self, row: usize) -> Result<Vec<LabelRef<'a>>, String> {
        let places = items(self.below_ends, row);
        if places.len() >= PATH_DEPTH_NORMAL as usize {
            return Err(format!("a path has {} labels below its root", places.len()));
        }
        let label = |place| self.below.get(place)?.ok_or_else(|| "a label is missing in a path".to_owned());
        places.map(label).collect()
    }

    fn text(&self, row: usize) -> Option<&'a str> {
        self.text.is_valid(row).then(|| self.text.value(row))
    }

    fn second(&self, row: usize) -> Result<i64, String> {
        let time_ns = self.second.value(row);
        if self.second.is_null(row) || time_ns.rem_euclid(SECOND_NS) != 0 {
            return Err(format!("a second begins at {time_ns} ns"));
        }
        Ok(time_ns.div_euclid(SECOND_NS))
    }

    fn sum(&self, row: usize) -> Result<u128, String> {
        let sum = u128::try_from(self.sum_ns.value(row)).ok().filter(|sum| *sum <= SUM_MAX);
        sum.ok_or_else(|| format!("there is no sum of {} ns", self.sum_ns.value(row)))
    }
}

fn count(counts: &Int64Array, row: usize) -> Result<u64, String> {
    let count = u64::try_from(counts.value(row)).ok().filter(|count| *count <= COUNT_MAX);
    count.ok_or_else(|| format!("there is no count of {}", counts.value(row)))
}

fn sketch(sketches: &BinaryArray, row: usize) -> Result<Sketch, String> {
    if sketches.is_null(row) {
        return Err("a sketch is missing".to_owned());
    }
    Sketch::decode(sketches.value(row)).map_err(|error| error.to_string())
}

fn list(lists: &BinaryArray, row: usize) -> Result<&[u8], String> {
    if lists.is_valid(row) { Ok(lists.value(row)) } else { Err("a list is missing".to_owned()) }
}
