//! The rules by which values of attributes are kept out of the store: which keys, and what stands in their place.
//!
//! Made of the configuration when the listeners start; asked by `proto::wire::otlp_redact` for each attribute. Nothing else ever sees the values.

use crate::config::{IntakeConfig, RedactAction, RedactRule, pattern};
use backsight_proto::wire::otlp_redact::{Redaction, Redactor};
use backsight_proto::wire::otlp_visit::Value;
use regex::{NoExpand, Regex};
use ring::hmac;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What stands in place of what is masked.
const MASK: &str = "***";
/// Bytes of a hash that are kept: enough that no two of the values that a store holds share one.
const HASH_BYTES: usize = 16;
/// The least that a key must have, so that it cannot be guessed, and the most that is read.
const KEY_MIN_BYTES: usize = 16;
const KEY_MAX_BYTES: usize = 4096;

/// Rules that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedactError {
    /// The file cannot be read.
    #[error("intake.redact_key: read {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no key.
    #[error("intake.redact_key: {} has {len} B, a key has {KEY_MIN_BYTES} to {KEY_MAX_BYTES}", .path.display())]
    KeyLength {
        /// The file.
        path: PathBuf,
        /// What it has.
        len: usize,
    },
    /// The pattern of a rule is none.
    #[error("intake.redact: the pattern of {key}")]
    Pattern {
        /// The rule's key.
        key: String,
        /// Why.
        source: regex::Error,
    },
    /// A rule that hashes, without a key.
    #[error("intake.redact: {key} is to be hashed, and intake.redact_key names no file")]
    NoKey {
        /// The rule's key.
        key: String,
    },
}

/// See the module.
#[derive(Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    key: String,
    /// Whether it is only the beginning of keys.
    is_prefix: bool,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Drop,
    Hash(hmac::Key),
    Mask(Regex),
}

impl Rules {
    /// Makes the rules of a configuration, and reads the key of hashes where one is named.
    ///
    /// # Errors
    /// The key cannot be read or is none, or a rule cannot be used.
    pub fn read(config: &IntakeConfig) -> Result<Self, RedactError> {
        let key = config.redact_key.as_deref().map(read_key).transpose()?;
        let rule = |rule: &RedactRule| {
            let is_prefix = rule.key.ends_with('*');
            let text = rule.key.strip_suffix('*').unwrap_or(&rule.key).to_owned();
            let action = match rule.action {
                RedactAction::Drop => Action::Drop,
                RedactAction::Hash => {
                    Action::Hash(key.clone().ok_or_else(|| RedactError::NoKey { key: rule.key.clone() })?)
                }
                RedactAction::Mask => {
                    let pattern = pattern(rule.pattern.as_deref().unwrap_or_default());
                    Action::Mask(pattern.map_err(|source| RedactError::Pattern { key: rule.key.clone(), source })?)
                }
            };
            Ok(Rule { key: text, is_prefix, action })
        };
        config.redact.iter().map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// Returns whether there is none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn read_key(path: &Path) -> Result<hmac::Key, RedactError> {
    let read = |source| RedactError::Read { path: path.to_owned(), source };
    let len = std::fs::metadata(path).map_err(read)?.len();
    if len > KEY_MAX_BYTES as u64 {
        return Err(RedactError::KeyLength { path: path.to_owned(), len: len as usize });
    }
    let bytes = std::fs::read(path).map_err(read)?;
    let key = bytes.trim_ascii_end();
    if key.len() < KEY_MIN_BYTES {
        return Err(RedactError::KeyLength { path: path.to_owned(), len: key.len() });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key))
}

impl Redactor for Rules {
    fn rule(&self, key: &[u8]) -> Option<usize> {
        let is_of = |rule: &Rule| match rule.is_prefix {
            true => key.starts_with(rule.key.as_bytes()),
            false => key == rule.key.as_bytes(),
        };
        self.0.iter().position(is_of)
    }

    fn apply(&self, rule: usize, value: &Value<'_>) -> Redaction {
        match self.0.get(rule).map(|rule| &rule.action) {
            Some(Action::Drop) | None => Redaction::Drop,
            Some(Action::Hash(key)) => Redaction::Text(hash(key, value)),
            Some(Action::Mask(pattern)) => mask(pattern, value),
        }
    }
}

/// Returns the hash of a value: of a text that of its bytes, of all else that of its encoding.
fn hash(key: &hmac::Key, value: &Value<'_>) -> String {
    let tag = match value {
        Value::Text(text) => hmac::sign(key, text.as_bytes()),
        value => {
            let mut encoded = Vec::new();
            value.encode(&mut encoded);
            hmac::sign(key, &encoded)
        }
    };
    let mut text = String::with_capacity(2 * HASH_BYTES);
    for byte in tag.as_ref().iter().take(HASH_BYTES) {
        let _ = write!(text, "{byte:02x}"); // writing to a String does not fail
    }
    text
}

/// Masks texts, and numbers as if they were texts; bytes, which no pattern can be held against, as a whole.
fn mask(pattern: &Regex, value: &Value<'_>) -> Redaction {
    let masked = |text: &str| match pattern.replace_all(text, NoExpand(MASK)) {
        std::borrow::Cow::Borrowed(_) => Redaction::Keep,
        std::borrow::Cow::Owned(text) => Redaction::Text(text),
    };
    match value {
        Value::Text(text) => masked(text),
        Value::Int(number) => masked(&number.to_string()),
        Value::Double(number) => masked(&number.to_string()),
        Value::Bool(value) => masked(&value.to_string()),
        Value::Bytes(_) => Redaction::Text(MASK.to_owned()),
        Value::List(_) | Value::Map(_) => Redaction::Inside,
        Value::Empty => Redaction::Keep,
    }
}

#[cfg(test)]
mod tests;
