//! The application under load: one call of `bricks run`, which starts the services, loads them, and says how it went.
//!
//! Called by every act. The seed of each call differs, since the ids of its traces follow from it.

use super::agents::{Recorder, create};
use super::child::{Child, LOOK_EVERY};
use super::hosts::Place;
use super::{Stage, story};
use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStderr, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Services of the application.
const TOPOLOGY: &str = "ten";
/// The share of requests that are slow, and of those that fail.
pub(crate) const BAD_SHARE: f64 = 0.01;
/// How long the services are loaded before anything counts.
pub(crate) const WARM_UP_SECONDS: u64 = 1;
/// How much longer than the load a run may take, for starting and ending its processes.
const GRACE: Duration = Duration::from_secs(60);
/// Lines of its log that are shown where a run fails.
const LOG_LINES_SHOWN: usize = 8;

/// Whether the services record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tracer {
    None,
    Backsight,
}

impl Tracer {
    const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Backsight => "backsight",
        }
    }
}

/// How fast requests come.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Rate {
    /// As fast as so many callers get their answers.
    Callers(u32),
    /// So many a second, whatever becomes of the answers.
    PerSecond(u32),
}

/// The process that is killed half-way, with the ground truth that is then needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash<'a> {
    pub(crate) service: &'a str,
    /// Requests that are inside it.
    pub(crate) parked: u32,
    /// Where every process notes what it did.
    pub(crate) truth: &'a Path,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    pub(crate) tracer: Tracer,
    pub(crate) rate: Rate,
    pub(crate) seconds: f64,
    pub(crate) crash: Option<Crash<'a>>,
}

/// What a run says while it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Said {
    /// A second has passed, those of the warm-up included; so many requests were sent since that was over.
    Progress { second: u64, sent: u64 },
    /// The process was killed, with so many requests inside.
    Killed { service: String, parked: u64 },
    /// It runs again.
    Restarted { service: String },
}

/// What a run says in the end, as far as the demo uses it.
#[derive(Deserialize, Clone, Default, Debug)]
pub(crate) struct Report {
    pub(crate) sent: u64,
    /// Answered well.
    pub(crate) answered: u64,
    pub(crate) failed: u64,
    /// Never sent, as too many were under way.
    pub(crate) refused: u64,
    pub(crate) rps: f64,
    pub(crate) cpu: Cpu,
    pub(crate) faults: Faults,
    pub(crate) killed: Option<Killed>,
    /// Between these the CPU time of the services was taken, in nanoseconds since 1970.
    pub(crate) window_unix_ns: [u64; 2],
}

#[derive(Deserialize, Clone, Default, Debug)]
pub(crate) struct Cpu {
    pub(crate) services_us_per_request: f64,
}

#[derive(Deserialize, Clone, Copy, Default, Debug)]
#[serde(default)]
pub(crate) struct Faults {
    pub(crate) slow: u64,
    pub(crate) error: u64,
    pub(crate) parked: u64,
}

#[derive(Deserialize, Clone, Default, Debug)]
pub(crate) struct Killed {
    pub(crate) parked: u64,
}

/// Runs `load` to its end; `hear` is told what it says meanwhile.
///
/// # Errors
/// It fails, takes far too long, or somebody wants to stop.
pub(crate) fn run(
    stage: &Stage,
    recorder: &Recorder,
    load: &Load<'_>,
    mut hear: impl FnMut(&Said) -> Result<()>,
) -> Result<Report> {
    let seed = stage.next_seed();
    let (log, file) =
        (stage.folder.join(format!("runs/{seed:02}.log")), stage.folder.join(format!("runs/{seed:02}.json")));
    std::fs::create_dir_all(stage.folder.join("runs")).context("make a folder for the reports of runs")?;
    let mut command = stage.hosts.command(Place::Hub, &stage.bin("bricks"));
    command.args(arguments(load, seed)).args(stage.hosts.arguments()).arg("--report").arg(&file);
    recorder.sockets().for_each(|socket| {
        command.arg("--agent").arg(socket);
    });
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = Child::start(&mut command, "the application")?;
    let said = listen(child.take_stderr().context("the application has no standard error")?, &log)?;
    let deadline = Instant::now() + Duration::from_secs_f64(load.seconds) + GRACE;
    let status = loop {
        stage.interrupt.check()?;
        if let Ok(said) = said.recv_timeout(LOOK_EVERY) {
            hear(&said)?;
        } else if let Some(status) = child.ended()? {
            break status;
        } else {
            // A closed channel does not wait.
            stage.interrupt.sleep(LOOK_EVERY)?;
        }
        ensure!(Instant::now() < deadline, "the application does not end; see {}", log.display());
    };
    if !status.success() {
        bail!("the application ended with {status}; from {}:\n{}", log.display(), story::tail(&log, LOG_LINES_SHOWN));
    }
    let report = std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    serde_json::from_str(&report).with_context(|| format!("understand {}", file.display()))
}

fn arguments(load: &Load<'_>, seed: u64) -> Vec<String> {
    let mut all: Vec<String> =
        ["run", "--topology", TOPOLOGY, "--tracer", load.tracer.name()].map(str::to_owned).into();
    let mut add = |name: &str, value: String| all.extend([name.to_owned(), value]);
    match load.rate {
        Rate::Callers(n) => {
            add("--rate", "max".to_owned());
            add("--concurrency", n.to_string());
        }
        Rate::PerSecond(n) => add("--rate", n.to_string()),
    }
    add("--seconds", load.seconds.to_string());
    add("--warmup-seconds", WARM_UP_SECONDS.to_string());
    add("--seed", seed.to_string());
    add("--slow-share", BAD_SHARE.to_string());
    add("--error-share", BAD_SHARE.to_string());
    if let Some(crash) = &load.crash {
        add("--kill", crash.service.to_owned());
        add("--park", crash.parked.to_string());
        add("--truth", crash.truth.display().to_string());
    }
    all
}

/// Copies what a run says into its log, and hands on what can be understood.
fn listen(stderr: ChildStderr, log: &Path) -> Result<Receiver<Said>> {
    let (sender, said) = channel();
    let mut log = create(log)?;
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
            // Neither a full disk nor a demo that listens no more may keep the run from going on.
            let _ = writeln!(log, "{line}");
            let _ = understood(&line).map(|said| sender.send(said));
        }
    });
    Ok(said)
}

/// Returns what a line says: the progress of a second (`3 s  520 answered · 5 failed · 0 refused`), or a word and fields (`killed pid=7`).
fn understood(line: &str) -> Option<Said> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let counted = |what: &str| words.windows(2).find(|pair| pair[1] == what)?[0].parse::<u64>().ok();
    if let (Some(second), Some(answered)) = (counted("s"), counted("answered")) {
        return Some(Said::Progress { second, sent: answered + counted("failed")? + counted("refused")? });
    }
    let field = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    match *words.first()? {
        "killed" => {
            Some(Said::Killed { service: field("service")?.to_owned(), parked: field("parked")?.parse().ok()? })
        }
        "restarted" => Some(Said::Restarted { service: field("service")?.to_owned() }),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
