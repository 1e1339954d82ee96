//! `rec-horizon`: how far back an agent looks, and how well it foresees that (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-horizon`; each case has an agent and a writing process of its own, all at once: they need little of a
//! processor, and much time. Rows in `rec-horizon.json`. In full it takes half an hour, as long as a gibibyte takes to fill.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, ensure};
use backsight_core::units::Bytes;
use backsight_tests::bench::{
    cli::{self, Options},
    report::{Better, Question, Report, Row},
    runner::{Series, at_once},
    verdict::Clock,
};
use backsight_tests::harness::{
    agent::{Agent, AgentOptions},
    binaries,
};
use backsight_tests::writer::{Pace, Writer};
use clap::Parser as _;
use std::process::ExitCode;
use std::time::Duration;

/// Samples of a case, taken one after another once its pool is full of what it writes.
const SAMPLES: usize = 7;
/// How often the pool is written over before that.
const TURNS: f64 = 1.5;
/// What a visit takes at most, all told: by it one knows how long a case lasts.
const VISIT_BYTES_MAX: f64 = 900.0;
/// Of what a pool holds, the share that untriggered data may have in the published system.
const UNTRIGGERED_SHARE: f64 = 0.80;

/// A pool and what is written to it.
#[derive(Clone, Copy, Debug)]
struct Case {
    budget: Bytes,
    visits_per_s: f64,
}

impl Case {
    fn name(self) -> String {
        format!("{} pool, {} visits/s of 600 B", self.budget, self.visits_per_s)
    }

    /// Returns how long the pool takes to be written over often enough.
    fn duration(self) -> Duration {
        let visits = self.budget.0 as f64 / VISIT_BYTES_MAX * TURNS;
        Duration::from_secs_f64(visits.mul_add(1.0 / self.visits_per_s, 2.0))
    }
}

/// What was seen once the pool was full.
struct Seen {
    horizon_ms: Vec<f64>,
    prediction_error: Vec<f64>,
    visits_per_gib: Vec<f64>,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    binaries::freshen(&["backsight-agent", "bks-writer"])?;
    let mut report = Report::new("rec-horizon", options.quick);
    let cases = cases(&options);
    let longest = cases.iter().map(|case| case.duration()).max().unwrap_or_default();
    eprintln!("{} cases at once, {} s", cases.len(), longest.as_secs());
    let seen = at_once(&cases, |case| run(*case));
    for (case, seen) in cases.iter().zip(seen) {
        let seen = seen.with_context(|| case.name())?;
        report.results.extend(rows(*case, &seen)?);
    }
    cli::finish(&options, &report)
}

fn cases(options: &Options) -> Vec<Case> {
    let case = |budget, visits_per_s| Case { budget, visits_per_s };
    let mut cases = vec![case(Bytes::mib(64), 10_000.0)];
    if !options.quick {
        cases.extend([
            case(Bytes::mib(64), 1_000.0),
            case(Bytes::mib(1024), 10_000.0),
            case(Bytes::mib(1024), 1_000.0),
        ]);
    }
    cases
}

/// Fills a pool and watches its horizon.
fn run(case: Case) -> Result<Seen> {
    let agent = Agent::start(AgentOptions { budget_bytes: case.budget.0, ..AgentOptions::default() })?;
    let watched = Duration::from_secs(SAMPLES as u64 + 2);
    let pace = Pace { visits_per_s: case.visits_per_s, duration: case.duration() + watched };
    let writer = Writer::start(&agent.socket(), pace)?;
    std::thread::sleep(case.duration());
    let mut seen = Seen { horizon_ms: Vec::new(), prediction_error: Vec::new(), visits_per_gib: Vec::new() };
    for _ in 0..SAMPLES {
        let horizon_ms = agent.api().metric("backsight_agent_horizon_ms").context("nothing was overwritten")?;
        let predicted_ms = agent.api().metric("backsight_agent_horizon_predicted_ms")?;
        seen.horizon_ms.push(horizon_ms);
        seen.prediction_error.push((predicted_ms - horizon_ms).abs() / horizon_ms);
        std::thread::sleep(Duration::from_secs(1));
    }
    let written = writer.finish()?;
    if written.n_lost > 0 {
        println!("{}: {} records found no chunk", case.name(), written.n_lost);
    }
    // What was really written: on a machine with much else to do, that is less.
    let rate = written.n_visits as f64 / pace.duration.as_secs_f64();
    ensure!(rate > 0.0, "nothing was written");
    let gib = case.budget.0 as f64 / Bytes::mib(1024).0 as f64;
    seen.visits_per_gib = seen.horizon_ms.iter().map(|ms| ms / 1e3 * rate / gib).collect();
    Ok(seen)
}

/// Returns the rows of a case: against the arithmetic of one buffer a visit, and by itself.
fn rows(case: Case, seen: &Seen) -> Result<Vec<Row>> {
    let series =
        |name: &str, samples: &[f64]| Series { name: name.to_owned(), samples: samples.to_vec(), failure: None };
    let question = |metric: &str, unit, better, peer: Option<&str>, must: Option<&str>, stretch: Option<&str>| {
        anyhow::Ok(Question {
            metric: metric.to_owned(),
            case: case.name(),
            unit,
            better,
            clock: Clock::Count,
            peer: peer.map(str::to_owned),
            must: must.map(str::parse).transpose()?,
            stretch: stretch.map(str::parse).transpose()?,
        })
    };
    let mut rows = Vec::new();
    let ours = series("backsight", &seen.visits_per_gib);
    for (peer, buffer_bytes, must, stretch) in [
        ("one 32 KiB buffer a visit", 32 << 10, "ratio>=40", Some("ratio>=55")),
        ("one 4 KiB buffer a visit", 4 << 10, "ratio>=6", None),
    ] {
        let theirs = series(peer, &[Bytes::mib(1024).0 as f64 * UNTRIGGERED_SHARE / f64::from(buffer_bytes)]);
        let question = question("visits_per_gib", "visits", Better::Higher, Some(peer), Some(must), stretch)?;
        rows.extend(Row::answer(question, &ours, None, Some(&theirs)));
    }
    let alone = [
        ("horizon_ms", "ms", Better::Higher, &seen.horizon_ms, None),
        ("prediction_error_share", "share", Better::Lower, &seen.prediction_error, Some("value<=0.10")),
    ];
    for (metric, unit, better, samples, must) in alone {
        rows.extend(Row::answer(
            question(metric, unit, better, None, must, None)?,
            &series(metric, samples),
            None,
            None,
        ));
    }
    Ok(rows)
}
