//! How the horizon came to be what it is: one sample a second, for ten minutes.
//!
//! Called by the recorder's sweep; read by whoever wants to see it over time. Pure.

use backsight_core::units::Nanos;
use backsight_proto::admin::{HORIZON_SAMPLES_MAX, Horizon, HorizonSample};
use std::collections::VecDeque;

/// How often a sample is taken.
const SAMPLE_EVERY: Nanos = Nanos::from_ms(1_000);

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    samples: VecDeque<HorizonSample>,
    sampled: Option<Nanos>,
}

impl History {
    /// Returns whether a sample is due.
    pub fn is_due(&self, now: Nanos) -> bool {
        self.sampled.is_none_or(|before| now.0.saturating_sub(before.0) >= SAMPLE_EVERY.0)
    }

    /// Takes a sample.
    pub fn add(&mut self, now: Nanos, unix_ms: u64, horizon: Horizon) {
        self.sampled = Some(now);
        if self.samples.len() >= HORIZON_SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(HorizonSample { unix_ms, horizon });
    }

    /// Returns the samples, oldest first.
    pub fn samples(&self) -> Vec<HorizonSample> {
        self.samples.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::History;
    use backsight_core::units::Nanos;
    use backsight_proto::admin::{HORIZON_SAMPLES_MAX, Horizon};

    #[test]
    fn the_last_ten_minutes_are_there_second_by_second() {
        let mut history = History::default();
        for tick in 0..10_000 {
            let now = Nanos::from_ms(100 * tick);
            if history.is_due(now) {
                history.add(now, 100 * tick, Horizon::default());
            }
        }
        let samples = history.samples();
        assert_eq!((samples.len(), samples.last().map(|sample| sample.unix_ms)), (HORIZON_SAMPLES_MAX, Some(999_000)));
        assert!(samples.windows(2).all(|pair| pair[1].unix_ms - pair[0].unix_ms == 1_000));
    }
}
