//! From text to a search: one token of look-ahead, no recursion.
//!
//! Called by the endpoints of the search, and by whoever completes or checks what is being written. Any text gives a search or an error
//! that says where it stands, what was found there and what would do.

use super::field::{Field, KEYED, Operator, TraceField, Type};
use super::lex::{Placed, Token, tokens};
use super::nearest::nearest;
use super::value::{Value, expected};
use super::{CHOICES_MAX, Group, Pattern, QUERY_MAX_BYTES, Query, SpanTerm, TERMS_MAX, Term, Test};
use backsight_core::expr::{Equality, Order};
use std::borrow::Cow;

/// A text that is no search.
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
        expected: Cow<'static, str>,
    },
    /// There is no such field.
    #[error("column {column}: found `{name}`, expected a field{}", meant(*.nearest))]
    UnknownField {
        /// Its first character, counted from 1.
        column: usize,
        /// What was taken for a field, as an operator follows it.
        name: String,
        /// The field that may have been meant.
        nearest: Option<&'static str>,
    },
    /// A regular expression is none, or too large.
    #[error("column {column}: expected a regular expression, but {why}")]
    Pattern {
        /// The character with which it begins, counted from 1.
        column: usize,
        /// Why it is none.
        why: String,
    },
    /// It is larger than a search may be.
    #[error("column {column}: expected at most {max} {what}")]
    TooMuch {
        /// The character with which it becomes too large, counted from 1.
        column: usize,
        /// How much there may be.
        max: usize,
        /// Of what.
        what: &'static str,
    },
}

impl ParseError {
    /// Returns the character at which it stands, counted from 1.
    pub const fn column(&self) -> usize {
        match self {
            Self::Unexpected { column, .. }
            | Self::UnknownField { column, .. }
            | Self::Pattern { column, .. }
            | Self::TooMuch { column, .. } => *column,
        }
    }
}

fn meant(nearest: Option<&'static str>) -> String {
    match nearest {
        Some(name) => format!("; is `{name}` meant?"),
        None => ", as service, duration, attr.KEY or trace.root; a word to look for stands in quotes".to_owned(),
    }
}

const TERM: &str = "a term, as `duration > 200ms`, a word to look for, or a brace";
const TERM_IN_GROUP: &str = "a term, as `duration > 200ms`, a word to look for, or a closing brace";
const CONJUNCTION: &str = "a term: all terms must hold, so that `and` is left out, `or` is in(..) and `not` is != or !~; \
    a word to look for stands in quotes";
const KEY: &str = "the key of an attribute right behind the point, as attr.http.route or attr.\"a key\"";

/// Returns the search that `text` says. `now_ns`, in nanoseconds since 1970, is what `now` stands for in times.
///
/// # Errors
/// Text that is none, or that is larger than a search may be; says at which character.
/// # Cost
/// Linear in the text, which has at most [`QUERY_MAX_BYTES`], but for patterns: those take what compiling them takes.
pub fn parse(text: &str, now_ns: u64) -> Result<Query, ParseError> {
    if text.len() > QUERY_MAX_BYTES {
        let column = text.char_indices().take_while(|(at, _)| *at < QUERY_MAX_BYTES).count() + 1;
        return Err(ParseError::TooMuch { column, max: QUERY_MAX_BYTES, what: "bytes in a search" });
    }
    let mut parser = Parser { tokens: tokens(text)?, at: 0, n_terms: 0, now_ns };
    parser.query()
}

/// A term, of whatever.
enum Either {
    Span(SpanTerm),
    Trace(Term<TraceField>),
}

struct Parser {
    tokens: Vec<Placed>,
    at: usize,
    n_terms: usize,
    now_ns: u64,
}

impl Parser {
    /// `{ (group | term) [&&] }`
    fn query(&mut self) -> Result<Query, ParseError> {
        let mut query = Query::default();
        let mut outside_groups = Vec::new();
        while *self.peek() != Token::End {
            if self.accept_sign("{") {
                let terms = self.group(&mut query.of_trace)?;
                if !terms.is_empty() {
                    query.groups.push(Group { terms });
                }
            } else {
                match self.term(TERM)? {
                    Either::Span(term) => outside_groups.push(term),
                    Either::Trace(term) => query.of_trace.push(term),
                }
            }
            if self.accept_sign("&&") && *self.peek() == Token::End {
                return Err(self.unexpected(TERM));
            }
        }
        if !outside_groups.is_empty() {
            query.groups.insert(0, Group { terms: outside_groups });
        }
        Ok(query)
    }

    /// `term { [&&] term } "}"`; those of the trace may stand within, but say nothing of the span.
    fn group(&mut self, of_trace: &mut Vec<Term<TraceField>>) -> Result<Vec<SpanTerm>, ParseError> {
        let mut terms = Vec::new();
        loop {
            match self.term(TERM_IN_GROUP)? {
                Either::Span(term) => terms.push(term),
                Either::Trace(term) => of_trace.push(term),
            }
            if !self.accept_sign("&&") && self.accept_sign("}") {
                return Ok(terms);
            }
        }
    }

    fn term(&mut self, expected: &'static str) -> Result<Either, ParseError> {
        self.n_terms += 1;
        if self.n_terms > TERMS_MAX && *self.peek() != Token::End {
            return Err(ParseError::TooMuch { column: self.column(), max: TERMS_MAX, what: "terms" });
        }
        match self.peek().clone() {
            Token::Text(text) => self.word(&text),
            Token::Word(word) => match self.field(&word)? {
                Some(field) => self.term_of(field),
                None => self.word_or_slip(&word),
            },
            Token::Sign(_) | Token::End => Err(self.unexpected(expected)),
        }
    }

    /// Takes the field that begins here, if it is one.
    fn field(&mut self, word: &str) -> Result<Option<Field>, ParseError> {
        if let Some(field) = Field::from_name(word) {
            self.advance();
            return Ok(Some(field));
        }
        let Some((_, of_key)) = KEYED.into_iter().find(|(prefix, _)| *prefix == word) else { return Ok(None) };
        let end = self.bytes_end();
        self.advance();
        match self.tokens.get(self.at) {
            Some(Placed { token: Token::Text(key), bytes, .. }) if bytes.start == end => {
                let field = Field::Span(of_key(key.as_str().into()));
                self.advance();
                Ok(Some(field))
            }
            _ => Err(self.unexpected(KEY)),
        }
    }

    /// Takes a word to look for, unless it seems to be meant as something else.
    fn word_or_slip(&mut self, word: &str) -> Result<Either, ParseError> {
        if matches!(word, "and" | "AND" | "or" | "OR" | "not" | "NOT" | "|" | "||") {
            return Err(self.unexpected(CONJUNCTION));
        }
        let column = self.column();
        self.advance();
        if self.operator().is_none() {
            self.at -= 1;
            return self.word(word);
        }
        let shown = word.chars().take(40).collect();
        let nearest = nearest(word, Field::ALL.into_iter().map(|(name, ..)| name));
        Err(ParseError::UnknownField { column, name: shown, nearest })
    }

    fn word(&mut self, word: &str) -> Result<Either, ParseError> {
        if word.is_empty() {
            return Err(self.unexpected("a word to look for, not an empty one"));
        }
        self.advance();
        Ok(Either::Span(SpanTerm::Word(word.into())))
    }

    fn term_of(&mut self, field: Field) -> Result<Either, ParseError> {
        let test = self.test(&field)?;
        Ok(match field {
            Field::Span(field) => Either::Span(SpanTerm::Field(Term { field, test })),
            Field::Trace(field) => Either::Trace(Term { field, test }),
        })
    }

    fn test(&mut self, field: &Field) -> Result<Test, ParseError> {
        let of = field.of_type();
        let Some(operator) = self.operator() else {
            if of == Type::Flag {
                return Ok(Test::Equal(Equality::Is, Value::Flag(true)));
            }
            let expected = format!("{} after `{}`; a word to look for stands in quotes", operators(of), field.name());
            return Err(self.unexpected(expected));
        };
        if !of.operators().contains(&operator) {
            return Err(self.unexpected(format!("{} after `{}`", operators(of), field.name())));
        }
        self.advance();
        Ok(match operator {
            Operator::Is => Test::Equal(Equality::Is, self.value(of)?),
            Operator::IsNot => Test::Equal(Equality::IsNot, self.value(of)?),
            Operator::Below => Test::Ordered(Order::Below, self.quantity(of)?),
            Operator::AtMost => Test::Ordered(Order::AtMost, self.quantity(of)?),
            Operator::Above => Test::Ordered(Order::Above, self.quantity(of)?),
            Operator::AtLeast => Test::Ordered(Order::AtLeast, self.quantity(of)?),
            Operator::Matches => Test::Matches(Equality::Is, self.pattern()?),
            Operator::MatchesNot => Test::Matches(Equality::IsNot, self.pattern()?),
            Operator::Contains => Test::Contains(self.text()?.into()),
            Operator::In => Test::In(self.values(of)?),
            Operator::Exists => Test::Exists,
        })
    }

    fn value(&mut self, of: Type) -> Result<Value, ParseError> {
        let value = match self.peek() {
            Token::Word(word) => Value::read_word(word, of, self.now_ns),
            Token::Text(text) => Value::read_text(text, of, self.now_ns),
            Token::Sign(_) | Token::End => None,
        };
        let value = value.ok_or_else(|| self.unexpected(expected(of)))?;
        self.advance();
        Ok(value)
    }

    /// Takes a value that has an order: of attributes only numbers have.
    fn quantity(&mut self, of: Type) -> Result<Value, ParseError> {
        let at = self.at;
        match self.value(of)? {
            Value::Text(_) | Value::Flag(_) | Value::Trace(_) => {
                self.at = at;
                Err(self.unexpected(expected(Type::Real)))
            }
            value => Ok(value),
        }
    }

    fn values(&mut self, of: Type) -> Result<Vec<Value>, ParseError> {
        if !self.accept_sign("(") {
            return Err(self.unexpected("an opening parenthesis"));
        }
        let mut values = vec![self.value(of)?];
        loop {
            if self.accept_sign(")") {
                return Ok(values);
            }
            if !self.accept_sign(",") {
                return Err(self.unexpected("a comma or a closing parenthesis"));
            }
            if values.len() == CHOICES_MAX {
                return Err(ParseError::TooMuch { column: self.column(), max: CHOICES_MAX, what: "values in in(..)" });
            }
            values.push(self.value(of)?);
        }
    }

    fn pattern(&mut self) -> Result<Pattern, ParseError> {
        let column = self.column();
        let text = self.text()?;
        Pattern::new(&text).map_err(|why| ParseError::Pattern { column, why })
    }

    fn text(&mut self) -> Result<String, ParseError> {
        let (Token::Word(text) | Token::Text(text)) = self.peek().clone() else {
            return Err(self.unexpected(expected(Type::Text)));
        };
        self.advance();
        Ok(text)
    }

    /// Returns the operator that stands here, without taking it.
    fn operator(&self) -> Option<Operator> {
        match self.peek() {
            Token::Sign(sign) => Operator::ALL.into_iter().find(|operator| operator.text() == *sign),
            Token::Word(word) if word == Operator::Exists.text() => Some(Operator::Exists),
            Token::Word(word) if word == Operator::In.text() => {
                let next = self.tokens.get(self.at + 1).map(|placed| &placed.token);
                (next == Some(&Token::Sign("("))).then_some(Operator::In)
            }
            _ => None,
        }
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |placed| &placed.token)
    }

    fn column(&self) -> usize {
        self.tokens.get(self.at).map_or(1, |placed| placed.column)
    }

    fn bytes_end(&self) -> usize {
        self.tokens.get(self.at).map_or(0, |placed| placed.bytes.end)
    }

    fn advance(&mut self) {
        self.at = (self.at + 1).min(self.tokens.len() - 1); // the last is the end
    }

    fn accept_sign(&mut self, wanted: &str) -> bool {
        let is_it = matches!(self.peek(), Token::Sign(sign) if *sign == wanted);
        if is_it {
            self.advance();
        }
        is_it
    }

    fn unexpected(&self, expected: impl Into<Cow<'static, str>>) -> ParseError {
        ParseError::Unexpected { column: self.column(), found: self.peek().found(), expected: expected.into() }
    }
}

/// Returns what an error says of the operators that fit.
fn operators(of: Type) -> String {
    let texts: Vec<_> = of.operators().iter().map(|operator| operator.text()).collect();
    format!("one of {}", texts.join(" "))
}
