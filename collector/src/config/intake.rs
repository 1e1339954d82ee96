//! `[intake]`: what of OTLP is taken, how much of it at once, and what of it must not be stored.
//!
//! Part of the configuration; the rules of redaction are put to work by `otlp`.

use backsight_core::units::Bytes;
use backsight_proto::config::{ConfigError, Form, Key, Origin};
use backsight_proto::wire::otlp_visit::Limits;
use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Rules of redaction at most: each attribute of each span is held against all of them.
pub const REDACT_MAX: usize = 64;
/// The memory that one pattern may take once it is compiled.
const PATTERN_MAX_BYTES: usize = 1 << 20;
/// Letters of a rule's key that an error repeats.
const SHOWN_CHARS_MAX: usize = 80;
/// What requests may be limited to, as they come and decompressed.
pub(super) const REQUEST_FORM: Form = Form::Size { min: Bytes(64 << 10), max: Bytes(1 << 30) };

/// The keys of a table `[[intake.redact]]`.
pub(super) const REDACT_KEYS: &[Key] = &[
    Key::new("intake.redact.key", Form::Text),
    Key::new("intake.redact.action", Form::Choice(&["drop", "hash", "mask"])),
    Key::new("intake.redact.pattern", Form::Text),
];

/// See the module.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IntakeConfig {
    /// Whether OTLP is taken at all.
    pub otlp: bool,
    /// Where exporters connect for gRPC: an address and a port, 0 for any free one.
    pub otlp_grpc: SocketAddr,
    /// Where exporters connect for HTTP.
    pub otlp_http: SocketAddr,
    /// Bytes of a request, as it comes.
    pub body_max: usize,
    /// Bytes of a request, decompressed.
    pub decompressed_max: usize,
    /// Bytes of an attribute's value.
    pub attr_value_max: usize,
    /// Attributes of a span, event, link, resource or scope.
    pub attrs_max: usize,
    /// Events of a span, and likewise links.
    pub events_max: usize,
    /// Values below each other in an attribute.
    pub depth_max: usize,
    /// The memory that all requests take together.
    pub in_flight_bytes: usize,
    /// Connections at a time, of both listeners together.
    pub connections_max: usize,
    /// What must not be stored.
    pub redact: Vec<RedactRule>,
    /// The file with the key of hashes.
    pub redact_key: Option<PathBuf>,
}

/// What becomes of attributes with one key, or with keys that begin alike.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedactRule {
    /// The key; with `*` at its end, each key that begins so.
    pub key: String,
    /// What becomes of them.
    pub action: RedactAction,
    /// What is masked in texts, a regular expression; of [`RedactAction::Mask`] alone.
    #[serde(default)]
    pub pattern: Option<String>,
}

/// What becomes of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedactAction {
    /// It goes.
    Drop,
    /// A keyed hash stands in place of its value: equal values stay equal, and nobody without the key can try out values.
    Hash,
    /// What matches a pattern is replaced in its texts.
    Mask,
}

impl Default for IntakeConfig {
    fn default() -> Self {
        let Limits { request_max, attr_value_max, attrs_max, events_max, depth_max } = Limits::default();
        Self {
            otlp: true,
            otlp_grpc: SocketAddr::from(([127, 0, 0, 1], 4317)),
            otlp_http: SocketAddr::from(([127, 0, 0, 1], 4318)),
            body_max: 20 << 20,
            decompressed_max: request_max,
            attr_value_max,
            attrs_max,
            events_max,
            depth_max,
            in_flight_bytes: 256 << 20,
            connections_max: 1024,
            redact: Vec::new(),
            redact_key: None,
        }
    }
}

impl IntakeConfig {
    /// Returns what a request, and a span in it, may hold.
    pub const fn limits(&self) -> Limits {
        Limits {
            request_max: self.decompressed_max,
            attr_value_max: self.attr_value_max,
            attrs_max: self.attrs_max,
            events_max: self.events_max,
            depth_max: self.depth_max,
        }
    }

    /// Returns the memory for requests: that of the largest one, in two forms, is there in any case.
    pub fn room_bytes(&self) -> usize {
        self.in_flight_bytes.max(2 * (self.body_max + self.decompressed_max))
    }

    /// Checks the rules of redaction by themselves and beside each other.
    pub(super) fn check(&self, origin: Origin<'_>) -> Result<(), ConfigError> {
        for (idx, rule) in self.redact.iter().enumerate() {
            let is_again = self.redact[..idx].iter().any(|other| other.key == rule.key);
            let allowed = match rule.action {
                _ if idx >= REDACT_MAX => format!("{REDACT_MAX} rules"),
                _ if is_again => "each key once".to_owned(),
                _ if rule.key.is_empty() => "a key, or the beginning of keys with * behind it".to_owned(),
                RedactAction::Mask => match rule.pattern.as_deref().map(pattern) {
                    None => "the action mask beside a pattern".to_owned(),
                    Some(Err(error)) => {
                        format!(
                            "a regular expression as pattern; {}",
                            error.to_string().lines().last().unwrap_or_default()
                        )
                    }
                    Some(Ok(_)) => continue,
                },
                _ if rule.pattern.is_some() => "a pattern beside the action mask".to_owned(),
                RedactAction::Hash if self.redact_key.is_none() => {
                    "the action hash where intake.redact_key names a file with a key".to_owned()
                }
                RedactAction::Hash | RedactAction::Drop => continue,
            };
            let key: String = rule.key.chars().take(SHOWN_CHARS_MAX).collect();
            let shown = format!("rule {} of {key}", idx + 1);
            return Err(ConfigError::beside(origin, "intake.redact", &shown, allowed));
        }
        Ok(())
    }
}

/// Returns what a pattern means.
///
/// # Errors
/// It is none, or would take too much memory.
pub(crate) fn pattern(text: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).size_limit(PATTERN_MAX_BYTES).build()
}
