//! Table `paths`: what spans of a label path contribute to the critical paths of all traces of a root; and the traces of each root.
//!
//! Called by `tables` with whole traces. Paths are those of [`backsight_core::columns::Paths`] at [`PATH_DEPTH_NORMAL`]. Whatever paths go, the sums of
//! a root are of all its traces, so that what the paths left of it do not hold is other.

use super::labels::{GONE, Labels, Rank};
use super::sums::{OCTAVE_BYTES, PathSums, RootSums};
use backsight_core::columns::{PATH_DEPTH_NORMAL, Tree};
use backsight_core::critical::CriticalPath;
use foldhash::HashMap;

/// No path: above a root, or of a span whose path has none.
const NONE: u32 = u32::MAX;

/// A step down from a path, or from nothing to a root.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct Step {
    above: u32,
    label: u32,
}

/// What paths are ordered by before all else, the same in every table: the last of their labels, then how deep they are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Order {
    last: Rank,
    depth: u32,
}

#[derive(Clone, Debug)]
struct Row {
    /// Above it, and its last label; what is above stands before it.
    step: Step,
    root: u32,
    order: Order,
    sums: PathSums,
    /// The last trace that had it.
    trace: u64,
}

/// The sums of a root, and how many paths begin there.
#[derive(Clone, Debug, Default)]
struct Root {
    sums: RootSums,
    n_paths: usize,
    /// As of `labels`, where as many paths as may stay.
    worst: Option<Order>,
}

/// The paths, each once, and the roots.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    rows: Vec<Row>,
    known: HashMap<Step, u32>,
    /// By label.
    roots: Vec<Root>,
    /// Traces whose root has no label that stays.
    pub(super) other: RootSums,
    /// As of a root, of all.
    worst: Option<Order>,
    n_octaves: usize,
    /// The most paths of one root.
    n_of_root_most: usize,
    /// Counts traces.
    trace: u64,
    /// The path of each node of a trace.
    of_nodes: Vec<u32>,
}

/// How many paths may stay.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Of one root.
    pub(super) of_root: usize,
    /// Of all.
    pub(super) of_all: usize,
}

impl Paths {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are more paths than `room` has twice.
    pub(super) fn is_crowded(&self, room: Room) -> bool {
        self.rows.len() > 2 * room.of_all || self.n_of_root_most > 2 * room.of_root
    }

    /// Counts a trace, whose nodes have the labels `labels`, numbers of `names`.
    pub(super) fn add_trace(
        &mut self,
        tree: &Tree<'_>,
        critical: &CriticalPath,
        labels: &[Option<u32>],
        names: &Labels,
    ) {
        let Some(root) = tree.root() else { return };
        self.trace += 1;
        let sums = RootSums { n_traces: 1, n_spans: tree.len() as u64, sum_ns: critical.duration_ns().into() };
        self.merge_root(labels[root as usize], sums);
        let mut of_nodes = std::mem::take(&mut self.of_nodes);
        of_nodes.clear();
        of_nodes.resize(tree.len(), NONE);
        for node in tree.order().iter().copied() {
            let label = labels[node as usize];
            let path = match (tree.parent(node), label) {
                (_, None) => None,
                (None, Some(label)) => self.below(NONE, label, names),
                (Some(parent), Some(label)) => match of_nodes[parent as usize] {
                    NONE => None,
                    above => self.below(above, label, names),
                },
            };
            of_nodes[node as usize] = path.unwrap_or(NONE);
        }
        // In a loop of its own, whose rows do not depend on each other: they are seldom in a cache.
        for (path, self_ns) in of_nodes.iter().zip(&critical.self_ns) {
            let Some(row) = self.rows.get_mut(*path as usize) else { continue };
            let is_first = std::mem::replace(&mut row.trace, self.trace) != self.trace;
            row.sums.n_traces += u64::from(is_first);
            let n_before = row.sums.selfs.n_octaves();
            row.sums.add_span(*self_ns);
            self.n_octaves += row.sums.selfs.n_octaves() - n_before;
        }
        self.of_nodes = of_nodes;
    }

    /// Returns the path of a span called `label` under one with the path `above`, as [`backsight_core::columns::Paths::below`] does; `None` where so many
    /// are before it that it cannot stay.
    fn below(&mut self, above: u32, label: u32, names: &Labels) -> Option<u32> {
        let row = self.rows.get(above as usize);
        if row.is_some_and(|row| row.order.depth >= PATH_DEPTH_NORMAL || row.step.label == label) {
            return Some(above);
        }
        let step = Step { above, label };
        if let Some(known) = self.known.get(&step) {
            return Some(*known);
        }
        let last = names.rank(label);
        let (root, order) = match row {
            Some(row) => (row.root, Order { last: last.max(row.order.last), depth: row.order.depth + 1 }),
            None => (label, Order { last, depth: 1 }),
        };
        let is_behind = |worst: Option<Order>| worst.is_some_and(|worst| order > worst);
        if is_behind(self.worst) || is_behind(self.root(root).worst) {
            return None;
        }
        let idx = self.rows.len() as u32;
        self.rows.push(Row { step, root, order, sums: PathSums::default(), trace: 0 });
        self.known.insert(step, idx);
        let root = self.root(root);
        root.n_paths += 1;
        self.n_of_root_most = root.n_paths.max(self.n_of_root_most);
        Some(idx)
    }

    fn root(&mut self, label: u32) -> &mut Root {
        if self.roots.len() <= label as usize {
            self.roots.resize_with(label as usize + 1, Root::default);
        }
        &mut self.roots[label as usize]
    }

    /// Adds sums of a root.
    pub(super) fn merge_root(&mut self, label: Option<u32>, sums: RootSums) {
        match label {
            Some(label) => self.root(label).sums.merge(sums),
            None => self.other.merge(sums),
        }
    }

    /// Adds sums of the path of these labels, which are not empty. A path that cannot stay, or one of whose labels has no number, is other: the sums of
    /// its root hold it.
    pub(super) fn merge(&mut self, labels: impl Iterator<Item = Option<u32>>, sums: &PathSums, names: &Labels) {
        let mut path = NONE;
        for label in labels {
            let below = label.and_then(|label| self.below(path, label, names));
            let Some(below) = below else { return };
            path = below;
        }
        if let Some(row) = self.rows.get_mut(path as usize) {
            let n_before = row.sums.selfs.n_octaves();
            row.sums.merge(sums);
            self.n_octaves += row.sums.selfs.n_octaves() - n_before;
        }
    }

    /// Keeps the paths that `room` has: those whose labels come first by `places`, the last of them before the others, then the shorter ones.
    pub(super) fn shrink(&mut self, room: Room, places: &[u32]) {
        if self.rows.len() <= room.of_all && self.n_of_root_most <= room.of_root {
            return;
        }
        let mut sorted: Vec<(u32, Vec<u32>, u32)> = Vec::with_capacity(self.rows.len());
        for idx in 0..self.rows.len() as u32 {
            let labels: Vec<u32> = self.labels(idx).into_iter().map(|label| places[label as usize]).collect();
            sorted.push((labels.iter().copied().max().unwrap_or_default(), labels, idx));
        }
        // By `Order`, in numbers.
        let key = |(last, labels, _): &(u32, Vec<u32>, u32)| (*last, labels.len());
        sorted.sort_unstable_by(|a, b| key(a).cmp(&key(b)).then_with(|| a.1.cmp(&b.1)));
        let mut stays = vec![false; self.rows.len()];
        let (mut n_kept, mut n_of_root) = (0, vec![0; self.roots.len()]);
        for (.., idx) in sorted {
            let n_of_root: &mut usize = &mut n_of_root[self.rows[idx as usize].root as usize];
            if *n_of_root < room.of_root.max(1) && n_kept < room.of_all.max(1) {
                *n_of_root += 1;
                n_kept += 1;
                stays[idx as usize] = true;
                let Row { root, order, .. } = self.rows[idx as usize];
                if *n_of_root == room.of_root.max(1) {
                    self.roots[root as usize].worst = Some(order);
                }
                if n_kept == room.of_all.max(1) {
                    self.worst = Some(order);
                }
            }
        }
        self.retain(|idx| stays[idx as usize]);
    }

    /// Takes the new numbers of labels.
    pub(super) fn renumber(&mut self, labels: &[u32]) {
        // A path below one that goes goes, too: it has the same labels above.
        let number = |label: u32| labels[label as usize];
        let mut goes = vec![false; self.rows.len()];
        for (idx, row) in self.rows.iter_mut().enumerate() {
            let above = goes.get(row.step.above as usize).copied().unwrap_or(false);
            goes[idx] = above || number(row.step.label) == GONE;
            (row.step.label, row.root) = (number(row.step.label), number(row.root));
        }
        let mut roots = Vec::new();
        for (root, label) in std::mem::take(&mut self.roots).into_iter().zip(labels) {
            match *label {
                GONE => self.other.merge(root.sums),
                label => {
                    roots.resize_with(roots.len().max(label as usize + 1), Root::default);
                    roots[label as usize] = root;
                }
            }
        }
        self.roots = roots;
        self.retain(|idx| !goes[idx as usize]);
    }

    /// Keeps rows, of which none stands below one that goes.
    fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        let mut numbers = vec![NONE; self.rows.len()];
        let mut kept: Vec<Row> = Vec::new();
        for (idx, mut row) in (0_u32..).zip(std::mem::take(&mut self.rows)) {
            if stays(idx) {
                row.step.above = numbers.get(row.step.above as usize).copied().unwrap_or(NONE);
                numbers[idx as usize] = kept.len() as u32;
                kept.push(row);
            }
        }
        self.rows = kept;
        self.known = (0_u32..).zip(&self.rows).map(|(idx, row)| (row.step, idx)).collect();
        self.n_octaves = self.rows.iter().map(|row| row.sums.selfs.n_octaves()).sum();
        self.roots.iter_mut().for_each(|root| root.n_paths = 0);
        for row in &self.rows {
            self.roots[row.root as usize].n_paths += 1;
        }
        self.n_of_root_most = self.roots.iter().map(|root| root.n_paths).max().unwrap_or_default();
    }

    /// Returns the labels of a path, from the root down.
    pub(super) fn labels(&self, path: u32) -> Vec<u32> {
        let mut labels = Vec::new();
        let mut next = path;
        while let Some(row) = self.rows.get(next as usize) {
            labels.push(row.step.label);
            next = row.step.above;
        }
        labels.reverse();
        labels
    }

    /// Returns the places of the paths of the roots that are wanted, in the order of `by_name`.
    pub(super) fn places(&self, is_wanted: impl Fn(u32) -> bool, by_name: &[u32]) -> Vec<u32> {
        let wanted = (0_u32..).zip(&self.rows).filter(|(_, row)| is_wanted(row.root));
        let mut places: Vec<u32> = wanted.map(|(idx, _)| idx).collect();
        let name =
            |path: &u32| -> Vec<u32> { self.labels(*path).into_iter().map(|label| by_name[label as usize]).collect() };
        places.sort_by_cached_key(name);
        places
    }

    pub(super) fn get(&self, place: u32) -> Option<&PathSums> {
        self.rows.get(place as usize).map(|row| &row.sums)
    }

    /// Returns the sums of a root, `None` where no trace has it.
    pub(super) fn root_sums(&self, label: u32) -> Option<RootSums> {
        self.roots.get(label as usize).map(|root| root.sums).filter(|sums| *sums != RootSums::default())
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.len() * (size_of::<Row>() + 32) + self.n_octaves * OCTAVE_BYTES + size_of_val(self.roots.as_slice())
    }
}
