//! Which parts a search passes over by what the manifest says of them.
//!
//! Called by `find` before a part is opened. What is said here is certain of every row of the part, so that it counts for loose traces, too.

use crate::language::{Group, SpanField, SpanTerm, Term, Test, Value};
use backsight_core::expr::{Equality, Order};
use backsight_store::manifest::entry::{PartEntry, flag};

/// Returns whether a span of the part may be what `group` asks for.
pub(super) fn may_hold(part: &PartEntry, group: &Group) -> bool {
    group.terms.iter().all(|term| match term {
        SpanTerm::Field(term) => may_hold_term(part, term),
        SpanTerm::Word(_) => true,
    })
}

fn may_hold_term(part: &PartEntry, term: &Term<SpanField>) -> bool {
    let is_text = |value: &Value, text: &str| matches!(value, Value::Text(of) if **of == *text);
    let has_service = |value: &Value| match value {
        Value::Text(service) => part.services.may_hold(service),
        _ => true,
    };
    let is_there = |of: u32| part.flags & of != 0;
    let max_duration_ns = i128::from(part.max_duration_ns.max(0));
    match (&term.field, &term.test) {
        (SpanField::Service, Test::Equal(Equality::Is, value)) => has_service(value),
        (SpanField::Service, Test::In(values)) => values.iter().any(has_service),
        (SpanField::Error, Test::Equal(Equality::Is, Value::Flag(true))) => is_there(flag::ERRORS),
        (SpanField::Status, Test::Equal(Equality::Is, value)) if is_text(value, "error") => is_there(flag::ERRORS),
        (SpanField::Energy, _) => is_there(flag::ENERGY),
        (SpanField::Duration, Test::Ordered(Order::Above, Value::Duration(nanos))) => max_duration_ns > nanos.0.into(),
        (
            SpanField::Duration,
            Test::Ordered(Order::AtLeast, Value::Duration(nanos)) | Test::Equal(Equality::Is, Value::Duration(nanos)),
        ) => max_duration_ns >= nanos.0.into(),
        _ => true,
    }
}
