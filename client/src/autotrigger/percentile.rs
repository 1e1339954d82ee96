//! Percentile: fires for values in the top `1 - p` of what was seen lately.
//!
//! Called once per request with its latency, queue length or size. Values are counted in log-linear buckets, 32 per octave; now and then
//! a thread folds its counts into a histogram that forgets with a half-life, and stores the value that `1 - p` of the weight lies above.
//! A sample only adds to a bucket and compares with that value. Nobody ever waits: a thread that finds another folding leaves its counts
//! for later.

use super::turn::Turn;
use super::{AutotriggerError, SHARDS};
use backsight_core::ids::TriggerId;
use backsight_core::loglinear::{BUCKETS, bucket_of, value_below_tail};
use backsight_core::sync::Ordering::Relaxed;
use backsight_core::sync::{AtomicU32, AtomicU64};

/// Samples of a shard between two folds.
const FOLD_SAMPLES: u32 = 1024;
/// The shortest half-life, in samples.
const HALF_LIFE_MIN: f64 = 1000.0;
/// The weight of a new sample at which all weights are scaled down.
const WEIGHT_MAX: f64 = (1_u64 << 40) as f64;
/// How many standard deviations apart two windows' shares must be to be taken for two distributions.
const SHIFT_SIGMAS: f64 = 5.0;
/// Windows over which a shard's share is averaged.
const KNOWN_WINDOWS: u32 = 7;
/// Standing for no pivot yet.
const NO_PIVOT: u32 = u32::MAX;

/// Counts of the threads that share it, since their last fold, and what it takes to notice that their values have changed.
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    /// Samples since the last fold; a lost one only delays the next.
    samples: AtomicU32,
    // What follows belongs to whoever has the turn to fold.
    /// The median bucket of an earlier window, [`NO_PIVOT`] before the first.
    pivot: AtomicU32,
    /// The share of that window at or above the pivot, as bits of an `f32`.
    pivot_share: AtomicU32,
    /// How many samples that share stands for.
    pivot_samples: AtomicU32,
    /// Samples of this window at or above the pivot.
    above: AtomicU32,
    /// Samples of this window.
    window: AtomicU32,
    /// 1 where the fold before saw a change: its samples may be of both kinds, so this one starts again.
    doubtful: AtomicU32,
    counts: [AtomicU32; BUCKETS],
}

/// What decides whether a value is in the top `1 - p`: no ids, no agent.
///
/// # Shape
/// 16 shards of 8 KiB and a histogram of 16 KiB, allocated by [`Histogram::new`].
#[derive(Debug)]
pub struct Histogram {
    /// Values at or above it fire; `u64::MAX` while warming up.
    threshold: AtomicU64,
    tail_share: f64,
    half_life: f64,
    shards: Box<[Shard]>,
    /// Whose turn it is to fold.
    folding: Turn,
    // What follows belongs to whoever has that turn; all are bits of an `f64`.
    /// The weight of the next sample; it grows instead of all others shrinking.
    weight: AtomicU64,
    total: AtomicU64,
    weights: Box<[AtomicU64]>,
}

impl Histogram {
    /// Returns a histogram for percentile `p`, as a share: 0.99 fires for one value in a hundred.
    ///
    /// # Errors
    /// A `p` outside of 0.5 to 0.99999.
    pub fn new(p: f64) -> Result<Self, AutotriggerError> {
        if !(0.5..=0.99999).contains(&p) {
            let expected = "a share from 0.5 to 0.99999 (0.99 for the 99th percentile)";
            return Err(AutotriggerError::OutOfRange { what: "percentile", value: p, expected });
        }
        let tail_share = 1.0 - p;
        Ok(Self {
            threshold: AtomicU64::new(u64::MAX),
            tail_share,
            half_life: HALF_LIFE_MIN.max(10.0 / tail_share),
            shards: (0..SHARDS).map(|_| Shard::new()).collect(),
            folding: Turn::new(),
            weight: AtomicU64::new(1_f64.to_bits()),
            total: AtomicU64::new(0),
            weights: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// Counts `value` in shard `shard` (taken modulo 16) and returns whether it is in the top `1 - p`.
    ///
    /// # Cost
    /// One atomic add and three loads; each 1024th sample of a shard folds: 2048 buckets, no waiting.
    #[inline]
    pub fn sample(&self, value: u64, shard: usize) -> bool {
        let shard = &self.shards[shard % SHARDS];
        shard.counts[bucket_of(value)].fetch_add(1, Relaxed); // a statistic; folded whenever
        let samples = shard.samples.load(Relaxed).wrapping_add(1);
        shard.samples.store(samples, Relaxed); // a lost one only delays the fold
        let fires = value >= self.threshold.load(Relaxed); // a statistic: the one before is as good
        if samples >= FOLD_SAMPLES {
            self.try_fold(shard);
        }
        fires
    }

    /// Returns the value at and above which samples fire now; `None` while warming up.
    pub fn threshold(&self) -> Option<u64> {
        let threshold = self.threshold.load(Relaxed); // a statistic
        (threshold != u64::MAX).then_some(threshold)
    }

    /// Returns the samples after which half of what was seen is forgotten.
    pub fn half_life_samples(&self) -> f64 {
        self.half_life
    }

    #[cold]
    fn try_fold(&self, shard: &Shard) {
        // Where another thread folds, the next sample tries again.
        self.folding.attempt(|| {
            shard.samples.store(0, Relaxed); // as in `sample`
            self.fold(shard);
        });
    }

    // Relaxed throughout what follows: only who has the turn is here, and that orders one holder after the other.
    fn fold(&self, shard: &Shard) {
        let weight = f64::from_bits(self.weight.load(Relaxed));
        let changed = shard.look_for_change(self.window_samples());
        let doubtful = shard.doubtful.swap(u32::from(changed), Relaxed) != 0;
        if changed || doubtful {
            self.forget();
        }
        let mut n = 0_u32;
        for (count, bucket) in shard.counts.iter().zip(&self.weights) {
            if count.load(Relaxed) != 0 {
                let count = count.swap(0, Relaxed); // whatever else is added meanwhile counts next time
                n = n.saturating_add(count);
                add(bucket, f64::from(count) * weight);
            }
        }
        let total = add(&self.total, f64::from(n) * weight);
        let warm = total / weight >= 1.0 / self.tail_share;
        if warm || self.threshold.load(Relaxed) != u64::MAX {
            self.threshold.store(self.value_below_tail(total * self.tail_share), Relaxed); // a statistic
        }
        let grown = weight * (f64::from(n) / self.half_life).exp2();
        self.weight.store(self.scaled_down(grown).to_bits(), Relaxed);
    }

    /// Samples over which a shard compares its values with those before.
    fn window_samples(&self) -> u32 {
        (self.half_life / 8.0).max(f64::from(FOLD_SAMPLES)) as u32
    }

    /// Forgets everything: the values come from another distribution now.
    fn forget(&self) {
        for bucket in &self.weights {
            bucket.store(0, Relaxed);
        }
        self.total.store(0, Relaxed);
    }

    /// Returns the value that `tail` of the weight lies at or above.
    fn value_below_tail(&self, tail: f64) -> u64 {
        let weights = self.weights.iter().enumerate().rev();
        let weights = weights.map(|(idx, bucket)| (idx, f64::from_bits(bucket.load(Relaxed))));
        value_below_tail(weights, tail).unwrap_or(u64::MAX)
    }

    /// Scales all weights down before they leave the range where adding is exact; returns the new weight of a sample.
    fn scaled_down(&self, weight: f64) -> f64 {
        if weight < WEIGHT_MAX {
            return weight;
        }
        for word in self.weights.iter().chain(std::iter::once(&self.total)) {
            let scaled = f64::from_bits(word.load(Relaxed)) / weight;
            word.store(scaled.to_bits(), Relaxed);
        }
        1.0
    }
}

impl Shard {
    fn new() -> Self {
        Self {
            samples: AtomicU32::new(0),
            pivot: AtomicU32::new(NO_PIVOT),
            pivot_share: AtomicU32::new(0),
            pivot_samples: AtomicU32::new(0),
            above: AtomicU32::new(0),
            window: AtomicU32::new(0),
            doubtful: AtomicU32::new(0),
            counts: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }

    /// Returns whether this window's samples lie elsewhere than the window's before.
    ///
    /// Decay alone adapts too slowly: at p99.99 an old level above the new one is in the way for 13 half-lives. Each shard compares with
    /// itself, as threads may well have different work.
    fn look_for_change(&self, window_samples: u32) -> bool {
        let pivot = self.pivot.load(Relaxed);
        let sum = |counts: &[AtomicU32]| counts.iter().map(|count| count.load(Relaxed)).fold(0, u32::saturating_add);
        let (below_pivot, from_pivot) = self.counts.split_at((pivot as usize).min(BUCKETS));
        let n_from_pivot = sum(from_pivot);
        let n = n_from_pivot.saturating_add(sum(below_pivot));
        let above = self.above.load(Relaxed).saturating_add(n_from_pivot);
        let window = self.window.load(Relaxed).saturating_add(n);
        self.above.store(above, Relaxed);
        self.window.store(window, Relaxed);
        if n == 0 || (pivot != NO_PIVOT && window < window_samples) {
            return false;
        }
        let share = f64::from(above) / f64::from(window);
        let before = f64::from(f32::from_bits(self.pivot_share.load(Relaxed)));
        let known = f64::from(self.pivot_samples.load(Relaxed).min(window.saturating_mul(KNOWN_WINDOWS)));
        let sigma = (0.25 / f64::from(window) + 0.25 / known.max(1.0)).sqrt();
        let changed = pivot != NO_PIVOT && (share - before).abs() > SHIFT_SIGMAS * sigma;
        if changed || pivot == NO_PIVOT {
            self.set_pivot(n);
        } else {
            // The pivot stays, and its share is averaged over some windows, so that slow drifts add up until they are a change.
            let mean = before + (share - before) * f64::from(window) / (known + f64::from(window));
            self.pivot_share.store((mean as f32).to_bits(), Relaxed);
            self.pivot_samples.store((known as u32).saturating_add(window), Relaxed);
        }
        self.above.store(0, Relaxed);
        self.window.store(0, Relaxed);
        changed
    }

    /// Takes the median bucket of the `n` samples at hand as the pivot.
    fn set_pivot(&self, n: u32) {
        let mut above = 0_u32;
        for (idx, count) in self.counts.iter().enumerate().rev() {
            above = above.saturating_add(count.load(Relaxed));
            if above >= n / 2 {
                self.pivot.store(idx as u32, Relaxed);
                let share = f64::from(above) / f64::from(n.max(1));
                self.pivot_share.store((share as f32).to_bits(), Relaxed);
                self.pivot_samples.store(n, Relaxed);
                return;
            }
        }
    }
}

/// Adds to an `f64` that only the caller writes; returns the sum.
fn add(word: &AtomicU64, more: f64) -> f64 {
    let sum = f64::from_bits(word.load(Relaxed)) + more;
    word.store(sum.to_bits(), Relaxed);
    sum
}

/// Fires for values in the top `1 - p` of what was seen lately.
///
/// # Shape
/// About 150 KiB, allocated once. Make one per kind of value and keep it in a static.
#[derive(Debug)]
pub struct Percentile {
    trigger: TriggerId,
    histogram: Histogram,
}

impl Percentile {
    /// Returns a trigger called `name` for percentile `p`, as a share: 0.99 fires for one value in a hundred.
    ///
    /// It warms up for `1 / (1 - p)` samples, at least 1024 of one thread; the half-life is `max(1000, 10 / (1 - p))` samples.
    ///
    /// # Errors
    /// A name that is refused, or a `p` outside of 0.5 to 0.99999.
    pub fn new(name: &str, p: f64) -> Result<Self, AutotriggerError> {
        let histogram = Histogram::new(p)?;
        Ok(Self { trigger: super::register(name)?, histogram })
    }

    /// Counts `value`; where it is in the top `1 - p`, fires for the active trace. Returns whether it was.
    ///
    /// # Cost
    /// See [`Histogram::sample`].
    #[inline]
    pub fn sample(&self, value: u64) -> bool {
        let fires = self.histogram.sample(value, super::shard());
        if fires {
            crate::trigger(self.trigger);
        }
        fires
    }

    /// Returns the trigger's id.
    pub fn trigger_id(&self) -> TriggerId {
        self.trigger
    }

    /// Returns the value at and above which samples fire now; `None` while warming up.
    pub fn threshold(&self) -> Option<u64> {
        self.histogram.threshold()
    }
}
