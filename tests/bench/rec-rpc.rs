//! `rec-rpc`: what recording costs a real RPC application on several hosts, and what it captures (hindsight spec, section 7).
//!
//! Run by `cargo xtask bench rec-rpc`; CPU time per request, interleaved rounds, rows in `rec-rpc.json`. `two` has services that compute
//! nothing, so that recording weighs most; `ten` and `synthetic93` look like applications.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use backsight_tests::bench::{
    cli::{self, Options},
    host,
    report::Report,
    runner::{Rounds, Series},
    table,
};
use backsight_tests::harness::binaries;
use backsight_tests::rpc::{
    Tracer, bulk,
    cases::{CASES, Case, Load, Plan},
    coherence::Truths,
    cost::{Sample, Timed},
    hosts::Hosts,
    rows::{self, Metric, Setting},
};
use clap::Parser;

const BULK_ROUNDS: usize = 5;

/// What a person asks of this bench.
#[derive(Parser, Debug)]
struct Flags {
    #[command(flatten)]
    options: Options,
    /// A topology to run: two, ten or synthetic93 (may be repeated; default: all, with --quick the first two)
    #[arg(long = "case", value_name = "NAME", value_parser = ["two", "ten", "synthetic93"])]
    cases: Vec<String>,
    /// A tracer to run beside nobody and ours (may be repeated; default: all)
    #[arg(long = "tracer", value_name = "NAME")]
    tracers: Vec<Tracer>,
}

impl Flags {
    fn cases(&self) -> Vec<Case> {
        let is_asked = |case: &&Case| match self.cases.is_empty() {
            true => !self.options.quick || case.topology != "synthetic93",
            false => self.cases.iter().any(|name| name == case.topology),
        };
        CASES.iter().filter(is_asked).copied().collect()
    }

    /// Returns those of `tracers` that take part.
    fn tracers(&self, tracers: &[Tracer]) -> Vec<Tracer> {
        let is_always = |tracer: &Tracer| Tracer::ASKED.contains(tracer);
        let is_asked = |tracer: &Tracer| self.tracers.is_empty() || self.tracers.contains(tracer) || is_always(tracer);
        tracers.iter().filter(|tracer| is_asked(tracer)).copied().collect()
    }
}

fn main() -> Result<ExitCode> {
    let flags = Flags::parse();
    let options = &flags.options;
    binaries::freshen(&["backsight-agent", "backsight-collector", "bricks"])?;
    let mut report = Report::new("rec-rpc", options.quick);
    let hosts = Hosts::start()?;
    for case in flags.cases() {
        let plan = Plan::of(case, options);
        if plan.rounds.n_rounds > 0 {
            time(&flags, &hosts, case, &mut report)?;
        }
        if ["coherent_share", "false_complete", "mb_per_s"].iter().any(|metric| options.wants(metric)) {
            let measured = Truths { hosts: &hosts, case, plan }.measure(&flags.tracers(&Tracer::CAPTURING));
            let found = rows::of_coherence(case.topology, &measured)?;
            report.results.extend(found.into_iter().filter(|row| options.wants(&row.metric)));
        }
    }
    drop(hosts);
    if options.wants("agent_core_per_100mb") {
        bulk(options, &mut report)?;
    }
    cli::finish(options, &report)
}

/// Measures what an agent uses in bulk, and adds the row.
fn bulk(options: &Options, report: &mut Report) -> Result<()> {
    let rounds = Rounds { n_rounds: BULK_ROUNDS, n_warmup: 1 };
    let measured = bulk::agent_core_per_100mb(options.pick(Duration::from_millis(300), Duration::from_secs(4)), rounds);
    print!("{}", table::medians(&format!("agent_core_per_100mb ({})", bulk::CASE), "cores", &measured));
    for series in &measured {
        report.results.extend(rows::of_bulk(series)?);
    }
    Ok(())
}

/// Times `case` under both loads, and adds the rows of ours.
fn time(flags: &Flags, hosts: &Hosts, case: Case, report: &mut Report) -> Result<()> {
    let options = &flags.options;
    // Latency at a rate is asked against nobody alone, where time is short.
    let at_rate = if options.quick { &Tracer::ASKED[..] } else { &Tracer::ALL };
    let highest = Load::Highest { concurrency: case.concurrency };
    for (load, metrics, tracers) in
        [(highest, &rows::AT_HIGHEST[..], &Tracer::ALL[..]), (Load::Rate(case.rate), &rows::AT_MODERATE, at_rate)]
    {
        let wanted: Vec<Metric> = metrics.iter().filter(|metric| options.wants(metric.name)).copied().collect();
        if wanted.is_empty() {
            continue;
        }
        let measured = Timed { hosts, case, load, plan: Plan::of(case, options) }.measure(&flags.tracers(tracers));
        show(&wanted, case, load, &measured);
        let setting = Setting { topology: case.topology, load: &load.words(), cores: host::cores() };
        report.results.extend(rows::of_cost(&wanted, setting, &measured)?);
    }
    Ok(())
}

fn show(metrics: &[Metric], case: Case, load: Load, measured: &[Series<Sample>]) {
    for metric in metrics {
        let title = format!("{} ({}, {})", metric.name, case.topology, load.words());
        let series: Vec<Series> = measured.iter().map(|series| series.map(metric.of)).collect();
        print!("{}", table::medians(&title, metric.unit, &series));
    }
}
