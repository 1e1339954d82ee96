//! Texts in double quotes, as the languages that people write have them.
//!
//! Called by the parsers and printers of trigger expressions and of searches.

use std::fmt;

/// What an error says may stand behind a backslash.
pub const ESCAPES: &str = r#"an escape (\", \\, \n, \t or \u{hex digits})"#;

/// Returns the character that the escape at the start of `text` stands for, and how many bytes it takes.
pub fn escape(text: &str) -> Option<(usize, char)> {
    let escaped = text.strip_prefix('\\')?;
    match escaped.chars().next()? {
        '"' => Some((2, '"')),
        '\\' => Some((2, '\\')),
        'n' => Some((2, '\n')),
        't' => Some((2, '\t')),
        'u' => {
            let (digits, _) = escaped.strip_prefix("u{")?.split_once('}')?;
            let is_hex = (1..=6).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            let code = u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)?;
            Some((digits.len() + 4, char::from_u32(code)?))
        }
        _ => None,
    }
}

/// A text in double quotes.
#[derive(Clone, Copy, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars() {
            match c {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                c => write!(f, "{c}")?,
            }
        }
        f.write_str("\"")
    }
}
