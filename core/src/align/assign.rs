//! Who in a larger group is whom in a smaller one: dynamic programming over both in the order of their starts.
//!
//! Called for groups of siblings that differ in number. Each of the smaller side gets a partner, none crosses another.

use super::Side;
use std::collections::BTreeMap;

/// Steps of dynamic programming for one group: what any 2,000 against any 2,000 need, since all of the smaller side pair. Beyond, the first pair.
pub const GROUP_CELLS_MAX: usize = 1_001_000;

/// Labels that are compared for the scores of one group; beyond, only offsets count.
pub const GROUP_LABELS_MAX: usize = 1 << 24;

/// A difference of offsets counts no further than three days, so that 2^32 of them can be added.
const OFFSET_NS_MAX: u128 = 1 << 48;

/// Returns for each node of `small` the position of its partner in `large`, ascending; both come with their side and what offsets count from.
pub(super) fn partners(small: (&Side<'_>, u32, &Vec<u32>), large: (&Side<'_>, u32, &Vec<u32>)) -> Vec<usize> {
    let n_skips = large.2.len().saturating_sub(small.2.len());
    let n_cells = small.2.len().saturating_mul(n_skips + 1);
    if n_cells > GROUP_CELLS_MAX {
        return (0..small.2.len()).collect();
    }
    let scores = Scores::of((small.0, small.2), (large.0, large.2));
    let offsets = |(side, base, nodes): (&Side<'_>, u32, &Vec<u32>)| -> Vec<i128> {
        nodes.iter().map(|node| side.offset(base, *node)).collect()
    };
    let (small_offsets, large_offsets) = (offsets(small), offsets(large));
    let worth = |small_idx: usize, large_idx: usize| {
        let apart = small_offsets[small_idx].abs_diff(large_offsets[large_idx]).min(OFFSET_NS_MAX);
        (i128::from(scores.get(small_idx, large_idx)) << 80) - apart as i128
    };
    best(small.2.len(), n_skips, worth)
}

/// Returns the partners whose worth sums highest: of equal ones the earlier.
pub(super) fn best(n_small: usize, n_skips: usize, worth: impl Fn(usize, usize) -> i128) -> Vec<usize> {
    let width = n_skips + 1;
    // Of the first nodes of the smaller side, with so many of the larger skipped.
    let mut sums = vec![0_i128; width];
    let mut is_pair = vec![false; n_small * width];
    for small_idx in 0..n_small {
        for skips in 0..width {
            let with_pair = sums[skips] + worth(small_idx, small_idx + skips);
            let pairs = skips == 0 || with_pair > sums[skips - 1];
            sums[skips] = if pairs { with_pair } else { sums[skips - 1] };
            is_pair[small_idx * width + skips] = pairs;
        }
    }
    let mut partners = vec![0; n_small];
    let mut skips = n_skips;
    for small_idx in (0..n_small).rev() {
        while !is_pair[small_idx * width + skips] {
            skips -= 1;
        }
        partners[small_idx] = small_idx + skips;
    }
    partners
}

/// How many labels the subtrees of two nodes share down to their grandchildren, counted as often as both have them.
struct Scores {
    classes_small: Vec<usize>,
    classes_large: Vec<usize>,
    n_large: usize,
    by_class: Vec<u32>,
}

impl Scores {
    fn of(small: (&Side<'_>, &[u32]), large: (&Side<'_>, &[u32])) -> Self {
        let (classes_small, profiles_small) = classes(small);
        let (classes_large, profiles_large) = classes(large);
        let n_labels = |profiles: &[Vec<u32>]| profiles.iter().map(Vec::len).sum::<usize>();
        let n_compared = n_labels(&profiles_small).saturating_mul(profiles_large.len())
            + n_labels(&profiles_large).saturating_mul(profiles_small.len());
        let n_large = profiles_large.len();
        let mut by_class = Vec::new();
        if n_compared <= GROUP_LABELS_MAX {
            for small in &profiles_small {
                by_class.extend(profiles_large.iter().map(|large| n_shared(small, large)));
            }
        }
        Self { classes_small, classes_large, n_large, by_class }
    }

    fn get(&self, small_idx: usize, large_idx: usize) -> u32 {
        let class = self.classes_small[small_idx] * self.n_large + self.classes_large[large_idx];
        self.by_class.get(class).copied().unwrap_or_default()
    }
}

/// Returns the class of each node, and of each class the labels of its subtrees, so that equal subtrees are compared once.
fn classes((side, nodes): (&Side<'_>, &[u32])) -> (Vec<usize>, Vec<Vec<u32>>) {
    let mut known: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
    let mut of_nodes = Vec::with_capacity(nodes.len());
    for node in nodes {
        let n_known = known.len();
        of_nodes.push(*known.entry(profile(side, *node)).or_insert(n_known));
    }
    let mut profiles = vec![Vec::new(); known.len()];
    for (profile, class) in known {
        profiles[class] = profile;
    }
    (of_nodes, profiles)
}

/// Returns the labels of a node, its children and its grandchildren, ascending.
fn profile(side: &Side<'_>, node: u32) -> Vec<u32> {
    let tree = side.tree;
    let mut labels = vec![tree.row(node).label.0];
    for child in tree.children(node) {
        labels.push(tree.row(*child).label.0);
        labels.extend(tree.children(*child).iter().map(|grandchild| tree.row(*grandchild).label.0));
    }
    labels.sort_unstable();
    labels
}

fn n_shared(a: &[u32], b: &[u32]) -> u32 {
    let (mut a, mut b) = (a.iter().peekable(), b.iter().peekable());
    let mut n = 0;
    while let (Some(of_a), Some(of_b)) = (a.peek(), b.peek()) {
        match of_a.cmp(of_b) {
            std::cmp::Ordering::Less => _ = a.next(),
            std::cmp::Ordering::Greater => _ = b.next(),
            std::cmp::Ordering::Equal => {
                n += 1;
                a.next();
                b.next();
            }
        }
    }
    n
}
