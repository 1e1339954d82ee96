//! Claims about requests: whose trace ids they have, and what they bring along.

use super::{make, trace_of};
use crate::faults::{Fault, FaultKind};
use crate::plan::Place;
use std::collections::BTreeSet;

#[test]
fn trace_ids_differ_by_number_and_by_seed_in_both_halves() {
    let traces: Vec<u128> = (1..=3).flat_map(|seed| (0..1000).map(move |number| trace_of(seed, number))).collect();
    let highs: BTreeSet<u64> = traces.iter().map(|trace| (trace >> 64) as u64).collect();
    let lows: BTreeSet<u64> = traces.iter().map(|trace| *trace as u64).collect();
    assert_eq!((highs.len(), lows.len()), (3000, 3000));
    assert_eq!(trace_of(1, 5), trace_of(1, 5));
}

#[test]
fn request_is_sampled_and_carries_its_fault() {
    let fault = Fault { kind: FaultKind::Error, service_idx: 4 };
    let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    let request = make(trace, Place { service_idx: 2, api_idx: 1 }, fault);
    let parent = request.metadata().get("traceparent").unwrap().to_str().unwrap();
    assert!(parent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && parent.ends_with("-03"), "{parent}");
    let message = request.get_ref();
    assert_eq!((message.trace_hi, message.trace_lo), (0x4bf9_2f35_77b3_4da6, 0xa3ce_929d_0e0e_4736));
    assert_eq!((message.service, message.api), (2, 1));
    assert_eq!((FaultKind::from(message.fault()), message.fault_service), (FaultKind::Error, 4));
}
