//! Whether a trace is what a search asks for.
//!
//! Called for the rows that the plan could not rule out, and for traces as they come where somebody watches them live.

use super::{Group, Query, SpanField, SpanTerm, Term, Test, TraceField, Value};
use backsight_core::expr::Equality;
use backsight_core::ids::TraceId;
use std::cmp::Ordering;

/// A value of a row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Operand<'a> {
    /// Text; also what stands for one of several choices.
    Text(&'a str),
    /// A whole number; durations, energies and times are such, in nanoseconds and nanojoules.
    Integer(i128),
    /// A floating-point number.
    Real(f64),
    /// True or false.
    Flag(bool),
    /// The id of a trace.
    Trace(TraceId),
    /// Something that no search can name, as bytes: it exists, and is not the same as anything.
    Opaque,
}

/// A span as searches see it.
pub trait SpanView {
    /// Calls `is_it` for each value of `field`, in any order, until it returns true; returns whether it did.
    ///
    /// It is never called for [`SpanField::Tag`]: that is an attribute, or one of the resource. A field without a value has none. An array has those of its elements, an empty one is [`Operand::Opaque`].
    fn any(&self, field: &SpanField, is_it: &mut dyn FnMut(Operand<'_>) -> bool) -> bool;
}

/// A trace as searches see it.
pub trait TraceView {
    /// Does for fields of the trace what [`SpanView::any`] does for those of spans.
    fn any(&self, field: TraceField, is_it: &mut dyn FnMut(Operand<'_>) -> bool) -> bool;

    /// Calls `is_it` for each span, in any order, until it returns true; returns whether it did.
    fn any_span(&self, is_it: &mut dyn FnMut(&dyn SpanView) -> bool) -> bool;
}

/// Returns whether `trace` is what `query` asks for.
///
/// # Cost
/// Each group looks at each span at most once, and at each value of each of its fields at most twice.
pub fn matches(query: &Query, trace: &impl TraceView) -> bool {
    let is_trace = query.of_trace.iter().all(|term| holds(&term.test, |is_it| trace.any(term.field, is_it)));
    is_trace && query.groups.iter().all(|group| trace.any_span(&mut |span| span_matches(group, span)))
}

/// Returns whether all terms of `group` hold on `span`: whether it is one of those that were looked for.
pub fn span_matches(group: &Group, span: &dyn SpanView) -> bool {
    group.terms.iter().all(|term| match term {
        SpanTerm::Field(Term { field: SpanField::Tag(key), test }) => {
            let (of_span, of_resource) = (SpanField::Attribute(key.clone()), SpanField::Resource(key.clone()));
            holds(test, |is_it| span.any(&of_span, is_it) || span.any(&of_resource, is_it))
        }
        SpanTerm::Field(term) => holds(&term.test, |is_it| span.any(&term.field, is_it)),
        SpanTerm::Word(word) => {
            let mut contains = |operand: Operand<'_>| matches!(operand, Operand::Text(text) if text.contains(&**word));
            [SpanField::Service, SpanField::Operation, SpanField::Event]
                .iter()
                .any(|field| span.any(field, &mut contains))
        }
    })
}

/// Returns whether `test` holds for a field, given what asks each of its values.
pub(crate) fn holds(test: &Test, any: impl Fn(&mut dyn FnMut(Operand<'_>) -> bool) -> bool) -> bool {
    let exists = || any(&mut |_| true);
    match test {
        Test::Exists => exists(),
        Test::Equal(Equality::Is, value) => any(&mut |operand| is_same(value, operand)),
        Test::Equal(Equality::IsNot, value) => exists() && !any(&mut |operand| is_same(value, operand)),
        Test::Ordered(order, value) => {
            any(&mut |operand| compare(operand, value).is_some_and(|ordering| order.is(ordering)))
        }
        Test::In(values) => any(&mut |operand| values.iter().any(|value| is_same(value, operand))),
        Test::Contains(text) => any(&mut |operand| with_text(operand, |of| of.contains(&**text))),
        Test::Matches(Equality::Is, pattern) => any(&mut |operand| with_text(operand, |of| pattern.is_match(of))),
        Test::Matches(Equality::IsNot, pattern) => {
            exists() && !any(&mut |operand| with_text(operand, |of| pattern.is_match(of)))
        }
    }
}

/// Returns whether a value of a row is the one that was written. A text that reads as a number or a flag is also that: attributes are
/// often recorded as text. A text that was written in quotes is only that text.
fn is_same(value: &Value, operand: Operand<'_>) -> bool {
    match (value, operand) {
        (Value::Text(text), Operand::Text(of)) => **text == *of,
        (Value::Flag(flag), Operand::Flag(of)) => *flag == of,
        (Value::Trace(trace), Operand::Trace(of)) => *trace == of,
        (Value::Flag(_) | Value::Integer(_) | Value::Real(_), Operand::Text(of)) => match Value::of_word(of) {
            Value::Flag(flag) => is_same(value, Operand::Flag(flag)),
            Value::Integer(number) => is_same(value, Operand::Integer(number.into())),
            Value::Real(number) => is_same(value, Operand::Real(number)),
            _ => false,
        },
        _ => compare(operand, value) == Some(Ordering::Equal),
    }
}

/// Compares a value of a row with a quantity; `None` where either is none, or is not a number.
fn compare(operand: Operand<'_>, value: &Value) -> Option<Ordering> {
    let whole = match value {
        Value::Integer(number) => i128::from(*number),
        Value::Duration(nanos) => nanos.0.into(),
        Value::Energy(energy) => energy.0.into(),
        Value::Instant(number) | Value::Count(number) => (*number).into(),
        Value::Real(number) => {
            return match operand {
                Operand::Integer(of) => compare_real(*number, of).map(Ordering::reverse),
                Operand::Real(of) => of.partial_cmp(number),
                _ => None,
            };
        }
        Value::Text(_) | Value::Flag(_) | Value::Trace(_) => return None,
    };
    match operand {
        Operand::Integer(of) => Some(of.cmp(&whole)),
        Operand::Real(of) => compare_real(of, whole),
        _ => None,
    }
}

/// Compares without rounding: two whole numbers over 2^53 may be the same as floating-point numbers.
fn compare_real(real: f64, whole: i128) -> Option<Ordering> {
    if real.is_nan() {
        return None;
    }
    let floor = real.floor();
    let is_between = floor >= -(2_f64.powi(126)) && floor <= 2_f64.powi(126);
    if !is_between {
        return real.partial_cmp(&0.0); // far beyond any whole number of 64 bits
    }
    let of_floor = (floor as i128).cmp(&whole);
    Some(if of_floor == Ordering::Equal && real > floor { Ordering::Greater } else { of_floor })
}

/// Returns what `is_it` says of a value as text; what has no text is not it.
fn with_text(operand: Operand<'_>, is_it: impl Fn(&str) -> bool) -> bool {
    match operand {
        Operand::Text(text) => is_it(text),
        Operand::Integer(number) => is_it(&number.to_string()),
        Operand::Real(number) => is_it(&number.to_string()),
        Operand::Flag(flag) => is_it(if flag { "true" } else { "false" }),
        Operand::Trace(trace) => is_it(&trace.to_string()),
        Operand::Opaque => false,
    }
}
