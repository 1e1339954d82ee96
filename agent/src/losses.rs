//! When records were lost on the host: intervals in ticks, merged and bounded.
//!
//! Called by the recorder, which reads them from LOST records, from thread slots and at the ends of threads. Pure. Nothing is forgotten
//! in favour of a trace: where there are too many intervals the oldest grow together, so that a loss is only ever overstated.

use backsight_core::clock::Timeline;
use backsight_core::holding::{LOSSES_MAX, LossInterval};
use backsight_core::telemetry::DropReason;
use std::collections::VecDeque;

/// Intervals that are told apart; beyond, the two oldest become one.
pub const INTERVALS_MAX: usize = 1024;
/// How many of the newest intervals a new one may be merged with: threads lose records at the same time.
const NEIGHBOURS: usize = 16;
/// Intervals of threads that have not told yet; beyond, they are one.
pub const OPEN_MAX: usize = 256;

/// Records lost between two ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lost {
    /// The first.
    pub first_ticks: u64,
    /// The last, never before the first.
    pub last_ticks: u64,
    /// Why; `None` where it is not known, or there is more than one reason.
    pub reason: Option<DropReason>,
    /// How many.
    pub n_records: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Lost {
    /// Returns what a client says that it lost, bounded by what can be: not later than now, not before the beginning.
    #[must_use]
    pub fn clamped(self, now_ticks: u64) -> Self {
        let last_ticks = self.last_ticks.min(now_ticks);
        Self { first_ticks: self.first_ticks.min(last_ticks), last_ticks, ..self }
    }

    fn absorb(&mut self, other: &Self) {
        self.first_ticks = self.first_ticks.min(other.first_ticks);
        self.last_ticks = self.last_ticks.max(other.last_ticks);
        self.reason = self.reason.filter(|reason| other.reason == Some(*reason));
        self.n_records = self.n_records.saturating_add(other.n_records);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    const fn is_near(&self, first: u64, last: u64, slack: u64) -> bool {
        self.first_ticks <= last.saturating_add(slack) && first <= self.last_ticks.saturating_add(slack)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Losses {
    told: VecDeque<Lost>,
    open: Vec<Lost>,
    /// Intervals of one reason that are no further apart than this are one.
    slack_ticks: u64,
}

impl Losses {
    /// Returns no losses; those of one reason within a millisecond will be one interval.
    pub const fn new(ticks_per_second: u64) -> Self {
        Self { told: VecDeque::new(), open: Vec::new(), slack_ticks: ticks_per_second / 1000 }
    }

    /// Adds an interval that is over.
    pub fn add(&mut self, lost: Lost) {
        let near = |known: &&mut Lost| {
            known.reason == lost.reason && known.is_near(lost.first_ticks, lost.last_ticks, self.slack_ticks)
        };
        if let Some(known) = self.told.iter_mut().rev().take(NEIGHBOURS).find(near) {
            return known.absorb(&lost);
        }
        self.told.push_back(lost);
        if self.told.len() > INTERVALS_MAX
            && let Some(oldest) = self.told.pop_front()
            && let Some(next) = self.told.front_mut()
        {
            next.absorb(&oldest);
        }
    }

    /// Says what threads have lost and not told yet; replaces what was said before.
    pub fn set_open(&mut self, open: Vec<Lost>) {
        self.open = open;
        let beyond = self.open.split_off(self.open.len().min(OPEN_MAX));
        if let Some(last) = self.open.last_mut() {
            beyond.iter().for_each(|lost| last.absorb(lost));
        }
    }

    /// Returns when the newest record was lost, `None` where none was.
    ///
    /// # Cost
    /// A look at each interval.
    pub fn newest_ticks(&self) -> Option<u64> {
        self.told.iter().chain(&self.open).map(|lost| lost.last_ticks).max()
    }

    /// Returns the losses that touch the ticks from `first` to `last`, and `also` these, as wall times of a clock that was not set since
    /// `first`, as those of a trace are that began then; ascending, at most [`LOSSES_MAX`].
    pub fn within(&self, (first, last): (u64, u64), also: Vec<Lost>, timeline: &Timeline) -> Vec<LossInterval> {
        let all = self.told.iter().chain(&self.open);
        let mut found: Vec<Lost> = all.filter(|lost| lost.is_near(first, last, 0)).copied().chain(also).collect();
        found.sort_by_key(|lost| (lost.first_ticks, lost.last_ticks));
        while found.len() > LOSSES_MAX {
            let gap = |pair: &[Lost]| pair[1].first_ticks.saturating_sub(pair[0].last_ticks);
            let narrowest = found.windows(2).enumerate().min_by_key(|(_, pair)| gap(pair)).map_or(0, |(idx, _)| idx);
            let next = found.remove(narrowest + 1);
            found[narrowest].absorb(&next);
        }
        let wall = |ticks| timeline.realtime_ns_since(first, ticks).unwrap_or(0);
        let interval = |lost: &Lost| LossInterval {
            first_ns: wall(lost.first_ticks),
            last_ns: wall(lost.last_ticks).max(wall(lost.first_ticks)),
            reason: lost.reason,
            n_records: lost.n_records,
            bytes: lost.bytes,
        };
        found.iter().map(interval).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{INTERVALS_MAX, Losses, Lost};
    use backsight_core::clock::{CalibrationPoint, Timeline};
    use backsight_core::holding::LOSSES_MAX;
    use backsight_core::telemetry::DropReason;
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

    fn lost(first_ticks: u64, last_ticks: u64) -> Lost {
        Lost { first_ticks, last_ticks, reason: Some(DropReason::NoChunk), n_records: 1, bytes: 8 }
    }

    fn timeline() -> Timeline {
        let point = |ticks| CalibrationPoint { ticks, realtime_ns: 1000 + ticks, monotonic_ns: ticks };
        Timeline::new([point(0), point(1_000_000)])
    }

    proptest! {
        /// For all losses: whoever asks for an interval that one of them touches is told of a loss, in at most so many intervals.
        #[test]
        fn no_loss_is_forgotten(starts in prop::collection::vec(0_u64..10_000_000, 1..2500), len in 0_u64..500) {
            let mut losses = Losses::new(1_000_000);
            for start in &starts {
                losses.add(lost(*start, start + len));
            }
            prop_assert!(losses.told.len() <= INTERVALS_MAX);
            let all = losses.within((0, u64::MAX), Vec::new(), &timeline());
            prop_assert!(all.len() <= LOSSES_MAX && all.is_sorted());
            prop_assert_eq!(all.iter().map(|loss| loss.n_records).sum::<u64>(), starts.len() as u64);
            for start in starts.iter().take(50) {
                prop_assert!(!losses.within((*start, *start), Vec::new(), &timeline()).is_empty());
            }
        }
    }

    #[test]
    fn only_what_touches_the_interval_is_named_with_wall_times() {
        let mut losses = Losses::new(1_000);
        losses.add(lost(100, 200));
        losses.add(lost(500, 600));
        assert_eq!(losses.newest_ticks(), Some(600));
        losses.set_open(vec![lost(900, 950)]);
        assert_eq!(losses.newest_ticks(), Some(950));
        let found = losses.within((200, 499), Vec::new(), &timeline());
        assert_eq!(found.iter().map(|loss| (loss.first_ns, loss.last_ns)).collect::<Vec<_>>(), [(1100, 1200)]);
        assert_eq!(losses.within((940, 2000), Vec::new(), &timeline()).len(), 1, "a loss that is not told yet");
        losses.set_open(Vec::new());
        assert!(losses.within((601, 2000), Vec::new(), &timeline()).is_empty());
    }

    /// The wall clock is set back while a trace goes on: what was lost after that is still within the trace's interval.
    #[test]
    fn loss_after_a_step_of_the_clock_touches_its_trace() {
        let hour = 3_600_000_000_000;
        let point =
            |ticks: u64, set: u64| CalibrationPoint { ticks, realtime_ns: 2 * hour - set + ticks, monotonic_ns: ticks };
        let timeline =
            Timeline::new([point(0, 0), point(1_000_000, 0), point(2_000_000, hour), point(3_000_000, hour)]);
        let mut losses = Losses::new(1_000);
        losses.add(lost(2_500_000, 2_600_000));
        let (first, last) = (500_000, 2_900_000);
        let within = timeline.realtime_ns(first).unwrap()..timeline.realtime_ns_since(first, last).unwrap();
        let found = losses.within((first, last), Vec::new(), &timeline);
        assert!(
            found.len() == 1 && within.contains(&found[0].first_ns) && within.contains(&found[0].last_ns),
            "{found:?}"
        );
    }

    #[test]
    fn what_a_client_says_is_bounded_by_now() {
        let said = Lost { first_ticks: 90, last_ticks: 5, ..lost(0, 0) }.clamped(50);
        assert_eq!((said.first_ticks, said.last_ticks), (5, 5));
    }
}
