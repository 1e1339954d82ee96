//! Claims about alignments: everything pairs with itself, both ways are mirrors, single edits are found exactly, and work is bounded.

mod edits;

use super::{Alignment, Fate, align, assign};
use crate::columns::samples::{Sample, any_samples, columns, tree_samples};
use crate::columns::{Labels, Tree};
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};

/// Returns the alignment of two traces.
fn aligned(a: &[Sample], b: &[Sample]) -> Alignment {
    let mut labels = Labels::default();
    let (a, b) = (columns(a, &mut labels), columns(b, &mut labels));
    align(&Tree::new(&a, &labels), &Tree::new(&b, &labels), &labels)
}

/// Returns the samples with the subtrees of siblings begun in another order: each span starts where a random sibling did, with all below it.
fn permuted(samples: &[Sample], seeds: &[u16]) -> Vec<Sample> {
    let mut permuted = samples.to_vec();
    for parent in samples {
        let children: Vec<usize> = (0..samples.len()).filter(|idx| samples[*idx].parent == parent.id).collect();
        let starts: Vec<u64> = children.iter().map(|idx| samples[*idx].start_ns - parent.start_ns).collect();
        let mut shuffled = children.clone();
        shuffled.sort_by_key(|idx| seeds[*idx % seeds.len()]);
        let parent_start_ns = permuted.iter().find(|sample| sample.id == parent.id).map(|sample| sample.start_ns);
        for (idx, start_ns) in shuffled.into_iter().zip(starts) {
            let sample = &mut permuted[idx];
            let duration_ns = sample.end_ns - sample.start_ns;
            sample.start_ns = parent_start_ns.unwrap() + start_ns;
            sample.end_ns = sample.start_ns + duration_ns;
        }
    }
    permuted
}

fn check_counterparts(ours: &[Fate], theirs: &[Fate]) {
    for (node, fate) in ours.iter().enumerate() {
        let Some(other) = fate.counterpart() else { continue };
        let back = theirs[other as usize];
        assert_eq!(back.counterpart(), Some(node as u32));
        assert_eq!(std::mem::discriminant(fate), std::mem::discriminant(&back));
    }
}

proptest! {
    /// For any rows: each is its own counterpart in the same trace.
    #[test]
    fn everything_pairs_with_itself(samples in any_samples()) {
        let alignment = aligned(&samples, &samples);
        for (node, fate) in alignment.a.iter().enumerate() {
            prop_assert_eq!(*fate, Fate::Same(node as u32));
        }
        prop_assert_eq!(&alignment.a, &alignment.b);
    }

    /// For any two traces: counterparts are mutual, and the other way round is the mirror.
    #[test]
    fn the_other_way_round_is_the_mirror(a in any_samples(), b in any_samples()) {
        let alignment = aligned(&a, &b);
        check_counterparts(&alignment.a, &alignment.b);
        check_counterparts(&alignment.b, &alignment.a);
        prop_assert_eq!(aligned(&b, &a), alignment.mirrored());
    }

    /// The same for trees that have much in common, so that all rules have work.
    #[test]
    fn the_other_way_round_is_the_mirror_for_trees_alike(a in tree_samples(60, 4), b in tree_samples(60, 4)) {
        let alignment = aligned(&a, &b);
        check_counterparts(&alignment.a, &alignment.b);
        prop_assert_eq!(aligned(&b, &a), alignment.mirrored());
    }

    /// For any sound trace: in what order parallel calls begin does not matter.
    #[test]
    fn the_order_of_siblings_does_not_matter(
        samples in tree_samples(60, 3),
        seeds in prop::collection::vec(any::<u16>(), 1..60),
    ) {
        let alignment = aligned(&samples, &permuted(&samples, &seeds));
        prop_assert!(alignment.a.iter().chain(&alignment.b).all(|fate| matches!(fate, Fate::Same(_))));
    }

    /// For any two groups of one label: all of the smaller side have partners, in order.
    #[test]
    fn no_label_is_both_added_and_removed_below_one_parent(n_a in 0_u64..30, n_b in 0_u64..30, seed in any::<u64>()) {
        let group = |n: u64, salt: u64| -> Vec<Sample> {
            let start = |id: u64| (id.wrapping_mul(seed | 1) ^ salt) % 10_000;
            let children = (2..n + 2).map(|id| Sample::new(id, 1, start(id), start(id) + 5).labelled(7));
            std::iter::once(Sample::new(1, 0, 0, 20_000).labelled(1)).chain(children).collect()
        };
        let alignment = aligned(&group(n_a, 3), &group(n_b, 5));
        let n_alone = |fates: &[Fate]| fates.iter().filter(|fate| **fate == Fate::Alone).count();
        prop_assert_eq!(n_alone(&alignment.a), n_a.saturating_sub(n_b) as usize);
        prop_assert_eq!(n_alone(&alignment.b), n_b.saturating_sub(n_a) as usize);
    }

    /// For any worths: the partners are worth as much as any others that do not cross.
    #[test]
    fn partners_are_the_best(worths in prop::collection::vec(prop::collection::vec(0_i128..20, 6), 1..5), n_skips in 0_usize..3) {
        let n_small = worths.len().min(6 - n_skips);
        let worth = |small: usize, large: usize| worths[small][large];
        let sum = |partners: &[usize]| partners.iter().enumerate().map(|(small, large)| worth(small, *large)).sum::<i128>();
        let found = assign::best(n_small, n_skips, worth);
        prop_assert!(found.is_sorted_by(|a, b| a < b) && found.iter().all(|large| *large < n_small + n_skips));
        let best = choices(n_small, n_small + n_skips).iter().map(|choice| sum(choice)).max();
        prop_assert_eq!(Some(sum(&found)), best);
    }
}

/// Returns all ascending choices of `n` below `of`.
fn choices(n: usize, of: usize) -> Vec<Vec<usize>> {
    (0_u32..1 << of)
        .filter(|set| set.count_ones() as usize == n)
        .map(|set| (0..of).filter(|bit| set >> bit & 1 == 1).collect())
        .collect()
}

/// A root with `n` children of one label, each with a grandchild of its own label where `differs`.
fn fan_out(n: u64, differs: bool) -> Vec<Sample> {
    let mut samples = vec![Sample::new(1, 0, 0, 100 * n + 100).labelled(1)];
    for child in 0..n {
        let id = 2 + 2 * child;
        samples.push(Sample::new(id, 1, 100 * child, 100 * child + 50).labelled(2));
        let label = if differs { id } else { 3 };
        samples.push(Sample::new(id + 1, id, 100 * child + 1, 100 * child + 20).labelled(label));
    }
    samples
}

#[test]
fn a_group_too_large_to_align_pairs_from_the_front() {
    let (small, large) = (fan_out(2500, false), fan_out(4000, false));
    let alignment = aligned(&small, &large);
    assert!(alignment.a.iter().enumerate().all(|(node, fate)| *fate == Fate::Same(node as u32)));
    assert_eq!(aligned(&large, &small), alignment.mirrored());
}

#[test]
fn a_large_group_is_aligned_by_what_is_below_and_by_time() {
    let large = fan_out(2000, true);
    let small: Vec<Sample> = large.iter().filter(|sample| sample.id == 1 || sample.id / 2 % 2 == 1).cloned().collect();
    let alignment = aligned(&small, &large);
    for (node, fate) in alignment.a.iter().enumerate() {
        assert_eq!(large[fate.counterpart().unwrap() as usize].id, small[node].id);
    }
}

#[test]
fn equal_spans_are_told_apart_by_their_offsets() {
    let b = fan_out(9, false);
    let a: Vec<Sample> = b.iter().filter(|sample| ![8, 9, 14, 15].contains(&sample.id)).cloned().collect();
    let alignment = aligned(&a, &b);
    let alone: Vec<u64> =
        (0..b.len()).filter(|node| alignment.b[*node] == Fate::Alone).map(|node| b[node].id).collect();
    assert_eq!(alone, [8, 9, 14, 15]);
}

#[test]
fn a_trace_without_rows_has_no_counterparts() {
    assert_eq!(aligned(&[], &fan_out(1, false)), Alignment { a: vec![], b: vec![Fate::Alone; 3] });
}

#[test]
fn the_same_tree_in_two_orders_of_rows_is_the_same() {
    let samples = fan_out(20, true);
    let reversed: Vec<Sample> = samples.iter().rev().cloned().collect();
    let alignment = aligned(&samples, &reversed);
    let last = samples.len() as u32 - 1;
    assert!((0..=last).all(|node| alignment.a[node as usize] == Fate::Same(last - node)));
}

/// Sound traces with an id for each label.
fn any_tree() -> impl Strategy<Value = Vec<Sample>> {
    tree_samples(40, u64::MAX)
}
