//! What threads are told to leave out for the horizon's sake, and what that means for a trace.

use super::{Now, Recorder};
use crate::horizon::objective::Shedding;
use crate::horizon::predict;
use backsight_core::holding::DETAIL_UNRECORDED;
use backsight_core::ids::TraceId;
use backsight_core::priority::{Priority, Salt};
use backsight_core::units::Nanos;
use backsight_ringbuf::region::{self, Shed};
use std::collections::VecDeque;

/// For how long it counts that a trace would not have been recorded: longer than nearly all requests take.
const REMEMBERED: Nanos = Nanos::from_ms(600_000);

/// Which traces were not recorded lately, by the hash that decides it.
#[derive(Debug, Default)]
pub(super) struct Unrecorded {
    /// Thresholds, each with the time when it came up, oldest first; those that a later one exceeds are left out.
    falling: VecDeque<(Nanos, u64)>,
    present: u64,
}

impl Unrecorded {
    /// Notes the present threshold.
    pub(super) fn note(&mut self, now: Nanos, threshold: u64) {
        // The one before held until now.
        while self.falling.back().is_some_and(|(_, smaller)| *smaller <= self.present) {
            self.falling.pop_back();
        }
        self.falling.push_back((now, self.present));
        self.present = threshold;
        while self.falling.front().is_some_and(|(until, _)| now.0.saturating_sub(until.0) > REMEMBERED.0) {
            self.falling.pop_front();
        }
    }

    /// Returns the highest threshold of the last minutes.
    fn highest(&self) -> u64 {
        self.falling.front().map_or(0, |(_, threshold)| *threshold).max(self.present)
    }
}

impl Recorder {
    /// Looks whether data gets as old as is wanted, and tells threads what to leave out.
    pub(super) fn pursue_objective(&mut self, now: Now) {
        let before = self.objective.shedding();
        self.objective.tick(now.time, predict(self.room_for_data(), &self.rate_short));
        let shedding = self.objective.shedding();
        self.unrecorded.note(now.time, Shedding::threshold(shedding.record));
        if let Some(journal) = &self.journal {
            journal.note_unrecorded(self.unrecorded.highest());
        }
        if shedding != before {
            for position in self.live().map(|(position, _)| position).collect::<Vec<_>>() {
                self.tell_shed(position);
            }
        }
    }

    /// Tells the threads of a process what to leave out, and by whose seed.
    pub(super) fn tell_shed(&self, position: u32) {
        let Some(member) = self.member(position) else { return };
        let Shedding { detail, record } = self.objective.shedding();
        let (seed, epoch) = self.cluster_seed;
        region::set_seed(member.region.store(), seed, epoch);
        let shed = Shed { record: Shedding::threshold(record), detail: detail.map(Shedding::threshold) };
        region::set_shed(member.region.store(), shed);
    }

    /// Returns what is missing of `trace` because threads left it out: 0 for nothing, a detail level, or [`DETAIL_UNRECORDED`].
    pub(super) fn detail_of(&self, trace: TraceId) -> u8 {
        if Priority::of(trace, self.cluster_seed.0, Salt::RECORD).hash() < self.unrecorded.highest() {
            return DETAIL_UNRECORDED;
        }
        self.kept.amounts(trace).map_or(0, |amounts| amounts.detail)
    }

    /// Takes the cluster's seed, by which all hosts leave out, refuse and give up the same traces.
    pub fn set_cluster_seed(&mut self, seed: u64, epoch: u64) {
        self.cluster_seed = (seed, epoch);
        if let Some(journal) = &self.journal {
            journal.note_seed(self.cluster_seed);
        }
        self.triggers.set_cluster_seed(seed);
        self.kept.set_cluster_seed(seed);
        for position in self.live().map(|(position, _)| position).collect::<Vec<_>>() {
            self.tell_shed(position);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{REMEMBERED, Unrecorded};
    use backsight_core::units::Nanos;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    proptest! {
        /// For every course of thresholds, the highest of those that held within the last ten minutes is known.
        #[test]
        fn the_highest_of_the_last_minutes_is_known(steps in prop::collection::vec((0_u64..100_000, 0_u64..100), 1..200)) {
            let (mut unrecorded, mut model, mut now) = (Unrecorded::default(), vec![(0, 0)], 0);
            for (ms, threshold) in steps {
                now += ms;
                unrecorded.note(Nanos::from_ms(now), threshold);
                model.push((now, threshold));
                // Each held until the next one came.
                let until = |idx: usize| model.get(idx + 1).map_or(now, |(at, _)| *at);
                let recent = (0..model.len()).filter(|idx| now - until(*idx) <= REMEMBERED.as_ms());
                prop_assert_eq!(unrecorded.highest(), recent.map(|idx| model[idx].1).max().unwrap_or(0));
                prop_assert!(unrecorded.falling.len() <= 102);
            }
        }
    }
}
