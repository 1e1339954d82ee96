//! The names of triggers: found among the strings of the processes that fire them, told by people, or by the coordinator.
//!
//! Called by the recorder whenever it meets a trigger, and by all that show one. Strings of regions are anybody's, and so is what other hosts
//! say: a name is believed because the trigger's id is its hash ([`TriggerName`]), and what is looked at and kept is bounded.

use crate::limits::{TRIGGERS_MAX, TokenBucket};
use crate::triggers::Event;
use backsight_core::ids::TriggerId;
use backsight_core::names::{TRIGGER_NAMES_MAX, TriggerName, TriggerNames};
use backsight_core::units::Nanos;
use backsight_ringbuf::storage::Storage;
use backsight_ringbuf::strings;
use std::collections::BTreeMap;

/// Looks into the strings of one process a second, and at once: each reads up to 65 534 words, some tens of microseconds.
const LOOKS_PER_S: u64 = 32;
/// How long after a look that found nothing the same process is not searched for that name again.
const SOUGHT_FOR: Nanos = Nanos::from_ms(5_000);
/// Triggers of one process that were looked for in vain and are remembered; beyond, all are forgotten, and the rate alone bounds looks.
const SOUGHT_MAX: usize = 128;
/// Strings with the hash of a name that are looked at: honest processes have one.
const CANDIDATES_MAX: usize = 4;

/// What one process may cost: its looks, and what was not found among its strings.
#[derive(Debug)]
pub struct Search {
    looks: TokenBucket,
    sought: BTreeMap<TriggerId, Nanos>,
}

impl Search {
    /// Returns the search of a process that has fired nothing.
    pub const fn new(now: Nanos) -> Self {
        Self { looks: TokenBucket::new(LOOKS_PER_S, now), sought: BTreeMap::new() }
    }

    /// Looks for the name of `trigger` among the strings in `store`.
    ///
    /// # Cost
    /// One lookup where it was looked for a moment ago or too much was; else one read per string, 65 534 at most.
    fn look<S: Storage>(&mut self, store: &S, trigger: TriggerId, now: Nanos) -> Option<TriggerName> {
        let is_sought = self.sought.get(&trigger).is_some_and(|since| now.0.saturating_sub(since.0) < SOUGHT_FOR.0);
        if is_sought || !self.looks.take(now) {
            return None;
        }
        let found = find(store, trigger);
        if found.is_none() {
            if self.sought.len() >= SOUGHT_MAX {
                self.sought.clear();
            }
            self.sought.insert(trigger, now);
        }
        found
    }
}

/// Returns the name of `trigger` that stands among the strings in `store`.
fn find<S: Storage>(store: &S, trigger: TriggerId) -> Option<TriggerName> {
    let named = |text: Vec<u8>| TriggerName::new(std::str::from_utf8(&text).ok()?).ok();
    strings::with_hash(store, trigger.0).take(CANDIDATES_MAX).filter_map(named).find(|name| name.id() == trigger)
}

/// The names that a host knows.
///
/// # Shape
/// At most [`TRIGGERS_MAX`] of triggers that fired here, as many as have a limit of their own, and as many that only other hosts told of. Each of
/// the two is forgotten whole when there are too many: one process can fill the former, strangers the latter, and a name that is used comes
/// again.
#[derive(Debug, Default)]
pub struct Names {
    own: TriggerNames,
    heard: TriggerNames,
    /// Triggers without a known name that processes fired, and which process: looked for with the next decision.
    unknown: Vec<(u32, TriggerId)>,
}

impl Names {
    /// Returns what people read of `trigger`: its name, or its id where nobody told the name.
    pub fn label(&self, trigger: TriggerId) -> String {
        self.known(trigger).map_or_else(|| trigger.to_string(), str::to_owned)
    }

    /// Returns the name of `trigger`, those of reserved ones included; `None` where nobody told it.
    pub fn known(&self, trigger: TriggerId) -> Option<&str> {
        self.own.get(trigger).or_else(|| self.heard.get(trigger))
    }

    /// Returns the name of `trigger`, `None` where it is reserved or nobody told the name.
    pub fn name(&self, trigger: TriggerId) -> Option<&TriggerName> {
        self.own.name(trigger).or_else(|| self.heard.name(trigger))
    }

    /// Takes a name that a person used; a text that is none is passed over.
    pub fn told(&mut self, text: &str) {
        if let Ok(name) = TriggerName::new(text) {
            self.add_own(name);
        }
    }

    fn add_own(&mut self, name: TriggerName) {
        if self.own.len() >= TRIGGERS_MAX && self.own.name(name.id()).is_none() {
            self.own = TriggerNames::new();
        }
        self.own.add(name, TRIGGERS_MAX);
    }

    /// Takes a name that the coordinator told.
    pub fn heard(&mut self, name: &TriggerName) {
        if self.name(name.id()).is_some() {
            return;
        }
        if self.heard.len() >= TRIGGERS_MAX {
            self.heard = TriggerNames::new();
        }
        self.heard.add(name.clone(), TRIGGERS_MAX);
    }

    /// Notes what the process at `position` fired; mostly all names are known.
    pub fn note_fired(&mut self, position: u32, events: &[Event]) {
        for trigger in events.iter().filter_map(Event::trigger) {
            if trigger.0 >= TriggerId::FIRST_NAMED && self.own.name(trigger).is_none() {
                self.unknown.push((position, trigger));
            }
        }
    }

    /// Takes the triggers that were noted since the last call and whose names are not known.
    pub fn take_unknown(&mut self) -> Vec<(u32, TriggerId)> {
        std::mem::take(&mut self.unknown)
    }

    /// Meets a trigger that a process fired: where its name is not known, it is looked for among the process's strings.
    ///
    /// # Cost
    /// One lookup where the name is known; else that of a look, which [`Search`] bounds.
    pub fn meet<S: Storage>(&mut self, search: &mut Search, store: &S, trigger: TriggerId, now: Nanos) {
        if self.own.name(trigger).is_some() {
            return;
        }
        if let Some(name) = search.look(store, trigger, now) {
            self.add_own(name);
        }
    }

    /// Returns the names of some triggers, as far as they are known; at most [`TRIGGER_NAMES_MAX`].
    pub fn of(&self, triggers: impl Iterator<Item = TriggerId>) -> TriggerNames {
        let mut names = TriggerNames::new();
        for name in triggers.filter_map(|trigger| self.name(trigger)) {
            names.add(name.clone(), TRIGGER_NAMES_MAX);
        }
        names
    }
}

#[cfg(test)]
mod tests;
