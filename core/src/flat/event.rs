//! What happened at an instant of a span, in the one form that others have for it: an event with attributes.
//!
//! Called by whoever writes the events of a flat span.

use super::key;
use crate::trace::{Attribute, AttributeValue, Event, Notes, Payload};
use std::borrow::Cow;

/// What happened.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Happened<'t> {
    /// An event.
    Event(&'t Event),
    /// Bytes of the application.
    Payload(&'t Payload),
    /// A call went out that was never answered.
    OpenCall,
}

/// Something that happened at an instant of a span.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct FlatEvent<'t> {
    /// When, in nanoseconds since 1970; a broken clock may put it outside its span.
    pub at_ns: u64,
    /// What.
    pub what: Happened<'t>,
}

impl<'t> FlatEvent<'t> {
    /// Returns its name.
    pub fn name(&self) -> &'t str {
        match self.what {
            Happened::Event(event) => &event.name,
            Happened::Payload(_) => "raw",
            Happened::OpenCall => "call without answer",
        }
    }

    /// Returns its attributes: those that were recorded, and ours ([`key`]) for what an event of others has no place for.
    ///
    /// # Cost
    /// A payload is copied.
    pub fn attributes(&self) -> Vec<Cow<'t, Attribute>> {
        let ours = |key: &str, value| Cow::Owned(Attribute::new(key, value));
        match self.what {
            Happened::Event(event) => {
                let message =
                    (!event.message.is_empty()).then(|| ours(key::MESSAGE, AttributeValue::Str(event.message.clone())));
                event.attributes.iter().map(Cow::Borrowed).chain(message).collect()
            }
            Happened::Payload(payload) => {
                let mut attributes = vec![ours(key::PAYLOAD, AttributeValue::Bytes(payload.bytes.clone()))];
                let name = payload.name.as_ref();
                attributes.extend(name.map(|name| ours(key::NAME, AttributeValue::Str(name.clone()))));
                attributes.extend(payload.is_truncated.then(|| ours(key::TRUNCATED, true.into())));
                attributes
            }
            Happened::OpenCall => Vec::new(),
        }
    }
}

/// Returns what happened in a span, by time, of equal times in the order of their kinds.
pub(super) fn of<'t>(notes: &'t Notes, behind_ns: u64, open_calls_ns: &[u64]) -> Vec<FlatEvent<'t>> {
    let at = |time_ns: u64| time_ns.saturating_add(behind_ns);
    let noted = notes.events.iter().map(|event| FlatEvent { at_ns: at(event.at_ns), what: Happened::Event(event) });
    let payloads = notes.payloads.iter();
    let payloads = payloads.map(|payload| FlatEvent { at_ns: at(payload.at_ns), what: Happened::Payload(payload) });
    let open_calls = open_calls_ns.iter().map(|at_ns| FlatEvent { at_ns: *at_ns, what: Happened::OpenCall });
    let mut events: Vec<_> = noted.chain(payloads).chain(open_calls).collect();
    events.sort_by_key(|event| event.at_ns);
    events
}
