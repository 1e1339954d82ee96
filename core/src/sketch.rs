//! Sketches of distributions: counts in log-linear buckets, integers only, so that merging is addition.
//!
//! Called by whoever aggregates spans: durations and self times by operation, contributions by path. [`crate::loglinear`] has coarser buckets for
//! percentiles that are learnt and forgotten; these are kept, merged in any order, and written to files.

mod encoding;
mod histogram;
#[cfg(test)]
mod tests;

pub use encoding::DecodeSketchError;
pub use histogram::{HISTOGRAM_PER_OCTAVE, Histogram};

use crate::loglinear::{bounds, bucket};

/// Buckets of an octave.
const SUB_BUCKETS: u64 = 64;
const SUB_SHIFT: u32 = SUB_BUCKETS.trailing_zeros();
/// Octaves: one of the values below 64, then one for each power of two.
const OCTAVES: usize = 59;
/// Buckets that a `u64` can fall into.
pub const SKETCH_BUCKETS: usize = OCTAVES * SUB_BUCKETS as usize;

/// How often values came.
///
/// # Shape
/// Values below 64 are counted exactly; above, a bucket is 1/64 of its octave wide, and the value that stands for it is at most 0.78 % off any value
/// in it. Counts are exact; one that would pass `u64::MAX` stays there, which keeps merging associative. 32 bytes, 16 for each octave from the lowest to
/// the highest, and 256 for each that values fell into (512 where a count passes 2^32).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sketch {
    /// The octave of the first page.
    lowest: usize,
    /// Pages from the lowest octave that values fell into to the highest.
    pages: Vec<Option<Page>>,
}

/// The counts of one octave; wide only where a count needs it, so that equal counts are equal pages.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Page {
    Narrow(Box<[u32; SUB_BUCKETS as usize]>),
    Wide(Box<[u64; SUB_BUCKETS as usize]>),
}

/// Values that are counted together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// The least of them.
    pub least: u64,
    /// How many they are.
    pub width: u64,
    /// How often they came.
    pub count: u64,
}

impl Sketch {
    /// Counts a value.
    ///
    /// # Cost
    /// A shift, two loads and a store; 256 bytes are allocated for the first value of an octave.
    #[inline]
    pub fn add(&mut self, value: u64) {
        self.add_n(value, 1);
    }

    /// Counts a value `n` times.
    #[inline]
    pub fn add_n(&mut self, value: u64, n: u64) {
        if n > 0 {
            self.add_to(bucket::<SUB_SHIFT>(value), n);
        }
    }

    /// Counts what `other` has counted: the result is that of all values of both in one sketch, in whatever order they came.
    ///
    /// # Cost
    /// 64 additions for each octave of `other`.
    pub fn merge(&mut self, other: &Self) {
        for octave in 0..OCTAVES {
            let Some(theirs) = other.page(octave) else { continue };
            let ours = self.page_mut(octave);
            for sub in 0..SUB_BUCKETS as usize {
                ours.add(sub, theirs.get(sub));
            }
        }
    }

    /// Returns how many values were counted.
    pub fn count(&self) -> u64 {
        self.buckets().fold(0, |count, bucket| bucket.count.saturating_add(count))
    }

    /// Returns whether no value was counted.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Returns how many octaves there are from the lowest to the highest that values fell into: what its memory grows by.
    #[inline]
    pub fn n_octaves(&self) -> usize {
        self.pages.len()
    }

    /// Returns the buckets that hold values, ascending.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        self.occupied().map(|(idx, count)| {
            let (least, width) = bounds::<SUB_SHIFT>(idx);
            Bucket { least, width, count }
        })
    }

    /// Returns what stands for the value before which `rank` others stand in ascending order, at most 0.78 % off; `None` where there are no more.
    pub fn at_rank(&self, rank: u64) -> Option<u64> {
        let mut before = 0_u64;
        let found = self.buckets().find(|bucket| {
            before = before.saturating_add(bucket.count);
            rank < before
        });
        found.map(|bucket| middle_of(bucket.least, bucket.width))
    }

    /// Returns the quantile at `share_ppm` millionths by nearest rank: the least value that this share of all values does not exceed, at most 0.78 % off.
    /// `None` for an empty sketch; a share above one is one.
    pub fn quantile(&self, share_ppm: u32) -> Option<u64> {
        let count = self.count();
        let rank = (u128::from(count) * u128::from(share_ppm.min(PPM))).div_ceil(u128::from(PPM));
        self.at_rank((rank as u64).saturating_sub(1))
    }

    /// Returns the percentile of `value` in hundredths of a percent, 0 to 10,000: the share of values in lower buckets and of half of those in its own.
    /// `None` for an empty sketch.
    pub fn percentile_of(&self, value: u64) -> Option<u16> {
        let own = bucket::<SUB_SHIFT>(value);
        let mut twice_below = 0_u128;
        for (idx, count) in self.occupied().take_while(|(idx, _)| *idx <= own) {
            twice_below += u128::from(count) * if idx < own { 2 } else { 1 };
        }
        let count = u128::from(self.count());
        let share = (twice_below * 5000).checked_div(count)?;
        Some(share.min(10_000) as u16)
    }

    fn occupied(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let pages = (0..OCTAVES).filter_map(|octave| Some((octave, self.page(octave)?)));
        let counts =
            pages.flat_map(|(octave, page)| (0..SUB_BUCKETS as usize).map(move |sub| (octave, sub, page.get(sub))));
        counts.filter(|(.., count)| *count > 0).map(|(octave, sub, count)| ((octave << SUB_SHIFT) + sub, count))
    }

    #[inline]
    fn add_to(&mut self, idx: usize, n: u64) {
        self.page_mut(idx >> SUB_SHIFT).add(idx & (SUB_BUCKETS as usize - 1), n);
    }

    fn page(&self, octave: usize) -> Option<&Page> {
        self.pages.get(octave.checked_sub(self.lowest)?)?.as_ref()
    }

    #[inline]
    fn page_mut(&mut self, octave: usize) -> &mut Page {
        if octave.wrapping_sub(self.lowest) >= self.pages.len() {
            self.reach(octave);
        }
        self.pages[octave - self.lowest].get_or_insert_with(Page::new)
    }

    /// Makes room for the page of an octave below the lowest or above the highest.
    #[cold]
    fn reach(&mut self, octave: usize) {
        if self.pages.is_empty() {
            self.lowest = octave;
        }
        let n_below = self.lowest.saturating_sub(octave);
        self.pages.splice(0..0, (0..n_below).map(|_| None));
        self.lowest -= n_below;
        let len = self.pages.len().max(octave - self.lowest + 1);
        self.pages.resize_with(len, || None);
    }
}

impl Page {
    #[cold]
    fn new() -> Self {
        Self::Narrow(Box::new([0; SUB_BUCKETS as usize]))
    }

    fn get(&self, sub: usize) -> u64 {
        match self {
            Self::Narrow(counts) => u64::from(counts[sub]),
            Self::Wide(counts) => counts[sub],
        }
    }

    #[inline]
    fn add(&mut self, sub: usize, n: u64) {
        match self {
            Self::Narrow(counts) => match u32::try_from(u64::from(counts[sub]).saturating_add(n)) {
                Ok(sum) => counts[sub] = sum,
                Err(_) => self.add_wide(sub, n),
            },
            Self::Wide(counts) => counts[sub] = counts[sub].saturating_add(n),
        }
    }

    #[cold]
    fn add_wide(&mut self, sub: usize, n: u64) {
        if let Self::Narrow(counts) = self {
            *self = Self::Wide(Box::new(counts.map(u64::from)));
        }
        self.add(sub, n);
    }
}

/// All, in millionths.
const PPM: u32 = 1_000_000;

/// Returns the value that stands for a bucket: the one from which both ends are equally far in relation to themselves, 1/129 at most.
///
/// The arithmetic middle would be 1/128 of the least value off it, more than 0.78 %.
const fn middle_of(least: u64, width: u64) -> u64 {
    // With least = k * width, 64 <= k < 128: width * k / (2 k + 1). Below 64 the width is 1.
    let k = least / width;
    least + (width as u128 * k as u128 / (2 * k as u128 + 1)) as u64
}
