//! What of a trace belongs to what: which span or visit a call without answer is of, under whom a callee hangs, when the unfinished ended.
//!
//! Called by the exports, once for each trace.

use backsight_core::ids::SpanId;
use backsight_core::trace::{Notes, Trace, Visit};
use std::collections::{BTreeMap, BTreeSet};

/// A span or a visit, by its position in the trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Part {
    /// A span.
    Span(usize),
    /// A visit.
    Visit(usize),
}

/// See the module.
#[derive(Debug)]
pub struct Relations {
    spans: BTreeSet<SpanId>,
    /// When each span ended, in the order of the trace.
    span_ends: Vec<u64>,
    /// When each visit ended, in the order of the trace.
    visit_ends: Vec<u64>,
    /// The visits that stand for spans which their callees name, by the id that they name.
    stand_ins: BTreeMap<SpanId, SpanId>,
    /// When calls went out that were never answered.
    open_calls: OpenCalls,
}

impl Relations {
    /// Returns those of a trace whose times are all on one clock.
    ///
    /// # Cost
    /// Time `n log n`, memory linear in the trace.
    pub fn of(trace: &Trace) -> Self {
        let spans: BTreeSet<SpanId> = trace.spans.iter().map(|span| span.id).collect();
        let stand_in = |visit| own_calls(visit, &spans).map(move |call| (call, trace.visit_id(visit)));
        let stand_ins = trace.visits.iter().flat_map(stand_in).collect();
        let open_calls = open_calls(trace);
        Self {
            span_ends: span_ends(trace, &open_calls),
            visit_ends: visit_ends(trace, &open_calls),
            stand_ins,
            open_calls,
            spans,
        }
    }

    /// Returns the ids of its calls for which a visit stands.
    pub fn own_calls<'v>(&'v self, visit: &'v Visit) -> impl Iterator<Item = SpanId> + 'v {
        own_calls(visit, &self.spans)
    }

    /// Returns when a part ended: where that is not known, the last instant at which something in it is known to have happened.
    pub fn end_ns(&self, part: Part) -> u64 {
        let end = match part {
            Part::Span(idx) => self.span_ends.get(idx),
            Part::Visit(idx) => self.visit_ends.get(idx),
        };
        end.copied().unwrap_or_default()
    }

    /// Returns the id under which that stands which a span or visit names as its parent.
    pub fn parent(&self, named: SpanId) -> SpanId {
        self.stand_ins.get(&named).copied().unwrap_or(named)
    }

    /// Returns when calls of a part went out that were never answered.
    pub fn open_calls(&self, part: Part) -> &[u64] {
        self.open_calls.get(&part).map(Vec::as_slice).unwrap_or_default()
    }
}

/// A visit of which only a later part is there names its cause in its calls, and a client may name anybody's span.
fn own_calls<'v>(visit: &'v Visit, spans: &'v BTreeSet<SpanId>) -> impl Iterator<Item = SpanId> + 'v {
    visit.calls.iter().copied().filter(|call| *call != visit.parent && !spans.contains(call))
}

type OpenCalls = BTreeMap<Part, Vec<u64>>;

fn visit_ends(trace: &Trace, open_calls: &OpenCalls) -> Vec<u64> {
    let visits = trace.visits.iter().enumerate();
    visits.map(|(idx, of)| last_of(of.start_ns, of.end_ns, &of.notes, open_calls.get(&Part::Visit(idx)))).collect()
}

/// Returns when each span ended. One without an end lasted as long as what it caused and, where its process died, until then.
fn span_ends(trace: &Trace, open_calls: &OpenCalls) -> Vec<u64> {
    let spans = trace.spans.iter().enumerate();
    let last = spans.map(|(idx, of)| last_of(of.start_ns, of.end_ns, &of.notes, open_calls.get(&Part::Span(idx))));
    let mut ends: Vec<u64> = last.collect();
    let mut of_children: BTreeMap<SpanId, u64> = BTreeMap::new();
    let note = |parent: SpanId, end: u64, of_children: &mut BTreeMap<SpanId, u64>| {
        let last = of_children.entry(parent).or_default();
        *last = end.max(*last);
    };
    let mut without_end = Vec::new();
    for (idx, span) in trace.spans.iter().enumerate() {
        match span.end_ns {
            Some(_) => note(span.parent, ends[idx], &mut of_children),
            None => without_end.push(idx),
        }
    }
    // Callees start after their callers, so that what is met first waits for nothing.
    without_end.sort_by_key(|idx| std::cmp::Reverse(trace.spans[*idx].start_ns));
    for idx in without_end {
        let span = &trace.spans[idx];
        let death = trace.processes.get(span.process_idx).and_then(|process| process.death.as_ref()?.at_ns);
        let death = death.filter(|_| span.is_cut).unwrap_or_default();
        let of_children_ns = of_children.get(&span.id).copied().unwrap_or_default();
        ends[idx] = ends[idx].max(death).max(of_children_ns);
        note(span.parent, ends[idx], &mut of_children);
    }
    ends
}

fn last_of(start_ns: u64, end_ns: Option<u64>, notes: &Notes, open_calls: Option<&Vec<u64>>) -> u64 {
    let events = notes.events.iter().map(|event| event.at_ns);
    let payloads = notes.payloads.iter().map(|payload| payload.at_ns);
    let calls = open_calls.into_iter().flatten().copied();
    let last = || events.chain(payloads).chain(calls).fold(start_ns, u64::max);
    end_ns.unwrap_or_else(last).max(start_ns)
}

/// Returns the times of calls without an answer by what made them: the span that they name, a visit that gave them an id, the visit which that
/// span caused, or the first span that it caused there.
fn open_calls(trace: &Trace) -> OpenCalls {
    if trace.open_edges.is_empty() {
        return BTreeMap::new();
    }
    let mut makers: BTreeMap<(usize, SpanId), Part> = BTreeMap::new();
    for (idx, span) in trace.spans.iter().enumerate() {
        makers.entry((span.process_idx, span.id)).or_insert(Part::Span(idx));
    }
    for (idx, visit) in trace.visits.iter().enumerate() {
        for id in visit.calls.iter().chain([&visit.parent]) {
            makers.entry((visit.process_idx, *id)).or_insert(Part::Visit(idx));
        }
    }
    for (idx, span) in trace.spans.iter().enumerate() {
        makers.entry((span.process_idx, span.parent)).or_insert(Part::Span(idx));
    }
    let mut calls = OpenCalls::new();
    for edge in &trace.open_edges {
        if let Some(maker) = makers.get(&(edge.process_idx, edge.span)) {
            calls.entry(*maker).or_default().push(edge.at_ns);
        }
    }
    calls
}

#[cfg(test)]
mod tests;
