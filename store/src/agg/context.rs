//! One trace in the context of all others: what a page shows beside it, and what a comparison with normal needs.
//!
//! Called by queries with the rows of memory and of files. What it costs depends on the labels of the trace and the hours of the window, not on how many
//! traces were counted.

use super::Limits;
use super::labels::LabelRef;
use super::row::AggRow;
use super::slot::{Hour, Population, Slot};
use super::sums::{EdgeSums, OpSums};
use super::tables::Tables;
use super::window::Window;
use backsight_core::columns::{LabelId, Labels, PathId, Paths};
use backsight_core::compare::{Normal, NormalTooLarge};
use backsight_core::sketch::Histogram;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// The rows that a window asked for, united over its hours.
#[derive(Clone, Debug)]
pub struct View<'w> {
    window: &'w Window<'w>,
    tables: Tables,
}

/// A value among all of its label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    /// It.
    pub value_ns: u64,
    /// The share of values below it and of half of those like it, in hundredths of a percent. Of fewer than 30 values it says little.
    pub percentile: Option<u16>,
    /// The bin of the histogram that it falls into, `None` beyond either end.
    pub bin: Option<usize>,
}

/// All spans of a label.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OpContext<'v> {
    /// The label.
    pub label: LabelRef<'v>,
    /// Spans.
    pub n: u64,
    /// Those of them with an error.
    pub n_errors: u64,
    /// Their durations.
    pub histogram: Histogram,
    /// The durations that were asked about, in their order.
    pub values: Vec<Placed>,
}

/// How many spans of a label have an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventShare<'v> {
    /// The label.
    pub label: LabelRef<'v>,
    /// The event, as [`super::event_key`] has it.
    pub key: &'v str,
    /// Spans that have it.
    pub n_tasks: u64,
    /// Of so many.
    pub n_of: u64,
}

/// How many spans of a label have one of another under them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EdgeShare<'v> {
    /// The label above.
    pub parent: LabelRef<'v>,
    /// The label below.
    pub child: LabelRef<'v>,
    /// Whether those above wait for it.
    pub is_sync: bool,
    /// Spans that have it.
    pub n_parents: u64,
    /// Of so many, whose traces were decided.
    pub n_of: u64,
}

/// How many spans of a process run in each millisecond.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessCounts<'v> {
    /// The process.
    pub process: &'v str,
    /// The first millisecond, counted from 1970.
    pub from_ms: i64,
    /// The counts, those of the trace itself included where it is of this population.
    pub counts: Vec<u64>,
}

/// What was asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Context<'v> {
    /// The labels that were asked for and came, in the order of their names.
    pub ops: Vec<OpContext<'v>>,
    /// Their events.
    pub events: Vec<EventShare<'v>>,
    /// What is under them.
    pub edges: Vec<EdgeShare<'v>>,
    /// The processes.
    pub contention: Vec<ProcessCounts<'v>>,
    /// Whether keys were too many in an hour of the window: what is not here may have come all the same, and what is may have come more often.
    pub has_other: bool,
}

impl<'w> View<'w> {
    /// Returns a view that has seen no row yet.
    pub fn new(window: &'w Window<'w>) -> Self {
        // Hours are added up, so that the slot says nothing.
        let slot = Slot { hour: Hour::Far, population: Population::Ordinary };
        Self { window, tables: Tables::new(slot, Limits::default()) }
    }

    /// Takes a row, where the window asks for it.
    pub fn add(&mut self, row: &AggRow<'_>) {
        if self.window.wants(row) {
            self.tables.merge(&row.fact);
        }
    }

    /// Takes what a view of the same window has taken: of another shard, or of hours that are kept.
    pub fn merge(&mut self, other: &View<'_>) {
        let rows = other.tables.places(None).into_iter().filter_map(|place| other.tables.row(place));
        rows.for_each(|row| self.tables.merge(&row.fact));
    }

    /// Returns what is counted of a label.
    pub fn op(&self, label: LabelRef<'_>) -> Option<&OpSums> {
        let op = self.tables.labels.find(label).map(|label| self.tables.ops.get(label));
        op.filter(|op| !op.is_empty())
    }

    /// Returns what was asked for; `durations` are those of the trace's spans, each with its label.
    pub fn context(&self, durations: &[(LabelRef<'_>, u64)]) -> Context<'_> {
        let Tables { labels, ops, events, edges, contention, .. } = &self.tables;
        let mut context = Context { has_other: self.has_other(), ..Context::default() };
        let mut values: BTreeMap<LabelRef<'_>, Vec<u64>> = BTreeMap::new();
        durations.iter().for_each(|(label, value_ns)| values.entry(*label).or_default().push(*value_ns));
        let came = self.window.labels().filter_map(|label| labels.find(label));
        for label in came.filter(|label| !ops.get(*label).is_empty()) {
            let (name, sums) = (labels.get(label), ops.get(label));
            context.ops.push(op_context(name, sums, values.get(&name).map_or(&[], Vec::as_slice)));
            for (key, event) in events.places(label).into_iter().filter_map(|place| events.get(place)) {
                context.events.push(EventShare { label: name, key, n_tasks: event.n_tasks, n_of: sums.n });
            }
        }
        // All of them hang under a label that was asked for.
        let all_edges = edges.places(|_| true, &labels.places_by_name());
        for (edge, EdgeSums { n_parents, .. }) in all_edges.into_iter().filter_map(|place| edges.get(place)) {
            let (parent, child, is_sync) = (labels.get(edge.parent), labels.get(edge.child), edge.is_sync);
            let n_of = ops.get(edge.parent).selfs.count();
            context.edges.push(EdgeShare { parent, child, is_sync, n_parents, n_of });
        }
        for (process, range_ms) in self.window.processes() {
            let from_ms = range_ms.start;
            context.contention.push(ProcessCounts { process, from_ms, counts: contention.counts(process, range_ms) });
        }
        context
    }

    fn has_other(&self) -> bool {
        let Tables { ops, events, edges, paths, contention, .. } = &self.tables;
        let counts = [ops.other.n, events.other.n, edges.other.n, paths.other.n_traces, contention.n_tasks_other];
        counts.iter().any(|n| *n > 0)
    }

    /// Returns what is normal for the root that was asked for, `None` where no trace had it; `labels` and `paths` learn the labels and paths, at
    /// [`backsight_core::columns::PATH_DEPTH_NORMAL`].
    ///
    /// # Errors
    /// The sums are such as no traces have.
    pub fn normal(&self, labels: &mut Labels, paths: &mut Paths) -> Result<Option<Normal>, NormalTooLarge> {
        let root = self.window.root_of(&self.tables);
        let Some((root, of_root)) = root.and_then(|root| Some((root, self.tables.paths.root_sums(root)?))) else {
            return Ok(None);
        };
        let by_name = self.tables.labels.places_by_name();
        let mut known_ns = 0_u128;
        let mut sums: Vec<(PathId, u128)> = Vec::new();
        for place in self.tables.paths.places(|label| label == root, &by_name) {
            let path_labels = self.tables.paths.labels(place);
            let ids = path_labels.into_iter().map(|label| id_of(self.tables.labels.get(label), labels));
            let sum_ns = self.tables.paths.get(place).map_or(0, |path| path.sum_ns);
            known_ns = known_ns.saturating_add(sum_ns);
            sums.push((paths.of_labels(ids), sum_ns));
        }
        Normal::new(of_root.n_traces, sums, of_root.sum_ns.saturating_sub(known_ns)).map(Some)
    }
}

fn id_of(label: LabelRef<'_>, labels: &mut Labels) -> LabelId {
    label.kind.map_or(LabelId::SYNTHETIC, |kind| labels.intern(label.service, label.operation, kind))
}

fn op_context<'v>(label: LabelRef<'v>, sums: &OpSums, values: &[u64]) -> OpContext<'v> {
    let histogram = sums.durations.histogram();
    let placed = |value_ns: &u64| Placed {
        value_ns: *value_ns,
        percentile: sums.durations.percentile_of(*value_ns),
        bin: histogram.bin_of(*value_ns),
    };
    let values = values.iter().map(placed).collect();
    OpContext { label, n: sums.n, n_errors: sums.n_errors, values, histogram }
}
