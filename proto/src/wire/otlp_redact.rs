//! Rewrites OTLP trace requests without what must not be stored: values of attributes, by the attributes' keys.
//!
//! Called by whoever takes OTLP in, before the request is written anywhere. Which keys and what becomes of their values is a [`Redactor`]'s; here
//! is where attributes stand. A value that a rule concerns is never copied unread: what cannot be read of it is left out.

use super::otlp_visit::fields::{Fields, Raw};
use super::otlp_visit::pieces::{self, Message};
use super::otlp_visit::write;
use super::otlp_visit::{Attribute, DEPTH_MAX, Limits, OtlpError, Stop, Value};

/// Decides what becomes of attributes.
pub trait Redactor {
    /// Returns the number of the rule for attributes with this key, whatever their value; `None` where there is none.
    fn rule(&self, key: &[u8]) -> Option<usize>;

    /// Returns what becomes of a value under a rule.
    fn apply(&self, rule: usize, value: &Value<'_>) -> Redaction;
}

/// What becomes of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Redaction {
    /// It stays.
    Keep,
    /// It goes, with its key.
    Drop,
    /// This text stands in its place.
    Text(String),
    /// What stands in it, being a list or a map, is decided one by one; any other value goes.
    Inside,
}

/// A request that may be stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redacted {
    /// The encoded `ExportTraceServiceRequest`.
    pub request: Vec<u8>,
    /// Attributes, wherever they stood, that a rule concerned.
    pub n_attributes: u64,
}

/// Returns `request`, an encoded `ExportTraceServiceRequest`, as `redactor` lets it be stored.
///
/// # Shape
/// Attributes are those of resources, scopes, spans, events and links, and the pairs of maps in their values. All else is as it came.
/// # Errors
/// The request is not of the format, or over [`Limits::request_max`] before or after.
/// # Cost
/// Time linear in the request and in how deep values stand below each other; memory for the result.
pub fn redact(request: &[u8], limits: &Limits, redactor: &impl Redactor) -> Result<Redacted, OtlpError> {
    let is_within = |len: usize| {
        if len > limits.request_max { Err(OtlpError::TooLarge { len, max: limits.request_max }) } else { Ok(()) }
    };
    is_within(request.len())?;
    let mut rewrite = Rewrite { redactor, limits, n_attributes: 0 };
    let mut out = Vec::with_capacity(request.len());
    rewrite.copy(At::Request, request, LEVELS_MAX, &mut out)?;
    is_within(out.len())?;
    Ok(Redacted { request: out, n_attributes: rewrite.n_attributes })
}

/// A pair of an event stands five messages below the request, its value one more, and each value in a value at most three.
const LEVELS_MAX: usize = 6 + 3 * DEPTH_MAX;

/// Where in a request something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Request,
    ResourceSpans,
    Resource,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Pair,
    Value,
    List,
    Map,
}

impl At {
    /// Returns what stands in `field`, where attributes may stand in that.
    fn within(self, field: u32) -> Option<Self> {
        Some(match (self, field) {
            (Self::Request, 1) => Self::ResourceSpans,
            (Self::ResourceSpans, 1) => Self::Resource,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::ScopeSpans, 1) => Self::Scope,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::Span, 11) => Self::Event,
            (Self::Span, 13) => Self::Link,
            (Self::Resource | Self::Map, 1) | (Self::Scope | Self::Event, 3) | (Self::Link, 4) | (Self::Span, 9) => {
                Self::Pair
            }
            (Self::Pair, 2) | (Self::List, 1) => Self::Value,
            (Self::Value, 5) => Self::List,
            (Self::Value, 6) => Self::Map,
            _ => return None,
        })
    }
}

struct Rewrite<'r, R> {
    redactor: &'r R,
    limits: &'r Limits,
    n_attributes: u64,
}

impl<R: Redactor> Rewrite<'_, R> {
    /// Appends a message as it may be stored; nothing of it where it stands deeper than is ever read.
    fn copy(&mut self, at: At, message: &[u8], levels: usize, out: &mut Vec<u8>) -> Result<(), OtlpError> {
        let Some(levels) = levels.checked_sub(1) else { return Ok(()) };
        let mut fields = Fields::of(message);
        while let Some((field, raw)) = fields.next()? {
            match (at.within(field), raw) {
                (Some(At::Pair), Raw::Bytes(pair)) => self.pair(field, pair, levels, out)?,
                (Some(inner), Raw::Bytes(message)) => {
                    write::message(field, out, |out| self.copy(inner, message, levels, out))?;
                }
                (_, raw) => pieces::copy(field, raw, out),
            }
        }
        Ok(())
    }

    /// Appends an attribute as it may be stored.
    fn pair(&mut self, field: u32, pair: &[u8], levels: usize, out: &mut Vec<u8>) -> Result<(), OtlpError> {
        let Some(rule) = self.redactor.rule(key(pair)?) else {
            return write::message(field, out, |out| self.copy(At::Pair, pair, levels, out));
        };
        self.n_attributes += 1;
        // Of a value in pieces, what was there before the last kind would stay otherwise.
        let whole = pieces::joined(Message::KeyValue, pair, self.limits)?;
        match Attribute::read(&whole) {
            Ok(attribute) => self.attribute(field, rule, &attribute, levels, out),
            Err(Stop::Request(error)) => return Err(error),
            Err(Stop::Span(_) | Stop::InPieces) => {}
        }
        Ok(())
    }

    /// Appends an attribute that `rule` concerns.
    fn attribute(&self, field: u32, rule: usize, attribute: &Attribute<'_>, levels: usize, out: &mut Vec<u8>) {
        let mut value = Vec::new();
        if self.value(rule, &attribute.value, levels, &mut value) {
            write::message(field, out, |out| {
                write::bytes(1, attribute.key.as_bytes(), out);
                write::bytes(2, &value, out);
            });
        }
    }

    /// Appends a value as `rule` lets it be stored, and returns whether there is anything of it.
    fn value(&self, rule: usize, value: &Value<'_>, levels: usize, out: &mut Vec<u8>) -> bool {
        let Some(levels) = levels.checked_sub(1) else { return false };
        match (self.redactor.apply(rule, value), value) {
            (Redaction::Keep, value) => value.encode(out),
            (Redaction::Text(text), _) => write::bytes(1, text.as_bytes(), out),
            (Redaction::Inside, Value::List(list)) => write::message(5, out, |out| {
                for element in list.iter() {
                    let mut inner = Vec::new();
                    if self.value(rule, &element, levels, &mut inner) {
                        write::bytes(1, &inner, out);
                    }
                }
            }),
            (Redaction::Inside, Value::Map(map)) => write::message(6, out, |out| {
                for inner in map.iter() {
                    let rule = self.redactor.rule(inner.key.as_bytes()).unwrap_or(rule);
                    self.attribute(1, rule, &inner, levels, out);
                }
            }),
            (Redaction::Drop | Redaction::Inside, _) => return false,
        }
        true
    }
}

/// Returns the key of a pair: of several the last counts.
fn key(pair: &[u8]) -> Result<&[u8], OtlpError> {
    let mut fields = Fields::of(pair);
    let mut key = &[][..];
    while let Some((field, raw)) = fields.next()? {
        if let (1, Raw::Bytes(bytes)) = (field, raw) {
            key = bytes;
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests;
