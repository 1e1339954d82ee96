//! Streams that autotriggers are fed with: lognormal values, as latencies are, and a million labels.
//!
//! Made before anything is measured, so that a sample takes no more than a load.

use crate::bench::stats::SplitMix;

/// Values of a stream before it begins again; a power of two.
const N_VALUES: usize = 1 << 20;
/// The lognormal distribution's parameters: a median of 163 us, in nanoseconds, and a p99 ten times as large.
const LEVEL: f64 = 12.0;
const SIGMA: f64 = 1.0;

/// Labels of a stream.
pub const N_LABELS: usize = 1_000_000;
/// Labels that make up half of a stream.
const N_COMMON: usize = 64;
const LABEL_BYTES: usize = 12;

/// A stream of lognormal values.
#[derive(Clone, Debug)]
pub struct Values {
    values: Box<[u64]>,
}

impl Values {
    /// Returns the stream of `seed`, with logarithms raised by `shift`.
    #[must_use]
    pub fn new(seed: u64, shift: f64) -> Self {
        let mut random = SplitMix(seed);
        // Source: G. E. P. Box and M. E. Muller, 1958.
        let mut normal =
            || (-2.0 * (1.0 - random.uniform()).ln()).sqrt() * (std::f64::consts::TAU * random.uniform()).cos();
        Self { values: (0..N_VALUES).map(|_| (LEVEL + shift + SIGMA * normal()).exp() as u64).collect() }
    }

    /// Returns value number `idx`.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, idx: usize) -> u64 {
        self.values[idx & (N_VALUES - 1)]
    }
}

/// A stream of labels: half of it the 64 common ones, half of it a million others in turn.
#[derive(Clone, Debug)]
pub struct Labels {
    text: String,
}

impl Labels {
    /// Returns the stream.
    #[must_use]
    pub fn new() -> Self {
        let mut text = String::with_capacity(N_LABELS * LABEL_BYTES);
        for number in 0..N_LABELS {
            text += &format!("user-{number:07}");
        }
        Self { text }
    }

    /// Returns label number `idx`.
    #[inline(always)]
    #[must_use]
    pub fn at(&self, idx: usize) -> &str {
        let number = if idx & 1 == 0 { (idx >> 1) % N_COMMON } else { (idx >> 1) % N_LABELS };
        &self.text[number * LABEL_BYTES..][..LABEL_BYTES]
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::new()
    }
}
