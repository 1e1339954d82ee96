//! Category: fires for labels that are rare: whose share of what was seen lately is at most `f`.
//!
//! Called once per request with, for instance, its API, status or region. The first 1024 labels are counted exactly, later ones share 256
//! counters, so a million labels cost no more memory than a thousand; sharing can only make a label look more common than it is.

use super::turn::Turn;
use super::{AutotriggerError, SHARDS};
use backsight_core::ids::TriggerId;
use backsight_core::sync::Ordering::Relaxed;
use backsight_core::sync::{AtomicU32, AtomicU64};

/// Labels with a counter of their own.
pub const LABELS_MAX: usize = 1024;
/// Counters that all other labels share.
pub const SHARED_COUNTERS: usize = 256;
/// Places of the table: half of them stay empty, so that searches are short.
const PLACES: usize = 2 * LABELS_MAX;
/// Places that a search looks at; a label that finds none is counted in a shared counter.
const PROBES: usize = 16;
/// What one sample counts, so that halving a counter keeps its low bits.
const ONE: u64 = 1 << 10;
/// The shortest half-life, in samples.
const HALF_LIFE_MIN: u64 = 1000;
/// Samples of a shard between two looks at what counts as rare.
const REFRESH_SAMPLES: u64 = 16;

#[derive(Debug)]
struct Place {
    /// The label's hash, 0 while the place is empty.
    label: AtomicU64,
    count: AtomicU64,
}

#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    /// Decayed samples, in units of [`ONE`].
    total: AtomicU64,
    samples: AtomicU64,
}

/// What decides whether a label is rare: no ids, no agent.
///
/// # Shape
/// 2048 places of 16 bytes and 256 counters, allocated by [`Shares::new`].
#[derive(Debug)]
pub struct Shares {
    share: f64,
    half_life: u64,
    places: Box<[Place]>,
    n_labels: AtomicU32,
    shared: Box<[AtomicU64]>,
    shards: Box<[Shard]>,
    /// A count at or below it is rare; 0 until `1 / f` samples were seen.
    rare: AtomicU64,
    /// Whose turn it is to halve the counters.
    halving: Turn,
}

impl Shares {
    /// Returns counters that call a label rare whose share is at most `share`.
    ///
    /// # Errors
    /// A share outside of 0.00001 to 0.5.
    pub fn new(share: f64) -> Result<Self, AutotriggerError> {
        if !(0.00001..=0.5).contains(&share) {
            return Err(AutotriggerError::OutOfRange { what: "share", value: share, expected: "0.00001 to 0.5" });
        }
        let zero = || AtomicU64::new(0);
        Ok(Self {
            share,
            half_life: HALF_LIFE_MIN.max((10.0 / share) as u64),
            places: (0..PLACES).map(|_| Place { label: zero(), count: zero() }).collect(),
            n_labels: AtomicU32::new(0),
            shared: (0..SHARED_COUNTERS).map(|_| zero()).collect(),
            shards: (0..SHARDS).map(|_| Shard { total: zero(), samples: zero() }).collect(),
            rare: zero(),
            halving: Turn::new(),
        })
    }

    /// Counts `label` in shard `shard` (taken modulo 16) and returns whether it is rare.
    ///
    /// # Cost
    /// A hash of the label, at most 16 places looked at, two atomic adds. Once per half-life a thread halves 2320 counters.
    #[inline]
    pub fn sample(&self, label: &str, shard: usize) -> bool {
        self.sample_hash(backsight_core::priority::label_hash(label), shard)
    }

    // Relaxed throughout: counts are statistics, and each word stands for itself.
    #[inline]
    fn sample_hash(&self, hash: u64, shard: usize) -> bool {
        let count = self.counter(hash).fetch_add(ONE, Relaxed) + ONE;
        let shard = &self.shards[shard % SHARDS];
        shard.total.fetch_add(ONE, Relaxed);
        let samples = shard.samples.load(Relaxed).wrapping_add(1);
        shard.samples.store(samples, Relaxed); // a lost one only delays the look
        if samples.is_multiple_of(REFRESH_SAMPLES) {
            self.refresh();
        }
        count <= self.rare.load(Relaxed)
    }

    /// Returns the number of labels with a counter of their own.
    pub fn n_labels(&self) -> u32 {
        self.n_labels.load(Relaxed).min(LABELS_MAX as u32)
    }

    /// Returns the counter of the label with hash `hash`, giving it one of its own while there are any.
    #[inline]
    fn counter(&self, hash: u64) -> &AtomicU64 {
        let label = hash.max(1); // 0 is an empty place
        for probe in 0..PROBES {
            let place = &self.places[(label as usize).wrapping_add(probe) % PLACES];
            match place.label.load(Relaxed) {
                found if found == label => return &place.count,
                0 if self.take(place, label) => return &place.count,
                0 => break, // no place was left: none further on either
                _ => {}
            }
        }
        &self.shared[(hash >> 48) as usize % SHARED_COUNTERS]
    }

    /// Gives `label` the empty place; returns whether it has it now.
    #[cold]
    fn take(&self, place: &Place, label: u64) -> bool {
        if self.n_labels.load(Relaxed) >= LABELS_MAX as u32 {
            return false;
        }
        if self.n_labels.fetch_add(1, Relaxed) >= LABELS_MAX as u32 {
            self.n_labels.fetch_sub(1, Relaxed);
            return false;
        }
        match place.label.compare_exchange(0, label, Relaxed, Relaxed) {
            Ok(_) => true,
            Err(other) => {
                self.n_labels.fetch_sub(1, Relaxed);
                other == label
            }
        }
    }

    /// Computes anew what is rare, and halves all counters when a half-life has passed.
    #[cold]
    fn refresh(&self) {
        let total: u64 = self.shards.iter().map(|shard| shard.total.load(Relaxed)).sum();
        self.rare.store((total as f64 * self.share) as u64, Relaxed);
        if total >= 2 * self.half_life * ONE {
            self.halving.attempt(|| self.halve());
        }
    }

    /// Halves all counters, unless another thread has done so meanwhile.
    fn halve(&self) {
        let total: u64 = self.shards.iter().map(|shard| shard.total.load(Relaxed)).sum();
        if total < 2 * self.half_life * ONE {
            return;
        }
        let counts = self.places.iter().map(|place| &place.count);
        let totals = self.shards.iter().map(|shard| &shard.total);
        for word in counts.chain(&self.shared).chain(totals) {
            let count = word.load(Relaxed);
            word.fetch_sub(count - count / 2, Relaxed); // what is added meanwhile stays
        }
        self.rare.store((total as f64 / 2.0 * self.share) as u64, Relaxed);
    }
}

/// Fires for labels whose share of what was seen lately is at most `f`.
///
/// # Shape
/// About 40 KiB, allocated once; labels are hashed, not kept.
#[derive(Debug)]
pub struct Category {
    trigger: TriggerId,
    shares: Shares,
}

impl Category {
    /// Returns a trigger called `name` for labels with a share of at most `share`.
    ///
    /// It fires for nothing before `1 / share` samples; the half-life is `max(1000, 10 / share)` samples.
    ///
    /// # Errors
    /// A name that is refused, or a share outside of 0.00001 to 0.5.
    pub fn new(name: &str, share: f64) -> Result<Self, AutotriggerError> {
        let shares = Shares::new(share)?;
        Ok(Self { trigger: super::register(name)?, shares })
    }

    /// Counts `label`; where it is rare, fires for the active trace. Returns whether it was.
    ///
    /// # Cost
    /// See [`Shares::sample`].
    #[inline]
    pub fn sample(&self, label: &str) -> bool {
        let fires = self.shares.sample(label, super::shard());
        if fires {
            crate::trigger(self.trigger);
        }
        fires
    }

    /// Returns the trigger's id.
    pub fn trigger_id(&self) -> TriggerId {
        self.trigger
    }
}
