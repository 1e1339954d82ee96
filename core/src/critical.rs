//! The critical path of a trace: to which span each nanosecond of its root belongs.
//!
//! Called by [`crate::compare`] and by whoever shows a trace. Pure and without seed: the same rows give the same path.

#[cfg(test)]
mod tests;

use crate::columns::Tree;
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
        // Children of the spans that are open, those of the innermost last; what is asked next stands at the end.
        let mut children: Vec<Window> = Vec::new();
        let mut open: Vec<Search> = Vec::new();
        let root = tree.root().map(|root| Window::of(tree, root));
        open.extend(root.map(|root| Search::begin(tree, root, &mut children)));
        while let Some(search) = open.last_mut() {
            match search.next(&mut children) {
                Some(child) => {
                    path.give(search.window.node, child.to_ns, search.at_ns);
                    search.at_ns = child.from_ns;
                    open.push(Search::begin(tree, child, &mut children));
                }
                None => {
                    path.give(search.window.node, search.window.from_ns, search.at_ns);
                    open.pop();
                }
            }
        }
        path.stretches.reverse();
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
    to_ns: u64,
    from_ns: u64,
    node: u32,
}

impl Window {
    fn of(tree: &Tree<'_>, node: u32) -> Self {
        let row = tree.row(node);
        Self { node, from_ns: row.start_ns, to_ns: row.end_ns }
    }
}

/// The search for what a span waited for.
struct Search {
    window: Window,
    /// Where its children begin among those of all open searches.
    first: usize,
    /// What lies behind has been given away.
    at_ns: u64,
}

impl Search {
    /// Adds to `children` those that `window`'s node may have waited for, clipped to the window, so that the one to be asked first stands last.
    fn begin(tree: &Tree<'_>, window: Window, children: &mut Vec<Window>) -> Self {
        let clipped = |node: u32| {
            let child = Window::of(tree, node);
            Window { from_ns: child.from_ns.max(window.from_ns), to_ns: child.to_ns.min(window.to_ns), node }
        };
        let first = children.len();
        let sync = tree.children(window.node).iter().copied().filter(|node| tree.is_sync(*node));
        children.extend(sync.map(clipped).filter(|child| child.from_ns < child.to_ns));
        // Calls one after the other are in this order already.
        let tie = |child: &Window| {
            let row = tree.row(child.node);
            (row.start_ns, Reverse((row.id, child.node)))
        };
        children[first..].sort_unstable_by(|x, y| x.to_ns.cmp(&y.to_ns).then_with(|| tie(x).cmp(&tie(y))));
        Self { window, first, at_ns: window.to_ns }
    }

    /// Takes the next child that had ended by then; those that overlap a later one are passed over.
    fn next(&self, children: &mut Vec<Window>) -> Option<Window> {
        while children.len() > self.first {
            let child = children.pop()?;
            if child.to_ns <= self.at_ns {
                return Some(child);
            }
        }
        None
    }
}
