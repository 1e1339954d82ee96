//! How expressions are written: as the parser reads them, with no more parentheses than that takes.

use super::{
    AttributeOf, AttributeTest, Condition, Equality, Expr, Number, Order, Percentile, Rate, Test, TextField, TextOp,
    Window,
};
use crate::quoted::Quoted;
use crate::units::scaled::{Exact, TIME};
use std::fmt;

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)?;
        self.rate.as_ref().map_or(Ok(()), |rate| write!(f, " {rate}"))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Test(test) => test.fmt(f),
            Self::Not(inner) => {
                f.write_str("not ")?;
                inner.fmt_within(f, matches!(**inner, Self::And(_) | Self::Or(_)))
            }
            Self::And(all) => fmt_all(f, all, " and ", |inner| matches!(inner, Self::And(_) | Self::Or(_))),
            Self::Or(all) => fmt_all(f, all, " or ", |inner| matches!(inner, Self::Or(_))),
        }
    }
}

impl Condition {
    fn fmt_within(&self, f: &mut fmt::Formatter<'_>, needs_parentheses: bool) -> fmt::Result {
        if needs_parentheses { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

fn fmt_all(
    f: &mut fmt::Formatter<'_>,
    all: &[Condition],
    between: &str,
    needs_parentheses: impl Fn(&Condition) -> bool,
) -> fmt::Result {
    for (idx, inner) in all.iter().enumerate() {
        if idx > 0 {
            f.write_str(between)?;
        }
        inner.fmt_within(f, needs_parentheses(inner))?;
    }
    Ok(())
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { field, op, text } => write!(f, "{field} {op} {}", Quoted(text)),
            Self::Kind(equality, kind) => write!(f, "kind {equality} {}", kind.name()),
            Self::Status(equality, status) => write!(f, "status {equality} {}", status.name()),
            Self::Duration(order, bound) => write!(f, "duration {order} {}", Exact { value: bound.0, units: TIME }),
            Self::Percentile(order, percentile) => write!(f, "duration {order} {percentile}"),
            Self::Attribute { of, key, test } => write!(f, "{of}({}){test}", Quoted(key)),
        }
    }
}

impl fmt::Display for AttributeTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IsSet => Ok(()),
            Self::Text(op, text) => write!(f, " {op} {}", Quoted(text)),
            Self::Flag(equality, flag) => write!(f, " {equality} {flag}"),
            Self::Number(equality, number) => write!(f, " {equality} {number}"),
            Self::Ordered(order, number) => write!(f, " {order} {number}"),
        }
    }
}

impl fmt::Display for TextField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => "name",
            Self::Service => "service",
            Self::StatusMessage => "status_message",
            Self::Event => "event",
        })
    }
}

impl fmt::Display for TextOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Is => "=",
            Self::IsNot => "!=",
            Self::Contains => "contains",
            Self::StartsWith => "starts_with",
            Self::EndsWith => "ends_with",
        })
    }
}

impl fmt::Display for Equality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Is { "=" } else { "!=" })
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
            Self::Above => ">",
        })
    }
}

impl fmt::Display for AttributeOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Span { "attr" } else { "event_attr" })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(whole) => whole.fmt(f),
            Self::Real(real) => write!(f, "{real:?}"), // with a point or an exponent, so that it is read as what it is
        }
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 1000, self.0 % 1000);
        if part == 0 {
            return write!(f, "p{whole}");
        }
        write!(f, "p{whole}.{}", format!("{part:03}").trim_end_matches('0'))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.is_inclusive { Order::AtLeast } else { Order::Above };
        let unit = match self.per {
            Window::Second => "s",
            Window::Minute => "m",
            Window::Hour => "h",
        };
        write!(f, "rate {order} {}/{unit}", self.n)
    }
}
