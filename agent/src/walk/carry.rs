//! Spans of which the start or the end has not been read yet: carried along until it is, or until too many others are.
//!
//! Called by the walk. Pure. Bounded in number and bytes; beyond, what was first met longest ago is given up, and counted.

use super::EndedSpan;
use backsight_core::expr::SpanView;
use backsight_core::ids::{RegionId, SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::{Attribute, AttributeValue, Event};
use backsight_core::units::Nanos;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Spans that are carried at a time: what some thousand threads have open, each with a few spans within each other.
pub const CARRIED_SPANS_MAX: usize = 32_768;
/// Their bytes.
pub const CARRIED_BYTES_MAX: usize = 16 << 20;
/// Events of one span that are carried; more of them are left out.
pub(super) const EVENTS_MAX: usize = 32;
/// Attributes of one event that are carried: an expression has fewer comparisons.
const EVENT_ATTRIBUTES_MAX: usize = 64;
const SECOND_NS: u128 = 1_000_000_000;

/// Whose span. Ids are unique within a region at most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct SpanKey {
    pub(super) region: RegionId,
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
}

/// What is known of a span so far.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Its place in the order in which spans were first met.
    nth: u64,
    bytes: usize,
    pub(super) start_ticks: Option<u64>,
    pub(super) end_ticks: Option<u64>,
    /// See [`super::Position::cause`]: that of the visit in which it started.
    pub(super) cause: SpanId,
    pub(super) kind: SpanKind,
    pub(super) name: Arc<str>,
    /// Its new name, and when it got it.
    pub(super) rename: Option<(u64, Arc<str>)>,
    /// Where it is not its process's.
    pub(super) service: Option<Arc<str>>,
    pub(super) status_ticks: Option<u64>,
    pub(super) status: StatusCode,
    pub(super) status_message: Arc<str>,
    attributes: Vec<Attribute>,
    /// When each of the attributes was set.
    attribute_ticks: Vec<u64>,
    events: Vec<Event>,
}

impl Carried {
    /// Sets an attribute; of several values that which was set last counts.
    pub(super) fn set_attribute(&mut self, ticks: u64, attribute: Attribute) {
        match self.attributes.iter().position(|known| known.key == attribute.key) {
            Some(idx) if self.attribute_ticks[idx] > ticks => {}
            Some(idx) => (self.attributes[idx], self.attribute_ticks[idx]) = (attribute, ticks),
            None => {
                self.attributes.push(attribute);
                self.attribute_ticks.push(ticks);
            }
        }
    }

    /// Adds an event; returns whether there was room.
    pub(super) fn add_event(&mut self, ticks: u64, name: Arc<str>, attributes: Vec<Attribute>) -> bool {
        let has_room = self.events.len() < EVENTS_MAX;
        if has_room {
            self.events.push(Event { at_ns: ticks, name, message: Arc::default(), attributes });
        }
        has_room
    }

    /// Adds an attribute to the last event; returns whether there was room. Where that event was left out, so is its attribute.
    pub(super) fn add_event_attribute(&mut self, attribute: Attribute) -> bool {
        let has_room = |event: &&mut Event| event.attributes.len() < EVENT_ATTRIBUTES_MAX;
        let event = self.events.last_mut().filter(has_room);
        event.map(|event| event.attributes.push(attribute)).is_some()
    }

    /// Returns the span, which has ended; `service` is its process's.
    pub(super) fn as_ended<'a>(
        &'a self,
        trace: TraceId,
        span: SpanId,
        ticks_per_second: u64,
        service: &'a str,
    ) -> EndedSpan<'a> {
        let ns = |ticks: u64| {
            let ns = u128::from(ticks) * SECOND_NS / u128::from(ticks_per_second);
            Nanos(u64::try_from(ns).unwrap_or(u64::MAX))
        };
        let (start, end) = (self.start_ticks.unwrap_or_default(), self.end_ticks.unwrap_or_default());
        let view = SpanView {
            name: self.rename.as_ref().map_or(&self.name, |(_, name)| name),
            service: self.service.as_deref().unwrap_or(service),
            kind: self.kind,
            duration: ns(end.saturating_sub(start)),
            status: self.status,
            status_message: &self.status_message,
            attributes: &self.attributes,
            events: &self.events,
        };
        EndedSpan { trace, span, end: ns(end), view }
    }

    fn measured(&self) -> usize {
        let of_attribute = |attribute: &Attribute| {
            size_of::<Attribute>()
                + match &attribute.value {
                    AttributeValue::Str(text) => text.len(),
                    _ => 0,
                }
        };
        let of_event = |event: &Event| {
            size_of::<Event>() + event.name.len() + event.attributes.iter().map(of_attribute).sum::<usize>()
        };
        size_of::<(SpanKey, Self)>()
            + self.status_message.len()
            + self.attributes.iter().map(of_attribute).sum::<usize>()
            + self.events.iter().map(of_event).sum::<usize>()
    }
}

/// All spans that are carried.
#[derive(Debug, Default)]
pub(super) struct Carry {
    spans: BTreeMap<SpanKey, Carried>,
    /// In the order in which they were first met.
    order: BTreeMap<u64, SpanKey>,
    n_met: u64,
    bytes: usize,
    n_given_up: u64,
}

impl Carry {
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    pub(super) const fn n_given_up(&self) -> u64 {
        self.n_given_up
    }

    pub(super) fn get(&self, key: &SpanKey) -> Option<&Carried> {
        self.spans.get(key)
    }

    /// Returns what is known of a span that has started and not ended.
    pub(super) fn open(&self, key: &SpanKey) -> Option<&Carried> {
        self.get(key).filter(|carried| carried.start_ticks.is_some() && carried.end_ticks.is_none())
    }

    /// Returns what is known of a span, of which nothing may be known yet; where there are too many, the oldest go for it.
    pub(super) fn entry(&mut self, key: SpanKey) -> &mut Carried {
        if !self.spans.contains_key(&key) {
            while self.spans.len() >= CARRIED_SPANS_MAX || self.bytes > CARRIED_BYTES_MAX {
                let Some((_, oldest)) = self.order.pop_first() else { break };
                self.remove(&oldest);
                self.n_given_up += 1;
            }
            self.n_met += 1;
            self.order.insert(self.n_met, key);
        }
        let nth = self.n_met;
        self.spans.entry(key).or_insert_with(|| Carried { nth, ..Carried::default() })
    }

    /// Counts the bytes of a span anew, which may have grown.
    pub(super) fn measure(&mut self, key: &SpanKey) {
        if let Some(carried) = self.spans.get_mut(key) {
            let bytes = carried.measured();
            self.bytes = self.bytes + bytes - carried.bytes;
            carried.bytes = bytes;
        }
    }

    /// Takes a span of which start and end are known.
    pub(super) fn take_ended(&mut self, key: &SpanKey) -> Option<Carried> {
        let carried = self.get(key)?;
        if carried.start_ticks.is_none() || carried.end_ticks.is_none() {
            return None;
        }
        let ended = self.remove(key)?;
        self.order.remove(&ended.nth);
        Some(ended)
    }

    fn remove(&mut self, key: &SpanKey) -> Option<Carried> {
        let removed = self.spans.remove(key)?;
        self.bytes -= removed.bytes;
        Some(removed)
    }
}
