//! How searches are written: as the parser reads them. Of all texts that say the same search this is the one that is kept and compared.

use super::lex::is_word;
use super::{Field, Group, Operator, Query, SpanField, SpanTerm, Term, Test, TraceField, Type, Value};
use crate::time::Rfc3339;
use backsight_core::expr::{Equality, Order};
use backsight_core::quoted::Quoted;
use backsight_core::units::scaled::{ENERGY, Exact, TIME};
use std::fmt;

impl fmt::Display for Query {
    /// Prints what the trace must be, then the groups; a single one without braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for term in &self.of_trace {
            write!(f, "{between}{term}")?;
            between = " ";
        }
        if let [group] = self.groups.as_slice() {
            return write!(f, "{between}{group}");
        }
        for group in &self.groups {
            write!(f, "{between}{{{group}}}")?;
            between = " && ";
        }
        Ok(())
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (idx, term) in self.terms.iter().enumerate() {
            let between = if idx == 0 { "" } else { " " };
            write!(f, "{between}{term}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SpanTerm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(term) => term.fmt(f),
            Self::Word(word) => Quoted(word).fmt(f), // without quotes it might be read as a field or an operator
        }
    }
}

impl fmt::Display for Term<SpanField> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_term(f, &Field::Span(self.field.clone()), &self.test)
    }
}

impl fmt::Display for Term<TraceField> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt_term(f, &Field::Trace(self.field), &self.test)
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.key() {
            Some(key) if is_word(key) => f.write_str(key),
            Some(key) => Quoted(key).fmt(f),
            None => Ok(()),
        }
    }
}

fn fmt_term(f: &mut fmt::Formatter<'_>, field: &Field, test: &Test) -> fmt::Result {
    let of = field.of_type();
    write!(f, "{field} {}", operator(test).text())?;
    match test {
        Test::Exists => Ok(()),
        Test::Equal(_, value) | Test::Ordered(_, value) => write!(f, " {}", Written { value, of }),
        Test::In(values) => {
            for (idx, value) in values.iter().enumerate() {
                let between = if idx == 0 { "(" } else { ", " };
                write!(f, "{between}{}", Written { value, of })?;
            }
            f.write_str(")")
        }
        Test::Contains(text) => write!(f, " {}", Quoted(text)),
        Test::Matches(_, pattern) => write!(f, " {}", Quoted(pattern.as_str())),
    }
}

const fn operator(test: &Test) -> Operator {
    match test {
        Test::Exists => Operator::Exists,
        Test::Equal(Equality::Is, _) => Operator::Is,
        Test::Equal(Equality::IsNot, _) => Operator::IsNot,
        Test::Ordered(Order::Below, _) => Operator::Below,
        Test::Ordered(Order::AtMost, _) => Operator::AtMost,
        Test::Ordered(Order::AtLeast, _) => Operator::AtLeast,
        Test::Ordered(Order::Above, _) => Operator::Above,
        Test::In(_) => Operator::In,
        Test::Contains(_) => Operator::Contains,
        Test::Matches(Equality::Is, _) => Operator::Matches,
        Test::Matches(Equality::IsNot, _) => Operator::MatchesNot,
    }
}

/// A value of a field.
struct Written<'a> {
    value: &'a Value,
    of: Type,
}

impl fmt::Display for Written<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            // As the value of an attribute a word might be read as a number.
            Value::Text(text) if self.of != Type::Any && is_word(text) => f.write_str(text),
            Value::Text(text) => Quoted(text).fmt(f),
            Value::Integer(number) => number.fmt(f),
            Value::Real(number) => write!(f, "{number:?}"), // with a point or an exponent, so that it is read as what it is
            Value::Flag(flag) => flag.fmt(f),
            Value::Duration(nanos) => Exact { value: nanos.0, units: TIME }.fmt(f),
            Value::Energy(energy) => Exact { value: energy.0, units: ENERGY }.fmt(f),
            Value::Instant(ns) => Rfc3339(*ns).fmt(f),
            Value::Count(count) => count.fmt(f),
            Value::Trace(trace) => trace.fmt(f),
        }
    }
}
