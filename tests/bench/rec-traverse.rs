//! `rec-traverse`: how fast the coordinator follows a trace's crumbs over the agents, and past a dead one (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-traverse`; a collector process and agents without recorders in this one, rows in `rec-traverse.json`. A time
//! is from when a trigger is due until the last agent of its trace has its Collect. Both sides share the machine: with 35 agents, 10 000
//! triggers a second are 340 000 Collects and as many answers. Where a rate is not followed, `reached_per_s` says what was, and the times are
//! those of a queue that grows for as long as the load lasts, half a second in full; a case apart halves the rate until it is followed. On hosts
//! apart, each a network namespace, the network's delay alone stands beside the times. The paper reports less than 13 ms at 100 triggers/s and up to 86 ms at 12 000, on a cluster.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result};
use backsight_tests::bench::{
    cli::{self, Options},
    report::Report,
};
use backsight_tests::harness::{binaries, network};
use backsight_tests::traverse::{
    self, Load,
    path::Shape,
    rows::{self, AGENTS_OF_MUST, Case, RATE_LOW, Samples},
};
use clap::Parser as _;
use std::process::ExitCode;
use std::time::Duration;

/// Rounds in full.
const ROUNDS: u64 = 3;
/// How many crumbs a request carries.
const CRUMBS: [usize; 2] = [1, 3];

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    binaries::freshen(&["backsight-collector"])?;
    let mut report = Report::new("rec-traverse", options.quick);
    let n_rounds = options.pick(1, options.rounds.map_or(ROUNDS, u64::from));
    let (low, high) = options.pick((1_000, 200), (2_000, 500));
    let (low, high) = (Duration::from_millis(low), Duration::from_millis(high));
    let numbers: &[usize] = options.pick(&[1, 10, 35], &[1, 10, 35, 100]);
    let of_hosts_apart = match network::available() {
        Ok(()) => rows::cases_apart(low),
        Err(why) => {
            eprintln!("left out: hosts apart, as {why}");
            Vec::new()
        }
    };
    let cases = rows::cases(numbers, low, high).into_iter().chain(of_hosts_apart);
    let mut measured: Vec<(Case, Samples)> = cases.map(|case| (case, Samples::default())).collect();
    let mut halved: Vec<(Case, Samples)> = Vec::new();
    if rows::timed_metrics().any(|metric| options.wants(metric)) {
        for round in 1..=n_rounds {
            measure(round, &mut measured, &mut halved)?;
        }
    }
    for (case, samples) in measured.iter().chain(&halved) {
        report.results.extend(case.rows(samples)?);
    }
    if options.wants("dead_hop_share") {
        let load = |n_crumbs| Load {
            n_agents: AGENTS_OF_MUST,
            shape: Shape::Chain { n_crumbs },
            triggers_per_s: RATE_LOW,
            duration: low,
            link: None,
        };
        for n_crumbs in CRUMBS {
            let samples = (1..=n_rounds).map(|seed| traverse::past_dead(&load(n_crumbs), seed));
            report.results.extend(rows::of_dead(n_crumbs, &samples.collect::<Result<Vec<_>>>()?)?);
        }
    }
    report.results.retain(|row| options.wants(&row.metric));
    cli::finish(&options, &report)
}

/// Measures each case once, those with a must twice; adds the cases at a lower rate that this shows to be needed.
fn measure(round: u64, measured: &mut [(Case, Samples)], halved: &mut Vec<(Case, Samples)>) -> Result<()> {
    let once = |case: &Case, seed| {
        let sample = traverse::timed(&case.load, seed).with_context(|| case.name())?;
        let rate = case.load.triggers_per_s;
        eprintln!("round {round}, {} ({rate}/s): {sample:.2?}", case.name());
        anyhow::Ok(sample)
    };
    for (case, samples) in measured {
        if case.has_must() {
            // Memory that a collector is the first to write to, a virtual machine may have to find first. It is there for the next one.
            traverse::timed(&case.load, 2 * round).with_context(|| case.name())?;
        }
        let sample = once(case, 2 * round)?;
        samples.rounds.push(sample);
        if case.has_must() {
            samples.again.push(once(case, 2 * round + 1)?);
        }
        let (mut lower, mut sample) = (*case, sample);
        while lower.is_too_much(&sample) {
            lower = lower.halved(&sample);
            sample = once(&lower, 2 * round)?;
        }
        if lower != *case {
            match halved.iter_mut().find(|(known, _)| known.name() == lower.name()) {
                Some((_, samples)) => samples.rounds.push(sample),
                None => halved.push((lower, Samples { rounds: vec![sample], again: Vec::new() })),
            }
        }
    }
    Ok(())
}
