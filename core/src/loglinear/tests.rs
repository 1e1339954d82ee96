//! Tests of the buckets.

use super::{BUCKETS, bounds_of, bucket_of};
use proptest::prelude::{any, prop_assert, proptest};

proptest! {
    /// For every value: its bucket holds it, and standing for the bucket's least value is at most 3.2 % off.
    #[test]
    fn a_bucket_holds_its_values_within_the_error(value in any::<u64>(), shift in 0_u32..64) {
        let value = value >> shift;
        let (least, width) = bounds_of(bucket_of(value));
        prop_assert!(least <= value && value - least < width, "{value}: {least} + {width}");
        prop_assert!((value - least) as f64 <= 0.032 * value as f64);
    }

    /// Buckets are in the order of their values.
    #[test]
    fn buckets_keep_the_order(a in any::<u64>(), b in any::<u64>(), shift in 0_u32..64) {
        let (low, high) = ((a >> shift).min(b >> shift), (a >> shift).max(b >> shift));
        prop_assert!(bucket_of(low) <= bucket_of(high));
    }
}

#[test]
fn buckets_meet_without_gaps() {
    let last = bucket_of(u64::MAX);
    assert!(last < BUCKETS);
    for idx in 0..last {
        let (least, width) = bounds_of(idx);
        assert_eq!(least + width, bounds_of(idx + 1).0, "bucket {idx}");
        assert_eq!(bucket_of(least), idx);
    }
}
