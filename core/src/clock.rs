//! From raw clock ticks to wall time: calibration points, and the line through the two that enclose a tick.
//!
//! Records carry raw ticks of the host's clock (the TSC, or CLOCK_MONOTONIC nanoseconds where the TSC is not invariant). The agent reads
//! {ticks, realtime, monotonic} once a second; whoever decodes records is given the points around them. A clock that is set begins a new epoch:
//! no line leads across the step.

/// Which clock a region's ticks come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u32)]
pub enum ClockSource {
    /// The processor's time-stamp counter (x86-64) or virtual counter (aarch64).
    #[default]
    Tsc = 0,
    /// CLOCK_MONOTONIC, in nanoseconds.
    Monotonic = 1,
}

impl ClockSource {
    /// Returns the source with number `code`; unknown numbers are the system call, which is right everywhere.
    pub const fn from_code(code: u32) -> Self {
        if code == 0 { Self::Tsc } else { Self::Monotonic }
    }
}

/// One instant on three clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CalibrationPoint {
    /// Raw ticks, the time that records carry.
    pub ticks: u64,
    /// Nanoseconds since 1970-01-01 UTC.
    pub realtime_ns: u64,
    /// CLOCK_MONOTONIC nanoseconds.
    pub monotonic_ns: u64,
}

/// The history of calibration points of one host, oldest first, bounded.
///
/// # Shape
/// At most [`TIMELINE_POINTS_MAX`] points; beyond, every second point of the older half is dropped, so the span covered never shrinks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Timeline {
    points: Vec<CalibrationPoint>,
}

/// One hour of points a second apart.
pub const TIMELINE_POINTS_MAX: usize = 3600;

/// Between two points, wall and monotonic time differ by this much only where the wall clock was set: slewing changes both.
const STEP_NS_MIN: i128 = 1_000_000;
/// The most points that [`Timeline::bracket`] returns: a kilobyte of a report.
pub const BRACKET_MAX: usize = 32;
const SECOND_NS: u64 = 1_000_000_000;

impl Timeline {
    /// Returns the timeline through `points`; those that do not advance are left out.
    pub fn new(points: impl IntoIterator<Item = CalibrationPoint>) -> Self {
        let mut timeline = Self::default();
        for point in points {
            timeline.push(point);
        }
        timeline
    }

    /// Appends a point. One whose ticks or monotonic time do not advance is ignored.
    ///
    /// Ticks that step back while the time goes on are those of another counter, as of the host that a virtual machine was moved to: they
    /// begin anew, at the rate so far, and what was recorded before has no times any more.
    pub fn push(&mut self, point: CalibrationPoint) {
        if let Some(last) = self.points.last() {
            let advances = point.monotonic_ns > last.monotonic_ns;
            if advances && point.ticks < last.ticks {
                self.points = self.before(point).into_iter().collect();
            } else if !advances || point.ticks == last.ticks {
                return;
            }
        }
        self.points.push(point);
        if self.points.len() > TIMELINE_POINTS_MAX {
            let older = TIMELINE_POINTS_MAX / 2;
            let mut idx = 0;
            self.points.retain(|_| {
                idx += 1;
                idx > older || idx % 2 == 1
            });
        }
    }

    /// Returns where `point`, of a counter that begins anew, was a second before, at the rate of the newest two points.
    fn before(&self, point: CalibrationPoint) -> Option<CalibrationPoint> {
        Some(CalibrationPoint {
            ticks: point.ticks.checked_sub(self.ticks_in(SECOND_NS)?)?,
            realtime_ns: point.realtime_ns.checked_sub(SECOND_NS)?,
            monotonic_ns: point.monotonic_ns.checked_sub(SECOND_NS)?,
        })
    }

    /// Returns the points, oldest first.
    pub fn points(&self) -> &[CalibrationPoint] {
        &self.points
    }

    /// Returns the points that enclose the ticks from `first` to `last`, at least two where there are two, and of many some that lie evenly among
    /// them: what a report carries.
    pub fn bracket(&self, first: u64, last: u64) -> Vec<CalibrationPoint> {
        let start = self.points.partition_point(|point| point.ticks <= first).saturating_sub(1);
        let end = (self.points.partition_point(|point| point.ticks < last) + 1).max(2).min(self.points.len());
        let start = start.min(end.saturating_sub(2));
        let all = self.points.get(start..end).unwrap_or_default();
        if all.len() <= BRACKET_MAX {
            return all.to_vec();
        }
        (0..BRACKET_MAX).map(|nth| all[nth * (all.len() - 1) / (BRACKET_MAX - 1)]).collect()
    }

    /// Returns the wall time of `ticks` in nanoseconds since 1970, or `None` while fewer than two points are known.
    ///
    /// Where the wall clock was set between two points, its time until the later one is as if it had not been.
    pub fn realtime_ns(&self, ticks: u64) -> Option<u64> {
        let (a, b) = self.around(ticks)?;
        if step_ns(a, b).abs() <= STEP_NS_MIN {
            return Some(on_line(ticks, (a.ticks, a.realtime_ns), (b.ticks, b.realtime_ns)));
        }
        let set = if ticks < b.ticks { a } else { b };
        let elapsed_ns = i128::from(self.monotonic_ns(ticks)?) - i128::from(set.monotonic_ns);
        Some(within_u64(i128::from(set.realtime_ns) + elapsed_ns))
    }

    /// Returns the wall time of `ticks` on a clock that showed the wall time at `first` and was not set after: what the times of one trace in
    /// one process are, so that none of its durations has a step in it. `None` while fewer than two points are known.
    pub fn realtime_ns_since(&self, first: u64, ticks: u64) -> Option<u64> {
        let elapsed_ns = i128::from(self.monotonic_ns(ticks)?) - i128::from(self.monotonic_ns(first)?);
        Some(within_u64(i128::from(self.realtime_ns(first)?) + elapsed_ns))
    }

    /// Returns the CLOCK_MONOTONIC time of `ticks` in nanoseconds, or `None` while fewer than two points are known.
    pub fn monotonic_ns(&self, ticks: u64) -> Option<u64> {
        let (a, b) = self.around(ticks)?;
        Some(on_line(ticks, (a.ticks, a.monotonic_ns), (b.ticks, b.monotonic_ns)))
    }

    /// Returns how many ticks pass in `ns` nanoseconds, by the newest two points.
    pub fn ticks_in(&self, ns: u64) -> Option<u64> {
        let [.., a, b] = self.points.as_slice() else { return None };
        let ticks = u128::from(ns) * u128::from(b.ticks - a.ticks) / u128::from(b.monotonic_ns - a.monotonic_ns);
        u64::try_from(ticks).ok()
    }

    /// Returns the two points whose line gives the time of `ticks`: those around it, or the nearest two.
    fn around(&self, ticks: u64) -> Option<(CalibrationPoint, CalibrationPoint)> {
        if self.points.len() < 2 {
            return None;
        }
        let above = self.points.partition_point(|point| point.ticks <= ticks).clamp(1, self.points.len() - 1);
        Some((self.points[above - 1], self.points[above]))
    }
}

/// Returns by how much the wall clock was set between two points.
fn step_ns(a: CalibrationPoint, b: CalibrationPoint) -> i128 {
    let offset = |point: CalibrationPoint| i128::from(point.realtime_ns) - i128::from(point.monotonic_ns);
    offset(b) - offset(a)
}

fn within_u64(ns: i128) -> u64 {
    u64::try_from(ns.max(0)).unwrap_or(u64::MAX)
}

/// Returns the value at `x` on the line through two points with distinct `x`, kept within u64.
fn on_line(x: u64, (x0, y0): (u64, u64), (x1, y1): (u64, u64)) -> u64 {
    let rise = i128::from(y1) - i128::from(y0);
    let run = i128::from(x1) - i128::from(x0);
    // Saturating: only points that no clock gives come near the limits.
    let climb = (i128::from(x) - i128::from(x0)).saturating_mul(rise) / run;
    within_u64(i128::from(y0).saturating_add(climb))
}

#[cfg(test)]
mod tests;
