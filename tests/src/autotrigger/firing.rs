//! How far the share of values that fire is from `1 - p`: on several threads at once, and after the values have shifted.
//!
//! Called by `rec-autotrigger`. Nothing is timed here, and seeds are fixed; only how threads interleave differs from run to run.

use std::sync::Barrier;
use std::thread::{self, ScopedJoinHandle};

use anyhow::{Context as _, Result};
use backsight::autotrigger::percentile::Histogram;

use super::cost::PERCENTILES;
use super::input::Values;
use crate::bench::{cli::Options, report::Report};

/// Values that are expected to fire in one steady round: one standard deviation of their number is then 2 %.
const N_FIRED: f64 = 2000.0;
/// Half-lives before anything counts.
const WARM_UP: f64 = 6.0;
/// Samples of a thread before it waits for the others.
const N_BETWEEN_MEETINGS: usize = 4096;
/// Runs of which one round after a shift consists: as few values fire in one half-life.
const N_RUNS: usize = 40;
/// What is added to the values' logarithms.
const SHIFTS: [f64; 4] = [-2.0, -0.7, 0.7, 2.0];
const METRIC: &str = "fire_rate_error";
const MUST: &str = "value<=0.2";

/// Measures the error for each percentile, on each of `threads` numbers of threads and after each shift, and adds the rows.
///
/// # Errors
/// A percentile is refused, or a thread panicked.
pub fn measure(options: &Options, threads: &[usize], report: &mut Report) -> Result<()> {
    if !options.wants(METRIC) {
        return Ok(());
    }
    let n_rounds = options.rounds().n_rounds;
    let values = Values::new(2, 0.0);
    for (_, name, p) in PERCENTILES {
        for &n_threads in threads {
            let errors: Vec<f64> =
                (0..n_rounds).map(|round| steady(p, n_threads, round, &values)).collect::<Result<_>>()?;
            let threads = if n_threads == 1 { "thread" } else { "threads" };
            report.push_value(METRIC, &format!("{name}, {n_threads} {threads}"), "share", &errors, Some(MUST))?;
        }
    }
    for shift in SHIFTS {
        let shifted = Values::new(3, shift);
        for (_, name, p) in PERCENTILES {
            let round = |round| after_shift(p, round * N_RUNS, &values, &shifted);
            let errors: Vec<f64> = (0..n_rounds).map(round).collect::<Result<_>>()?;
            let case = format!("{name}, third half-life after a shift by e^{shift}");
            report.push_value(METRIC, &case, "share", &errors, Some(MUST))?;
        }
    }
    Ok(())
}

/// Returns the error of one histogram that `n_threads` threads sample at once.
///
/// Threads meet every few thousand samples. In a loop as tight as this the others would otherwise count a million while the machine has one
/// off its core that is about to store the next threshold, and the noise of the one before would be all that is measured.
fn steady(p: f64, n_threads: usize, round: usize, values: &Values) -> Result<f64> {
    let histogram = Histogram::new(p)?;
    let n_warm_up = (WARM_UP * histogram.half_life_samples()) as usize;
    let n = (N_FIRED / (1.0 - p)) as usize / n_threads;
    let meeting = Barrier::new(n_threads);
    let work = |thread: usize| {
        let start = (round * n_threads + thread) * 7_919_017;
        let between = |from: usize, to: usize| {
            let pieces = (from..to).step_by(N_BETWEEN_MEETINGS).map(|at| {
                meeting.wait();
                fired(&histogram, thread, values, start + at, N_BETWEEN_MEETINGS.min(to - at))
            });
            pieces.sum::<usize>()
        };
        between(0, n_warm_up);
        between(n_warm_up, n_warm_up + n)
    };
    let work = &work;
    let n_fired: Option<usize> = thread::scope(|scope| {
        let handles: Vec<_> = (0..n_threads).map(|thread| scope.spawn(move || work(thread))).collect();
        handles.into_iter().map(ScopedJoinHandle::join).map(Result::ok).sum()
    });
    let n_fired = n_fired.context("a sampling thread panicked")?;
    Ok(error(n_fired, n * n_threads, p))
}

/// Returns the error over the third half-life after a shift, of [`N_RUNS`] runs together that begin at run `first`.
fn after_shift(p: f64, first: usize, values: &Values, shifted: &Values) -> Result<f64> {
    let (mut n_fired, mut n_samples) = (0, 0);
    for run in first..first + N_RUNS {
        let histogram = Histogram::new(p)?;
        let half_life = histogram.half_life_samples() as usize;
        // Each run shifts at another place between two folds.
        let n_before = WARM_UP as usize * half_life + 97 * run % 1024;
        fired(&histogram, 0, values, run * 7_919_017, n_before);
        fired(&histogram, 0, shifted, run * 5_000_011, 2 * half_life);
        n_fired += fired(&histogram, 0, shifted, run * 5_000_011 + 2 * half_life, half_life);
        n_samples += half_life;
    }
    Ok(error(n_fired, n_samples, p))
}

/// Samples `n` values from number `start` on; returns how many fired.
fn fired(histogram: &Histogram, shard: usize, values: &Values, start: usize, n: usize) -> usize {
    (start..start + n).filter(|idx| histogram.sample(values.at(*idx), shard)).count()
}

fn error(n_fired: usize, n_samples: usize, p: f64) -> f64 {
    (n_fired as f64 / n_samples as f64 / (1.0 - p) - 1.0).abs()
}
