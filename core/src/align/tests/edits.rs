//! Single edits of a trace whose spans all have labels of their own: each is found as what it is, and nothing else is.

use super::{Fate, Sample, aligned, any_tree};
use proptest::prelude::{any, prop, prop_assert_eq, proptest};
use std::collections::{BTreeMap, BTreeSet};

type Index = prop::sample::Index;

/// Ids of what an edit adds.
const NEW: u64 = 1 << 20;

/// Returns the ids of `top` and all below it.
fn subtree(samples: &[Sample], top: u64) -> BTreeSet<u64> {
    let mut ids = BTreeSet::from([top]);
    // Parents stand before their children, but for what an edit has moved: until nothing is added.
    loop {
        let below = samples.iter().filter(|sample| ids.contains(&sample.parent)).map(|sample| sample.id);
        let larger: BTreeSet<u64> = below.chain(ids.iter().copied()).collect();
        if larger.len() == ids.len() {
            return ids;
        }
        ids = larger;
    }
}

/// What is expected of the ids that do not simply stay: those of the second trace only, those put around, those wrapped, those moved.
#[derive(Default)]
struct Expected {
    alone: BTreeSet<u64>,
    around: BTreeSet<u64>,
    wrapped: BTreeSet<u64>,
    moved: BTreeSet<u64>,
}

/// Holds the alignment of `a` and `b` against what is expected, both ways.
fn check(a: &[Sample], b: &[Sample], expected: &Expected) {
    let alignment = aligned(a, b);
    let place: BTreeMap<u64, u32> = (0_u32..).zip(a).map(|(node, sample)| (sample.id, node)).collect();
    for (node, sample) in b.iter().enumerate() {
        let of_a = || place[&sample.id];
        let fate = match sample.id {
            id if expected.alone.contains(&id) => Fate::Alone,
            id if expected.around.contains(&id) => Fate::Around,
            id if expected.wrapped.contains(&id) => Fate::Wrapped(of_a()),
            id if expected.moved.contains(&id) => Fate::Moved(of_a()),
            _ => Fate::Same(of_a()),
        };
        assert_eq!(alignment.b[node], fate, "span {}", sample.id);
    }
    let n_found = alignment.a.iter().filter(|fate| fate.counterpart().is_some()).count();
    assert_eq!(n_found, a.len());
    assert_eq!(aligned(b, a), alignment.mirrored());
}

/// Returns a span other than the root.
fn pick(samples: &[Sample], index: Index) -> Option<&Sample> {
    (samples.len() > 1).then(|| &samples[1 + index.index(samples.len() - 1)])
}

proptest! {
    /// A subtree that is only in one trace is added, or removed, and nothing else.
    #[test]
    fn an_inserted_or_removed_subtree_is_found(samples in any_tree(), top in any::<Index>()) {
        let Some(top) = pick(&samples, top) else { return Ok(()) };
        let alone = subtree(&samples, top.id);
        let without: Vec<_> = samples.iter().filter(|sample| !alone.contains(&sample.id)).cloned().collect();
        check(&without, &samples, &Expected { alone, ..Expected::default() });
    }

    /// A subtree under another parent has moved; what is below it is where it was.
    #[test]
    fn a_moved_subtree_is_found(samples in any_tree(), top in any::<Index>(), to in any::<Index>()) {
        let Some(top) = pick(&samples, top) else { return Ok(()) };
        let inside = subtree(&samples, top.id);
        let outside: Vec<u64> = samples.iter().map(|sample| sample.id).filter(|id| !inside.contains(id)).collect();
        let to = outside[to.index(outside.len())];
        let mut edited = samples.clone();
        edited.iter_mut().filter(|sample| sample.id == top.id).for_each(|sample| sample.parent = to);
        let moved = if to == top.parent { BTreeSet::new() } else { BTreeSet::from([top.id]) };
        check(&samples, &edited, &Expected { moved, ..Expected::default() });
    }

    /// Up to three spans put around children of one parent: the children are wrapped, the spans are around them.
    #[test]
    fn wrapped_subtrees_are_found(samples in any_tree(), child in any::<Index>(), mask in any::<u64>(), levels in 1_u64..=3) {
        let Some(child) = pick(&samples, child) else { return Ok(()) };
        let parent = child.parent;
        let is_wrapped = |sample: &Sample| sample.parent == parent && (sample.id == child.id || mask >> (sample.id % 64) & 1 == 1);
        let wrapped: BTreeSet<u64> = samples.iter().filter(|sample| is_wrapped(sample)).map(|sample| sample.id).collect();
        let mut edited = samples.clone();
        edited.iter_mut().filter(|sample| wrapped.contains(&sample.id)).for_each(|sample| sample.parent = NEW + levels - 1);
        for level in 0..levels {
            let above = if level == 0 { parent } else { NEW + level - 1 };
            edited.push(Sample::new(NEW + level, above, child.start_ns, child.end_ns));
        }
        let around = (NEW..NEW + levels).collect();
        check(&samples, &edited, &Expected { around, wrapped, ..Expected::default() });
    }

    /// Two siblings that swap their times have only done that.
    #[test]
    fn swapped_siblings_are_the_same(samples in any_tree(), first in any::<Index>(), second in any::<Index>()) {
        let Some(first) = pick(&samples, first) else { return Ok(()) };
        let siblings: Vec<_> = samples.iter().filter(|sample| sample.parent == first.parent).collect();
        let second = siblings[second.index(siblings.len())];
        let mut edited = samples.clone();
        for sample in &mut edited {
            let other = match sample.id {
                id if id == first.id => second,
                id if id == second.id => first,
                _ => continue,
            };
            (sample.start_ns, sample.end_ns) = (other.start_ns, other.start_ns + sample.end_ns - sample.start_ns);
        }
        check(&samples, &edited, &Expected::default());
    }

    /// Five removed subtrees are found one by one.
    #[test]
    fn five_removed_subtrees_are_found(samples in any_tree(), tops in prop::collection::vec(any::<Index>(), 5)) {
        let tops: Vec<u64> = tops.into_iter().filter_map(|top| pick(&samples, top)).map(|sample| sample.id).collect();
        let alone: BTreeSet<u64> = tops.iter().flat_map(|top| subtree(&samples, *top)).collect();
        let without: Vec<_> = samples.iter().filter(|sample| !alone.contains(&sample.id)).cloned().collect();
        check(&without, &samples, &Expected { alone, ..Expected::default() });
    }
}

/// Applies one random edit: removes, adds, moves or wraps the subtree of a span.
fn edit(samples: &mut Vec<Sample>, random: &mut impl FnMut(usize) -> usize, new: u64) {
    let at = 1 + random(samples.len() - 1);
    let top = samples[at].clone();
    let inside = subtree(samples, top.id);
    match random(4) {
        0 => samples.retain(|sample| !inside.contains(&sample.id)),
        1 => samples.push(Sample::new(new, top.id, top.start_ns, top.end_ns)),
        2 => {
            let outside: Vec<u64> = samples.iter().map(|sample| sample.id).filter(|id| !inside.contains(id)).collect();
            samples[at].parent = outside[random(outside.len())];
        }
        _ => {
            samples[at].parent = new;
            samples.push(Sample::new(new, top.parent, top.start_ns, top.end_ns));
        }
    }
}

/// Over many traces of 200 spans with five edits each: at least 95 % of the spans that are in both are found, and of those found are right.
#[test]
fn five_edits_of_any_kind_are_found() {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut n_common, mut n_found, mut n_right) = (0, 0, 0);
    for _ in 0..200 {
        let mut samples = vec![Sample::new(1, 0, 0, 1 << 40)];
        for id in 2..=200 {
            let parent = samples[random(samples.len())].clone();
            let start_ns = parent.start_ns + 1000 * random(500) as u64 + id;
            samples.push(Sample::new(id, parent.id, start_ns, start_ns + 1000));
        }
        let mut edited = samples.clone();
        (0..5).for_each(|nth| edit(&mut edited, &mut random, NEW + nth));
        let alignment = aligned(&samples, &edited);
        n_common += samples.iter().filter(|sample| edited.iter().any(|other| other.id == sample.id)).count();
        for (node, fate) in alignment.a.iter().enumerate() {
            let Some(other) = fate.counterpart() else { continue };
            n_found += 1;
            n_right += usize::from(edited[other as usize].id == samples[node].id);
        }
    }
    assert!(n_right * 100 >= n_common * 95, "{n_right} of {n_common}");
    assert!(n_right * 100 >= n_found * 95, "{n_right} of {n_found}");
}

proptest! {
    /// With few labels, of which many spans have the same: as many spans are left over as were inserted, and none on the other side.
    #[test]
    fn an_inserted_subtree_is_found_among_its_likes(
        samples in crate::columns::samples::tree_samples(60, 3),
        top in any::<Index>(),
    ) {
        let Some(top) = pick(&samples, top) else { return Ok(()) };
        let inserted = subtree(&samples, top.id);
        let without: Vec<_> = samples.iter().filter(|sample| !inserted.contains(&sample.id)).cloned().collect();
        let alignment = aligned(&without, &samples);
        let alone: BTreeSet<u64> = (0..samples.len()).filter(|node| alignment.b[*node] == Fate::Alone).map(|node| samples[node].id).collect();
        prop_assert_eq!(alone, inserted);
        prop_assert_eq!(alignment.a.iter().filter(|fate| fate.counterpart().is_none()).count(), 0);
    }
}
