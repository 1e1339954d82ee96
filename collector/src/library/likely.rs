//! Whether a trace may be what a search asks for, and what is in it, as far as its line tells: who knows that it is not need not read it from disk.
//!
//! Called by the archive. A line that says no must be right; one that says yes need not. Pure.

use super::line::{Line, NAME_MAX_BYTES, SERVICES_MAX};
use backsight_core::expr::{Equality, Order};
use backsight_core::record::SpanKind;
use backsight_query::language::{Group, Query, SpanField, SpanTerm, Term, Test, Value};

/// What spans of a process that said no service are of, where they are shown.
const NO_SERVICE: &str = "unknown_service";
/// What a visit without a span is called there.
const VISIT: &str = "visit";

impl Line {
    /// Returns whether the trace may be what `query` asks for.
    ///
    /// # Cost
    /// Comparisons of names: of each group with each service and operation of the trace.
    pub(crate) fn may_match(&self, query: &Query) -> bool {
        query.groups.iter().all(|group| self.may_have(group))
    }

    fn may_have(&self, group: &Group) -> bool {
        let terms = || group.terms.iter().filter_map(field);
        let names = |field: &SpanField| {
            let named = terms().find(|term| term.field == *field);
            named.and_then(|term| text_of(&term.test)).filter(|name| name.len() < NAME_MAX_BYTES)
        };
        let (service, operation) = (names(&SpanField::Service), names(&SpanField::Operation));
        self.may_be_named(service, operation) && terms().all(|term| self.may_hold(term))
    }

    /// Returns whether a span may be of this service and this name.
    fn may_be_named(&self, service: Option<&str>, operation: Option<&str>) -> bool {
        let has_service = |service: &str| {
            let services = &self.summary.services;
            service == NO_SERVICE || services.len() >= SERVICES_MAX || services.iter().any(|known| known == service)
        };
        if !service.is_none_or(has_service) {
            return false;
        }
        // Visits are of processes; only those without spans are among the facts.
        let Some(operation) = operation.filter(|operation| *operation != VISIT && !self.is_cut) else { return true };
        let service = service.map(|service| if service == NO_SERVICE { "" } else { service });
        let is_it = |of: &str| service.is_none_or(|service| *service == *of || service.is_empty() && of == NO_SERVICE);
        self.facts.iter().any(|fact| *fact.operation == *operation && is_it(&fact.service))
    }

    fn may_hold(&self, term: &Term<SpanField>) -> bool {
        match (&term.field, &term.test) {
            (SpanField::Error, Test::Equal(Equality::Is, Value::Flag(true))) => self.summary.n_errors > 0,
            (SpanField::Status, test) if text_of(test) == Some("error") => self.summary.n_errors > 0,
            (SpanField::Duration, Test::Ordered(Order::Above, Value::Duration(least))) => {
                self.is_open || self.summary.duration_ns > least.0
            }
            (SpanField::Duration, Test::Ordered(Order::AtLeast, Value::Duration(least))) => {
                self.is_open || self.summary.duration_ns >= least.0
            }
            _ => true,
        }
    }

    /// Returns the services of its spans, as they are shown.
    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        let nameless = self.facts.iter().any(|fact| fact.service.is_empty()).then_some(NO_SERVICE);
        self.summary.services.iter().map(String::as_str).chain(nameless)
    }

    /// Returns the operations of `service` that it knows, and the kinds of their spans.
    pub(crate) fn operations<'a>(&'a self, service: &'a str) -> impl Iterator<Item = (&'a str, SpanKind)> {
        let service = if service == NO_SERVICE { "" } else { service };
        let facts = self.facts.iter().filter(move |fact| *fact.service == *service);
        facts.flat_map(|fact| {
            let name: &str = if fact.operation.is_empty() { VISIT } else { &fact.operation };
            let kinds = (0..8).filter(move |code| fact.kinds >> code & 1 == 1);
            kinds.map(move |code| (name, SpanKind::from_code(code)))
        })
    }
}

fn field(term: &SpanTerm) -> Option<&Term<SpanField>> {
    match term {
        SpanTerm::Field(term) => Some(term),
        SpanTerm::Word(_) => None,
    }
}

/// Returns the text that a field must be.
fn text_of(test: &Test) -> Option<&str> {
    match test {
        Test::Equal(Equality::Is, Value::Text(text)) => Some(text),
        _ => None,
    }
}
