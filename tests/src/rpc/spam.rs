//! A storm of one trigger beside two rare ones, over an uplink that takes a part of it: what becomes of the rare, and of what was sent.
//!
//! Called by the bench. Half of all requests fail, one in a hundred is slow, one in a thousand panics, each a trigger of its own; agents may
//! send a megabyte a second. What is abandoned must be abandoned on all hosts, or half traces use up the uplink.

use super::{
    Tracer,
    bricks::{self, Captured, Findings, Length, Run},
    cases::{Faults, Load},
    coherence::write_traces,
    hosts::Hosts,
};
use anyhow::{Context as _, Result};
use backsight_core::ids::TraceId;
use backsight_proto::wire::StoredTrace;
use std::path::Path;
use std::time::Duration;

/// What each agent may send.
pub const UPLINK_BYTES_PER_S: u64 = 1_000_000;
/// The faults.
pub const FAULTS: Faults = Faults { slow: 0.01, error: 0.5, panic: 0.001 };
/// How long agents may take to send what they kept until the end.
const DRAIN: Duration = Duration::from_secs(60);
/// Traces that the collector is asked for at a time.
const GET_TRACES: usize = 500;
/// Misses that are printed.
const SHOWN: usize = 8;
/// How long the collector may take to store what has been acknowledged, and to hear the last answers.
const QUIET: Duration = Duration::from_secs(6);

/// What one run shows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// Of the slow and the panicking requests, those captured whole.
    pub rare_coherent: f64,
    /// Of the failing ones of which anything was stored, those captured whole.
    pub sent_coherent: f64,
    /// Of the failing ones, those captured whole.
    pub faulty_coherent: f64,
    /// Failing requests that were captured whole, a second.
    pub coherent_per_s: f64,
    /// Traces that agents gave up for others of higher priority.
    pub abandoned: f64,
    /// Traces that say they are whole and are not.
    pub false_complete: f64,
}

/// Runs the storm once, on hosts of its own.
///
/// # Errors
/// A host or a service fails.
pub fn once(seconds: f64, rate: u32, seed: u64) -> Result<Sample> {
    let hosts = Hosts::start_with(&format!("[report]\nbytes_per_s = {UPLINK_BYTES_PER_S}\n"))?;
    let folder = tempfile::tempdir().context("make a folder for the truth")?;
    let truth = folder.path().join("truth");
    std::fs::create_dir(&truth).context("make a folder for the truth")?;
    let sockets = hosts.sockets();
    bricks::run(&Run {
        topology: "ten",
        tracer: Tracer::Backsight,
        load: Load::Rate(rate),
        length: Length::Seconds { warmup: 0.0, counted: seconds },
        under: None,
        faults: FAULTS,
        seed,
        agents: &sockets,
        sink: None,
        truth: Some(&truth),
    })?;
    hosts.settle_within(DRAIN)?;
    std::thread::sleep(QUIET);
    let traces = folder.path().join("traces.json");
    write_traces(&traces, &stored(&hosts, &truth)?)?;
    let findings = bricks::check(&truth, Captured::Traces(&traces))?;
    for missed in findings.missed.iter().take(SHOWN) {
        println!("  {} ({}): {}", missed.trace, missed.faults.join(", "), missed.why);
    }
    let abandoned = hosts.metric("backsight_agent_drops_total{reason=\"priority\"}")?;
    if abandoned == 0.0 {
        println!("nothing was given up: at {rate} requests/s the uplinks take everything here");
    }
    Ok(sample(&findings, seconds, abandoned))
}

/// Returns what the collector has of the edge cases.
fn stored(hosts: &Hosts, truth: &Path) -> Result<Vec<StoredTrace>> {
    let edges: Vec<TraceId> = bricks::edges(truth)?;
    let mut stored = Vec::new();
    for some in edges.chunks(GET_TRACES) {
        stored.extend(hosts.collector.get_stored(some)?);
    }
    Ok(stored)
}

fn sample(findings: &Findings, seconds: f64, abandoned: f64) -> Sample {
    let of = |kind: &str| findings.by_fault.get(kind).copied().unwrap_or_default();
    let (slow, panic, error) = (of("slow"), of("panic"), of("error"));
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    Sample {
        rare_coherent: share(slow.whole + panic.whole, slow.edge_cases + panic.edge_cases),
        sent_coherent: share(error.whole, error.stored),
        faulty_coherent: share(error.whole, error.edge_cases),
        coherent_per_s: error.whole as f64 / seconds,
        abandoned,
        false_complete: findings.false_complete as f64,
    }
}
