//! The horizon: how far back the agent can look, measured at what it overwrites and predicted from the rate of writing.
//!
//! Called by the recorder at each eviction and once a round. Pure: time comes in as an argument.

pub mod history;
pub mod objective;

use backsight_core::units::{Bytes, Nanos};

/// The span over which the write rate is averaged, for people.
pub const RATE_WINDOW: Nanos = Nanos::from_ms(10_000);
/// The same, for what reacts to it: with a longer one, too much would be shed before it showed.
pub const RATE_WINDOW_SHORT: Nanos = Nanos::from_ms(2_000);
/// How often a sample enters the average.
const SAMPLE_EVERY: Nanos = Nanos::from_ms(100);

/// An average of a byte rate that forgets exponentially.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WriteRate {
    /// The time constant.
    window: Nanos,
    bytes_per_s: f64,
    pending: u64,
    sampled: Option<Nanos>,
    /// What share of the average rests on samples, so that the first seconds are not averaged with nothing.
    weight: f64,
}

impl WriteRate {
    /// Returns a rate of nothing, averaged with time constant `window`.
    pub const fn new(window: Nanos) -> Self {
        Self { window, bytes_per_s: 0.0, pending: 0, sampled: None, weight: 0.0 }
    }

    /// Counts bytes that were written.
    pub const fn add(&mut self, written: Bytes) {
        self.pending = self.pending.saturating_add(written.0);
    }

    /// Takes a sample when one is due.
    pub fn tick(&mut self, now: Nanos) {
        let Some(before) = self.sampled else {
            self.sampled = Some(now);
            return;
        };
        let elapsed = now.0.saturating_sub(before.0);
        if elapsed < SAMPLE_EVERY.0 {
            return;
        }
        let keep = (-(elapsed as f64) / self.window.0 as f64).exp();
        let sample = self.pending as f64 * 1e9 / elapsed as f64;
        self.bytes_per_s = self.bytes_per_s * keep + sample * (1.0 - keep);
        self.weight = self.weight * keep + (1.0 - keep);
        (self.pending, self.sampled) = (0, Some(now));
    }

    /// Returns the average in bytes per second.
    pub fn bytes_per_s(&self) -> f64 {
        if self.weight > 0.0 { self.bytes_per_s / self.weight } else { 0.0 }
    }
}

/// The measured horizon.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Horizon {
    newest_evicted_ticks: Option<u64>,
}

impl Horizon {
    /// Notes that data which ended at `last_ticks` was overwritten.
    pub fn note_evicted(&mut self, last_ticks: u64) {
        self.newest_evicted_ticks = self.newest_evicted_ticks.max(Some(last_ticks));
    }

    /// Returns when the newest data that was overwritten ended, `None` until anything was.
    pub const fn newest_evicted_ticks(&self) -> Option<u64> {
        self.newest_evicted_ticks
    }

    /// Returns the age in ticks of the newest data that was overwritten, `None` until anything was.
    pub fn age_ticks(&self, now_ticks: u64) -> Option<u64> {
        self.newest_evicted_ticks.map(|ticks| now_ticks.saturating_sub(ticks))
    }
}

/// Returns how old data will get when what is there is overwritten at the present rate; `None` while nothing is written.
pub fn predict(room: Bytes, rate: &WriteRate) -> Option<Nanos> {
    let rate = rate.bytes_per_s();
    (rate >= 1.0).then(|| Nanos((room.0 as f64 / rate * 1e9) as u64))
}

#[cfg(test)]
mod tests {
    use super::{Horizon, RATE_WINDOW, WriteRate, predict};
    use backsight_core::units::{Bytes, Nanos};

    #[test]
    fn a_steady_rate_is_predicted_within_one_percent_from_the_second_sample_on() {
        let mut rate = WriteRate::new(RATE_WINDOW);
        rate.tick(Nanos(0));
        for step in 1..300 {
            rate.add(Bytes::mib(1));
            rate.tick(Nanos::from_ms(100 * step));
            let predicted = predict(Bytes::mib(100), &rate).unwrap();
            assert!((9_900..10_100).contains(&predicted.as_ms()), "{predicted} at step {step}");
        }
    }

    #[test]
    fn nothing_written_predicts_nothing() {
        assert_eq!(predict(Bytes::mib(100), &WriteRate::new(RATE_WINDOW)), None);
        assert_eq!(Horizon::default().age_ticks(5), None);
    }

    #[test]
    fn the_horizon_is_that_of_the_newest_evicted_data() {
        let mut horizon = Horizon::default();
        horizon.note_evicted(70);
        horizon.note_evicted(50);
        assert_eq!(horizon.age_ticks(100), Some(30));
        assert_eq!(horizon.age_ticks(60), Some(0));
    }
}
