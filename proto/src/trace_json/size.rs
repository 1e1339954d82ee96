//! How large the JSON of a trace is, told before it is made: a trace has each text once, its JSON wherever it stands.

use backsight_core::trace::{Attribute, AttributeValue, Notes, Trace};

/// What an event, an attribute, a span takes beside its texts.
const PART_BYTES: usize = 100;

/// Returns the bytes of a trace's JSON, roughly.
pub fn json_bytes(trace: &Trace) -> u64 {
    let spans = trace.spans.iter().map(|span| {
        let texts = span.name.len() + trace.service_of(span).len() + span.status_text.len();
        5 * PART_BYTES + texts + span.links.len() * PART_BYTES + notes(&span.notes)
    });
    let visits = trace.visits.iter().map(|visit| (3 + visit.calls.len()) * PART_BYTES + notes(&visit.notes));
    let rest = trace.crumbs.len() + trace.open_edges.len() + trace.fired.len() + trace.losses.len();
    (spans.chain(visits).fold(0, usize::saturating_add) + rest * PART_BYTES) as u64
}

fn notes(notes: &Notes) -> usize {
    let of_attributes = |all: &[Attribute]| all.iter().map(attribute).fold(0, usize::saturating_add);
    let events = notes
        .events
        .iter()
        .map(|event| PART_BYTES + event.name.len() + event.message.len() + of_attributes(&event.attributes));
    // Bytes that are no text stand in base64.
    let payloads = notes.payloads.iter().map(|payload| PART_BYTES + payload.bytes.len() / 3 * 4);
    of_attributes(&notes.attributes) + events.chain(payloads).fold(0, usize::saturating_add)
}

fn attribute(attribute: &Attribute) -> usize {
    PART_BYTES + attribute.key.len() + value(&attribute.value)
}

fn value(of: &AttributeValue) -> usize {
    match of {
        AttributeValue::Str(text) => text.len(),
        AttributeValue::Bytes(bytes) => bytes.len() / 3 * 4,
        AttributeValue::Array(values) => values.iter().map(|of| PART_BYTES + value(of)).fold(0, usize::saturating_add),
        AttributeValue::Bool(_) | AttributeValue::I64(_) | AttributeValue::F64(_) => 0,
    }
}
