//! Claims about the generated topology: it is the same everywhere, can be run, is bounded, and has the traits of its model.

use super::{LAYERS, VISITS_EXPECTED, generate};
use crate::plan::Plan;
use crate::topology::Topology;
use std::collections::BTreeMap;

/// Returns the average number of visits of a request, and its longest path, from the topology alone.
fn visits_and_depth(topology: &Topology) -> (f64, usize) {
    let mut known: BTreeMap<(&str, &str), (f64, usize)> = BTreeMap::new();
    for service in topology.services.iter().rev() {
        for api in &service.apis {
            let (mut visits, mut depth) = (1.0, 1);
            for child in &api.children {
                let below = known[&(child.service.as_str(), child.api.as_str())];
                visits += child.probability * below.0;
                depth = depth.max(1 + below.1);
            }
            known.insert((&service.name, &api.name), (visits, depth));
        }
    }
    known[&(topology.entry.service.as_str(), topology.entry.api.as_str())]
}

fn callers(topology: &Topology) -> BTreeMap<&str, usize> {
    let mut callers = BTreeMap::new();
    for child in topology.services.iter().flat_map(|service| &service.apis).flat_map(|api| &api.children) {
        *callers.entry(child.service.as_str()).or_default() += 1;
    }
    callers
}

#[test]
fn every_seed_gives_93_services_that_are_all_reached_and_20_visits_a_request() {
    for seed in 0..200 {
        let topology = generate(seed);
        topology.check().unwrap();
        assert_eq!((topology.services.len(), callers(&topology).len()), (93, 92), "seed {seed}");
        let (visits, depth) = visits_and_depth(&topology);
        assert!(visits <= VISITS_EXPECTED && visits > VISITS_EXPECTED * 0.98, "seed {seed}: {visits} visits");
        assert!(depth <= LAYERS.len(), "seed {seed}: depth {depth}");
    }
}

#[test]
fn the_topology_that_is_run_is_the_same_everywhere() {
    let json = serde_json::to_string(&generate(crate::topology::SYNTHETIC_SEED)).unwrap();
    let fingerprint = json
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    assert_eq!(format!("{fingerprint:016x}"), "116efba60bd801b2");
    assert_ne!(generate(1), generate(2));
}

#[test]
fn a_few_services_are_hot_and_most_have_few_callers() {
    let topology = generate(crate::topology::SYNTHETIC_SEED);
    let mut n_callers: Vec<usize> = callers(&topology).into_values().collect();
    n_callers.sort_unstable_by(|a, b| b.cmp(a));
    let (hottest, all): (usize, usize) = (n_callers[..5].iter().sum(), n_callers.iter().sum());
    let n_seldom = n_callers.iter().filter(|n| **n <= 3).count();
    let leaves = topology.services.iter().filter(|service| service.apis.iter().all(|api| api.children.is_empty()));
    let n_leaves = leaves.count();
    println!("callers {n_callers:?}, {n_leaves} leaves");
    assert!(hottest * 5 >= all, "the hottest five have {hottest} of {all}");
    assert!(n_seldom * 2 >= n_callers.len(), "{n_seldom} have three callers at most");
    assert!((25..60).contains(&n_leaves), "{n_leaves} leaves");
}

#[test]
fn sizes_of_requests_are_heavy_tailed_and_average_what_the_generator_promises() {
    let plan = Plan::of(&generate(crate::topology::SYNTHETIC_SEED));
    let mut sizes: Vec<usize> = (0..20_000_u64)
        .map(|n| plan.walk(u128::from(crate::hash::scatter(n)) << 64 | u128::from(crate::hash::scatter(!n))).len())
        .collect();
    sizes.sort_unstable();
    let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
    let at = |share: f64| sizes[(share * (sizes.len() - 1) as f64) as usize];
    println!(
        "mean {mean}, p1 {} p10 {} p50 {} p90 {} p99 {} max {}",
        at(0.01),
        at(0.1),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
    assert!((mean - VISITS_EXPECTED).abs() < 0.5, "{mean}");
    assert!(
        at(0.9) * 10 >= at(0.5) * 17 && at(0.99) * 10 >= at(0.5) * 28,
        "p50 {}, p90 {}, p99 {}",
        at(0.5),
        at(0.9),
        at(0.99)
    );
}
