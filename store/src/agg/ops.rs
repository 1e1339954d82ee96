//! Table `ops`: spans by label.
//!
//! Called by `tables`. Rows go by the numbers of `labels`; those of labels that are gone are added up under other.

use super::labels::GONE;
use super::sums::{OCTAVE_BYTES, OpSums};
use crate::rows::SpanRow;

/// The spans of each label.
#[derive(Clone, Debug, Default)]
pub(super) struct Ops {
    rows: Vec<OpSums>,
    pub(super) other: OpSums,
    n_octaves: usize,
}

impl Ops {
    /// Returns the sums of a label.
    pub(super) fn get(&self, label: u32) -> &OpSums {
        &self.rows[label as usize]
    }

    /// Makes rows for so many labels.
    #[inline]
    pub(super) fn reach(&mut self, n_labels: usize) {
        if self.rows.len() < n_labels {
            self.rows.resize_with(n_labels, OpSums::default);
        }
    }

    /// Counts a span of a label, or of none that has a number.
    #[inline]
    pub(super) fn add_span(&mut self, label: Option<u32>, span: &SpanRow<'_>) {
        self.change(label, |op| op.add_span(span));
    }

    /// Counts what a span contributes to the critical path of its trace.
    #[inline]
    pub(super) fn add_self(&mut self, label: Option<u32>, self_ns: u64) {
        self.change(label, |op| op.selfs.add(self_ns));
    }

    pub(super) fn merge(&mut self, label: Option<u32>, sums: &OpSums) {
        self.change(label, |op| op.merge(sums));
    }

    #[inline]
    fn change(&mut self, label: Option<u32>, change: impl FnOnce(&mut OpSums)) {
        let op = match label {
            Some(label) => &mut self.rows[label as usize],
            None => &mut self.other,
        };
        let n_before = op.n_octaves();
        change(op);
        self.n_octaves += op.n_octaves() - n_before;
    }

    /// Takes the new numbers of labels.
    pub(super) fn renumber(&mut self, labels: &[u32]) {
        let n_kept = labels.iter().filter(|label| **label != GONE).count();
        let mut kept = Vec::new();
        kept.resize_with(n_kept, OpSums::default);
        for (row, label) in std::mem::take(&mut self.rows).into_iter().zip(labels) {
            match *label {
                GONE => self.other.merge(&row),
                label => kept[label as usize] = row,
            }
        }
        self.rows = kept;
        self.n_octaves = self.rows.iter().map(OpSums::n_octaves).sum::<usize>() + self.other.n_octaves();
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.rows.as_slice()) + self.n_octaves * OCTAVE_BYTES
    }
}
