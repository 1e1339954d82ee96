//! How ticks of a process become its times.
//!
//! Called by `process`, and by the drafts that it finishes.

use super::ProcessClock;
use crate::clock::Timeline;
use crate::segment::Slice;

/// A process's times: wall time by its calibration points as if no clock was set since its first tick, or ticks since that.
pub(super) struct ProcessTime {
    timeline: Timeline,
    first_ticks: u64,
}

impl ProcessTime {
    /// Later wall times than this, in the year 2262, are no clock's: points that claim them are left out.
    const POINT_NS_MAX: u64 = i64::MAX as u64;

    pub(super) fn new(slices: &[&Slice], first_ticks: u64) -> Self {
        let mut points: Vec<_> = slices.iter().flat_map(|slice| slice.process.clock.iter().copied()).collect();
        points.retain(|point| point.realtime_ns <= Self::POINT_NS_MAX && point.monotonic_ns <= Self::POINT_NS_MAX);
        points.sort_by_key(|point| (point.ticks, point.monotonic_ns, point.realtime_ns));
        Self { timeline: Timeline::new(points), first_ticks }
    }

    pub(super) fn clock(&self) -> ProcessClock {
        match self.timeline.points().len() {
            0 | 1 => ProcessClock::Ticks { first: self.first_ticks },
            _ => ProcessClock::Wall,
        }
    }

    /// Returns the time of `ticks`; that of later ticks is never earlier.
    pub(super) fn time(&self, ticks: u64) -> u64 {
        let wall_ns = self.timeline.realtime_ns_since(self.first_ticks, ticks);
        wall_ns.unwrap_or(ticks.saturating_sub(self.first_ticks))
    }
}
