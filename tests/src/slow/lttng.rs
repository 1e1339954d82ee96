//! The slow request with LTTng: a snapshot of the session, and `babeltrace2` to find the request in it.
//!
//! Tracing goes on meanwhile, as it does with Backsight. The manual advises to stop it before a snapshot where much is written, for it may
//! have holes; whether this one had any, one sees by `found_share`.

use super::load::payload;
use super::{Load, MEMORY_BYTES, Sample, Symptom};
use crate::bench::host;
use crate::harness::dialogue::Dialogue;
use crate::peers::lttng::{
    Greeting,
    daemon::{Daemon, SUBBUFS, Setup},
};
use anyhow::{Context as _, Result, ensure};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// What has to be installed, as a command.
pub const INSTALL: &str = "apt-get install -y lttng-tools liblttng-ust-dev babeltrace2 gcc";

const PROGRAM: (&str, &str) = ("requests.c", include_str!("../../bench/peers/lttng/requests.c"));

/// A daemon with its session, and the load under it; dropped in this order.
#[derive(Debug)]
pub struct Lttng {
    program: Dialogue,
    daemon: Daemon,
    load: Load,
}

impl Lttng {
    /// Starts both.
    ///
    /// # Errors
    /// Something is not installed, with the command that installs it; or it does not start.
    pub fn start(load: Load) -> Result<Self> {
        Self::try_start(load).with_context(|| format!("LTTng stays out of this run; try: {INSTALL}"))
    }

    fn try_start(load: Load) -> Result<Self> {
        let reader = babeltrace().arg("--version").stdout(Stdio::null()).status().context("run babeltrace2")?;
        ensure!(reader.success(), "babeltrace2 ended with {reader}");
        let daemon = Daemon::start(&Setup { program: PROGRAM, subbuf_bytes: subbuf_bytes() })?;
        let mut command = daemon.program();
        command.args([load.n_threads.to_string(), load.requests_per_s.to_string()]);
        command.args([load.n_events.to_string(), load.slow_ms.to_string()]);
        let mut program = Dialogue::start(&mut command)?;
        program.answer::<Greeting>()?.check()?;
        Ok(Self { program, daemon, load })
    }

    /// Has one request be slow, takes a snapshot, and reads it until all events of the request were there.
    ///
    /// # Errors
    /// There is no snapshot, or it cannot be read.
    pub fn find(&mut self) -> Result<Sample> {
        let symptom: Symptom = self.program.ask("slow")?;
        let snapshot = self.daemon.snapshot()?;
        let is_found = self.read(&snapshot, symptom.id)?;
        let found_ms = symptom.elapsed_ms();
        Ok(Sample { bytes: bytes_below(&snapshot)?, found_ms, is_found })
    }

    /// Reads a snapshot until all events of request `id` were there, and returns whether they were.
    fn read(&self, snapshot: &Path, id: u64) -> Result<bool> {
        let mut command = babeltrace();
        command.arg(snapshot).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut reader = Reader(command.spawn().with_context(|| format!("start {command:?}"))?);
        let mut lines = BufReader::new(reader.0.stdout.take().context("babeltrace2 has no output")?);
        let mut missing = self.fields(id);
        let (mut line, mut n_lines) = (String::new(), 0_u64);
        while !missing.is_empty() && lines.read_line(&mut line).context("read what babeltrace2 prints")? > 0 {
            if let Some(seen) = missing.iter().position(|fields| line.trim_end().ends_with(fields)) {
                missing.swap_remove(seen);
            }
            n_lines += 1;
            line.clear();
        }
        ensure!(n_lines > 0, "babeltrace2 prints nothing of {}", snapshot.display());
        Ok(missing.is_empty())
    }

    /// Returns how babeltrace2 prints the fields of request `id`'s events.
    fn fields(&self, id: u64) -> Vec<String> {
        let of_event = |event| {
            let payload = payload(id, event);
            let words = payload.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
            let words: Vec<String> = words.skip(1).enumerate().map(|(idx, word)| format!("[{idx}] = {word}")).collect();
            format!("{{ id = {id}, payload = [ {} ] }}", words.join(", "))
        };
        let end = format!("{{ id = {id} }}");
        (0..self.load.n_events).map(of_event).chain([end.clone(), end]).collect()
    }
}

/// A running `babeltrace2`; killed when it drops, as nobody reads on once the request was found.
struct Reader(Child);

impl Drop for Reader {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn babeltrace() -> Command {
    Command::new("babeltrace2")
}

/// Returns the size of a sub-buffer with which the rings of all cores together have the memory that Backsight has, or less.
fn subbuf_bytes() -> u64 {
    let share = (MEMORY_BYTES / SUBBUFS / host::cores() as u64).max(4096);
    1 << share.ilog2()
}

fn bytes_below(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry.with_context(|| format!("read {}", folder.display()))?;
        let metadata = entry.metadata().with_context(|| format!("read {}", entry.path().display()))?;
        bytes += if metadata.is_dir() { bytes_below(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
