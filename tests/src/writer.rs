//! A process that writes visits at a steady rate: the load of benches about memory and about agents that go away.
//!
//! Run by `bks-writer`, driven by the benches through [`Writer`].

use crate::bench::pace::VISIT_BYTES;
use crate::harness::binaries;
use crate::victim::truth::Truth;
use anyhow::{Context as _, Result, ensure};
use backsight::{Context, TraceId};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of a payload; with its record's header it goes a whole number of times into a visit.
const PAYLOAD_BYTES: usize = 32;
/// Records of a visit.
pub const RECORDS: usize = VISIT_BYTES as usize / (8 + PAYLOAD_BYTES);
/// How often a thread looks at the clock: it then writes all visits that are due.
const STEP: Duration = Duration::from_millis(1);

/// What one thread writes.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Visits in a second.
    pub visits_per_s: f64,
    /// For how long.
    pub duration: Duration,
}

/// Which traces a writer writes, and where it says how far it is.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The high half of its traces.
    pub trace_hi: u64,
    /// Of thread 0, the visits that were written; of thread 1, as intended, the records that were lost. None to say nothing.
    pub truth: Option<&'a Truth>,
}

impl Job<'_> {
    /// Returns the trace of visit number `n`.
    #[must_use]
    pub const fn trace(trace_hi: u64, n: u64) -> TraceId {
        TraceId::new(trace_hi, 2 * n + 1)
    }
}

/// What was written.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Written {
    /// Visits that were begun.
    pub n_visits: u64,
    /// Records that were lost, for whatever reason.
    pub n_lost: u64,
    /// The longest that one visit took, in microseconds; what it waited for a processor that others had is not counted.
    pub longest_us: f64,
}

/// Writes at `pace`; whatever is late is written at once, so that the rate is kept.
///
/// # Errors
/// The truth cannot be written, or the kernel does not say how long a thread waits.
pub fn write(pace: Pace, job: Job<'_>) -> Result<Written> {
    let payload = [7_u8; PAYLOAD_BYTES];
    let mut context = Context::new_trace();
    let queue = Queue::of_this_thread()?;
    let (start, mut n_visits, mut longest) = (Instant::now(), 0_u64, Duration::ZERO);
    while start.elapsed() < pace.duration {
        let n_due = (start.elapsed().as_secs_f64() * pace.visits_per_s) as u64;
        let mut waited = queue.waited()?;
        while n_visits < n_due {
            let before = Instant::now();
            context.trace = Job::trace(job.trace_hi, n_visits);
            let segment = backsight::begin(&context);
            (0..RECORDS).for_each(|_| backsight::raw(&payload));
            drop(segment);
            let took = before.elapsed();
            if took > longest {
                let waited_before = std::mem::replace(&mut waited, queue.waited()?);
                longest = longest.max(took.saturating_sub(waited.saturating_sub(waited_before)));
            }
            n_visits += 1;
        }
        if let Some(truth) = job.truth {
            truth.intend(1, n_lost())?;
            truth.done(0, n_visits)?;
        }
        std::thread::sleep(STEP);
    }
    Ok(Written { n_visits, n_lost: n_lost(), longest_us: longest.as_secs_f64() * 1e6 })
}

fn n_lost() -> u64 {
    backsight::stats().drops.into_iter().map(|(_, n)| n).sum()
}

/// How long a thread has waited for a processor, as the kernel counts it.
#[derive(Debug)]
struct Queue(File);

impl Queue {
    fn of_this_thread() -> Result<Self> {
        let path = "/proc/thread-self/schedstat";
        Ok(Self(File::open(path).with_context(|| format!("open {path}"))?))
    }

    fn waited(&self) -> Result<Duration> {
        let mut text = [0; 64];
        let len = self.0.read_at(&mut text, 0).context("read how long the thread has waited")?;
        let text = String::from_utf8_lossy(&text[..len]);
        let field = text.split_whitespace().nth(1).context("the kernel counts no waiting")?;
        Ok(Duration::from_nanos(field.parse().context("understand how long the thread has waited")?))
    }
}

/// A writing process; killed when it drops.
#[derive(Debug)]
pub struct Writer {
    process: Child,
}

impl Writer {
    /// Starts a process that records with the agent at `socket`.
    ///
    /// # Errors
    /// The binary cannot be had.
    pub fn start(socket: &Path, pace: Pace) -> Result<Self> {
        Self::start_with(socket, pace, 1, None)
    }

    /// Starts one whose traces have the high half `trace_hi`, and that says in the file `truth` how far it is.
    ///
    /// # Errors
    /// The binary cannot be had.
    pub fn start_with(socket: &Path, pace: Pace, trace_hi: u64, truth: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(binaries::find("bks-writer")?);
        command.arg("--socket").arg(socket).arg("--visits-per-s").arg(pace.visits_per_s.to_string());
        command.arg("--seconds").arg(pace.duration.as_secs_f64().to_string());
        command.arg("--trace-hi").arg(trace_hi.to_string());
        if let Some(truth) = truth {
            command.arg("--truth").arg(truth);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Self { process: command.spawn().with_context(|| format!("start {command:?}"))? })
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Checks that it still writes.
    ///
    /// # Errors
    /// It has ended.
    pub fn check(&mut self) -> Result<()> {
        let ended = self.process.try_wait().context("ask for a writer's status")?;
        ensure!(ended.is_none(), "a writer ended too early: {ended:?}");
        Ok(())
    }

    /// Waits for its end; returns what it wrote.
    ///
    /// # Errors
    /// It failed, or said nothing.
    pub fn finish(mut self) -> Result<Written> {
        let mut stdout = self.process.stdout.take().context("a writer has an output")?;
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stdout, &mut text).context("read what a writer says")?;
        let status = self.process.wait().context("wait for a writer")?;
        ensure!(status.success(), "a writer ended with {status}");
        serde_json::from_str(&text).context("understand what a writer says")
    }
}

impl Writer {
    /// Kills the process.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill().context("kill a writer")?;
        self.process.wait().map(|_| ()).context("wait for a writer")
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
