//! Claims about faults: how many there are, that they can be repeated, and that they act.

use super::{Fault, FaultKind, Shares, place};

const SHARES: Shares = Shares { slow: 0.02, error: 0.01, panic: 0.005 };

fn decided(seed: u64) -> Vec<FaultKind> {
    (0..40_000).map(|number| SHARES.decide(seed, number)).collect()
}

#[test]
fn each_fault_has_its_share() {
    let decided = decided(7);
    for (kind, wanted) in [(FaultKind::Slow, 0.02), (FaultKind::Error, 0.01), (FaultKind::Panic, 0.005)] {
        let share = decided.iter().filter(|decided| **decided == kind).count() as f64 / decided.len() as f64;
        assert!((share / wanted - 1.0).abs() < 0.25, "{kind:?}: {share} instead of {wanted}");
    }
    assert!(!decided.contains(&FaultKind::Park));
}

#[test]
fn same_seed_decides_the_same_and_another_one_otherwise() {
    assert_eq!(decided(7), decided(7));
    assert_ne!(decided(7), decided(8));
    assert_eq!(Shares::default().decide(7, 1), FaultKind::None);
}

#[test]
fn fault_is_placed_where_the_request_comes() {
    let visited = [0, 3, 9];
    let mut places: Vec<u16> = (0..200).map(|n| place(FaultKind::Slow, 1, n, &visited).service_idx).collect();
    places.sort_unstable();
    places.dedup();
    assert_eq!(places, visited, "each of them, and nobody else");
    assert_eq!(place(FaultKind::None, 1, 1, &visited), Fault::default());
    assert_eq!(place(FaultKind::Slow, 1, 1, &[]), Fault::default(), "no place, no fault");
}

#[test]
fn shares_that_are_none_are_refused() {
    assert!(SHARES.are_valid() && Shares::default().are_valid());
    assert!(!Shares { slow: 1.1, ..SHARES }.are_valid());
    assert!(!Shares { error: -0.1, ..SHARES }.are_valid());
    assert!(!Shares { slow: 0.6, error: 0.6, panic: 0.0 }.are_valid(), "more than all together");
    assert!(!Shares { slow: f64::NAN, ..SHARES }.are_valid());
}

#[test]
fn kinds_survive_the_wire() {
    for byte in 0..=u8::MAX {
        let Some(kind) = FaultKind::from_u8(byte) else { continue };
        assert_eq!(FaultKind::from(crate::rpc::FaultKind::from(kind)), kind);
    }
    assert_eq!(FaultKind::from_u8(5), None);
}
