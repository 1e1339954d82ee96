//! Until when that lasted which nobody saw end.
//!
//! Called once for each trace, when its spans are there.

use super::{Ending, FlatSpan};
use crate::ids::SpanId;
use crate::trace::{Notes, Trace};
use std::collections::BTreeMap;

/// Sets the ends that are not known: see [`super::FlatTrace`].
pub(super) fn settle(trace: &Trace, spans: &mut [FlatSpan<'_>]) {
    let is_unknown = |span: &FlatSpan<'_>| span.part.times().1.is_none();
    if !spans.iter().any(is_unknown) {
        return;
    }
    let lasts = lasts(trace);
    for span in spans.iter_mut().filter(|span| is_unknown(span)) {
        let last = lasts.get(span.part.process_idx()).copied().unwrap_or_default();
        span.end_ns = last.saturating_add(span.behind_ns).max(span.start_ns);
    }
    wait_for_callees(spans);
}

/// Has what is open last as long as what it caused. A process that died waits for nobody.
fn wait_for_callees(spans: &mut [FlatSpan<'_>]) {
    let is_open = |span: &FlatSpan<'_>| span.ending == Ending::Open;
    let mut waiting: Vec<usize> = (0..spans.len()).filter(|idx| is_open(&spans[*idx])).collect();
    let mut of_callees: BTreeMap<SpanId, u64> = waiting.iter().map(|idx| (spans[*idx].id, 0)).collect();
    let mut note = |span: &mut FlatSpan<'_>| {
        if is_open(span) {
            span.end_ns = of_callees.get(&span.id).copied().unwrap_or_default().max(span.end_ns);
        }
        if let Some(last) = of_callees.get_mut(&span.parent) {
            *last = span.end_ns.max(*last);
        }
    };
    spans.iter_mut().for_each(&mut note);
    // Callees start after their callers, so that what is met first waits for nothing.
    waiting.sort_by_key(|idx| std::cmp::Reverse(spans[*idx].start_ns));
    waiting.into_iter().for_each(|idx| note(&mut spans[idx]));
}

/// Returns the last instant of which each process told, as it has it.
fn lasts(trace: &Trace) -> Vec<u64> {
    let died = |idx: usize| trace.processes[idx].death.as_ref().and_then(|death| death.at_ns);
    let mut lasts: Vec<u64> = (0..trace.processes.len()).map(|idx| died(idx).unwrap_or_default()).collect();
    let mut saw = |process_idx: usize, at_ns: u64| {
        if let Some(last) = lasts.get_mut(process_idx) {
            *last = at_ns.max(*last);
        }
    };
    let last_note = |notes: &Notes| {
        let events = notes.events.iter().map(|event| event.at_ns);
        events.chain(notes.payloads.iter().map(|payload| payload.at_ns)).max().unwrap_or_default()
    };
    for span in &trace.spans {
        saw(span.process_idx, span.end_ns.unwrap_or(span.start_ns).max(last_note(&span.notes)));
    }
    for visit in &trace.visits {
        saw(visit.process_idx, visit.end_ns.unwrap_or(visit.start_ns).max(last_note(&visit.notes)));
    }
    trace.open_edges.iter().for_each(|edge| saw(edge.process_idx, edge.at_ns));
    trace.fired.iter().for_each(|firing| saw(firing.process_idx, firing.at_ns));
    lasts
}
