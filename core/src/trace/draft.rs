//! Spans and visits while records still arrive: times in ticks, attributes as often as they were set.
//!
//! Called by `process`, which fills drafts and finishes them once all of a process's log is read.

use super::time::ProcessTime;
use super::{Attribute, Event, Link, Notes, Payload, Span, Visit};
use crate::ids::SpanId;
use crate::record::{SpanKind, StatusCode};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a draft needs to know of its process.
pub(super) struct Context<'a> {
    pub(super) clock: &'a ProcessTime,
    pub(super) process_idx: usize,
    pub(super) is_dead: bool,
}

/// A value that the latest record decides.
struct Latest<T> {
    ticks: u64,
    value: T,
}

impl<T> Latest<T> {
    /// Sets the value, unless one of a later time is there.
    fn set(slot: &mut Option<Self>, ticks: u64, value: T) {
        if slot.as_ref().is_none_or(|latest| ticks >= latest.ticks) {
            *slot = Some(Self { ticks, value });
        }
    }
}

/// The start of a span.
pub(super) struct SpanStart {
    pub(super) ticks: u64,
    pub(super) parent: SpanId,
    pub(super) name: Arc<str>,
    pub(super) kind: SpanKind,
    pub(super) tid: u32,
    /// The visit in which it started.
    pub(super) visit_idx: usize,
}

/// A span of which at least one record has been read.
#[derive(Default)]
pub(super) struct SpanDraft {
    pub(super) start: Option<SpanStart>,
    /// The first record that speaks of it, and its thread.
    pub(super) first_seen: Option<(u64, u32)>,
    pub(super) end_ticks: Option<u64>,
    pub(super) links: Vec<Link>,
    pub(super) notes: NotesDraft,
    status: Option<Latest<(StatusCode, Arc<str>)>>,
    rename: Option<Latest<Arc<str>>>,
}

impl SpanDraft {
    pub(super) fn set_status(&mut self, ticks: u64, code: StatusCode, text: Arc<str>) {
        Latest::set(&mut self.status, ticks, (code, text));
    }

    pub(super) fn rename(&mut self, ticks: u64, name: Arc<str>) {
        Latest::set(&mut self.rename, ticks, name);
    }

    pub(super) fn finish(self, id: SpanId, context: &Context<'_>) -> Span {
        let is_started = self.start.is_some();
        let (first_ticks, first_tid) = self.first_seen.unwrap_or_default();
        let start = self.start.unwrap_or_else(|| SpanStart {
            ticks: first_ticks,
            parent: SpanId::NONE,
            name: Arc::default(),
            kind: SpanKind::default(),
            tid: first_tid,
            visit_idx: 0,
        });
        let start_ns = context.clock.time(start.ticks);
        let (status, status_text) = self.status.map(|latest| latest.value).unwrap_or_default();
        Span {
            id,
            parent: if start.parent == id { SpanId::NONE } else { start.parent },
            name: self.rename.map_or(start.name, |latest| latest.value),
            kind: start.kind,
            process_idx: context.process_idx,
            service: Arc::default(),
            tid: start.tid,
            start_ns,
            end_ns: self.end_ticks.map(|ticks| context.clock.time(ticks).max(start_ns)),
            is_started,
            is_cut: self.end_ticks.is_none() && context.is_dead,
            status,
            status_text,
            links: self.links,
            notes: self.notes.finish(context.clock),
        }
    }
}

/// A visit of which at least one segment has been read.
pub(super) struct VisitDraft {
    pub(super) parent: SpanId,
    /// The same where the visit's begin was found: what is said of that span in the visit is said of the visit.
    pub(super) cause: Option<SpanId>,
    pub(super) tid: u32,
    pub(super) start_ticks: u64,
    /// The end of the last of its segments on each thread, where that one has ended.
    pub(super) ends: BTreeMap<u32, Option<u64>>,
    /// Whether a span started in it.
    pub(super) has_span: bool,
    pub(super) notes: NotesDraft,
    /// Spans in whose name it made calls and that were not known then.
    pub(super) calls: BTreeSet<SpanId>,
}

impl VisitDraft {
    /// Returns the visit, or `None` where its spans say all that it would.
    pub(super) fn finish(self, context: &Context<'_>) -> Option<Visit> {
        if self.has_span && self.notes.is_empty() && self.calls.is_empty() {
            return None;
        }
        let start_ns = context.clock.time(self.start_ticks);
        let is_open = self.ends.values().any(Option::is_none);
        let end_ticks = self.ends.into_values().max().flatten().filter(|_| !is_open);
        Some(Visit {
            parent: self.parent,
            process_idx: context.process_idx,
            tid: self.tid,
            start_ns,
            end_ns: end_ticks.map(|ticks| context.clock.time(ticks).max(start_ns)),
            is_cut: end_ticks.is_none() && context.is_dead,
            notes: self.notes.finish(context.clock),
            calls: self.calls.into_iter().collect(),
        })
    }
}

/// Notes in the order in which they were read, with ticks where times will be.
#[derive(Default)]
pub(super) struct NotesDraft {
    attributes: Vec<(u64, Attribute)>,
    events: Vec<Event>,
    payloads: Vec<Payload>,
}

impl NotesDraft {
    fn is_empty(&self) -> bool {
        self.attributes.is_empty() && self.events.is_empty() && self.payloads.is_empty()
    }

    pub(super) fn add_attribute(&mut self, ticks: u64, attribute: Attribute) {
        self.attributes.push((ticks, attribute));
    }

    /// Adds an event, whose time is still in ticks, and returns its position.
    pub(super) fn add_event(&mut self, event: Event) -> usize {
        self.events.push(event);
        self.events.len() - 1
    }

    /// Adds an attribute to the event at a position that [`Self::add_event`] returned.
    pub(super) fn add_event_attribute(&mut self, event_idx: usize, attribute: Attribute) {
        if let Some(event) = self.events.get_mut(event_idx) {
            event.attributes.push(attribute);
        }
    }

    /// Adds a payload, whose time is still in ticks.
    pub(super) fn add_payload(&mut self, payload: Payload) {
        self.payloads.push(payload);
    }

    fn finish(mut self, clock: &ProcessTime) -> Notes {
        self.attributes.sort_by_key(|(ticks, _)| *ticks);
        let mut attributes: Vec<Attribute> = Vec::with_capacity(self.attributes.len());
        let mut by_key: BTreeMap<Arc<str>, usize> = BTreeMap::new();
        for (_, attribute) in self.attributes {
            match by_key.get(&attribute.key) {
                Some(idx) => attributes[*idx] = attribute,
                None => {
                    by_key.insert(attribute.key.clone(), attributes.len());
                    attributes.push(attribute);
                }
            }
        }
        self.events.sort_by_key(|event| event.at_ns);
        self.payloads.sort_by_key(|payload| payload.at_ns);
        for event in &mut self.events {
            event.at_ns = clock.time(event.at_ns);
        }
        for payload in &mut self.payloads {
            payload.at_ns = clock.time(payload.at_ns);
        }
        Notes { attributes, events: self.events, payloads: self.payloads }
    }
}
