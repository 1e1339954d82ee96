//! What recording costs: the highest rate, and the CPU time of a request, each with and without it, by turns.
//!
//! Called by the demo before its main act. What it takes inside of the services is told apart from the agents and the collector, which here
//! run beside them on one machine. Rounds follow each other without and with recording, so that a machine that changes its pace does so for both.

use super::Stage;
use super::agents::Recorder;
use super::cpu::Sampler;
use super::load::{self, Load, Rate, Tracer};
use anyhow::{Context, Result, ensure};

/// A median with the least and the greatest of what was measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Returns that of `values`; `None` where there are none.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted[sorted.len() / 2];
        let lower = sorted[(sorted.len() - 1) / 2];
        Some(Self { median: f64::midpoint(lower, upper), min, max })
    }
}

/// The highest rates, in requests a second.
pub(crate) struct Rates {
    pub(crate) without: Spread,
    pub(crate) with: Spread,
}

/// Measures how many requests a second are answered at most, in `n_rounds` without and `n_rounds` with recording.
///
/// # Errors
/// A run fails.
pub(crate) fn highest_rates(
    stage: &Stage,
    recorder: &Recorder,
    callers: u32,
    n_rounds: usize,
    seconds: f64,
) -> Result<Rates> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..n_rounds {
        for (tracer, rates) in [(Tracer::None, &mut without), (Tracer::Backsight, &mut with)] {
            let load = Load { tracer, rate: Rate::Callers(callers), seconds, crash: None };
            let report = load::run(stage, recorder, &load, |_| Ok(()))?;
            ensure!(report.answered > 0, "the application answers nothing");
            rates.push(report.rps);
        }
    }
    let spread = |rates: &[f64]| Spread::of(rates).context("no round was asked for");
    Ok(Rates { without: spread(&without)?, with: spread(&with)? })
}

/// CPU time of requests, in microseconds each.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Of rounds without recording, one more than of those with it.
    pub(crate) without: Vec<f64>,
    /// Of the services in rounds with recording.
    pub(crate) services: Vec<f64>,
    /// Of agents and collector in the same rounds.
    pub(crate) recorder: Vec<f64>,
}

/// Measures the CPU time of a request at `rate`, in `n_rounds` with recording and one more without; `hear` is told of each round.
///
/// # Errors
/// A run fails.
pub(crate) fn cpu_rounds(
    stage: &Stage,
    recorder: &Recorder,
    rate: u32,
    n_rounds: usize,
    seconds: f64,
    mut hear: impl FnMut(usize, &Rounds),
) -> Result<Rounds> {
    let mut rounds = Rounds::default();
    for idx in 0..=2 * n_rounds {
        let tracer = if idx % 2 == 0 { Tracer::None } else { Tracer::Backsight };
        let load = Load { tracer, rate: Rate::PerSecond(rate), seconds, crash: None };
        let sampler = Sampler::start(recorder.pids());
        let report = load::run(stage, recorder, &load, |_| Ok(()));
        let used = sampler.stop();
        let report = report?;
        ensure!(report.answered > 0, "the application answers nothing");
        let services_us = report.cpu.services_us_per_request;
        match tracer {
            Tracer::None => rounds.without.push(services_us),
            Tracer::Backsight => {
                let window = report.window_unix_ns;
                let ns = used.between(window).context("the CPU time of agents and collector is not known")?;
                rounds.services.push(services_us);
                // As the services' time is: for each good answer in the window.
                rounds.recorder.push(ns / 1e3 / report.answered as f64);
            }
        }
        hear(idx, &rounds);
    }
    Ok(rounds)
}

/// What recording costs, as ratios to no recording.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Cost {
    pub(crate) without_us: Spread,
    pub(crate) services_us: Spread,
    pub(crate) recorder_us: Spread,
    /// All of it over no recording.
    pub(crate) ratio: Spread,
    /// The services alone over no recording.
    pub(crate) services_ratio: Spread,
    /// Each round without recording over the one before: what it would be if nothing differed.
    pub(crate) aa_ratio: Spread,
    /// The median distance of these from 1.
    pub(crate) noise: f64,
}

impl Cost {
    /// Compares each round with recording with the mean of its two neighbours without; `None` where there are none.
    pub(crate) fn of(rounds: &Rounds) -> Option<Self> {
        let neighbours = || rounds.without.windows(2);
        let means: Vec<f64> = neighbours().map(|pair| f64::midpoint(pair[0], pair[1])).collect();
        let aa: Vec<f64> = neighbours().map(|pair| pair[1] / pair[0]).collect();
        let all = rounds.services.iter().zip(&rounds.recorder).map(|(services, recorder)| services + recorder);
        let over = |us: &[f64]| Spread::of(&us.iter().zip(&means).map(|(us, mean)| us / mean).collect::<Vec<_>>());
        Some(Self {
            without_us: Spread::of(&rounds.without)?,
            services_us: Spread::of(&rounds.services)?,
            recorder_us: Spread::of(&rounds.recorder)?,
            ratio: over(&all.collect::<Vec<_>>())?,
            services_ratio: over(&rounds.services)?,
            aa_ratio: Spread::of(&aa)?,
            noise: Spread::of(&aa.iter().map(|ratio| (ratio - 1.0).abs()).collect::<Vec<_>>())?.median,
        })
    }
}

#[cfg(test)]
mod tests;
