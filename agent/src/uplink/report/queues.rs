//! Whose turn it is: one queue for each trigger, each with a share of the stream's bytes by its weight, and in each the highest priority first.
//!
//! Called by the reports. Pure. Start-time fair queueing: a queue's clock runs by the bytes that it was served, the slower the more it weighs; the
//! one that is furthest behind is next, and one that was empty begins where the clock of the service stands, so that no silence is saved up.
//!
//! # Source
//! P. Goyal, H. M. Vin, H. Cheng: "Start-time Fair Queueing", SIGCOMM 1996.

use super::super::Why;
use crate::weights::{WEIGHT_MAX, Weights};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::priority::Priority;
use backsight_core::units::Nanos;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// A queue that was never empty for this long does not keep up: small batches wait for each other less than half of it.
const BEHIND: Nanos = Nanos::from_ms(500);

/// Ticks of a queue's clock for each byte, at weight 1.
const FINE: u64 = WEIGHT_MAX;

/// The place of a trace in its queue: the highest priority first, members of a group as neighbours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    trigger: TriggerId,
    priority: Reverse<Priority>,
    base: TraceId,
    /// The trace.
    pub(super) trace: TraceId,
}

impl Place {
    pub(super) const fn new(why: &Why, trace: TraceId) -> Self {
        Self { trigger: why.trigger, priority: Reverse(why.priority), base: why.base, trace }
    }

    pub(super) const fn trigger(&self) -> TriggerId {
        self.trigger
    }
}

#[derive(Debug, Default)]
struct Queue {
    waiting: BTreeSet<Place>,
    /// Bytes after which it was served, by its own clock, times [`FINE`].
    clock: u64,
    /// Since when something always waited.
    busy_since: Option<Nanos>,
    /// Whether that was too long when it was last looked at.
    was_behind: bool,
}

impl Queue {
    fn is_behind(&self, now: Nanos) -> bool {
        self.busy_since.is_some_and(|since| now.0.saturating_sub(since.0) >= BEHIND.0)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queues {
    by_trigger: BTreeMap<TriggerId, Queue>,
    /// The clock of the service: that of the queue which was served last, before it was.
    clock: u64,
    weights: Weights,
}

impl Queues {
    pub(super) const fn new() -> Self {
        Self { by_trigger: BTreeMap::new(), clock: 0, weights: Weights::new() }
    }

    pub(super) fn set_weights(&mut self, weights: Weights) {
        self.weights = weights;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_trigger.values().all(|queue| queue.waiting.is_empty())
    }

    pub(super) fn insert(&mut self, place: Place) {
        let queue = self.by_trigger.entry(place.trigger).or_default();
        if queue.waiting.is_empty() {
            queue.clock = queue.clock.max(self.clock);
        }
        queue.waiting.insert(place);
    }

    /// Notes what is left after what could be sent was; returns the triggers that have fallen behind since the last call.
    pub(super) fn note_left(&mut self, now: Nanos) -> Vec<TriggerId> {
        let mut behind = Vec::new();
        for (trigger, queue) in &mut self.by_trigger {
            queue.busy_since = queue.busy_since.or(Some(now)).filter(|_| !queue.waiting.is_empty());
            let was_behind = queue.was_behind;
            queue.was_behind = queue.is_behind(now);
            behind.extend((queue.was_behind && !was_behind).then_some(*trigger));
        }
        behind
    }

    /// Returns whether more waits for `trigger` than the stream takes.
    pub(super) fn is_behind(&self, now: Nanos, trigger: TriggerId) -> bool {
        self.by_trigger.get(&trigger).is_some_and(|queue| queue.is_behind(now))
    }

    /// Returns what waits for a trigger, in the order in which it is sent.
    pub(super) fn waiting(&self, trigger: TriggerId) -> impl Iterator<Item = &Place> {
        self.by_trigger.get(&trigger).into_iter().flat_map(|queue| &queue.waiting)
    }

    /// Returns whether it was there.
    pub(super) fn remove(&mut self, place: &Place) -> bool {
        self.by_trigger.get_mut(&place.trigger).is_some_and(|queue| queue.waiting.remove(place))
    }

    /// Returns what is to be sent next; it stays until it is removed.
    pub(super) fn next(&self) -> Option<Place> {
        let waiting = self.by_trigger.values().filter(|queue| !queue.waiting.is_empty());
        waiting.min_by_key(|queue| queue.clock)?.waiting.first().copied()
    }

    /// Notes that `bytes` were sent of what was next.
    pub(super) fn charge(&mut self, place: &Place, bytes: u64) {
        let Some(queue) = self.by_trigger.get_mut(&place.trigger) else { return };
        self.clock = queue.clock;
        queue.clock += bytes * FINE / self.weights.of(place.trigger);
        // An empty queue is remembered while it is ahead: to forget it would give its trigger another turn at once.
        let clock = self.clock;
        self.by_trigger.retain(|_, queue| !queue.waiting.is_empty() || queue.clock > clock);
    }
}

#[cfg(test)]
mod tests;
