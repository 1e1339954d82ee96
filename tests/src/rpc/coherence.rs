//! How much of the edge cases each tracer captures at full load, by a truth that the services write themselves.
//!
//! Called by the bench. *Captured and coherent* is what `bricks check` calls whole: the stored trace agrees with the truth and is certified
//! complete; the peers have no certificate, so that of them the counts of spans alone must agree.

use super::{
    Tracer,
    bricks::{self, Captured, Findings, Length, Run},
    cases::{Case, Faults, Load, Plan},
    hosts::Hosts,
    sink::{Decision, Sink},
};
use anyhow::{Context as _, Result};
use backsight_core::certificate::Verdict;
use backsight_core::ids::TraceId;
use backsight_proto::wire::StoredTrace;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long the collector may go without completing one more trace before what is missing counts as missed. It calls an agent that does
/// not answer unreachable after 5 s, and agents announce again at most 5 s apart.
const PATIENCE: Duration = Duration::from_secs(6);
const POLL_PERIOD: Duration = Duration::from_millis(200);
/// Misses that are printed.
const SHOWN: usize = 3;

/// What runs with the truth show of one tracer, all of them together.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Coherence {
    /// Edge cases by the truth.
    pub edge_cases: u64,
    /// Those that were captured whole.
    pub whole: u64,
    /// Traces that say they are whole and are not.
    pub false_complete: u64,
    /// What was sent to the collector or the sink.
    pub sent_bytes: u64,
    /// What processes wrote for the edge cases; known of ours alone.
    pub edge_bytes: u64,
    /// Records that the services could not write.
    pub dropped: u64,
    /// Requests answered while it counted.
    pub answered: u64,
    /// How long there was load.
    pub seconds: f64,
}

impl Coherence {
    /// Returns the share of the edge cases that were captured whole.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.whole as f64 / self.edge_cases.max(1) as f64
    }

    /// Returns megabytes sent in a second.
    #[must_use]
    pub fn sent_mb_per_s(&self) -> f64 {
        self.sent_bytes as f64 / 1e6 / self.seconds
    }

    /// Returns megabytes that the edge cases themselves hold, for a second of load.
    #[must_use]
    pub fn edge_mb_per_s(&self) -> f64 {
        self.edge_bytes as f64 / 1e6 / self.seconds
    }

    fn add(&mut self, other: &Self) {
        self.edge_cases += other.edge_cases;
        self.whole += other.whole;
        self.false_complete += other.false_complete;
        self.sent_bytes += other.sent_bytes;
        self.edge_bytes += other.edge_bytes;
        self.dropped += other.dropped;
        self.answered += other.answered;
        self.seconds += other.seconds;
    }
}

/// Runs with the truth of one case.
#[derive(Clone, Copy, Debug)]
pub struct Truths<'a> {
    /// Where.
    pub hosts: &'a Hosts,
    /// What.
    pub case: Case,
    /// How long and how often.
    pub plan: Plan,
}

impl Truths<'_> {
    /// Runs each of `tracers` in turn as often as the plan says; one that fails is left out.
    #[must_use]
    pub fn measure(&self, tracers: &[Tracer]) -> BTreeMap<&'static str, Coherence> {
        let mut sums: BTreeMap<&'static str, Coherence> = BTreeMap::new();
        let mut failed = Vec::new();
        for _ in 0..self.plan.n_truths {
            for tracer in tracers {
                match self.once(*tracer) {
                    Ok(one) => sums.entry(tracer.name()).or_default().add(&one),
                    Err(why) => {
                        println!("{} with the truth gave up: {why:#}", tracer.name());
                        failed.push(tracer.name());
                    }
                }
            }
        }
        sums.retain(|name, _| !failed.contains(name));
        sums
    }

    fn once(&self, tracer: Tracer) -> Result<Coherence> {
        let folder = tempfile::tempdir().context("make a folder for the truth")?;
        let truth = folder.path().join("truth");
        std::fs::create_dir(&truth).context("make a folder for the truth")?;
        match tracer {
            Tracer::OtelHead => self.peer(tracer, Decision::KeepAll, &truth),
            Tracer::OtelTailModel => self.peer(tracer, Decision::Tail, &truth),
            Tracer::Backsight | Tracer::Headers | Tracer::None => self.ours(&truth),
        }
    }

    fn ours(&self, truth: &Path) -> Result<Coherence> {
        let sent_before = self.hosts.sent_bytes();
        let sockets = self.hosts.sockets();
        let run = Run { agents: &sockets, ..self.run(Tracer::Backsight, truth) };
        let report = bricks::run(&run)?;
        self.hosts.settle()?;
        let edges = bricks::edges(truth)?;
        let stored = self.fetch(&edges)?;
        let traces = truth.with_file_name("traces.json");
        write_traces(&traces, &stored)?;
        let findings = bricks::check(truth, Captured::Traces(&traces))?;
        show(Tracer::Backsight, &findings);
        let received =
            |trace: &StoredTrace| -> u64 { trace.certificate.agents.iter().map(|agent| agent.received.bytes).sum() };
        Ok(Coherence {
            sent_bytes: self.hosts.sent_bytes() - sent_before,
            edge_bytes: stored.iter().map(received).sum(),
            dropped: report.recorded.map_or(0, |recorded| recorded.dropped),
            answered: report.answered,
            ..self.found(&findings)
        })
    }

    fn peer(&self, tracer: Tracer, decision: Decision, truth: &Path) -> Result<Coherence> {
        let kept = truth.with_file_name("kept.jsonl");
        let sink = Sink::start(decision, Some(&kept))?;
        let report = bricks::run(&Run { sink: Some(sink.address()), ..self.run(tracer, truth) })?;
        let intake = sink.finish()?;
        let findings = bricks::check(truth, Captured::Kept(&kept))?;
        show(tracer, &findings);
        Ok(Coherence { sent_bytes: intake.bytes, answered: report.answered, ..self.found(&findings) })
    }

    fn run<'a>(&self, tracer: Tracer, truth: &'a Path) -> Run<'a> {
        Run {
            topology: self.case.topology,
            tracer,
            load: Load::Highest { concurrency: self.case.concurrency },
            length: Length::Seconds { warmup: self.plan.truth_warmup_seconds, counted: self.plan.truth_seconds },
            under: None,
            faults: Faults::RARE,
            seed: self.hosts.next_seed(),
            agents: &[],
            sink: None,
            truth: Some(truth),
        }
    }

    fn found(&self, findings: &Findings) -> Coherence {
        Coherence {
            edge_cases: findings.edge_cases,
            whole: findings.whole,
            false_complete: findings.false_complete,
            seconds: self.plan.truth_seconds + self.plan.truth_warmup_seconds,
            ..Coherence::default()
        }
    }

    /// Waits until all of `edges` are complete, or no more of them become so, and returns those that are stored.
    fn fetch(&self, edges: &[TraceId]) -> Result<Vec<StoredTrace>> {
        let mut stored: BTreeMap<TraceId, StoredTrace> = BTreeMap::new();
        let is_complete = |trace: &StoredTrace| trace.certificate.verdict == Verdict::Complete;
        let mut last_progress = Instant::now();
        let mut n_complete = 0;
        loop {
            let missing: Vec<TraceId> =
                edges.iter().filter(|edge| !stored.get(edge).is_some_and(is_complete)).copied().collect();
            if edges.len() - missing.len() > n_complete {
                (n_complete, last_progress) = (edges.len() - missing.len(), Instant::now());
            }
            if missing.is_empty() || last_progress.elapsed() > PATIENCE {
                return Ok(stored.into_values().collect());
            }
            stored.extend(self.hosts.collector.get_stored(&missing)?.into_iter().map(|trace| (trace.trace, trace)));
            std::thread::sleep(POLL_PERIOD);
        }
    }
}

pub(super) fn write_traces(path: &Path, stored: &[StoredTrace]) -> Result<()> {
    let file = std::fs::File::create(path).with_context(|| format!("create {}", path.display()))?;
    let mut out = BufWriter::new(file);
    for trace in stored {
        serde_json::to_writer(&mut out, &trace.to_json()).context("write a trace")?;
        out.write_all(b"\n").context("write a trace")?;
    }
    out.flush().context("write the traces")
}

/// Prints what was captured, and of ours why something was not; the peers miss edge cases by design, and certify nothing.
fn show(tracer: Tracer, findings: &Findings) {
    println!("{}: {} of {} edge cases whole", tracer.name(), findings.whole, findings.edge_cases);
    if tracer == Tracer::Backsight {
        findings.missed.iter().take(SHOWN).for_each(|missed| println!("  {}: {}", missed.trace, missed.why));
    }
    if findings.false_complete > 0 {
        println!("  {} are called complete and are not", findings.false_complete);
    }
}
