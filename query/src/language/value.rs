//! Values of the search language: how words and texts are read as what a field holds.
//!
//! Called by the parser, by evaluation for texts that stand for numbers, and by whoever translates another language into this one.

use super::field::Type;
use crate::time;
use backsight_core::ids::TraceId;
use backsight_core::units::{NanoJoules, Nanos, scaled};
use std::sync::Arc;

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Text.
    Text(Arc<str>),
    /// A whole number of an attribute.
    Integer(i64),
    /// Any other number; finite.
    Real(f64),
    /// True or false.
    Flag(bool),
    /// How long.
    Duration(Nanos),
    /// How much.
    Energy(NanoJoules),
    /// Nanoseconds since 1970.
    Instant(u64),
    /// How many.
    Count(u64),
    /// The id of a trace.
    Trace(TraceId),
}

impl Value {
    /// Returns what a word stands for where anything may stand: a number as JSON writes it, `true`, `false`, else a text.
    ///
    /// A whole number that does not fit 64 bits is a text, as is one with leading zeros: such are names.
    pub fn of_word(word: &str) -> Self {
        match word {
            "true" => return Self::Flag(true),
            "false" => return Self::Flag(false),
            _ => {}
        }
        let number = match number_form(word) {
            NumberForm::Whole => word.parse().ok().map(Self::Integer),
            NumberForm::Real => word.parse().ok().filter(|real: &f64| real.is_finite()).map(Self::Real),
            NumberForm::None => None,
        };
        number.unwrap_or_else(|| Self::Text(word.into()))
    }

    /// Returns what a word stands for as the value of a field of type `of`; `None` where it cannot be one.
    pub(super) fn read_word(word: &str, of: Type, now_ns: u64) -> Option<Self> {
        match of {
            Type::Any => Some(Self::of_word(word)),
            Type::Flag => word.parse().ok().map(Self::Flag),
            Type::Duration => scaled::parse(word, scaled::TIME).map(|ns| Self::Duration(Nanos(ns))),
            Type::Energy => scaled::parse(word, scaled::ENERGY).map(|nj| Self::Energy(NanoJoules(nj))),
            Type::Count => word.parse().ok().map(Self::Count),
            Type::Real => word.parse().ok().filter(|real: &f64| real.is_finite()).map(Self::Real),
            Type::Text | Type::Choice(_) | Type::Instant | Type::Trace => Self::read_text(word, of, now_ns),
        }
    }

    /// Returns what a text in quotes stands for; numbers and quantities have none.
    pub(super) fn read_text(text: &str, of: Type, now_ns: u64) -> Option<Self> {
        match of {
            Type::Text | Type::Any => Some(Self::Text(text.into())),
            Type::Choice(choices) => choices.contains(&text).then(|| Self::Text(text.into())),
            Type::Instant => time::parse(text, now_ns).ok().map(Self::Instant),
            Type::Trace => text.parse().ok().map(Self::Trace),
            Type::Flag | Type::Duration | Type::Energy | Type::Count | Type::Real => None,
        }
    }
}

/// Returns what an error says may stand as the value of a field of type `of`.
pub(super) fn expected(of: Type) -> String {
    let fixed = match of {
        Type::Text => "a word, or a text in double quotes",
        Type::Choice(choices) => return format!("one of {}", choices.join(", ")),
        Type::Flag => "true or false",
        Type::Duration => "a duration with a unit, as 200ms (units: ns, us, ms, s, m, h)",
        Type::Energy => "an energy with a unit, as 5mJ (units: nJ, uJ, mJ, J, kJ)",
        Type::Instant => time::EXPECTED,
        Type::Count => "a whole number",
        Type::Real => "a number",
        Type::Trace => "the id of a trace: 1 to 32 hex digits",
        Type::Any => "a word, a number, or a text in double quotes",
    };
    fixed.to_owned()
}

enum NumberForm {
    Whole,
    Real,
    None,
}

/// Returns whether `word` is a number as JSON writes it.
fn number_form(word: &str) -> NumberForm {
    let digits = |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = word.strip_prefix('-').unwrap_or(word);
    let n_whole = digits(rest);
    if n_whole == 0 || (n_whole > 1 && rest.starts_with('0')) {
        return NumberForm::None;
    }
    let mut rest = &rest[n_whole..];
    if rest.is_empty() {
        return NumberForm::Whole;
    }
    if let Some(part) = rest.strip_prefix('.') {
        let n_part = digits(part);
        if n_part == 0 {
            return NumberForm::None;
        }
        rest = &part[n_part..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let n_exponent = digits(exponent);
        if n_exponent == 0 {
            return NumberForm::None;
        }
        rest = &exponent[n_exponent..];
    }
    if rest.is_empty() { NumberForm::Real } else { NumberForm::None }
}
