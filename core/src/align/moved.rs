//! Subtrees that hang elsewhere.
//!
//! Called once, when all that has its place is paired.

use super::siblings::take_while;
use super::{Aligner, Fate, Side};
use std::cmp::Reverse;

/// What a subtree is found by, the largest first.
type Key = (Reverse<u32>, u64);

impl Aligner<'_> {
    /// Pairs the subtrees of leftovers that have the same labels, largest first; of several by start.
    pub(super) fn find_moved(&mut self) {
        let (whole_a, whole_b) = (whole(&self.a), whole(&self.b));
        let (mut rest_a, mut rest_b) = (whole_a.as_slice(), whole_b.as_slice());
        while let (Some((key_a, _)), Some((key_b, _))) = (rest_a.first(), rest_b.first()) {
            let key = *key_a.min(key_b);
            let of_a = take_while(&mut rest_a, |(of, _)| *of == key);
            let of_b = take_while(&mut rest_b, |(of, _)| *of == key);
            let mut alone_b = of_b.iter().map(|(_, node)| *node);
            for (_, a) in of_a {
                if !self.a.is_alone(*a) {
                    continue;
                }
                let Some(b) = alone_b.by_ref().find(|b| self.b.is_alone(*b)) else { break };
                self.pair(*a, b, Fate::Moved);
                // At once: what is below is found, and must not be found again by itself.
                self.descend();
            }
        }
    }
}

/// Returns the nodes under which everything is left over, by size and hash, then by start.
fn whole(side: &Side<'_>) -> Vec<(Key, u32)> {
    let mut is_whole: Vec<bool> = side.fates.iter().map(|fate| *fate == Fate::Alone).collect();
    for node in side.tree.order().iter().rev() {
        if let Some(parent) = side.tree.parent(*node) {
            is_whole[parent as usize] &= is_whole[*node as usize];
        }
    }
    let shapes = &side.shapes;
    let key = |node: u32| (Reverse(shapes.sizes[node as usize]), shapes.hashes[node as usize]);
    let mut whole: Vec<(Key, u32)> =
        (0..side.tree.len() as u32).filter(|node| is_whole[*node as usize]).map(|node| (key(node), node)).collect();
    whole.sort_unstable_by_key(|(key, node)| {
        let row = side.tree.row(*node);
        (*key, row.start_ns, row.id, *node)
    });
    whole
}
