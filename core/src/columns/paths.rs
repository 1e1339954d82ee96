//! Label paths: how spans are called from the root down to one of them, each path once, by number.
//!
//! Called by [`crate::compare`], and by whoever keeps sums by path. Spans of equal paths are one row of an answer.

use super::{LabelId, Labels, Tree};
use std::collections::BTreeMap;

/// The number of a path in its table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct PathId(pub u32);

impl PathId {
    /// The path above the root: no label.
    pub const EMPTY: Self = Self(0);
}

/// How deep the paths of the aggregate table `paths` are.
pub const PATH_DEPTH_NORMAL: u32 = 12;

/// The last step of a path.
#[derive(Clone, Copy, Debug)]
struct Step {
    above: PathId,
    label: LabelId,
    depth: u32,
}

/// A table of label paths.
///
/// # Shape
/// A label that repeats the one above it adds no step: recursion folds. What lies deeper than the table goes counts with its ancestor there, so that
/// every span has a path. At most one path for each span that was asked about.
#[derive(Clone, Debug)]
pub struct Paths {
    steps: Vec<Step>,
    known: BTreeMap<(PathId, LabelId), PathId>,
    depth_max: u32,
}

impl Paths {
    /// Returns a table of paths of at most `depth_max` labels, at least one: [`PATH_DEPTH_NORMAL`] where they are held against the aggregates, else
    /// as many as there are.
    pub fn new(depth_max: u32) -> Self {
        let empty = Step { above: PathId::EMPTY, label: LabelId::SYNTHETIC, depth: 0 };
        Self { steps: vec![empty], known: BTreeMap::new(), depth_max: depth_max.max(1) }
    }

    /// Returns the path of a child called `label` of what has the path `above`.
    pub fn below(&mut self, above: PathId, label: LabelId) -> PathId {
        let step = self.step(above);
        if step.depth >= self.depth_max || (step.depth > 0 && step.label == label) {
            return above;
        }
        let Self { steps, known, .. } = self;
        *known.entry((above, label)).or_insert_with(|| {
            steps.push(Step { above, label, depth: step.depth + 1 });
            PathId(steps.len() as u32 - 1)
        })
    }

    /// Returns the path of these labels, from the root down.
    pub fn of_labels(&mut self, labels: impl IntoIterator<Item = LabelId>) -> PathId {
        labels.into_iter().fold(PathId::EMPTY, |above, label| self.below(above, label))
    }

    /// Returns the path of each node of a tree.
    pub fn of_tree(&mut self, tree: &Tree<'_>) -> Vec<PathId> {
        let mut paths = vec![PathId::EMPTY; tree.len()];
        for node in tree.order() {
            let above = tree.parent(*node).map_or(PathId::EMPTY, |parent| paths[parent as usize]);
            paths[*node as usize] = self.below(above, tree.row(*node).label);
        }
        paths
    }

    /// Returns the labels of a path, from the root down.
    pub fn labels(&self, path: PathId) -> Vec<LabelId> {
        let mut labels = Vec::new();
        let mut step = self.step(path);
        while step.depth > 0 {
            labels.push(step.label);
            step = self.step(step.above);
        }
        labels.reverse();
        labels
    }

    /// Returns for each path its place in the order of what their labels say, a path before those below it: the same order in every table.
    ///
    /// # Cost
    /// Time `n log n` and memory linear in the paths of the table.
    pub fn ranks(&self, labels: &Labels) -> Vec<u32> {
        let mut by_label: Vec<PathId> = (1..self.steps.len() as u32).map(PathId).collect();
        by_label.sort_by(|a, b| labels.order(self.step(*b).label, self.step(*a).label));
        let mut below: Vec<Vec<PathId>> = vec![Vec::new(); self.steps.len()];
        for path in by_label {
            below[self.step(path).above.0 as usize].push(path);
        }
        let mut ranks = vec![0; self.steps.len()];
        let mut open = vec![PathId::EMPTY];
        let mut n_ranked = 0;
        while let Some(path) = open.pop() {
            ranks[path.0 as usize] = n_ranked;
            n_ranked += 1;
            open.append(&mut below[path.0 as usize]);
        }
        ranks
    }

    fn step(&self, path: PathId) -> Step {
        self.steps.get(path.0 as usize).copied().unwrap_or(self.steps[0])
    }
}
