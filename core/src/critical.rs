//! The critical path of a trace: to which span each nanosecond of its root belongs.
//!
//! Called by [`crate::compare`] and by whoever shows a trace. Pure and without seed: the same rows give the same path.

#[cfg(test)]
mod tests;

use crate::columns::Tree;
use crate::ids::SpanId;
use std::cmp::Reverse;

/// A part of the root's duration that belongs to one span.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// The span, a node of the tree.
    pub node: u32,
    /// Its begin in nanoseconds since 1970.
    pub from_ns: u64,
    /// Its end, after its begin.
    pub to_ns: u64,
}

/// What lies on the critical path.
///
/// # Shape
/// The stretches lie end to end from the root's start to its end, so that the contributions sum to the root's duration, exactly.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CriticalPath {
    /// What each node contributes, in nanoseconds.
    pub self_ns: Vec<u64>,
    /// The path by time.
    pub stretches: Vec<Stretch>,
}

impl CriticalPath {
    /// Returns the critical path of `tree`.
    ///
    /// From a span's end backwards: of its synchronous children, clipped to it, the one that ends last is what it waited for; what lies behind that
    /// child's end is the span's own, before it begins the search goes on, with the children that had ended by then. Ties: the later start, then the
    /// smaller id, then the row that came first. A span counts only where its parent's part of the path reaches, so that one outside its parent adds
    /// nothing; one without length adds nothing either. What is asynchronous ([`Tree`]) is on nobody's path.
    ///
    /// # Cost
    /// Time `n log n` in the children of spans on the path, memory linear in the tree.
    /// # Source
    /// The last-returning child of Uber's CRISP (Zhang et al., USENIX ATC 2022), with every nanosecond given away once.
    pub fn of(tree: &Tree<'_>) -> Self {
        let mut path = Self { self_ns: vec![0; tree.len()], stretches: Vec::new() };
        let mut open: Vec<Window> = tree.root().map(|root| Window::of(tree, root)).into_iter().collect();
        let mut children = Vec::new();
        while let Some(window) = open.pop() {
            waited_for(tree, window, &mut children);
            let mut at_ns = window.to_ns;
            for child in &children {
                if child.to_ns <= at_ns {
                    path.give(window.node, child.to_ns, at_ns);
                    at_ns = child.from_ns;
                    open.push(*child);
                }
            }
            path.give(window.node, window.from_ns, at_ns);
        }
        path.stretches.sort_unstable_by_key(|stretch| stretch.from_ns);
        path
    }

    /// Returns the duration of the root in nanoseconds.
    pub fn duration_ns(&self) -> u64 {
        match (self.stretches.first(), self.stretches.last()) {
            (Some(first), Some(last)) => last.to_ns - first.from_ns,
            _ => 0,
        }
    }

    fn give(&mut self, node: u32, from_ns: u64, to_ns: u64) {
        if from_ns < to_ns {
            self.self_ns[node as usize] += to_ns - from_ns;
            self.stretches.push(Stretch { node, from_ns, to_ns });
        }
    }
}

/// A node, and the part of the path that is its own or its descendants'.
#[derive(Clone, Copy)]
struct Window {
    node: u32,
    id: SpanId,
    start_ns: u64,
    from_ns: u64,
    to_ns: u64,
}

impl Window {
    fn of(tree: &Tree<'_>, node: u32) -> Self {
        let row = tree.row(node);
        Self { node, id: row.id, start_ns: row.start_ns, from_ns: row.start_ns, to_ns: row.end_ns }
    }
}

/// Fills `children` with the children that `window`'s node may have waited for, clipped to the window, in the order in which they are asked.
fn waited_for(tree: &Tree<'_>, window: Window, children: &mut Vec<Window>) {
    let clipped = |node: u32| {
        let child = Window::of(tree, node);
        Window { from_ns: child.from_ns.max(window.from_ns), to_ns: child.to_ns.min(window.to_ns), ..child }
    };
    children.clear();
    let sync = tree.children(window.node).iter().copied().filter(|node| tree.is_sync(*node));
    children.extend(sync.map(clipped).filter(|child| child.from_ns < child.to_ns));
    children.sort_unstable_by_key(|child| (Reverse(child.to_ns), Reverse(child.start_ns), child.id, child.node));
}
