//! How many chunks a process should have granted ahead: a floor for those who just started, the recent rate for those who write.
//!
//! Called by the pool once a round for each process. Pure: time comes in as an argument.

use backsight_core::units::{Bytes, Nanos};
use backsight_ringbuf::abi::Class;

/// Chunks of the smallest class for a process that has not written yet: one for each thread of a usual pool that starts at once, before the
/// agent is awake.
pub const IDLE_CHUNKS: u32 = 16;
/// How long a class counts as in use after its last chunk was taken.
const IN_USE: Nanos = Nanos::from_ms(10_000);
/// A chunk that was full after less than this asks for the next class, as threads do.
const FAST_FILL: Nanos = Nanos::from_ms(100);
/// The floor of a class in use: Small, Medium, Large.
pub const FLOOR_CHUNKS: [u32; 3] = [64, 8, 8];
/// The time in which a rate that is not confirmed halves.
const HALF_LIFE_NS: f64 = 1e9;
/// Over how long a rate is measured: chunks are large, and a look that happens to see two of them taken says little about the next.
const WINDOW_NS: u64 = 20_000_000;

/// Chunks by class.
pub type PerClass = [u32; 3];

/// What one process has been seen to take.
#[derive(Clone, Debug, Default)]
pub struct Demand {
    observed: Option<Nanos>,
    rates: [f64; 3],
    /// When the present window began, and what was taken in it.
    window_start: Option<Nanos>,
    window: PerClass,
    wanted_until: [Option<Nanos>; 3],
    /// Doubles each round in which everything granted was taken: the rate is then only a lower bound.
    starved_target: PerClass,
}

/// What bounds the reserve of one process.
#[derive(Clone, Copy, Debug)]
pub struct ReserveLimits {
    /// For how long the reserve should last.
    pub lasts: Nanos,
    /// Threads that record.
    pub n_threads: u32,
    /// The smallest class that threads are told to take.
    pub class_floor: Class,
}

impl Demand {
    /// Notes that `taken` chunks were taken since the last round, and how many are `left` of those granted.
    pub fn observe(&mut self, now: Nanos, taken: PerClass, left: PerClass) {
        let elapsed = self.observed.map_or(0, |before| now.0.saturating_sub(before.0));
        self.observed = Some(now);
        let keep = (-(elapsed as f64) / HALF_LIFE_NS).exp2();
        let since = now.0.saturating_sub(self.window_start.get_or_insert(now).0);
        for class in Class::ALL {
            let idx = idx(class);
            self.window[idx] = self.window[idx].saturating_add(taken[idx]);
            let bytes = f64::from(self.window[idx]) * class.bytes() as f64;
            self.rates[idx] = (self.rates[idx] * keep).max(bytes * 1e9 / since.max(WINDOW_NS) as f64);
            if taken[idx] > 0 {
                self.wanted_until[idx] = Some(Nanos(now.0 + IN_USE.0));
            }
            let starved = taken[idx] > 0 && left[idx] == 0;
            self.starved_target[idx] =
                if starved { self.starved_target[idx].max(taken[idx]).saturating_mul(2) } else { 0 };
        }
        if since >= WINDOW_NS {
            (self.window_start, self.window) = (Some(now), [0; 3]);
        }
    }

    /// Notes that a chunk of `class` was full `took` after it was opened.
    pub fn observe_seal(&mut self, now: Nanos, class: Class, took: Nanos) {
        if took < FAST_FILL {
            self.wanted_until[idx(class.larger())] = Some(Nanos(now.0 + IN_USE.0));
        }
    }

    /// Returns whether anything was taken recently.
    pub fn is_active(&self, now: Nanos) -> bool {
        self.wanted_until.iter().flatten().any(|until| *until > now)
    }

    /// Returns the bytes per second that the process took lately.
    pub fn bytes_per_s(&self) -> f64 {
        self.rates.iter().sum()
    }

    /// Returns how many chunks of each class should be granted ahead.
    pub fn target(&self, now: Nanos, limits: ReserveLimits) -> PerClass {
        let mut wanted = self.wanted_until.map(|until| until.is_some_and(|until| until > now));
        if !wanted.contains(&true) {
            return [IDLE_CHUNKS, 0, 0];
        }
        if limits.class_floor > Class::Small {
            wanted[..idx(limits.class_floor)].fill(false);
            wanted[idx(limits.class_floor)] = true;
        }
        let largest = Class::ALL.into_iter().rev().find(|class| wanted[idx(*class)]);
        let mut target = [0; 3];
        for class in Class::ALL.into_iter().filter(|class| wanted[idx(*class)]) {
            let rate = if Some(class) == largest { self.bytes_per_s() } else { self.rates[idx(class)] };
            let by_rate = rate * limits.lasts.0 as f64 / 1e9 / class.bytes() as f64;
            target[idx(class)] = (by_rate.ceil() as u32)
                .max(FLOOR_CHUNKS[idx(class)])
                .max(limits.n_threads.saturating_mul(2))
                .max(self.starved_target[idx(class)]);
        }
        target[0] = target[0].max(IDLE_CHUNKS);
        target
    }
}

/// Returns the place of `class` in a [`PerClass`].
pub const fn idx(class: Class) -> usize {
    class as usize - 1
}

/// Returns what each may have at most where all of `wanted` are to get along with `total`: no more than others get that want as much, and as
/// much as that leaves. `u64::MAX` where all can have what they want.
pub fn max_min_level(mut wanted: Vec<u64>, total: u64) -> u64 {
    wanted.sort_unstable();
    let (mut left, n) = (total, wanted.len() as u64);
    for (n_before, wants) in (0..).zip(wanted) {
        let part = left / (n - n_before);
        if wants > part {
            return part;
        }
        left -= wants;
    }
    u64::MAX
}

/// Returns the bytes of that many chunks.
pub fn bytes_of(chunks: PerClass) -> Bytes {
    Bytes(Class::ALL.into_iter().map(|class| u64::from(chunks[idx(class)]) * class.bytes()).sum())
}

#[cfg(test)]
mod tests {
    use super::{Demand, FLOOR_CHUNKS, IDLE_CHUNKS, ReserveLimits, bytes_of, max_min_level};
    use backsight_core::units::{Bytes, Nanos};
    use backsight_ringbuf::abi::Class;
    use proptest::prelude::{prop, prop_assert, proptest};

    const LIMITS: ReserveLimits = ReserveLimits { lasts: Nanos::from_ms(250), n_threads: 1, class_floor: Class::Small };

    #[test]
    fn a_process_that_never_wrote_has_four_small_chunks() {
        assert_eq!(Demand::default().target(Nanos(0), LIMITS), [IDLE_CHUNKS, 0, 0]);
    }

    #[test]
    fn a_burst_raises_the_reserve_at_once_and_silence_lowers_it_again() {
        let mut demand = Demand::default();
        demand.observe(Nanos(0), [0; 3], [4, 0, 0]);
        demand.observe(Nanos::from_ms(1), [0, 0, 40], [4, 0, 8]);
        let [_, _, large] = demand.target(Nanos::from_ms(1), LIMITS);
        assert_eq!(large, 2 * 250, "250 ms of 40 chunks in 20 ms");
        demand.observe(Nanos::from_ms(9_000), [0; 3], [4, 0, 8]);
        let [_, _, large] = demand.target(Nanos::from_ms(9_000), LIMITS);
        assert!(large < 40, "{large}");
        assert_eq!(demand.target(Nanos::from_ms(11_000), LIMITS), [IDLE_CHUNKS, 0, 0]);
    }

    #[test]
    fn a_steady_rate_is_met_however_often_it_is_looked_at() {
        for look_ms in [1, 4, 20, 100] {
            let mut demand = Demand::default();
            // Three large chunks every 7 ms.
            for look in 1..2_000 / look_ms {
                let taken = 3 * (look * look_ms / 7 - (look - 1) * look_ms / 7);
                demand.observe(Nanos::from_ms(look * look_ms), [0, 0, taken as u32], [4, 0, 400]);
            }
            let [.., large] = demand.target(Nanos::from_ms(2_000), LIMITS);
            assert!((107..200).contains(&large), "{large} with a look every {look_ms} ms");
        }
    }

    #[test]
    fn taking_all_that_was_granted_doubles_the_reserve_round_by_round() {
        let mut demand = Demand::default();
        let mut granted = IDLE_CHUNKS;
        for round in 1..6 {
            demand.observe(Nanos::from_ms(1000 * round), [granted, 0, 0], [0; 3]);
            let [small, ..] = demand.target(Nanos::from_ms(1000 * round), LIMITS);
            assert!(small >= 2 * granted, "{small} after {granted}");
            granted = small;
        }
    }

    #[test]
    fn a_chunk_filled_fast_has_the_next_class_ready() {
        let mut demand = Demand::default();
        demand.observe(Nanos(1), [1, 0, 0], [3, 0, 0]);
        assert_eq!(demand.target(Nanos(1), LIMITS)[1], 0);
        demand.observe_seal(Nanos(1), Class::Small, Nanos::from_ms(5));
        assert!(demand.target(Nanos(1), LIMITS)[1] >= FLOOR_CHUNKS[1]);
    }

    #[test]
    fn under_a_class_floor_smaller_chunks_are_not_granted_beyond_the_idle_ones() {
        let mut demand = Demand::default();
        demand.observe(Nanos(1), [60, 0, 0], [3, 0, 0]);
        let [small, medium, large] = demand.target(Nanos(1), ReserveLimits { class_floor: Class::Medium, ..LIMITS });
        assert!(small == IDLE_CHUNKS && medium >= FLOOR_CHUNKS[1] && large == 0);
    }

    proptest! {
        /// For all wants, the level uses up the total, or nobody wants more.
        #[test]
        fn the_level_shares_all_there_is(wanted in prop::collection::vec(0..1000_u64, 0..20), total in 0..5000_u64) {
            let level = max_min_level(wanted.clone(), total);
            let used: u64 = wanted.iter().map(|wants| *wants.min(&level)).sum();
            prop_assert!(used <= total);
            prop_assert!(level == u64::MAX || total - used < wanted.len() as u64, "{used} of {total} at {level}");
        }
    }

    #[test]
    fn bytes_are_those_of_the_classes() {
        assert_eq!(bytes_of([4, 2, 1]), Bytes::kib(16 + 32 + 64));
    }
}
