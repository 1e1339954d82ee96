//! Claims about sketches: exact counts, bounded errors, merging is addition, bytes and back.

use super::{DecodeSketchError, OCTAVES, SKETCH_BUCKETS, SUB_SHIFT, Sketch, bounds, bucket, middle_of};
use proptest::prelude::{Just, Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

/// Values that test an octave's ends as well as what comes in practice.
fn values() -> impl Strategy<Value = Vec<u64>> {
    let anywhere = (any::<u64>(), 0_u32..64).prop_map(|(value, shift)| value >> shift);
    let at_edge = (0_u32..64, -2_i64..3).prop_map(|(shift, off)| (1_u64 << shift).saturating_add_signed(off));
    let value = prop_oneof![anywhere, at_edge, 0_u64..200, Just(u64::MAX)];
    prop::collection::vec(value, 0..300)
}

fn sketch(values: &[u64]) -> Sketch {
    let mut sketch = Sketch::default();
    values.iter().for_each(|value| sketch.add(*value));
    sketch
}

/// Sketches whose counts need more than 32 bits, or all 64.
fn any_sketch() -> impl Strategy<Value = Sketch> {
    let count = prop_oneof![1_u64..5, Just(u64::from(u32::MAX)), Just(u64::MAX - 1), any::<u64>()];
    prop::collection::vec((any::<u64>(), 0_u32..64, count), 0..20).prop_map(|entries| {
        let mut sketch = Sketch::default();
        entries.iter().for_each(|(value, shift, n)| sketch.add_n(value >> shift, *n));
        sketch
    })
}

fn merged(a: &Sketch, b: &Sketch) -> Sketch {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

fn is_close(estimate: u64, value: u64) -> bool {
    u128::from(estimate.abs_diff(value)) * 10_000 <= u128::from(value) * 78
}

#[test]
fn what_stands_for_a_bucket_is_at_most_0_78_percent_off_either_end_of_it() {
    for idx in 0..SKETCH_BUCKETS {
        let (least, width) = bounds::<SUB_SHIFT>(idx);
        let middle = middle_of(least, width);
        assert!(is_close(middle, least) && is_close(middle, least + (width - 1)), "bucket {idx}");
    }
}

#[test]
fn buckets_meet_without_gaps() {
    assert_eq!(bucket::<SUB_SHIFT>(u64::MAX), SKETCH_BUCKETS - 1);
    for idx in 0..SKETCH_BUCKETS {
        let (least, width) = bounds::<SUB_SHIFT>(idx);
        assert_eq!((bucket::<SUB_SHIFT>(least), bucket::<SUB_SHIFT>(least + (width - 1))), (idx, idx));
        assert!(idx + 1 == SKETCH_BUCKETS || bounds::<SUB_SHIFT>(idx + 1).0 == least + width);
        assert!(idx >= 128 || width == 1, "values below 128 stand alone");
    }
}

proptest! {
    /// For any values and any rank: the estimate is at most 0.78 % off the exact one; exact below 64. Counts are exact.
    #[test]
    fn every_quantile_is_at_most_0_78_percent_off(mut values in values(), share_ppm in 0_u32..=1_000_000) {
        let sketch = sketch(&values);
        values.sort_unstable();
        prop_assert_eq!(sketch.count(), values.len() as u64);
        for (rank, value) in values.iter().enumerate() {
            let estimate = sketch.at_rank(rank as u64).unwrap();
            prop_assert!(is_close(estimate, *value), "{} for {}", estimate, value);
        }
        prop_assert_eq!(sketch.at_rank(values.len() as u64), None);
        let rank = (values.len() as u64 * u64::from(share_ppm)).div_ceil(1_000_000).saturating_sub(1);
        let exact = values.get(rank as usize).copied();
        prop_assert_eq!(sketch.quantile(share_ppm).is_some(), exact.is_some());
        prop_assert!(sketch.quantile(share_ppm).zip(exact).is_none_or(|(estimate, exact)| is_close(estimate, exact)));
    }

    /// Merging is commutative and associative, empty sketches change nothing, also where counts are wide or at their end.
    #[test]
    fn merging_is_addition(a in any_sketch(), b in any_sketch(), c in any_sketch()) {
        prop_assert_eq!(merged(&a, &b), merged(&b, &a));
        prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&a, &Sketch::default()), &a);
        prop_assert_eq!(&merged(&Sketch::default(), &a), &a);
    }

    /// For any values: two sketches merged are the sketch of all of them.
    #[test]
    fn a_merged_sketch_is_that_of_all_values(a in values(), b in values()) {
        let all: Vec<u64> = b.iter().chain(&a).copied().collect();
        prop_assert_eq!(merged(&sketch(&a), &sketch(&b)), sketch(&all));
    }

    /// For any sketch: its bytes are read back as it.
    #[test]
    fn a_sketch_survives_its_bytes(sketch in any_sketch()) {
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        prop_assert_eq!(Sketch::decode(&bytes), Ok(sketch));
    }

    /// For any bytes: a sketch whose bytes they are, or an error; no panic.
    #[test]
    fn any_bytes_are_a_sketch_or_an_error(mut bytes in prop::collection::vec(any::<u8>(), 0..60), is_ours in any::<bool>()) {
        if let Some(first) = bytes.first_mut().filter(|_| is_ours) {
            *first = 1;
        }
        if let Ok(sketch) = Sketch::decode(&bytes) {
            let mut again = Vec::new();
            sketch.encode(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    /// For any sketch: bytes that are cut, or have one changed, give no panic; those that are cut give an error.
    #[test]
    fn damaged_bytes_do_not_panic(sketch in any_sketch(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        let at = at.index(bytes.len());
        prop_assert!(Sketch::decode(&bytes[..at]).is_err());
        bytes[at] = byte;
        let _ = Sketch::decode(&bytes);
    }

    /// For any values: each is counted in the one bin of the histogram that it lies in; bins lie end to end, and none is empty at either end.
    #[test]
    fn a_histogram_counts_each_value_in_its_bin(values in values()) {
        let histogram = sketch(&values).histogram();
        let bins: Vec<_> = histogram.bins().collect();
        prop_assert!(bins.windows(2).all(|pair| pair[0].least + pair[0].width == pair[1].least));
        prop_assert!(bins.first().is_none_or(|bin| bin.count > 0 && bin.least == histogram.lo()));
        prop_assert!(bins.last().is_none_or(|bin| bin.count > 0));
        for (idx, bin) in bins.iter().enumerate() {
            let inside = |value: &&u64| **value >= bin.least && **value - bin.least < bin.width;
            prop_assert_eq!(bin.count, values.iter().filter(inside).count() as u64);
            prop_assert_eq!(histogram.bin_of(bin.least), Some(idx));
        }
        prop_assert!(values.iter().all(|value| histogram.bin_of(*value).is_some()));
    }

    /// For any values: the percentile of each is that of the middle of its bucket's values, in their order.
    #[test]
    fn percentiles_rise_with_values(mut values in values()) {
        let sketch = sketch(&values);
        values.sort_unstable();
        let percentiles: Vec<_> = values.iter().map(|value| sketch.percentile_of(*value)).collect();
        prop_assert!(percentiles.is_sorted() && percentiles.iter().all(|p| p.is_some_and(|p| p <= 10_000)));
    }
}

#[test]
fn a_page_is_widened_when_a_count_needs_it() {
    let mut counted = Sketch::default();
    counted.add_n(1000, u64::from(u32::MAX));
    let narrow = counted.clone();
    counted.add(1000);
    assert_eq!(counted.count(), 1 << 32);
    assert_ne!(counted, narrow);
    counted.add_n(1000, u64::MAX);
    assert_eq!(counted.count(), u64::MAX);
}

#[test]
fn percentiles_are_shares_of_what_is_below() {
    let sketch = sketch(&[1, 2, 3, 4]);
    assert_eq!([0, 1, 2, 4, 9].map(|value| sketch.percentile_of(value)), [0, 1250, 3750, 8750, 10_000].map(Some));
    assert_eq!(Sketch::default().percentile_of(5), None);
    assert_eq!((Sketch::default().quantile(500_000), sketch.quantile(u32::MAX)), (None, Some(4)));
}

#[test]
fn bytes_that_are_no_sketch_are_refused_by_name() {
    let check = |bytes: &[u8], expected| assert_eq!(Sketch::decode(bytes), Err(expected));
    check(&[], DecodeSketchError::CutShort { len: 0 });
    check(&[2], DecodeSketchError::Version { version: 2 });
    check(&[1], DecodeSketchError::CutShort { len: 1 });
    check(&[1, 0x80, 0], DecodeSketchError::Number { at: 1 });
    check(&[1, 1, 5, 0], DecodeSketchError::EmptyBucket { idx: 5 });
    check(&[1, 1, 0xff, 0x7f, 1], DecodeSketchError::Bucket { idx: 0x3fff });
    check(&[1, 0, 7], DecodeSketchError::Trailing { n: 1 });
    let too_long = [&[1_u8][..], &[0xff; 9], &[2]].concat();
    check(&too_long, DecodeSketchError::Number { at: 1 });
}

#[test]
fn all_octaves_fit() {
    let mut sketch = Sketch::default();
    (0..64).rev().for_each(|shift| sketch.add(1 << shift));
    assert_eq!((sketch.pages.iter().flatten().count(), sketch.count()), (OCTAVES, 64));
    assert_eq!(
        sketch.buckets().map(|bucket| bucket.least).collect::<Vec<_>>(),
        (0..64).map(|shift| 1 << shift).collect::<Vec<_>>()
    );
}
