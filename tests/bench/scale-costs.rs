//! `scale-costs`: what one operation of the real code costs, as the study of scale takes it (`docs/scale.md`).
//!
//! Run by `cargo xtask bench scale-costs`; rows in `scale-costs.json`, which `cargo xtask scale --write` takes. Nothing here must reach anything.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result};
use backsight_tests::bench::{
    cli::{self, Options},
    report::Report,
};
use backsight_tests::harness::binaries;
use backsight_tests::scale::{
    costs,
    measure::{self, Effort, coordinator},
};
use clap::Parser as _;
use std::process::ExitCode;

/// Rounds in full.
const ROUNDS: u16 = 5;

fn main() -> Result<ExitCode> {
    if let Some(n_hosts) = std::env::var_os(coordinator::MEMORY_ENV) {
        let n_hosts = n_hosts.to_str().and_then(|text| text.parse().ok()).context("understand the number of agents")?;
        println!("{}", coordinator::memory_of_groups(n_hosts)?);
        return Ok(ExitCode::SUCCESS);
    }
    let options = Options::parse();
    binaries::freshen(&["backsight-agent", "backsight-collector"])?;
    let mut report = Report::new("scale-costs", options.quick);
    let effort = options.pick(Effort::Quick, Effort::Full);
    let mut rounds = Vec::new();
    for round in 1..=options.pick(1, options.rounds.unwrap_or(ROUNDS)) {
        eprintln!("round {round}");
        rounds.push(measure::once(effort)?);
    }
    for (name, unit, what) in costs::TABLE.iter().copied().filter(|(name, ..)| options.wants(name)) {
        let samples: Option<Vec<f64>> = rounds.iter().map(|values| values.get(name).copied()).collect();
        report.push_value(name, what, unit, &samples.with_context(|| format!("{name} was not measured"))?, None)?;
    }
    cli::finish(&options, &report)
}
