//! Aggregates over all traces, also those that sampling drops: what one trace is held against. Pure: no clock, no IO, no order of a hash map that shows.
//!
//! A shard of the collector feeds an [`Aggregates`] with every span as it comes ([`Aggregates::add_span`]) and with every trace as it is decided on, kept or
//! not ([`Aggregates::add_trace`]). A cut takes it ([`Aggregates::take`]), merges those of all shards, and writes them beside its part; queries unite files
//! and memory by a [`View`]. The rows stand in `docs/spec/parts.md` section 11.
//!
//! # Why merging is exact
//! Everything that is counted is a sum of integers that adds up in any order. What could spoil it is a bound, where something has to be *other*: if it
//! were the keys that come last, the result would depend on the order. Here the keys that *rank* last go, and the rank of a key is a function of the key
//! alone. Of all keys that ever came, a table of room for K holds the K least. A key that stays has never been let go, in no table that was merged: where
//! it went there were K before it, and those are before it still. So its sums are whole, and other is all that came less what stays. Hence, for the
//! sorted rows of [`Aggregates::settle`]d aggregates of equal [`Limits`]: merging is associative and commutative, and whatever is fed, in whatever order, spread over
//! whatever aggregates that are merged in whatever order, gives the same rows. It takes two rules more: what hangs on labels (events, edges, paths) ranks by
//! the last of its labels first, so that what goes with a label would have gone before all that stays; and a bound within a bound (events of a label,
//! paths of a root) uses the same order.
//!
//! Ranks prefer names of which little varies: a service that puts ids into names fills a table with them, and pushes out its like, not the others. Whoever
//! may choose names can choose some that rank first; bounds hold all the same.
//!
//! # What is not independent of order
//! - When aggregates have used up [`Limits::memory_bytes`] before they are cut, all that comes goes to other, whatever its key: totals stay exact, keys are
//!   lower bounds. Whoever feeds them cuts when [`Aggregates::is_full`] says so.
//! - Names longer than [`NAME_MAX_BYTES`] count as one if they begin alike, as do texts of events beyond 128 bytes.
//! - Counts that reach the end of their column (2^63) stay there, and `Diff::by` wraps at 2^31.
//! - A reader that unites only the rows of some labels may find a label in one file that was other in another: [`Context::has_other`].
//!
//! # What the caller has to do
//! Memory holds what no file holds, and nothing else: each cut writes all of it. So nothing is evicted, and a bound on memory is a reason to cut. Until the
//! manifest with the file is there, the aggregates that were taken are shown to readers beside the new ones, and their memory comes on top; then they are
//! dropped. Readers find older hours in files ([`Window::may_be_in`] says which to open) and may keep the [`View`] of an hour that is over. `agg_upto` of
//! the manifest is the last record that the aggregates had seen when they were taken; a replay feeds those behind it. Compaction reads the rows of parts of
//! one hour, merges and writes them.

mod contention;
mod context;
mod decided;
mod edges;
mod encoding;
mod events;
mod index;
mod labels;
mod mask;
mod ops;
mod paths;
mod row;
mod slot;
mod sums;
mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod window;

pub use contention::{Diff, INTERVALS_MAX, ProcessSums, SHORT_MAX_MS, SecondSums};
pub use context::{Context, EdgeShare, EventShare, OpContext, Placed, ProcessCounts, View};
pub use decided::{Decided, columns_of};
pub use encoding::DecodeListError;
pub(crate) use encoding::{diffs, intervals, put_diffs, put_intervals};
pub use events::event_key;
pub use labels::{LabelRef, NAME_MAX_BYTES};
pub use row::{AggRow, AggTable, EdgeOf, EventOf, Fact};
pub use slot::{AHEAD_NS, Arrival, HOUR_NS, Hour, PAST_NS, Population, Slot, Task};
pub use sums::{COUNT_MAX, EdgeSums, EnergySums, EventSums, OpSums, PathSums, RootSums, SUM_MAX};
pub use window::{RANGE_MAX_MS, Window};

use crate::rows::SpanRow;
use backsight_core::columns::{Labels, Tree};
use backsight_core::critical::CriticalPath;
use tables::{Place, Tables};

/// So many spans are taken before memory is weighed again.
const WEIGHED_EVERY: u32 = 256;
/// Labels that are remembered by their numbers from one trace to the next.
const NAMES_MAX: u32 = 1 << 16;
const MS_OF_HOUR: i64 = 3_600_000;

/// What may stay, each in one hour of one population. What does not is other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Labels: `agg.ops_max`.
    pub ops_max: usize,
    /// Events.
    pub events_max: usize,
    /// Events of one label.
    pub events_of_op_max: usize,
    /// Edges.
    pub edges_max: usize,
    /// Paths.
    pub paths_max: usize,
    /// Paths of one root.
    pub paths_of_root_max: usize,
    /// Processes.
    pub processes_max: usize,
    /// Bytes of all together: `agg.memory_bytes`.
    pub memory_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ops_max: 20_000,
            events_max: 200_000,
            events_of_op_max: 256,
            edges_max: 100_000,
            paths_max: 50_000,
            paths_of_root_max: 2000,
            processes_max: 4096,
            memory_bytes: 128 << 20,
        }
    }
}

/// How much of a table is there, over all hours and both populations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableSize {
    /// Its name.
    pub table: &'static str,
    /// Keys.
    pub n_keys: u64,
    /// What was counted under other: spans, events, children, traces, tasks.
    pub n_other: u64,
}

/// The place of a row of [`Aggregates`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct RowPlace {
    tables: u32,
    place: Place,
}

/// What was counted since the last cut.
#[derive(Clone, Debug)]
pub struct Aggregates {
    limits: Limits,
    tables: Vec<Tables>,
    /// The tables that were fed last.
    last: usize,
    is_full: bool,
    n_until_weighed: u32,
    names: Labels,
    has_many_names: bool,
    /// The numbers of a trace's labels.
    labels: Vec<Option<u32>>,
}

impl Default for Aggregates {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Aggregates {
    /// Returns aggregates that have counted nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            tables: Vec::new(),
            last: 0,
            is_full: false,
            n_until_weighed: 0,
            names: Labels::default(),
            has_many_names: false,
            labels: Vec::new(),
        }
    }

    /// Counts a span as it comes: its label, its events, the milliseconds that its process is busy with it.
    ///
    /// # Cost
    /// No allocation for a label, a process and events that are known, but for the growth of sketches and lists.
    pub fn add_span(&mut self, span: &SpanRow<'_>, arrival: Arrival) {
        let is_full = self.weigh();
        let slot = arrival.slot(span.start_ns);
        let tables = self.tables_of(slot);
        if is_full {
            return tables.add_span_to_other(span);
        }
        let task = Task::of(span);
        tables.add_span(span);
        tables.add_task(&span.process, task);
        let Hour::At(hour) = slot.hour else { return };
        let last_hour = task.last_ms.div_euclid(MS_OF_HOUR);
        if last_hour != hour && task.len_ms() <= SHORT_MAX_MS {
            self.tables_of(Slot { hour: Hour::At(last_hour), ..slot }).add_task(&span.process, task);
        }
    }

    /// Counts a trace as it is decided on: time on the critical path by label and by path, and edges. All of it in the hour in which the trace began.
    ///
    /// # Cost
    /// About 100 ns a span; where tree and critical path are not there yet, [`Aggregates::add_rows`] makes them.
    pub fn add_trace(&mut self, trace: Decided<'_>, arrival: Arrival) {
        if trace.tree.is_empty() {
            return;
        }
        let is_full = self.weigh();
        let mut labels = std::mem::take(&mut self.labels);
        let tables = self.tables_of(arrival.slot(trace.start_ns));
        match is_full {
            true => tables.add_trace_to_other(trace, &mut labels),
            false => tables.add_trace(trace, &mut labels),
        }
        self.labels = labels;
    }

    /// Counts a trace whose rows are these, as [`Aggregates::add_trace`] does.
    pub fn add_rows(&mut self, spans: &[SpanRow<'_>], arrival: Arrival) {
        if std::mem::take(&mut self.has_many_names) {
            self.names = Labels::default();
        }
        let mut names = std::mem::take(&mut self.names);
        let (columns, start_ns) = columns_of(spans, &mut names);
        let tree = Tree::new(&columns, &names);
        let critical = CriticalPath::of(&tree);
        self.add_trace(Decided { tree: &tree, critical: &critical, names: &names, start_ns }, arrival);
        self.has_many_names = columns.rows().iter().any(|row| row.label.0 > NAMES_MAX);
        self.names = names;
    }

    /// Counts what others have counted.
    pub fn merge(&mut self, others: &Self) {
        others.rows().for_each(|row| self.merge_row(&row));
    }

    /// Counts what a row says. A second that does not lie in its hour is passed over.
    pub fn merge_row(&mut self, row: &AggRow<'_>) {
        if let Fact::Second(_, second, _) = row.fact
            && !row.slot.hour.has_second(second)
        {
            return;
        }
        let is_full = self.weigh();
        let tables = self.tables_of(row.slot);
        match is_full {
            true => row.fact.as_other().into_iter().for_each(|fact| tables.merge(&fact)),
            false => tables.merge(&row.fact),
        }
    }

    /// Lets go of keys that may not stay, and sorts what does, so that equal counts are equal rows.
    pub fn settle(&mut self) {
        self.tables.iter_mut().for_each(|tables| tables.make_room(1));
        self.tables.sort_by_key(|tables| tables.slot);
        self.last = 0;
    }

    /// Returns all that was counted, settled, and counts from nothing on.
    pub fn take(&mut self) -> Self {
        let mut taken = Self::new(self.limits);
        std::mem::swap(&mut taken.tables, &mut self.tables);
        (self.last, self.is_full, self.n_until_weighed) = (0, false, 0);
        taken.settle();
        taken
    }

    /// Returns whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Returns whether memory is three quarters used up: cut now. When all of it is, what comes is other.
    pub fn is_full(&self) -> bool {
        self.memory_bytes() >= self.limits.memory_bytes / 4 * 3
    }

    /// Returns the bytes that it takes in memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.tables.iter().map(Tables::memory_bytes).sum()
    }

    /// Returns the sizes of the five tables.
    pub fn sizes(&self) -> [TableSize; 5] {
        let size = |table, n_keys: fn(&Tables) -> usize, n_other: fn(&Tables) -> u64| {
            let n_keys = self.tables.iter().map(|tables| n_keys(tables) as u64).sum();
            TableSize { table, n_keys, n_other: self.tables.iter().map(n_other).fold(0, u64::saturating_add) }
        };
        [
            size("ops", |tables| tables.labels.len(), |tables| tables.ops.other.n),
            size("events", |tables| tables.events.len(), |tables| tables.events.other.n),
            size("edges", |tables| tables.edges.len(), |tables| tables.edges.other.n),
            size("paths", |tables| tables.paths.len(), |tables| tables.paths.other.n_traces),
            size("contention", |tables| tables.contention.n_processes(), |tables| tables.contention.n_tasks_other),
        ]
    }

    /// Returns all rows, hour by hour.
    pub fn rows(&self) -> impl Iterator<Item = AggRow<'_>> {
        rows_of(self.tables.iter(), None)
    }

    /// Returns the rows that `window` asks for, hour by hour.
    ///
    /// # Cost
    /// A pass over the keys of its hours, however many spans they counted.
    pub fn rows_of(&self, window: &Window<'_>) -> impl Iterator<Item = AggRow<'_>> {
        rows_of(self.tables.iter().filter(|tables| window.has_slot(tables.slot)), Some(window))
    }

    /// Returns the places of all rows in the order of a file: by table, hour, population, key.
    pub(crate) fn places(&self) -> Vec<RowPlace> {
        let of_tables = |(idx, tables): (u32, &Tables)| {
            tables.places(None).into_iter().map(move |place| RowPlace { tables: idx, place })
        };
        let mut places: Vec<RowPlace> = (0_u32..).zip(&self.tables).flat_map(of_tables).collect();
        places.sort_by_key(|row| (row.place.table(), self.tables[row.tables as usize].slot));
        places
    }

    /// Returns the row at a place.
    pub(crate) fn row(&self, at: RowPlace) -> Option<AggRow<'_>> {
        self.tables.get(at.tables as usize)?.row(at.place)
    }

    /// Returns whether memory was used up when it was weighed last.
    fn weigh(&mut self) -> bool {
        if self.n_until_weighed == 0 {
            self.n_until_weighed = WEIGHED_EVERY;
            self.is_full = self.memory_bytes() >= self.limits.memory_bytes;
        }
        self.n_until_weighed -= 1;
        self.is_full
    }

    #[inline]
    fn tables_of(&mut self, slot: Slot) -> &mut Tables {
        if self.tables.get(self.last).is_none_or(|tables| tables.slot != slot) {
            self.last = self.find_tables(slot);
        }
        &mut self.tables[self.last]
    }

    /// Returns the place of the tables of `slot`; they are made where they are new. There are 25 hours of a day's window, one of its end, and *far*, twice.
    fn find_tables(&mut self, slot: Slot) -> usize {
        self.tables.iter().position(|tables| tables.slot == slot).unwrap_or_else(|| {
            self.tables.push(Tables::new(slot, self.limits));
            self.tables.len() - 1
        })
    }
}

/// Returns the rows of tables, those that `window` asks for, if there is one.
fn rows_of<'a>(
    tables: impl Iterator<Item = &'a Tables>,
    window: Option<&Window<'_>>,
) -> impl Iterator<Item = AggRow<'a>> {
    let of_tables = |tables: &'a Tables| tables.places(window).into_iter().map(move |place| (tables, place));
    let places: Vec<(&Tables, Place)> = tables.flat_map(of_tables).collect();
    places.into_iter().filter_map(|(tables, place)| tables.row(place))
}
