//! Words, numbers, strings and signs of an expression, each with the place where it stands.
//!
//! Called by the parser.

use super::parse::ParseError;
use crate::quoted;

/// A piece of an expression.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Token {
    /// A keyword, a field, or the name of a kind or status.
    Word(String),
    /// Digits with what stands at their end, as `250ms`, `99.9` or `1e3`.
    Number(String),
    /// What stood in quotes, escapes resolved.
    Text(String),
    /// An operator, a parenthesis or a slash.
    Sign(&'static str),
    /// Nothing more.
    End,
}

impl Token {
    /// Returns what an error says was found.
    pub(super) fn found(&self) -> String {
        const SHOWN_CHARS_MAX: usize = 40;
        let text: &str = match self {
            Self::Word(text) | Self::Number(text) => text,
            Self::Text(text) => {
                let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
                return format!("the text {cut:?}");
            }
            Self::Sign(sign) => sign,
            Self::End => return "the end".to_owned(),
        };
        let cut: String = text.chars().take(SHOWN_CHARS_MAX).collect();
        format!("`{cut}`")
    }
}

/// A token and the column of its first character, from 1.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) column: usize,
}

/// The signs, longer ones before those that they begin with.
const SIGNS: [&str; 13] = ["&&", "||", "!=", "==", "<=", ">=", "=", "<", ">", "!", "(", ")", "/"];

/// Returns the tokens of `text`, the last of which is [`Token::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, ParseError> {
    let mut lexer = Lexer { rest: text, column: 1 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_space();
        let column = lexer.column;
        let token = lexer.next()?;
        let is_end = token == Token::End;
        tokens.push(Placed { token, column });
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    column: usize,
}

impl<'a> Lexer<'a> {
    fn next(&mut self) -> Result<Token, ParseError> {
        let Some(first) = self.rest.chars().next() else { return Ok(Token::End) };
        if let Some(sign) = SIGNS.into_iter().find(|sign| self.rest.starts_with(sign)) {
            self.take(sign.len());
            return Ok(Token::Sign(sign));
        }
        match first {
            '"' => self.text(),
            '0'..='9' | '-' | '+' => Ok(Token::Number(self.number().to_owned())),
            _ if is_word(first) => {
                let len = self.rest.find(|c: char| !is_word(c)).unwrap_or(self.rest.len());
                Ok(Token::Word(self.take(len).to_owned()))
            }
            other => Err(self.error(format!("{other:?}"), "a field, a value, an operator or a parenthesis")),
        }
    }

    /// Takes digits, and the letters, points and signs of an exponent that belong to them.
    fn number(&mut self) -> &'a str {
        let bytes = self.rest.as_bytes();
        let mut len = 1;
        while let Some(byte) = bytes.get(len) {
            let is_exponent_sign = matches!(byte, b'-' | b'+') && matches!(bytes[len - 1], b'e' | b'E');
            if !(byte.is_ascii_alphanumeric() || *byte == b'.' || is_exponent_sign) {
                break;
            }
            len += 1;
        }
        self.take(len)
    }

    fn text(&mut self) -> Result<Token, ParseError> {
        let mut text = String::new();
        self.take(1);
        loop {
            let Some(next) = self.rest.chars().next() else {
                return Err(self.error("the end".to_owned(), "a closing \""));
            };
            match next {
                '"' => {
                    self.take(1);
                    return Ok(Token::Text(text));
                }
                '\\' => text.push(self.escape()?),
                other => {
                    self.take(other.len_utf8());
                    text.push(other);
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        match quoted::escape(self.rest) {
            Some((len, escaped)) => {
                self.take(len);
                Ok(escaped)
            }
            None => {
                let found = format!("`{}`", self.rest.chars().take(2).collect::<String>());
                Err(self.error(found, quoted::ESCAPES))
            }
        }
    }

    fn skip_space(&mut self) {
        let len = self.rest.len() - self.rest.trim_start().len();
        self.take(len);
    }

    /// Takes the next `len` bytes.
    fn take(&mut self, len: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        self.column += taken.chars().count();
        taken
    }

    fn error(&self, found: String, expected: &'static str) -> ParseError {
        ParseError::Unexpected { column: self.column, found, expected }
    }
}

const fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.')
}
