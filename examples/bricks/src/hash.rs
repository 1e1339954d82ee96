//! The hash behind everything that looks random here: trace ids, which children are called, which requests get a fault.
//!
//! Pure, so that a run can be repeated, and walked again by whoever checks it.

/// Returns `value` scattered over all 64 bits (the finaliser of SplitMix64).
pub(crate) const fn scatter(value: u64) -> u64 {
    let mut bits = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Returns a hash of both; the order matters.
pub(crate) const fn join(first: u64, second: u64) -> u64 {
    scatter(scatter(first) ^ second)
}

/// Returns `hash` as a number of the interval from 0 (included) to 1 (excluded).
pub(crate) fn share(hash: u64) -> f64 {
    (hash >> 11) as f64 / (1_u64 << 53) as f64
}
