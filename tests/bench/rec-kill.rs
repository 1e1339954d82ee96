//! `rec-kill`: what survives SIGKILL at random instructions (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-kill`: 10,000 kills, 1,000 with `--quick`, and a tenth as many while whose lives the agent is killed,
//! too; rows in `rec-kill.json`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use backsight_tests::bench::{
    cli::{self, Options},
    report::Report,
};
use backsight_tests::victim::storm::{self, Storm};
use clap::Parser as _;

const SEED: u64 = 7;

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut report = Report::new("rec-kill", options.quick);
    let n_kills = options.pick(1_000, 10_000);
    push(&mut report, &format!("{n_kills} kills, 1-8 threads"), Storm { n_kills, seed: SEED, kills_agent: false })?;
    let n_kills = options.pick(100, 1_000);
    let case = format!("{n_kills} kills, 1-8 threads, and the agent each time");
    push(&mut report, &case, Storm { n_kills, seed: SEED, kills_agent: true })?;
    cli::finish(&options, &report)
}

fn push(report: &mut Report, case: &str, storm: Storm) -> anyhow::Result<()> {
    let findings = storm::run(storm)?;
    println!("{case}: {} records compared", findings.records_checked);
    for (metric, value) in [
        ("committed_lost", findings.committed_lost),
        ("chunks_leaked", findings.chunks_leaked),
        ("garbage_records", findings.garbage_records),
    ] {
        report.push_value(metric, case, "count", &[value as f64], Some("value==0"))?;
    }
    // Where the agent was killed, it has to start first.
    let must = (!storm.kills_agent).then_some("value<=100");
    let worst = findings.recover_ms.iter().copied().fold(0.0, f64::max);
    report.push_value("recover_ms", case, "ms", &findings.recover_ms, must)?;
    report.push_value("recover_ms", &format!("{case}, the slowest"), "ms", &[worst], must)
}
