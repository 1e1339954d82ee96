//! `bks-writer`: a process that writes visits at a steady rate; see `backsight_tests::writer`.
#![forbid(unsafe_code)]

use anyhow::Result;
use backsight::Settings;
use backsight_tests::victim::truth::Truth;
use backsight_tests::writer::{Job, Pace, write};
use clap::Parser;
use std::path::PathBuf;
use std::time::Duration;

/// What a bench tells its writer.
#[derive(Debug, Parser)]
struct Options {
    /// The agent's producer socket.
    #[arg(long)]
    socket: String,
    /// Visits in a second.
    #[arg(long)]
    visits_per_s: f64,
    /// For how long.
    #[arg(long)]
    seconds: f64,
    /// The high half of its traces.
    #[arg(long)]
    trace_hi: u64,
    /// Where it says how far it is.
    #[arg(long)]
    truth: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    let settings = Settings { socket: Some(&options.socket), service: Some("writer") };
    backsight_tests::harness::session::join(settings)?;
    let pace = Pace { visits_per_s: options.visits_per_s, duration: Duration::from_secs_f64(options.seconds) };
    let truth = options.truth.as_deref().map(Truth::open).transpose()?;
    let written = write(pace, Job { trace_hi: options.trace_hi, truth: truth.as_ref() })?;
    println!("{}", serde_json::to_string(&written)?);
    Ok(())
}
