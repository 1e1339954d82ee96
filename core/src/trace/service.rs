//! Whose a span is: a process may host several services, and then its spans say so.
//!
//! Called by assembly, once the spans of a trace are there and sorted.

use super::{AttributeValue, Span, Trace};
use crate::ids::SpanId;
use crate::session::SERVICE_MAX_BYTES;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The attribute by which a span says its service, as OpenTelemetry calls it.
const SERVICE_NAME: &str = "service.name";

/// Has each span of another service than its process's say which: the one that it says itself, else that of the span around it in its
/// process. A span that starts before the one around it, as no honest clock of one process has it, is its process's.
pub(super) fn assign(trace: &mut Trace) {
    let mut known: BTreeMap<(usize, SpanId), Arc<str>> = BTreeMap::new();
    for span in &mut trace.spans {
        let around = || known.get(&(span.process_idx, span.parent)).cloned();
        let Some(service) = said(span).or_else(around) else { continue };
        known.insert((span.process_idx, span.id), service.clone());
        let of_process = trace.processes.get(span.process_idx);
        if of_process.is_none_or(|process| process.service != service) {
            span.service = service;
        }
    }
}

/// Returns the service that a span says itself: as much of it as a process may say, since each span around which this one stands repeats it.
fn said(span: &Span) -> Option<Arc<str>> {
    let said = span.notes.attributes.iter().find(|attribute| &*attribute.key == SERVICE_NAME)?;
    match &said.value {
        AttributeValue::Str(service) if service.len() > SERVICE_MAX_BYTES => {
            Some(service[..service.floor_char_boundary(SERVICE_MAX_BYTES)].into())
        }
        AttributeValue::Str(service) if !service.is_empty() => Some(service.clone()),
        _ => None,
    }
}

impl Trace {
    /// Returns the service that `span` is of; empty where nobody said it.
    pub fn service_of(&self, span: &Span) -> Arc<str> {
        match span.service.is_empty() {
            true => self.processes.get(span.process_idx).map(|process| process.service.clone()).unwrap_or_default(),
            false => span.service.clone(),
        }
    }
}
