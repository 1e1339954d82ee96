//! Rows that own what they say, of rows whose texts are lent.
//!
//! Called by whoever keeps rows of a batch for longer than he holds its lock.

use super::{Attribute, Energy, Event, Link, List, SpanRow, Value};
use std::borrow::Cow;

fn text(text: Cow<'_, str>) -> Cow<'static, str> {
    Cow::Owned(text.into_owned())
}

impl Value<'_> {
    /// Returns the same with its own bytes.
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Str(of) => Value::Str(text(of)),
            Self::Int(of) => Value::Int(of),
            Self::Dbl(of) => Value::Dbl(of),
            Self::Bool(of) => Value::Bool(of),
            Self::Other(bytes) => Value::Other(Cow::Owned(bytes.into_owned())),
        }
    }
}

impl Attribute<'_> {
    /// Returns the same with its own texts.
    pub fn into_owned(self) -> Attribute<'static> {
        Attribute { key: text(self.key), value: self.value.into_owned() }
    }
}

/// Returns the items of a list, each made of one of it.
fn list<T: Clone, O>(list: List<'_, T>, own: impl Fn(T) -> O) -> List<'static, O> {
    match list {
        List::Lent(items) => items.iter().cloned().map(own).collect::<Vec<_>>().into(),
        List::Owned(items) => items.into_iter().map(own).collect::<Vec<_>>().into(),
    }
}

impl SpanRow<'_> {
    /// Returns the same with its own texts and lists.
    ///
    /// # Cost
    /// A copy of all that is lent.
    pub fn into_owned(self) -> SpanRow<'static> {
        SpanRow {
            trace: self.trace,
            id: self.id,
            parent: self.parent,
            start_ns: self.start_ns,
            duration_ns: self.duration_ns,
            service: text(self.service),
            operation: text(self.operation),
            scope: self.scope.map(text),
            host: text(self.host),
            process: text(self.process),
            thread: self.thread.map(text),
            kind: self.kind,
            status: self.status,
            source: self.source,
            status_message: self.status_message.map(text),
            trace_state: self.trace_state.map(text),
            flags: self.flags,
            attributes: list(self.attributes, Attribute::into_owned),
            dropped: self.dropped,
            resource: self.resource,
            events: list(self.events, own_event),
            links: list(self.links, own_link),
            energy: self.energy.map(|energy| Energy { hardware: text(energy.hardware), ..energy }),
            spec_versions: list(self.spec_versions, |version| version),
            self_cp_ns: self.self_cp_ns,
            sampling_weight: self.sampling_weight,
        }
    }
}

fn own_event(event: Event<'_>) -> Event<'static> {
    Event {
        time_offset_ns: event.time_offset_ns,
        name: text(event.name),
        attributes: list(event.attributes, Attribute::into_owned),
        dropped: event.dropped,
    }
}

fn own_link(link: Link<'_>) -> Link<'static> {
    Link {
        trace: link.trace,
        span: link.span,
        trace_state: link.trace_state.map(text),
        attributes: list(link.attributes, Attribute::into_owned),
        dropped: link.dropped,
        flags: link.flags,
    }
}
