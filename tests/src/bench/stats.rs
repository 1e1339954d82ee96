//! Medians and bootstrap intervals; pure functions of their input and a seed.

/// The seed of every bootstrap, so that the same samples give the same interval.
pub const BOOTSTRAP_SEED: u64 = 0x6261_636b_7369_6768;

/// Samples that make a mode.
const MODE_SAMPLES_MIN: usize = 2;
/// The ratio of neighbouring samples that parts two modes.
const MODE_GAP_MIN: f64 = 1.125;

const N_RESAMPLES: usize = 2000;

/// An interval that holds the true value in 95 of 100 repetitions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

impl Interval {
    /// Returns the end whose distance from 1 is larger.
    #[must_use]
    pub fn farther_from_one(&self) -> f64 {
        if (self.low - 1.0).abs() > (self.high - 1.0).abs() { self.low } else { self.high }
    }
}

/// Returns the median of `samples`, or `None` of no samples.
#[must_use]
pub fn median(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    median_in_place(&mut sorted)
}

/// Returns the smallest of `sorted` that at least `share` of them do not exceed (nearest rank), or `None` of no samples.
///
/// # Shape
/// `sorted` ascends; `share` is from 0 to 1.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Returns how far apart two modes of `samples` are, as a share of the lower one's median; `None` where they show one mode.
///
/// # Shape
/// The samples are cut at their widest gap, by ratio. There are two modes where at least two samples lie on either side, and where the
/// gap is an eighth or more: a single disturbed sample is no mode, nor is a spread without a gap.
#[must_use]
pub fn modes_share(samples: &[f64]) -> Option<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let gap = |cut: usize| sorted[cut] / sorted[cut - 1];
    let cuts = MODE_SAMPLES_MIN..(sorted.len() + 1).saturating_sub(MODE_SAMPLES_MIN);
    let cut = cuts.max_by(|a, b| gap(*a).total_cmp(&gap(*b))).filter(|cut| gap(*cut) >= MODE_GAP_MIN)?;
    let (low, high) = sorted.split_at(cut);
    Some(median(high)? / median(low)? - 1.0)
}

/// Returns the bootstrap interval of `median(ours) / median(peers)`, or `None` unless both have the same, non-zero length.
///
/// # Shape
/// Sample `i` of both sides comes from round `i`. Rounds are resampled in pairs, so noise that hit both sides of a round cancels.
/// # Cost
/// 2000 resamples; allocates.
#[must_use]
pub fn ratio_interval(ours: &[f64], peers: &[f64], seed: u64) -> Option<Interval> {
    if ours.is_empty() || ours.len() != peers.len() {
        return None;
    }
    let mut random = SplitMix(seed);
    let mut ratios = Vec::with_capacity(N_RESAMPLES);
    let (mut ours_drawn, mut peers_drawn) = (Vec::new(), Vec::new());
    for _ in 0..N_RESAMPLES {
        ours_drawn.clear();
        peers_drawn.clear();
        for _ in 0..ours.len() {
            let round = random.below(ours.len());
            ours_drawn.push(ours[round]);
            peers_drawn.push(peers[round]);
        }
        ratios.push(median_in_place(&mut ours_drawn)? / median_in_place(&mut peers_drawn)?);
    }
    ratios.sort_by(f64::total_cmp);
    Some(Interval { low: ratios[N_RESAMPLES / 40], high: ratios[N_RESAMPLES - 1 - N_RESAMPLES / 40] })
}

/// Returns the ratios of the rounds of `ours` and `peers`, or `None` unless both have the same, non-zero length and no peer's is zero.
#[must_use]
pub fn round_ratios(ours: &[f64], peers: &[f64]) -> Option<Vec<f64>> {
    let is_paired = !ours.is_empty() && ours.len() == peers.len() && peers.iter().all(|peer| *peer != 0.0);
    is_paired.then(|| ours.iter().zip(peers).map(|(ours, peer)| ours / peer).collect())
}

/// Returns the bootstrap interval of the median of `samples`, or `None` of no samples.
///
/// # Cost
/// 2000 resamples; allocates.
#[must_use]
pub fn median_interval(samples: &[f64], seed: u64) -> Option<Interval> {
    let mut random = SplitMix(seed);
    let draw = |_| {
        let mut drawn: Vec<f64> = samples.iter().map(|_| samples[random.below(samples.len())]).collect();
        median_in_place(&mut drawn)
    };
    let mut medians: Vec<f64> = (0..N_RESAMPLES).map(draw).collect::<Option<_>>()?;
    medians.sort_by(f64::total_cmp);
    Some(Interval { low: medians[N_RESAMPLES / 40], high: medians[N_RESAMPLES - 1 - N_RESAMPLES / 40] })
}

fn median_in_place(samples: &mut [f64]) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    let upper = *samples.get(middle)?;
    Some(if samples.len() % 2 == 1 { upper } else { (samples[middle - 1] + upper) / 2.0 })
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough randomness to draw rounds and values, and no dependency. Made of its seed.
#[derive(Clone, Debug)]
pub struct SplitMix(pub u64);

impl SplitMix {
    /// Returns 64 random bits.
    #[expect(clippy::should_implement_trait, reason = "it never ends")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number from 0 to 1, without 1.
    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Returns a number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests;
