//! Claims about medians and intervals.

use super::{BOOTSTRAP_SEED, Interval, median, median_interval, modes_share, quantile, ratio_interval, round_ratios};

#[test]
fn median_of_an_even_number_is_the_mean_of_the_middle_two() {
    assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    assert_eq!(median(&[9.0, 1.0, 5.0]), Some(5.0));
    assert_eq!(median(&[]), None);
}

#[test]
fn a_quantile_is_the_sample_of_its_rank() {
    let sorted: Vec<f64> = (1..=200).map(f64::from).collect();
    assert_eq!([0.0, 0.5, 0.99, 1.0].map(|share| quantile(&sorted, share)), [1.0, 100.0, 198.0, 200.0].map(Some));
    assert_eq!(quantile(&[7.0], 0.99), Some(7.0));
    assert_eq!(quantile(&[], 0.5), None);
}

#[test]
fn interval_of_proportional_samples_is_a_point() {
    let peers = [10.0, 12.0, 11.0, 30.0, 10.5];
    let ours = peers.map(|ns| ns * 0.5);
    let interval = ratio_interval(&ours, &peers, BOOTSTRAP_SEED).expect("lengths agree");
    assert!((interval.low - 0.5).abs() < 1e-12 && (interval.high - 0.5).abs() < 1e-12, "{interval:?}");
}

#[test]
fn interval_depends_on_the_seed_alone() {
    let (ours, peers) = ([1.0, 1.3, 0.9, 1.1, 1.0], [2.0, 2.2, 1.9, 2.4, 2.1]);
    assert_eq!(ratio_interval(&ours, &peers, 7), ratio_interval(&ours, &peers, 7));
    let interval = ratio_interval(&ours, &peers, 7).expect("lengths agree");
    assert!(interval.low <= 1.0 / 2.1 && 1.0 / 2.1 <= interval.high, "{interval:?}");
}

#[test]
fn unpaired_rounds_have_no_interval() {
    assert_eq!(ratio_interval(&[1.0], &[1.0, 2.0], 1), None);
    assert_eq!(ratio_interval(&[], &[], 1), None);
}

#[test]
fn two_modes_are_told_from_a_spread_and_from_one_disturbed_sample() {
    let share = modes_share(&[7.0, 11.0, 7.0, 11.0, 11.0, 7.0, 7.0]).expect("two modes");
    assert!((share - 4.0 / 7.0).abs() < 1e-9, "{share}");
    for one_mode in [&[][..], &[7.0], &[7.0, 11.0], &[7.0, 7.1, 7.0, 11.0], &[7.0, 7.5, 8.0, 8.6, 9.2, 9.9], &[0.0; 5]]
    {
        assert_eq!(modes_share(one_mode), None, "{one_mode:?}");
    }
}

#[test]
fn rounds_are_divided_in_pairs_or_not_at_all() {
    assert_eq!(round_ratios(&[1.0, 6.0], &[2.0, 3.0]), Some(vec![0.5, 2.0]));
    for (ours, peers) in [(&[][..], &[][..]), (&[1.0], &[1.0, 2.0]), (&[1.0], &[0.0])] {
        assert_eq!(round_ratios(ours, peers), None, "{ours:?} {peers:?}");
    }
}

#[test]
fn interval_of_a_median_holds_it_and_lies_within_the_samples() {
    let samples = [1.02, 0.98, 1.0, 1.01, 0.9, 1.3, 0.99];
    let interval = median_interval(&samples, BOOTSTRAP_SEED).expect("samples");
    assert!(0.9 <= interval.low && interval.low <= 1.0 && 1.0 <= interval.high && interval.high <= 1.3, "{interval:?}");
    assert_eq!(median_interval(&[2.0; 5], 1), Some(Interval { low: 2.0, high: 2.0 }));
    assert_eq!(median_interval(&[], 1), None);
}

#[test]
fn the_farther_end_is_by_distance_from_one() {
    assert_eq!(Interval { low: 0.9, high: 1.05 }.farther_from_one(), 0.9);
    assert_eq!(Interval { low: 0.99, high: 1.05 }.farther_from_one(), 1.05);
}
