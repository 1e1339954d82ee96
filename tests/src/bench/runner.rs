//! Interleaved rounds: every subject is measured once per round, in an order in which each follows each other one equally often.
//!
//! Called by the bins and by [`crate::peers::compare`]. Noise that lasts longer than a sample then falls on all subjects alike, and so does
//! what a subject leaves behind: warm or cold caches, a processor that has clocked down.

use std::io::{IsTerminal as _, Write as _};

use super::stats;

/// Something to measure: a closure that does its operations and returns one sample, such as nanoseconds per operation.
pub struct Subject<'a, T = f64> {
    /// What progress and tables call it.
    pub name: String,
    /// Measures once.
    pub run: Box<dyn FnMut() -> anyhow::Result<T> + 'a>,
}

/// How often every subject is measured.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// Rounds whose samples count.
    pub n_rounds: usize,
    /// Rounds before them whose samples are thrown away.
    pub n_warmup: usize,
}

/// The samples of one subject, in the order of the rounds.
///
/// # Shape
/// A sample is one number, or a struct of several that one run yields; [`Series::map`] then picks one.
#[derive(Clone, Debug)]
pub struct Series<T = f64> {
    /// The subject's name.
    pub name: String,
    /// One sample per counted round; empty if the subject failed.
    pub samples: Vec<T>,
    /// Why the subject was given up.
    pub failure: Option<String>,
}

impl<T> Series<T> {
    /// Returns the series of one number of every sample.
    #[must_use]
    pub fn map(&self, number: impl Fn(&T) -> f64) -> Series {
        let samples = self.samples.iter().map(number).collect();
        Series { name: self.name.clone(), samples, failure: self.failure.clone() }
    }
}

impl Series {
    /// Returns the median, or `None` when the subject failed.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        stats::median(&self.samples)
    }

    /// Returns the smallest sample; infinite when there is none.
    #[must_use]
    pub fn min(&self) -> f64 {
        self.samples.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Returns the largest sample; negative infinite when there is none.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.samples.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Measures all `subjects` in interleaved rounds, showing progress under `title` on standard error.
///
/// # Shape
/// One series per subject, in their order. A subject that fails once is given up and keeps no samples, so that medians of different
/// numbers of rounds are never compared.
pub fn interleave<T>(title: &str, subjects: &mut [Subject<'_, T>], rounds: Rounds) -> Vec<Series<T>> {
    let n_subjects = subjects.len();
    let mut series: Vec<Series<T>> = subjects
        .iter()
        .map(|subject| Series { name: subject.name.clone(), samples: Vec::new(), failure: None })
        .collect();
    for round in 0..rounds.n_warmup + rounds.n_rounds {
        show_progress(title, round, rounds);
        for idx in (0..n_subjects).map(|step| whose_turn(round, step, n_subjects)) {
            if series[idx].failure.is_some() {
                continue;
            }
            match (subjects[idx].run)() {
                Ok(sample) if round >= rounds.n_warmup => series[idx].samples.push(sample),
                Ok(_) => {}
                Err(error) => {
                    series[idx].failure = Some(format!("{error:#}"));
                    series[idx].samples.clear();
                }
            }
        }
    }
    end_progress(title);
    series
}

/// Returns which of `n_subjects` is measured at `step` of `round`.
///
/// Rows of a Williams square (E. J. Williams, 1949): the first goes 0, 1, n-1, 2, n-2 and so on, each next one is one further. Within as many
/// rounds as subjects each of them directly follows each other one once; where their number is odd, within twice as many, every second one
/// backwards.
const fn whose_turn(round: usize, step: usize, n_subjects: usize) -> usize {
    let is_odd = n_subjects % 2 == 1;
    let (row, is_backwards) = if is_odd { (round / 2, round % 2 == 1) } else { (round, false) };
    let step = if is_backwards { n_subjects - 1 - step } else { step };
    let place = if step % 2 == 1 { step.div_ceil(2) } else { n_subjects - step / 2 };
    (row + place) % n_subjects
}

fn show_progress(title: &str, round: usize, rounds: Rounds) {
    let mut stderr = std::io::stderr();
    if stderr.is_terminal() {
        // Progress is a courtesy: a closed terminal does not stop a measurement.
        let _ = write!(stderr, "\r\x1b[K{title}: round {} of {}", round + 1, rounds.n_warmup + rounds.n_rounds);
        let _ = stderr.flush();
    }
}

fn end_progress(title: &str) {
    let start = if std::io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
    eprintln!("{start}{title}: done");
}

/// Runs all cases at once, for what needs much time and little of a processor; returns what each showed, in their order.
pub fn at_once<C: Sync, T: Send>(cases: &[C], run: impl Fn(&C) -> anyhow::Result<T> + Sync) -> Vec<anyhow::Result<T>> {
    std::thread::scope(|scope| {
        let run = &run;
        let running: Vec<_> = cases.iter().map(|case| scope.spawn(move || run(case))).collect();
        let join = |case: std::thread::ScopedJoinHandle<'_, _>| case.join();
        running.into_iter().map(|case| join(case).unwrap_or_else(|_| Err(anyhow::anyhow!("a case panicked")))).collect()
    })
}

#[cfg(test)]
mod tests;
