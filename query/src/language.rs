//! The search language: which traces somebody looks for, as a text (`q`) and as a tree.
//!
//! Written by people in the page and on the command line, and made from the parameters of Jaeger's API; the plan of a search and the
//! evaluation of its rows read the tree. Everything here is pure and bounded by the length of the text.
//!
//! # Shape
//! A search is a conjunction of terms, set apart by blanks or `&&`: `service = checkout duration > 200ms error`. Fields and their
//! operators stand in [`Field::ALL`] and [`Type::operators`].
//! - A term is `field operator value`, `field in(value, ..)`, `field exists`, or a *word*: texts that a service, an operation or an event
//!   contains. Fields of type [`Type::Flag`] may stand alone: `error` is `error = true`.
//! - Terms of the trace begin with `trace.`. All others must hold **on one span**. In braces they must on one span each:
//!   `{service = a} && {service = b error}`.
//! - Values are words or stand in double quotes with the escapes of [`backsight_core::quoted`]. Durations and energies have a unit (`200ms`,
//!   `5mJ`), times are what [`crate::time`] reads.
//!
//! # What is not there
//! A field has no value, one, or several (events, links, triggers, elements of a list). A comparison holds where it does **for one of them**;
//! its negation, `!=` or `!~`, where there is a value and it holds **for none**. So nothing but the absence of `exists` says that a value
//! is missing: `attr.retry != 3` is not about spans that have no `attr.retry`.

mod complete;
mod eval;
mod field;
mod lex;
mod nearest;
mod parse;
mod pattern;
mod print;
mod value;

pub use complete::{Completion, Offer, complete};
pub(crate) use eval::holds;
pub use eval::{Operand, SpanView, TraceView, matches, span_matches};
pub use field::{Field, Operator, SpanField, TraceField, Type};
pub use parse::{ParseError, parse};
pub use pattern::{PATTERN_MAX_BYTES, Pattern};
pub use value::Value;

use backsight_core::expr::{Equality, Order};
use std::sync::Arc;

/// The longest text of a search.
pub const QUERY_MAX_BYTES: usize = 8192;
/// Terms of one search.
pub const TERMS_MAX: usize = 64;
/// Values of one `in(..)`.
pub const CHOICES_MAX: usize = 256;

/// Which traces are looked for.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Query {
    /// What the trace must be; all hold.
    pub of_trace: Vec<Term<TraceField>>,
    /// Spans that it must have; one span may do for several.
    pub groups: Vec<Group>,
}

impl Query {
    /// Returns how many terms it has.
    pub fn n_terms(&self) -> usize {
        self.of_trace.len() + self.groups.iter().map(|group| group.terms.len()).sum::<usize>()
    }
}

/// What one span must be.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// All hold; at least one is there.
    pub terms: Vec<SpanTerm>,
}

/// A term of a group.
#[derive(Clone, PartialEq, Debug)]
pub enum SpanTerm {
    /// A field and what it must be.
    Field(Term<SpanField>),
    /// The service, the operation, or the text of an event contains it.
    Word(Arc<str>),
}

/// A field and what it must be.
#[derive(Clone, PartialEq, Debug)]
pub struct Term<F> {
    /// The field.
    pub field: F,
    /// What it must be.
    pub test: Test,
}

/// What a field must be.
#[derive(Clone, PartialEq, Debug)]
pub enum Test {
    /// It has a value.
    Exists,
    /// A value is, or none is.
    Equal(Equality, Value),
    /// A value stands in this order to another.
    Ordered(Order, Value),
    /// A value is one of these; at least one is there.
    In(Vec<Value>),
    /// A value contains this text, capital letters and small ones apart.
    Contains(Arc<str>),
    /// A value matches the pattern, or none does.
    Matches(Equality, Pattern),
}

#[cfg(test)]
mod tests;
