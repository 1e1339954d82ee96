//! What a sample costs: ours, the model of the published triggers, and a floor, in the same rounds.
//!
//! Called by `rec-autotrigger`. Ours are sampled as applications do it. Without an agent what fires is refused at once; what firing costs
//! is measured under one.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result};
use backsight::autotrigger::{
    Burn, Burning, Category, Condition, Outcome, Percentile, Queue, Rate, Sample, Set, Spans,
};
use backsight::{Context, TraceId, begin};

use super::input::{Labels, Values};
use super::model::{LabelMap, TriggerSet, Window};
use crate::bench::{
    cli::Options,
    report::{Better, Question, Report, Row},
    runner::{Series, Subject, interleave},
    table,
    threads::per_op,
    verdict::Clock,
};
use crate::peers::{CONTROL, OURS, Op, Peer as _, floor::Stores};

/// The percentiles that are measured: the metric, what people call it, and the share.
pub const PERCENTILES: [(&str, &str, f64); 3] = [
    ("percentile_p99_ns", "p99", 0.99),
    ("percentile_p99_9_ns", "p99.9", 0.999),
    ("percentile_p99_99_ns", "p99.99", 0.9999),
];

const MODEL: &str = "order-statistics model";
const FLOOR: &str = "floor";
const SHARE: f64 = 0.001;
const N_LATERALS: usize = 10;
/// Counters of the floor: as many as a shard of ours has buckets.
const N_COUNTERS: usize = 2048;
const MUST: &str = "value<=20";
const STRETCH: &str = "value<=6";
const MUST_SPREAD: &str = "ratio<=1.2";

type Run<'a> = Box<dyn Fn(usize, u64) -> Result<f64> + 'a>;

/// One who is measured.
struct Contestant<'a> {
    metric: &'static str,
    name: &'static str,
    /// How many times as long as ours it takes, roughly: it does as many times fewer samples.
    dearer: u64,
    /// Samples on a number of threads, a number of times each; returns the nanoseconds of one.
    run: Run<'a>,
}

/// What all contestants are fed with.
#[derive(Debug)]
pub struct Inputs {
    values: Values,
    labels: Labels,
    /// Where the next thread begins in them.
    next_start: AtomicUsize,
}

impl Default for Inputs {
    fn default() -> Self {
        Self { values: Values::new(1, 0.0), labels: Labels::new(), next_start: AtomicUsize::new(0) }
    }
}

impl Inputs {
    /// Returns where a thread begins: nowhere where one began lately.
    fn start(&self) -> usize {
        self.next_start.fetch_add(7_919_017, Relaxed)
    }
}

/// Says what the contestants are.
pub fn introduce() {
    println!(
        "{OURS}: one sample of the trigger, as an application calls it; without an agent what fires is refused at once"
    );
    println!(
        "{MODEL}: the published algorithm, our model of it: a window of 10 / (1 - p) values, a map of all labels, a list of \
         {N_LATERALS} traces; on more than one thread behind a mutex"
    );
    println!("{FLOOR}: one atomic add to one of {N_COUNTERS} counters of the thread's own, and a comparison\n");
}

/// Measures all contestants without an agent on each of `threads` numbers of threads, and adds the rows of ours.
///
/// # Errors
/// A trigger cannot be made, or ours could not be measured.
pub fn without_agent(options: &Options, inputs: &Inputs, threads: &[usize], report: &mut Report) -> Result<()> {
    let (ours, peers) = (ours(inputs)?, peers(inputs));
    let contestants: Vec<&Contestant<'_>> =
        ours.iter().chain(&peers).filter(|one| one.name == CONTROL || options.wants(one.metric)).collect();
    for &n_threads in threads {
        let case = if n_threads == 1 { "1 thread".to_owned() } else { format!("{n_threads} threads") };
        let measured = measure(options, &contestants, n_threads, &case);
        for metric in metrics(&contestants) {
            report.results.extend(rows(metric, &case, &contestants, &measured)?);
        }
    }
    Ok(())
}

/// Measures ours on one thread in a segment under an agent, which takes note of what fires, and adds their rows.
///
/// # Errors
/// As [`without_agent`].
pub fn under_agent(options: &Options, inputs: &Inputs, report: &mut Report) -> Result<()> {
    let case = "1 thread, in a segment under an agent";
    let ours = ours(inputs)?;
    let contestants: Vec<&Contestant<'_>> = ours.iter().filter(|one| options.wants(one.metric)).collect();
    for (one, series) in contestants.iter().zip(measure(options, &contestants, 1, case)) {
        report.push_value(one.metric, case, "ns", &series.samples, None).context("report a row")?;
    }
    Ok(())
}

fn measure(options: &Options, contestants: &[&Contestant<'_>], n_threads: usize, case: &str) -> Vec<Series> {
    let n_samples = options.pick(200_000, 1_000_000);
    let mut subjects = Vec::new();
    for one in contestants {
        let run = Box::new(move || (one.run)(n_threads, n_samples / one.dearer));
        subjects.push(Subject { name: format!("{} {}", one.metric, one.name), run });
    }
    let series = interleave(case, &mut subjects, options.rounds());
    print!("{}", table::medians(case, "ns", &series));
    series
}

/// Returns the metrics of ours, in order.
fn metrics(contestants: &[&Contestant<'_>]) -> Vec<&'static str> {
    contestants.iter().filter(|one| one.name == OURS).map(|one| one.metric).collect()
}

/// Returns the rows of `metric`: against its bound, against its peers, and for a percentile against the others.
fn rows(metric: &'static str, case: &str, contestants: &[&Contestant<'_>], measured: &[Series]) -> Result<Vec<Row>> {
    let series = |metric: &str, name: &str| {
        contestants.iter().position(|one| one.metric == metric && one.name == name).map(|idx| &measured[idx])
    };
    let ours = series(metric, OURS).with_context(|| format!("ours at {metric}"))?;
    anyhow::ensure!(ours.failure.is_none(), "ours at {metric}: {:?}", ours.failure);
    let is_percentile = PERCENTILES.iter().any(|(name, ..)| *name == metric);
    let question = |peer: Option<&str>, must: Option<&str>, stretch: Option<&str>| -> Result<Question> {
        Ok(Question {
            metric: metric.to_owned(),
            case: case.to_owned(),
            unit: "ns",
            better: Better::Lower,
            clock: Clock::Cpu,
            peer: peer.map(str::to_owned),
            must: must.map(str::parse).transpose()?,
            stretch: stretch.map(str::parse).transpose()?,
        })
    };
    let bound = |text| is_percentile.then_some(text);
    let mut rows = Vec::from_iter(Row::answer(question(None, bound(MUST), bound(STRETCH))?, ours, None, None));
    for peer in [MODEL, FLOOR] {
        let Some(of_peer) = series(metric, peer) else { continue };
        rows.extend(Row::answer(question(Some(peer), None, None)?, ours, None, Some(of_peer)));
    }
    for (other, name, _) in PERCENTILES.into_iter().filter(|(other, ..)| is_percentile && *other != metric) {
        let Some(of_other) = series(other, OURS) else { continue };
        let question = question(Some(&format!("{OURS} at {name}")), Some(MUST_SPREAD), None)?;
        rows.extend(Row::answer(question, ours, None, Some(of_other)));
    }
    let control = series("", CONTROL);
    Ok(rows.into_iter().map(|row| row.controlled_by(control)).collect())
}

/// Returns ours.
fn ours(inputs: &Inputs) -> Result<Vec<Contestant<'_>>> {
    let (values, labels) = (&inputs.values, &inputs.labels);
    let mut all = Vec::new();
    for (metric, name, p) in PERCENTILES {
        let percentile = Percentile::new(name, p)?;
        all.push(one_of_ours(inputs, metric, move |idx| percentile.sample(values.at(idx))));
    }
    let category = Category::new("rare", SHARE)?;
    all.push(one_of_ours(inputs, "category_ns", move |idx| category.sample(labels.at(idx))));
    let set = Set::new("slow, with laterals", Condition::percentile(0.99)?, N_LATERALS)?;
    let shown = |idx| Sample { value: values.at(idx), ..Sample::default() };
    all.push(one_of_ours(inputs, "set_ns", move |idx| set.sample_for(trace(idx), &shown(idx))));
    let queue = Queue::new("waited", 0.99, N_LATERALS)?;
    all.push(one_of_ours(inputs, "queue_ns", move |idx| queue.sample_for(trace(idx), values.at(idx))));
    let burn = Burn::new("budget", Burning::of(0.01))?;
    all.push(one_of_ours(inputs, "burn_ns", move |idx| burn.sample(outcome(idx))));
    let rate = Rate::new("often", 1e9, Spans::default())?;
    all.push(one_of_ours(inputs, "rate_ns", move |_| rate.sample()));
    let both = Condition::all_of([Condition::percentile(0.99)?, Condition::category(SHARE)?])?;
    let both = Set::new("slow and rare", both, 0)?;
    let shown = |idx| Sample { value: values.at(idx), label: labels.at(idx), ..Sample::default() };
    all.push(one_of_ours(inputs, "all_of_ns", move |idx| both.sample(&shown(idx))));
    Ok(all)
}

/// Returns one of ours: `sample` is called with the number of the sample.
fn one_of_ours<'a>(
    inputs: &'a Inputs,
    metric: &'static str,
    sample: impl Fn(usize) -> bool + Sync + 'a,
) -> Contestant<'a> {
    let sample = move |n_threads, n| {
        let make = || {
            let (mut idx, sample, context) = (inputs.start(), &sample, Context::new_trace());
            move |n: u64| {
                let _segment = begin(&context); // of no effect without an agent
                for _ in 0..n {
                    black_box(sample(idx));
                    idx = idx.wrapping_add(1);
                }
                0.0
            }
        };
        per_op(n_threads, n, make).map(|measured| measured.cpu_ns)
    };
    Contestant { metric, name: OURS, dearer: 1, run: Box::new(sample) }
}

/// Returns the models, the floor and the control.
fn peers(inputs: &Inputs) -> Vec<Contestant<'_>> {
    let (values, labels) = (&inputs.values, &inputs.labels);
    let mut all = Vec::new();
    for (metric, _, p) in PERCENTILES {
        let mut window = Window::new(p);
        for idx in 0..(10.0 / (1.0 - p)) as usize {
            window.sample(values.at(idx));
        }
        all.push(model(inputs, metric, window, |window, idx| window.sample(values.at(idx))));
        all.push(floor(inputs, metric));
    }
    all.push(model(inputs, "category_ns", LabelMap::new(SHARE), |map, idx| map.sample(labels.at(idx))));
    let set = TriggerSet::new(0.99, N_LATERALS);
    all.push(model(inputs, "set_ns", set, |set, idx| set.sample(trace(idx), values.at(idx))));
    let control = |n_threads, n| Stores.measure(Op::BeginEnd, n_threads, n).map(|measured| measured.cpu_ns);
    all.push(Contestant { metric: "", name: CONTROL, dearer: 1, run: Box::new(control) });
    all
}

/// Returns a model: alone on one thread, behind a mutex on more.
fn model<'a, M: Send + 'a, R>(
    inputs: &'a Inputs,
    metric: &'static str,
    model: M,
    sample: impl Fn(&mut M, usize) -> R + Sync + 'a,
) -> Contestant<'a> {
    let model = Mutex::new(model);
    let run = move |n_threads, n| {
        let make = || {
            let (mut idx, model, sample) = (inputs.start(), &model, &sample);
            let mut next = move || {
                idx = idx.wrapping_add(1);
                idx
            };
            move |n: u64| {
                if n_threads == 1 {
                    let mut model = lock(model);
                    (0..n).for_each(|_| drop(black_box(sample(&mut model, next()))));
                } else {
                    (0..n).for_each(|_| drop(black_box(sample(&mut lock(model), next()))));
                }
                0.0
            }
        };
        per_op(n_threads, n, make).map(|measured| measured.cpu_ns)
    };
    Contestant { metric, name: MODEL, dearer: 10, run: Box::new(run) }
}

fn floor<'a>(inputs: &'a Inputs, metric: &'static str) -> Contestant<'a> {
    let run = move |n_threads, n| {
        let make = || {
            let counters: Box<[AtomicU64]> = (0..N_COUNTERS).map(|_| AtomicU64::new(0)).collect();
            let (mut idx, threshold) = (inputs.start(), black_box(u64::MAX));
            move |n: u64| {
                for _ in 0..n {
                    let value = inputs.values.at(idx);
                    counters[(value >> 10) as usize % N_COUNTERS].fetch_add(1, Relaxed);
                    black_box(value >= threshold);
                    idx = idx.wrapping_add(1);
                }
                0.0
            }
        };
        per_op(n_threads, n, make).map(|measured| measured.cpu_ns)
    };
    Contestant { metric, name: FLOOR, dearer: 1, run: Box::new(run) }
}

fn lock<M>(model: &Mutex<M>) -> MutexGuard<'_, M> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the trace of sample number `idx`: no two in a row are one.
fn trace(idx: usize) -> TraceId {
    TraceId::new(7, idx as u64 + 1)
}

/// Returns how request number `idx` ended: one of 1024 is bad, within the budget.
fn outcome(idx: usize) -> Outcome {
    if idx.is_multiple_of(1024) { Outcome::Bad } else { Outcome::Good }
}
