//! Which regions held something that cannot be read, and when it may have been written: one interval for each, bounded.
//!
//! Called by the recorder. Pure. What is damaged says nothing of the traces that it was of, so it counts against each trace that may have been
//! in that process, and against no other. Nothing is forgotten: where there are too many regions, the damage of the oldest is anybody's.

use crate::losses::Lost;
use backsight_core::ids::RegionId;
use backsight_core::telemetry::DropReason;
use backsight_core::units::Nanos;
use std::collections::BTreeMap;

/// Regions that are told apart.
pub const REGIONS_MAX: usize = 1024;
/// How often there is news at most: it is told of for every trace that lingers.
pub const NEWS_EVERY: Nanos = Nanos::from_ms(5_000);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Interval {
    first_ticks: u64,
    last_ticks: u64,
    /// Whether the process may still write what nobody reads.
    is_open: bool,
}

impl Interval {
    fn absorb(&mut self, other: &Self) {
        self.first_ticks = self.first_ticks.min(other.first_ticks);
        self.last_ticks = self.last_ticks.max(other.last_ticks);
        self.is_open |= other.is_open;
    }

    const fn ends(&self, now_ticks: u64) -> u64 {
        if self.is_open { now_ticks } else { self.last_ticks }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Damage {
    regions: BTreeMap<RegionId, Interval>,
    /// Of regions that are not told apart any more.
    others: Option<Interval>,
    is_news: bool,
    /// When there was news last.
    told: Option<Nanos>,
}

impl Damage {
    /// Notes that something cannot be read which was written to `region` between these ticks.
    pub fn add(&mut self, region: RegionId, first_ticks: u64, last_ticks: u64) {
        self.absorb(region, Interval { first_ticks: first_ticks.min(last_ticks), last_ticks, is_open: false });
    }

    /// Notes that nothing is read any more of what is written to `region` from now on.
    pub fn open(&mut self, region: RegionId, now_ticks: u64) {
        self.absorb(region, Interval { first_ticks: now_ticks, last_ticks: now_ticks, is_open: true });
    }

    /// Notes that nothing more is written to `region`.
    pub fn close(&mut self, region: RegionId, now_ticks: u64) {
        if let Some(known) = self.regions.get_mut(&region).filter(|known| known.is_open) {
            (known.last_ticks, known.is_open) = (now_ticks, false);
        }
    }

    fn absorb(&mut self, region: RegionId, more: Interval) {
        let known =
            self.regions.entry(region).or_insert(Interval { first_ticks: u64::MAX, last_ticks: 0, is_open: false });
        let before = *known;
        known.absorb(&more);
        self.is_news |= *known != before;
        if self.regions.len() > REGIONS_MAX {
            // What may still be written is known again once it is over, so it stays if it can.
            let closed = self.regions.iter().find(|(_, interval)| !interval.is_open).map(|(region, _)| *region);
            let oldest = closed.or_else(|| self.regions.keys().next().copied());
            if let Some(interval) = oldest.and_then(|region| self.regions.remove(&region)) {
                self.others.get_or_insert(interval).absorb(&interval);
            }
        }
    }

    /// Returns whether traces that were told of are to be told of again, as something was damaged since.
    pub fn take_news(&mut self, now: Nanos) -> bool {
        let is_due = self.is_news && self.told.is_none_or(|told| now.0.saturating_sub(told.0) >= NEWS_EVERY.0);
        if is_due {
            (self.is_news, self.told) = (false, Some(now));
        }
        is_due
    }

    /// Returns what was damaged at `first_ticks` or later, with the region, `None` where it may be any.
    pub fn since(&self, first_ticks: u64, now_ticks: u64) -> impl Iterator<Item = (Option<RegionId>, Lost)> {
        let regions = self.regions.iter().map(|(region, interval)| (Some(*region), interval));
        let all = regions.chain(self.others.iter().map(|interval| (None, interval)));
        all.filter(move |(_, interval)| interval.ends(now_ticks) >= first_ticks).map(move |(region, interval)| {
            let last_ticks = interval.ends(now_ticks);
            let reason = Some(DropReason::Corrupt);
            // Neither records nor bytes can be counted.
            (region, Lost { first_ticks: interval.first_ticks, last_ticks, reason, n_records: 0, bytes: 0 })
        })
    }

    /// Returns when something was damaged last, `None` where nothing was.
    ///
    /// # Cost
    /// A look at each interval.
    pub fn newest_ticks(&self, now_ticks: u64) -> Option<u64> {
        self.since(0, now_ticks).map(|(_, lost)| lost.last_ticks).max()
    }
}

#[cfg(test)]
mod tests {
    use super::{Damage, NEWS_EVERY, REGIONS_MAX};
    use backsight_core::ids::RegionId;
    use backsight_core::units::Nanos;
    use proptest::prelude::{any, prop, prop_assert, proptest};

    fn intervals(damage: &Damage, first: u64, now: u64) -> Vec<(Option<u64>, u64, u64)> {
        let told = damage.since(first, now);
        told.map(|(region, lost)| (region.map(|region| region.0), lost.first_ticks, lost.last_ticks)).collect()
    }

    proptest! {
        /// For all damage, in whatever order: the table is bounded, and whoever asks for one of its times and its region is told of it.
        #[test]
        fn no_damage_is_forgotten(added in prop::collection::vec((1_u64..3_000, 0_u64..10_000, any::<bool>()), 1..4_000)) {
            let mut damage = Damage::default();
            for (region, at, is_open) in &added {
                match is_open {
                    true => damage.open(RegionId(*region), *at),
                    false => damage.add(RegionId(*region), *at, at + 10),
                }
            }
            prop_assert!(damage.regions.len() <= REGIONS_MAX);
            let told = intervals(&damage, 0, 20_000);
            for (region, at, _) in added {
                let is_it = |(of, first, last): &(Option<u64>, u64, u64)| {
                    of.is_none_or(|of| of == region) && (*first..=*last).contains(&at)
                };
                prop_assert!(told.iter().any(is_it), "{region} at {at}");
            }
        }
    }

    #[test]
    fn what_is_open_lasts_until_it_is_closed() {
        let mut damage = Damage::default();
        damage.add(RegionId(1), 100, 200);
        damage.open(RegionId(1), 300);
        assert_eq!(intervals(&damage, 5_000, 6_000), [(Some(1), 100, 6_000)]);
        assert_eq!(damage.newest_ticks(7_000), Some(7_000));
        damage.close(RegionId(1), 8_000);
        damage.close(RegionId(2), 8_000); // never damaged
        assert_eq!(intervals(&damage, 8_000, 9_000), [(Some(1), 100, 8_000)]);
        assert_eq!(intervals(&damage, 8_001, 9_000), []);
    }

    #[test]
    fn news_is_told_in_time_and_not_too_often() {
        let mut damage = Damage::default();
        assert!(!damage.take_news(Nanos(0)));
        damage.add(RegionId(1), 100, 200);
        assert!(damage.take_news(Nanos(1)) && !damage.take_news(Nanos(1 + NEWS_EVERY.0)));
        damage.add(RegionId(1), 150, 200);
        assert!(!damage.take_news(Nanos(2 + NEWS_EVERY.0)), "it says nothing new");
        damage.add(RegionId(1), 150, 201);
        assert!(damage.take_news(Nanos(3 + NEWS_EVERY.0)));
        damage.add(RegionId(2), 150, 200);
        assert!(!damage.take_news(Nanos(4 + NEWS_EVERY.0)) && damage.take_news(Nanos(3 + 2 * NEWS_EVERY.0)));
    }
}
