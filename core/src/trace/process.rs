//! Reading one process: its log's records become spans, visits, crumbs and losses.
//!
//! Called by assembly, once for each process.

use super::draft::{Context, NotesDraft, SpanDraft, SpanStart, VisitDraft};
use super::edges::{EdgeEnd, OpenCall, open_edges};
use super::log::{self, LogRecord, LogSegment};
use super::strings::{Strings, text};
use super::time::ProcessTime;
use super::{
    Attribute, AttributeValue, Crumb, Death, Event, Firing, Link, Loss, Malformed, OpenEdge, Payload, ProcessInfo,
    Span, Visit,
};
use crate::ids::{AgentId, SpanId, TraceId};
use crate::record::{CrumbDirection, Record, flags, seg_flags};
use crate::segment::Slice;
use crate::telemetry::DropReason;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What one process gave.
pub(super) struct ReadProcess {
    pub(super) info: ProcessInfo,
    pub(super) spans: Vec<Span>,
    pub(super) visits: Vec<Visit>,
    pub(super) crumbs: Vec<Crumb>,
    pub(super) open_edges: Vec<OpenEdge>,
    pub(super) fired: Vec<Firing>,
    pub(super) losses: Vec<Loss>,
    pub(super) malformed: Malformed,
}

/// How a visit has the status of a span, as OpenTelemetry calls it where there is no other place.
const STATUS_CODE: &str = "otel.status_code";
const STATUS_DESCRIPTION: &str = "otel.status_description";

/// Spans around one that has ended which are looked at for one that is open: many segments may go on within a deep one.
const AROUND_MAX: usize = 64;

/// What a record without a span of its own hangs on.
#[derive(Clone, Copy)]
enum Target {
    Span(SpanId),
    Visit(usize),
}

/// Where a thread stands within a segment.
struct Position {
    visit_idx: usize,
    tid: u32,
    /// The span of the record before, for those that leave it out.
    last_span: Option<SpanId>,
    /// The event before, for its attributes.
    last_event: Option<(Target, usize)>,
    /// Spans that started in the segment or that it goes on with, innermost last. Ended ones are removed when they are met.
    open: Vec<SpanId>,
    has_lost_record: bool,
}

/// A LOST record, or a segment that says that there was loss.
struct LossDraft {
    tid: u32,
    reason: Option<DropReason>,
    n_records: u64,
    bytes: u64,
    first_ticks: u64,
    last_ticks: u64,
}

/// Reads the log of one process.
pub(super) struct ProcessReader<'a> {
    trace: TraceId,
    process_idx: usize,
    slices: &'a [&'a Slice],
    agent: AgentId,
    strings: Strings,
    malformed: Malformed,
    spans: BTreeMap<SpanId, SpanDraft>,
    visits: Vec<VisitDraft>,
    /// The latest visit that each span caused.
    visit_of_parent: BTreeMap<SpanId, usize>,
    crumbs: Vec<Crumb>,
    edge_ends: Vec<EdgeEnd>,
    /// Firings, with ticks where the time will be.
    fired: Vec<Firing>,
    losses: Vec<LossDraft>,
}

impl<'a> ProcessReader<'a> {
    /// Returns a reader of `slices`, all of one process, at least one.
    pub(super) fn new(trace: TraceId, process_idx: usize, slices: &'a [&'a Slice]) -> Self {
        let mut strings = Strings::default();
        for slice in slices {
            strings.extend(&slice.process.strings);
        }
        Self {
            trace,
            process_idx,
            slices,
            agent: slices.first().map_or(AgentId::NONE, |slice| slice.process.agent),
            strings,
            malformed: Malformed::default(),
            spans: BTreeMap::new(),
            visits: Vec::new(),
            visit_of_parent: BTreeMap::new(),
            crumbs: Vec::new(),
            edge_ends: Vec::new(),
            fired: Vec::new(),
            losses: Vec::new(),
        }
    }

    pub(super) fn read(mut self) -> ReadProcess {
        let segments = self.slices.iter().flat_map(|slice| &slice.segments);
        let log = log::read(self.trace, segments, &mut self.malformed);
        let first_ticks = log.first().map_or(0, |segment| segment.base_ticks);
        let mut positions: Vec<Position> = Vec::with_capacity(log.len());
        for segment in &log {
            let mut position = self.enter(segment, &mut positions);
            for record in &segment.records {
                self.take(record, &mut position);
            }
            self.leave(segment, &position);
            positions.push(position);
        }
        self.finish(first_ticks)
    }

    /// Returns where a segment begins: in a visit of its own, or in one that it goes on with.
    fn enter(&mut self, segment: &LogSegment<'_>, positions: &mut [Position]) -> Position {
        // A span id may be left out after a record that ends here, but not across chunks otherwise.
        let last_span = segment.joins.and_then(|home| positions.get(home)?.last_span);
        let (mut open, mut last_event) = (Vec::new(), None);
        let visit_idx = if let Some(before) = segment.continues.and_then(|idx| positions.get_mut(idx)) {
            (open, last_event) = (std::mem::take(&mut before.open), before.last_event);
            before.visit_idx
        } else if let Some(resumed) = self.resumed_visit(segment, &mut open) {
            resumed
        } else {
            self.begin_visit(segment)
        };
        if !segment.from_agent.is_none() && segment.seg_flags & (seg_flags::CONTINUED | seg_flags::RESUME) == 0 {
            self.add_crumb(CrumbDirection::From, segment.from_agent, segment.parent_span);
        }
        let tid = segment.thread.tid;
        Position { visit_idx, tid, last_span, last_event, open, has_lost_record: false }
    }

    /// Returns the visit that a resume segment belongs to: that of the span it resumes, or the latest with the same cause.
    fn resumed_visit(&self, segment: &LogSegment<'_>, open: &mut Vec<SpanId>) -> Option<usize> {
        if segment.seg_flags & seg_flags::RESUME == 0 {
            return None;
        }
        if let Some(start) = self.spans.get(&segment.parent_span).and_then(|span| span.start.as_ref()) {
            open.push(segment.parent_span);
            return Some(start.visit_idx);
        }
        self.visit_of_parent.get(&segment.parent_span).copied()
    }

    fn begin_visit(&mut self, segment: &LogSegment<'_>) -> usize {
        self.visits.push(VisitDraft {
            parent: segment.parent_span,
            cause: (segment.seg_flags & seg_flags::RESUME == 0).then_some(segment.parent_span),
            tid: segment.thread.tid,
            start_ticks: segment.base_ticks,
            ends: BTreeMap::new(),
            has_span: false,
            notes: NotesDraft::default(),
            calls: BTreeSet::new(),
        });
        let visit_idx = self.visits.len() - 1;
        self.visit_of_parent.insert(segment.parent_span, visit_idx);
        visit_idx
    }

    /// Ends a segment: what its end says of its visit, and loss of which no record tells.
    fn leave(&mut self, segment: &LogSegment<'_>, position: &Position) {
        let is_ended_by_next = segment.seg_flags & seg_flags::IMPLICIT_END != 0;
        let end_ticks = segment.end_ticks.or(is_ended_by_next.then_some(segment.last_ticks));
        self.visits[position.visit_idx].ends.insert(position.tid, end_ticks);
        if segment.seg_flags & seg_flags::LOSS != 0 && !position.has_lost_record {
            self.losses.push(LossDraft {
                tid: position.tid,
                reason: None,
                n_records: 0,
                bytes: 0,
                first_ticks: segment.base_ticks,
                last_ticks: segment.end_ticks.unwrap_or(segment.last_ticks),
            });
        }
    }

    fn take(&mut self, record: &LogRecord<'_>, position: &mut Position) {
        let Ok(decoded) = Record::decode(record.header, &record.body) else {
            self.malformed.records += 1;
            return;
        };
        if self.take_own(record, decoded, position).is_none() {
            self.malformed.records += 1;
        }
    }

    /// Takes a record that speaks of the trace or starts a span; hands on the others. `None` is a malformed one.
    fn take_own(&mut self, record: &LogRecord<'_>, decoded: Record<'_>, position: &mut Position) -> Option<()> {
        let at = record.ticks;
        match decoded {
            Record::SpanStart { span, parent, name, kind } => {
                position.last_span = Some(span);
                let name = self.strings.name(name);
                let (tid, visit_idx) = (position.tid, position.visit_idx);
                let draft = self.seen(span, at, tid)?;
                if draft.start.is_some() {
                    return None;
                }
                draft.start = Some(SpanStart { ticks: at, parent, name, kind, tid, visit_idx });
                position.open.push(span);
                self.visits[visit_idx].has_span = true;
            }
            Record::Crumb { agent, direction, span } => self.take_crumb(at, direction, (agent, span), position),
            Record::Fired { trigger, n_laterals } => {
                self.fired.push(Firing { process_idx: self.process_idx, trigger, n_laterals, at_ns: at });
            }
            Record::Lost { reason, n, bytes, first_tsc, last_tsc } => {
                position.has_lost_record = true;
                self.losses.push(LossDraft {
                    tid: position.tid,
                    reason: u8::try_from(reason).ok().and_then(DropReason::from_code),
                    n_records: u64::from(n),
                    bytes,
                    first_ticks: first_tsc,
                    last_ticks: last_tsc,
                });
            }
            Record::Raw { bytes } => self.add_payload(record, None, bytes, position),
            Record::Named { name, bytes } => {
                let name = self.strings.name(name);
                self.add_payload(record, Some(name), bytes, position);
            }
            Record::Unknown => {}
            _ => return self.take_of_span(at, decoded, position),
        }
        Some(())
    }

    /// Takes a record that speaks of a span. `None` is a malformed one.
    fn take_of_span(&mut self, at: u64, decoded: Record<'_>, position: &mut Position) -> Option<()> {
        let span = *match &decoded {
            Record::SpanEnd { span }
            | Record::Attr { span, .. }
            | Record::Event { span, .. }
            | Record::Link { span, .. }
            | Record::Status { span, .. }
            | Record::Rename { span, .. }
            | Record::Exception { span, .. } => span,
            _ => return None,
        };
        let span = span.or(position.last_span)?;
        position.last_span = Some(span);
        let is_of_visit = self.visits[position.visit_idx].cause == Some(span)
            && !(matches!(decoded, Record::SpanEnd { .. }) && self.is_started(span));
        let target = match span {
            SpanId::NONE => self.innermost(at, position),
            _ if is_of_visit => Target::Visit(position.visit_idx),
            span => Target::Span(span),
        };
        match decoded {
            Record::Attr { of_event, key, value, .. } => {
                let attribute = Attribute { key: self.strings.name(key), value: self.strings.value(value) };
                if of_event {
                    let (target, event_idx) = position.last_event?;
                    self.notes(target, at, position.tid).add_event_attribute(event_idx, attribute);
                } else {
                    self.notes(target, at, position.tid).add_attribute(at, attribute);
                }
                return Some(());
            }
            Record::Event { name, message, .. } => {
                let (name, message) = (self.strings.name(name), text(message));
                self.add_event(Event { at_ns: at, name, message, attributes: Vec::new() }, target, position);
                return Some(());
            }
            Record::Exception { kind, text: message, .. } => {
                let of_type = ("exception.type", self.strings.name(kind));
                let attributes = [of_type, ("exception.message", text(message))];
                let attributes =
                    attributes.map(|(key, text)| Attribute { key: key.into(), value: AttributeValue::Str(text) });
                let (name, message) = ("exception".into(), "".into());
                self.add_event(Event { at_ns: at, name, message, attributes: attributes.into() }, target, position);
                return Some(());
            }
            _ => {}
        }
        let span = match target {
            Target::Span(span) => span,
            Target::Visit(visit_idx) => return self.take_of_visit(at, decoded, visit_idx),
        };
        let rename = if let Record::Rename { name, .. } = decoded { Some(self.strings.name(name)) } else { None };
        let draft = self.seen(span, at, position.tid)?;
        match decoded {
            Record::SpanEnd { .. } => draft.end_ticks = draft.end_ticks.max(Some(at)),
            Record::Link { trace, to, .. } => draft.links.push(Link { trace, span: to }),
            Record::Status { code, text: why, .. } => draft.set_status(at, code, text(why)),
            _ => draft.rename(at, rename?),
        }
        Some(())
    }

    /// Takes what is said of a span where none is open. A visit has a status as a span of other formats has it, by attributes, and neither links nor
    /// a name. `None` is an end of nothing.
    fn take_of_visit(&mut self, at: u64, decoded: Record<'_>, visit_idx: usize) -> Option<()> {
        match decoded {
            Record::Status { code, text: why, .. } => {
                let notes = &mut self.visits[visit_idx].notes;
                for (key, value) in [(STATUS_CODE, code.name()), (STATUS_DESCRIPTION, &*text(why))] {
                    if !value.is_empty() {
                        let value = AttributeValue::Str(value.into());
                        notes.add_attribute(at, Attribute { key: key.into(), value });
                    }
                }
            }
            Record::Link { .. } | Record::Rename { .. } => {}
            _ => return None,
        }
        Some(())
    }

    fn take_crumb(
        &mut self,
        ticks: u64,
        direction: CrumbDirection,
        (agent, span): (AgentId, SpanId),
        position: &Position,
    ) {
        let visit = &mut self.visits[position.visit_idx];
        let is_of_span = span.is_none() || visit.parent == span || self.spans.contains_key(&span);
        if direction == CrumbDirection::Out && !is_of_span {
            visit.calls.insert(span);
        }
        match direction {
            CrumbDirection::From | CrumbDirection::Before | CrumbDirection::After => {}
            CrumbDirection::To => self.edge_ends.push(EdgeEnd { ticks, span, expected: None }),
            CrumbDirection::Out => self.edge_ends.push(EdgeEnd { ticks, span, expected: Some(agent) }),
        }
        if !agent.is_none() {
            self.add_crumb(direction, agent, span);
        }
    }

    fn add_crumb(&mut self, direction: CrumbDirection, agent: AgentId, span: SpanId) {
        self.crumbs.push(Crumb { seen_by: self.agent, direction, agent, span, n: 1 });
    }

    fn add_event(&mut self, event: Event, target: Target, position: &mut Position) {
        let event_idx = self.notes(target, event.at_ns, position.tid).add_event(event);
        position.last_event = Some((target, event_idx));
    }

    fn add_payload(&mut self, record: &LogRecord<'_>, name: Option<Arc<str>>, bytes: &[u8], position: &mut Position) {
        let target = self.innermost(record.ticks, position);
        let is_truncated = record.header.flags & flags::TRUNCATED != 0;
        let payload = Payload { at_ns: record.ticks, name, bytes: bytes.to_vec(), is_truncated };
        self.notes(target, record.ticks, position.tid).add_payload(payload);
    }

    /// Returns the innermost span that is open in the segment at a time, else its visit. Where threads work for one visit, a span may end in a segment
    /// that is read before this one, and later than this.
    fn innermost(&self, at: u64, position: &mut Position) -> Target {
        let mut n_around = 0;
        while let Some(span) = position.open.pop() {
            if self.spans.get(&span).is_some_and(|draft| draft.end_ticks.is_none_or(|end| end > at)) {
                position.open.push(span);
                return Target::Span(span);
            }
            if position.open.is_empty() && n_around < AROUND_MAX {
                n_around += 1;
                position.open.extend(self.around(span, position.visit_idx));
            }
        }
        Target::Visit(position.visit_idx)
    }

    /// Returns the span of a visit in which another one of it started: a segment that goes on within that one does not tell.
    fn around(&self, span: SpanId, visit_idx: usize) -> Option<SpanId> {
        let start_of = |span: SpanId| self.spans.get(&span)?.start.as_ref();
        let inner = start_of(span)?;
        (start_of(inner.parent)?.visit_idx == visit_idx).then_some(inner.parent)
    }

    fn is_started(&self, span: SpanId) -> bool {
        self.spans.get(&span).is_some_and(|draft| draft.start.is_some())
    }

    fn notes(&mut self, target: Target, ticks: u64, tid: u32) -> &mut NotesDraft {
        match target {
            Target::Visit(visit_idx) => &mut self.visits[visit_idx].notes,
            Target::Span(span) => {
                let draft = self.spans.entry(span).or_default();
                saw(draft, ticks, tid);
                &mut draft.notes
            }
        }
    }

    /// Returns the draft of a span that a record at `ticks` speaks of, or `None` for the span 0.
    fn seen(&mut self, span: SpanId, ticks: u64, tid: u32) -> Option<&mut SpanDraft> {
        if span.is_none() {
            return None;
        }
        let draft = self.spans.entry(span).or_default();
        saw(draft, ticks, tid);
        Some(draft)
    }

    fn finish(mut self, first_ticks: u64) -> ReadProcess {
        let clock = ProcessTime::new(self.slices, first_ticks);
        let info = self.info(&clock);
        let context = Context { clock: &clock, process_idx: self.process_idx, is_dead: info.death.is_some() };
        self.malformed.strings += self.strings.n_unknown;
        for visit in &mut self.visits {
            visit.calls.retain(|span| !self.spans.contains_key(span)); // what another thread started is read by now
        }
        for firing in &mut self.fired {
            firing.at_ns = clock.time(firing.at_ns);
        }
        let process_idx = self.process_idx;
        let losses = self.losses.into_iter().map(|loss| {
            let (first_ns, last_ns) = (clock.time(loss.first_ticks), clock.time(loss.last_ticks));
            let (tid, reason) = (loss.tid, loss.reason);
            let last_ns = last_ns.max(first_ns);
            Loss { process_idx, tid, reason, n_records: loss.n_records, bytes: loss.bytes, first_ns, last_ns }
        });
        let edges = open_edges(self.edge_ends).into_iter();
        let edges = edges.map(|call| {
            let OpenCall { ticks, span, expected } = call;
            OpenEdge { process_idx, span, expected, at_ns: clock.time(ticks) }
        });
        ReadProcess {
            spans: self.spans.into_iter().map(|(id, draft)| draft.finish(id, &context)).collect(),
            visits: self.visits.into_iter().filter_map(|draft| draft.finish(&context)).collect(),
            crumbs: self.crumbs,
            open_edges: edges.collect(),
            fired: self.fired,
            losses: losses.collect(),
            malformed: self.malformed,
            info,
        }
    }

    fn info(&self, clock: &ProcessTime) -> ProcessInfo {
        let processes = || self.slices.iter().map(|slice| &slice.process);
        let first = |of: fn(&crate::segment::Process) -> bool| processes().find(|process| of(process));
        let death = processes().filter_map(|process| process.death.as_ref()).max_by_key(|words| words.ticks);
        ProcessInfo {
            agent: self.agent,
            region: processes().next().map(|process| process.region).unwrap_or_default(),
            pid: first(|process| process.pid != 0).map_or(0, |process| process.pid),
            service: first(|process| !process.service.is_empty()).map_or("", |process| &process.service).into(),
            clock: clock.clock(),
            death: death.map(|words| Death {
                at_ns: (words.ticks != 0).then(|| clock.time(words.ticks)),
                last_words: words.clone(),
            }),
        }
    }
}

fn saw(draft: &mut SpanDraft, ticks: u64, tid: u32) {
    let seen = (ticks, tid);
    draft.first_seen = Some(draft.first_seen.map_or(seen, |first| first.min(seen)));
}
