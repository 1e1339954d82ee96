//! The lists of a span as rows have them, in memory that is used again for the next span. Called for each span.

use super::{SCOPE_VERSION, Scope, WireAttribute, WireValue, attribute, count, some, text_of};
use backsight_proto::wire::otlp_visit::SpanView;
use backsight_store::rows::{Attribute, Event, Link, List, Value};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::mem::take;

/// Lists, empty between spans: what they hold then lives for ever.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub(super) others: Others,
    own: Vec<Attribute<'static>>,
    /// Attributes of events, then of links.
    inner: Vec<Attribute<'static>>,
    events: Vec<Event<'static>>,
    links: Vec<Link<'static>>,
    thread_id: String,
}

/// The lists of one span.
pub(super) struct Lists<'a> {
    pub(super) attributes: &'a [Attribute<'a>],
    pub(super) events: &'a [Event<'a>],
    pub(super) links: &'a [Link<'a>],
}

impl Scratch {
    /// Calls `use_of` with the lists of a span and its thread, and returns what that returns.
    pub(super) fn with<T>(
        &mut self,
        view: &SpanView<'_>,
        scope: &Scope,
        use_of: impl FnOnce(&Lists<'_>, Option<&str>) -> T,
    ) -> T {
        let of_events = view.events.iter().flat_map(|event| event.attributes);
        let of_links = view.links.iter().flat_map(|link| link.attributes);
        self.others.read(view.attributes.iter().chain(of_events).chain(of_links));
        let mut others = self.others.iter();
        let mut own: Vec<Attribute<'_>> = take(&mut self.own);
        own.extend(view.attributes.iter().map(|of| attribute(of, &mut others)));
        if !scope.version.is_empty() && !view.attributes.iter().any(|of| of.key == SCOPE_VERSION) {
            own.push(Attribute::new(SCOPE_VERSION, Value::Str(Cow::Borrowed(&scope.version))));
        }
        let mut inner: Vec<Attribute<'_>> = take(&mut self.inner);
        for event in view.events.iter() {
            inner.extend(event.attributes.iter().map(|of| attribute(of, &mut others)));
        }
        for link in view.links.iter() {
            inner.extend(link.attributes.iter().map(|of| attribute(of, &mut others)));
        }
        let mut events: Vec<Event<'_>> = take(&mut self.events);
        let mut links: Vec<Link<'_>> = take(&mut self.links);
        relate(view, &inner, &mut events, &mut links);
        let thread = thread(view.attributes, &mut self.thread_id);
        let used = use_of(&Lists { attributes: &own, events: &events, links: &links }, thread);
        self.events = recycled(events);
        self.links = recycled(links);
        self.inner = recycled(inner);
        self.own = recycled(own);
        used
    }
}

/// Fills `events` and `links`, whose attributes stand behind each other in `inner`.
fn relate<'a>(view: &SpanView<'a>, inner: &'a [Attribute<'a>], events: &mut Vec<Event<'a>>, links: &mut Vec<Link<'a>>) {
    let mut rest = inner;
    let mut next = |n_attributes: usize| {
        let (attributes, behind) = rest.split_at(n_attributes);
        rest = behind;
        List::Lent(attributes)
    };
    events.extend(view.events.iter().map(|event| Event {
        // Both are at most `i64::MAX`.
        time_offset_ns: event.time_ns as i64 - view.start_ns as i64,
        name: Cow::Borrowed(event.name),
        attributes: next(event.attributes.len()),
        dropped: count(event.dropped_attributes),
    }));
    links.extend(view.links.iter().map(|link| Link {
        trace: link.trace,
        span: link.span,
        trace_state: some(link.trace_state),
        attributes: next(link.attributes.len()),
        dropped: count(link.dropped_attributes),
        flags: link.flags as i32, // the same bits
    }));
}

/// Returns the thread that a span names: by its name, else by its number.
fn thread<'a>(attributes: &[WireAttribute<'a>], id: &'a mut String) -> Option<&'a str> {
    let (mut named, mut numbered) = (None, None);
    for attribute in attributes {
        match attribute.key {
            "thread.name" => named = text_of(attribute.value),
            "thread.id" => numbered = Some(attribute.value),
            _ => {}
        }
    }
    match (named, numbered) {
        (Some(name), _) => Some(name),
        (None, Some(WireValue::Int(number))) => {
            id.clear();
            let _ = write!(id, "{number}"); // writing to a String does not fail
            Some(id)
        }
        (None, Some(value)) => text_of(value),
        (None, None) => None,
    }
}

/// Values that have no type of their own, encoded behind each other.
#[derive(Debug, Default)]
pub(super) struct Others {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Others {
    /// Encodes those of `attributes`, and forgets the ones before.
    pub(super) fn read<'a>(&mut self, attributes: impl Iterator<Item = &'a WireAttribute<'a>>) {
        self.bytes.clear();
        self.ends.clear();
        for attribute in attributes {
            if matches!(
                attribute.value,
                WireValue::Empty | WireValue::List(_) | WireValue::Map(_) | WireValue::Bytes(_)
            ) {
                attribute.value.encode(&mut self.bytes);
                self.ends.push(self.bytes.len());
            }
        }
    }

    /// Returns each of them in its order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().map(move |end| {
            let bytes = &self.bytes[start..*end];
            start = *end;
            bytes
        })
    }
}

/// Returns the memory of a list for items that live otherwise.
///
/// # Cost
/// None: collecting into the same layout takes the list's own memory.
fn recycled<A, B>(mut list: Vec<A>) -> Vec<B> {
    list.clear();
    list.into_iter().map(|_| unreachable!("the list is empty")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Attribute, recycled};

    #[test]
    fn a_recycled_list_keeps_its_memory() {
        let text = "x".to_owned();
        let mut list: Vec<Attribute<'_>> = Vec::with_capacity(9);
        list.push(Attribute::new(text.as_str(), super::Value::Int(1)));
        let recycled: Vec<Attribute<'static>> = recycled(list);
        assert_eq!((recycled.len(), recycled.capacity()), (0, 9));
    }
}
