//! Regular expressions of a search, bounded in what they cost.
//!
//! Made by the parser, used by evaluation.

use std::fmt;

/// The largest compiled pattern.
pub const PATTERN_MAX_BYTES: usize = 64 << 10;
/// What one search of a text may remember of the states that it has met; past that it starts afresh.
const STATES_MAX_BYTES: usize = 256 << 10;
/// Parentheses within each other.
const NESTED_MAX: u32 = 32;

/// A regular expression; two are the same where their texts are.
///
/// # Shape
/// In the syntax of the crate `regex`: no look-around and no back-references, so that matching takes time linear in the text. It matches
/// anywhere unless it is anchored; `\d`, `\s` and `\w` are those of Unicode.
#[derive(Clone)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// Returns the pattern that `text` says.
    ///
    /// # Errors
    /// No regular expression, or one that takes more than [`PATTERN_MAX_BYTES`]; says why.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut builder = regex::RegexBuilder::new(text);
        builder.size_limit(PATTERN_MAX_BYTES).dfa_size_limit(STATES_MAX_BYTES).nest_limit(NESTED_MAX);
        builder.build().map(Self).map_err(|error| match error {
            regex::Error::CompiledTooBig(max) => format!("it takes more than {max} bytes when compiled"),
            // The crate draws the pattern over several lines; what is wrong stands in the last.
            error => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        })
    }

    /// Returns how it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns whether it matches somewhere in `text`.
    pub fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.as_str())
    }
}
