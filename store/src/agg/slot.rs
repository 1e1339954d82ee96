//! What stands before every key: the hour, and which of the two populations.
//!
//! Called by all of `agg`. What is near and what is far is a comparison with the time of arrival, as no clock is read here.

use crate::rows::SpanRow;

const MS_NS: i64 = 1_000_000;
/// Nanoseconds of an hour.
pub const HOUR_NS: i64 = 3_600_000_000_000;
/// Seconds of an hour.
pub(super) const HOUR_S: i64 = 3600;
/// What began earlier than this before it came is far: as far as the window of a context goes back.
pub const PAST_NS: i64 = 24 * HOUR_NS;
/// What begins later than this after it came is far.
pub const AHEAD_NS: i64 = HOUR_NS;

/// The hour of a count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Hour {
    /// So many hours after 1970 began.
    At(i64),
    /// Whenever: spans of simulators, of clocks that were lost, or of long ago.
    Far,
}

impl Hour {
    /// Returns the hour in which `time_ns` lies.
    pub const fn of(time_ns: i64) -> Self {
        Self::At(time_ns.div_euclid(HOUR_NS))
    }

    /// Returns whether it lies in the hour.
    pub(super) fn has_second(self, second: i64) -> bool {
        self == Self::At(second.div_euclid(HOUR_S))
    }
}

/// Whose traces: those that came whatever happened to them, or those that came only because a trigger fired. They are never added up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Population {
    /// All traces that came by themselves, also those that sampling drops.
    Ordinary,
    /// Traces that came because a trigger fired: what is normal cannot be learnt from them.
    Triggered,
}

impl Population {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ordinary, Self::Triggered];
}

/// What counts are kept apart by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot {
    /// The hour.
    pub hour: Hour,
    /// The population.
    pub population: Population,
}

/// How spans came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Of which population they are.
    pub population: Population,
    /// When they came, in nanoseconds since 1970: what their record of the write-ahead log says, so that a replay counts the same.
    pub ingest_ns: i64,
}

impl Arrival {
    /// Returns where what began at `start_ns` counts.
    pub(super) fn slot(self, start_ns: i64) -> Slot {
        let near = self.ingest_ns.saturating_sub(PAST_NS)..=self.ingest_ns.saturating_add(AHEAD_NS);
        // An hour whose begin no timestamp holds is far, too.
        let is_near = near.contains(&start_ns) && start_ns >= i64::MIN + HOUR_NS;
        let hour = if is_near { Hour::of(start_ns) } else { Hour::Far };
        Slot { hour, population: self.population }
    }
}

/// The milliseconds that a span takes, both included, counted from 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Task {
    /// The millisecond in which it begins.
    pub first_ms: i64,
    /// That in which its last nanosecond lies; the first, where it has none.
    pub last_ms: i64,
}

impl Task {
    /// Returns the milliseconds of a span.
    pub fn of(span: &SpanRow<'_>) -> Self {
        let first_ms = span.start_ns.div_euclid(MS_NS);
        let end_ns = span.start_ns.saturating_add(span.duration_ns.max(0));
        Self { first_ms, last_ms: end_ns.saturating_sub(1).div_euclid(MS_NS).max(first_ms) }
    }

    /// Returns how many they are.
    pub(super) const fn len_ms(self) -> u64 {
        self.last_ms.abs_diff(self.first_ms).saturating_add(1)
    }
}
