//! The host's clocks: which one records carry, its present value, and the calibration points that turn ticks into wall time.
//!
//! Called by the daemon's loop, which passes ticks and nanoseconds on as values; nothing else of this crate reads a clock. The only file
//! of the crate with unsafe code: one instruction.
#![allow(unsafe_code)]

use backsight_core::clock::{CalibrationPoint, ClockSource, Timeline};
use backsight_core::units::Nanos;
use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// How far apart the first two calibration points are: long enough for a rate within 0.01 %, short enough to be there for the first client.
const FIRST_POINTS_APART: Duration = Duration::from_millis(10);
/// Readings of which the tightest becomes a calibration point.
const READINGS: usize = 5;
const SECOND_NS: u64 = 1_000_000_000;

/// The clock of records on this host, and its history against wall time.
#[derive(Debug)]
pub struct HostClock {
    source: ClockSource,
    timeline: Timeline,
}

impl HostClock {
    /// Chooses the clock and takes the first two calibration points.
    ///
    /// # Cost
    /// Sleeps 10 ms between them; called once, before the first client.
    pub fn start() -> Self {
        let source = choose_source(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default());
        let mut clock = Self { source, timeline: Timeline::default() };
        clock.calibrate();
        std::thread::sleep(FIRST_POINTS_APART);
        clock.calibrate();
        clock
    }

    /// Returns which clock records carry.
    pub const fn source(&self) -> ClockSource {
        self.source
    }

    /// Returns the present ticks.
    pub fn ticks(&self) -> u64 {
        ticks(self.source)
    }

    /// Takes a calibration point and returns it.
    pub fn calibrate(&mut self) -> CalibrationPoint {
        let readings = (0..READINGS).map(|_| read_point(self.source));
        let (_, point) = readings.min_by_key(|(width, _)| *width).unwrap_or_default();
        self.timeline.push(point);
        point
    }

    /// Returns the points taken so far.
    pub const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// Returns the rate of the ticks.
    pub fn ticks_per_second(&self) -> u64 {
        self.ticks_in(Nanos(SECOND_NS))
    }

    /// Returns how many ticks pass in `time`.
    pub fn ticks_in(&self, time: Nanos) -> u64 {
        self.timeline.ticks_in(time.0).unwrap_or(time.0)
    }

    /// Returns how long `ticks` ticks last.
    pub fn duration_of(&self, ticks: u64) -> Nanos {
        let per_second = u128::from(self.ticks_per_second().max(1));
        Nanos(u64::try_from(u128::from(ticks) * u128::from(SECOND_NS) / per_second).unwrap_or(u64::MAX))
    }
}

/// Returns CLOCK_MONOTONIC.
pub fn monotonic() -> Nanos {
    Nanos(nanoseconds(ClockId::Monotonic))
}

/// Returns the time of a core that the calling thread has used.
pub fn thread_time() -> Nanos {
    Nanos(nanoseconds(ClockId::ThreadCPUTime))
}

/// Returns the processor's counter where `cpuinfo` says that it never stops and never changes its rate, the system call elsewhere.
fn choose_source(cpuinfo: &str) -> ClockSource {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let has = |wanted: &str| flags.split_whitespace().any(|flag| flag == wanted);
    let invariant = cfg!(target_arch = "x86_64") && has("constant_tsc") && has("nonstop_tsc");
    if invariant { ClockSource::Tsc } else { ClockSource::Monotonic }
}

/// Reads the three clocks; the first number is how many ticks that took.
fn read_point(source: ClockSource) -> (u64, CalibrationPoint) {
    let before = ticks(source);
    let (realtime_ns, monotonic_ns) = (nanoseconds(ClockId::Realtime), nanoseconds(ClockId::Monotonic));
    let width = ticks(source).saturating_sub(before);
    (width, CalibrationPoint { ticks: before + width / 2, realtime_ns, monotonic_ns })
}

fn ticks(source: ClockSource) -> u64 {
    match source {
        ClockSource::Tsc => counter(),
        ClockSource::Monotonic => nanoseconds(ClockId::Monotonic),
    }
}

fn nanoseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec.unsigned_abs() * SECOND_NS + time.tv_nsec.unsigned_abs()
}

#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and it touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
fn counter() -> u64 {
    nanoseconds(ClockId::Monotonic)
}

#[cfg(test)]
mod tests {
    use super::{HostClock, choose_source};
    use backsight_core::clock::ClockSource;

    #[test]
    fn a_counter_that_may_stop_is_not_the_clock() {
        assert_eq!(choose_source("flags\t\t: fpu tsc constant_tsc\n"), ClockSource::Monotonic);
        assert_eq!(choose_source(""), ClockSource::Monotonic);
        let both = choose_source("model\t: 1\nflags\t\t: fpu constant_tsc nonstop_tsc\n");
        assert_eq!(both == ClockSource::Tsc, cfg!(target_arch = "x86_64"));
    }

    #[test]
    fn ticks_convert_to_wall_time_from_the_start() {
        let clock = HostClock::start();
        let wall = clock.timeline().realtime_ns(clock.ticks());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
        assert!(wall.is_some_and(|wall| wall.abs_diff(now) < 1_000_000_000), "{wall:?} against {now}");
    }
}
