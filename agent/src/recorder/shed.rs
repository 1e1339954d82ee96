//! What threads are told to leave out for the horizon's sake, and what that means for a trace.
//!
//! All processes of a host leave out the same, but for one that writes too much by itself: the others should not pay for it.

use super::{Now, Recorder};
use crate::horizon::objective::{Objective, Shedding};
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

/// A process that writes more than its share, and how old its data will get.
#[derive(Clone, Copy, Debug)]
struct Heavy {
    position: u32,
    predicted: Nanos,
}

/// Bytes in a second.
#[derive(Clone, Copy, Debug)]
struct Rates {
    own: f64,
    others: f64,
}

/// Returns how old the data of a process and of all others will get in `room` bytes, where the process writes more than `share` of all; `None`
/// where it does not.
///
/// Evicting its own first leaves the others what it may not have, but no more than they need for `target`: the rest is its own again.
fn split(room: f64, rates: Rates, share: f64, target: Nanos) -> Option<[Nanos; 2]> {
    let Rates { own, others } = rates;
    let others = others.max(0.0); // sampled at another moment
    if own <= share * (own + others) {
        return None;
    }
    let target_s = target.0 as f64 / 1e9;
    let others_s = room * (1.0 - share) / others;
    let own_s = (room - others * others_s.min(target_s)) / own;
    Some([own_s, others_s].map(|age_s| Nanos((age_s * 1e9) as u64))) // saturates
}

impl Recorder {
    /// Looks whether data gets as old as is wanted, and tells threads what to leave out.
    pub(super) fn pursue_objective(&mut self, now: Now) {
        let before = self.objective.shedding();
        let (of_others, heavy) = self.predictions(now);
        self.objective.tick(now.time, of_others);
        let shedding = self.objective.shedding();
        for position in self.live().map(|(position, _)| position).collect::<Vec<_>>() {
            let own = heavy.filter(|heavy| heavy.position == position).map(|heavy| heavy.predicted);
            let has_changed = self.pursue_own(position, own, of_others, now);
            if has_changed || shedding != before {
                self.tell_shed(position);
            }
        }
        let record = self.shedding().record;
        self.unrecorded.note(now.time, Shedding::threshold(record));
        if let Some(journal) = &self.journal {
            journal.note_unrecorded(self.unrecorded.highest());
        }
    }

    /// Lets a process pursue an objective of its own, from when its own data, which gets as old as `own` where it writes more than its share, gets too
    /// young, until it has got back what it left out; returns whether it leaves out something else now.
    fn pursue_own(&mut self, position: u32, own: Option<Nanos>, of_others: Option<Nanos>, now: Now) -> bool {
        let (target, record_share) = (self.settings.horizon_target, self.settings.record_share);
        let Some(member) = self.member_mut(position) else { return false };
        let is_short = own.is_some_and(|own| own < target);
        if !is_short && member.objective.is_none() {
            return false;
        }
        let objective = member.objective.get_or_insert_with(|| Objective::new(target, record_share));
        let before = objective.shedding();
        objective.tick(now.time, own.or(of_others));
        let after = objective.shedding();
        if !is_short && after == Objective::new(target, record_share).shedding() {
            member.objective = None;
        }
        after != before
    }

    /// Returns how old data will get at the present rates, `None` for as old as anybody wants; and how old that of a process will that writes more
    /// than its share of what all write: it loses its own, so the others' gets older.
    fn predictions(&mut self, now: Now) -> (Option<Nanos>, Option<Heavy>) {
        let mut heaviest: Option<(u32, f64)> = None;
        for (position, member) in (0_u32..).zip(&mut self.members) {
            let Some(member) = member.as_mut().filter(|member| member.is_live) else { continue };
            member.rate.tick(now.time);
            let rate = member.rate.bytes_per_s();
            heaviest = heaviest.filter(|(_, most)| *most >= rate).or(Some((position, rate)));
        }
        let room = self.room_for_data();
        let of_all = predict(room, &self.rate_short);
        let Some((position, own)) = heaviest else { return (of_all, None) };
        let rates = Rates { own, others: self.rate_short.bytes_per_s() - own };
        match split(room.0 as f64, rates, self.settings.process_share, self.settings.horizon_target) {
            Some([own, others]) => (Some(others), Some(Heavy { position, predicted: own })),
            None => (of_all, None),
        }
    }

    /// Returns the most that any threads leave out.
    pub(super) fn shedding(&self) -> Shedding {
        let own = self.live().filter_map(|(_, member)| member.objective.as_ref());
        own.map(Objective::shedding).fold(self.objective.shedding(), Shedding::max)
    }

    /// Returns what the threads of a process leave out: what all do, or what it alone does where that is more.
    fn shedding_of(&self, position: u32) -> Shedding {
        let of_all = self.objective.shedding();
        let own = self.member(position).and_then(|member| member.objective.as_ref()).map(Objective::shedding);
        own.map_or(of_all, |own| of_all.max(own))
    }

    /// Tells the threads of a process what to leave out, and by whose seed.
    pub(super) fn tell_shed(&self, position: u32) {
        let Some(member) = self.member(position) else { return };
        let Shedding { detail, record } = self.shedding_of(position);
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
    use super::{REMEMBERED, Rates, Unrecorded, split};
    use backsight_core::units::Nanos;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    proptest! {
        /// For all rates: the two share the room as far as the others need it, the others have it for as long as they would without the process
        /// taking more than its share, and neither loses by the division what both have undivided.
        #[test]
        fn a_heavy_process_pays_for_itself(own in 1.0_f64..1e9, others in 0.0_f64..1e9, share in 0.05_f64..1.0, room in 1e3_f64..1e9) {
            let target = Nanos::from_ms(10_000);
            let undivided = room / (own + others);
            let Some([own_age, others_age]) = split(room, Rates { own, others }, share, target) else {
                prop_assert!(own <= share * (own + others) * 1.000_001, "within its share");
                return Ok(());
            };
            let [own_s, others_s] = [own_age, others_age].map(|age| age.0 as f64 / 1e9);
            prop_assert!(others_s >= undivided * 0.999_999 - 1e-9);
            prop_assert!((own * own_s + others * others_s.min(10.0) - room).abs() <= 1e-6 * room + 2.0 * (own + others) / 1e9);
            prop_assert!(own_s * own + 2.0 * own / 1e9 >= share * room * 0.999_999, "it has its share at least");
        }

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
