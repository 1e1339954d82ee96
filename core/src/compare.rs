//! Where the difference between two traces comes from: what each label path adds to it, to the nanosecond.
//!
//! Called by whoever answers a comparison. Against a second trace here, against all traces of a root in `normal`. Code computes every number; texts are
//! made elsewhere.

mod normal;
#[cfg(test)]
mod tests;

pub use normal::{AgainstNormal, Normal, NormalRow, NormalTooLarge, TRACES_ENOUGH};

use crate::align::{Alignment, Fate};
use crate::columns::{Labels, PathId, Paths, Tree};
use crate::critical::CriticalPath;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// What became of spans from the first trace to the second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Change {
    /// In both, in the same place.
    Same,
    /// In both; spans were put around them, or taken away.
    Wrapped,
    /// In both, elsewhere.
    Moved,
    /// Only in the second.
    Added,
    /// Only in the second, around spans that are in both.
    PutAround,
    /// Only in the first.
    Removed,
    /// Only in the first, around spans that are in both.
    TakenAway,
}

impl Change {
    /// Returns what it is from the second trace to the first.
    pub const fn mirrored(self) -> Self {
        match self {
            Self::Same | Self::Wrapped | Self::Moved => self,
            Self::Added => Self::Removed,
            Self::Removed => Self::Added,
            Self::PutAround => Self::TakenAway,
            Self::TakenAway => Self::PutAround,
        }
    }
}

/// A trace that is compared.
#[derive(Clone, Copy)]
pub struct Side<'a> {
    /// Its tree.
    pub tree: &'a Tree<'a>,
    /// Its critical path.
    pub path: &'a CriticalPath,
}

/// Spans of one label path to which the same happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeltaRow {
    /// What happened.
    pub change: Change,
    /// Their path in the first trace, where they are in it.
    pub path_a: Option<PathId>,
    /// Their path in the second.
    pub path_b: Option<PathId>,
    /// How many pairs, or single spans, the row stands for.
    pub n: u32,
    /// What they contribute to the critical path of the first, in nanoseconds.
    pub cp_a_ns: u64,
    /// What they contribute to that of the second.
    pub cp_b_ns: u64,
    /// The first of them in the first trace, a node of its tree.
    pub node_a: Option<u32>,
    /// The first of them in the second.
    pub node_b: Option<u32>,
    /// Where their duration stands among all of their label, in hundredths of a percent, if whoever has the aggregates said so before ranking.
    pub percentile: Option<u16>,
}

impl DeltaRow {
    /// Returns by how many nanoseconds these spans make the second trace longer.
    pub fn delta_ns(&self) -> i128 {
        i128::from(self.cp_b_ns) - i128::from(self.cp_a_ns)
    }

    /// Returns the row of the comparison the other way round.
    pub const fn mirrored(self) -> Self {
        Self {
            change: self.change.mirrored(),
            path_a: self.path_b,
            path_b: self.path_a,
            cp_a_ns: self.cp_b_ns,
            cp_b_ns: self.cp_a_ns,
            node_a: self.node_b,
            node_b: self.node_a,
            ..self
        }
    }

    /// Returns what orders rows of equal deltas: the ranks of its paths, those of a row and of its mirror in the same order.
    fn key(&self, ranks: &[u32]) -> ([u32; 2], Change) {
        let rank = |path: Option<PathId>| path.and_then(|path| ranks.get(path.0 as usize)).copied().unwrap_or_default();
        let (a, b) = (rank(self.path_a), rank(self.path_b));
        ([a.max(b), a.min(b)], self.change)
    }
}

/// Where the difference between two durations comes from.
///
/// # Shape
/// The deltas of all rows sum to `duration_b_ns - duration_a_ns`, exactly. Rows that say nothing (the same spans with the same contribution) are left
/// out, so that a trace compared with itself has none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Comparison {
    /// The duration of the first root in nanoseconds.
    pub duration_a_ns: u64,
    /// That of the second.
    pub duration_b_ns: u64,
    /// What differs, the most important first.
    pub rows: Vec<DeltaRow>,
}

/// What is not among the rows that are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rest {
    /// How many rows.
    pub n_rows: usize,
    /// What their deltas sum to.
    pub delta_ns: i128,
}

impl Comparison {
    /// Returns the comparison of two traces, aligned as `alignment` says; `paths` learns their paths.
    ///
    /// A pair counts what it contributes to the second trace less what it contributes to the first, a span that is in one only what it contributes
    /// there. What happened to spans of the same paths is one row.
    ///
    /// # Cost
    /// Time `n log n`, memory linear in the spans.
    pub fn of(a: Side<'_>, b: Side<'_>, alignment: &Alignment, paths: &mut Paths, labels: &Labels) -> Self {
        let (paths_a, paths_b) = (paths.of_tree(a.tree), paths.of_tree(b.tree));
        let mut folding = Folding::default();
        for node in a.tree.order() {
            let idx = *node as usize;
            let fate = alignment.a.get(idx).copied().unwrap_or_default();
            let row = DeltaRow {
                path_a: Some(paths_a[idx]),
                cp_a_ns: contribution(a.path, *node),
                node_a: Some(*node),
                ..of_fate(fate, Change::Removed, Change::TakenAway)
            };
            let row = match fate.counterpart() {
                None => row,
                Some(other) => {
                    let (path_b, cp_b_ns) = (paths_b.get(other as usize).copied(), contribution(b.path, other));
                    DeltaRow { path_b, cp_b_ns, node_b: Some(other), ..row }
                }
            };
            folding.add(row);
        }
        for node in b.tree.order() {
            let idx = *node as usize;
            let fate = alignment.b.get(idx).copied().unwrap_or_default();
            if fate.counterpart().is_none() {
                let (path_b, cp_b_ns, node_b) = (Some(paths_b[idx]), contribution(b.path, *node), Some(*node));
                folding.add(DeltaRow { path_b, cp_b_ns, node_b, ..of_fate(fate, Change::Added, Change::PutAround) });
            }
        }
        let (duration_a_ns, duration_b_ns) = (a.path.duration_ns(), b.path.duration_ns());
        let mut comparison = Self { duration_a_ns, duration_b_ns, rows: folding.rows() };
        comparison.rank(paths, labels);
        comparison
    }

    /// Sorts the rows: the largest delta first, whatever its sign; then the percentile farthest from the middle, then by path.
    pub fn rank(&mut self, paths: &Paths, labels: &Labels) {
        let ranks = paths.ranks(labels);
        self.rows.sort_by_cached_key(|row| {
            (Reverse(row.delta_ns().unsigned_abs()), Reverse(deviation(row.percentile)), row.key(&ranks))
        });
    }

    /// Returns the first `n_max` rows and what the others sum to, so that what is shown sums to the whole.
    pub fn first(&self, n_max: usize) -> (&[DeltaRow], Rest) {
        let (first, others) = self.rows.split_at(n_max.min(self.rows.len()));
        (first, Rest { n_rows: others.len(), delta_ns: others.iter().map(DeltaRow::delta_ns).sum() })
    }
}

/// Returns what a node contributes to a path; nothing where the path is that of another tree.
fn contribution(path: &CriticalPath, node: u32) -> u64 {
    path.self_ns.get(node as usize).copied().unwrap_or_default()
}

fn of_fate(fate: Fate, alone: Change, around: Change) -> DeltaRow {
    let change = match fate {
        Fate::Alone => alone,
        Fate::Around => around,
        Fate::Same(_) => Change::Same,
        Fate::Wrapped(_) => Change::Wrapped,
        Fate::Moved(_) => Change::Moved,
    };
    let (path_a, path_b, node_a, node_b) = (None, None, None, None);
    DeltaRow { change, path_a, path_b, n: 1, cp_a_ns: 0, cp_b_ns: 0, node_a, node_b, percentile: None }
}

/// Returns how far a percentile is from the middle; one that nobody knows is in the middle.
fn deviation(percentile: Option<u16>) -> u16 {
    percentile.map_or(0, |percentile| percentile.abs_diff(5000))
}

/// Rows as they fold.
#[derive(Default)]
struct Folding {
    rows: BTreeMap<(Change, Option<PathId>, Option<PathId>), DeltaRow>,
}

impl Folding {
    fn add(&mut self, row: DeltaRow) {
        let fold = |folded: &mut DeltaRow| {
            folded.n += row.n;
            // All contributions of a trace sum to its duration, a `u64`.
            folded.cp_a_ns += row.cp_a_ns;
            folded.cp_b_ns += row.cp_b_ns;
        };
        self.rows.entry((row.change, row.path_a, row.path_b)).and_modify(fold).or_insert(row);
    }

    fn rows(self) -> Vec<DeltaRow> {
        let says_something = |row: &DeltaRow| row.change != Change::Same || row.cp_a_ns != row.cp_b_ns;
        self.rows.into_values().filter(says_something).collect()
    }
}
