//! `bricks sink`, the process that takes in the spans of the peers.
//!
//! Called by the runs of this module. It is started anew for every run, so that its counts are of that run alone.

use crate::harness::binaries;
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

/// A running sink; killed when it drops.
#[derive(Debug)]
pub struct Sink {
    process: Child,
    stdout: BufReader<ChildStdout>,
    address: SocketAddr,
}

/// What a sink took in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Intake {
    /// Bytes of the messages.
    pub bytes: u64,
    /// Spans in them.
    pub spans: u64,
}

/// What the sink does with the spans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// It keeps all.
    KeepAll,
    /// It models tail sampling.
    Tail,
}

impl Sink {
    /// Starts a sink on a port of its own, which writes what it keeps to `kept`.
    ///
    /// # Errors
    /// The binary cannot be had, or the sink does not say where it listens.
    pub fn start(decision: Decision, kept: Option<&Path>) -> Result<Self> {
        let mut command = Command::new(binaries::find("bricks")?);
        command.args(["sink", "--listen", "127.0.0.1:0"]);
        if decision == Decision::Tail {
            command.arg("--tail");
        }
        if let Some(kept) = kept {
            command.arg("--kept").arg(kept);
        }
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let stdout = BufReader::new(process.stdout.take().context("the sink has no output")?);
        let mut sink = Self { process, stdout, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let mut line = String::new();
        sink.stdout.read_line(&mut line).context("read where the sink listens")?;
        sink.address = line.trim().parse().with_context(|| format!("the sink said `{}`", line.trim()))?;
        Ok(sink)
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Ends it, and returns what it took in; what it kept is written by then.
    ///
    /// # Errors
    /// It broke, or its last words are not understood.
    pub fn finish(mut self) -> Result<Intake> {
        drop(self.process.stdin.take());
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).context("read what the sink counted")?;
        let status = self.process.wait().context("wait for the sink")?;
        ensure!(status.success(), "the sink ended with {status}");
        let last = said.lines().last().unwrap_or_default();
        serde_json::from_str(last).with_context(|| format!("the sink's last words are `{last}`"))
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
