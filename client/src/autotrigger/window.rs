//! Two sliding windows over events, good and bad: what a burn rate and an event rate are read from.
//!
//! Called by `burn` and `rate` once per event; explored by `client/tests/loom.rs`. Reads no clock: the time is passed in. Threads count by
//! themselves; whoever has the turn adds their counts up, every few events and whenever a slot of time has passed.

use super::SHARDS;
use super::turn::Turn;
use backsight_core::sync::Ordering::Relaxed;
use backsight_core::sync::{AtomicU32, AtomicU64};
use std::time::Duration;

/// Slots of time that the short window has.
const SLOTS_PER_SHORT: u64 = 10;
/// Events that a shard may count before they are added up.
const PENDING_MAX: u64 = 16;
/// What a bad event adds beyond what each event adds, in a shard's word.
const BAD: u64 = 1 << 32;

/// How far back two windows reach; the short one makes a trigger end soon, the long one keeps it from beginning for a moment's sake.
///
/// # Shape
/// 10 s and 60 s by default. The short one lasts 0.1 s to 10 minutes, the long one as long up to 60 times as long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spans {
    /// The short one.
    pub short: Duration,
    /// The long one.
    pub long: Duration,
}

impl Default for Spans {
    fn default() -> Self {
        Self { short: Duration::from_secs(10), long: Duration::from_secs(60) }
    }
}

/// How a request ended, as far as its service promised anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Outcome {
    /// As promised.
    #[default]
    Good,
    /// Not so: it failed, or took too long.
    Bad,
}

/// What one window holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub(crate) n_all: u64,
    pub(crate) n_bad: u64,
    /// How far back it reaches now.
    pub(crate) covers_ns: u64,
}

impl Window {
    /// Returns the share of bad events, 0 without any events.
    pub(crate) fn bad_share(self) -> f64 {
        self.n_bad as f64 / self.n_all.max(1) as f64
    }

    /// Returns the events in a second.
    pub(crate) fn per_s(self) -> f64 {
        self.n_all as f64 * 1e9 / self.covers_ns.max(1) as f64
    }
}

/// What both windows hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) short: Window,
    pub(crate) long: Window,
}

#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    /// Events since they were last added up: all in the low half, the bad ones in the high half.
    pending: AtomicU64,
}

/// Events of one slot, or of one window. Belongs to whoever has the turn.
#[derive(Debug)]
struct Tally {
    all: AtomicU64,
    bad: AtomicU64,
}

/// Two sliding windows, and what was decided by them last.
///
/// # Shape
/// A window is its full slots and the one that is under way; a slot is a tenth of the short window. 16 shards of 128 bytes and 16 bytes a slot:
/// 3 KiB for 10 s and 60 s.
#[derive(Debug)]
pub(crate) struct Windows {
    slot_ns: u64,
    n_short: u64,
    shards: Box<[Shard]>,
    /// When the slot under way ends: whoever comes later opens the next.
    ends_at_ns: AtomicU64,
    /// 1 while the condition holds.
    holds: AtomicU32,
    turn: Turn,
    // What follows belongs to whoever has the turn.
    /// The number of the slot under way, counted from time 0.
    newest: AtomicU64,
    /// Of slot `i` modulo their number, which is that of the long window and the one under way.
    slots: Box<[Tally]>,
    short: Tally,
    long: Tally,
}

impl Windows {
    /// Returns empty windows, `None` where the spans are outside of what works.
    pub(crate) fn new(spans: Spans) -> Option<Self> {
        let Spans { short, long } = spans;
        let is_short_fit = (Duration::from_millis(100)..=Duration::from_secs(600)).contains(&short);
        if !is_short_fit || !(short..=short * 60).contains(&long) {
            return None;
        }
        let slot_ns = short.as_nanos() as u64 / SLOTS_PER_SHORT;
        let n_long = (long.as_nanos() as u64).div_ceil(slot_ns);
        Some(Self::with_slots(slot_ns, [SLOTS_PER_SHORT, n_long]))
    }

    /// Returns empty windows of `[short, long]` slots.
    pub(crate) fn with_slots(slot_ns: u64, [n_short, n_long]: [u64; 2]) -> Self {
        Self {
            slot_ns,
            n_short,
            shards: (0..SHARDS).map(|_| Shard { pending: AtomicU64::new(0) }).collect(),
            ends_at_ns: AtomicU64::new(0),
            holds: AtomicU32::new(0),
            turn: Turn::new(),
            newest: AtomicU64::new(0),
            slots: (0..=n_long).map(|_| Tally::new()).collect(),
            short: Tally::new(),
            long: Tally::new(),
        }
    }

    /// Counts an event in shard `shard` (taken modulo 16) at `now_ns`, and returns what `decide` said last: now, or when the counts were last
    /// added up, at most a slot or 16 events of a shard ago.
    ///
    /// # Cost
    /// One atomic add and two loads; every 16th event of a shard reads 16 shards, every new slot moves the windows.
    // Relaxed: counts and what they decide are statistics, and each word stands for itself.
    #[inline]
    pub(crate) fn count(
        &self,
        outcome: Outcome,
        shard: usize,
        now_ns: u64,
        decide: impl FnOnce(Seen) -> bool + Copy,
    ) -> bool {
        let one = 1 + BAD * u64::from(outcome == Outcome::Bad);
        let is_new = now_ns >= self.ends_at_ns.load(Relaxed);
        if !is_new || !self.try_fold(now_ns, one, decide) {
            let pending = self.shards[shard % SHARDS].pending.fetch_add(one, Relaxed) + one;
            if pending & (BAD - 1) >= PENDING_MAX {
                self.try_fold(now_ns, 0, decide);
            }
        }
        self.holds.load(Relaxed) != 0
    }

    /// Adds up what all shards have counted, and `own`, which belongs to the slot of `now_ns`; returns whether it could.
    #[cold]
    fn try_fold(&self, now_ns: u64, own: u64, decide: impl FnOnce(Seen) -> bool) -> bool {
        self.turn.attempt(|| {
            // What is pending was counted before the slot under way ended: who comes later opens the next one first.
            for shard in &self.shards {
                if shard.pending.load(Relaxed) != 0 {
                    self.add(shard.pending.swap(0, Relaxed));
                }
            }
            self.move_to(now_ns / self.slot_ns);
            self.add(own);
            self.holds.store(u32::from(decide(self.seen(now_ns))), Relaxed);
        })
    }

    // Relaxed in what follows: only who has the turn is here, and that orders one holder after the other.

    /// Adds a shard's word to the slot under way and to both windows.
    fn add(&self, pending: u64) {
        for tally in [self.slot(self.newest.load(Relaxed)), &self.short, &self.long] {
            tally.change(|all| all.wrapping_add(pending & (BAD - 1)), |bad| bad.wrapping_add(pending / BAD));
        }
    }

    /// Makes `slot` the one under way, unless that is a later one.
    fn move_to(&self, slot: u64) {
        let newest = self.newest.load(Relaxed);
        let n_slots = self.slots.len() as u64;
        if slot.saturating_sub(newest) >= n_slots {
            self.slots.iter().chain([&self.short, &self.long]).for_each(Tally::clear);
        } else {
            for next in newest + 1..=slot {
                self.short.subtract(self.slot(next + n_slots - self.n_short - 1));
                self.long.subtract(self.slot(next)); // whose place `next` takes
                self.slot(next).clear();
            }
        }
        let newest = newest.max(slot);
        self.newest.store(newest, Relaxed);
        self.ends_at_ns.store((newest + 1).saturating_mul(self.slot_ns), Relaxed);
    }

    fn seen(&self, now_ns: u64) -> Seen {
        let under_way_ns = now_ns.saturating_sub(self.newest.load(Relaxed) * self.slot_ns);
        let n_long = self.slots.len() as u64 - 1;
        let window = |tally: &Tally, n_slots: u64| Window {
            n_all: tally.all.load(Relaxed),
            n_bad: tally.bad.load(Relaxed),
            covers_ns: n_slots * self.slot_ns + under_way_ns,
        };
        Seen { short: window(&self.short, self.n_short), long: window(&self.long, n_long) }
    }

    fn slot(&self, number: u64) -> &Tally {
        &self.slots[(number % self.slots.len() as u64) as usize]
    }
}

impl Tally {
    fn new() -> Self {
        Self { all: AtomicU64::new(0), bad: AtomicU64::new(0) }
    }

    fn clear(&self) {
        self.change(|_| 0, |_| 0);
    }

    fn subtract(&self, other: &Self) {
        let (all, bad) = (other.all.load(Relaxed), other.bad.load(Relaxed));
        self.change(|sum| sum.wrapping_sub(all), |sum| sum.wrapping_sub(bad));
    }

    fn change(&self, all: impl FnOnce(u64) -> u64, bad: impl FnOnce(u64) -> u64) {
        self.all.store(all(self.all.load(Relaxed)), Relaxed);
        self.bad.store(bad(self.bad.load(Relaxed)), Relaxed);
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
