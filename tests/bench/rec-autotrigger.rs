//! `rec-autotrigger`: what a sample of an autotrigger costs, and how well percentiles fire (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-autotrigger`; CPU time per sample, interleaved rounds, rows in `rec-autotrigger.json`. Values are lognormal;
//! half of the samples have one of 64 common labels, half one of a million others in turn. Bounds on nanoseconds are judged with the control of `rec-micro`.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use backsight::Settings;
use backsight_tests::autotrigger::{
    cost::{self, Inputs},
    firing,
};
use backsight_tests::bench::{
    cli::{self, Options},
    report::Report,
};
use backsight_tests::harness::agent::{Agent, AgentOptions};
use clap::Parser as _;

const THREADS: [usize; 3] = [1, 2, 4];
/// The pool of the agent: small, so that its pages are soon all there.
const BUDGET_BYTES: u64 = 64 << 20;

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let mut report = Report::new("rec-autotrigger", options.quick);
    // Nobody listens there yet: a client fixes its agent's path at its first call.
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("agent.sock");
    let settings = Settings { socket: socket.to_str(), service: Some("bench") };
    ensure!(backsight::init(settings).is_err(), "an agent answers on a path that was just made");
    cost::introduce();
    let inputs = Inputs::default();
    cost::without_agent(&options, &inputs, &THREADS, &mut report)?;
    firing::measure(&options, &THREADS, &mut report)?;
    let agent = Agent::start(AgentOptions { budget_bytes: BUDGET_BYTES, ..AgentOptions::default() })?;
    std::os::unix::fs::symlink(agent.socket(), &socket)?;
    while backsight::init(settings).is_err() {
        std::thread::sleep(Duration::from_millis(50)); // the client tries once a second
    }
    cost::under_agent(&options, &inputs, &mut report)?;
    cli::finish(&options, &report)
}
