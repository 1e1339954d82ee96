//! Rows of a batch, read back while it still grows: a range of spans, the spans of one trace, and what is known of a trace.
//!
//! Called by searches, which hold the batch's lock for as long as a few thousand rows take. Rows are lent: nothing is copied but lists.

use super::{Batch, Cell, CellValue, EventCell, Head, LinkCell, NO_ROW};
use crate::rows::{Attribute, Event, Link, ResourceId, SpanRow, TraceFacts, Value};
use backsight_core::ids::TraceId;
use std::borrow::Cow;
use std::ops::Range;

impl Batch {
    /// Returns the ids of the traces at `places`, in the order in which they came; as many of them as there are.
    pub fn trace_ids(&self, places: Range<usize>) -> impl Iterator<Item = TraceId> + '_ {
        let end = places.end.min(self.traces.len());
        self.traces[places.start.min(end)..end].iter().map(|head| head.trace)
    }

    /// Returns whether `trace` is one of the first `n_traces`.
    pub fn has_trace(&self, trace: TraceId, n_traces: usize) -> bool {
        self.trace_rows.get(&trace).is_some_and(|place| (*place as usize) < n_traces)
    }

    /// Returns the spans of `rows`, in the order in which they came; as many of them as there are.
    ///
    /// # Cost
    /// Allocates for the lists of a span: attributes, events, links.
    pub fn spans(&self, rows: Range<usize>) -> impl Iterator<Item = SpanRow<'_>> {
        self.live(rows).map(|head| self.span(head))
    }

    /// Returns of the spans of `rows` trace, start and duration, in nanoseconds; as many of them as there are.
    pub fn times(&self, rows: Range<usize>) -> impl Iterator<Item = (TraceId, i64, i64)> + '_ {
        self.live(rows).map(|head| (self.traces[head.trace_idx as usize].trace, head.start_ns, head.duration_ns))
    }

    /// Returns those of `rows` that were not replaced.
    fn live(&self, rows: Range<usize>) -> impl Iterator<Item = &Head> {
        let end = rows.end.min(self.heads.len());
        let rows = rows.start.min(end)..end;
        rows.map(|row| (row, &self.heads[row])).filter(|(row, head)| self.is_live(*row, head)).map(|(_, head)| head)
    }

    /// Returns those of the first `n_rows` spans that are of `trace`, in the order in which they came.
    ///
    /// # Cost
    /// Linear in the spans of the trace.
    pub fn spans_of(&self, trace: TraceId, n_rows: usize) -> Vec<SpanRow<'_>> {
        let mut spans: Vec<_> = self.heads_of(trace, n_rows).map(|head| self.span(head)).collect();
        spans.reverse();
        spans
    }

    /// Returns when those of the first `n_rows` spans that are of `trace` began, in nanoseconds since 1970, the last that came first.
    pub fn starts_of(&self, trace: TraceId, n_rows: usize) -> impl Iterator<Item = i64> + '_ {
        self.heads_of(trace, n_rows).map(|head| head.start_ns)
    }

    /// Returns those of the first `n_rows` spans that are of `trace`, the last that came first.
    fn heads_of(&self, trace: TraceId, n_rows: usize) -> impl Iterator<Item = &Head> {
        let place = self.trace_rows.get(&trace);
        let last = place.map_or(NO_ROW, |place| self.traces[*place as usize].last_row);
        let head = |row: u32| self.heads.get(row as usize).map(|head| (row, head));
        let of_trace = std::iter::successors(head(last), move |(_, later)| head(later.before_of_trace));
        let is_seen = move |row: u32, head: &Head| (row as usize) < n_rows && self.is_live(row as usize, head);
        of_trace.filter(move |(row, head)| is_seen(*row, head)).map(|(_, head)| head)
    }

    /// Returns what is known of `trace` beyond its spans, where anything was said.
    pub fn facts_of(&self, trace: TraceId) -> Option<&TraceFacts<'static>> {
        let place = self.trace_rows.get(&trace)?;
        Some(&self.facts[self.traces[*place as usize].facts_idx? as usize])
    }

    /// Returns the attributes of a resource; none where there is no such resource.
    pub fn resource(&self, id: ResourceId) -> &[Attribute<'static>] {
        self.resources.get(id.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// Returns a span as it was put in, each key of attributes once.
    fn span(&self, head: &Head) -> SpanRow<'_> {
        let name = |code: u32| Cow::Borrowed(self.names.text(code));
        let optional = |code: u32| self.optional_name_of(code).map(Cow::Borrowed);
        let extra = self.extra(head);
        SpanRow {
            trace: self.traces[head.trace_idx as usize].trace,
            id: head.id,
            parent: head.has_parent.then_some(head.parent),
            start_ns: head.start_ns,
            duration_ns: head.duration_ns,
            service: name(head.service),
            operation: name(head.operation),
            scope: optional(head.scope),
            host: name(head.host),
            process: name(head.process),
            thread: optional(head.thread),
            kind: head.kind,
            status: head.status,
            source: head.source,
            status_message: extra.and_then(|extra| self.status_message(extra)).map(Cow::Borrowed),
            trace_state: extra.and_then(|extra| self.trace_state(extra)).map(Cow::Borrowed),
            flags: head.flags,
            attributes: self.attributes(head.attributes.range()).into(),
            dropped: extra.map(|extra| extra.dropped).unwrap_or_default(),
            resource: ResourceId(head.resource),
            events: extra.map_or(Vec::new(), |extra| self.lent_events(extra.events.range())).into(),
            links: extra.map_or(Vec::new(), |extra| self.lent_links(extra.links.range())).into(),
            energy: extra.and_then(|extra| extra.energy.as_deref()).cloned(),
            spec_versions: extra.map_or(Vec::new(), |extra| extra.spec_versions.to_vec()).into(),
            self_cp_ns: extra.and_then(|extra| extra.self_cp_ns),
            sampling_weight: head.sampling_weight,
        }
    }

    fn attributes(&self, cells: Range<usize>) -> Vec<Attribute<'_>> {
        self.cells[cells].iter().map(|cell| self.attribute(cell)).collect()
    }

    fn attribute(&self, cell: &Cell) -> Attribute<'_> {
        let value = match cell.value {
            CellValue::Str(text) => Value::Str(Cow::Borrowed(self.str(text))),
            CellValue::Int(value) => Value::Int(value),
            CellValue::Dbl(value) => Value::Dbl(value),
            CellValue::Bool(value) => Value::Bool(value),
            CellValue::Other(bytes) => Value::Other(Cow::Borrowed(self.bytes(bytes))),
        };
        Attribute { key: Cow::Borrowed(self.names.text(cell.key)), value }
    }

    fn lent_events(&self, events: Range<usize>) -> Vec<Event<'_>> {
        let event = |event: &EventCell| Event {
            time_offset_ns: event.time_offset_ns,
            name: Cow::Borrowed(self.str(event.name)),
            attributes: self.attributes(event.attributes.range()).into(),
            dropped: event.dropped,
        };
        self.events[events].iter().map(event).collect()
    }

    fn lent_links(&self, links: Range<usize>) -> Vec<Link<'_>> {
        let link = |link: &LinkCell| Link {
            trace: link.trace,
            span: link.span,
            trace_state: self.link_state(link).map(Cow::Borrowed),
            attributes: self.attributes(link.attributes.range()).into(),
            dropped: link.dropped,
            flags: link.flags,
        };
        self.links[links].iter().map(link).collect()
    }
}
