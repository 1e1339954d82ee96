//! Claims about comparisons: what is shown sums to the difference, exactly, and the other way round is the mirror.

use super::{AgainstNormal, Change, Comparison, DeltaRow, Normal, Side, TRACES_ENOUGH};
use crate::align::align;
use crate::columns::samples::{Sample, any_samples, columns, tree_samples};
use crate::columns::{Labels, PATH_DEPTH_NORMAL, PathId, Paths, Tree};
use crate::critical::CriticalPath;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use std::collections::BTreeMap;

/// Tables that comparisons share.
struct Tables {
    labels: Labels,
    paths: Paths,
}

impl Tables {
    fn new(depth_max: u32) -> Self {
        Self { labels: Labels::default(), paths: Paths::new(depth_max) }
    }

    fn compare(&mut self, a: &[Sample], b: &[Sample]) -> Comparison {
        let (a, b) = (columns(a, &mut self.labels), columns(b, &mut self.labels));
        let (a, b) = (Tree::new(&a, &self.labels), Tree::new(&b, &self.labels));
        let alignment = align(&a, &b, &self.labels);
        let (path_a, path_b) = (CriticalPath::of(&a), CriticalPath::of(&b));
        let (side_a, side_b) = (Side { tree: &a, path: &path_a }, Side { tree: &b, path: &path_b });
        Comparison::of(side_a, side_b, &alignment, &mut self.paths, &self.labels)
    }

    fn against(&mut self, samples: &[Sample], normal: &Normal) -> AgainstNormal {
        let columns = columns(samples, &mut self.labels);
        let tree = Tree::new(&columns, &self.labels);
        AgainstNormal::of(&tree, &CriticalPath::of(&tree), normal, &mut self.paths, &self.labels)
    }

    /// Returns what these traces make normal, in a table that has room for so many paths.
    fn normal(&mut self, traces: &[Vec<Sample>], n_paths_max: usize) -> Normal {
        let mut sums: BTreeMap<PathId, u128> = BTreeMap::new();
        let mut other_ns = 0;
        for samples in traces {
            let columns = columns(samples, &mut self.labels);
            let tree = Tree::new(&columns, &self.labels);
            let path = CriticalPath::of(&tree);
            for (of, self_ns) in self.paths.of_tree(&tree).into_iter().zip(path.self_ns) {
                match sums.contains_key(&of) || sums.len() < n_paths_max {
                    true => *sums.entry(of).or_default() += u128::from(self_ns),
                    false => other_ns += u128::from(self_ns),
                }
            }
        }
        Normal::new(traces.len() as u64, sums, other_ns).unwrap()
    }
}

/// Two traces: any, two that are much alike, or one and the same with some spans gone, slower or elsewhere.
fn pairs() -> impl Strategy<Value = (Vec<Sample>, Vec<Sample>)> {
    let mutations = prop::collection::vec((any::<prop::sample::Index>(), 0_u8..3, 0_u64..100_000), 0..6);
    let mutated = (tree_samples(60, 6), mutations).prop_map(|(samples, mutations)| {
        let mut mutated = samples.clone();
        for (at, how, by) in mutations {
            let at = at.index(mutated.len());
            match how {
                0 if mutated.len() > 1 => _ = mutated.remove(at),
                1 => mutated[at].end_ns += by,
                _ => mutated[at].parent = by % 60,
            }
        }
        (samples, mutated)
    });
    prop_oneof![(any_samples(), any_samples()), (tree_samples(60, 4), tree_samples(60, 4)), mutated]
}

proptest! {
    /// For any two traces: the deltas of the rows sum to the difference of the durations, to the nanosecond, also where only some rows are shown.
    #[test]
    fn deltas_sum_to_the_difference((a, b) in pairs(), n_max in 0_usize..20) {
        let comparison = Tables::new(u32::MAX).compare(&a, &b);
        let difference = i128::from(comparison.duration_b_ns) - i128::from(comparison.duration_a_ns);
        prop_assert_eq!(comparison.rows.iter().map(DeltaRow::delta_ns).sum::<i128>(), difference);
        let (first, rest) = comparison.first(n_max);
        prop_assert_eq!(first.iter().map(DeltaRow::delta_ns).sum::<i128>() + rest.delta_ns, difference);
        prop_assert_eq!(first.len() + rest.n_rows, comparison.rows.len());
    }

    /// For any two traces: the other way round, each row is mirrored, and the largest deltas still come first.
    #[test]
    fn the_other_way_round_is_the_mirror((a, b) in pairs()) {
        let mut tables = Tables::new(u32::MAX);
        let (forth, back) = (tables.compare(&a, &b), tables.compare(&b, &a));
        let key = |row: &DeltaRow| (row.change, row.path_a, row.path_b);
        let mut mirrored: Vec<_> = back.rows.iter().map(|row| row.mirrored()).map(|row| (key(&row), row)).collect();
        let mut rows: Vec<_> = forth.rows.iter().map(|row| (key(row), *row)).collect();
        mirrored.sort_by_key(|(key, _)| *key);
        rows.sort_by_key(|(key, _)| *key);
        let strip = |rows: Vec<(_, DeltaRow)>| -> Vec<_> { rows.into_iter().map(|(key, row)| (key, row.n, row.cp_a_ns, row.cp_b_ns)).collect() };
        prop_assert_eq!(strip(rows), strip(mirrored));
        prop_assert_eq!((forth.duration_a_ns, forth.duration_b_ns), (back.duration_b_ns, back.duration_a_ns));
        let sizes = |of: &Comparison| of.rows.iter().map(|row| row.delta_ns().unsigned_abs()).collect::<Vec<_>>();
        prop_assert_eq!(sizes(&forth), sizes(&back));
    }

    /// For any trace: compared with itself it has no rows.
    #[test]
    fn a_trace_does_not_differ_from_itself(samples in any_samples()) {
        prop_assert_eq!(Tables::new(u32::MAX).compare(&samples, &samples).rows, []);
    }

    /// For any two traces: what happened to spans of the same paths is one row, the largest first.
    #[test]
    fn rows_are_folded_and_ranked((a, b) in pairs()) {
        let rows = Tables::new(u32::MAX).compare(&a, &b).rows;
        let mut keys: Vec<_> = rows.iter().map(|row| (row.change, row.path_a, row.path_b)).collect();
        keys.sort();
        keys.dedup();
        prop_assert_eq!(keys.len(), rows.len());
        prop_assert!(rows.is_sorted_by(|x, y| x.delta_ns().unsigned_abs() >= y.delta_ns().unsigned_abs()));
    }

    /// For any trace and any others: the fractions sum to its duration less their mean, exactly, however few paths the table has room for.
    #[test]
    fn fractions_sum_to_the_duration_less_the_mean(
        samples in prop_oneof![any_samples(), tree_samples(60, 4)],
        traces in prop::collection::vec(prop_oneof![any_samples(), tree_samples(30, 4)], 1..8),
        n_paths_max in 0_usize..30,
    ) {
        let mut tables = Tables::new(PATH_DEPTH_NORMAL);
        let normal = tables.normal(&traces, n_paths_max);
        let against = tables.against(&samples, &normal);
        let n = i128::from(against.n_traces);
        let sum: i128 = against.rows.iter().map(|row| row.delta_times_n_ns).sum();
        prop_assert_eq!(n, traces.len() as i128);
        prop_assert_eq!(sum, n * i128::from(against.duration_ns) - against.total_ns.cast_signed());
        prop_assert!(against.rows.is_sorted_by(|x, y| x.delta_times_n_ns.unsigned_abs() >= y.delta_times_n_ns.unsigned_abs()));
    }

    /// A trace that is all there is does not differ from what is normal.
    #[test]
    fn a_trace_is_normal_among_its_likes(samples in any_samples(), n in 1_usize..5) {
        let mut tables = Tables::new(PATH_DEPTH_NORMAL);
        let normal = tables.normal(&vec![samples.clone(); n], usize::MAX);
        prop_assert_eq!(tables.against(&samples, &normal).rows, []);
    }
}

/// A root with `n` calls one after the other, each of so many nanoseconds.
fn calls(n: u64, each_ns: u64, label: u64) -> Vec<Sample> {
    let end_ns = n * (each_ns + 10) + 10;
    let call = |idx: u64| Sample::new(idx + 2, 1, idx * (each_ns + 10), idx * (each_ns + 10) + each_ns).labelled(label);
    std::iter::once(Sample::new(1, 0, 0, end_ns).labelled(1)).chain((0..n).map(call)).collect()
}

#[test]
fn calls_of_one_path_are_one_row() {
    let comparison = Tables::new(u32::MAX).compare(&calls(37, 100, 2), &calls(37, 150, 2));
    let rows: Vec<_> = comparison.rows.iter().map(|row| (row.change, row.n, row.cp_a_ns, row.cp_b_ns)).collect();
    assert_eq!(rows, [(Change::Same, 37, 3700, 5550)]);
}

#[test]
fn what_is_only_in_one_counts_whole() {
    let comparison = Tables::new(u32::MAX).compare(&calls(2, 100, 2), &calls(2, 100, 3));
    let rows: Vec<_> = comparison.rows.iter().map(|row| (row.change, row.n, row.delta_ns())).collect();
    assert_eq!(rows, [(Change::Removed, 2, -200), (Change::Added, 2, 200)], "of equal deltas by path");
}

#[test]
fn of_equal_deltas_the_unusual_percentile_comes_first() {
    let mut tables = Tables::new(u32::MAX);
    let mut comparison = tables.compare(&calls(2, 100, 2), &calls(2, 100, 3));
    comparison.rows.iter_mut().filter(|row| row.change == Change::Added).for_each(|row| row.percentile = Some(9990));
    comparison.rank(&tables.paths, &tables.labels);
    assert_eq!(comparison.rows[0].change, Change::Added);
}

#[test]
fn few_traces_are_not_enough_and_none_have_no_mean() {
    let mut tables = Tables::new(PATH_DEPTH_NORMAL);
    let normal = |n| Normal::new(n, [], 0).unwrap();
    assert!(!tables.against(&calls(1, 5, 2), &normal(TRACES_ENOUGH - 1)).is_enough());
    assert!(tables.against(&calls(1, 5, 2), &normal(TRACES_ENOUGH)).is_enough());
    assert_eq!(tables.against(&calls(1, 5, 2), &normal(0)).rows, []);
}

#[test]
fn sums_that_nobody_can_have_are_refused_and_the_largest_are_exact() {
    assert!(Normal::new(1 << 63, [], 0).is_err() && Normal::new(1, [], u128::MAX).is_err());
    assert!(Normal::new(1, [(PathId(1), u128::MAX), (PathId(1), 1)], 5).is_err());
    let mut tables = Tables::new(PATH_DEPTH_NORMAL);
    let largest = Normal::new(1 << 62, [], 1 << 126).unwrap();
    let against = tables.against(&[Sample::new(1, 0, 0, u64::MAX)], &largest);
    let sum: i128 = against.rows.iter().map(|row| row.delta_times_n_ns).sum();
    assert_eq!(sum, (i128::from(u64::MAX) << 62) - (1 << 126));
}
