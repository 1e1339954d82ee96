//! Two traces held against each other, as JSON: what `backsight trace compare --json` prints, and the collector answers.
//!
//! All numbers are computed here, by `core`; whoever shows them only makes words of them.

use backsight_core::align::align;
use backsight_core::columns::{Columns, Labels, PathId, Paths, Tree};
use backsight_core::compare::{Change, Comparison, DeltaRow, Side};
use backsight_core::critical::CriticalPath;
use backsight_core::ids::TraceId;
use backsight_core::skew::{Bounds, ClockState, Clocks};
use backsight_core::trace::Trace;
use serde::{Deserialize, Serialize};

/// A clock that is further off than this is left as it is, and named.
const SKEW_MAX_NS: u64 = 10_000_000_000;

/// Where the difference between the durations of two traces comes from.
///
/// # Shape
/// The deltas of `rows` and of `rest` sum to `delta_ns`, exactly.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CompareJson {
    /// The first trace.
    pub a: ComparedJson,
    /// The second.
    pub b: ComparedJson,
    /// By how many nanoseconds the second is longer.
    pub delta_ns: i64,
    /// What differs, the most important first.
    pub rows: Vec<DeltaJson>,
    /// What is not among the rows.
    pub rest: RestJson,
}

/// A trace that was compared.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ComparedJson {
    /// Its id.
    #[serde(with = "crate::text")]
    pub trace: TraceId,
    /// The service in which it began; empty where it has several beginnings.
    pub root_service: String,
    /// What it began with.
    pub root_operation: String,
    /// From the start of its root to its end.
    pub duration_ns: u64,
    /// Its spans, and its visits without a span.
    pub n_spans: u64,
    /// Hosts whose clocks did not agree with that of the root's, with what was done about it.
    pub clocks: Vec<ClockJson>,
}

/// The clock of a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ClockJson {
    /// The host: the id of its agent.
    pub host: String,
    /// What was added to its times, in nanoseconds; 0 where it is off by more than is believed.
    pub added_ns: i64,
    /// Whether it is off by more than is believed.
    pub is_too_far: bool,
    /// Whether calls contradict each other.
    pub is_doubtful: bool,
}

/// Spans of one path, from the root down, to which the same happened.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeltaJson {
    /// `same`, `wrapped`, `moved`, `added`, `put_around`, `removed` or `taken_away`.
    pub change: String,
    /// By how many nanoseconds they make the second trace longer.
    pub delta_ns: i64,
    /// How many pairs, or single spans.
    pub n: u32,
    /// Their path in the first trace, empty where they are not in it.
    pub path_a: Vec<StepJson>,
    /// Their path in the second.
    pub path_b: Vec<StepJson>,
    /// What they contribute to the critical path of the first, in nanoseconds.
    pub critical_a_ns: u64,
    /// What they contribute to that of the second.
    pub critical_b_ns: u64,
    /// The first of them in the first trace, 16 hex digits; empty where there is none.
    pub span_a: String,
    /// The first of them in the second.
    pub span_b: String,
}

/// A step of a path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepJson {
    /// The service.
    pub service: String,
    /// The span's name.
    pub operation: String,
}

/// What is not shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RestJson {
    /// How many rows.
    pub n_rows: usize,
    /// What their deltas sum to.
    pub delta_ns: i64,
}

impl CompareJson {
    /// Returns the comparison of two traces, with at most `n_rows_max` rows. Clocks of hosts are corrected first, as far as calls say how.
    ///
    /// # Cost
    /// As of [`align`]; some 300 bytes of memory a span.
    pub fn of(a: &Trace, b: &Trace, n_rows_max: usize) -> Self {
        let mut labels = Labels::default();
        let sides = [a, b].map(|trace| (trace.id, Columns::of_trace(trace, &mut labels)));
        Self::of_columns(&sides, &labels, n_rows_max)
    }

    /// Does what [`CompareJson::of`] does with rows of two traces whose labels are in `labels`.
    ///
    /// # Cost
    /// As of [`CompareJson::of`].
    pub fn of_columns(sides: &[(TraceId, Columns); 2], labels: &Labels, n_rows_max: usize) -> Self {
        let [(a, of_a), (b, of_b)] = sides;
        let (columns_a, clocks_a) = corrected(of_a, labels);
        let (columns_b, clocks_b) = corrected(of_b, labels);
        let trees = [Tree::new(&columns_a, labels), Tree::new(&columns_b, labels)];
        let critical = trees.each_ref().map(CriticalPath::of);
        let [side_a, side_b] = [0, 1].map(|idx: usize| Side { tree: &trees[idx], path: &critical[idx] });
        let mut paths = Paths::new(u32::MAX);
        let alignment = align(side_a.tree, side_b.tree, labels);
        let comparison = Comparison::of(side_a, side_b, &alignment, &mut paths, labels);
        let (rows, rest) = comparison.first(n_rows_max);
        let said = Said { trees: &trees, paths: &paths, labels };
        Self {
            a: said.compared(*a, 0, comparison.duration_a_ns, clocks_a),
            b: said.compared(*b, 1, comparison.duration_b_ns, clocks_b),
            delta_ns: narrow(i128::from(comparison.duration_b_ns) - i128::from(comparison.duration_a_ns)),
            rows: rows.iter().map(|row| said.delta(row)).collect(),
            rest: RestJson { n_rows: rest.n_rows, delta_ns: narrow(rest.delta_ns) },
        }
    }
}

/// Returns the rows of a trace on the clock of its root's host, and the clocks that did not agree with that.
///
/// # Cost
/// That of [`Bounds::clocks`], and a copy of the rows.
pub fn corrected(columns: &Columns, labels: &Labels) -> (Columns, Vec<ClockJson>) {
    let tree = Tree::new(columns, labels);
    let mut bounds = Bounds::default();
    bounds.observe(columns, &tree);
    let clocks: Clocks = bounds.clocks(columns, &tree, SKEW_MAX_NS);
    let shifted = columns.shifted(|host| clocks.offset_ns(host));
    let differ = clocks
        .hosts
        .iter()
        .filter(|clock| clock.is_doubtful || matches!(clock.state, ClockState::Corrected | ClockState::TooFar));
    let json = |clock: &backsight_core::skew::HostClock| ClockJson {
        host: clock.host.to_string(),
        added_ns: clock.offset_ns,
        is_too_far: clock.state == ClockState::TooFar,
        is_doubtful: clock.is_doubtful,
    };
    let clocks = differ.map(json).collect();
    (shifted, clocks)
}

/// What numbers of a comparison stand for.
struct Said<'a> {
    trees: &'a [Tree<'a>; 2],
    paths: &'a Paths,
    labels: &'a Labels,
}

impl Said<'_> {
    fn compared(&self, trace: TraceId, idx: usize, duration_ns: u64, clocks: Vec<ClockJson>) -> ComparedJson {
        let tree = &self.trees[idx];
        let root = tree.root().map(|root| self.labels.get(tree.row(root).label)).cloned().unwrap_or_default();
        ComparedJson {
            trace,
            root_service: root.service.to_string(),
            root_operation: root.operation.to_string(),
            duration_ns,
            n_spans: tree.order().iter().filter(|node| !tree.is_synthetic(**node)).count() as u64,
            clocks,
        }
    }

    fn delta(&self, row: &DeltaRow) -> DeltaJson {
        let span = |idx: usize, node: Option<u32>| {
            let id = node.map(|node| self.trees[idx].row(node).id).filter(|id| !id.is_none());
            id.map(|id| id.to_string()).unwrap_or_default()
        };
        DeltaJson {
            change: name(row.change).to_owned(),
            delta_ns: narrow(row.delta_ns()),
            n: row.n,
            path_a: self.steps(row.path_a),
            path_b: self.steps(row.path_b),
            critical_a_ns: row.cp_a_ns,
            critical_b_ns: row.cp_b_ns,
            span_a: span(0, row.node_a),
            span_b: span(1, row.node_b),
        }
    }

    fn steps(&self, path: Option<PathId>) -> Vec<StepJson> {
        let labels = path.map(|path| self.paths.labels(path)).unwrap_or_default();
        let step = |label| {
            let label = self.labels.get(label);
            StepJson { service: label.service.to_string(), operation: label.operation.to_string() }
        };
        labels.into_iter().map(step).collect()
    }
}

const fn name(change: Change) -> &'static str {
    match change {
        Change::Same => "same",
        Change::Wrapped => "wrapped",
        Change::Moved => "moved",
        Change::Added => "added",
        Change::PutAround => "put_around",
        Change::Removed => "removed",
        Change::TakenAway => "taken_away",
    }
}

/// Durations have 64 bits; where their difference does not, it is as good as endless.
fn narrow(delta_ns: i128) -> i64 {
    i64::try_from(delta_ns).unwrap_or(if delta_ns < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests;
