//! Claims about plans: where services run, and that a request's calls follow from its trace id.

use super::{ENTRY_PATH, PROCESSES_MAX, Place, Plan};
use crate::topology::{Api, Endpoint, Service, Topology};
use std::collections::BTreeMap;

fn plan(name: &str) -> Plan {
    Plan::of(&crate::topology::load(name, 1).unwrap())
}

/// Returns the plan of `n` services that call nobody.
fn plan_of_many(n: usize) -> Plan {
    let service = |idx: usize| Service {
        name: format!("s{idx}"),
        apis: vec![Api { name: "x".to_owned(), exec_us: 0, children: Vec::new() }],
    };
    let entry = Endpoint { service: "s0".to_owned(), api: "x".to_owned() };
    Plan::of(&Topology { name: "many".to_owned(), entry, services: (0..n).map(service).collect() })
}

#[test]
fn few_services_have_a_process_each_and_many_share_twelve() {
    let ten = plan("ten");
    assert_eq!(ten.processes.len(), 10);
    assert!(ten.processes.iter().all(|process| !process.is_shared()));
    assert_eq!(ten.processes[0].name, "frontend");
    let many = plan_of_many(93);
    assert_eq!(many.processes.len(), PROCESSES_MAX);
    let mut hosted: Vec<u16> = many.processes.iter().flat_map(|process| process.service_idxs.clone()).collect();
    hosted.sort_unstable();
    assert_eq!(hosted, (0..93).collect::<Vec<u16>>(), "each service runs once");
    for (process_idx, process) in many.processes.iter().enumerate() {
        assert!(process.service_idxs.iter().all(|idx| many.services[usize::from(*idx)].process_idx == process_idx));
        assert!(process.is_shared() && (7..=8).contains(&process.service_idxs.len()));
    }
}

#[test]
fn request_makes_the_same_calls_each_time_and_others_make_others() {
    let plan = plan("ten");
    let walks: Vec<Vec<u16>> = (1..200_u128).map(|trace| plan.walk(trace << 64 | trace)).collect();
    assert_eq!(walks, (1..200_u128).map(|trace| plan.walk(trace << 64 | trace)).collect::<Vec<_>>());
    let kinds: BTreeMap<&Vec<u16>, usize> = walks.iter().fold(BTreeMap::new(), |mut kinds, walk| {
        *kinds.entry(walk).or_default() += 1;
        kinds
    });
    assert!(kinds.len() > 20, "only {} kinds of requests", kinds.len());
    assert!(walks.iter().all(|walk| walk.starts_with(&[0, 1])), "the entry and what it always calls");
}

#[test]
fn calls_are_made_as_often_as_their_probability_says() {
    let plan = plan("ten");
    let api = plan.api(plan.entry).unwrap();
    let mut made = [0_u32; 5];
    for trace in 0..20_000_u64 {
        let trace = u128::from(crate::hash::scatter(trace)) << 64 | u128::from(trace);
        for (child, _) in api.calls(trace, ENTRY_PATH) {
            made[api.children.iter().position(|listed| listed.place == child.place).unwrap()] += 1;
        }
    }
    for (made, wanted) in made.into_iter().zip([1.0, 0.9, 0.5, 0.7, 0.3]) {
        let share = f64::from(made) / 20_000.0;
        assert!((share - wanted).abs() < 0.02, "{share} instead of {wanted}");
    }
}

#[test]
fn place_that_does_not_exist_is_none() {
    let plan = plan("two");
    assert!(plan.api(Place { service_idx: 2, api_idx: 0 }).is_none());
    assert!(plan.api(Place { service_idx: 0, api_idx: 1 }).is_none());
    assert_eq!((plan.service_named("back"), plan.service_named("middle")), (Some(1), None));
}
