//! The order of the tree: which span or visit stands below which.
//!
//! Parents may be missing, stand twice, or form a circle; each node is shown exactly once all the same.

use backsight_proto::trace_json::{NotesJson, PlaceJson, SpanJson, TraceJson, VisitJson};
use std::collections::BTreeMap;

/// A span or a visit.
#[derive(Clone, Copy)]
pub(super) enum Node<'a> {
    Span(&'a SpanJson),
    Visit(&'a VisitJson),
}

impl<'a> Node<'a> {
    pub(super) const fn at(self) -> &'a PlaceJson {
        match self {
            Self::Span(span) => &span.at,
            Self::Visit(visit) => &visit.at,
        }
    }

    pub(super) const fn notes(self) -> &'a NotesJson {
        match self {
            Self::Span(span) => &span.notes,
            Self::Visit(visit) => &visit.notes,
        }
    }

    pub(super) fn parent(self) -> &'a str {
        match self {
            Self::Span(span) => &span.parent,
            Self::Visit(visit) => &visit.parent,
        }
    }
}

/// A node in its place.
pub(super) struct Placed<'a> {
    pub(super) node: Node<'a>,
    pub(super) depth: usize,
    /// For each ancestor that has siblings to come, below the roots, a bit at its depth; only the first [`DEPTH_MAX`] count.
    pub(super) open_levels: u64,
    pub(super) is_last: bool,
    pub(super) has_children: bool,
    /// Whether it names a parent that is not in the trace.
    pub(super) is_orphan: bool,
}

/// Branches are drawn this deep; what lies deeper is not indented further.
pub(super) const DEPTH_MAX: usize = 24;

/// Returns every span and visit once, each below its parent, siblings by start.
pub(super) fn tree(trace: &TraceJson) -> Vec<Placed<'_>> {
    let spans = trace.spans.iter().map(Node::Span);
    let mut nodes: Vec<Node<'_>> = spans.chain(trace.visits.iter().map(Node::Visit)).collect();
    nodes.sort_by_key(|node| (node.at().start_ns, node.at().process_idx));
    let mut by_id: BTreeMap<&str, usize> = BTreeMap::new();
    for (idx, node) in nodes.iter().enumerate() {
        if let Node::Span(span) = node {
            by_id.entry(&span.span).or_insert(idx);
        }
    }
    for (idx, node) in nodes.iter().enumerate() {
        if let Node::Visit(visit) = node {
            visit.calls.iter().for_each(|call| _ = by_id.entry(call).or_insert(idx));
        }
    }
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    let mut roots = Vec::new();
    for (idx, node) in nodes.iter().enumerate() {
        match by_id.get(node.parent()) {
            Some(parent) if *parent != idx => children[*parent].push(idx),
            _ => roots.push(idx),
        }
    }
    let mut walk = Walk {
        nodes: &nodes,
        children: &children,
        by_id: &by_id,
        is_placed: vec![false; nodes.len()],
        placed: Vec::new(),
    };
    for root in roots {
        walk.descend(root);
    }
    // What is left hangs on a circle; it is cut open at its first node.
    for idx in 0..nodes.len() {
        walk.descend(idx);
    }
    walk.placed
}

struct Walk<'a, 'w> {
    nodes: &'w [Node<'a>],
    children: &'w [Vec<usize>],
    by_id: &'w BTreeMap<&'a str, usize>,
    is_placed: Vec<bool>,
    placed: Vec<Placed<'a>>,
}

impl Walk<'_, '_> {
    /// Places a node and all below it that has no place yet. No recursion: a chain of spans may be as long as it likes.
    fn descend(&mut self, root: usize) {
        let mut next = vec![(root, 0, 0, true)];
        while let Some((idx, depth, open_levels, is_last)) = next.pop() {
            if std::mem::replace(&mut self.is_placed[idx], true) {
                continue;
            }
            let below: Vec<usize> =
                self.children[idx].iter().copied().filter(|child| !self.is_placed[*child]).collect();
            let parent = self.nodes[idx].parent();
            self.placed.push(Placed {
                node: self.nodes[idx],
                depth,
                open_levels,
                is_last,
                has_children: !below.is_empty(),
                is_orphan: !parent.is_empty() && !self.by_id.contains_key(parent),
            });
            let open_below =
                if depth > 0 && depth < DEPTH_MAX && !is_last { open_levels | 1 << depth } else { open_levels };
            for (nth, child) in below.iter().enumerate().rev() {
                next.push((*child, depth + 1, open_below, nth + 1 == below.len()));
            }
        }
    }
}
