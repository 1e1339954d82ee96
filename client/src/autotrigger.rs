//! Autotriggers: symptoms that a program notices by itself, and the names of triggers.
//!
//! Called by applications, on any thread, once per request or value. All memory is allocated when a trigger is made; a sample takes
//! constant time, no lock and no system call. What decides ([`percentile::Histogram`], [`category::Shares`], [`burn::BurnRate`], [`rate::EventRate`], and
//! [`Condition`], which composes them) knows nothing of agents and clocks and can be tested as arithmetic; firing is
//! [`crate::trigger`](fn@crate::trigger).

pub mod burn;
pub mod category;
pub mod condition;
pub mod exception;
pub mod percentile;
pub mod queue;
pub mod rate;
mod recent;
pub mod set;
mod turn;
mod window;

pub use burn::{Burn, Burning};
pub use category::Category;
pub use condition::{Condition, Sample};
pub use percentile::Percentile;
pub use queue::Queue;
pub use rate::Rate;
pub use set::Set;
pub use window::{Outcome, Spans};

pub(crate) use crate::slab::generation;

use crate::process;
use backsight_core::ids::TriggerId;
use backsight_core::names::{TRIGGER_NAME_MAX_BYTES, TriggerName, TriggerNameError};
use backsight_core::sync::{Ordering, fence};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::shm::View;
use backsight_ringbuf::strings;
use std::fmt;
use std::sync::OnceLock;

/// Triggers that a process may name; agents have room for as many.
pub const TRIGGERS_MAX: usize = 1024;
/// The longest name of a trigger.
pub const NAME_MAX_BYTES: usize = TRIGGER_NAME_MAX_BYTES;
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
    /// People would not find the trigger by the name, or not be able to read it.
    NameUnfit {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: TriggerNameError,
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
    /// A parameter outside of what works.
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
            Self::NameUnfit { name, why } => write!(f, "no trigger can be called `{}`: {why}", name.escape_debug()),
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
    /// A name that is no [`TriggerName`], one whose id is another's, or one too many.
    /// # Cost
    /// A search among the names; allocates. For start-up, not for requests.
    pub fn register(&self, name: &str) -> Result<TriggerId, AutotriggerError> {
        let refused = |why| match why {
            TriggerNameError::Len { bytes } => AutotriggerError::NameLen { bytes },
            TriggerNameError::ReservedId { id } => AutotriggerError::NameReserved {
                name: name.to_owned(),
                id,
                reserved: TriggerId(id).reserved_name().unwrap_or("reserved"),
            },
            TriggerNameError::Control | TriggerNameError::Taken { .. } => {
                AutotriggerError::NameUnfit { name: name.to_owned(), why }
            }
        };
        self.insert(name, TriggerName::check(name).map_err(refused)?)
    }

    /// Returns the names so far. Does not wait for a name that another thread is about to add.
    fn names(&self) -> impl Iterator<Item = (TriggerId, &str)> {
        self.names.iter().map_while(|entry| entry.get()).map(|(id, name)| (*id, &**name))
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

/// Returns the id of the trigger called `name`, for [`crate::trigger`](fn@crate::trigger), and has the agent know the name: people then read
/// it wherever the trigger is shown.
///
/// # Errors
/// See [`Registry::register`].
/// # Cost
/// That of [`Registry::register`] and, where there is a session, of interning a string.
pub fn register(name: &str) -> Result<TriggerId, AutotriggerError> {
    let id = REGISTRY.register(name)?;
    // Pairs with the fence in `leave_names`: the session is open for us to see, or whoever opens it sees the name.
    fence(Ordering::SeqCst);
    if let Some(session) = process::open_session() {
        leave_name(&session.view, name, id);
    }
    Ok(id)
}

/// Leaves the names of all triggers in the region of a session that was just opened: at the start, in a forked child, with another agent.
///
/// # Cost
/// A search among the region's strings for each name: a few microseconds for the few triggers that a program has, some milliseconds for
/// the most that it may have. Allocates nothing, waits for nobody.
#[cold]
pub(crate) fn leave_names(view: &View) {
    fence(Ordering::SeqCst); // pairs with the one in `register`
    for (id, name) in REGISTRY.names() {
        leave_name(view, name, id);
    }
}

/// Leaves a name among the strings of a region, under its trigger's id as the hash: by that the agent finds it.
fn leave_name(view: &View, name: &str, id: TriggerId) {
    if strings::intern(view, name.as_bytes(), id.0).is_none() {
        process::count(DropReason::StringTable);
    }
}

/// Returns which of the [`SHARDS`] the calling thread counts in.
#[inline(always)]
pub(crate) fn shard() -> usize {
    // Blocks are handed out in turn, so their numbers spread threads evenly.
    crate::block::current().map_or(0, |block| block.number() % SHARDS)
}

/// Returns empty windows of `spans`.
///
/// # Errors
/// Spans outside of what works; the value is the short one, in seconds.
fn windows(spans: Spans) -> Result<window::Windows, AutotriggerError> {
    let expected = "0.1 to 600 seconds, and the long one as long up to 60 times as long";
    let value = spans.short.as_secs_f64();
    window::Windows::new(spans).ok_or(AutotriggerError::OutOfRange { what: "short window", value, expected })
}

#[cfg(test)]
mod tests;
