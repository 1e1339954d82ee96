//! Log-linear buckets: the arithmetic of histograms whose relative error is the same from nanoseconds to hours.
//!
//! Called by whoever counts durations or sizes to learn a percentile: the client's autotrigger, trigger expressions. Where counts are kept and
//! how they age is the caller's.

/// Buckets per octave; the value that a bucket stands for is at most 1/32 (3.2 %) off.
const SUB_BUCKETS: u64 = 32;
const SUB_SHIFT: u32 = SUB_BUCKETS.trailing_zeros();
/// Buckets: 1920 that a `u64` can reach, rounded up so that an index needs no check beyond a mask.
pub const BUCKETS: usize = 2048;

/// Returns the bucket of `value`: exact below 32, then 32 buckets per octave.
#[inline(always)]
pub fn bucket_of(value: u64) -> usize {
    let octave = (63 - (value | (SUB_BUCKETS - 1)).leading_zeros()).saturating_sub(SUB_SHIFT - 1);
    // In octave 0 (values below 32) the bucket is the value; above, the five bits behind the leading one.
    let shift = octave.saturating_sub(1);
    ((u64::from(shift) << SUB_SHIFT) + (value >> shift)) as usize & (BUCKETS - 1)
}

/// Returns the least value of bucket `idx` and the number of values in it.
pub fn bounds_of(idx: usize) -> (u64, u64) {
    let (octave, sub) = (idx as u64 >> SUB_SHIFT, idx as u64 & (SUB_BUCKETS - 1));
    if octave == 0 { (sub, 1) } else { ((SUB_BUCKETS + sub) << (octave - 1), 1 << (octave - 1)) }
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
