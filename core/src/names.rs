//! Names of triggers: what people call them by, beside the ids that travel.
//!
//! Called by clients, which make names, and by whoever shows a trigger to people. A name proves itself: the trigger's id is its hash, so a
//! [`TriggerName`] is always that of its id, whoever said it. Of the few texts that share 32 bits of a hash the one that is known first counts.

use crate::ids::TriggerId;
use std::sync::Arc;

/// The longest name of a trigger.
pub const TRIGGER_NAME_MAX_BYTES: usize = 256;
/// Names that go along with one trace at most: as many as firings are told of it.
pub const TRIGGER_NAMES_MAX: usize = crate::coordination::FIRED_MAX;

/// A text that no trigger can be called by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TriggerNameError {
    /// Empty, or too long.
    #[error("a trigger's name has 1 to {TRIGGER_NAME_MAX_BYTES} bytes, not {bytes}")]
    Len {
        /// Its length.
        bytes: usize,
    },
    /// It would break the line that it stands in.
    #[error("a trigger's name has no control characters")]
    Control,
    /// People mean another trigger by it.
    #[error("it is read as trigger {of}")]
    Taken {
        /// Which.
        of: TriggerId,
    },
    /// Its hash is one of the reserved ids.
    #[error("it hashes to the reserved id {id}")]
    ReservedId {
        /// The id.
        id: u32,
    },
}

/// The name of a trigger, with its id.
///
/// # Shape
/// 1 to [`TRIGGER_NAME_MAX_BYTES`] bytes of UTF-8 without control characters; [`TriggerId::from_text`] finds the id by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct TriggerName {
    id: TriggerId,
    text: Arc<str>,
}

impl TriggerName {
    /// Returns the name `text`.
    ///
    /// # Errors
    /// A text that no trigger can be called by.
    /// # Cost
    /// One hash, one allocation.
    pub fn new(text: &str) -> Result<Self, TriggerNameError> {
        Ok(Self { id: Self::check(text)?, text: text.into() })
    }

    /// Returns the id of the trigger called `text`.
    ///
    /// # Errors
    /// As [`TriggerName::new`].
    /// # Cost
    /// One hash.
    pub fn check(text: &str) -> Result<TriggerId, TriggerNameError> {
        if text.is_empty() || text.len() > TRIGGER_NAME_MAX_BYTES {
            return Err(TriggerNameError::Len { bytes: text.len() });
        }
        if text.chars().any(char::is_control) {
            return Err(TriggerNameError::Control);
        }
        let reserved_id = TriggerNameError::ReservedId { id: crate::priority::text_hash(text) };
        let id = TriggerId::from_name(text).ok_or(reserved_id)?;
        match TriggerId::from_text(text) {
            Some(of) if of == id => Ok(id),
            of => Err(TriggerNameError::Taken { of: of.unwrap_or_default() }),
        }
    }

    /// Returns the trigger's id.
    pub const fn id(&self) -> TriggerId {
        self.id
    }

    /// Returns the name as text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the name as others may hold it too.
    pub const fn shared(&self) -> &Arc<str> {
        &self.text
    }

    /// Holds `text` in place of its own, if that is the same.
    pub fn share(&mut self, text: &Arc<str>) {
        if self.text == *text {
            self.text = text.clone();
        }
    }
}

/// Returns the id of the trigger called `name` that fires by an expression: `expression` is the one that nobody named.
///
/// # Errors
/// As [`TriggerName::new`]; also for the other reserved triggers, which fire for reasons of their own.
pub fn expression_trigger(name: &str) -> Result<TriggerId, TriggerNameError> {
    let is_unnamed = TriggerId::EXPRESSION.reserved_name() == Some(name);
    if is_unnamed { Ok(TriggerId::EXPRESSION) } else { TriggerName::check(name) }
}

/// Names of triggers, by id.
///
/// # Shape
/// Ascending by id, one name each; whoever adds names bounds their number.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TriggerNames {
    names: Vec<TriggerName>,
}

impl TriggerNames {
    /// Returns no names.
    pub const fn new() -> Self {
        Self { names: Vec::new() }
    }

    /// Returns the name of `trigger`, those of reserved ones included; `None` where it is not known.
    pub fn get(&self, trigger: TriggerId) -> Option<&str> {
        let known = || Some(self.names.get(self.position(trigger).ok()?)?.text());
        trigger.reserved_name().or_else(known)
    }

    /// Returns the name of `trigger` as it was added: a reserved one has none.
    pub fn name(&self, trigger: TriggerId) -> Option<&TriggerName> {
        self.names.get(self.position(trigger).ok()?)
    }

    /// Returns what people read of `trigger`: its name, or its id where the name is not known.
    pub fn label(&self, trigger: TriggerId) -> String {
        self.get(trigger).map_or_else(|| trigger.to_string(), str::to_owned)
    }

    /// Adds a name, unless there are `max` or one of that trigger; returns whether it did.
    pub fn add(&mut self, name: TriggerName, max: usize) -> bool {
        let Err(position) = self.position(name.id) else { return false };
        if self.names.len() >= max {
            return false;
        }
        self.names.insert(position, name);
        true
    }

    /// Returns the names of those triggers for which `is_wanted` says so.
    pub fn only(&self, is_wanted: impl Fn(TriggerId) -> bool) -> Self {
        Self { names: self.names.iter().filter(|name| is_wanted(name.id)).cloned().collect() }
    }

    /// Returns all, ascending by id.
    pub fn iter(&self) -> impl Iterator<Item = &TriggerName> {
        self.names.iter()
    }

    /// Returns all, ascending by id, so that their texts can be shared.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut TriggerName> {
        self.names.iter_mut()
    }

    /// Returns how many there are.
    pub const fn len(&self) -> usize {
        self.names.len()
    }

    /// Returns whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    fn position(&self, trigger: TriggerId) -> Result<usize, usize> {
        self.names.binary_search_by_key(&trigger, |name| name.id)
    }
}

#[cfg(test)]
mod tests;
