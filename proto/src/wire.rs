//! Between the messages of `v1` and the types of `core`: everything that comes in is checked here, once.
//!
//! Called by the agent, the collector and the command line. What a newer version may have added is skipped; what no version says is an
//! error that names the field, and the message is dropped as a whole.

mod certificate;
mod coordination;
mod holding;
pub mod otlp_json;
pub mod otlp_redact;
pub mod otlp_reply;
pub mod otlp_visit;
mod report;
mod stored;
mod summary;

pub use backsight_core::coordination::Fired;
pub use report::Report;
pub use stored::StoredTrace;
pub use summary::Summary;

use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::names::{TRIGGER_NAMES_MAX, TriggerName, TriggerNameError, TriggerNames};

/// Traces of one group at most: the symptomatic one and 32 laterals.
pub const GROUP_MAX: usize = 33;

/// Traces that one [`crate::v1::Advise`] names at most.
pub const ADVISED_MAX: usize = 1024;

/// Questions that one [`crate::v1::Collects`] asks at most.
pub const COLLECTS_MAX: usize = 256;

/// Holdings that one [`crate::v1::Answers`] has at most.
pub const ANSWERED_MAX: usize = 256;

/// Acknowledgements that stand in one [`crate::v1::AnnounceAcks`] at most.
pub const ACKS_MAX: usize = 1024;

/// A message that no version of this protocol says.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// A field that has to be there is not.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// A field with a value that it cannot have.
    #[error("{field} is {value}, allowed is {allowed}")]
    Value {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What it may be.
        allowed: &'static str,
    },
    /// A list that is too long, or bytes of another length than they must have.
    #[error("{field} has length {len}, allowed is {allowed}")]
    Length {
        /// The field.
        field: &'static str,
        /// Its length.
        len: usize,
        /// What it may be.
        allowed: &'static str,
    },
    /// A text that no trigger can be called by.
    #[error("{field} is no name of a trigger")]
    Name {
        /// The field.
        field: &'static str,
        /// Why not.
        source: TriggerNameError,
    },
    /// The name of another trigger than the one that fired.
    #[error("{field} is the name of trigger {of}, not of {trigger}")]
    OtherName {
        /// The field.
        field: &'static str,
        /// Whose name it is.
        of: TriggerId,
        /// Whose it should be.
        trigger: TriggerId,
    },
}

/// Returns a trace id as it stands in a message.
pub fn trace_bytes(trace: TraceId) -> Vec<u8> {
    (u128::from(trace.hi) << 64 | u128::from(trace.lo)).to_be_bytes().to_vec()
}

/// Reads a trace id.
///
/// # Errors
/// Another length than 16 bytes, or the id that stands for no trace.
pub fn trace_id(field: &'static str, bytes: &[u8]) -> Result<TraceId, WireError> {
    let id: [u8; 16] =
        bytes.try_into().map_err(|_| WireError::Length { field, len: bytes.len(), allowed: "16 bytes" })?;
    let id = u128::from_be_bytes(id);
    if id == 0 {
        return Err(WireError::Value { field, value: 0, allowed: "any trace but none" });
    }
    Ok(TraceId::new((id >> 64) as u64, id as u64))
}

/// Reads a trace id that may be left out.
///
/// # Errors
/// As [`trace_id`].
pub fn optional_trace_id(field: &'static str, bytes: &[u8]) -> Result<Option<TraceId>, WireError> {
    if bytes.is_empty() { Ok(None) } else { trace_id(field, bytes).map(Some) }
}

/// Returns names of triggers as they stand in a message.
fn name_texts(names: &TriggerNames) -> Vec<String> {
    names.iter().map(|name| name.text().to_owned()).collect()
}

/// Reads names of triggers; of those of one id the first counts.
fn names(field: &'static str, texts: &[String]) -> Result<TriggerNames, WireError> {
    at_most(field, texts, TRIGGER_NAMES_MAX, "at most 256")?;
    let mut names = TriggerNames::new();
    for text in texts {
        names.add(TriggerName::new(text).map_err(|source| WireError::Name { field, source })?, TRIGGER_NAMES_MAX);
    }
    Ok(names)
}

/// Returns the name of a trigger as it stands in a message, empty where it is not known.
fn name_text(name: Option<&TriggerName>) -> String {
    name.map(|name| name.text().to_owned()).unwrap_or_default()
}

/// Reads the name of `trigger`, which may be left out.
fn name_of(field: &'static str, trigger: TriggerId, text: &str) -> Result<Option<TriggerName>, WireError> {
    if text.is_empty() {
        return Ok(None);
    }
    let name = TriggerName::new(text).map_err(|source| WireError::Name { field, source })?;
    if name.id() != trigger {
        return Err(WireError::OtherName { field, of: name.id(), trigger });
    }
    Ok(Some(name))
}

/// Checks the length of a list.
fn at_most<T>(field: &'static str, list: &[T], max: usize, allowed: &'static str) -> Result<(), WireError> {
    if list.len() > max {
        return Err(WireError::Length { field, len: list.len(), allowed });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
