//! Words, texts and signs of a search, each with the place where it stands.
//!
//! Called by the parser and by completion. Everything that is neither blank nor a sign belongs to a word, so that `/pay`, `200ms` and
//! `http.route` are words; what they mean is the parser's business.

use super::parse::ParseError;
use backsight_core::quoted;
use std::ops::Range;

/// A piece of a search.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Token {
    /// A field, a value, or a word to look for.
    Word(String),
    /// What stood in quotes, escapes resolved.
    Text(String),
    /// An operator, a brace, a parenthesis, a comma or `&&`.
    Sign(&'static str),
    /// Nothing more.
    End,
}

impl Token {
    /// Returns what an error says was found.
    pub(super) fn found(&self) -> String {
        const SHOWN_CHARS_MAX: usize = 40;
        let cut = |text: &str| text.chars().take(SHOWN_CHARS_MAX).collect::<String>();
        match self {
            Self::Word(text) => format!("`{}`", cut(text)),
            Self::Text(text) => format!("the text {:?}", cut(text)),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// A token and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    /// Of its first character, from 1.
    pub(super) column: usize,
    /// Its bytes.
    pub(super) bytes: Range<usize>,
}

/// The signs, longer ones before those that they begin with.
const SIGNS: [&str; 15] = ["&&", "=~", "!~", "!=", "<=", ">=", "=", "<", ">", "~", "(", ")", "{", "}", ","];

/// Returns the tokens of `text`, the last of which is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, ParseError> {
    let mut lexer = Lexer { text, at: 0, column: 1 };
    let mut tokens = Vec::new();
    loop {
        let placed = lexer.next()?;
        let is_end = placed.token == Token::End;
        tokens.push(placed);
        if is_end {
            return Ok(tokens);
        }
    }
}

/// Returns the tokens before what cannot be one, and where that begins: as much as can be said of a text that somebody is still writing.
pub(super) fn tokens_so_far(text: &str) -> (Vec<Placed>, Option<usize>) {
    let mut lexer = Lexer { text, at: 0, column: 1 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let at = lexer.at;
        match lexer.next() {
            Ok(placed) if placed.token == Token::End => return (tokens, None),
            Ok(placed) => tokens.push(placed),
            Err(_) => return (tokens, Some(at)),
        }
    }
}

/// Returns whether `text` is one word.
pub(super) fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(is_word_char)
}

fn is_word_char(c: char) -> bool {
    const SIGNS: [char; 12] = ['"', '&', '=', '!', '<', '>', '~', '(', ')', '{', '}', ','];
    !(c.is_whitespace() || c.is_control() || SIGNS.contains(&c))
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    column: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<Placed, ParseError> {
        self.skip_space();
        let (start, column) = (self.at, self.column);
        let token = self.token()?;
        Ok(Placed { token, column, bytes: start..self.at })
    }

    fn token(&mut self) -> Result<Token, ParseError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(Token::End) };
        if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            self.take(sign.len());
            return Ok(Token::Sign(sign));
        }
        if first == '"' {
            return self.quoted();
        }
        let len = rest.find(|c: char| !is_word_char(c)).unwrap_or(rest.len());
        if len == 0 {
            return Err(self.error(format!("{first:?}"), "a field, an operator, a value, a word or a brace"));
        }
        Ok(Token::Word(self.take(len).to_owned()))
    }

    fn quoted(&mut self) -> Result<Token, ParseError> {
        let mut text = String::new();
        self.take(1);
        loop {
            match self.rest().chars().next() {
                None => return Err(self.error("the end".to_owned(), "a closing \"")),
                Some('"') => {
                    self.take(1);
                    return Ok(Token::Text(text));
                }
                Some('\\') => {
                    let Some((len, escaped)) = quoted::escape(self.rest()) else {
                        let found = format!("`{}`", self.rest().chars().take(2).collect::<String>());
                        return Err(self.error(found, quoted::ESCAPES));
                    };
                    self.take(len);
                    text.push(escaped);
                }
                Some(other) => {
                    self.take(other.len_utf8());
                    text.push(other);
                }
            }
        }
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.take(rest.len() - rest.trim_start().len());
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Takes the next `len` bytes.
    fn take(&mut self, len: usize) -> &'a str {
        let taken = &self.rest()[..len];
        self.at += len;
        self.column += taken.chars().count();
        taken
    }

    fn error(&self, found: String, expected: &'static str) -> ParseError {
        ParseError::Unexpected { column: self.column, found, expected: expected.into() }
    }
}
