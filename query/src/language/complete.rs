//! What may come next while somebody writes a search.
//!
//! Called by the page and the command line for each key. It knows the language, not the data: which keys and values there are is asked of
//! the stored traces by whoever calls.

use super::QUERY_MAX_BYTES;
use super::field::{Field, KEYED, Operator, Type};
use super::lex::{Placed, Token, tokens_so_far};
use std::ops::Range;

/// What may stand at a place.
#[derive(Clone, PartialEq, Debug)]
pub struct Completion {
    /// The bytes that an offer replaces: what is written of it already, up to the place.
    pub replaces: Range<usize>,
    /// What may stand there.
    pub offers: Vec<Offer>,
}

/// Something that may stand at a place.
#[derive(Clone, PartialEq, Debug)]
pub enum Offer {
    /// A field, by its name.
    Field(&'static str),
    /// The keys of attributes that begin so.
    Keys {
        /// Behind what they stand: `attr.`, `resource.` or `tag.`
        of: &'static str,
        /// What is written already.
        prefix: String,
    },
    /// An operator.
    Operator(Operator),
    /// A value that the field can have.
    Value(&'static str),
    /// The values of a field that begin so.
    Values {
        /// The field.
        field: Field,
        /// What is written already.
        prefix: String,
    },
    /// `)` or `,`
    Sign(&'static str),
}

/// Where the parser would stand.
enum Place {
    /// Before a term.
    Term,
    /// Behind `attr.` and the like, before a key in quotes.
    Key(&'static str),
    /// Behind a field.
    Operator(Field),
    /// Behind `in`.
    Opening(Field),
    /// Before a value.
    Value(Field),
    /// Before a value of `in(..)`.
    Choice(Field),
    /// Behind such a value.
    AfterChoice(Field),
}

/// Returns what may stand at byte `at` of `text`; what stands behind it is not looked at.
///
/// A place within a character is the one before it.
/// # Cost
/// Linear in the text before the place, of which at most [`QUERY_MAX_BYTES`] are read.
pub fn complete(text: &str, at: usize) -> Completion {
    let at = text.floor_char_boundary(at.min(QUERY_MAX_BYTES));
    let text = &text[..at];
    let (mut tokens, unfinished) = tokens_so_far(text);
    let mut started = String::new();
    let mut from = at;
    if let Some(quote) = unfinished {
        started = text[quote..].trim_start_matches('"').to_owned();
        from = quote;
    } else if let Some(Placed { token: Token::Word(word), bytes, .. }) =
        tokens.last().filter(|last| last.bytes.end == at)
    {
        (started, from) = (word.clone(), bytes.start);
        tokens.pop();
    }
    let place = tokens.iter().fold(Place::Term, |place, token| after(place, &token.token));
    Completion { replaces: from..at, offers: offers(place, &started, unfinished.is_some()) }
}

/// Returns where the parser stands behind `token`; what does not fit is passed over.
fn after(place: Place, token: &Token) -> Place {
    match (place, token) {
        (Place::Operator(field), Token::Sign(sign)) if Operator::ALL.iter().any(|known| known.text() == *sign) => {
            Place::Value(field)
        }
        (Place::Operator(field), Token::Word(word)) if word == Operator::In.text() => Place::Opening(field),
        (Place::Operator(_), Token::Word(word)) if word == Operator::Exists.text() => Place::Term,
        (Place::Opening(field), Token::Sign("(")) | (Place::AfterChoice(field), Token::Sign(",")) => {
            Place::Choice(field)
        }
        (Place::Choice(field), Token::Word(_) | Token::Text(_)) => Place::AfterChoice(field),
        (Place::Value(_), Token::Word(_) | Token::Text(_)) => Place::Term,
        (Place::Key(of), Token::Text(key)) => match KEYED.into_iter().find(|(prefix, _)| *prefix == of) {
            Some((_, of_key)) => Place::Operator(Field::Span(of_key(key.as_str().into()))),
            None => Place::Term,
        },
        (_, Token::Word(word)) => match KEYED.into_iter().find(|(prefix, _)| prefix == word) {
            Some((prefix, _)) => Place::Key(prefix),
            None => Field::from_name(word).map_or(Place::Term, Place::Operator),
        },
        _ => Place::Term,
    }
}

fn offers(place: Place, started: &str, is_quoted: bool) -> Vec<Offer> {
    match place {
        Place::Term if is_quoted => Vec::new(), // a word to look for
        Place::Term => terms(started),
        Place::Key(of) => vec![Offer::Keys { of, prefix: started.to_owned() }],
        Place::Operator(field) => {
            let of = field.of_type();
            let mut offers: Vec<_> = operators(of, started).collect();
            if of == Type::Flag {
                offers.extend(terms(started)); // such a field may stand alone
            }
            offers
        }
        Place::Opening(_) => vec![Offer::Sign("(")],
        Place::Value(field) | Place::Choice(field) => values(field, started),
        Place::AfterChoice(_) => vec![Offer::Sign(","), Offer::Sign(")")],
    }
}

fn terms(started: &str) -> Vec<Offer> {
    for (of, _) in KEYED {
        if let Some(prefix) = started.strip_prefix(of) {
            return vec![Offer::Keys { of, prefix: prefix.to_owned() }];
        }
    }
    let names = Field::ALL.into_iter().map(|(name, ..)| name).chain(KEYED.map(|(prefix, _)| prefix));
    names.filter(|name| name.starts_with(started)).map(Offer::Field).collect()
}

fn operators(of: Type, started: &str) -> impl Iterator<Item = Offer> {
    of.operators().iter().copied().filter(move |operator| operator.text().starts_with(started)).map(Offer::Operator)
}

fn values(field: Field, started: &str) -> Vec<Offer> {
    let known: &[&str] = match field.of_type() {
        Type::Choice(choices) => choices,
        Type::Flag => &["true", "false"],
        Type::Text | Type::Any => return vec![Offer::Values { field, prefix: started.to_owned() }],
        Type::Duration | Type::Energy | Type::Instant | Type::Count | Type::Real | Type::Trace => &[],
    };
    known.iter().copied().filter(|value| value.starts_with(started)).map(Offer::Value).collect()
}
