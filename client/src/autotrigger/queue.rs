//! Queue: fires for requests that waited unusually long, and takes those along that left the queue before them.
//!
//! Called where requests leave a queue. What made a request wait are the ones in front of it.

use super::AutotriggerError;
use super::condition::{Condition, Sample};
use super::set::Set;
use backsight_core::ids::{TraceId, TriggerId};

/// Fires for waiting times in the top `1 - p` of late; the traces that left the queue last are collected along.
///
/// # Shape
/// 150 KiB, allocated once. Make one per queue and keep it in a static.
#[derive(Debug)]
pub struct Queue {
    set: Set,
}

impl Queue {
    /// Returns a trigger called `name` for percentile `p` of waiting times, as a share, with the `n_laterals` traces that left before.
    ///
    /// # Errors
    /// A name that is refused, a `p` outside of 0.5 to 0.99999, or more than 32 laterals.
    pub fn new(name: &str, p: f64, n_laterals: usize) -> Result<Self, AutotriggerError> {
        Ok(Self { set: Set::new(name, Condition::percentile(p)?, n_laterals)? })
    }

    /// Counts that the active trace left the queue after `waited`, in any unit; where that is unusually long, fires. Returns whether it was.
    ///
    /// # Cost
    /// See [`Set::sample`].
    #[inline]
    pub fn sample(&self, waited: u64) -> bool {
        self.set.sample(&Sample { value: waited, ..Sample::default() })
    }

    /// Does what [`Queue::sample`] does, for `trace`, active or not: where one thread takes requests from the queue for others.
    #[inline]
    pub fn sample_for(&self, trace: TraceId, waited: u64) -> bool {
        self.set.sample_for(trace, &Sample { value: waited, ..Sample::default() })
    }

    /// Returns the trigger's id.
    pub fn trigger_id(&self) -> TriggerId {
        self.set.trigger_id()
    }
}
