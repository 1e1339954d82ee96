//! Trigger sets: fire where a condition holds, and have the traces that it was tested for lately collected along.
//!
//! Called once per request. The cause of a slow request is often in those that came before it: these are its *laterals*.

use super::AutotriggerError;
use super::condition::{Condition, Sample};
use super::recent::Recent;
use crate::{block, clock};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_ringbuf::abi::LATERALS_MAX;

/// Fires where a condition holds; the traces that it was tested for last are collected along.
///
/// # Shape
/// The condition's memory, and four places of 32 bytes for each lateral, rounded up to a power of two; allocated once. Keep it in a static.
#[derive(Debug)]
pub struct Set {
    trigger: TriggerId,
    condition: Condition,
    n_laterals: usize,
    recent: Recent,
}

impl Set {
    /// Returns a trigger called `name` that fires where `condition` holds, and takes the `n_laterals` traces along that were tested last, at
    /// most 32; 0 for those alone for which it holds.
    ///
    /// # Errors
    /// A name that is refused, or too many laterals.
    pub fn new(name: &str, condition: Condition, n_laterals: usize) -> Result<Self, AutotriggerError> {
        if n_laterals > LATERALS_MAX {
            let value = n_laterals as f64;
            return Err(AutotriggerError::OutOfRange { what: "number of laterals", value, expected: "0 to 32" });
        }
        Ok(Self { trigger: super::register(name)?, condition, n_laterals, recent: Recent::new(n_laterals) })
    }

    /// Tests the active trace by what `sample` shows of it, and fires for it where the condition holds. Returns whether that holds.
    ///
    /// # Cost
    /// That of the condition, of reading the kernel's coarse clock where that counts requests over time, and with laterals one atomic add on a
    /// line that all threads share, unless the trace was tested last, too. Firing takes one of the 32 entries of the thread's signal ring, and
    /// one more for every three laterals.
    #[inline]
    pub fn sample(&self, sample: &Sample<'_>) -> bool {
        let active = block::look(|writer| writer.trace()).unwrap_or(TraceId::NONE);
        self.sample_for(active, sample)
    }

    /// Does what [`Set::sample`] does, for `trace`, active or not: where one thread hands requests to others.
    ///
    /// # Shape
    /// Laterals are other traces than `trace`, each once, those first that were tested last. [`TraceId::NONE`] is counted by the condition, is
    /// nobody's lateral, and fires for nothing.
    #[inline]
    pub fn sample_for(&self, trace: TraceId, sample: &Sample<'_>) -> bool {
        let now_ns = if self.condition.reads_time() { clock::coarse_ns() } else { 0 };
        let fires = self.condition.test(sample, super::shard(), now_ns);
        if fires {
            self.fire(trace);
        }
        if self.n_laterals > 0 {
            self.recent.push(trace);
        }
        fires
    }

    /// Returns the trigger's id.
    pub fn trigger_id(&self) -> TriggerId {
        self.trigger
    }

    #[cold]
    fn fire(&self, trace: TraceId) {
        let mut laterals = [TraceId::NONE; LATERALS_MAX];
        let n_found = self.recent.copy_to(&mut laterals[..self.n_laterals], trace);
        crate::trigger_for(self.trigger, trace, &laterals[..n_found]);
    }
}
