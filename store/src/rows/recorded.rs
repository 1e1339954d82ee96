//! From what agents recorded to rows of parts: the spans of a trace's flat form ([`FlatTrace`]), and its visits as slices.
//!
//! Called at a cut for each trace that is kept. What is known of the trace as a whole ([`super::TraceFacts`]) its caller says.

use super::any_value;
use super::{Attribute, Event, Link, ResourceId, SliceRow, SpanRow, Value, flag, source};
use crate::batch::{Batch, BatchFull};
use backsight_core::flat::{Ending, FlatEvent, FlatSpan, FlatTrace, Home, key};
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::record::Kind;
use backsight_core::trace::{AttributeValue, Trace};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The scope of recorded spans.
const SCOPE: &str = "backsight";
/// The processor of a visit: it may have run on several.
const CPU_UNKNOWN: i32 = -1;

/// What takes rows of recorded traces: a batch, or a test.
pub trait RowSink {
    /// Takes a resource, the same one again for each trace that has it, and returns its number.
    ///
    /// # Errors
    /// There is no room.
    fn resource(&mut self, attributes: &[Attribute<'_>]) -> Result<ResourceId, BatchFull>;

    /// Takes a span whose resource was taken.
    ///
    /// # Errors
    /// There is no room.
    fn span(&mut self, span: &SpanRow<'_>) -> Result<(), BatchFull>;

    /// Takes a slice.
    ///
    /// # Errors
    /// There is no room.
    fn slice(&mut self, slice: &SliceRow<'_>) -> Result<(), BatchFull>;
}

impl RowSink for Batch {
    fn resource(&mut self, attributes: &[Attribute<'_>]) -> Result<ResourceId, BatchFull> {
        self.shared_resource(attributes)
    }

    fn span(&mut self, span: &SpanRow<'_>) -> Result<(), BatchFull> {
        self.push_span(span)
    }

    fn slice(&mut self, slice: &SliceRow<'_>) -> Result<(), BatchFull> {
        self.push_slice(slice)
    }
}

/// What is known beside a recorded trace.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    /// Returns the name of an agent's host, where it is known.
    pub host: &'a dyn Fn(AgentId) -> Option<&'a str>,
    /// How many traces it stands for.
    pub sampling_weight: f64,
    /// What the flags of each span hold besides: [`flag::LATE`], or nothing.
    pub flags: i32,
}

/// Puts the rows of a trace into `sink`: the resources that its spans have, its spans, and a slice for each visit.
///
/// # Shape
/// As `docs/spec/parts.md` has it (4, "what agents recorded"). Times beyond the year 2262 are cut off there, and marked as repaired.
/// # Errors
/// There is no room. What was put in by then stays: the caller cuts the batch and puts the whole trace into the next one, and readers unite what
/// stands twice; or it looks beforehand whether there is room.
/// # Cost
/// That of the flat form, a map of the trace's ids, and a copy of payloads. Texts are lent.
pub fn push_recorded(sink: &mut impl RowSink, trace: &Trace, beside: Beside<'_>) -> Result<(), BatchFull> {
    let flat = FlatTrace::of(trace);
    let rows = Rows { flat: &flat, ids: Ids::of(&flat), beside };
    let mut places: Vec<Option<Place>> = vec![None; flat.homes.len()];
    for span in &flat.spans {
        let place = match &mut places[span.home_idx] {
            Some(place) => place,
            none => none.insert(Place::new(trace, flat.home(span), beside, sink)?),
        };
        rows.push(span, place, sink)?;
    }
    for span in flat.spans.iter().filter(|span| span.is_visit()) {
        if let Some(place) = &places[span.home_idx] {
            sink.slice(&slice(trace.id, span, place))?;
        }
    }
    Ok(())
}

/// What rows say of a home.
#[derive(Clone)]
struct Place {
    service: String,
    host: String,
    process: String,
    resource: ResourceId,
}

impl Place {
    fn new(trace: &Trace, home: &Home, beside: Beside<'_>, sink: &mut impl RowSink) -> Result<Self, BatchFull> {
        let service = home.service.to_string();
        let Some(process) = trace.processes.get(home.process_idx) else {
            let resource = sink.resource(&[Attribute::new("service.name", Value::Str(service.as_str().into()))])?;
            return Ok(Self { service, host: String::new(), process: String::new(), resource });
        };
        let host = (beside.host)(process.agent);
        let instance = process.instance(host);
        let of_process = process.attributes(host);
        let mut attributes = vec![
            Attribute::new("service.name", Value::Str(service.as_str().into())),
            Attribute::new("service.instance.id", Value::Str(instance.as_str().into())),
        ];
        attributes.extend(of_process.iter().map(attribute));
        let resource = sink.resource(&attributes)?;
        Ok(Self { service, host: process.place(host), process: instance, resource })
    }
}

/// The ids of a trace's spans.
struct Ids {
    /// The positions of the spans that are meant by them.
    meant: BTreeMap<SpanId, usize>,
    /// Those that several spans have.
    clashing: BTreeSet<SpanId>,
}

impl Ids {
    fn of(flat: &FlatTrace<'_>) -> Self {
        let meant = flat.by_id();
        let is_first = |idx: usize, span: &FlatSpan<'_>| meant.get(&span.id) == Some(&idx);
        let others = flat.spans.iter().enumerate().filter(|(idx, span)| !is_first(*idx, span));
        let clashing = others.map(|(_, span)| span.id).collect();
        Self { meant, clashing }
    }
}

/// Makes the rows of spans.
struct Rows<'f, 't, 'b> {
    flat: &'f FlatTrace<'t>,
    ids: Ids,
    beside: Beside<'b>,
}

impl Rows<'_, '_, '_> {
    fn flags(&self, span: &FlatSpan<'_>) -> i32 {
        let parent = self.ids.meant.get(&span.parent).map(|idx| &self.flat.spans[*idx]);
        let is_elsewhere = |parent: &FlatSpan<'_>| parent.part.process_idx() != span.part.process_idx();
        let is_beyond = i64::try_from(span.end_ns).is_err();
        let flags = [
            (span.ending != Ending::Seen, flag::OPEN),
            (span.is_repaired || is_beyond, flag::REPAIRED_TIME),
            (span.part.notes().payloads.iter().any(|payload| payload.is_truncated), flag::TRUNCATED),
            (span.is_visit(), flag::VISIT),
            (self.ids.clashing.contains(&span.id), flag::ID_CLASH),
            (!span.parent.is_none() && parent.is_some_and(is_elsewhere), flag::REMOTE_PARENT),
        ];
        let set = flags.into_iter().filter(|(is_set, _)| *is_set);
        set.fold(self.beside.flags, |flags, (_, flag)| flags | flag)
    }

    fn push(&self, span: &FlatSpan<'_>, place: &Place, sink: &mut impl RowSink) -> Result<(), BatchFull> {
        let thread = span.part.tid().to_string();
        // That it is open and on which thread stands in columns.
        let cut = (span.ending == Ending::Cut).then_some(key::CUT);
        let start_lost = (!span.is_started()).then_some(key::START_LOST);
        let ours = cut.into_iter().chain(start_lost).map(|key| Attribute::new(key, Value::Bool(true)));
        let attributes: Vec<_> = span.part.notes().attributes.iter().map(attribute).chain(ours).collect();
        let happened = span.events();
        let of_events: Vec<_> = happened.iter().map(FlatEvent::attributes).collect();
        let events = happened.iter().zip(&of_events).map(|(event, attributes)| Event {
            time_offset_ns: time(event.at_ns) - time(span.start_ns),
            name: event.name().into(),
            attributes: attributes.iter().map(|of| attribute(of)).collect::<Vec<_>>().into(),
            dropped: 0,
        });
        let links = span.links().iter().map(|link| Link { trace: link.trace, span: link.span, ..Link::default() });
        sink.span(&SpanRow {
            trace: self.flat.trace.id,
            id: span.id,
            parent: Some(span.parent).filter(|parent| !parent.is_none()),
            start_ns: time(span.start_ns),
            duration_ns: time(span.end_ns) - time(span.start_ns),
            service: place.service.as_str().into(),
            operation: span.operation().into(),
            scope: Some(SCOPE.into()),
            host: place.host.as_str().into(),
            process: place.process.as_str().into(),
            thread: Some(thread.as_str().into()),
            kind: span.kind() as i8,
            status: span.status() as i8,
            source: source::RECORDER,
            status_message: Some(span.status_text()).filter(|text| !text.is_empty()).map(Cow::Borrowed),
            flags: self.flags(span),
            attributes: attributes.into(),
            resource: place.resource,
            events: events.collect::<Vec<_>>().into(),
            links: links.collect::<Vec<_>>().into(),
            sampling_weight: self.beside.sampling_weight,
            ..SpanRow::default()
        })
    }
}

fn slice<'p>(trace: TraceId, span: &FlatSpan<'_>, place: &'p Place) -> SliceRow<'p> {
    SliceRow {
        trace,
        span: Some(span.id),
        host: place.host.as_str().into(),
        process: place.process.as_str().into(),
        thread: span.part.tid().to_string().into(),
        cpu: CPU_UNKNOWN,
        kind: Kind::Seg as i16,
        start_ns: time(span.start_ns),
        duration_ns: time(span.end_ns) - time(span.start_ns),
        flags: if span.ending == Ending::Seen { 0 } else { flag::OPEN },
        ..SliceRow::default()
    }
}

fn time(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

fn attribute(of: &backsight_core::trace::Attribute) -> Attribute<'_> {
    Attribute { key: Cow::Borrowed(&of.key), value: value(&of.value) }
}

fn value(of: &AttributeValue) -> Value<'_> {
    match of {
        AttributeValue::Bool(value) => Value::Bool(*value),
        AttributeValue::I64(value) => Value::Int(*value),
        AttributeValue::F64(value) => Value::Dbl(*value),
        AttributeValue::Str(text) => Value::Str(Cow::Borrowed(text)),
        AttributeValue::Bytes(_) | AttributeValue::Array(_) => Value::Other(any_value::encode(of).into()),
    }
}

#[cfg(test)]
mod tests;
