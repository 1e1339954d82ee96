//! Trigger expressions: a small language that says of which spans a trigger should fire.
//!
//! Written by people in the agent's configuration and on the command line, evaluated by the agent for each finished span of its host. The
//! language is described in `docs/spec/trigger-expressions.md`. Everything here is bounded by the length of the text: parsing recurses at
//! most [`DEPTH_MAX`] deep, and there are no patterns whose cost depends on what they meet.

mod eval;
mod lex;
mod matcher;
mod parse;
mod print;
mod quantiles;

pub use eval::{SpanView, Wanted};
pub use matcher::{Matcher, Verdict};
pub use parse::{ParseError, parse};
pub use quantiles::{QUANTILE_NAMES_MAX, Quantiles};

use crate::record::{SpanKind, StatusCode};
use crate::units::Nanos;
use std::sync::Arc;

/// The longest text of an expression.
pub const EXPR_MAX_BYTES: usize = 4096;
/// The longest string within one: as much as of a span's texts is looked at.
pub const TEXT_MAX_BYTES: usize = 256;
/// Parentheses and negations within each other.
pub const DEPTH_MAX: usize = 32;
/// Comparisons of one expression.
pub const TESTS_MAX: usize = 64;
/// The largest number of a rate.
pub const RATE_MAX: u32 = 10_000;

/// An expression: which spans match, and how many there must be.
#[derive(Clone, PartialEq, Debug)]
pub struct Expr {
    /// What one span must be.
    pub condition: Condition,
    /// How often such spans must come for a match to count; `None` where each counts.
    pub rate: Option<Rate>,
}

/// What one span must be.
#[derive(Clone, PartialEq, Debug)]
pub enum Condition {
    /// The condition does not hold.
    Not(Box<Self>),
    /// All hold; at least two.
    And(Vec<Self>),
    /// At least one holds; at least two are there.
    Or(Vec<Self>),
    /// One comparison.
    Test(Test),
}

/// One comparison.
#[derive(Clone, PartialEq, Debug)]
pub enum Test {
    /// A text of the span.
    Text {
        /// Which.
        field: TextField,
        /// How.
        op: TextOp,
        /// With what.
        text: Arc<str>,
    },
    /// The span's kind.
    Kind(Equality, SpanKind),
    /// The span's status.
    Status(Equality, StatusCode),
    /// How long the span took.
    Duration(Order, Nanos),
    /// How long it took, by a percentile of the spans of its service and name so far: above it, or at least it.
    Percentile(Order, Percentile),
    /// An attribute of the span or of one of its events.
    Attribute {
        /// Whose.
        of: AttributeOf,
        /// Its name.
        key: Arc<str>,
        /// What it must be.
        test: AttributeTest,
    },
}

/// A text that every span has, if only an empty one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextField {
    /// The span's name.
    Name,
    /// Its service.
    Service,
    /// What was said beside its status.
    StatusMessage,
    /// The name of any of its events.
    Event,
}

/// How texts are compared, byte by byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TextOp {
    /// The same.
    Is,
    /// Not the same.
    IsNot,
    /// Somewhere within.
    Contains,
    /// At the start.
    StartsWith,
    /// At the end.
    EndsWith,
}

/// Whether two things are to be the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Equality {
    /// They are.
    Is,
    /// They are not.
    IsNot,
}

/// How quantities are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Less.
    Below,
    /// Less, or the same.
    AtMost,
    /// More, or the same.
    AtLeast,
    /// More.
    Above,
}

impl Order {
    /// Returns whether what compares as `ordering` is in this order.
    pub const fn is(self, ordering: std::cmp::Ordering) -> bool {
        match self {
            Self::Below => ordering.is_lt(),
            Self::AtMost => ordering.is_le(),
            Self::AtLeast => ordering.is_ge(),
            Self::Above => ordering.is_gt(),
        }
    }
}

/// Whose attribute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AttributeOf {
    /// The span's.
    Span,
    /// That of any of its events.
    Event,
}

/// What an attribute must be.
#[derive(Clone, PartialEq, Debug)]
pub enum AttributeTest {
    /// Set, to whatever.
    IsSet,
    /// A text.
    Text(TextOp, Arc<str>),
    /// True or false.
    Flag(Equality, bool),
    /// The same number, or another.
    Number(Equality, Number),
    /// A number in an order.
    Ordered(Order, Number),
}

/// A number of an expression.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    /// Without a point or an exponent.
    Whole(i64),
    /// Any other; finite.
    Real(f64),
}

/// A percentile.
///
/// # Shape
/// In thousandths of a percent: `p99.9` is 99 900. From [`Percentile::MIN`] to [`Percentile::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Percentile(u32);

impl Percentile {
    /// p50: below it there is no tail to speak of.
    pub const MIN: Self = Self(50_000);
    /// p99.999: one in a hundred thousand.
    pub const MAX: Self = Self(99_999);

    /// Returns the percentile of `thousandths` of a percent, `None` where it is out of range.
    pub const fn new(thousandths: u32) -> Option<Self> {
        if thousandths < Self::MIN.0 || thousandths > Self::MAX.0 { None } else { Some(Self(thousandths)) }
    }

    /// Returns the share of values above it.
    pub fn tail_share(self) -> f64 {
        f64::from(100_000 - self.0) / 100_000.0
    }

    /// Returns it in thousandths of a percent.
    pub const fn thousandths(self) -> u32 {
        self.0
    }
}

/// How often matching spans must come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Whether as many as `n` are enough, or more are needed.
    pub is_inclusive: bool,
    /// Spans in one window, 1 to [`RATE_MAX`].
    pub n: u32,
    /// The window.
    pub per: Window,
}

/// The time over which spans are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// `/s`
    Second,
    /// `/m`
    Minute,
    /// `/h`
    Hour,
}

impl Window {
    /// Returns its length.
    pub const fn length(self) -> Nanos {
        match self {
            Self::Second => Nanos::from_ms(1_000),
            Self::Minute => Nanos::from_ms(60_000),
            Self::Hour => Nanos::from_ms(3_600_000),
        }
    }
}

impl Condition {
    /// Calls `take` for each comparison, in the order in which they are written.
    pub fn for_each_test<'c>(&'c self, take: &mut impl FnMut(&'c Test)) {
        match self {
            Self::Not(inner) => inner.for_each_test(take),
            Self::And(all) | Self::Or(all) => all.iter().for_each(|inner| inner.for_each_test(take)),
            Self::Test(test) => take(test),
        }
    }
}

#[cfg(test)]
mod tests;
