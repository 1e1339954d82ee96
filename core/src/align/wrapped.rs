//! Spans that were put around others, or taken away from around them.
//!
//! Called with the leftovers of each pair.

use super::siblings::Leftovers;
use super::{Aligner, Fate, Side};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How many spans may be put around one.
const LEVELS_MAX: u32 = 3;
/// Wrapping spans that are looked at below one pair, the most likely first.
const WRAPPERS_MAX: usize = 4096;
/// Among so many more leftovers of a label than are needed their counterparts are looked for.
const CHOICE: usize = 256;

/// A leftover under which leftovers of the other side may be found.
#[derive(Clone, Copy)]
struct Wrapper {
    is_of_a: bool,
    node: u32,
    /// How many levels down.
    level: u32,
    n_found: usize,
}

/// The leftovers of one side by label, in the order of their starts.
type ByLabel = BTreeMap<u32, Vec<u32>>;

impl Aligner<'_> {
    /// Pairs what hangs under leftovers of one side with leftovers of the other.
    ///
    /// Few levels first, then many spans found, then by label: the leftovers of the two sides have no label in common, so that sides need no order.
    pub(super) fn find_wrapped(&mut self, bases: (u32, u32), left: Leftovers) {
        if left.a.is_empty() || left.b.is_empty() {
            return;
        }
        let (mut left_a, mut left_b) = (by_label(&self.a, &left.a), by_label(&self.b, &left.b));
        let mut wrappers = self::wrappers(&self.a, &left.a, &left_b, true);
        wrappers.extend(self::wrappers(&self.b, &left.b, &left_a, false));
        wrappers.sort_by(|x, y| {
            let key = |of: &Wrapper| (of.level, Reverse(of.n_found));
            key(x).cmp(&key(y)).then_with(|| self.labels.order(self.label(*x), self.label(*y)))
        });
        wrappers.truncate(WRAPPERS_MAX);
        for wrapper in wrappers {
            let others = if wrapper.is_of_a { &mut left_b } else { &mut left_a };
            self.unwrap_one(bases, wrapper, others);
        }
    }

    fn label(&self, wrapper: Wrapper) -> crate::columns::LabelId {
        let side = if wrapper.is_of_a { &self.a } else { &self.b };
        side.tree.row(wrapper.node).label
    }

    /// Pairs what hangs under one wrapper, as far as neither it nor they have been found meanwhile.
    fn unwrap_one(&mut self, bases: (u32, u32), wrapper: Wrapper, others: &mut ByLabel) {
        let Wrapper { is_of_a, node, level, .. } = wrapper;
        let (side, other) = if is_of_a { (&self.a, &self.b) } else { (&self.b, &self.a) };
        if side.fates[node as usize].counterpart().is_some() {
            return;
        }
        let mut inner = descendants(side, node, level);
        inner.retain(|node| side.is_alone(*node) && others.contains_key(&side.tree.row(*node).label.0));
        inner.sort_unstable_by_key(|node| (side.tree.row(*node).start_ns, side.tree.row(*node).id, *node));
        let mut outer = Vec::new();
        for (label, nodes) in by_label(side, &inner) {
            if let Some(of_label) = others.get_mut(&label) {
                of_label.retain(|node| other.is_alone(*node));
                outer.extend(of_label.iter().copied().take(nodes.len() + CHOICE));
            }
        }
        if inner.is_empty() || outer.is_empty() {
            return;
        }
        match is_of_a {
            true => self.pair_groups(bases, &inner, &outer, Fate::Wrapped),
            false => self.pair_groups(bases, &outer, &inner, Fate::Wrapped),
        };
        let side = if is_of_a { &mut self.a } else { &mut self.b };
        mark_around(side, node, &inner);
    }
}

/// Marks the spans between `wrapper` and those of `inner` that were found.
fn mark_around(side: &mut Side<'_>, wrapper: u32, inner: &[u32]) {
    for node in inner.iter().filter(|node| side.fates[**node as usize] != Fate::Alone).collect::<Vec<_>>() {
        let mut at = *node;
        while at != wrapper
            && let Some(parent) = side.tree.parent(at)
        {
            at = parent;
            if side.is_alone(at) {
                side.fates[at as usize] = Fate::Around;
            }
        }
    }
}

fn wrappers(side: &Side<'_>, left: &[u32], others: &ByLabel, is_of_a: bool) -> Vec<Wrapper> {
    let mut wrappers = Vec::new();
    for node in left {
        for level in 1..=LEVELS_MAX {
            let inner = by_label(side, &descendants(side, *node, level));
            let found = |(label, nodes): (&u32, &Vec<u32>)| nodes.len().min(others.get(label).map_or(0, Vec::len));
            let n_found = inner.iter().map(found).sum();
            if n_found > 0 {
                wrappers.push(Wrapper { is_of_a, node: *node, level, n_found });
            }
        }
    }
    wrappers
}

/// Returns what hangs `level` levels below a node, but for what hangs under spans that were found: it is looked at with them.
fn descendants(side: &Side<'_>, node: u32, level: u32) -> Vec<u32> {
    let mut nodes = vec![node];
    for _ in 0..level {
        nodes.retain(|node| side.fates[*node as usize].counterpart().is_none());
        nodes = nodes.iter().flat_map(|node| side.tree.children(*node)).copied().collect();
    }
    nodes
}

fn by_label(side: &Side<'_>, nodes: &[u32]) -> ByLabel {
    let mut by_label = ByLabel::new();
    for node in nodes {
        by_label.entry(side.tree.row(*node).label.0).or_default().push(*node);
    }
    by_label
}
