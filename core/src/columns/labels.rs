//! What spans are called: service, operation and kind, each triple once, by number.
//!
//! Called by whoever fills rows. Traces that are compared share one table, so that equal numbers are equal labels.

use crate::record::SpanKind;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64;

/// The number of a label in its table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LabelId(pub u32);

impl LabelId {
    /// That of the root which a trace of several roots is given: no service, no operation. Also what a number that is not in the table means.
    pub const SYNTHETIC: Self = Self(0);
}

/// What a span is called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Label {
    /// The service that it is of.
    pub service: Arc<str>,
    /// Its name.
    pub operation: Arc<str>,
    /// Its kind.
    pub kind: SpanKind,
}

/// Codes of [`SpanKind`] end before this.
const KINDS: usize = 6;

/// A table of labels, one for all traces that are held against each other.
///
/// # Shape
/// As many labels as were asked for, at most one for each row; whoever fills rows bounds those.
#[derive(Clone, Debug)]
pub struct Labels {
    all: Vec<Label>,
    /// Of what stands in the label, so that it depends on no table.
    hashes: Vec<u64>,
    /// By service, then by operation: the label of each kind, 0 for none.
    known: BTreeMap<Arc<str>, BTreeMap<Arc<str>, [u32; KINDS]>>,
}

impl Default for Labels {
    /// Returns a table that holds only [`LabelId::SYNTHETIC`].
    fn default() -> Self {
        Self { all: vec![Label::default()], hashes: vec![0], known: BTreeMap::new() }
    }
}

impl Labels {
    /// Returns the number of a label, a new one where it is not there yet.
    ///
    /// # Cost
    /// Two ordered lookups, no allocation for a label that is there. Who reads dictionary-encoded columns asks once for each triple of codes.
    pub fn intern(&mut self, service: &str, operation: &str, kind: SpanKind) -> LabelId {
        let kind_idx = kind as usize % KINDS;
        let known = self.known.get(service).and_then(|operations| operations.get(operation));
        match known.map(|kinds| kinds[kind_idx]) {
            Some(idx) if idx != 0 => LabelId(idx),
            _ => self.add(Label { service: service.into(), operation: operation.into(), kind }, kind_idx),
        }
    }

    fn add(&mut self, label: Label, kind_idx: usize) -> LabelId {
        let idx = self.all.len() as u32;
        let operations = self.known.entry(label.service.clone()).or_default();
        operations.entry(label.operation.clone()).or_default()[kind_idx] = idx;
        let parts = [xxh3_64(label.service.as_bytes()), xxh3_64(label.operation.as_bytes()), kind_idx as u64];
        self.hashes.push(hash_of(&parts));
        self.all.push(label);
        LabelId(idx)
    }

    /// Returns what a number stands for.
    pub fn get(&self, id: LabelId) -> &Label {
        self.all.get(id.0 as usize).unwrap_or(&self.all[0])
    }

    /// Returns the kind of the spans that are called so.
    pub fn kind(&self, id: LabelId) -> SpanKind {
        self.get(id).kind
    }

    /// Returns a hash that is the same in every table.
    pub fn hash(&self, id: LabelId) -> u64 {
        self.hashes.get(id.0 as usize).copied().unwrap_or_default()
    }

    /// Returns the order of two labels by service, operation and kind: the same in every table.
    pub fn order(&self, a: LabelId, b: LabelId) -> Ordering {
        self.get(a).cmp(self.get(b))
    }
}

/// Returns the hash of numbers in their order.
pub(crate) fn hash_of(parts: &[u64; 3]) -> u64 {
    let mut bytes = [0; 24];
    for (to, part) in bytes.chunks_exact_mut(8).zip(parts) {
        to.copy_from_slice(&part.to_le_bytes());
    }
    xxh3_64(&bytes)
}
