//! Claims about contexts: what a page shows is what was counted, and a comparison with normal sums up exactly.

use super::{Context, View};
use crate::agg::tests::{HOUR, trace};
use crate::agg::{Aggregates, Arrival, HOUR_NS, LabelRef, Limits, Population, Window, columns_of};
use crate::rows::{Event, SpanRow};
use backsight_core::columns::{Labels, PATH_DEPTH_NORMAL, PathId, Paths, Tree};
use backsight_core::compare::AgainstNormal;
use backsight_core::critical::CriticalPath;
use backsight_core::ids::SpanId;
use backsight_core::record::SpanKind;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;

const ARRIVAL: Arrival = Arrival { population: Population::Ordinary, ingest_ns: HOUR * HOUR_NS + HOUR_NS };

fn window<'a>() -> Window<'a> {
    Window::new(Population::Ordinary, (HOUR - 2) * HOUR_NS, (HOUR + 2) * HOUR_NS)
}

fn root_of<'a>(spans: &'a [SpanRow<'_>], tree: &Tree<'_>) -> LabelRef<'a> {
    let root = tree.root().unwrap();
    if tree.is_synthetic(root) {
        return LabelRef::SYNTHETIC;
    }
    let span = &spans[root as usize];
    LabelRef::new(&span.service, &span.operation, SpanKind::from_code(span.kind as u8))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// For any trace and any others, however few paths and labels stay: what each path adds to the difference between the trace and what is normal for
    /// its root sums to `N duration - sum of the durations` of the traces of that root, exactly. Where all stay, each path has the sum of its
    /// contributions, by the paths of `core`.
    #[test]
    fn a_comparison_with_normal_sums_up(traces in vec(trace(), 1..12), is_narrow: bool) {
        let limits = Limits { paths_max: 5, paths_of_root_max: 2, ..Limits::default() };
        let limits = if is_narrow { limits } else { Limits::default() };
        let mut aggregates = Aggregates::new(limits);
        let (mut labels, mut paths) = (Labels::default(), Paths::new(PATH_DEPTH_NORMAL));
        let mut all = Vec::new();
        for spans in &traces {
            aggregates.add_rows(spans, ARRIVAL);
            let (columns, _) = columns_of(spans, &mut labels);
            all.push((spans, columns));
        }
        let trees: Vec<_> = all.iter().map(|(spans, columns)| (spans, Tree::new(columns, &labels))).collect();
        let trees: Vec<_> = trees.into_iter().map(|(spans, tree)| (root_of(spans, &tree), CriticalPath::of(&tree), tree)).collect();
        let (root, critical, tree) = &trees[0];
        let asked = window().with_root(*root);
        let mut view = View::new(&asked);
        aggregates.take().rows_of(&asked).for_each(|row| view.add(&row));
        let normal = view.normal(&mut labels, &mut paths).unwrap().unwrap();
        let against = AgainstNormal::of(tree, critical, &normal, &mut paths, &labels);
        let of_root = || trees.iter().filter(|(of, ..)| of == root);
        let total_ns: u128 = of_root().map(|(_, critical, _)| u128::from(critical.duration_ns())).sum();
        let n = of_root().count();
        prop_assert_eq!((against.n_traces, against.total_ns), (n as u64, total_ns));
        let sum: i128 = against.rows.iter().map(|row| row.delta_times_n_ns).sum();
        prop_assert_eq!(sum, n as i128 * i128::from(critical.duration_ns()) - total_ns.cast_signed());
        if !is_narrow {
            let mut sums: BTreeMap<PathId, u128> = BTreeMap::new();
            for (_, critical, tree) in of_root() {
                let of_nodes = paths.of_tree(tree);
                of_nodes.iter().zip(&critical.self_ns).for_each(|(path, ns)| *sums.entry(*path).or_default() += u128::from(*ns));
            }
            prop_assert!(against.rows.iter().all(|row| row.path.is_some_and(|path| sums[&path] == row.sum_ns)));
        }
    }
}

fn span(id: u64, parent: u64, operation: &'static str, offset_ns: i64, duration_ns: i64) -> SpanRow<'static> {
    SpanRow {
        id: SpanId(id),
        parent: (parent > 0).then_some(SpanId(parent)),
        start_ns: HOUR * HOUR_NS + offset_ns,
        duration_ns,
        service: "shop".into(),
        operation: operation.into(),
        process: "p".into(),
        kind: 1,
        ..SpanRow::default()
    }
}

const fn label(operation: &'static str) -> LabelRef<'static> {
    LabelRef { service: "shop", operation, kind: Some(SpanKind::Internal) }
}

/// Returns what a hundred traces are like: of each `root`, 1 to 100 us long, half have a child, and a tenth an event.
fn hundred(limits: Limits) -> Aggregates {
    let mut aggregates = Aggregates::new(limits);
    for n in 0..100 {
        let mut root = span(1, 0, "root", 0, (n + 1) * 1000);
        if n % 10 == 0 {
            root.events = vec![Event { name: "slow 17".into(), ..Event::default() }; 2].into();
        }
        let mut spans = vec![root];
        if n % 2 == 0 {
            spans.extend([span(2, 1, "child", 1, 500), span(3, 1, "child", 2, 500)]);
        }
        spans.iter().for_each(|span| aggregates.add_span(span, ARRIVAL));
        aggregates.add_rows(&spans, ARRIVAL);
    }
    aggregates
}

#[test]
fn a_context_holds_what_was_asked_for() {
    let aggregates = hundred(Limits::default());
    let from_ms = HOUR * 3_600_000;
    let asked =
        window().with_label(label("root")).with_label(label("gone")).with_process("p", from_ms - 1..from_ms + 2);
    let mut view = View::new(&asked);
    aggregates.rows_of(&asked).for_each(|row| view.add(&row));
    // In two halves, and as it came.
    let mut halves = [View::new(&asked), View::new(&asked)];
    aggregates.rows_of(&asked).enumerate().for_each(|(idx, row)| halves[idx % 2].add(&row));
    let [mut half, other_half] = halves;
    half.merge(&other_half);
    assert_eq!(half.context(&[]), view.context(&[]));
    let durations = [(label("root"), 50_500), (label("child"), 3), (label("root"), 1)];
    let Context { ops, events, edges, contention, has_other } = view.context(&durations);
    assert!(!has_other);
    assert_eq!(
        (ops.len(), ops[0].label, ops[0].n, ops[0].histogram.counts.iter().sum()),
        (1, label("root"), 100, 100_u64)
    );
    let percentiles: Vec<_> = ops[0].values.iter().map(|placed| (placed.value_ns, placed.percentile)).collect();
    assert_eq!(percentiles, [(50_500, Some(5000)), (1, Some(0))]);
    assert_eq!(ops[0].values[1].bin, None);
    assert_eq!((events.len(), events[0].key, events[0].n_tasks, events[0].n_of), (1, "slow #", 10, 100));
    assert_eq!((edges.len(), edges[0].child, edges[0].is_sync), (1, label("child"), true));
    assert_eq!((edges[0].n_parents, edges[0].n_of), (50, 100));
    assert_eq!((contention[0].from_ms, contention[0].counts.as_slice()), (from_ms - 1, [0, 200, 0].as_slice()));
    assert_eq!(view.op(label("child")), None);
    assert_eq!(view.normal(&mut Labels::default(), &mut Paths::new(PATH_DEPTH_NORMAL)), Ok(None));
}

#[test]
fn a_context_says_where_keys_were_too_many() {
    let mut aggregates = hundred(Limits { ops_max: 1, ..Limits::default() }).take();
    aggregates.settle();
    let asked = window().with_label(label("root"));
    let mut view = View::new(&asked);
    aggregates.rows_of(&asked).for_each(|row| view.add(&row));
    assert!(view.context(&[]).has_other);
}
