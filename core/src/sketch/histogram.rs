//! A sketch as the few bars that a page draws: bins of a quarter of an octave.
//!
//! Called by whoever shows a distribution. Each bucket of a sketch lies within one bin, so that the counts of bins are exact.

use super::{Bucket, Sketch};
use crate::loglinear::{bounds, bucket};

/// Bins of an octave.
pub const HISTOGRAM_PER_OCTAVE: u32 = 1 << BIN_SHIFT;
const BIN_SHIFT: u32 = 2;

/// How often values came, by bins.
///
/// # Shape
/// Bins lie end to end from that of the least value to that of the greatest, at most 252. Values below 4 stand alone; above, four bins of one width make
/// an octave.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Histogram {
    first: usize,
    /// The count of each bin.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Returns the least value of the first bin, 0 where there is none.
    pub const fn lo(&self) -> u64 {
        bounds::<BIN_SHIFT>(self.first).0
    }

    /// Returns the bins, ascending, also those without values.
    pub fn bins(&self) -> impl Iterator<Item = Bucket> + '_ {
        (self.first..).zip(&self.counts).map(|(idx, count)| {
            let (least, width) = bounds::<BIN_SHIFT>(idx);
            Bucket { least, width, count: *count }
        })
    }

    /// Returns the position of the bin that `value` falls into, `None` beyond the first or the last.
    pub fn bin_of(&self, value: u64) -> Option<usize> {
        let idx = bucket::<BIN_SHIFT>(value).checked_sub(self.first)?;
        (idx < self.counts.len()).then_some(idx)
    }
}

impl Sketch {
    /// Returns the sketch by bins of a quarter of an octave.
    pub fn histogram(&self) -> Histogram {
        let mut histogram = Histogram::default();
        for values in self.buckets() {
            let bin = bucket::<BIN_SHIFT>(values.least);
            if histogram.counts.is_empty() {
                histogram.first = bin;
            }
            histogram.counts.resize(bin - histogram.first + 1, 0);
            let count = &mut histogram.counts[bin - histogram.first];
            *count = count.saturating_add(values.count);
        }
        histogram
    }
}
