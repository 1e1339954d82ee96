//! Tests of medians and ratios.

use super::{Cost, Rounds, Spread};

#[test]
fn a_median_lies_in_the_middle() {
    assert_eq!(Spread::of(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
    assert_eq!(Spread::of(&[4.0, 1.0]).map(|spread| spread.median), Some(2.5));
    assert_eq!(Spread::of(&[]), None);
}

#[test]
fn a_round_is_compared_with_its_neighbours() {
    // The machine gets slower by a tenth of its first pace with each round; recording adds 4 % to the services, and 1 % beside them.
    let rounds = Rounds {
        without: vec![100.0, 120.0, 140.0],
        services: vec![110.0 * 1.04, 130.0 * 1.04],
        recorder: vec![1.1, 1.3],
    };
    let cost = Cost::of(&rounds).unwrap();
    assert!((cost.ratio.median - 1.05).abs() < 1e-9, "{cost:?}");
    assert!((cost.services_ratio.max - 1.04).abs() < 1e-9, "{cost:?}");
    assert!((cost.aa_ratio.max - 1.2).abs() < 1e-9 && cost.noise > 0.16, "{cost:?}");
    assert_eq!(Cost::of(&Rounds::default()), None);
}
