//! Configuration files of the daemons: TOML, held against a table of keys before it becomes a structure.
//!
//! Called by the agent and the collector when they start; each has its own table. Every error names the file or the command line, the key
//! with its section, the value as it was written and what is allowed. Nothing here has a default or knows what a key is for.

mod form;
#[cfg(feature = "testing")]
pub mod testing;

pub use form::{Form, Value};

use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// Who set a value that was no file.
const COMMAND_LINE: &str = "command line";
/// Characters of a value that an error repeats.
const SHOWN_CHARS_MAX: usize = 80;

/// A key that a file may set.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its section and its name there: `pool.budget_bytes`. A list of tables has a name only.
    pub name: &'static str,
    /// What it may be set to.
    pub form: Form,
}

impl Key {
    /// Returns the key called `name`, of this form.
    pub const fn new(name: &'static str, form: Form) -> Self {
        Self { name, form }
    }

    fn in_section(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or((self.name, ""))
    }

    /// Returns the name of a key of a table in that table.
    fn in_table(&self) -> &'static str {
        self.name.rsplit_once('.').map_or(self.name, |(_, name)| name)
    }

    /// Checks a value which `origin` set and wrote as `written`.
    fn check(&self, origin: &str, value: &Value<'_>, written: &str) -> Result<(), ConfigError> {
        let Some(allowed) = self.form.refusal(value) else { return Ok(()) };
        let shown = self.form.show(value, &shortened(written));
        Err(ConfigError::refused(origin, self.name, shown, allowed))
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("read the configuration {}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{origin}: {reason}")]
    Syntax {
        /// The file.
        origin: String,
        /// Where and what, with the line.
        reason: String,
    },
    /// A key or a section that nobody knows.
    #[error("{origin}: unknown {what} {name}, the nearest known one is {nearest}")]
    Unknown {
        /// The file.
        origin: String,
        /// "key" or "section".
        what: &'static str,
        /// The key with its section.
        name: String,
        /// The key or section that was probably meant.
        nearest: &'static str,
    },
    /// A key of a table that must have all of its keys.
    #[error("{origin}: {key} is not set, a table [{table}] has {all}")]
    Missing {
        /// The file.
        origin: String,
        /// The key with its table.
        key: &'static str,
        /// The table.
        table: &'static str,
        /// All its keys, as people list them.
        all: String,
    },
    /// A value of another type, or out of range.
    #[error("{origin}: {key} is {value}, allowed is {allowed}")]
    Refused {
        /// The file, or the command line.
        origin: String,
        /// The key with its section.
        key: String,
        /// What it was set to.
        value: String,
        /// What it may be.
        allowed: String,
    },
}

impl ConfigError {
    fn refused(origin: &str, key: &str, value: String, allowed: String) -> Self {
        Self::Refused { origin: origin.to_owned(), key: key.to_owned(), value, allowed }
    }

    /// Returns that `value`, which is allowed by itself, does not go with that of another key.
    pub fn beside(origin: Origin<'_>, key: &'static str, value: &str, allowed: String) -> Self {
        Self::refused(&origin.to_string(), key, format!("{value:?}"), allowed)
    }
}

/// Who set a value.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// This file.
    File(&'a Path),
    /// A flag.
    CommandLine,
}

impl std::fmt::Display for Origin<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::CommandLine => f.write_str(COMMAND_LINE),
        }
    }
}

/// Reads the file at `path`, in which all that stands must be in `keys`.
///
/// # Errors
/// A file that cannot be read or is not TOML, a key that is unknown, a value that is not allowed.
pub fn read<T: DeserializeOwned>(path: &Path, keys: &[Key]) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    parse(&text, &path.display().to_string(), keys)
}

/// Parses the text of a file called `origin`, in which all that stands must be in `keys`.
///
/// # Errors
/// Text that is not TOML, a key that is unknown, a value that is not allowed.
pub fn parse<T: DeserializeOwned>(text: &str, origin: &str, keys: &[Key]) -> Result<T, ConfigError> {
    let syntax = |error: toml::de::Error| ConfigError::Syntax {
        origin: origin.to_owned(),
        reason: error.to_string().trim_end().to_owned(),
    };
    let tree = DeTable::parse(text).map_err(syntax)?;
    let file = File { text, origin, keys };
    for (section, value) in tree.get_ref() {
        let written = file.written(value.span());
        let listed = keys.iter().find(|key| key.in_section().1.is_empty() && key.name == &**section.get_ref());
        match listed {
            Some(key) => file.tables(key, value.get_ref(), written)?,
            None => file.section(section.get_ref(), value.get_ref(), written)?,
        }
    }
    // The table allows nothing that the structure does not take.
    toml::from_str(text).map_err(syntax)
}

/// Checks what a flag sets `name` to, which must be in `keys`.
///
/// # Errors
/// The value is not allowed.
pub fn check_flag(keys: &[Key], name: &'static str, value: &Value<'_>) -> Result<(), ConfigError> {
    let key = keys.iter().find(|key| key.name == name);
    debug_assert!(key.is_some(), "a flag sets `{name}`, which is no key");
    key.map_or(Ok(()), |key| key.check(COMMAND_LINE, value, &value.to_string()))
}

/// A file that is being checked.
struct File<'a> {
    text: &'a str,
    origin: &'a str,
    keys: &'a [Key],
}

impl<'a> File<'a> {
    fn written(&self, span: std::ops::Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    fn section(&self, section: &str, value: &DeValue<'_>, written: &str) -> Result<(), ConfigError> {
        let is_known = self.keys.iter().any(|key| key.in_section().0 == section);
        let table = match value {
            DeValue::Table(table) if is_known => table,
            DeValue::Table(_) => return Err(self.unknown("section", &bare(section), self.nearest_section(section))),
            _ if is_known => {
                let allowed = format!("a section, begun by a line [{section}]");
                let shown = Value::of(value).named().map_or_else(|| shortened(written), str::to_owned);
                return Err(ConfigError::refused(self.origin, section, shown, allowed));
            }
            _ => return Err(self.unknown("key", &bare(section), self.nearest_key("", section))),
        };
        for (name, value) in table {
            let name = name.get_ref();
            let Some(key) = self.keys.iter().find(|key| key.in_section() == (section, name)) else {
                let dotted = format!("{section}.{}", bare(name));
                return Err(self.unknown("key", &dotted, self.nearest_key(section, name)));
            };
            key.check(self.origin, &Value::of(value.get_ref()), self.written(value.span()))?;
            if let (Form::Table(inner), DeValue::Table(table)) = (key.form, value.get_ref()) {
                self.table(key, inner, table)?;
                self.has_all(key, inner, table)?;
            }
            self.each_of(key, value.get_ref())?;
        }
        Ok(())
    }

    /// Checks a list of tables, and each key in each of them.
    fn tables(&self, key: &Key, value: &DeValue<'_>, written: &str) -> Result<(), ConfigError> {
        key.check(self.origin, &Value::of(value), written)?;
        self.each_of(key, value)
    }

    /// Checks each key in each of the tables that a key is set to, if it is set to such.
    fn each_of(&self, key: &Key, value: &DeValue<'_>) -> Result<(), ConfigError> {
        let (Form::Tables(inner), DeValue::Array(list)) = (key.form, value) else { return Ok(()) };
        list.iter().filter_map(|table| table.get_ref().as_table()).try_for_each(|table| self.table(key, inner, table))
    }

    /// Checks each key of a table that `key` is set to.
    fn table(&self, key: &Key, keys: &[Key], table: &DeTable<'_>) -> Result<(), ConfigError> {
        for (name, value) in table {
            let name = name.get_ref();
            let Some(inner) = keys.iter().find(|inner| inner.in_table() == &**name) else {
                let nearest = keys.iter().min_by_key(|inner| n_edits(inner.in_table(), name));
                let dotted = format!("{}.{}", key.name, bare(name));
                return Err(self.unknown("key", &dotted, nearest.map_or("", |inner| inner.name)));
            };
            inner.check(self.origin, &Value::of(value.get_ref()), self.written(value.span()))?;
        }
        Ok(())
    }

    /// Checks that none of the keys of a table is left out.
    fn has_all(&self, key: &Key, keys: &[Key], table: &DeTable<'_>) -> Result<(), ConfigError> {
        let left_out = |inner: &&Key| !table.iter().any(|(name, _)| &**name.get_ref() == inner.in_table());
        keys.iter().find(left_out).map_or(Ok(()), |inner| {
            let (origin, all) = (self.origin.to_owned(), form::listed(keys));
            Err(ConfigError::Missing { origin, key: inner.name, table: key.name, all })
        })
    }

    fn unknown(&self, what: &'static str, name: &str, nearest: &'static str) -> ConfigError {
        ConfigError::Unknown { origin: self.origin.to_owned(), what, name: shortened(name), nearest }
    }

    fn nearest_section(&self, section: &str) -> &'static str {
        let sections = self.keys.iter().map(|key| key.in_section().0);
        sections.min_by_key(|known| n_edits(known, section)).unwrap_or_default()
    }

    /// Returns the key that was probably meant: one of that very name in another section, else the one with the fewest letters changed.
    fn nearest_key(&self, section: &str, name: &str) -> &'static str {
        let n_changed = |key: &&Key| {
            // A list of tables has no name beside its section's.
            let (of_section, known) = if key.in_section().1.is_empty() { ("", key.name) } else { key.in_section() };
            if known == name { 1 } else { n_edits(known, name) + n_edits(of_section, section) }
        };
        self.keys.iter().min_by_key(n_changed).map_or("", |key| key.name)
    }
}

/// Returns how many letters must be put in, taken out or changed to make one word the other.
fn n_edits(known: &str, word: &str) -> usize {
    let mut row: Vec<usize> = (0..=known.chars().count()).collect();
    for (n_before, letter) in word.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], n_before + 1);
        for (idx, other) in known.chars().enumerate() {
            let n_changed = diagonal + usize::from(letter != other);
            diagonal = row[idx + 1];
            row[idx + 1] = n_changed.min(diagonal + 1).min(row[idx] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Returns text from a file as one line that is not too long.
fn shortened(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.chars().take(SHOWN_CHARS_MAX) {
        if letter.is_control() { shown.extend(letter.escape_default()) } else { shown.push(letter) }
    }
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push_str("...");
    }
    shown
}

/// Returns one part of a dotted key as a file would have it: in quotes, unless it needs none.
fn bare(part: &str) -> String {
    let is_bare = !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if is_bare { part.to_owned() } else { format!("{part:?}") }
}

#[cfg(test)]
mod tests;
