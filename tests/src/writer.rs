//! A process that writes visits at a steady rate: the load of benches about memory and about agents that go away.
//!
//! Run by `bks-writer`, driven by the benches through [`Writer`].

use crate::bench::pace::VISIT_BYTES;
use crate::harness::binaries;
use anyhow::{Context as _, Result, ensure};
use backsight::{Context, TraceId};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes of a payload; with its record's header it goes a whole number of times into a visit.
const PAYLOAD_BYTES: usize = 32;
const RECORDS: usize = VISIT_BYTES as usize / (8 + PAYLOAD_BYTES);
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

/// What was written.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Written {
    /// Visits that were begun.
    pub n_visits: u64,
    /// Records that were lost, for whatever reason.
    pub n_lost: u64,
    /// The longest that one visit took, in microseconds.
    pub longest_us: f64,
}

/// Writes at `pace`; whatever is late is written at once, so that the rate is kept.
pub fn write(pace: Pace) -> Written {
    let payload = [7_u8; PAYLOAD_BYTES];
    let mut context = Context::new_trace();
    let (start, mut n_visits, mut longest) = (Instant::now(), 0_u64, Duration::ZERO);
    while start.elapsed() < pace.duration {
        let n_due = (start.elapsed().as_secs_f64() * pace.visits_per_s) as u64;
        while n_visits < n_due {
            let before = Instant::now();
            context.trace = TraceId::new(context.trace.hi, context.trace.lo.wrapping_add(2) | 1);
            let segment = backsight::begin(&context);
            (0..RECORDS).for_each(|_| backsight::raw(&payload));
            drop(segment);
            longest = longest.max(before.elapsed());
            n_visits += 1;
        }
        std::thread::sleep(STEP);
    }
    let n_lost = backsight::stats().drops.into_iter().map(|(_, n)| n).sum();
    Written { n_visits, n_lost, longest_us: longest.as_secs_f64() * 1e6 }
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
        let mut command = Command::new(binaries::find("backsight-tests", "bks-writer")?);
        command.arg("--socket").arg(socket).arg("--visits-per-s").arg(pace.visits_per_s.to_string());
        command.arg("--seconds").arg(pace.duration.as_secs_f64().to_string());
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        Ok(Self { process: command.spawn().with_context(|| format!("start {command:?}"))? })
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
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

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
