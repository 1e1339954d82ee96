//! Whether a span is what a condition asks for.
//!
//! Called by [`super::Matcher`]. A comparison with an attribute that is not set, or is of another type, does not hold; its opposite (`!=`)
//! does: `a != b` is `not a = b`, everywhere.

use super::{AttributeOf, AttributeTest, Condition, Equality, Number, Percentile, Test, TextField, TextOp};
use crate::record::{SpanKind, StatusCode};
use crate::trace::{Attribute, AttributeValue, Event};
use crate::units::Nanos;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A finished span as conditions see it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SpanView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its service.
    pub service: &'a str,
    /// Its kind.
    pub kind: SpanKind,
    /// How long it took.
    pub duration: Nanos,
    /// How it ended.
    pub status: StatusCode,
    /// What was said beside that.
    pub status_message: &'a str,
    /// Its attributes, each key once; those that no condition names may be missing.
    pub attributes: &'a [Attribute],
    /// Its events; where no condition asks for any they may be missing.
    pub events: &'a [Event],
}

impl Condition {
    /// Returns whether `span` is what the condition asks for. `quantile` gives the duration at a percentile, `None` while it is not known.
    ///
    /// # Cost
    /// Each comparison at most once, and it reads each text that it is about once.
    pub fn holds(&self, span: &SpanView<'_>, quantile: &impl Fn(Percentile) -> Option<Nanos>) -> bool {
        match self {
            Self::Not(inner) => !inner.holds(span, quantile),
            Self::And(all) => all.iter().all(|inner| inner.holds(span, quantile)),
            Self::Or(all) => all.iter().any(|inner| inner.holds(span, quantile)),
            Self::Test(test) => test.holds(span, quantile),
        }
    }
}

impl Test {
    fn holds(&self, span: &SpanView<'_>, quantile: &impl Fn(Percentile) -> Option<Nanos>) -> bool {
        match self {
            Self::Text { field, op, text } => op.holds(text, |is_it| match field {
                TextField::Name => is_it(span.name),
                TextField::Service => is_it(span.service),
                TextField::StatusMessage => is_it(span.status_message),
                TextField::Event => span.events.iter().any(|event| is_it(&event.name)),
            }),
            Self::Kind(equality, kind) => equality.holds(span.kind == *kind),
            Self::Status(equality, status) => equality.holds(span.status == *status),
            Self::Duration(order, bound) => order.is(span.duration.cmp(bound)),
            Self::Percentile(order, percentile) => {
                quantile(*percentile).is_some_and(|bound| order.is(span.duration.cmp(&bound)))
            }
            Self::Attribute { of: AttributeOf::Span, key, test } => test.holds(span.attributes, key),
            Self::Attribute { of: AttributeOf::Event, key, test } => {
                let any = |test: &AttributeTest| span.events.iter().any(|event| test.holds(&event.attributes, key));
                match test.opposite() {
                    Some(opposite) => !any(&opposite),
                    None => any(test),
                }
            }
        }
    }
}

impl AttributeTest {
    fn holds(&self, attributes: &[Attribute], key: &str) -> bool {
        let found = attributes.iter().find(|attribute| &*attribute.key == key).map(|attribute| &attribute.value);
        match self {
            Self::IsSet => found.is_some(),
            Self::Text(op, text) => op.holds(text, |is_it| match found {
                Some(AttributeValue::Str(value)) => is_it(value),
                _ => false,
            }),
            Self::Flag(equality, flag) => equality.holds(matches!(found, Some(AttributeValue::Bool(is)) if is == flag)),
            Self::Number(equality, number) => {
                equality.holds(found.and_then(|value| compare(value, *number)) == Some(Ordering::Equal))
            }
            Self::Ordered(order, number) => {
                found.and_then(|value| compare(value, *number)).is_some_and(|ordering| order.is(ordering))
            }
        }
    }

    /// Returns of what this is the negation, if it is one.
    fn opposite(&self) -> Option<Self> {
        match self {
            Self::Text(TextOp::IsNot, text) => Some(Self::Text(TextOp::Is, text.clone())),
            Self::Flag(Equality::IsNot, flag) => Some(Self::Flag(Equality::Is, *flag)),
            Self::Number(Equality::IsNot, number) => Some(Self::Number(Equality::Is, *number)),
            _ => None,
        }
    }
}

impl TextOp {
    /// Returns whether it holds for `any` of the texts that are looked at, given what to look for in one.
    fn holds(self, text: &str, any: impl Fn(&dyn Fn(&str) -> bool) -> bool) -> bool {
        match self {
            Self::Is => any(&|value| value == text),
            Self::IsNot => !any(&|value| value == text),
            Self::Contains => any(&|value| value.contains(text)),
            Self::StartsWith => any(&|value| value.starts_with(text)),
            Self::EndsWith => any(&|value| value.ends_with(text)),
        }
    }
}

impl Equality {
    fn holds(self, is_same: bool) -> bool {
        is_same == (self == Self::Is)
    }
}

/// Compares a value with a number; `None` for what is no number.
fn compare(value: &AttributeValue, number: Number) -> Option<Ordering> {
    match (value, number) {
        (AttributeValue::I64(value), Number::Whole(number)) => Some(value.cmp(&number)),
        (AttributeValue::I64(value), Number::Real(number)) => (*value as f64).partial_cmp(&number),
        (AttributeValue::F64(value), Number::Whole(number)) => value.partial_cmp(&(number as f64)),
        (AttributeValue::F64(value), Number::Real(number)) => value.partial_cmp(&number),
        _ => None,
    }
}

/// What conditions look at beside what every span has: the rest need not be remembered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Keys of attributes of spans.
    pub attributes: BTreeSet<Arc<str>>,
    /// Keys of attributes of events.
    pub event_attributes: BTreeSet<Arc<str>>,
    /// Whether any event is asked for.
    pub has_events: bool,
}

impl Wanted {
    /// Adds what `condition` looks at.
    pub fn add(&mut self, condition: &Condition) {
        condition.for_each_test(&mut |test| match test {
            Test::Text { field: TextField::Event, .. } => self.has_events = true,
            Test::Attribute { of: AttributeOf::Span, key, .. } => {
                self.attributes.insert(key.clone());
            }
            Test::Attribute { of: AttributeOf::Event, key, .. } => {
                self.has_events = true;
                self.event_attributes.insert(key.clone());
            }
            _ => {}
        });
    }
}
