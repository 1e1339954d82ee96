//! Claims about rows and their tree: whatever the ids, each row has one place.

use super::samples::{Sample, any_samples, columns};
use super::{Columns, LabelId, Labels, PathId, Paths, Row, Tree, row_flags};
use crate::ids::SpanId;
use crate::record::SpanKind;
use crate::trace::{ProcessClock, ProcessInfo, Span, Trace, Visit};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

proptest! {
    /// For any rows: the tree holds each row once, after its parent, and the children of all nodes are all nodes but the root.
    #[test]
    fn every_row_has_one_place(samples in any_samples()) {
        let mut labels = Labels::default();
        let columns = columns(&samples, &mut labels);
        let tree = Tree::new(&columns, &labels);
        let mut is_placed = vec![false; tree.len()];
        for node in tree.order() {
            prop_assert!(!std::mem::replace(&mut is_placed[*node as usize], true), "{node} twice");
            match tree.parent(*node) {
                Some(parent) => {
                    prop_assert!(is_placed[parent as usize], "{node} before {parent}");
                    prop_assert!(tree.children(parent).contains(node));
                }
                None => prop_assert_eq!(Some(*node), tree.root()),
            }
        }
        prop_assert!(is_placed.iter().all(|is_placed| *is_placed));
        let n_children: usize = tree.order().iter().map(|node| tree.children(*node).len()).sum();
        prop_assert_eq!(n_children, tree.len().saturating_sub(1));
    }

    /// For any rows with ids of their own: in which order they come does not matter.
    #[test]
    fn the_order_of_rows_does_not_matter(mut samples in any_samples()) {
        samples.sort_by_key(|sample| sample.id);
        samples.dedup_by_key(|sample| sample.id);
        let parents = |samples: &[Sample]| {
            let mut labels = Labels::default();
            let columns = columns(samples, &mut labels);
            let tree = Tree::new(&columns, &labels);
            let id = |node: u32| tree.row(node).id;
            let mut parents: Vec<_> = (0..tree.len() as u32).map(|node| (id(node), tree.parent(node).map(id))).collect();
            parents.sort();
            parents
        };
        let forwards = parents(&samples);
        samples.reverse();
        prop_assert_eq!(forwards, parents(&samples));
    }
}

#[test]
fn a_cycle_is_cut_at_its_first_span_and_orphans_hang_under_the_root() {
    let samples = [
        Sample::new(1, 0, 0, 100),
        Sample::new(2, 4, 20, 30),
        Sample::new(3, 2, 10, 30),
        Sample::new(4, 3, 30, 40),
        Sample::new(5, 99, 50, 60),
        Sample::new(6, 6, 70, 80),
    ];
    let mut labels = Labels::default();
    let columns = columns(&samples, &mut labels);
    let tree = Tree::new(&columns, &labels);
    assert_eq!(tree.root(), Some(0));
    assert_eq!(tree.children(0), [2, 4, 5]);
    assert_eq!((tree.parent(1), tree.parent(3)), (Some(3), Some(2)));
    assert!(tree.is_cut(2) && tree.is_cut(5) && !tree.is_cut(1));
    assert!(tree.is_orphan(4) && !tree.is_orphan(2));
}

#[test]
fn several_roots_get_one_over_all_of_them() {
    let mut labels = Labels::default();
    let columns =
        columns(&[Sample::new(1, 0, 10, 20), Sample::new(2, 0, 30, 50), Sample::new(3, 99, 5, 7)], &mut labels);
    let tree = Tree::new(&columns, &labels);
    assert_eq!(tree.root(), Some(3));
    assert!(tree.is_synthetic(3) && tree.children(3) == [2, 0, 1]);
    assert_eq!((tree.row(3).start_ns, tree.row(3).end_ns, tree.row(3).label), (5, 50, LabelId::SYNTHETIC));
    assert_eq!(labels.get(tree.row(3).label).operation.len(), 0);
}

#[test]
fn no_rows_are_no_tree() {
    let (labels, columns) = (Labels::default(), Columns::default());
    let tree = Tree::new(&columns, &labels);
    assert!(tree.is_empty() && tree.root().is_none() && tree.children(0).is_empty());
}

#[test]
fn a_child_is_synchronous_where_its_parent_waits() {
    let check = |parent: Sample, child: Sample| {
        let mut labels = Labels::default();
        let columns = columns(&[parent, child], &mut labels);
        Tree::new(&columns, &labels).is_sync(1)
    };
    let parent = || Sample::new(1, 0, 0, 100);
    let child = |to| Sample::new(2, 1, 50, to);
    assert!(check(parent(), child(100)));
    assert!(!check(parent(), child(101)), "one clock: ends after its parent");
    assert!(check(parent(), child(101).on(1)), "another clock: may still be inside");
    assert!(!check(parent(), child(151).on(1)), "longer than its parent");
    assert!(check(parent().of_kind(SpanKind::Client), child(300).of_kind(SpanKind::Server)), "the caller gave up");
    assert!(!check(parent(), child(60).of_kind(SpanKind::Consumer)));
    assert!(!check(parent().of_kind(SpanKind::Producer), child(60)));
}

#[test]
fn repeated_labels_fold_and_deep_ones_count_with_their_ancestor() {
    let mut labels = Labels::default();
    let [a, b, c] = ["a", "b", "c"].map(|operation| labels.intern("s", operation, SpanKind::Internal));
    let mut paths = Paths::new(2);
    let ab = paths.of_labels([a, b]);
    assert_eq!(paths.of_labels([a, a, b, b]), ab);
    assert_eq!(paths.of_labels([a, b, c]), ab);
    assert_eq!(paths.labels(ab), [a, b]);
    assert_eq!(paths.labels(PathId::EMPTY), []);
}

#[test]
fn paths_are_in_the_order_of_their_texts() {
    let mut labels = Labels::default();
    let [c, b, a] = ["c", "b", "a"].map(|operation| labels.intern("s", operation, SpanKind::Internal));
    let mut paths = Paths::new(u32::MAX);
    let ordered = [vec![], vec![a], vec![a, b], vec![a, b, a], vec![a, c], vec![b], vec![c], vec![c, a]];
    let by_depth = ordered.iter().rev().map(|labels| paths.of_labels(labels.iter().copied())).collect::<Vec<_>>();
    let ranks = paths.ranks(&labels);
    assert_eq!(by_depth.iter().rev().map(|path| ranks[path.0 as usize]).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_label_has_one_number_and_its_hash_is_that_of_its_text() {
    let (mut labels, mut others) = (Labels::default(), Labels::default());
    let get = labels.intern("shop", "GET", SpanKind::Server);
    assert_eq!(labels.intern("shop", "GET", SpanKind::Server), get);
    assert_ne!(labels.intern("shop", "GET", SpanKind::Client), get);
    others.intern("other", "x", SpanKind::Client);
    let same = others.intern("shop", "GET", SpanKind::Server);
    assert_eq!((labels.hash(get), labels.get(get)), (others.hash(same), others.get(same)));
    assert_eq!(labels.get(LabelId(99)), labels.get(LabelId::SYNTHETIC));
}

#[test]
fn rows_are_repaired_bounded_and_shifted() {
    let mut columns = Columns::default();
    let host = columns.host("a");
    columns.push(Row { start_ns: 10, end_ns: 5, host, ..Row::default() });
    assert_eq!((columns.rows()[0].end_ns, columns.rows()[0].flags), (10, row_flags::REPAIRED));
    assert_eq!(columns.shifted(|_| -7).rows()[0].start_ns, 3);
    for _ in 0..super::ROWS_MAX + 1 {
        columns.push(Row::default());
    }
    assert_eq!((columns.rows().len(), columns.n_left_out()), (super::ROWS_MAX, 2));
}

fn process(service: &str, clock: ProcessClock) -> ProcessInfo {
    ProcessInfo { service: service.into(), clock, ..ProcessInfo::default() }
}

fn span(id: u64, parent: u64, start_ns: u64, end_ns: Option<u64>) -> Span {
    let (id, parent) = (SpanId(id), SpanId(parent));
    Span { id, parent, name: "work".into(), start_ns, end_ns, is_started: true, tid: 1, ..Span::default() }
}

#[test]
fn a_trace_becomes_rows() {
    let ticks = ProcessClock::Ticks { first: 0 };
    let trace = Trace {
        processes: vec![process("shop", ProcessClock::Wall), process("old", ticks)],
        spans: vec![
            span(1, 0, 1000, Some(1100)),
            span(2, 1, 1010, None),
            Span { process_idx: 1, is_started: false, ..span(3, 1, 5, Some(9)) },
        ],
        visits: vec![Visit { parent: SpanId(1), tid: 7, start_ns: 1020, end_ns: Some(1030), ..Visit::default() }],
        ..Trace::default()
    };
    let mut labels = Labels::default();
    let columns = Columns::of_trace(&trace, &mut labels);
    let times = |idx: usize| (columns.rows()[idx].start_ns, columns.rows()[idx].end_ns, columns.rows()[idx].flags);
    assert_eq!(times(0), (1000, 1100, 0));
    assert_eq!(times(1), (1010, 1100, row_flags::OPEN), "lasts until the last of its process");
    assert_eq!(times(2), (1005, 1009, row_flags::REPAIRED), "ticks count from the start of the trace");
    assert_eq!(times(3), (1020, 1030, row_flags::VISIT));
    assert_eq!(columns.rows()[3].id, trace.visit_id(&trace.visits[0]));
    assert_eq!(&*labels.get(columns.rows()[3].label).operation, "visit");
    assert_eq!(&*labels.get(columns.rows()[0].label).service, "shop");
    assert_eq!(
        columns.rows().iter().map(|row| row.host).collect::<Vec<_>>(),
        [0; 4],
        "both processes are of one agent"
    );
}
