//! What autotriggers decide: fire rates, adaptation, memory, threads. No agent takes part.

use backsight_client::autotrigger::category::{LABELS_MAX, Shares};
use backsight_client::autotrigger::exception::{OnPanic, install_panic_hook};
use backsight_client::autotrigger::percentile::Histogram;
use backsight_client::autotrigger::{Category, Percentile};
use proptest::prelude::{ProptestConfig, prop_assert, proptest};
use std::sync::Barrier;

/// A seeded stream of lognormal values.
struct Lognormal {
    state: u64,
    mean: f64,
    sigma: f64,
}

impl Lognormal {
    fn uniform(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn next(&mut self) -> u64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.uniform()).cos();
        (self.mean + self.sigma * normal).exp() as u64
    }
}

/// Feeds `n` values and returns the share that fired.
fn rate(histogram: &Histogram, values: &mut Lognormal, n: u64) -> f64 {
    let fired = (0..n).filter(|_| histogram.sample(values.next(), 0)).count();
    fired as f64 / n as f64
}

fn samples_for(p: f64) -> u64 {
    (2000.0 / (1.0 - p)) as u64
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// For lognormal streams of any width and level: the share that fires is within 20 % of `1 - p`; after a shift by any factor it is so
    /// again once two half-lives have passed.
    #[test]
    fn the_fire_rate_holds_and_comes_back_after_a_shift(
        seed in 0_u64..1 << 40,
        sigma in 0.2_f64..2.0,
        level in 8.0_f64..16.0,
        shift in -3.0_f64..3.0,
        p in proptest::sample::select(vec![0.9, 0.99, 0.999]),
        offset in 0_u64..2048,
    ) {
        let histogram = Histogram::new(p).unwrap();
        let mut values = Lognormal { state: seed, mean: level, sigma };
        rate(&histogram, &mut values, samples_for(p) / 10 + offset);
        let before = rate(&histogram, &mut values, samples_for(p));
        values.mean += shift;
        rate(&histogram, &mut values, 2 * histogram.half_life_samples() as u64);
        let after = rate(&histogram, &mut values, samples_for(p));
        for (when, share) in [("before", before), ("after", after)] {
            prop_assert!((share / (1.0 - p) - 1.0).abs() <= 0.2, "{when} the shift {share} of {}", 1.0 - p);
        }
    }
}

/// Right after two half-lives, not only on average over a long time: measured over one half-life, in many runs.
#[test]
fn two_half_lives_after_a_shift_the_fire_rate_is_back() {
    for p in [0.99, 0.999] {
        for shift in [-2.0, -0.7, 0.7, 2.0] {
            let (mut fired, mut n) = (0.0, 0.0);
            for run in 0..100_u64 {
                let histogram = Histogram::new(p).unwrap();
                let half_life = histogram.half_life_samples() as u64;
                let mut values = Lognormal { state: run << 32 | 7, mean: 12.0, sigma: 1.0 };
                rate(&histogram, &mut values, 8 * half_life + 97 * run % 1024);
                values.mean += shift;
                rate(&histogram, &mut values, 2 * half_life);
                fired += rate(&histogram, &mut values, half_life) * half_life as f64;
                n += half_life as f64;
            }
            let error = fired / n / (1.0 - p) - 1.0;
            assert!(error.abs() <= 0.2, "p {p}, shift {shift}: {:.1} % off", 100.0 * error);
        }
    }
}

#[test]
fn nothing_fires_while_warming_up() {
    let histogram = Histogram::new(0.9999).unwrap();
    let mut values = Lognormal { state: 1, mean: 12.0, sigma: 1.0 };
    assert_eq!(rate(&histogram, &mut values, 10_000), 0.0);
    assert!(histogram.threshold().is_none());
    rate(&histogram, &mut values, 2_000);
    assert!(histogram.threshold().is_some());
}

#[test]
fn a_constant_stream_never_fires() {
    for value in [0, 7, 1000, u64::MAX / 3] {
        let histogram = Histogram::new(0.99).unwrap();
        assert_eq!((0..50_000).filter(|_| histogram.sample(value, 3)).count(), 0, "value {value}");
    }
}

#[test]
fn one_thread_gets_the_same_answers_twice() {
    let answers = || {
        let histogram = Histogram::new(0.99).unwrap();
        let mut values = Lognormal { state: 42, mean: 12.0, sigma: 1.0 };
        (0..100_000).map(|_| histogram.sample(values.next(), 0)).collect::<Vec<bool>>()
    };
    assert_eq!(answers(), answers());
}

/// Four threads in turn, with values of two kinds: no shard sees a change, and together they fire at the rate asked for.
#[test]
fn threads_with_different_work_share_one_histogram() {
    let histogram = Histogram::new(0.999).unwrap();
    let mut kinds = [10.0, 11.0].map(|mean| Lognormal { state: 7, mean, sigma: 1.0 });
    let fired = (0..2_000_000).filter(|i| histogram.sample(kinds[i % 2].next(), i % 4)).count();
    let error = fired as f64 / 2_000_000.0 / 0.001 - 1.0;
    assert!(error.abs() < 0.2, "{:.1} % off", 100.0 * error);
}

/// Four threads at once on two shards: nothing is lost for good, nobody waits, and the rate holds within a half.
///
/// A thread that the machine takes off its core while it folds freezes the threshold, noise included, for what the others count meanwhile.
/// They meet every few thousand samples, so that this is a small part of the run however long the machine takes.
#[test]
fn threads_at_once_fire_at_the_rate_asked_for() {
    const ROUNDS: usize = 500;
    const SAMPLES: usize = 4096;
    let (histogram, meeting) = (Histogram::new(0.999).unwrap(), Barrier::new(4));
    let fired: f64 = std::thread::scope(|scope| {
        let work = |thread: u64| {
            let mut values = Lognormal { state: thread << 32, mean: 10.0, sigma: 1.0 };
            let round = |_| {
                meeting.wait();
                (0..SAMPLES).filter(|_| histogram.sample(values.next(), thread as usize % 2)).count() as f64
            };
            (0..ROUNDS).map(round).sum::<f64>()
        };
        let threads: Vec<_> = (0..4).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    let error = fired / (4 * ROUNDS * SAMPLES) as f64 / 0.001 - 1.0;
    assert!(error.abs() < 0.5, "{:.1} % off", 100.0 * error);
}

#[test]
fn a_rare_label_fires_and_a_common_one_does_not() {
    let shares = Shares::new(0.01).unwrap();
    let (mut common, mut rare) = (0, 0);
    for i in 0..100_000 {
        common += u32::from(shares.sample(if i % 2 == 0 { "get" } else { "put" }, 0));
        if i % 1000 == 999 {
            rare += u32::from(shares.sample("delete", 0));
        }
    }
    assert_eq!(common, 0);
    assert!(rare >= 99, "{rare} of 100");
}

/// A label that becomes common stops firing, and one that becomes rare fires again.
#[test]
fn shares_forget() {
    let shares = Shares::new(0.01).unwrap();
    (0..20_000).for_each(|_| assert!(!shares.sample("old", 0)));
    (0..20_000).for_each(|_| {
        shares.sample("new", 0);
    });
    assert!(!shares.sample("new", 0));
    assert!(shares.sample("old", 0));
}

#[test]
fn a_million_labels_take_no_more_memory_and_common_ones_stay_common() {
    let shares = Shares::new(0.01).unwrap();
    (0..2_000).for_each(|_| {
        shares.sample("get", 0);
    });
    let mut label = String::new();
    let (mut common_fired, mut late_fired) = (0, 0);
    for i in 0..1_000_000 {
        label.clear();
        std::fmt::Write::write_fmt(&mut label, format_args!("user-{i}")).unwrap();
        shares.sample(&label, 0);
        common_fired += u32::from(shares.sample("get", 0)); // half of all
        late_fired += u32::from(i > 10_000 && i % 4 == 0 && shares.sample("late but common", 0));
    }
    assert_eq!(common_fired, 0);
    assert!(late_fired <= 20, "{late_fired}: a label is rare until it has shown that it is not");
    assert_eq!(shares.n_labels(), LABELS_MAX as u32);
}

#[test]
fn parameters_and_names_are_checked() {
    assert!(Percentile::new("too high", 1.0).is_err());
    assert!(Percentile::new("no number", f64::NAN).is_err());
    assert!(Category::new("too common", 0.9).is_err());
    assert!(Category::new("", 0.01).is_err());
    assert_eq!(
        Percentile::new("latency", 0.99).unwrap().trigger_id(),
        Category::new("latency", 0.1).unwrap().trigger_id()
    );
}

#[test]
fn a_panic_passes_the_hook_and_the_guard_without_an_agent() {
    install_panic_hook().unwrap();
    install_panic_hook().unwrap();
    let caught = std::panic::catch_unwind(|| {
        let _watch = OnPanic::new();
        panic!("as intended: {}", "é".repeat(400));
    });
    assert!(caught.is_err());
}
