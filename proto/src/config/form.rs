//! What a key of a configuration file may be set to.
//!
//! Called for each value of a file and each flag. Pure.

use super::Key;
use backsight_core::expr;
use backsight_core::ids::TriggerId;
use backsight_core::names::expression_trigger;
use backsight_core::units::Bytes;
use std::ffi::OsStr;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use toml::de::DeValue;

/// What a key may be set to; prints what is allowed.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// A whole number, both ends included.
    Number {
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// As [`Form::Number`], in bytes.
    Size {
        /// The least.
        min: Bytes,
        /// The most.
        max: Bytes,
    },
    /// Above 0 and at most 1.
    Share,
    /// True or false.
    Flag,
    /// Any text.
    Text,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A path, neither empty nor longer than this.
    Path {
        /// The most bytes.
        len_max: usize,
    },
    /// An address and a port.
    Address,
    /// A list of at most 16 `http://host:port`, none of them twice.
    Peers,
    /// A list of at most 16 origins of pages, none of them twice.
    Origins,
    /// What stands before the paths of a server: empty, or parts behind slashes.
    BasePath,
    /// What an agent's own trigger may be called.
    TriggerName,
    /// What any trigger may be called.
    Trigger,
    /// A trigger expression.
    Expression,
    /// Tables, each with keys of these.
    Tables(&'static [Key]),
    /// One table, with all of these keys.
    Table(&'static [Key]),
}

/// A value of a file or a flag.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A whole number, held within what fits.
    Integer(i128),
    /// A number with a point, an exponent, or a name.
    Float(f64),
    /// True or false.
    Flag(bool),
    /// A string, or a path of the command line.
    Text(&'a OsStr),
    /// A list.
    List(Vec<Value<'a>>),
    /// A date, a time, or both.
    Time,
    /// Keys and values.
    Table,
}

impl<'a> Value<'a> {
    pub(super) fn of(value: &'a DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(OsStr::new(text.as_ref())),
            DeValue::Integer(digits) => {
                let beyond = if digits.as_str().starts_with('-') { i128::MIN } else { i128::MAX };
                Self::Integer(i128::from_str_radix(digits.as_str(), digits.radix()).unwrap_or(beyond))
            }
            DeValue::Float(digits) => Self::Float(digits.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(flag) => Self::Flag(*flag),
            DeValue::Datetime(_) => Self::Time,
            DeValue::Array(list) => Self::List(list.iter().map(|value| Self::of(value.get_ref())).collect()),
            DeValue::Table(_) => Self::Table,
        }
    }

    /// Returns what an error says in place of a value that may take many lines.
    pub(super) fn named(&self) -> Option<&'static str> {
        match self {
            Self::Table => Some("a table"),
            Self::List(values) if values.contains(&Self::Table) => Some("a list of tables"),
            _ => None,
        }
    }

    fn text(&self) -> Option<&'a str> {
        match self {
            Self::Text(text) => text.to_str(),
            _ => None,
        }
    }
}

impl fmt::Display for Value<'_> {
    /// Prints a value as a file would have it, so far as an error needs it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Float(number) => number.fmt(f),
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::List(values) => {
                f.write_str("[")?;
                for (idx, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if idx == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
            Self::Time => f.write_str("a time"),
            Self::Table => f.write_str("a table"),
        }
    }
}

/// The longest list of [`Form::Peers`] and of [`Form::Origins`].
const PEERS_MAX: usize = 16;

impl Form {
    /// Returns whether a key of this form may be set to `value`.
    pub fn takes(&self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Self::Number { min, max }, Value::Integer(number)) => (i128::from(*min)..=(*max).into()).contains(number),
            (Self::Size { min, max }, Value::Integer(number)) => (i128::from(min.0)..=max.0.into()).contains(number),
            (Self::Share, Value::Float(share)) => *share > 0.0 && *share <= 1.0,
            (Self::Share, Value::Integer(share)) => *share == 1,
            (Self::Flag, Value::Flag(_)) | (Self::Text, Value::Text(_)) => true,
            (Self::Choice(words), value) => value.text().is_some_and(|text| words.contains(&text)),
            (Self::Path { len_max }, Value::Text(path)) => {
                let path = path.as_encoded_bytes();
                (1..=*len_max).contains(&path.len()) && !path.contains(&0)
            }
            (Self::Address, value) => value.text().is_some_and(|text| text.parse::<SocketAddr>().is_ok()),
            (Self::Peers, Value::List(peers)) => {
                // With and without a slash at its end it is one, and its connections would end each other for ever.
                let host = |peer: &Value<'_>| peer.text().map(|url| url.trim_end_matches('/').to_owned());
                let is_new =
                    |(idx, peer): (usize, &Value<'_>)| peers[..idx].iter().all(|before| host(before) != host(peer));
                let all_are_peers = peers.iter().all(|peer| peer.text().is_some_and(is_peer));
                peers.len() <= PEERS_MAX && all_are_peers && peers.iter().enumerate().all(is_new)
            }
            (Self::Origins, Value::List(origins)) => {
                let is_new = |(idx, origin): (usize, &Value<'_>)| !origins[..idx].contains(origin);
                let all_are_origins = origins.iter().all(|origin| origin.text().is_some_and(is_origin));
                origins.len() <= PEERS_MAX && all_are_origins && origins.iter().enumerate().all(is_new)
            }
            (Self::BasePath, value) => value.text().is_some_and(is_base_path),
            (Self::TriggerName, value) => value.text().is_some_and(|name| expression_trigger(name).is_ok()),
            (Self::Trigger, value) => value.text().is_some_and(|name| TriggerId::from_text(name).is_some()),
            (Self::Expression, value) => value.text().is_some_and(|text| expr::parse(text).is_ok()),
            (Self::Tables(_), Value::List(tables)) => tables.iter().all(|table| *table == Value::Table),
            (Self::Table(_), Value::Table) => true,
            _ => false,
        }
    }

    /// Returns what an error says is allowed where `value` is not: of a text that says something wrong, with what that is.
    pub(super) fn refusal(&self, value: &Value<'_>) -> Option<String> {
        if self.takes(value) {
            return None;
        }
        let wrong = value.text().and_then(|text| match self {
            Self::TriggerName => expression_trigger(text).err().map(|error| error.to_string()),
            Self::Expression => expr::parse(text).err().map(|error| error.to_string()),
            _ => None,
        });
        Some(wrong.map_or_else(|| self.to_string(), |wrong| format!("{self}; {wrong}")))
    }

    /// Returns what an error says of a value that was `written` so.
    pub(super) fn show(&self, value: &Value<'_>, written: &str) -> String {
        match (self, value) {
            (_, Value::Table) => "a table".to_owned(),
            (Self::Size { .. }, Value::Integer(number)) => match u64::try_from(*number) {
                Ok(bytes) if bytes >= 1024 => format!("{written} ({})", Bytes(bytes)),
                _ => written.to_owned(),
            },
            (Self::Path { .. }, Value::Text(path)) => format!("{written} ({} B)", path.len()),
            (Self::Peers | Self::Origins, Value::List(peers)) if peers.len() > 1 => {
                format!("a list of {}", peers.len())
            }
            _ => value.named().map_or_else(|| written.to_owned(), str::to_owned),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number { min, max } => write!(f, "a whole number from {min} to {max}"),
            Self::Size { min, max } => write!(f, "a whole number from {} ({min}) to {} ({max})", min.0, max.0),
            Self::Share => f.write_str("a number above 0 and at most 1"),
            Self::Flag => f.write_str("true or false"),
            Self::Text => f.write_str("a string"),
            Self::Choice(words) => write!(f, "one of \"{}\"", words.join("\", \"")),
            Self::Path { len_max } => write!(f, "a path of 1 to {len_max} B, as a string"),
            Self::Address => f.write_str("an address and a port, as \"127.0.0.1:4390\""),
            Self::TriggerName => f.write_str("the name of a trigger that is not reserved"),
            Self::Trigger => f.write_str("the name of a trigger, or its number as 0x2a3b4c5d"),
            Self::Expression => f.write_str("a trigger expression, as 'duration > 250ms and status = error'"),
            Self::Tables(keys) => {
                let list = keys.first().and_then(|key| key.name.rsplit_once('.')).map_or("", |(list, _)| list);
                write!(f, "a list of tables, each begun by a line [[{list}]]")
            }
            Self::Peers => write!(f, "a list of at most {PEERS_MAX}, none twice, as [\"http://127.0.0.1:4390\"]"),
            Self::Origins => write!(f, "a list of at most {PEERS_MAX}, none twice, as [\"https://grafana.example\"]"),
            Self::BasePath => f.write_str("a path as \"/jaeger\", of letters, digits and -._~, or \"\""),
            Self::Table(keys) => write!(f, "a table with {}", listed(keys)),
        }
    }
}

/// Returns the names of a table's keys, as people list them.
pub(super) fn listed(keys: &[Key]) -> String {
    let names: Vec<&str> = keys.iter().map(Key::in_table).collect();
    match names.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} and {last}", others.join(", ")),
        names => names.concat(),
    }
}

/// Returns whether `url` names a host and a port, and nothing else.
fn is_peer(url: &str) -> bool {
    let address = without_scheme(url).map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    address.and_then(|address| address.rsplit_once(':')).is_some_and(|(host, port)| is_host(host) && is_port(port))
}

/// Returns whether `url` is what browsers say a page is from: a host, and a port where that is not the scheme's own.
fn is_origin(url: &str) -> bool {
    let Some(address) = without_scheme(url) else { return false };
    match address.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
        Some((host, port)) => is_host(host) && is_port(port),
        None => is_host(address),
    }
}

fn without_scheme(url: &str) -> Option<&str> {
    url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))
}

fn is_host(host: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match bracketed {
        Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(named),
    }
}

fn is_port(port: &str) -> bool {
    port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Returns whether `path` can stand before others: nothing in it means anything to a router or needs encoding.
fn is_base_path(path: &str) -> bool {
    const PATH_MAX_BYTES: usize = 128;
    let is_part = |part: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        !part.is_empty() && part != "." && part != ".." && part.chars().all(is_plain)
    };
    let parts = path.strip_prefix('/');
    path.is_empty() || path.len() <= PATH_MAX_BYTES && parts.is_some_and(|parts| parts.split('/').all(is_part))
}
