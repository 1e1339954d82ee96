//! Subtrees by their labels: how many nodes, and a hash that is equal for equal ones whatever the order of siblings.
//!
//! Called once for each side.

use crate::columns::{Labels, Tree, hash_of};

/// Those of every node.
pub(super) struct Shapes {
    /// Nodes of the subtree, itself included.
    pub(super) sizes: Vec<u32>,
    /// Equal for subtrees of equal labels. Others are equal by chance of 2^-64, or because somebody chose labels so; then spans pair that should
    /// not, and no sum is wrong.
    pub(super) hashes: Vec<u64>,
}

impl Shapes {
    pub(super) fn of(tree: &Tree<'_>, labels: &Labels) -> Self {
        let mut sizes = vec![1_u32; tree.len()];
        // Until a node is finished, the sum of its children's.
        let mut hashes = vec![0_u64; tree.len()];
        for node in tree.order().iter().rev() {
            let idx = *node as usize;
            hashes[idx] = hash_of(&[labels.hash(tree.row(*node).label), hashes[idx], u64::from(sizes[idx])]);
            if let Some(parent) = tree.parent(*node) {
                sizes[parent as usize] += sizes[idx];
                hashes[parent as usize] = hashes[parent as usize].wrapping_add(hashes[idx]);
            }
        }
        Self { sizes, hashes }
    }
}
