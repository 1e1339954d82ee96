//! The order in which kept traces are given up: one queue for each trigger, the largest first, and in it the lowest priority.
//!
//! Called by the heap. Pure. To take from the largest for its weight again and again leaves each trigger its weighted max-min share of the cap: a
//! trigger that wants little keeps all of it, whatever a storm of another one asks for.

use crate::weights::Weights;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::priority::Priority;
use std::collections::{BTreeMap, BTreeSet};

/// The place of a trace in its queue, by its base and itself: members of a group are neighbours.
pub(super) type Rank = (Priority, TraceId, TraceId);

#[derive(Debug, Default)]
struct Queue {
    order: BTreeSet<Rank>,
    bytes: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Queues {
    by_trigger: BTreeMap<TriggerId, Queue>,
    weights: Weights,
}

impl Queues {
    pub(super) const fn new() -> Self {
        Self { by_trigger: BTreeMap::new(), weights: Weights::new() }
    }

    pub(super) fn set_weights(&mut self, weights: Weights) {
        self.weights = weights;
    }

    pub(super) fn clear(&mut self) {
        self.by_trigger.clear();
    }

    pub(super) fn insert(&mut self, trigger: TriggerId, rank: Rank, bytes: u64) {
        let queue = self.by_trigger.entry(trigger).or_default();
        queue.order.insert(rank);
        queue.bytes += bytes;
    }

    pub(super) fn grow(&mut self, trigger: TriggerId, bytes: u64) {
        if let Some(queue) = self.by_trigger.get_mut(&trigger) {
            queue.bytes += bytes;
        }
    }

    pub(super) fn remove(&mut self, trigger: TriggerId, rank: &Rank, bytes: u64) {
        let Some(queue) = self.by_trigger.get_mut(&trigger) else { return };
        queue.order.remove(rank);
        queue.bytes -= bytes;
        if queue.order.is_empty() {
            self.by_trigger.remove(&trigger);
        }
    }

    /// Returns the traces of the group that goes next.
    pub(super) fn lowest_of_largest(&self) -> Vec<TraceId> {
        let weighed = |(trigger, queue): &(&TriggerId, &Queue)| queue.bytes / self.weights.of(**trigger);
        let Some((_, queue)) = self.by_trigger.iter().max_by_key(weighed) else { return Vec::new() };
        let Some((priority, base, _)) = queue.order.first() else { return Vec::new() };
        let group = queue.order.iter().take_while(|rank| (rank.0, rank.1) == (*priority, *base));
        group.map(|rank| rank.2).collect()
    }

    /// Returns the bytes of one trigger.
    pub(super) fn bytes(&self, trigger: TriggerId) -> u64 {
        self.by_trigger.get(&trigger).map_or(0, |queue| queue.bytes)
    }

    /// Returns how many traces each trigger has, and their bytes.
    pub(super) fn sizes(&self) -> impl Iterator<Item = (TriggerId, (u64, u64))> {
        self.by_trigger.iter().map(|(trigger, queue)| (*trigger, (queue.order.len() as u64, queue.bytes)))
    }

    /// Returns how many traces wait in all queues.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.by_trigger.values().map(|queue| queue.order.len()).sum()
    }
}
