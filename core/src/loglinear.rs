//! Log-linear buckets: the arithmetic of histograms whose relative error is the same from nanoseconds to hours.
//!
//! Called by whoever counts durations or sizes to learn a percentile: the client's autotrigger, trigger expressions; and by [`crate::sketch`], whose
//! buckets are finer. Where counts are kept and how they age is the caller's.

/// 32 buckets per octave: the value that a bucket stands for is at most 1/32 (3.2 %) off.
const SUB_SHIFT: u32 = 5;
/// Buckets: 1920 that a `u64` can reach, rounded up so that an index needs no check beyond a mask.
pub const BUCKETS: usize = 2048;

/// Returns the bucket of `value`: exact below 32, then 32 buckets per octave.
#[inline(always)]
pub fn bucket_of(value: u64) -> usize {
    bucket::<SUB_SHIFT>(value) & (BUCKETS - 1)
}

/// Returns the least value of bucket `idx` and the number of values in it.
pub const fn bounds_of(idx: usize) -> (u64, u64) {
    bounds::<SUB_SHIFT>(idx)
}

/// Returns the bucket of `value` where an octave has `2^SUB_SHIFT` of them: exact in the first octave, then the bits behind the leading one.
#[inline(always)]
pub(crate) const fn bucket<const SUB_SHIFT: u32>(value: u64) -> usize {
    let shift = (63 - (value | ((1 << SUB_SHIFT) - 1)).leading_zeros()).saturating_sub(SUB_SHIFT);
    // What is left of a value above the first octave has its leading one, worth an octave.
    (((shift as u64) << SUB_SHIFT) + (value >> shift)) as usize
}

/// Returns the least value of [`bucket`] `idx` and the number of values in it.
pub(crate) const fn bounds<const SUB_SHIFT: u32>(idx: usize) -> (u64, u64) {
    let sub_buckets = 1 << SUB_SHIFT;
    let (octave, sub) = (idx as u64 >> SUB_SHIFT, idx as u64 & (sub_buckets - 1));
    if octave == 0 { (sub, 1) } else { ((sub_buckets + sub) << (octave - 1), 1 << (octave - 1)) }
}

/// Returns the value that `tail` of the weight lies at or above, taking values as evenly spread within a bucket; `None` where there is less.
///
/// `highest_first` gives buckets from the highest down, each with its weight.
pub fn value_below_tail(highest_first: impl Iterator<Item = (usize, f64)>, tail: f64) -> Option<u64> {
    let mut above = 0.0;
    for (idx, here) in highest_first {
        if here > 0.0 && above + here >= tail {
            let (least, width) = bounds_of(idx);
            let from_top = ((tail - above) / here).clamp(0.0, 1.0);
            return Some(least.saturating_add((width as f64 * (1.0 - from_top)).ceil() as u64));
        }
        above += here;
    }
    None
}

#[cfg(test)]
mod tests;
