//! `rec-restart`: what is lost when an agent is killed under load and comes again (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-restart`: an agent with a keeper, two processes that write 50 MB/s together, a third that is killed now and
//! then while there is no agent. The agent is killed 100 times, 8 with `--quick`; rows in `rec-restart.json`.
#![forbid(unsafe_code)]

use anyhow::{Context as _, Result, ensure};
use backsight_core::units::Bytes;
use backsight_proto::admin::route;
use backsight_proto::trace_json::TraceJson;
use backsight_tests::bench::{
    cli::{self, Options},
    report::Report,
};
use backsight_tests::harness::{
    agent::{Agent, AgentOptions},
    binaries,
};
use backsight_tests::victim::truth::Truth;
use backsight_tests::writer::{Job, Pace, RECORDS, Writer};
use clap::Parser as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The pool, which holds what is written in five seconds.
const BUDGET: Bytes = Bytes::mib(256);
/// Bytes of a visit, all told.
const VISIT_BYTES: f64 = 672.0;
/// Writers that live as long as the run.
const WRITERS: u64 = 2;
/// How long a process can go on without an agent, by the configuration's default.
const RESERVE_MS: f64 = 250.0;
/// How long after a start the reserve is there again.
const SETTLE: Duration = Duration::from_millis(500);
/// The longest that is waited for the pool to fill.
const FILL_MAX: Duration = Duration::from_secs(6);
/// Visits that are looked for after each start, of each writer.
const SAMPLES: u64 = 25;

/// How a run goes.
#[derive(Clone, Copy, Debug)]
struct Plan {
    n_kills: u32,
    bytes_per_s: f64,
    /// How long nobody starts the next agent.
    outage: Duration,
    config: &'static str,
}

impl Plan {
    fn case(self) -> String {
        format!(
            "{} MB/s, {} kills, {} ms without an agent",
            self.bytes_per_s / 1e6,
            self.n_kills,
            self.outage.as_millis()
        )
    }

    fn fill(self) -> Duration {
        Duration::from_secs_f64(BUDGET.0 as f64 / self.bytes_per_s).min(FILL_MAX)
    }

    fn pace(self) -> Pace {
        let visits_per_s = self.bytes_per_s / VISIT_BYTES / WRITERS as f64;
        // Longer than the kills take: what is left is waited for.
        let seconds = self.fill().as_secs_f64() + f64::from(self.n_kills) * (self.outage.as_secs_f64() + 1.5) + 1.0;
        Pace { visits_per_s, duration: Duration::from_secs_f64(seconds) }
    }
}

/// A writer and what it says.
struct Source {
    trace_hi: u64,
    truth: Truth,
    writer: Writer,
}

impl Source {
    fn start(agent: &Agent, pace: Pace, trace_hi: u64) -> Result<Self> {
        let path: PathBuf = agent.folder().join(format!("truth-{trace_hi}"));
        let truth = Truth::create(&path, 2)?;
        let writer = Writer::start_with(&agent.socket(), pace, trace_hi, Some(&path))?;
        Ok(Self { trace_hi, truth, writer })
    }

    fn n_done(&self) -> Result<u64> {
        Ok(self.truth.read(0)?.done)
    }

    /// Waits until a good many visits are written.
    fn until_it_writes(&self) -> Result<()> {
        let start = Instant::now();
        while self.n_done()? < SAMPLES {
            ensure!(start.elapsed() < Duration::from_secs(20), "a writer wrote nothing in 20 s");
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn n_lost(&self) -> Result<u64> {
        Ok(self.truth.read(1)?.intended)
    }
}

/// What was seen.
#[derive(Default)]
struct Findings {
    n_checked: u64,
    n_missing: u64,
    restart_ms: Vec<f64>,
    rebuild_ms_per_gib: Vec<f64>,
    lost_ms: Vec<f64>,
    lost_beyond_ms: Vec<f64>,
    longest_us: f64,
}

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    binaries::freshen(&["backsight-agent", "bks-writer"])?;
    let mut report = Report::new("rec-restart", options.quick);
    let outage = Duration::from_millis(20);
    let n_kills = options.pick(8, 100);
    let full = Plan { n_kills, bytes_per_s: 50e6, outage, config: "" };
    push(&mut report, full, &run(full)?)?;
    let long = Plan {
        n_kills: options.pick(1, 5),
        bytes_per_s: 10e6,
        outage: Duration::from_secs(2),
        config: "[pool]\ngrant_reserve_ms = 3000\n",
    };
    let findings = run(long)?;
    let case = format!("{}, a reserve of 3000 ms", long.case());
    report.push_value("outage_lost_ms", &case, "ms", &findings.lost_ms, None)?;
    cli::finish(&options, &report)
}

fn push(report: &mut Report, plan: Plan, findings: &Findings) -> Result<()> {
    let case = plan.case();
    println!("{case}: {} visits looked for, {} missing", findings.n_checked, findings.n_missing);
    let share = findings.n_missing as f64 / findings.n_checked.max(1) as f64;
    let worst = |samples: &[f64]| samples.iter().copied().fold(0.0, f64::max);
    report.push_value("retained_lost_share", &case, "share", &[share], Some("value<=0.001"))?;
    report.push_value("outage_lost_ms", &case, "ms", &findings.lost_ms, None)?;
    let beyond = format!("{case}, beyond what it exceeds the reserve by, the worst");
    report.push_value("outage_lost_ms", &beyond, "ms", &[worst(&findings.lost_beyond_ms)], Some("value<=0"))?;
    report.push_value("rebuild_ms_per_gib", &case, "ms/GiB", &findings.rebuild_ms_per_gib, Some("value<=2000"))?;
    report.push_value("restart_ms", &case, "ms", &findings.restart_ms, None)?;
    report.push_value("client_stall_us_max", &case, "us", &[findings.longest_us], Some("value<=1000"))?;
    Ok(())
}

/// Kills the agent as often as the plan says, and looks each time for what had been recorded.
fn run(plan: Plan) -> Result<Findings> {
    let options = AgentOptions { budget_bytes: BUDGET.0, keep_s: 60, config: plan.config, ..AgentOptions::default() };
    let mut agent = Agent::start(options)?;
    let pace = plan.pace();
    let sources = (0..WRITERS).map(|n| Source::start(&agent, pace, 100 + n)).collect::<Result<Vec<_>>>()?;
    std::thread::sleep(plan.fill());
    let mut findings = Findings::default();
    for round in 0..plan.n_kills {
        eprint!("\r{}: kill {} of {} ", plan.case(), round + 1, plan.n_kills);
        once(plan, &mut agent, &sources, round, &mut findings)?;
    }
    eprintln!();
    for source in sources {
        findings.longest_us = findings.longest_us.max(source.writer.finish()?.longest_us);
    }
    Ok(findings)
}

/// Kills the agent once.
fn once(plan: Plan, agent: &mut Agent, sources: &[Source], round: u32, findings: &mut Findings) -> Result<()> {
    let before: Vec<u64> = sources.iter().map(Source::n_done).collect::<Result<_>>()?;
    let pace = Pace { visits_per_s: 1e6 / VISIT_BYTES, duration: Duration::from_secs(60) };
    let mortal = Source::start(agent, pace, 1_000 + u64::from(round))?;
    std::thread::sleep(SETTLE);
    mortal.until_it_writes()?;
    let gib = agent.api().metric("backsight_agent_pool_bytes")? / Bytes::mib(1024).0 as f64;
    let lost_before: u64 = sources.iter().map(Source::n_lost).sum::<Result<u64>>()?;
    let done: Vec<u64> = sources.iter().map(Source::n_done).collect::<Result<_>>()?;
    let (mortal_hi, mortal_done) = (mortal.trace_hi, mortal.n_done()?);
    let killed = Instant::now();
    agent.kill()?;
    std::thread::sleep(plan.outage);
    mortal.writer.kill()?;
    let started = Instant::now();
    agent.start_again(None)?;
    findings.restart_ms.push(started.elapsed().as_secs_f64() * 1e3);
    let outage_ms = killed.elapsed().as_secs_f64() * 1e3;
    findings.rebuild_ms_per_gib.push(rebuild_ms(agent)? / gib);
    for (source, (from, to)) in sources.iter().zip(before.iter().zip(&done)) {
        look_for(agent, source.trace_hi, *from, *to, findings)?;
    }
    look_for(agent, mortal_hi, mortal_done.saturating_sub(100), mortal_done, findings)?;
    std::thread::sleep(SETTLE);
    let n_lost = sources.iter().map(Source::n_lost).sum::<Result<u64>>()? - lost_before;
    let records_per_ms = plan.bytes_per_s / VISIT_BYTES * RECORDS as f64 / 1e3;
    let lost_ms = n_lost as f64 / records_per_ms;
    findings.lost_ms.push(lost_ms);
    findings.lost_beyond_ms.push((lost_ms - (outage_ms - RESERVE_MS).max(0.0)).max(0.0));
    Ok(())
}

/// Looks for some of the visits from number `from` to number `to`.
fn look_for(agent: &Agent, trace_hi: u64, from: u64, to: u64, findings: &mut Findings) -> Result<()> {
    ensure!(to > from, "a writer wrote nothing: {from} to {to}");
    for sample in 0..SAMPLES {
        let n = from + (to - from) * sample / SAMPLES;
        let answer = agent.api().request("GET", &route::trace(Job::trace(trace_hi, n)), "")?;
        let found = serde_json::from_str::<TraceJson>(&answer.body).ok().filter(|_| answer.status == 200);
        let is_whole = found
            .is_some_and(|trace| trace.visits.iter().map(|visit| visit.notes.payloads.len()).sum::<usize>() == RECORDS);
        findings.n_checked += 1;
        findings.n_missing += u64::from(!is_whole);
    }
    Ok(())
}

/// Returns how long the agent took to take over what the one before had left.
fn rebuild_ms(agent: &Agent) -> Result<f64> {
    let log = agent.log();
    let said = log.lines().rev().find_map(|line| line.split_once("took_ms=")?.1.split_whitespace().next());
    let said = said.with_context(|| format!("the agent took nothing over: {log}"))?;
    said.parse().context("understand how long the agent took")
}
