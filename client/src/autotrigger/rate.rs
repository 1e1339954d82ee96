//! Rate: fires for events while they come more often than `n` times a second, over a short and a long window.
//!
//! Called once per event: a retry, a rejected request, a lock that was waited for.

use super::window::{Outcome, Seen, Spans, Windows};
use super::{AutotriggerError, windows};
use crate::clock;
use backsight_core::ids::TriggerId;

/// What decides whether events come too often: no ids, no agent, no clock.
///
/// # Shape
/// 3 KiB for windows of 10 s and 60 s, allocated by [`EventRate::new`].
#[derive(Debug)]
pub struct EventRate {
    per_s: f64,
    windows: Windows,
}

impl EventRate {
    /// Returns empty windows. A window counts as whole from the start: what came before it was made is no event.
    ///
    /// # Errors
    /// A rate outside of 0.01 to 1 000 000 000 per second, spans outside of [`Spans`]'s.
    pub fn new(per_s: f64, spans: Spans) -> Result<Self, AutotriggerError> {
        if !(0.01..=1e9).contains(&per_s) {
            return Err(AutotriggerError::OutOfRange {
                what: "rate",
                value: per_s,
                expected: "0.01 to 1e9 per second",
            });
        }
        Ok(Self { per_s, windows: windows(spans)? })
    }

    /// Counts an event in shard `shard` (taken modulo 16) at `now_ns`, on a clock that all callers share, and returns whether in each window
    /// more than `per_s` come in a second.
    ///
    /// # Cost
    /// That of [`super::burn::BurnRate::sample`].
    #[inline]
    pub fn sample(&self, shard: usize, now_ns: u64) -> bool {
        let most = self.per_s;
        let exceeds = move |Seen { short, long }| short.per_s() > most && long.per_s() > most;
        self.windows.count(Outcome::Good, shard, now_ns, exceeds)
    }
}

/// Fires for events while they come more often than `n` times a second, over a short and a long window.
///
/// # Shape
/// 3 KiB for windows of 10 s and 60 s, allocated once. Make one per kind of event and keep it in a static.
#[derive(Debug)]
pub struct Rate {
    trigger: TriggerId,
    rate: EventRate,
}

impl Rate {
    /// Returns a trigger called `name` for more than `per_s` events a second.
    ///
    /// # Errors
    /// A name that is refused, or what [`EventRate::new`] refuses.
    pub fn new(name: &str, per_s: f64, spans: Spans) -> Result<Self, AutotriggerError> {
        let rate = EventRate::new(per_s, spans)?;
        Ok(Self { trigger: super::register(name)?, rate })
    }

    /// Counts an event; while they come too often, fires for the active trace. Returns whether it did so.
    ///
    /// # Cost
    /// That of [`EventRate::sample`], and of reading the kernel's coarse clock.
    #[inline]
    pub fn sample(&self) -> bool {
        let fires = self.rate.sample(super::shard(), clock::coarse_ns());
        if fires {
            crate::trigger(self.trigger);
        }
        fires
    }

    /// Returns the trigger's id.
    pub fn trigger_id(&self) -> TriggerId {
        self.trigger
    }
}

#[cfg(test)]
mod tests;
