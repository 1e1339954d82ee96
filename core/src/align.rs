//! Two traces held against each other: which span of one is which span of the other.
//!
//! Called by [`crate::compare`]. Pure and without seed; `align(b, a)` is the mirror of `align(a, b)`, since every step treats both sides alike and every
//! tie is broken by what stands in the spans.

mod assign;
mod moved;
mod shapes;
mod siblings;
#[cfg(test)]
mod tests;
mod wrapped;

pub use assign::{GROUP_CELLS_MAX, GROUP_LABELS_MAX};

use crate::columns::{Labels, Tree};
use shapes::Shapes;

/// What became of a span on the other side.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Fate {
    /// It is not there: added, or removed.
    #[default]
    Alone,
    /// It is not there, but what hung under it is: put around spans, or taken away from around them.
    Around,
    /// It is there, under the parent's counterpart.
    Same(u32),
    /// It is there, under the counterpart of a span further up or down, because spans were put around it or taken away: see [`Fate::Around`].
    Wrapped(u32),
    /// It is there with all that hangs under it, elsewhere.
    Moved(u32),
}

impl Fate {
    /// Returns the span on the other side.
    pub const fn counterpart(self) -> Option<u32> {
        match self {
            Self::Alone | Self::Around => None,
            Self::Same(node) | Self::Wrapped(node) | Self::Moved(node) => Some(node),
        }
    }
}

/// Which node of one tree is which node of another.
///
/// # Shape
/// For each node of each side its fate; counterparts are mutual, with one kind of fate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Alignment {
    /// Those of the first tree.
    pub a: Vec<Fate>,
    /// Those of the second.
    pub b: Vec<Fate>,
}

impl Alignment {
    /// Returns the alignment of the same trees the other way round.
    pub fn mirrored(self) -> Self {
        Self { a: self.b, b: self.a }
    }
}

/// Aligns two traces whose labels are in `labels`.
///
/// The roots are a pair, whatever they are called. Of a pair, the children with one label are a group on each side, so that the order of parallel calls
/// with different labels does not matter. In a group
/// 1. spans whose subtrees have the same labels pair first, where both sides have equally many of such a subtree, so that the order of parallel calls
///    with one label does not matter either;
/// 2. of what is left, equally many pair in the order of their starts;
/// 3. else all of the smaller side pair with some of the larger in the order of their starts, such that the subtrees share the most labels down to
///    their grandchildren, then such that the offsets from the parents' starts differ least. Where that is too much work, the first pair.
///
/// So within a group only one side has leftovers: no label is both added to and removed from one parent. What is left over is *wrapped* (the
/// descendants of a leftover, at most three levels down, are leftovers of the other side), else *moved* (both traces hold leftovers with the same
/// subtree of labels; largest first), else added or removed.
///
/// # Cost
/// Time `n log n` and memory linear in the spans, but for groups that differ in number: each up to [`GROUP_CELLS_MAX`] steps of dynamic programming and
/// [`GROUP_LABELS_MAX`] comparisons of labels, in all at most about 330 steps and some thousand comparisons a span.
/// # Source
/// Ours. Tree edit distance without order is NP-hard; this is exact for single edits, greedy for many.
pub fn align(a: &Tree<'_>, b: &Tree<'_>, labels: &Labels) -> Alignment {
    let (Some(root_a), Some(root_b)) = (a.root(), b.root()) else {
        return Alignment { a: vec![Fate::Alone; a.len()], b: vec![Fate::Alone; b.len()] };
    };
    let mut aligner = Aligner { a: Side::new(a, labels), b: Side::new(b, labels), labels, open: Vec::new() };
    aligner.pair(root_a, root_b, Fate::Same);
    aligner.descend();
    aligner.find_moved();
    Alignment { a: aligner.a.fates, b: aligner.b.fates }
}

/// One of the two trees.
struct Side<'t> {
    tree: &'t Tree<'t>,
    shapes: Shapes,
    fates: Vec<Fate>,
}

impl<'t> Side<'t> {
    fn new(tree: &'t Tree<'t>, labels: &Labels) -> Self {
        Self { tree, shapes: Shapes::of(tree, labels), fates: vec![Fate::Alone; tree.len()] }
    }

    fn is_alone(&self, node: u32) -> bool {
        self.fates[node as usize] == Fate::Alone
    }

    /// Returns how long after `base` a node starts.
    fn offset(&self, base: u32, node: u32) -> i128 {
        i128::from(self.tree.row(node).start_ns) - i128::from(self.tree.row(base).start_ns)
    }
}

/// An alignment as it grows.
struct Aligner<'t> {
    a: Side<'t>,
    b: Side<'t>,
    labels: &'t Labels,
    /// Pairs whose children have not been looked at.
    open: Vec<(u32, u32)>,
}

impl Aligner<'_> {
    fn pair(&mut self, a: u32, b: u32, how: fn(u32) -> Fate) {
        self.a.fates[a as usize] = how(b);
        self.b.fates[b as usize] = how(a);
        self.open.push((a, b));
    }

    /// Pairs all below the open pairs.
    fn descend(&mut self) {
        while let Some((a, b)) = self.open.pop() {
            let of_a = self.a.tree.children(a);
            let of_b = self.b.tree.children(b);
            if of_a.is_empty() || of_b.is_empty() {
                continue;
            }
            let left = self.pair_groups((a, b), of_a, of_b, Fate::Same);
            self.find_wrapped((a, b), left);
        }
    }
}
