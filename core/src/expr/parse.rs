//! From text to an expression: recursive descent over the tokens.
//!
//! Called by the agent for its configuration and its admin API, and by the command line. Any text gives an expression or an error that says
//! where it stands, what was found there and what would do.

use super::lex::{Placed, Token, tokens};
use super::{
    AttributeOf, AttributeTest, Condition, DEPTH_MAX, EXPR_MAX_BYTES, Equality, Expr, Number, Order, Percentile,
    RATE_MAX, Rate, TESTS_MAX, TEXT_MAX_BYTES, Test, TextField, TextOp, Window,
};
use crate::record::{SpanKind, StatusCode};
use crate::units::{Nanos, scaled};
use std::sync::Arc;

/// A text that is no expression.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Something else should stand there.
    #[error("column {column}: found {found}, expected {expected}")]
    Unexpected {
        /// The character, counted from 1.
        column: usize,
        /// What stands there.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// It is larger than an expression may be.
    #[error("column {column}: an expression has at most {max} {what}")]
    TooMuch {
        /// The character with which it becomes too large, counted from 1.
        column: usize,
        /// How much there may be.
        max: usize,
        /// Of what.
        what: &'static str,
    },
}

const FIELD: &str = "a field (name, service, kind, duration, status, status_message, event, attr(\"key\"), \
    event_attr(\"key\")), `not` or a parenthesis";
const TEXT_OPERATOR: &str = "=, !=, contains, starts_with or ends_with";
const EQUALITY: &str = "= or !=";
const ORDER: &str = "<, <=, > or >=";
const TEXT: &str = "a text in double quotes";
const DURATION: &str = "a duration, as 250ms (units: ns, us, ms, s, m, h), or a percentile, as p99";
const UNIT: &str = "a duration with a unit (ns, us, ms, s, m or h) of at most 584 years";
const PERCENTILE: &str = "a percentile from p50 to p99.999";
const PERCENTILE_ORDER: &str = "> or >= before a percentile";
const VALUE: &str = "a text in double quotes, a number, true or false";
const NUMBER: &str = "a number, as 500, -1.5 or 1e3";
const KIND: &str = "a kind of span (server, client, producer, consumer or internal)";
const STATUS: &str = "a status (error, ok or unset)";
const AFTER: &str = "`and`, `or`, `rate` or the end";
const AFTER_RATE: &str = "the end";
const RATE: &str = "a whole number from 1 to 10000, a slash and a unit, as 5/s (units: s, m, h)";

/// Reads an expression.
///
/// # Errors
/// Text that is none, or that is larger than an expression may be; says at which character.
/// # Cost
/// Linear in the text, which has at most [`EXPR_MAX_BYTES`].
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    if text.len() > EXPR_MAX_BYTES {
        let column = text.char_indices().take_while(|(at, _)| *at < EXPR_MAX_BYTES).count() + 1;
        return Err(ParseError::TooMuch { column, max: EXPR_MAX_BYTES, what: "bytes" });
    }
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens, at: 0, depth: 0, n_tests: 0 };
    let condition = parser.either()?;
    let rate = if parser.accept_word("rate") { Some(parser.rate()?) } else { None };
    match parser.peek() {
        Token::End => Ok(Expr { condition, rate }),
        _ => Err(parser.unexpected(if rate.is_some() { AFTER_RATE } else { AFTER })),
    }
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    depth: usize,
    n_tests: usize,
}

impl Parser {
    /// `both { or both }`
    fn either(&mut self) -> Result<Condition, ParseError> {
        let mut all = vec![self.both()?];
        while self.accept_word("or") || self.accept_sign("||") {
            all.push(self.both()?);
        }
        Ok(if all.len() > 1 { Condition::Or(all) } else { all.remove(0) })
    }

    /// `one { and one }`
    fn both(&mut self) -> Result<Condition, ParseError> {
        let mut all = vec![self.one()?];
        while self.accept_word("and") || self.accept_sign("&&") {
            all.push(self.one()?);
        }
        Ok(if all.len() > 1 { Condition::And(all) } else { all.remove(0) })
    }

    /// `not one`, a condition in parentheses, or a comparison
    fn one(&mut self) -> Result<Condition, ParseError> {
        let column = self.column();
        let is_not = self.accept_word("not") || self.accept_sign("!");
        if !is_not && !self.accept_sign("(") {
            return Ok(Condition::Test(self.test()?));
        }
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(ParseError::TooMuch { column, max: DEPTH_MAX, what: "parentheses within each other" });
        }
        let condition = if is_not {
            Condition::Not(Box::new(self.one()?))
        } else {
            let inner = self.either()?;
            self.expect_sign(")", "`and`, `or` or a closing parenthesis")?;
            inner
        };
        self.depth -= 1;
        Ok(condition)
    }

    fn test(&mut self) -> Result<Test, ParseError> {
        let column = self.column();
        let Token::Word(field) = self.peek().clone() else { return Err(self.unexpected(FIELD)) };
        let test = match field.as_str() {
            "name" => self.text(TextField::Name)?,
            "service" => self.text(TextField::Service)?,
            "status_message" => self.text(TextField::StatusMessage)?,
            "event" => self.text(TextField::Event)?,
            "kind" => self.kind()?,
            "status" => self.status()?,
            "duration" => self.duration()?,
            "attr" => self.attribute(AttributeOf::Span)?,
            "event_attr" => self.attribute(AttributeOf::Event)?,
            _ => return Err(self.unexpected(FIELD)),
        };
        self.n_tests += 1;
        if self.n_tests > TESTS_MAX {
            return Err(ParseError::TooMuch { column, max: TESTS_MAX, what: "comparisons" });
        }
        Ok(test)
    }

    fn text(&mut self, field: TextField) -> Result<Test, ParseError> {
        self.advance();
        let op = self.text_op().ok_or_else(|| self.unexpected(TEXT_OPERATOR))?;
        Ok(Test::Text { field, op, text: self.literal()? })
    }

    fn kind(&mut self) -> Result<Test, ParseError> {
        const KINDS: [SpanKind; 5] =
            [SpanKind::Internal, SpanKind::Server, SpanKind::Client, SpanKind::Producer, SpanKind::Consumer];
        self.advance();
        let equality = self.equality().ok_or_else(|| self.unexpected(EQUALITY))?;
        let kind = self.take_word(|word| KINDS.into_iter().find(|kind| kind.name() == word));
        Ok(Test::Kind(equality, kind.ok_or_else(|| self.unexpected(KIND))?))
    }

    fn status(&mut self) -> Result<Test, ParseError> {
        const STATES: [StatusCode; 3] = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
        self.advance();
        let equality = self.equality().ok_or_else(|| self.unexpected(EQUALITY))?;
        let status = self.take_word(|word| STATES.into_iter().find(|status| status.name() == word));
        Ok(Test::Status(equality, status.ok_or_else(|| self.unexpected(STATUS))?))
    }

    fn duration(&mut self) -> Result<Test, ParseError> {
        self.advance();
        let order = self.order().ok_or_else(|| self.unexpected(ORDER))?;
        match self.peek().clone() {
            Token::Number(digits) => {
                let bound = scaled::parse(&digits, scaled::TIME).map(Nanos).ok_or_else(|| self.unexpected(UNIT))?;
                self.advance();
                Ok(Test::Duration(order, bound))
            }
            Token::Word(word) if word.starts_with('p') => {
                let percentile = percentile_of(&word).ok_or_else(|| self.unexpected(PERCENTILE))?;
                if matches!(order, Order::Below | Order::AtMost) {
                    self.at -= 1;
                    return Err(self.unexpected(PERCENTILE_ORDER));
                }
                self.advance();
                Ok(Test::Percentile(order, percentile))
            }
            _ => Err(self.unexpected(DURATION)),
        }
    }

    fn attribute(&mut self, of: AttributeOf) -> Result<Test, ParseError> {
        self.advance();
        self.expect_sign("(", "a parenthesis and the attribute's name, as (\"http.status_code\")")?;
        let key = self.literal()?;
        self.expect_sign(")", "a closing parenthesis")?;
        Ok(Test::Attribute { of, key, test: self.attribute_test()? })
    }

    fn attribute_test(&mut self) -> Result<AttributeTest, ParseError> {
        if let Some(order) = self.order() {
            return Ok(AttributeTest::Ordered(order, self.number().ok_or_else(|| self.unexpected(NUMBER))?));
        }
        let Some(op) = self.text_op() else { return Ok(AttributeTest::IsSet) };
        let equality = match op {
            TextOp::Is => Equality::Is,
            TextOp::IsNot => Equality::IsNot,
            _ => return Ok(AttributeTest::Text(op, self.literal()?)),
        };
        if let Token::Text(_) = self.peek() {
            return Ok(AttributeTest::Text(op, self.literal()?));
        }
        let flag = self.take_word(|word| word.parse().ok());
        match flag {
            Some(flag) => Ok(AttributeTest::Flag(equality, flag)),
            None => Ok(AttributeTest::Number(equality, self.number().ok_or_else(|| self.unexpected(VALUE))?)),
        }
    }

    fn rate(&mut self) -> Result<Rate, ParseError> {
        let is_inclusive = match self.order() {
            Some(Order::Above) => false,
            Some(Order::AtLeast) => true,
            Some(_) => {
                self.at -= 1;
                return Err(self.unexpected("> or >="));
            }
            None => return Err(self.unexpected("> or >=")),
        };
        let n = match self.peek() {
            Token::Number(digits) => digits.parse().ok().filter(|n| (1..=RATE_MAX).contains(n)),
            _ => None,
        };
        let n = n.ok_or_else(|| self.unexpected(RATE))?;
        self.advance();
        self.expect_sign("/", "a slash and a unit, as /s")?;
        let per = self.take_word(|word| match word {
            "s" => Some(Window::Second),
            "m" => Some(Window::Minute),
            "h" => Some(Window::Hour),
            _ => None,
        });
        Ok(Rate { is_inclusive, n, per: per.ok_or_else(|| self.unexpected("a unit (s, m or h)"))? })
    }

    fn equality(&mut self) -> Option<Equality> {
        if self.accept_sign("=") || self.accept_sign("==") {
            Some(Equality::Is)
        } else {
            self.accept_sign("!=").then_some(Equality::IsNot)
        }
    }

    fn text_op(&mut self) -> Option<TextOp> {
        if let Some(equality) = self.equality() {
            return Some(if equality == Equality::Is { TextOp::Is } else { TextOp::IsNot });
        }
        self.take_word(|word| match word {
            "contains" => Some(TextOp::Contains),
            "starts_with" => Some(TextOp::StartsWith),
            "ends_with" => Some(TextOp::EndsWith),
            _ => None,
        })
    }

    fn order(&mut self) -> Option<Order> {
        let order = match self.peek() {
            Token::Sign("<") => Order::Below,
            Token::Sign("<=") => Order::AtMost,
            Token::Sign(">=") => Order::AtLeast,
            Token::Sign(">") => Order::Above,
            _ => return None,
        };
        self.advance();
        Some(order)
    }

    /// Takes a text in quotes.
    fn literal(&mut self) -> Result<Arc<str>, ParseError> {
        let Token::Text(text) = self.peek() else { return Err(self.unexpected(TEXT)) };
        if text.len() > TEXT_MAX_BYTES {
            let what = "bytes in one text";
            return Err(ParseError::TooMuch { column: self.column(), max: TEXT_MAX_BYTES, what });
        }
        let text = text.as_str().into();
        self.advance();
        Ok(text)
    }

    fn number(&mut self) -> Option<Number> {
        let Token::Number(digits) = self.peek() else { return None };
        let whole = || digits.parse().ok().map(Number::Whole);
        let real = || digits.parse().ok().filter(|real: &f64| real.is_finite()).map(Number::Real);
        let number = whole().or_else(real)?;
        self.advance();
        Some(number)
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |placed| &placed.token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).map_or(1, |placed| placed.column)
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1); // the last is the end
    }

    fn accept_word(&mut self, wanted: &str) -> bool {
        self.take_word(|word| (word == wanted).then_some(())).is_some()
    }

    fn accept_sign(&mut self, wanted: &str) -> bool {
        let is_it = matches!(self.peek(), Token::Sign(sign) if *sign == wanted);
        if is_it {
            self.advance();
        }
        is_it
    }

    fn expect_sign(&mut self, wanted: &str, expected: &'static str) -> Result<(), ParseError> {
        if self.accept_sign(wanted) { Ok(()) } else { Err(self.unexpected(expected)) }
    }

    /// Takes the next token where it is a word of which `of` makes something.
    fn take_word<T>(&mut self, of: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let taken = match self.peek() {
            Token::Word(word) => of(word),
            _ => None,
        };
        if taken.is_some() {
            self.advance();
        }
        taken
    }

    fn unexpected(&self, expected: &'static str) -> ParseError {
        ParseError::Unexpected { column: self.column(), found: self.peek().found(), expected }
    }
}

/// Returns the percentile called `word`: `p` and a number with at most three digits behind its point.
fn percentile_of(word: &str) -> Option<Percentile> {
    let number = word.strip_prefix('p')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let are_digits = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit());
    let is_number = whole.len() == 2 && part.len() <= 3 && are_digits(whole) && are_digits(part);
    if !is_number || number.ends_with('.') {
        return None;
    }
    let thousandths: u32 = format!("{part:0<3}").parse().ok()?;
    Percentile::new(whole.parse::<u32>().ok()? * 1000 + thousandths)
}
