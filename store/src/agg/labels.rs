//! The labels of one hour by number, and which of too many stay.
//!
//! Called by `tables`. Which labels stay depends on the labels that came and on nothing else: neither their order nor how they were spread over tables
//! that were merged. That makes merging exact, `agg.rs` says why.

use super::index::Index;
use super::mask;
use backsight_core::checksum::checksum;
use backsight_core::record::SpanKind;
use foldhash::fast::RandomState;
use std::hash::{BuildHasher, Hasher};

/// The longest name of a service, an operation or a process that is told apart; clipped beyond.
pub const NAME_MAX_BYTES: usize = 256;
/// What a remapping says of a label that is gone.
pub(super) const GONE: u32 = u32::MAX;

/// What spans are called.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LabelRef<'a> {
    /// The service.
    pub service: &'a str,
    /// The operation.
    pub operation: &'a str,
    /// The kind; `None` is the root that a trace of several roots is given.
    pub kind: Option<SpanKind>,
}

impl<'a> LabelRef<'a> {
    /// The root that a trace of several roots is given.
    pub const SYNTHETIC: Self = Self { service: "", operation: "", kind: None };

    /// Returns a label, its names clipped.
    #[inline]
    pub fn new(service: &'a str, operation: &'a str, kind: SpanKind) -> Self {
        let clip = |name| mask::clipped(name, NAME_MAX_BYTES);
        Self { service: clip(service), operation: clip(operation), kind: Some(kind) }
    }
}

/// Who stays where there are too many: the least.
///
/// # Shape
/// First how many bytes of the name vary, as names that hold ids are many and each is rare; then a hash that is the same everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Rank {
    n_varying: u32,
    hash: u64,
}

impl Rank {
    pub(super) fn of_label(label: LabelRef<'_>) -> Self {
        let n_varying = mask::n_varying(label.service) + mask::n_varying(label.operation);
        let kind = label.kind.map_or(0, |kind| kind as u64);
        let hash = checksum(checksum(kind, label.service.as_bytes()), label.operation.as_bytes());
        Self { n_varying, hash }
    }

    /// Returns the rank of a text of which nothing is known to vary.
    pub(super) fn of_text(text: &str) -> Self {
        Self { n_varying: 0, hash: checksum(0, text.as_bytes()) }
    }
}

#[derive(Clone, Debug)]
struct Label {
    service: Box<str>,
    operation: Box<str>,
    kind: Option<SpanKind>,
    rank: Rank,
}

impl Label {
    fn get(&self) -> LabelRef<'_> {
        LabelRef { service: &self.service, operation: &self.operation, kind: self.kind }
    }
}

/// Labels by number, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels {
    all: Vec<Label>,
    index: Index,
    hasher: RandomState,
    /// The last that stayed when others had to go: what ranks behind it cannot stay.
    worst: Option<Rank>,
    text_bytes: usize,
}

impl Labels {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, idx: u32) -> LabelRef<'_> {
        self.all[idx as usize].get()
    }

    pub(super) fn rank(&self, idx: u32) -> Rank {
        self.all[idx as usize].rank
    }

    fn hash(&self, label: LabelRef<'_>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(label.service.as_bytes());
        hasher.write(label.operation.as_bytes());
        hasher.write_u8(label.kind.map_or(0, |kind| kind as u8));
        hasher.finish()
    }

    fn find_hashed(&self, label: LabelRef<'_>, hash: u64) -> Option<u32> {
        self.index.find(hash, |idx| self.all[idx as usize].get() == label)
    }

    /// Returns the number of a label that is there.
    pub(super) fn find(&self, label: LabelRef<'_>) -> Option<u32> {
        self.find_hashed(label, self.hash(label))
    }

    /// Returns the number of a label, a new one where it is not there yet; `None` where so many are before it that it cannot stay.
    #[inline]
    pub(super) fn number(&mut self, label: LabelRef<'_>) -> Option<u32> {
        let hash = self.hash(label);
        match self.find_hashed(label, hash) {
            Some(idx) => Some(idx),
            None => self.add(label, hash),
        }
    }

    #[cold]
    fn add(&mut self, label: LabelRef<'_>, hash: u64) -> Option<u32> {
        let rank = Rank::of_label(label);
        if self.worst.is_some_and(|worst| rank > worst) {
            return None;
        }
        let idx = self.all.len() as u32;
        self.text_bytes += label.service.len() + label.operation.len();
        let (service, operation) = (label.service.into(), label.operation.into());
        self.all.push(Label { service, operation, kind: label.kind, rank });
        self.index.insert(hash, idx);
        Some(idx)
    }

    /// Returns for each label its place by rank.
    pub(super) fn places_by_rank(&self) -> Vec<u32> {
        places_in(&self.by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.get().cmp(&b.get()))))
    }

    /// Returns for each label its place by what it says.
    pub(super) fn places_by_name(&self) -> Vec<u32> {
        places_in(&self.by(|a, b| a.get().cmp(&b.get())))
    }

    fn by(&self, order: impl Fn(&Label, &Label) -> std::cmp::Ordering) -> Vec<u32> {
        let mut sorted: Vec<u32> = (0..self.all.len() as u32).collect();
        sorted.sort_unstable_by(|a, b| order(&self.all[*a as usize], &self.all[*b as usize]));
        sorted
    }

    /// Keeps the `n_max` labels of the least ranks, at least one, and returns the new number of each, [`GONE`] for those that go.
    pub(super) fn shrink(&mut self, n_max: usize) -> Vec<u32> {
        let places = self.places_by_rank();
        let mut kept: Vec<(u32, Label)> = places.iter().copied().zip(std::mem::take(&mut self.all)).collect();
        kept.retain(|(place, _)| (*place as usize) < n_max.max(1));
        kept.sort_unstable_by_key(|(place, _)| *place);
        self.all = kept.into_iter().map(|(_, label)| label).collect();
        self.worst = self.all.last().map(|label| label.rank);
        self.index = Index::default();
        self.text_bytes = 0;
        for idx in 0..self.all.len() as u32 {
            let label = self.all[idx as usize].get();
            let (hash, len) = (self.hash(label), label.service.len() + label.operation.len());
            self.index.insert(hash, idx);
            self.text_bytes += len;
        }
        let n_kept = self.all.len() as u32;
        places.into_iter().map(|place| if place < n_kept { place } else { GONE }).collect()
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.all.as_slice()) + self.text_bytes + self.index.memory_bytes()
    }
}

/// Returns for each row its place in `sorted`.
pub(super) fn places_in(sorted: &[u32]) -> Vec<u32> {
    let mut places = vec![0; sorted.len()];
    (0_u32..).zip(sorted).for_each(|(place, row)| places[*row as usize] = place);
    places
}
