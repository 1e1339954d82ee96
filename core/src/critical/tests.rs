//! Claims about critical paths: every nanosecond of the root belongs to one span, and to the one that the text of the rule says.

use super::CriticalPath;
use crate::columns::samples::{Sample, any_samples, columns, tree_samples};
use crate::columns::{Labels, Tree};
use crate::record::SpanKind;
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};
use std::cmp::Reverse;

/// Hands the tree and the path of `samples` to `check`.
fn with_path<R>(samples: &[Sample], check: impl FnOnce(&Tree<'_>, &CriticalPath) -> R) -> R {
    let mut labels = Labels::default();
    let columns = columns(samples, &mut labels);
    let tree = Tree::new(&columns, &labels);
    check(&tree, &CriticalPath::of(&tree))
}

/// The rule word by word, asking all children again after each step.
fn by_the_book(tree: &Tree<'_>, node: u32, (from, to): (u64, u64), self_ns: &mut [u64]) {
    let mut at = to;
    loop {
        let clipped = |child: u32| (tree.row(child).start_ns.max(from), tree.row(child).end_ns.min(to));
        let children = tree.children(node).iter().copied().filter(|child| tree.is_sync(*child));
        let ended = children.filter(|child| clipped(*child).0 < clipped(*child).1 && clipped(*child).1 <= at);
        let rank =
            |child: u32| (clipped(child).1, tree.row(child).start_ns, Reverse(tree.row(child).id), Reverse(child));
        let Some(child) = ended.max_by_key(|child| rank(*child)) else { break };
        self_ns[node as usize] += at - clipped(child).1;
        by_the_book(tree, child, clipped(child), self_ns);
        at = clipped(child).0;
    }
    self_ns[node as usize] += at - from;
}

proptest! {
    /// For any rows: the contributions sum to the root's duration, and the stretches lie end to end over it.
    #[test]
    fn contributions_sum_to_the_duration(samples in any_samples()) {
        with_path(&samples, |tree, path| {
            let Some(root) = tree.root() else {
                prop_assert!(path.stretches.is_empty());
                return Ok(());
            };
            let row = tree.row(root);
            prop_assert_eq!(path.self_ns.iter().sum::<u64>(), row.duration_ns());
            prop_assert_eq!(path.duration_ns(), row.duration_ns());
            let mut at_ns = row.start_ns;
            let mut by_node = vec![0; tree.len()];
            for stretch in &path.stretches {
                prop_assert_eq!(stretch.from_ns, at_ns);
                prop_assert!(stretch.to_ns > at_ns);
                at_ns = stretch.to_ns;
                by_node[stretch.node as usize] += stretch.to_ns - stretch.from_ns;
            }
            prop_assert_eq!(by_node, path.self_ns.clone());
            Ok(())
        })?;
    }

    /// For any rows: the path is the one that the rule gives when it is followed word by word.
    #[test]
    fn the_path_is_that_of_the_rule(samples in any_samples()) {
        with_path(&samples, |tree, path| {
            let mut self_ns = vec![0; tree.len()];
            if let Some(root) = tree.root() {
                by_the_book(tree, root, (tree.row(root).start_ns, tree.row(root).end_ns), &mut self_ns);
            }
            prop_assert_eq!(&path.self_ns, &self_ns);
            Ok(())
        })?;
    }

    /// For sound traces: a span is on the path only while it lasts.
    #[test]
    fn stretches_lie_within_their_spans(samples in tree_samples(60, 5)) {
        with_path(&samples, |tree, path| {
            for stretch in &path.stretches {
                let row = tree.row(stretch.node);
                prop_assert!(row.start_ns <= stretch.from_ns && stretch.to_ns <= row.end_ns);
            }
            Ok(())
        })?;
    }
}

fn check(samples: &[Sample], expected: &[u64]) {
    with_path(samples, |_, path| assert_eq!(path.self_ns, expected));
}

#[test]
fn the_child_that_ends_last_takes_its_time_and_hides_those_beside_it() {
    check(
        &[
            Sample::new(1, 0, 0, 100),
            Sample::new(2, 1, 10, 40),
            Sample::new(3, 1, 30, 90),
            Sample::new(4, 1, 15, 25),
            Sample::new(5, 3, 50, 60),
        ],
        &[10 + 5 + 15, 0, 50, 10, 10],
    );
}

#[test]
fn of_equal_ends_the_later_start_then_the_smaller_id_counts() {
    check(&[Sample::new(1, 0, 0, 100), Sample::new(2, 1, 10, 90), Sample::new(3, 1, 50, 90)], &[60, 0, 40]);
    check(&[Sample::new(1, 0, 0, 100), Sample::new(3, 1, 50, 90), Sample::new(2, 1, 50, 90)], &[60, 0, 40]);
}

#[test]
fn a_child_counts_only_inside_its_parent() {
    check(&[Sample::new(1, 0, 50, 100), Sample::new(2, 1, 10, 70), Sample::new(3, 2, 60, 65)], &[30, 15, 5]);
    check(
        &[Sample::new(1, 0, 50, 100), Sample::new(2, 1, 90, 130).on(1), Sample::new(3, 2, 110, 120).on(1)],
        &[40, 10, 0],
    );
    check(&[Sample::new(1, 0, 50, 100), Sample::new(2, 1, 0, 40)], &[50, 0]);
}

#[test]
fn what_is_asynchronous_is_on_nobodys_path() {
    check(&[Sample::new(1, 0, 0, 100), Sample::new(2, 1, 50, 150)], &[100, 0]);
    check(&[Sample::new(1, 0, 0, 100), Sample::new(2, 1, 50, 80).of_kind(SpanKind::Consumer)], &[100, 0]);
}

#[test]
fn a_chain_of_a_hundred_thousand_spans_ends() {
    let n = 100_000;
    let samples: Vec<_> = (1..=n).map(|id| Sample::new(id, id - 1, id, 3 * n - id).labelled(1)).collect();
    with_path(&samples, |_, path| assert_eq!(path.self_ns.iter().sum::<u64>(), 3 * n - 2));
}
