//! A trace against all traces of its root: fractions of nanoseconds, so that nothing is rounded.
//!
//! Called by whoever has the sums of the aggregate table `paths`.

use crate::columns::{Labels, PathId, Paths, Tree};
use crate::critical::CriticalPath;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Fewer traces than this are too few to call anything normal.
pub const TRACES_ENOUGH: u64 = 30;

/// Counts and sums stay below these, so that their products fit.
const TRACES_MAX: u64 = 1 << 62;
const SUM_NS_MAX: u128 = 1 << 126;

/// What is normal for a root: how many traces, and what each label path contributed to the critical paths of all of them.
///
/// # Shape
/// Paths are at most [`crate::columns::PATH_DEPTH_NORMAL`] deep; what the bounded table has no room for stands under *other*. So all sums together are
/// the sum of the durations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Normal {
    n_traces: u64,
    sums_ns: BTreeMap<PathId, u128>,
    other_ns: u128,
    total_ns: u128,
}

/// Sums that no aggregate of traces has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{n_traces} traces of together {total_ns} ns, at most {TRACES_MAX} of {SUM_NS_MAX} ns")]
pub struct NormalTooLarge {
    n_traces: u64,
    total_ns: u128,
}

impl Normal {
    /// Returns what is normal by `n_traces` traces, with the sum of each path's contributions; those of one path add up.
    ///
    /// # Errors
    /// There are more than 2^62 traces, or more than 2^126 ns.
    pub fn new(
        n_traces: u64,
        sums_ns: impl IntoIterator<Item = (PathId, u128)>,
        other_ns: u128,
    ) -> Result<Self, NormalTooLarge> {
        let mut normal = Self { n_traces, sums_ns: BTreeMap::new(), other_ns, total_ns: other_ns };
        for (path, sum_ns) in sums_ns {
            normal.total_ns = normal.total_ns.saturating_add(sum_ns);
            let sum = normal.sums_ns.entry(path).or_default();
            *sum = sum.saturating_add(sum_ns);
        }
        match n_traces > TRACES_MAX || normal.total_ns > SUM_NS_MAX {
            true => Err(NormalTooLarge { n_traces, total_ns: normal.total_ns }),
            false => Ok(normal),
        }
    }
}

/// What a label path adds to the difference between a trace and the mean of all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NormalRow {
    /// The path; `None` for what the table counts as other.
    pub path: Option<PathId>,
    /// Spans of the trace that have it.
    pub n: u32,
    /// The first of them, a node of the tree.
    pub node: Option<u32>,
    /// What they contribute to the trace's critical path, in nanoseconds.
    pub cp_ns: u64,
    /// What spans of the path contribute in all traces together.
    pub sum_ns: u128,
    /// The delta times the number of traces: `N cp - S`.
    pub delta_times_n_ns: i128,
    /// As in [`super::DeltaRow::percentile`].
    pub percentile: Option<u16>,
}

/// Where the difference between a trace and the mean of all comes from.
///
/// # Shape
/// The numerators of all rows sum to `N duration - sum of all durations`: their fractions over N to the duration less the mean, exactly. Rows whose
/// numerator is 0 are left out. Over no traces the mean is not known, and there are no rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AgainstNormal {
    /// The duration of the trace's root in nanoseconds.
    pub duration_ns: u64,
    /// N, the denominator of all fractions.
    pub n_traces: u64,
    /// The sum of the durations of all traces.
    pub total_ns: u128,
    /// What differs, the most important first.
    pub rows: Vec<NormalRow>,
}

impl AgainstNormal {
    /// Returns `tree` against what is normal for its root; `paths` is the table that the paths of `normal` are of.
    ///
    /// # Cost
    /// Time `n log n` in the spans and the paths of `normal`.
    pub fn of(tree: &Tree<'_>, path: &CriticalPath, normal: &Normal, paths: &mut Paths, labels: &Labels) -> Self {
        let (n_traces, duration_ns) = (normal.n_traces, path.duration_ns());
        let mut against = Self { duration_ns, n_traces, total_ns: normal.total_ns, rows: Vec::new() };
        if n_traces == 0 {
            return against;
        }
        let row = |path, sum_ns| {
            let (n, node, percentile) = (0, None, None);
            NormalRow { path, n, node, cp_ns: 0, sum_ns, delta_times_n_ns: 0, percentile }
        };
        let sums = normal.sums_ns.iter().map(|(path, sum_ns)| (Some(*path), row(Some(*path), *sum_ns)));
        let mut rows: BTreeMap<Option<PathId>, NormalRow> = sums.collect();
        rows.insert(None, row(None, normal.other_ns));
        let of_nodes = paths.of_tree(tree);
        for node in tree.order() {
            let path_id = Some(of_nodes[*node as usize]);
            let row = rows.entry(path_id).or_insert_with(|| row(path_id, 0));
            row.n += 1;
            row.cp_ns += super::contribution(path, *node);
            row.node = row.node.or(Some(*node));
        }
        for row in rows.into_values() {
            // Below 2^126 each, by what `Normal` holds.
            let delta = (u128::from(n_traces) * u128::from(row.cp_ns)).cast_signed() - row.sum_ns.cast_signed();
            if delta != 0 {
                against.rows.push(NormalRow { delta_times_n_ns: delta, ..row });
            }
        }
        against.rank(paths, labels);
        against
    }

    /// Returns whether there are enough traces to speak of percentiles and of what is rare.
    pub const fn is_enough(&self) -> bool {
        self.n_traces >= TRACES_ENOUGH
    }

    /// Sorts the rows as [`super::Comparison::rank`] does; what is other comes last of equal ones.
    pub fn rank(&mut self, paths: &Paths, labels: &Labels) {
        let ranks = paths.ranks(labels);
        let rank = |path: PathId| ranks.get(path.0 as usize).copied().unwrap_or_default();
        self.rows.sort_by_cached_key(|row| {
            let magnitude = row.delta_times_n_ns.unsigned_abs();
            let place = row.path.map_or(u32::MAX, rank);
            (Reverse(magnitude), Reverse(super::deviation(row.percentile)), place)
        });
    }
}
