//! `bricks` as a bench calls it: one run, the edge cases of it, and what was captured of them.
//!
//! Called by the runs of this module. It knows the command line and the JSON, not what they mean.

use super::{
    Tracer,
    cases::{Faults, Load},
};
use crate::harness::binaries;
use anyhow::{Context as _, Result, ensure};
use backsight_core::ids::TraceId;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The services.
    pub topology: &'a str,
    /// Who records.
    pub tracer: Tracer,
    /// How requests come.
    pub load: Load,
    /// How long it lasts.
    pub length: Length,
    /// What each service runs under, in words that spaces part.
    pub under: Option<&'a str>,
    /// How many requests get a fault.
    pub faults: Faults,
    /// What the trace ids and faults follow from.
    pub seed: u64,
    /// The agents' sockets, one for each host.
    pub agents: &'a [PathBuf],
    /// Where the peers send their spans.
    pub sink: Option<SocketAddr>,
    /// Where to write the truth; nothing is written without.
    pub truth: Option<&'a Path>,
}

/// How long a run lasts.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Length {
    /// So many seconds that count, behind a warm-up.
    Seconds {
        /// Those before.
        warmup: f64,
        /// Those that count.
        counted: f64,
    },
    /// So many requests, all of which count.
    Requests(u64),
}

/// What a run reports, as far as rows need it.
#[derive(Clone, Debug, Deserialize)]
pub struct RunReport {
    /// Requests that were answered while it counted.
    pub answered: u64,
    /// Requests beyond the bound of those in flight.
    pub refused: u64,
    /// Requests answered in a second.
    pub rps: f64,
    /// Time from when a request was due to its answer.
    pub latency_us: Latency,
    /// Time on cores.
    pub cpu: Cpu,
    /// When it counted: nanoseconds since 1970.
    pub window_unix_ns: [u64; 2],
    /// What the services' recorders say; only where they record.
    pub recorded: Option<Recorded>,
}

/// Percentiles.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// One in a hundred is slower.
    pub p99: f64,
}

/// Time on cores.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Cpu {
    /// Of all services, for each request answered.
    pub services_us_per_request: f64,
}

/// What the services' recorders say.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Recorded {
    /// Records that were refused.
    pub dropped: u64,
}

/// What `bricks check` found.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Findings {
    /// Edge cases by the truth.
    pub edge_cases: u64,
    /// Those of them that were captured whole, and say so.
    pub whole: u64,
    /// Traces that say they are whole and are not.
    #[serde(default)]
    pub false_complete: u64,
    /// The edge cases by the faults that acted in them.
    #[serde(default)]
    pub by_fault: BTreeMap<String, Tally>,
    /// Some of those that are missing, and why.
    #[serde(default)]
    pub missed: Vec<Missed>,
}

/// How far edge cases of one kind came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
pub struct Tally {
    /// All of them.
    pub edge_cases: u64,
    /// Of these, stored in part or whole.
    pub stored: u64,
    /// Of these, captured whole and coherent.
    pub whole: u64,
}

/// An edge case that was not captured whole.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Missed {
    /// Its trace.
    pub trace: String,
    /// The faults that acted in it.
    #[serde(default)]
    pub faults: Vec<String>,
    /// Why, in the words of its certificate where there is one.
    pub why: String,
}

/// What was captured.
#[derive(Clone, Copy, Debug)]
pub enum Captured<'a> {
    /// A file of traces as the command line prints them.
    Traces(&'a Path),
    /// A file of the sink.
    Kept(&'a Path),
}

/// Runs the services under load, and returns what they report.
///
/// # Errors
/// The binary cannot be had, or the run breaks.
pub fn run(run: &Run<'_>) -> Result<RunReport> {
    let folder = tempfile::tempdir().context("make a folder for the report")?;
    let report = folder.path().join("report.json");
    let mut command = bricks("run")?;
    command.args(arguments(run)).arg("--report").arg(&report);
    output(&mut command)?;
    json(&std::fs::read(&report).with_context(|| format!("read what {command:?} reports"))?)
}

fn arguments(run: &Run<'_>) -> Vec<String> {
    let mut flags = vec![
        ("--topology", run.topology.to_owned()),
        ("--tracer", run.tracer.name().to_owned()),
        ("--seed", run.seed.to_string()),
        ("--slow-share", run.faults.slow.to_string()),
        ("--error-share", run.faults.error.to_string()),
        ("--panic-share", run.faults.panic.to_string()),
    ];
    match run.length {
        Length::Seconds { warmup, counted } => {
            flags.extend([("--seconds", counted.to_string()), ("--warmup-seconds", warmup.to_string())]);
        }
        Length::Requests(n) => flags.push(("--requests", n.to_string())),
    }
    flags.extend(run.under.map(|under| ("--under", under.to_owned())));
    match run.load {
        Load::Highest { concurrency } => {
            flags.extend([("--rate", "max".to_owned()), ("--concurrency", concurrency.to_string())]);
        }
        Load::Rate(rate) => flags.push(("--rate", rate.to_string())),
    }
    flags.extend(run.agents.iter().map(|socket| ("--agent", socket.display().to_string())));
    flags.extend(run.sink.map(|sink| ("--sink", sink.to_string())));
    flags.extend(run.truth.map(|truth| ("--truth", truth.display().to_string())));
    let both = flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
    both.chain(["--quiet".to_owned()]).collect()
}

/// Returns the traces of the edge cases by the truth in `truth`.
///
/// # Errors
/// The truth cannot be read.
pub fn edges(truth: &Path) -> Result<Vec<TraceId>> {
    let printed = output(bricks("edges")?.arg("--truth").arg(truth))?;
    String::from_utf8_lossy(&printed).split_whitespace().map(trace_id).collect()
}

fn trace_id(hex: &str) -> Result<TraceId> {
    let id = u128::from_str_radix(hex, 16).with_context(|| format!("`{hex}` is no trace"))?;
    ensure!(hex.len() == 32 && id != 0, "`{hex}` is no trace");
    Ok(TraceId::new((id >> 64) as u64, id as u64))
}

/// Compares what was captured with the truth.
///
/// # Errors
/// Either cannot be read.
pub fn check(truth: &Path, captured: Captured<'_>) -> Result<Findings> {
    let mut command = bricks("check")?;
    command.arg("--truth").arg(truth);
    match captured {
        Captured::Traces(path) => command.arg("--traces").arg(path),
        Captured::Kept(path) => command.arg("--kept").arg(path),
    };
    json(&output(&mut command)?)
}

fn bricks(subcommand: &str) -> Result<Command> {
    let mut command = Command::new(binaries::find("bricks")?);
    command.arg(subcommand);
    Ok(command)
}

/// Returns what a command prints; what it complains of goes into the error.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    // The services end when the standard input of their supervisor does, so it must not be ours.
    let done = command.stdin(Stdio::null()).output().with_context(|| format!("run {command:?}"))?;
    let complaint = String::from_utf8_lossy(&done.stderr);
    ensure!(done.status.success(), "{command:?} ended with {}: {complaint}", done.status);
    Ok(done.stdout)
}

fn json<T: DeserializeOwned>(text: &[u8]) -> Result<T> {
    serde_json::from_slice(text).with_context(|| format!("understand `{}`", String::from_utf8_lossy(text)))
}

#[cfg(test)]
mod tests;
