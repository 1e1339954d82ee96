//! When processes of the host died lately: what a holding says of them.
//!
//! Called by the recorder. Pure: times come in as arguments.

use backsight_core::holding::DEATHS_MAX;
use std::collections::VecDeque;

/// Deaths that are remembered; beyond, the oldest goes.
const REMEMBERED_MAX: usize = 64;
/// How long a death is told of.
const TOLD_NS: u64 = 120_000_000_000;

/// See the module.
#[derive(Debug, Default)]
pub struct Deaths {
    /// In nanoseconds since 1970, in the order in which they were noticed.
    at_ns: VecDeque<u64>,
}

impl Deaths {
    /// Notes that a process was found dead.
    pub fn add(&mut self, now_ns: u64) {
        if self.at_ns.len() >= REMEMBERED_MAX {
            self.at_ns.pop_front();
        }
        self.at_ns.push_back(now_ns);
    }

    /// Returns the newest deaths of the last two minutes, ascending, at most [`DEATHS_MAX`].
    pub fn recent(&self, now_ns: u64) -> Vec<u64> {
        let newest = self.at_ns.iter().rev().take(DEATHS_MAX).copied();
        let mut recent: Vec<u64> = newest.filter(|at_ns| now_ns.saturating_sub(*at_ns) <= TOLD_NS).collect();
        recent.sort_unstable(); // the wall clock may have been set back
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::{Deaths, TOLD_NS};

    #[test]
    fn the_newest_are_told_ascending_for_two_minutes() {
        let mut deaths = Deaths::default();
        assert!(deaths.recent(5).is_empty());
        (1..=200).for_each(|at_ns| deaths.add(at_ns));
        assert!(deaths.at_ns.len() <= 64);
        assert!(deaths.recent(200).into_iter().eq(185..=200));
        assert!(deaths.recent(TOLD_NS + 198).into_iter().eq(198..=200));
        deaths.add(100);
        assert_eq!(deaths.recent(200)[0], 100, "after a step of the clock");
    }
}
