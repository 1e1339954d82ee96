//! What a request costs under each tracer: one timed run is one sample, and runs of all tracers take turns.
//!
//! Called by the bench. No truth is written here: that would be a system call a visit, which no recorder does.

use super::{
    Tracer,
    bricks::{self, Length, Run, RunReport},
    cases::{Case, Faults, Load, Plan},
    hosts::Hosts,
    sink::{Decision, Sink},
};
use crate::bench::runner::{Series, Subject, interleave};
use crate::harness::cpu::{CpuHistory, CpuWatch};
use anyhow::{Context as _, Result, ensure};
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the second measurement of nobody recording.
pub const NONE_AGAIN: &str = "none again";

/// What one timed run shows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// Requests answered in a second.
    pub rps: f64,
    /// CPU time of the services for each request.
    pub services_us: f64,
    /// The same with agents and collector, or the sink.
    pub all_us: f64,
    /// The median latency.
    pub p50_us: f64,
    /// The latency that one in a hundred exceeds.
    pub p99_us: f64,
    /// The share of a core that the collector, or the sink, uses.
    pub collector_core: f64,
    /// The share of a core that the agents use.
    pub agent_core: f64,
    /// What it would be if 100 MB were written a second.
    pub agent_core_per_100mb: f64,
}

/// A load of a case that is timed.
#[derive(Clone, Copy, Debug)]
pub struct Timed<'a> {
    /// Where.
    pub hosts: &'a Hosts,
    /// What.
    pub case: Case,
    /// How hard.
    pub load: Load,
    /// How long.
    pub plan: Plan,
}

impl Timed<'_> {
    /// Measures nobody recording twice and each of `tracers` once a round.
    #[must_use]
    pub fn measure(&self, tracers: &[Tracer]) -> Vec<Series<Sample>> {
        let named = tracers.iter().map(|tracer| (tracer.name(), *tracer));
        let again = tracers.contains(&Tracer::None).then_some((NONE_AGAIN, Tracer::None));
        let subject = |(name, tracer): (&str, Tracer)| {
            let run = Box::new(move || self.once(tracer));
            Subject { name: name.to_owned(), run }
        };
        let mut subjects: Vec<Subject<'_, Sample>> = named.chain(again).map(subject).collect();
        let title = format!("{}, {}", self.case.topology, self.load.words());
        interleave(&title, &mut subjects, self.plan.rounds)
    }

    fn once(&self, tracer: Tracer) -> Result<Sample> {
        let sink = match tracer {
            Tracer::OtelHead => Some(Sink::start(Decision::KeepAll, None)?),
            Tracer::OtelTailModel => Some(Sink::start(Decision::Tail, None)?),
            Tracer::None | Tracer::Headers | Tracer::Backsight => None,
        };
        let collector = sink.as_ref().map_or_else(|| self.hosts.collector.pid(), Sink::pid);
        let sockets = if tracer == Tracer::Backsight { self.hosts.sockets() } else { Vec::new() };
        let written_before = self.hosts.metric(WRITTEN)?;
        let watch = CpuWatch::start(&[&self.hosts.agent_pids(), &[collector]])?;
        let started = unix_ns()?;
        let report = bricks::run(&Run {
            topology: self.case.topology,
            tracer,
            load: self.load,
            length: Length::Seconds { warmup: self.plan.warmup_seconds(self.load), counted: self.plan.seconds },
            under: None,
            faults: Faults::RARE,
            seed: self.hosts.next_seed(),
            agents: &sockets,
            sink: sink.as_ref().map(Sink::address),
            truth: None,
        })?;
        let ended = unix_ns()?;
        let histories = watch.finish()?;
        ensure!(report.answered > 0, "no request was answered under {}", tracer.name());
        sink.map(Sink::finish).transpose()?;
        self.hosts.settle()?;
        let written = self.hosts.metric(WRITTEN)? - written_before;
        let [agents, collector] = histories.as_slice() else { anyhow::bail!("two groups were watched") };
        let whole_run = Whole { agents_ns: agents.between_ns(started, ended), written_bytes: written };
        Ok(sample(tracer, &report, Beside { agents, collector }, whole_run))
    }
}

/// The metric of the bytes that agents find in sealed chunks.
const WRITTEN: &str = "backsight_agent_written_bytes_total";

/// Who worked beside the services.
#[derive(Clone, Copy)]
struct Beside<'a> {
    agents: &'a CpuHistory,
    collector: &'a CpuHistory,
}

/// What the agents did from the start of the services to their end; bytes are known only then, when all chunks are sealed.
#[derive(Clone, Copy)]
struct Whole {
    agents_ns: f64,
    written_bytes: f64,
}

/// Returns the sample of one run; of who worked beside, only what `tracer` needs is counted.
fn sample(tracer: Tracer, report: &RunReport, beside: Beside<'_>, whole: Whole) -> Sample {
    let [from, to] = report.window_unix_ns;
    let used_ns = |history: &CpuHistory, is_part: bool| if is_part { history.between_ns(from, to) } else { 0.0 };
    let agents_ns = used_ns(beside.agents, tracer == Tracer::Backsight);
    let collector_ns = used_ns(beside.collector, tracer == Tracer::Backsight || tracer.needs_sink());
    let window_ns = (to - from) as f64;
    let services_us = report.cpu.services_us_per_request;
    Sample {
        rps: report.rps,
        services_us,
        all_us: services_us + (agents_ns + collector_ns) / 1e3 / report.answered as f64,
        p50_us: report.latency_us.p50,
        p99_us: report.latency_us.p99,
        collector_core: collector_ns / window_ns,
        agent_core: agents_ns / window_ns,
        agent_core_per_100mb: match whole.written_bytes > 0.0 && tracer == Tracer::Backsight {
            true => whole.agents_ns / 1e9 / (whole.written_bytes / 1e8),
            false => 0.0,
        },
    }
}

fn unix_ns() -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the wall clock stands before 1970")?;
    Ok(since.as_nanos() as u64)
}

#[cfg(test)]
mod tests;
