//! From the parameters of Jaeger's search to our own search.
//!
//! Called by the endpoints of both generations, so that there is one way to plan and to evaluate.

use super::BadRequest;
use crate::language::{Group, Query, SpanField, SpanTerm, TERMS_MAX, Term, Test, Value};
use backsight_core::expr::{Equality, Order};
use backsight_core::units::Nanos;
use std::collections::BTreeMap;

/// Which spans Jaeger's parameters ask for; all must hold on one span.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Of this service; empty for any.
    pub service: String,
    /// Of this name; empty for any.
    pub operation: String,
    /// With these attributes, its own or of its resource.
    pub tags: BTreeMap<String, String>,
    /// Of at least this length.
    pub min_ns: Option<i64>,
    /// Of at most this length.
    pub max_ns: Option<i64>,
}

/// Returns the search that says what `wanted` says.
///
/// Tags that Jaeger makes of what is no attribute, as `error` and `span.kind`, are the fields that they come from. All others are compared as
/// words are: `500` is the number, and the text that reads so.
///
/// # Errors
/// More tags than a search may have terms.
pub fn search_of(wanted: &Wanted) -> Result<Query, BadRequest> {
    let mut terms = Vec::new();
    let text = |text: &str| Value::Text(text.into());
    if !wanted.service.is_empty() {
        terms.push(is(SpanField::Service, text(&wanted.service)));
    }
    if !wanted.operation.is_empty() {
        terms.push(is(SpanField::Operation, text(&wanted.operation)));
    }
    terms.extend(wanted.tags.iter().map(|(key, value)| tag(key, value)));
    let bounds = [(Order::AtLeast, wanted.min_ns), (Order::AtMost, wanted.max_ns)];
    for (order, bound_ns) in bounds.into_iter().filter_map(|(order, bound)| Some((order, bound?))) {
        let bound = Value::Duration(Nanos(u64::try_from(bound_ns).unwrap_or(0))); // nothing takes less than no time
        terms.push(SpanTerm::Field(Term { field: SpanField::Duration, test: Test::Ordered(order, bound) }));
    }
    if terms.len() > TERMS_MAX {
        return Err(BadRequest(format!("a search has at most {TERMS_MAX} terms, this one has {}", terms.len())));
    }
    let groups = if terms.is_empty() { Vec::new() } else { vec![Group { terms }] };
    Ok(Query { of_trace: Vec::new(), groups })
}

fn is(field: SpanField, value: Value) -> SpanTerm {
    SpanTerm::Field(Term { field, test: Test::Equal(Equality::Is, value) })
}

fn tag(key: &str, value: &str) -> SpanTerm {
    const KINDS: [&str; 5] = ["internal", "server", "client", "producer", "consumer"];
    match (key, value) {
        ("error", "true" | "false") => is(SpanField::Error, Value::Flag(value == "true")),
        ("span.kind", kind) if KINDS.contains(&kind) => is(SpanField::Kind, Value::Text(kind.into())),
        ("otel.status_code", "OK") => is(SpanField::Status, Value::Text("ok".into())),
        ("otel.status_code", "ERROR") => is(SpanField::Status, Value::Text("error".into())),
        _ => is(SpanField::Tag(key.into()), Value::of_word(value)),
    }
}
