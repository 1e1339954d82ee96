//! Pairs of siblings: groups of one label, and who in a group is whom.
//!
//! Called for the children of each pair, and for what is found under a wrapping span.

use super::{Aligner, Fate, Side, assign};

/// Nodes of both sides that found nobody; no label stands on both sides.
#[derive(Default)]
pub(super) struct Leftovers {
    pub(super) a: Vec<u32>,
    pub(super) b: Vec<u32>,
}

impl Aligner<'_> {
    /// Pairs nodes of `a` with nodes of `b` under the pair `bases`, both in the order of their starts.
    pub(super) fn pair_groups(&mut self, bases: (u32, u32), a: &[u32], b: &[u32], how: fn(u32) -> Fate) -> Leftovers {
        let mut left = Leftovers::default();
        let (by_label_a, by_label_b) = (by_label(&self.a, a), by_label(&self.b, b));
        let (mut rest_a, mut rest_b) = (by_label_a.as_slice(), by_label_b.as_slice());
        while let (Some((label_a, _)), Some((label_b, _))) = (rest_a.first(), rest_b.first()) {
            let label = *label_a.min(label_b);
            let group_a = take_while(&mut rest_a, |(of, _)| *of == label);
            let group_b = take_while(&mut rest_b, |(of, _)| *of == label);
            self.pair_group(bases, group_a, group_b, how, &mut left);
        }
        left.a.extend(rest_a.iter().map(|(_, node)| *node));
        left.b.extend(rest_b.iter().map(|(_, node)| *node));
        left
    }

    fn pair_group(
        &mut self,
        bases: (u32, u32),
        group_a: &[(u32, u32)],
        group_b: &[(u32, u32)],
        how: fn(u32) -> Fate,
        left: &mut Leftovers,
    ) {
        let nodes = |group: &[(u32, u32)]| group.iter().map(|(_, node)| *node).collect::<Vec<_>>();
        if group_a.is_empty() || group_b.is_empty() {
            left.a.extend(nodes(group_a));
            left.b.extend(nodes(group_b));
            return;
        }
        let (mut a, mut b) = (nodes(group_a), nodes(group_b));
        if a.len() > 1 || b.len() > 1 {
            self.pair_twins(&mut a, &mut b, how);
        }
        if a.len() == b.len() {
            a.iter().zip(&b).for_each(|(a, b)| self.pair(*a, *b, how));
            return;
        }
        let (small, large) = match a.len() < b.len() {
            true => ((&self.a, bases.0, &a), (&self.b, bases.1, &b)),
            false => ((&self.b, bases.1, &b), (&self.a, bases.0, &a)),
        };
        let is_a_small = a.len() < b.len();
        let partners = assign::partners(small, large);
        let mut is_taken = vec![false; a.len().max(b.len())];
        for (small_idx, large_idx) in partners.into_iter().enumerate() {
            is_taken[large_idx] = true;
            match is_a_small {
                true => self.pair(a[small_idx], b[large_idx], how),
                false => self.pair(a[large_idx], b[small_idx], how),
            }
        }
        let (large, left) = if is_a_small { (b, &mut left.b) } else { (a, &mut left.a) };
        left.extend(large.into_iter().zip(is_taken).filter(|(_, is_taken)| !is_taken).map(|(node, _)| node));
    }

    /// Pairs the nodes whose subtrees are equally many on both sides, and leaves the others in their order.
    fn pair_twins(&mut self, a: &mut Vec<u32>, b: &mut Vec<u32>, how: fn(u32) -> Fate) {
        let (by_shape_a, by_shape_b) = (by_shape(&self.a, a), by_shape(&self.b, b));
        let (mut rest_a, mut rest_b) = (by_shape_a.as_slice(), by_shape_b.as_slice());
        let mut n_pairs = 0;
        while let (Some((shape_a, _)), Some((shape_b, _))) = (rest_a.first(), rest_b.first()) {
            let shape = *shape_a.min(shape_b);
            let class_a = take_while(&mut rest_a, |(of, _)| *of == shape);
            let class_b = take_while(&mut rest_b, |(of, _)| *of == shape);
            if class_a.len() == class_b.len() {
                n_pairs += class_a.len();
                class_a.iter().zip(class_b).for_each(|((_, a), (_, b))| self.pair(*a, *b, how));
            }
        }
        if n_pairs > 0 {
            a.retain(|node| self.a.is_alone(*node));
            b.retain(|node| self.b.is_alone(*node));
        }
    }
}

/// Returns nodes by label, those of one label in their order.
fn by_label(side: &Side<'_>, nodes: &[u32]) -> Vec<(u32, u32)> {
    let mut by_label: Vec<_> = nodes.iter().map(|node| (side.tree.row(*node).label.0, *node)).collect();
    by_label.sort_by_key(|(label, _)| *label);
    by_label
}

/// Returns nodes by the hash of their subtree, those of one hash in their order.
fn by_shape(side: &Side<'_>, nodes: &[u32]) -> Vec<(u64, u32)> {
    let mut by_shape: Vec<_> = nodes.iter().map(|node| (side.shapes.hashes[*node as usize], *node)).collect();
    by_shape.sort_by_key(|(hash, _)| *hash);
    by_shape
}

/// Takes the elements off the front of `rest` for which `belongs` holds.
pub(super) fn take_while<'s, T>(rest: &mut &'s [T], belongs: impl Fn(&T) -> bool) -> &'s [T] {
    let n = rest.iter().position(|element| !belongs(element)).unwrap_or(rest.len());
    let (taken, left) = rest.split_at(n);
    *rest = left;
    taken
}
