//! Assembly: slices of many processes in, one [`Trace`] out.
//!
//! Each process is read on its own (`process`); here the results are put together and sorted.

use super::process::{ProcessReader, ReadProcess};
use super::{Crumb, Trace, service};
use crate::ids::{AgentId, RegionId, TraceId};
use crate::segment::Slice;
use std::collections::BTreeMap;

/// Assembles what processes wrote for `trace`.
///
/// Several slices of one process count as one, and a segment that comes twice counts once. The result depends on the slices alone, not
/// on their order, as long as slices of one process agree with each other.
///
/// # Cost
/// Time `n log n` and memory linear in the bytes of the slices, strings included; the caller bounds them.
pub fn assemble(trace: TraceId, slices: &[Slice]) -> Trace {
    let mut by_process: BTreeMap<(AgentId, RegionId), Vec<&Slice>> = BTreeMap::new();
    for slice in slices {
        by_process.entry((slice.process.agent, slice.process.region)).or_default().push(slice);
    }
    let mut whole = Trace { id: trace, ..Trace::default() };
    let mut crumbs = BTreeMap::new();
    for slices in by_process.into_values() {
        let part = ProcessReader::new(trace, whole.processes.len(), &slices).read();
        add(&mut whole, &mut crumbs, part);
    }
    whole.crumbs = crumbs.into_iter().map(|(crumb, n)| Crumb { n, ..crumb }).collect();
    whole.spans.sort_by_key(|span| (span.start_ns, span.process_idx, span.id));
    service::assign(&mut whole);
    whole.visits.sort_by_key(|visit| (visit.start_ns, visit.process_idx, visit.tid));
    whole.open_edges.sort_by_key(|edge| (edge.at_ns, edge.process_idx, edge.span));
    whole.fired.sort_by_key(|firing| (firing.at_ns, firing.process_idx, firing.trigger));
    whole.losses.sort_by_key(|loss| (loss.first_ns, loss.process_idx, loss.tid));
    whole
}

fn add(whole: &mut Trace, crumbs: &mut BTreeMap<Crumb, u64>, part: ReadProcess) {
    whole.processes.push(part.info);
    whole.spans.extend(part.spans);
    whole.visits.extend(part.visits);
    for crumb in part.crumbs {
        *crumbs.entry(Crumb { n: 0, ..crumb }).or_default() += crumb.n;
    }
    whole.open_edges.extend(part.open_edges);
    whole.fired.extend(part.fired);
    whole.losses.extend(part.losses);
    whole.malformed.segments += part.malformed.segments;
    whole.malformed.records += part.malformed.records;
    whole.malformed.fragments += part.malformed.fragments;
    whole.malformed.strings += part.malformed.strings;
}
