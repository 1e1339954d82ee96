//! `rec-soak`: half an hour of ten services at full load: nothing may grow, and the horizon must hold.
//!
//! Run by `cargo xtask bench rec-soak`; rows in `rec-soak.json`. With `--quick` it lasts half a minute, and shows that it works.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result};
use backsight_tests::bench::{
    cli::{self, Options},
    report::{Better, Question, Report, Row},
    runner::Series,
    verdict::Clock,
};
use backsight_tests::harness::binaries;
use backsight_tests::soak::{self, Use};
use clap::Parser as _;
use std::process::ExitCode;
use std::time::Duration;

/// The programs that must not grow.
const PROGRAMS: [&str; 2] = ["backsight-agent", "bricks"];
/// What is watched, and by how much it may grow.
type Watched = (&'static str, fn(&Use) -> f64, &'static str);
const WATCHED: [Watched; 3] = [
    ("private_bytes_growth_share", |of| of.private_bytes, "value<=0.05"),
    ("descriptors_growth_share", |of| of.descriptors, "value<=0.01"),
    ("threads_growth_share", |of| of.threads, "value<=0.01"),
];

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    binaries::freshen(&["backsight-agent", "backsight-collector", "bricks"])?;
    let mut report = Report::new("rec-soak", options.quick);
    let length = Duration::from_secs(options.pick(25, 1800));
    let soaked = soak::run(length, Duration::from_millis(options.pick(500, 5_000)))?;
    println!("{} requests/s, {} looks", soaked.report.rps, soaked.horizon_ms.len());
    for (program, uses) in &soaked.uses {
        // What the collector has stored stays in its index; and half a minute is not enough for tables to fill.
        let is_judged = PROGRAMS.contains(&program.as_str()) && !options.quick;
        for (metric, of, must) in WATCHED {
            let samples: Vec<f64> = uses.iter().map(of).collect();
            let Some(growth) = soak::growth(&samples) else { continue };
            let case = format!("ten at full load for {} s, {program}", length.as_secs());
            report.push_value(metric, &case, "share", &[growth], is_judged.then_some(must))?;
        }
    }
    let lowest = soak::lowest_of_median(&soaked.horizon_ms).context("nothing was overwritten")?;
    let case = format!("ten at full load for {} s", length.as_secs());
    let question = Question {
        metric: "horizon_lowest_share".to_owned(),
        case,
        unit: "share",
        better: Better::Higher,
        clock: Clock::Count,
        peer: None,
        must: (!options.quick).then_some("value>=0.5").map(str::parse).transpose()?,
        stretch: None,
    };
    let series = Series { name: "backsight".to_owned(), samples: vec![lowest], failure: None };
    report.results.extend(Row::answer(question, &series, None, None));
    cli::finish(&options, &report)
}
