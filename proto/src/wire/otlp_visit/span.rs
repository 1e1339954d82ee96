//! Reads one span with its events and links. Pure; called by the walk over a request, with lists that it uses again for the next span.

use super::fields::{Fields, Raw, unlike_schema};
use super::list::{Lists, text_within};
use super::view::{Row, Rows};
use super::{EventView, Events, Limits, LinkView, Links, Reason, Repairs, SpanView, Stop};
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};

/// The last moment that signed nanoseconds since 1970 can tell.
const TIME_MAX_NS: u64 = i64::MAX as u64;

/// What a span's lists are read into; kept from span to span, so that only the largest takes memory.
#[derive(Debug, Default)]
pub(super) struct Room<'a> {
    attributes: Lists<'a>,
    /// Those of events and links.
    inner: Lists<'a>,
    events: Vec<Row<EventView<'a>>>,
    links: Vec<Row<LinkView<'a>>>,
}

/// A span but for its lists, as it is read field by field.
#[derive(Default)]
struct Reading<'a> {
    view: SpanView<'a>,
    trace: &'a [u8],
    span: &'a [u8],
    parent: &'a [u8],
    kind: u64,
    repairs: Repairs,
}

impl<'a> Room<'a> {
    /// Reads a span.
    pub(super) fn read<'r>(&'r mut self, span: &'a [u8], limits: &Limits) -> Result<SpanView<'r>, Stop> {
        self.attributes.clear();
        self.inner.clear();
        self.events.clear();
        self.links.clear();
        let mut reading = Reading::default();
        let mut fields = Fields::of(span);
        while let Some((field, raw)) = fields.next()? {
            match (field, raw) {
                (9, Raw::Bytes(pair)) => self.attributes.read(pair, limits, &mut reading.repairs)?,
                (11, Raw::Bytes(event)) => self.event(event, limits, &mut reading.repairs)?,
                (13, Raw::Bytes(link)) => self.link(link, limits, &mut reading.repairs)?,
                _ => reading.field(field, raw, limits)?,
            }
        }
        let view: SpanView<'r> = reading.finished()?;
        let attributes = self.inner.all();
        Ok(SpanView {
            attributes: self.attributes.all(),
            events: Events(Rows { rows: &self.events, attributes }),
            links: Links(Rows { rows: &self.links, attributes }),
            ..view
        })
    }

    fn event(&mut self, event: &'a [u8], limits: &Limits, repairs: &mut Repairs) -> Result<(), Stop> {
        if self.events.len() >= limits.events_max {
            repairs.events_dropped += 1;
            return Ok(());
        }
        let first_idx = self.inner.begin();
        let mut view = EventView::default();
        let mut fields = Fields::of(event);
        while let Some((field, raw)) = fields.next()? {
            match (field, raw) {
                (1, Raw::Fixed64(time)) => view.time_ns = time,
                (2, Raw::Bytes(name)) => view.name = text_within(name, limits, repairs)?,
                (3, Raw::Bytes(pair)) => self.inner.read(pair, limits, repairs)?,
                (4, Raw::Varint(n)) => view.dropped_attributes = n as u32,
                (1..=4, _) => return Err(unlike_schema("Event", field).into()),
                _ => {}
            }
        }
        if view.time_ns > TIME_MAX_NS {
            view.time_ns = TIME_MAX_NS;
            repairs.times += 1;
        }
        self.events.push(Row { view, first_idx, end_idx: self.inner.end() });
        Ok(())
    }

    fn link(&mut self, link: &'a [u8], limits: &Limits, repairs: &mut Repairs) -> Result<(), Stop> {
        if self.links.len() >= limits.events_max {
            repairs.links_dropped += 1;
            return Ok(());
        }
        let first_idx = self.inner.begin();
        let (mut view, mut trace, mut span) = (LinkView::default(), &[][..], &[][..]);
        let mut fields = Fields::of(link);
        while let Some((field, raw)) = fields.next()? {
            match (field, raw) {
                (1, Raw::Bytes(id)) => trace = id,
                (2, Raw::Bytes(id)) => span = id,
                (3, Raw::Bytes(state)) => view.trace_state = text_within(state, limits, repairs)?,
                (4, Raw::Bytes(pair)) => self.inner.read(pair, limits, repairs)?,
                (5, Raw::Varint(n)) => view.dropped_attributes = n as u32,
                (6, Raw::Fixed32(flags)) => view.flags = flags,
                (1..=6, _) => return Err(unlike_schema("Link", field).into()),
                _ => {}
            }
        }
        match (trace_id(trace), span_id(span)) {
            (Some(trace), Some(span)) => {
                let view = LinkView { trace, span, ..view };
                self.links.push(Row { view, first_idx, end_idx: self.inner.end() });
            }
            _ => repairs.links_dropped += 1,
        }
        Ok(())
    }

    /// Returns the bytes that are taken for lists.
    #[cfg(test)]
    pub(super) fn capacity_bytes(&self) -> usize {
        self.attributes.capacity_bytes()
            + self.inner.capacity_bytes()
            + self.events.capacity() * size_of::<Row<EventView<'_>>>()
            + self.links.capacity() * size_of::<Row<LinkView<'_>>>()
    }
}

impl<'a> Reading<'a> {
    #[inline]
    fn field(&mut self, field: u32, raw: Raw<'a>, limits: &Limits) -> Result<(), Stop> {
        let view = &mut self.view;
        match (field, raw) {
            (1, Raw::Bytes(id)) => self.trace = id,
            (2, Raw::Bytes(id)) => self.span = id,
            (3, Raw::Bytes(state)) => view.trace_state = text_within(state, limits, &mut self.repairs)?,
            (4, Raw::Bytes(id)) => self.parent = id,
            (5, Raw::Bytes(name)) => view.name = text_within(name, limits, &mut self.repairs)?,
            (6, Raw::Varint(kind)) => self.kind = kind,
            (7, Raw::Fixed64(time)) => view.start_ns = time,
            (8, Raw::Fixed64(time)) => view.end_ns = time,
            (10, Raw::Varint(n)) => view.dropped.attributes = n as u32,
            (12, Raw::Varint(n)) => view.dropped.events = n as u32,
            (14, Raw::Varint(n)) => view.dropped.links = n as u32,
            (15, Raw::Bytes(status)) => self.status(status, limits)?,
            (16, Raw::Fixed32(flags)) => view.flags = flags,
            (1..=16, _) => return Err(unlike_schema("Span", field).into()),
            _ => {}
        }
        Ok(())
    }

    /// Reads a status; a second one adds to the first.
    fn status(&mut self, status: &'a [u8], limits: &Limits) -> Result<(), Stop> {
        let mut fields = Fields::of(status);
        while let Some((field, raw)) = fields.next()? {
            match (field, raw) {
                (2, Raw::Bytes(message)) => {
                    self.view.status_message = text_within(message, limits, &mut self.repairs)?;
                }
                (3, Raw::Varint(code)) => self.view.status = StatusCode::from_code(code as u32),
                (2 | 3, _) => return Err(unlike_schema("Status", field).into()),
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks what makes a span.
    fn finished(mut self) -> Result<SpanView<'a>, Stop> {
        let trace = trace_id(self.trace).ok_or(Stop::Span(Reason::TraceId))?;
        let span = span_id(self.span).ok_or(Stop::Span(Reason::SpanId))?;
        let parent = match self.parent {
            [] | [0, 0, 0, 0, 0, 0, 0, 0] => None,
            id => Some(span_id(id).ok_or(Stop::Span(Reason::ParentSpanId))?),
        };
        let start_ns = self.view.start_ns;
        if start_ns > TIME_MAX_NS {
            return Err(Stop::Span(Reason::TimeOutOfRange));
        }
        let end_ns = self.view.end_ns.clamp(start_ns, TIME_MAX_NS);
        self.repairs.times += u32::from(end_ns != self.view.end_ns);
        Ok(SpanView { trace, span, parent, end_ns, kind: kind(self.kind), repairs: self.repairs, ..self.view })
    }
}

/// Returns the kind with a number on the wire, `None` for the unspecified one and those that OTLP does not know.
fn kind(number: u64) -> Option<SpanKind> {
    match number as u32 {
        code @ 1..=5 => Some(SpanKind::from_code(code as u8)),
        _ => None,
    }
}

#[inline]
fn trace_id(id: &[u8]) -> Option<TraceId> {
    let id = u128::from_be_bytes(id.try_into().ok()?);
    Some(TraceId::new((id >> 64) as u64, id as u64)).filter(|id| !id.is_none())
}

#[inline]
fn span_id(id: &[u8]) -> Option<SpanId> {
    Some(SpanId(u64::from_be_bytes(id.try_into().ok()?))).filter(|id| !id.is_none())
}
