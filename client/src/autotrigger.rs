//! Autotriggers: symptoms that a program notices by itself, and the names of triggers.
//!
//! Called by applications, on any thread, once per request or value. All memory is allocated when a trigger is made; a sample takes
//! constant time, no lock and no system call. What decides ([`percentile::Histogram`], [`category::Shares`]) knows nothing of agents and
//! can be tested as arithmetic; firing is [`crate::trigger`](fn@crate::trigger).

pub mod category;
pub mod exception;
pub mod percentile;

pub use category::Category;
pub use percentile::Percentile;

use backsight_core::ids::TriggerId;
use std::fmt;
use std::sync::OnceLock;

/// Triggers that a process may name; agents have room for as many.
pub const TRIGGERS_MAX: usize = 1024;
/// The longest name of a trigger.
pub const NAME_MAX_BYTES: usize = 256;
/// Counters of threads that write at the same time; more threads share them.
pub(crate) const SHARDS: usize = 16;

/// Why a trigger cannot be made.
#[derive(Clone, PartialEq, Debug)]
pub enum AutotriggerError {
    /// The name is empty or too long.
    NameLen {
        /// Its length.
        bytes: usize,
    },
    /// The name's hash is one of the reserved ids.
    NameReserved {
        /// The name.
        name: String,
        /// Its id.
        id: u32,
        /// What the id stands for, where that is known.
        reserved: &'static str,
    },
    /// Another trigger of this process has the same id.
    NameClash {
        /// The name.
        name: String,
        /// The one that came first.
        other: String,
        /// The id of both.
        id: TriggerId,
    },
    /// The process has named [`TRIGGERS_MAX`] triggers.
    TooMany {
        /// The name that came too late.
        name: String,
    },
    /// A share or percentile outside of what works.
    OutOfRange {
        /// Which parameter.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The values that work.
        expected: &'static str,
    },
}

impl fmt::Display for AutotriggerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameLen { bytes } => write!(f, "a trigger's name has 1 to {NAME_MAX_BYTES} bytes, not {bytes}"),
            Self::NameReserved { name, id, reserved } => {
                write!(f, "trigger `{name}` hashes to the reserved id {id} (`{reserved}`): choose another name")
            }
            Self::NameClash { name, other, id } => {
                write!(f, "triggers `{name}` and `{other}` have the same id {id}: rename one of them")
            }
            Self::TooMany { name } => write!(f, "trigger `{name}` would be number {}", TRIGGERS_MAX + 1),
            Self::OutOfRange { what, value, expected } => write!(f, "{what} is {value}, expected {expected}"),
        }
    }
}

impl std::error::Error for AutotriggerError {}

/// The names of a process's triggers, in the order of their coming.
///
/// # Shape
/// Filled from the front and never emptied; who comes looks from the front, so two threads with one name meet in the same place.
#[derive(Debug)]
pub struct Registry {
    names: [OnceLock<(TriggerId, Box<str>)>; TRIGGERS_MAX],
}

/// This process's.
static REGISTRY: Registry = Registry::new();

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// Returns an empty registry.
    pub const fn new() -> Self {
        Self { names: [const { OnceLock::new() }; TRIGGERS_MAX] }
    }

    /// Returns the id of the trigger called `name`, which is remembered; the same name may come again.
    ///
    /// # Errors
    /// A name whose id is reserved or another's, or one too many.
    /// # Cost
    /// A search among the names; allocates. For start-up, not for requests.
    pub fn register(&self, name: &str) -> Result<TriggerId, AutotriggerError> {
        if name.is_empty() || name.len() > NAME_MAX_BYTES {
            return Err(AutotriggerError::NameLen { bytes: name.len() });
        }
        let hash = backsight_core::priority::text_hash(name);
        let id = TriggerId::from_name(name).ok_or_else(|| AutotriggerError::NameReserved {
            name: name.to_owned(),
            id: hash,
            reserved: TriggerId(hash).reserved_name().unwrap_or("reserved"),
        })?;
        self.insert(name, id)
    }

    /// Registers `name` under `id`; apart from [`Registry::register`] so that clashes can be tested.
    fn insert(&self, name: &str, id: TriggerId) -> Result<TriggerId, AutotriggerError> {
        for entry in &self.names {
            let (other_id, other) = entry.get_or_init(|| (id, name.into()));
            if *other_id != id {
                continue;
            }
            if **other == *name {
                return Ok(id);
            }
            return Err(AutotriggerError::NameClash { name: name.to_owned(), other: other.to_string(), id });
        }
        Err(AutotriggerError::TooMany { name: name.to_owned() })
    }
}

/// Returns the id of the trigger called `name`, for [`crate::trigger`](fn@crate::trigger).
///
/// # Errors
/// See [`Registry::register`].
pub fn register(name: &str) -> Result<TriggerId, AutotriggerError> {
    REGISTRY.register(name)
}

/// Returns which of the [`SHARDS`] the calling thread counts in.
#[inline(always)]
pub(crate) fn shard() -> usize {
    // Blocks are handed out in turn, so their numbers spread threads evenly.
    crate::block::current().map_or(0, |block| block.number() % SHARDS)
}

#[cfg(test)]
mod tests;
