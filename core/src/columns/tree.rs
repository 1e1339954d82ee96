//! The tree of a trace: who is whose child, whatever ids the rows have.
//!
//! Called by [`crate::critical`], [`crate::align`], [`crate::compare`] and [`crate::skew`]. No recursion: a chain of spans may be as long as it likes.

use super::{Columns, LabelId, Labels, Row};
use crate::ids::SpanId;
use crate::record::SpanKind;

/// No row: the parent of the root.
const NOBODY: u32 = u32::MAX;

/// Why a node stands where it does; bits.
const ASYNC: u8 = 1;
const ORPHAN: u8 = 2;
const CUT: u8 = 4;

/// The rows of a trace as one tree.
///
/// # Shape
/// A node is the position of its row, or the number of rows for the synthetic root, if there is one. Every row is a node of the tree.
/// - A single row without a parent is the root. Several get a *synthetic* root, from the first start to the last end of what hangs under it.
/// - *Orphans*, whose parent is not there, hang under the root. Where nothing but orphans are tops, they count as the roots.
/// - A cycle is *cut* at its row with the least (start, id, position), which then hangs under the root.
///
/// # Synchronous children
/// A child is synchronous if its parent waits for it, as far as the data tell:
/// - what a consumer does, and what hangs under a producer, is not waited for;
/// - what a server does is, also where it goes on after its caller's end (the caller gave up, or read the answer before the server ended its span);
/// - anything else on its parent's host is, unless it ends after its parent: one clock, so nobody can have waited;
/// - anything else on another host is, unless it lasts longer than its parent: clocks differ, durations do not.
///
/// Under the synthetic root everything is synchronous.
#[derive(Clone, Debug)]
pub struct Tree<'a> {
    rows: &'a [Row],
    synthetic: Row,
    root: Option<u32>,
    parents: Vec<u32>,
    /// Where the children of each node begin in `children`, and where the last's end.
    firsts: Vec<u32>,
    children: Vec<u32>,
    /// All nodes, parents before their children.
    order: Vec<u32>,
    marks: Vec<u8>,
}

impl<'a> Tree<'a> {
    /// Returns the tree of `columns`, whose labels are in `labels`.
    ///
    /// # Cost
    /// Time `n log n` (two sorts of ids, one of starts), 60 bytes of memory a row.
    pub fn new(columns: &'a Columns, labels: &Labels) -> Self {
        let rows = columns.rows();
        let by_start = by_start(rows);
        let mut tree = Self {
            rows,
            synthetic: Row { label: LabelId::SYNTHETIC, host: NOBODY, ..Row::default() },
            root: None,
            parents: parents(rows, &by_start),
            firsts: Vec::new(),
            children: Vec::new(),
            order: Vec::with_capacity(rows.len() + 1),
            marks: vec![0; rows.len()],
        };
        tree.cut_cycles();
        tree.find_root(&by_start);
        tree.hang_children(&by_start);
        tree.mark_async(labels);
        tree
    }

    /// Returns the root, or `None` for a trace without rows.
    pub const fn root(&self) -> Option<u32> {
        self.root
    }

    /// Returns the number of nodes.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// Returns whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// Returns the row of a node; that of the synthetic root has no id and no host.
    pub fn row(&self, node: u32) -> &Row {
        self.rows.get(node as usize).unwrap_or(&self.synthetic)
    }

    /// Returns the children of a node by (start, id, position).
    pub fn children(&self, node: u32) -> &[u32] {
        let at = |idx: usize| self.firsts.get(idx).map_or(self.children.len(), |first| *first as usize);
        &self.children[at(node as usize)..at((node as usize).saturating_add(1))]
    }

    /// Returns the node under which a node hangs, `None` for the root.
    pub fn parent(&self, node: u32) -> Option<u32> {
        self.parents.get(node as usize).copied().filter(|parent| *parent != NOBODY)
    }

    /// Returns all nodes, each after its parent.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Returns whether a node is the root that several roots were given.
    pub fn is_synthetic(&self, node: u32) -> bool {
        node as usize >= self.rows.len()
    }

    /// Returns whether the parent of a node waits for it.
    pub fn is_sync(&self, node: u32) -> bool {
        !self.is_marked(node, ASYNC)
    }

    /// Returns whether a node names a parent that is not there.
    pub fn is_orphan(&self, node: u32) -> bool {
        self.is_marked(node, ORPHAN)
    }

    /// Returns whether a cycle was cut above a node.
    pub fn is_cut(&self, node: u32) -> bool {
        self.is_marked(node, CUT)
    }

    fn is_marked(&self, node: u32, mark: u8) -> bool {
        self.marks.get(node as usize).is_some_and(|marks| marks & mark != 0)
    }

    fn key(&self, node: u32) -> (u64, SpanId, u32) {
        let row = self.row(node);
        (row.start_ns, row.id, node)
    }

    /// Cuts every cycle of parents at its least row.
    fn cut_cycles(&mut self) {
        // Which walk came by first: a walk that meets itself has found a cycle.
        let mut walks = vec![NOBODY; self.rows.len()];
        for start in 0..self.rows.len() as u32 {
            let mut node = start;
            while node != NOBODY && walks[node as usize] == NOBODY {
                walks[node as usize] = start;
                node = self.parents[node as usize];
            }
            if node != NOBODY && walks[node as usize] == start {
                let least = self.least_of_cycle(node);
                self.parents[least as usize] = NOBODY;
                self.marks[least as usize] |= CUT;
            }
        }
    }

    fn least_of_cycle(&self, first: u32) -> u32 {
        let mut least = first;
        let mut node = self.parents[first as usize];
        while node != first {
            if self.key(node) < self.key(least) {
                least = node;
            }
            node = self.parents[node as usize];
        }
        least
    }

    /// Finds or makes the root, and hangs every other top under it.
    fn find_root(&mut self, by_start: &[u32]) {
        let tops: Vec<u32> = by_start.iter().copied().filter(|node| self.parents[*node as usize] == NOBODY).collect();
        for top in &tops {
            if !self.is_cut(*top) && !self.row(*top).parent.is_none() {
                self.marks[*top as usize] |= ORPHAN;
            }
        }
        let mut roots = tops.iter().copied().filter(|top| self.marks[*top as usize] & (ORPHAN | CUT) == 0);
        self.root = match (tops.as_slice(), roots.next(), roots.next()) {
            ([], ..) => None,
            ([only], ..) => Some(*only),
            (_, Some(only), None) => Some(only),
            _ => Some(self.synthetic_over(&tops)),
        };
        for top in tops {
            if self.root != Some(top) {
                self.parents[top as usize] = self.root.unwrap_or(NOBODY);
            }
        }
    }

    fn synthetic_over(&mut self, tops: &[u32]) -> u32 {
        self.synthetic.start_ns = tops.iter().map(|top| self.row(*top).start_ns).min().unwrap_or_default();
        self.synthetic.end_ns = tops.iter().map(|top| self.row(*top).end_ns).max().unwrap_or_default();
        self.parents.push(NOBODY);
        self.marks.push(0);
        self.rows.len() as u32
    }

    fn hang_children(&mut self, by_start: &[u32]) {
        let n_nodes = self.parents.len();
        let mut firsts = vec![0_u32; n_nodes + 1];
        for parent in self.parents.iter().filter(|parent| **parent != NOBODY) {
            firsts[*parent as usize + 1] += 1;
        }
        for idx in 0..n_nodes {
            firsts[idx + 1] += firsts[idx];
        }
        self.children = vec![0; firsts[n_nodes] as usize];
        let mut next = firsts.clone();
        for node in by_start {
            let parent = self.parents[*node as usize];
            if parent != NOBODY {
                let at = &mut next[parent as usize];
                self.children[*at as usize] = *node;
                *at += 1;
            }
        }
        self.firsts = firsts;
        self.order.extend(self.root);
        let mut idx = 0;
        while let Some(node) = self.order.get(idx).copied() {
            let (first, end) = (self.firsts[node as usize] as usize, self.firsts[node as usize + 1] as usize);
            self.order.extend_from_slice(&self.children[first..end]);
            idx += 1;
        }
    }

    fn mark_async(&mut self, labels: &Labels) {
        for node in 0..self.rows.len() as u32 {
            let Some(parent) = self.parent(node) else { continue };
            if !self.is_synthetic(parent) && !is_waited_for(self.row(parent), self.row(node), labels) {
                self.marks[node as usize] |= ASYNC;
            }
        }
    }
}

/// See [`Tree`], synchronous children.
fn is_waited_for(parent: &Row, child: &Row, labels: &Labels) -> bool {
    let (parent_kind, child_kind) = (labels.kind(parent.label), labels.kind(child.label));
    if parent_kind == SpanKind::Producer || child_kind == SpanKind::Consumer {
        return false;
    }
    if child_kind == SpanKind::Server {
        return true;
    }
    match parent.host == child.host {
        true => child.end_ns <= parent.end_ns,
        false => child.duration_ns() <= parent.duration_ns(),
    }
}

fn by_start(rows: &[Row]) -> Vec<u32> {
    let mut starts: Vec<(u64, u32)> = (0_u32..).zip(rows).map(|(idx, row)| (row.start_ns, idx)).collect();
    let tie = |idx: u32| (rows[idx as usize].id, idx);
    starts.sort_unstable_by(|x, y| x.0.cmp(&y.0).then_with(|| tie(x.1).cmp(&tie(y.1))));
    starts.into_iter().map(|(_, idx)| idx).collect()
}

/// Returns the parent of each row by two sorted lists of ids: no hash, so nobody can choose ids that make it slow.
fn parents(rows: &[Row], by_start: &[u32]) -> Vec<u32> {
    let mut ids: Vec<(SpanId, u32)> = Vec::with_capacity(rows.len());
    ids.extend((0_u32..).zip(by_start).map(|(rank, idx)| (rows[*idx as usize].id, rank)));
    ids.sort_unstable();
    let mut named: Vec<(SpanId, u32)> = (0_u32..).zip(rows).map(|(idx, row)| (row.parent, idx)).collect();
    named.retain(|(parent, _)| !parent.is_none());
    named.sort_unstable();
    let mut parents = vec![NOBODY; rows.len()];
    let mut ids = ids.into_iter().peekable();
    // Of rows with one id the first by start.
    let mut found: Option<(SpanId, u32)> = None;
    for (parent, idx) in named {
        if found.is_none_or(|(id, _)| id != parent) {
            while ids.next_if(|(id, _)| *id < parent).is_some() {}
            found = ids.peek().copied().filter(|(id, _)| *id == parent);
        }
        if let Some((_, rank)) = found {
            parents[idx as usize] = by_start[rank as usize];
        }
    }
    parents
}
