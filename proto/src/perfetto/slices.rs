//! Spans and visits as slices of a thread, with what hangs on them. Pure; called by the conversion.

use super::lanes::Interval;
use super::schema::{DebugAnnotation, debug_annotation};
use crate::export::{Part, Relations};
use backsight_core::ids::SpanId;
use backsight_core::record::StatusCode;
use backsight_core::trace::{Attribute, AttributeValue, Notes, Payload, Span, Trace, Visit};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Bytes of a payload that are shown.
const PAYLOAD_SHOWN_BYTES: usize = 4096;

/// A span or a visit, on its thread.
pub(super) struct Slice<'a> {
    pub(super) at: Interval,
    pub(super) name: &'a str,
    pub(super) category: &'static str,
    pub(super) annotations: Vec<DebugAnnotation>,
    pub(super) flow: Flow,
    notes: &'a Notes,
    /// When calls of it went out that were never answered.
    open_calls: &'a [u64],
}

/// The ends of calls between processes that a slice has.
#[derive(Default)]
pub(super) struct Flow {
    pub(super) from: Vec<u64>,
    pub(super) to: Option<u64>,
}

impl Slice<'_> {
    /// Returns what happened at an instant of it: when, what, and how.
    pub(super) fn instants(&self) -> impl Iterator<Item = (u64, &str, Vec<DebugAnnotation>)> {
        let inside = |at: u64| at.clamp(self.at.start, self.at.end);
        let events = self.notes.events.iter().map(move |event| {
            let message = (!event.message.is_empty()).then(|| text("message", &event.message));
            let annotations = event.attributes.iter().map(annotation).chain(message).collect();
            (inside(event.at_ns), &*event.name, annotations)
        });
        let payloads = self
            .notes
            .payloads
            .iter()
            .map(move |payload| (inside(payload.at_ns), payload.name.as_deref().unwrap_or("raw"), shown(payload)));
        let open_calls = self.open_calls.iter().map(move |at| (inside(*at), "call without answer", Vec::new()));
        events.chain(payloads).chain(open_calls)
    }
}

pub(super) fn of_span<'a>(idx: usize, span: &'a Span, relations: &'a Relations, flows: &Flows<'_>) -> Slice<'a> {
    let mut annotations: Vec<_> = span.notes.attributes.iter().map(annotation).collect();
    annotations.push(text("backsight.span", &span.id.to_string()));
    if span.status != StatusCode::Unset {
        annotations.push(text("status", if span.status == StatusCode::Error { "error" } else { "ok" }));
    }
    if !span.status_text.is_empty() {
        annotations.push(text("status.text", &span.status_text));
    }
    annotations.extend(state(span.end_ns, span.is_cut));
    let part = Part::Span(idx);
    Slice {
        at: Interval { start: span.start_ns, end: relations.end_ns(part) },
        name: &span.name,
        category: span.kind.name(),
        annotations,
        flow: flows.of_span(span),
        notes: &span.notes,
        open_calls: relations.open_calls(part),
    }
}

pub(super) fn of_visit<'a>(idx: usize, visit: &'a Visit, relations: &'a Relations, flows: &Flows<'_>) -> Slice<'a> {
    let mut annotations: Vec<_> = visit.notes.attributes.iter().map(annotation).collect();
    annotations.extend(state(visit.end_ns, visit.is_cut));
    let part = Part::Visit(idx);
    Slice {
        at: Interval { start: visit.start_ns, end: relations.end_ns(part) },
        name: "visit",
        category: "visit",
        annotations,
        flow: flows.of_visit(visit, relations),
        notes: &visit.notes,
        open_calls: relations.open_calls(part),
    }
}

/// The calls from one process to another.
pub(super) struct Flows<'a> {
    trace: &'a Trace,
    /// In which process a span is, or a visit that stands for one.
    places: BTreeMap<SpanId, usize>,
    /// Calls that a span made.
    from: BTreeMap<SpanId, Vec<u64>>,
}

impl<'a> Flows<'a> {
    pub(super) fn new(trace: &'a Trace) -> Self {
        let mut flows = Self { trace, places: BTreeMap::new(), from: BTreeMap::new() };
        for span in &trace.spans {
            flows.places.entry(span.id).or_insert(span.process_idx);
        }
        for visit in &trace.visits {
            visit.calls.iter().for_each(|call| _ = flows.places.entry(*call).or_insert(visit.process_idx));
        }
        let spans = trace.spans.iter().filter_map(|span| Some((span.parent, flows.to_span(span)?)));
        let visits = trace.visits.iter().filter_map(|visit| Some((visit.parent, flows.to_visit(visit)?)));
        let calls: Vec<_> = spans.chain(visits).collect();
        for (parent, flow) in calls {
            flows.from.entry(parent).or_default().push(flow);
        }
        flows
    }

    fn of_span(&self, span: &Span) -> Flow {
        // Of two spans with one id, which a broken application may give, the first is meant by those that name it.
        let is_meant = self.places.get(&span.id) == Some(&span.process_idx);
        let from = self.from.get(&span.id).filter(|_| is_meant).cloned().unwrap_or_default();
        Flow { from, to: self.to_span(span) }
    }

    fn of_visit(&self, visit: &Visit, relations: &Relations) -> Flow {
        let from = relations.own_calls(visit).filter_map(|call| self.from.get(&call)).flatten().copied().collect();
        Flow { from, to: self.to_visit(visit) }
    }

    fn to_span(&self, span: &Span) -> Option<u64> {
        self.is_elsewhere(span.parent, span.process_idx).then(|| {
            let flow = format!("flow {} {} {}", span.parent, span.process_idx, span.id);
            SpanId::of_place(&flow).0
        })
    }

    fn to_visit(&self, visit: &Visit) -> Option<u64> {
        self.is_elsewhere(visit.parent, visit.process_idx).then(|| self.trace.visit_id(visit).0)
    }

    fn is_elsewhere(&self, parent: SpanId, process_idx: usize) -> bool {
        self.places.get(&parent).is_some_and(|place| *place != process_idx)
    }
}

fn shown(payload: &Payload) -> Vec<DebugAnnotation> {
    let bytes = payload.bytes.get(..PAYLOAD_SHOWN_BYTES).unwrap_or(&payload.bytes);
    let bytes = str::from_utf8(bytes).map_or_else(|_| hex(bytes), str::to_owned);
    let len = debug_annotation::Value::IntValue(payload.bytes.len() as i64);
    vec![text("payload", &bytes), named("bytes", len)]
}

fn state(end_ns: Option<u64>, is_cut: bool) -> Option<DebugAnnotation> {
    let flag = |name| named(name, debug_annotation::Value::BoolValue(true));
    match (end_ns, is_cut) {
        (_, true) => Some(flag("backsight.cut")),
        (None, false) => Some(flag("backsight.open")),
        (Some(_), false) => None,
    }
}

fn annotation(attribute: &Attribute) -> DebugAnnotation {
    DebugAnnotation { name: Some(attribute.key.to_string()), ..value(&attribute.value) }
}

fn value(from: &AttributeValue) -> DebugAnnotation {
    use debug_annotation::Value;
    let value = match from {
        AttributeValue::Bool(value) => Value::BoolValue(*value),
        AttributeValue::I64(value) => Value::IntValue(*value),
        AttributeValue::F64(value) => Value::DoubleValue(*value),
        AttributeValue::Str(text) => Value::StringValue(text.to_string()),
        AttributeValue::Bytes(bytes) => Value::StringValue(hex(bytes)),
        AttributeValue::Array(values) => {
            return DebugAnnotation { array_values: values.iter().map(self::value).collect(), ..Default::default() };
        }
    };
    DebugAnnotation { value: Some(value), ..DebugAnnotation::default() }
}

fn text(name: &str, text: &str) -> DebugAnnotation {
    named(name, debug_annotation::Value::StringValue(text.to_owned()))
}

fn named(name: &str, value: debug_annotation::Value) -> DebugAnnotation {
    DebugAnnotation { name: Some(name.to_owned()), value: Some(value), array_values: Vec::new() }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("writing to a String never fails");
    }
    text
}
