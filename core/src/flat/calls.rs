//! Which flat span made a call that was never answered.
//!
//! Called once for each trace, when its spans are there.

use crate::ids::SpanId;
use crate::trace::Trace;
use std::collections::BTreeMap;

/// Returns the calls without an answer, each by the position of the flat span that made it, with the time as its process has it: that of the span
/// that they name, of a visit that gave them an id, of the visit which that span caused, or of the first span that it caused there. One that nothing
/// of its process can have made is left out: it stands in the trace's certificate all the same.
pub(super) fn open(trace: &Trace) -> Vec<(usize, u64)> {
    if trace.open_edges.is_empty() {
        return Vec::new();
    }
    let mut makers: BTreeMap<(usize, SpanId), usize> = BTreeMap::new();
    for (idx, span) in trace.spans.iter().enumerate() {
        makers.entry((span.process_idx, span.id)).or_insert(idx);
    }
    for (idx, visit) in (trace.spans.len()..).zip(&trace.visits) {
        for id in visit.calls.iter().chain([&visit.parent]) {
            makers.entry((visit.process_idx, *id)).or_insert(idx);
        }
    }
    for (idx, span) in trace.spans.iter().enumerate() {
        makers.entry((span.process_idx, span.parent)).or_insert(idx);
    }
    let made = trace.open_edges.iter().map(|edge| (makers.get(&(edge.process_idx, edge.span)), edge.at_ns));
    made.filter_map(|(maker, at_ns)| Some((*maker?, at_ns))).collect()
}
