//! From an assembled trace to its rows.
//!
//! Called by whoever holds a [`Trace`] and not the rows of a part.

use super::{Columns, Labels, Row, row_flags};
use crate::ids::SpanId;
use crate::record::SpanKind;
use crate::trace::{Notes, ProcessClock, Span, Trace, Visit};
use std::collections::{BTreeMap, BTreeSet};

/// What a visit without a span is called.
const VISIT: &str = "visit";

impl Columns {
    /// Returns the rows of `trace`, its spans in their order and then its visits.
    ///
    /// # Shape
    /// The host is the text of the agent's id. What has no end lasts until the last that is known of its process. Ticks of a process without wall
    /// time count from the start of the trace, marked as repaired, as is a start that was not found. A visit is a span `visit` of kind internal
    /// where it has no span, or where callees name an id that it gave a call; then its own spans hang under it.
    /// # Cost
    /// Time `n log n`, one label lookup a span.
    pub fn of_trace(trace: &Trace, labels: &mut Labels) -> Self {
        let mut filling = Filling::new(trace);
        for span in &trace.spans {
            filling.span(span, labels);
        }
        for visit in &trace.visits {
            filling.visit(visit, labels);
        }
        filling.columns
    }
}

/// Who began on a thread, for whom: what spans and the visit around them have in common.
type Place = (usize, u32, SpanId);

struct Filling<'t> {
    trace: &'t Trace,
    columns: Columns,
    /// The last that is known of each process.
    lasts: Vec<u64>,
    /// What is added to the times of each process.
    begins: Vec<u64>,
    spans: BTreeSet<SpanId>,
    /// Starts of spans.
    starts: BTreeSet<(Place, u64)>,
    /// Visits that stand for calls, by place and start: their end and id.
    callers: BTreeMap<(Place, u64), (u64, SpanId)>,
    /// The visits that stand for ids which callees name.
    stand_ins: BTreeMap<SpanId, SpanId>,
}

impl<'t> Filling<'t> {
    fn new(trace: &'t Trace) -> Self {
        let start_ns = trace.interval_ns().map_or(0, |(start, _)| start);
        let begin = |clock| if matches!(clock, ProcessClock::Ticks { .. }) { start_ns } else { 0 };
        let mut filling = Self {
            trace,
            columns: Columns::default(),
            lasts: lasts(trace),
            begins: trace.processes.iter().map(|process| begin(process.clock)).collect(),
            spans: trace.spans.iter().map(|span| span.id).collect(),
            starts: trace.spans.iter().map(|span| (place_of_span(span), span.start_ns)).collect(),
            callers: BTreeMap::new(),
            stand_ins: BTreeMap::new(),
        };
        for visit in &trace.visits {
            let id = trace.visit_id(visit);
            let mut stands = false;
            for call in visit.calls.iter().filter(|call| **call != visit.parent) {
                if !filling.spans.contains(call) {
                    filling.stand_ins.insert(*call, id);
                    stands = true;
                }
            }
            if stands {
                let end = visit.end_ns.unwrap_or(u64::MAX);
                filling.callers.insert((place_of_visit(visit), visit.start_ns), (end, id));
            }
        }
        filling
    }

    fn span(&mut self, span: &Span, labels: &mut Labels) {
        let place = place_of_span(span);
        let around = self.callers.range((place, 0)..=(place, span.start_ns)).next_back();
        let around = around.filter(|(_, (end, _))| span.start_ns <= *end).map(|(_, (_, id))| *id);
        let service = self.trace.service_of(span);
        let repaired = if span.is_started { 0 } else { row_flags::REPAIRED };
        let row = Row {
            id: span.id,
            parent: around.unwrap_or_else(|| self.parent(span.parent)),
            label: labels.intern(&service, &span.name, span.kind),
            flags: repaired,
            ..Row::default()
        };
        self.push(row, span.process_idx, (span.start_ns, span.end_ns));
    }

    fn visit(&mut self, visit: &Visit, labels: &mut Labels) {
        let place = place_of_visit(visit);
        let until = visit.end_ns.unwrap_or(u64::MAX);
        let has_span = self.starts.range((place, visit.start_ns)..=(place, until)).next().is_some();
        if has_span && !self.callers.contains_key(&(place, visit.start_ns)) {
            return;
        }
        let service = self.trace.processes.get(visit.process_idx).map(|process| &*process.service).unwrap_or_default();
        let row = Row {
            id: self.trace.visit_id(visit),
            parent: self.parent(visit.parent),
            label: labels.intern(service, VISIT, SpanKind::Internal),
            flags: row_flags::VISIT,
            ..Row::default()
        };
        self.push(row, visit.process_idx, (visit.start_ns, visit.end_ns));
    }

    fn parent(&self, named: SpanId) -> SpanId {
        self.stand_ins.get(&named).copied().unwrap_or(named)
    }

    fn push(&mut self, mut row: Row, process_idx: usize, (start_ns, end_ns): (u64, Option<u64>)) {
        let process = self.trace.processes.get(process_idx);
        let begin = self.begins.get(process_idx).copied().unwrap_or_default();
        let last = self.lasts.get(process_idx).copied().unwrap_or_default();
        if process.is_none_or(|process| process.clock != ProcessClock::Wall) {
            row.flags |= row_flags::REPAIRED;
        }
        if end_ns.is_none() {
            row.flags |= row_flags::OPEN;
        }
        row.start_ns = start_ns.saturating_add(begin);
        row.end_ns = end_ns.unwrap_or_else(|| last.max(start_ns)).saturating_add(begin);
        row.host = self.columns.host(&process.map(|process| process.agent.to_string()).unwrap_or_default());
        self.columns.push(row);
    }
}

const fn place_of_span(span: &Span) -> Place {
    (span.process_idx, span.tid, span.parent)
}

const fn place_of_visit(visit: &Visit) -> Place {
    (visit.process_idx, visit.tid, visit.parent)
}

/// Returns the last instant of which each process told.
fn lasts(trace: &Trace) -> Vec<u64> {
    let death = |idx: usize| trace.processes[idx].death.as_ref().and_then(|death| death.at_ns);
    let mut lasts: Vec<u64> = (0..trace.processes.len()).map(|idx| death(idx).unwrap_or_default()).collect();
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
    for edge in &trace.open_edges {
        saw(edge.process_idx, edge.at_ns);
    }
    lasts
}
