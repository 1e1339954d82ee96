//! Flat spans as slices of a thread, with what hangs on them. Pure; called by the conversion.

use super::lanes::Interval;
use super::schema::{DebugAnnotation, debug_annotation};
use backsight_core::flat::{FlatEvent, FlatSpan, FlatTrace, Happened, VISIT};
use backsight_core::ids::SpanId;
use backsight_core::record::StatusCode;
use backsight_core::trace::{Attribute, AttributeValue, Payload};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Bytes of a payload that are shown.
const PAYLOAD_SHOWN_BYTES: usize = 4096;

/// A span on its thread.
pub(super) struct Slice<'a> {
    pub(super) at: Interval,
    pub(super) name: &'a str,
    pub(super) category: &'static str,
    pub(super) annotations: Vec<DebugAnnotation>,
    pub(super) flow: Flow,
    events: Vec<FlatEvent<'a>>,
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
        self.events.iter().map(|event| {
            let (name, annotations) = match event.what {
                Happened::Payload(payload) => (payload.name.as_deref().unwrap_or(event.name()), shown(payload)),
                Happened::Event(_) | Happened::OpenCall => {
                    (event.name(), event.attributes().iter().map(|of| annotation(of)).collect())
                }
            };
            (event.at_ns.clamp(self.at.start, self.at.end), name, annotations)
        })
    }
}

/// Returns the slice of the span at a position of the flat trace.
pub(super) fn slice<'a>(flat: &FlatTrace<'a>, idx: usize, flows: &Flows<'_>) -> Slice<'a> {
    let span = &flat.spans[idx];
    let mut annotations: Vec<_> = span.part.notes().attributes.iter().map(annotation).collect();
    if !span.is_visit() {
        annotations.push(text("backsight.span", &span.id.to_string()));
    }
    if span.status() != StatusCode::Unset {
        annotations.push(text("status", span.status().name()));
    }
    if !span.status_text().is_empty() {
        annotations.push(text("status.text", span.status_text()));
    }
    let flag = |name| named(name, debug_annotation::Value::BoolValue(true));
    annotations.extend(span.ending.key().map(flag));
    Slice {
        at: Interval { start: span.start_ns, end: span.end_ns },
        name: span.operation(),
        category: if span.is_visit() { VISIT } else { span.kind().name() },
        annotations,
        flow: flows.of(idx),
        events: span.events(),
    }
}

/// The calls from one process to another.
pub(super) struct Flows<'a> {
    spans: &'a [FlatSpan<'a>],
    by_id: BTreeMap<SpanId, usize>,
    /// Calls by the id of what made them.
    from: BTreeMap<SpanId, Vec<u64>>,
}

impl<'a> Flows<'a> {
    pub(super) fn new(flat: &'a FlatTrace<'a>) -> Self {
        let mut flows = Self { spans: &flat.spans, by_id: flat.by_id(), from: BTreeMap::new() };
        for span in &flat.spans {
            if let Some(flow) = flows.to(span) {
                flows.from.entry(span.parent).or_default().push(flow);
            }
        }
        flows
    }

    fn of(&self, idx: usize) -> Flow {
        let span = &self.spans[idx];
        let is_meant = self.by_id.get(&span.id) == Some(&idx);
        let from = self.from.get(&span.id).filter(|_| is_meant).cloned().unwrap_or_default();
        Flow { from, to: self.to(span) }
    }

    /// Returns the call that led to a span, where it came from another process.
    fn to(&self, span: &FlatSpan<'_>) -> Option<u64> {
        let process_idx = span.part.process_idx();
        let caller = self.by_id.get(&span.parent).map(|idx| &self.spans[*idx])?;
        (!span.parent.is_none() && caller.part.process_idx() != process_idx)
            .then(|| SpanId::of_place(&format!("flow {} {process_idx} {}", span.parent, span.id)).0)
    }
}

fn shown(payload: &Payload) -> Vec<DebugAnnotation> {
    let bytes = payload.bytes.get(..PAYLOAD_SHOWN_BYTES).unwrap_or(&payload.bytes);
    let bytes = str::from_utf8(bytes).map_or_else(|_| hex(bytes), str::to_owned);
    let len = debug_annotation::Value::IntValue(payload.bytes.len() as i64);
    vec![text("payload", &bytes), named("bytes", len)]
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
