//! `rec-kill`: what survives SIGKILL at random instructions (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-kill`: 10,000 kills, 1,000 with `--quick`; rows in `rec-kill.json`.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use backsight_tests::bench::{
    cli::{self, Options},
    report::Report,
};
use backsight_tests::victim::storm;
use clap::Parser as _;

const SEED: u64 = 7;

fn main() -> anyhow::Result<ExitCode> {
    let options = Options::parse();
    let mut report = Report::new("rec-kill", options.quick);
    let n_kills = options.pick(1_000, 10_000);
    let findings = storm::run(n_kills, SEED)?;
    println!("{} kills, {} records compared", findings.kills, findings.records_checked);
    let case = format!("{n_kills} kills, 1-8 threads");
    for (metric, value) in [
        ("committed_lost", findings.committed_lost),
        ("chunks_leaked", findings.chunks_leaked),
        ("garbage_records", findings.garbage_records),
    ] {
        report.push_value(metric, &case, "count", &[value as f64], Some("value==0"))?;
    }
    let worst = findings.recover_ms.iter().copied().fold(0.0, f64::max);
    report.push_value("recover_ms", &case, "ms", &findings.recover_ms, Some("value<=100"))?;
    report.push_value("recover_ms", &format!("{case}, the slowest"), "ms", &[worst], Some("value<=100"))?;
    cli::finish(&options, &report)
}
