//! `rec-spam`: a storm of one trigger must not cost the rare ones, nor be sent in halves (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-spam`; ten services on three hosts, real agents and a collector, rows in `rec-spam.json`.
#![forbid(unsafe_code)]

use anyhow::Result;
use backsight_tests::bench::{
    cli::{self, Options},
    report::{Better, Question, Report, Row},
    runner::Series,
    verdict::Clock,
};
use backsight_tests::harness::binaries;
use backsight_tests::rpc::spam::{self, Sample};
use clap::Parser as _;
use std::process::ExitCode;

/// Requests a second: more faulty ones than the uplinks take.
const RATE: u32 = 1_000;
const ROUNDS: u64 = 5;

/// A number of a sample, and what is asked of it.
type Asked = (&'static str, &'static str, Better, fn(&Sample) -> f64, Option<&'static str>, Option<&'static str>);

const ASKED: [Asked; 6] = [
    ("rare_coherent_share", "share", Better::Higher, |s| s.rare_coherent, Some("value>=0.99"), Some("value>=0.999")),
    ("sent_coherent_share", "share", Better::Higher, |s| s.sent_coherent, Some("value>=0.95"), Some("value>=0.99")),
    ("faulty_coherent_share", "share", Better::Higher, |s| s.faulty_coherent, None, None),
    ("coherent_traces_per_s", "1/s", Better::Higher, |s| s.coherent_per_s, None, None),
    ("abandoned", "count", Better::Lower, |s| s.abandoned, None, None),
    ("false_complete", "count", Better::Lower, |s| s.false_complete, Some("value==0"), None),
];

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    binaries::freshen(&["backsight-agent", "backsight-collector", "bricks"])?;
    let mut report = Report::new("rec-spam", options.quick);
    let seconds = options.pick(15.0, 60.0);
    let n_rounds = options.pick(1, options.rounds.map_or(ROUNDS, u64::from));
    let mut samples = Vec::new();
    for seed in 1..=n_rounds {
        eprintln!("round {seed} of {n_rounds}: {seconds} s of load");
        let sample = spam::once(seconds, RATE, seed)?;
        println!("{sample:?}");
        samples.push(sample);
    }
    let series = Series { name: "backsight".to_owned(), samples, failure: None };
    for (metric, unit, better, of, must, stretch) in ASKED {
        let question = Question {
            metric: metric.to_owned(),
            case: format!("{RATE} requests/s, half of them faulty, 1 MB/s per agent"),
            unit,
            better,
            clock: Clock::Count,
            peer: None,
            must: must.map(str::parse).transpose()?,
            stretch: stretch.map(str::parse).transpose()?,
        };
        report.results.extend(Row::answer(question, &series.map(of), None, None));
    }
    cli::finish(&options, &report)
}
