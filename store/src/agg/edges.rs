//! Table `edges`: which labels spans have under spans of which, and whether those wait for them.
//!
//! Called by `tables` with whole traces: that a parent has two such children is seen only there. Where edges are too many, those between labels of the
//! least ranks stay.

use super::labels::{GONE, LabelRef, Rank};
use super::sums::EdgeSums;
use backsight_core::columns::Tree;
use foldhash::HashMap;
use std::collections::BTreeSet;

/// An edge between two labels, by number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct EdgeKey {
    pub(super) parent: u32,
    pub(super) child: u32,
    pub(super) is_sync: bool,
}

#[derive(Clone, Debug)]
struct Row {
    key: EdgeKey,
    sums: EdgeSums,
    /// The last parent that had it.
    parent: u64,
}

/// The edges, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Edges {
    rows: Vec<Row>,
    known: HashMap<EdgeKey, u32>,
    pub(super) other: EdgeSums,
    /// Counts spans that have children.
    parent: u64,
    /// Children of this one that have no row.
    others: BTreeSet<(Rank, bool)>,
}

impl Edges {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Counts the edges of a trace, whose nodes have the labels `labels`. Where one has no number, `label_of` says what it is called.
    ///
    /// What hangs under a root that is not its parent is no edge.
    pub(super) fn add_trace<'l>(
        &mut self,
        tree: &Tree<'_>,
        labels: &[Option<u32>],
        label_of: impl Fn(u32) -> LabelRef<'l>,
    ) {
        for parent in tree.order().iter().copied().filter(|node| !tree.is_synthetic(*node)) {
            self.parent += 1;
            self.others.clear();
            for child in tree.children(parent).iter().copied() {
                if tree.is_orphan(child) || tree.is_cut(child) {
                    continue;
                }
                let is_sync = tree.is_sync(child);
                match (labels[parent as usize], labels[child as usize]) {
                    (Some(parent), Some(child)) => self.add(EdgeKey { parent, child, is_sync }),
                    _ => {
                        let is_first = self.others.insert((Rank::of_label(label_of(child)), is_sync));
                        self.other.merge(EdgeSums { n_parents: is_first.into(), n: 1 });
                    }
                }
            }
        }
    }

    fn add(&mut self, key: EdgeKey) {
        let parent = self.parent;
        let row = self.row(key);
        let is_first = std::mem::replace(&mut row.parent, parent) != parent;
        row.sums.merge(EdgeSums { n_parents: is_first.into(), n: 1 });
    }

    /// Adds sums of an edge.
    pub(super) fn merge(&mut self, key: Option<EdgeKey>, sums: EdgeSums) {
        match key {
            Some(key) => self.row(key).sums.merge(sums),
            None => self.other.merge(sums),
        }
    }

    fn row(&mut self, key: EdgeKey) -> &mut Row {
        let next = self.rows.len() as u32;
        let idx = *self.known.entry(key).or_insert(next);
        if idx == next {
            self.rows.push(Row { key, sums: EdgeSums::default(), parent: 0 });
        }
        &mut self.rows[idx as usize]
    }

    /// Keeps `n_max` edges: those whose labels come first by `places`, the later of the two before the other.
    pub(super) fn shrink(&mut self, n_max: usize, places: &[u32]) {
        if self.rows.len() <= n_max {
            return;
        }
        let place = |label: u32| places[label as usize];
        self.rows.sort_unstable_by_key(|Row { key, .. }| {
            let (parent, child) = (place(key.parent), place(key.child));
            (parent.max(child), parent, child, key.is_sync)
        });
        self.rows.drain(n_max..).for_each(|row| self.other.merge(row.sums));
        self.reindex();
    }

    /// Takes the new numbers of labels.
    pub(super) fn renumber(&mut self, labels: &[u32]) {
        let other = &mut self.other;
        self.rows.retain_mut(|Row { key, sums, .. }| {
            (key.parent, key.child) = (labels[key.parent as usize], labels[key.child as usize]);
            let stays = key.parent != GONE && key.child != GONE;
            if !stays {
                other.merge(*sums);
            }
            stays
        });
        self.reindex();
    }

    fn reindex(&mut self) {
        self.known = (0_u32..).zip(&self.rows).map(|(idx, row)| (row.key, idx)).collect();
    }

    /// Returns the places of the edges whose parent `is_wanted`, in the order of `by_name`.
    pub(super) fn places(&self, is_wanted: impl Fn(u32) -> bool, by_name: &[u32]) -> Vec<u32> {
        let wanted = (0_u32..).zip(&self.rows).filter(|(_, row)| is_wanted(row.key.parent));
        let mut places: Vec<u32> = wanted.map(|(idx, _)| idx).collect();
        places.sort_unstable_by_key(|idx| {
            let key = self.rows[*idx as usize].key;
            (by_name[key.parent as usize], by_name[key.child as usize], key.is_sync)
        });
        places
    }

    /// Returns the edge at a place.
    pub(super) fn get(&self, place: u32) -> Option<(EdgeKey, EdgeSums)> {
        self.rows.get(place as usize).map(|row| (row.key, row.sums))
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.rows.len() * (size_of::<Row>() + 32)
    }
}
