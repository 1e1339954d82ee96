//! What was captured: every edge case is fetched from the collector, and held against what the processes noted themselves.
//!
//! Called after the main act. Which requests are edge cases, and whether what was captured of one is whole, `bricks` says from its ground
//! truth; nothing here decides that.

use super::Stage;
use super::agents::Recorder;
use super::hosts::Place;
use crate::process;
use anyhow::{Context, Result};
use serde::Deserialize;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Traces that are asked for at once.
const BATCH_IDS: usize = 200;
/// How long what is still on its way is waited for.
const WITHIN: Duration = Duration::from_secs(15);
/// How long to wait between two looks.
const PAUSE: Duration = Duration::from_millis(500);

/// What `bricks check` found.
#[derive(Deserialize, Clone, Default, Debug)]
pub(crate) struct Found {
    pub(crate) edge_cases: u64,
    pub(crate) whole: u64,
    pub(crate) cut_by_kill: u64,
    pub(crate) cut_whole: u64,
    /// Of those that the kill cut, with every visit that had begun.
    pub(crate) cut_shown: u64,
    pub(crate) false_complete: u64,
    pub(crate) n_missed: u64,
    #[serde(default)]
    pub(crate) missed: Vec<Miss>,
}

/// An edge case that was not captured whole.
#[derive(Deserialize, Clone, Default, Debug)]
pub(crate) struct Miss {
    pub(crate) trace: String,
    pub(crate) why: String,
    pub(crate) certificate_explains: bool,
}

/// What became of the edge cases.
#[derive(Clone, Default, Debug)]
pub(crate) struct Outcome {
    pub(crate) found: Found,
    /// Traces that show the death of a process that worked for them.
    pub(crate) n_deaths: u64,
    /// A slow request, for people to look at.
    pub(crate) slow: Option<String>,
    /// A request that the kill cut, for people to look at.
    pub(crate) cut: Option<String>,
    /// From the end of the load until nothing was missing any more, or nobody waited any longer.
    pub(crate) took: Duration,
}

/// Returns the ids of the edge cases that the ground truth in `truth` knows so far.
///
/// # Errors
/// It cannot be read.
pub(crate) fn edge_cases(stage: &Stage, truth: &Path) -> Result<Vec<String>> {
    let ids = process::output(Command::new(stage.bin("bricks")).args(["edges", "--truth"]).arg(truth))?;
    Ok(ids.lines().map(str::to_owned).collect())
}

/// Fetches every edge case until none is missing, or until it takes too long.
///
/// # Errors
/// The collector or the ground truth cannot be read, or somebody wants to stop.
pub(crate) fn capture(stage: &Stage, recorder: &Recorder, truth: &Path) -> Result<Outcome> {
    let (start, file) = (Instant::now(), stage.folder.join("traces.json"));
    loop {
        let ids = edge_cases(stage, truth)?;
        fetch(stage, recorder, &ids, &file)?;
        let mut check = Command::new(stage.bin("bricks"));
        check.args(["check", "--truth"]).arg(truth).arg("--traces").arg(&file);
        let found: Found =
            serde_json::from_str(&process::output(&mut check)?).context("understand what `bricks check` printed")?;
        if found.n_missed == 0 || start.elapsed() > WITHIN {
            let traces = std::fs::File::open(&file).with_context(|| format!("open {}", file.display()))?;
            let traces = serde_json::Deserializer::from_reader(std::io::BufReader::new(traces)).into_iter::<Trace>();
            let traces: Vec<Trace> = traces.collect::<Result<_, _>>().context("understand the traces")?;
            return Ok(Outcome { found, took: start.elapsed(), ..look(&traces) });
        }
        stage.interrupt.sleep(PAUSE)?;
    }
}

/// Writes the traces `ids`, so far as the collector has them, to `file`, one JSON object after another.
fn fetch(stage: &Stage, recorder: &Recorder, ids: &[String], file: &Path) -> Result<()> {
    let mut all = super::agents::create(file)?;
    for batch in ids.chunks(BATCH_IDS) {
        stage.interrupt.check()?;
        let mut get = stage.hosts.command(Place::Hub, &stage.bin("backsight"));
        get.args(["--collector", &recorder.url, "trace", "get", "--format", "json"]).args(batch);
        // It says on standard error which it has not; what matters here is what it has.
        let got = get.stderr(Stdio::null()).output().context("start `backsight trace get`")?;
        all.write_all(&got.stdout).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}

/// A trace, as far as one is chosen here.
#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
struct Trace {
    trace: String,
    duration_ns: u64,
    processes: Vec<Process>,
    spans: Vec<Span>,
    certificate: Option<Certificate>,
}

#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
struct Process {
    agent: String,
    death: Option<Death>,
}

#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
struct Death {
    in_this_trace: bool,
}

#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
struct Span {
    status: String,
    is_cut: bool,
}

#[derive(Deserialize, Clone, Default, Debug)]
#[serde(default)]
struct Certificate {
    state: String,
}

impl Trace {
    fn is_complete(&self) -> bool {
        self.certificate.as_ref().is_some_and(|certificate| certificate.state == "complete")
    }

    fn shows_death(&self) -> bool {
        let dies = self.processes.iter().any(|process| process.death.as_ref().is_some_and(|death| death.in_this_trace));
        dies || (self.spans.iter().any(|span| span.is_cut)
            && self.processes.iter().any(|process| process.death.is_some()))
    }

    fn has_errors(&self) -> bool {
        self.spans.iter().any(|span| span.status == "error")
    }

    fn n_hosts(&self) -> usize {
        self.processes.iter().map(|process| &process.agent).collect::<std::collections::BTreeSet<_>>().len()
    }
}

/// Returns how many traces show a death, and those that are worth showing: complete, over many hosts, with few spans.
fn look(traces: &[Trace]) -> Outcome {
    let best = |accept: &dyn Fn(&&Trace) -> bool| {
        let fitting = traces.iter().filter(|trace| trace.is_complete()).filter(accept);
        let best = fitting.min_by_key(|trace| (std::cmp::Reverse(trace.n_hosts()), trace.spans.len()));
        best.map(|trace| trace.trace.clone())
    };
    Outcome {
        n_deaths: traces.iter().filter(|trace| trace.shows_death()).count() as u64,
        slow: best(&|trace| !trace.shows_death() && !trace.has_errors() && trace.duration_ns > 0),
        cut: best(&|trace| trace.shows_death()),
        ..Outcome::default()
    }
}

#[cfg(test)]
mod tests;
