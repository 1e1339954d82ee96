//! From raw clock ticks to wall time: calibration points, and the line through the two that enclose a tick.
//!
//! Records carry raw ticks of the host's clock (the TSC, or CLOCK_MONOTONIC nanoseconds where the TSC is not invariant). The agent reads
//! {ticks, realtime, monotonic} once a second; whoever decodes records is given the points around them.

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
    pub fn push(&mut self, point: CalibrationPoint) {
        if let Some(last) = self.points.last()
            && (point.ticks <= last.ticks || point.monotonic_ns <= last.monotonic_ns)
        {
            return;
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

    /// Returns the points, oldest first.
    pub fn points(&self) -> &[CalibrationPoint] {
        &self.points
    }

    /// Returns the points that enclose the ticks from `first` to `last`, at least two where there are two: what a report carries.
    pub fn bracket(&self, first: u64, last: u64) -> &[CalibrationPoint] {
        let start = self.points.partition_point(|point| point.ticks <= first).saturating_sub(1);
        let end = (self.points.partition_point(|point| point.ticks < last) + 1).max(2).min(self.points.len());
        let start = start.min(end.saturating_sub(2));
        self.points.get(start..end).unwrap_or_default()
    }

    /// Returns the wall time of `ticks` in nanoseconds since 1970, or `None` while fewer than two points are known.
    pub fn realtime_ns(&self, ticks: u64) -> Option<u64> {
        let (a, b) = self.around(ticks)?;
        Some(on_line(ticks, (a.ticks, a.realtime_ns), (b.ticks, b.realtime_ns)))
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

/// Returns the value at `x` on the line through two points with distinct `x`, kept within u64.
fn on_line(x: u64, (x0, y0): (u64, u64), (x1, y1): (u64, u64)) -> u64 {
    let rise = i128::from(y1) - i128::from(y0);
    let run = i128::from(x1) - i128::from(x0);
    // Saturating: only points that no clock gives come near the limits.
    let climb = (i128::from(x) - i128::from(x0)).saturating_mul(rise) / run;
    let y = i128::from(y0).saturating_add(climb);
    u64::try_from(y.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
