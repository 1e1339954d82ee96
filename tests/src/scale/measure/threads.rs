//! What the threads of a collector have worked, and what memory it has.

use anyhow::{Context as _, Result};
use std::fs;
use std::ops::Sub;

/// CPU time of a collector's threads since its start.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Worked {
    /// The runtime's, in microseconds: connections and the coordinator's task, and summing up, which no name tells from them.
    pub runtime_us: f64,
    /// The one's that writes.
    pub writer_us: f64,
}

impl Sub for Worked {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { runtime_us: self.runtime_us - before.runtime_us, writer_us: self.writer_us - before.writer_us }
    }
}

/// Returns what the threads of collector `pid` have worked.
///
/// # Errors
/// It is gone.
pub fn worked(pid: u32) -> Result<Worked> {
    let folder = format!("/proc/{pid}/task");
    let mut worked = Worked::default();
    for thread in fs::read_dir(&folder).with_context(|| format!("read {folder}"))? {
        let thread = thread.with_context(|| format!("read {folder}"))?.path();
        let file = |name: &str| fs::read_to_string(thread.join(name));
        let (Ok(name), Ok(times)) = (file("comm"), file("schedstat")) else { continue }; // it has ended
        let ran = times.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok());
        let ran_us = ran.context("understand a thread's times")? / 1e3;
        *(if name.trim() == "bks-store" { &mut worked.writer_us } else { &mut worked.runtime_us }) += ran_us;
    }
    Ok(worked)
}

/// Returns the memory that is a process's own.
///
/// # Errors
/// It is gone.
pub fn private_bytes(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).context("find its memory")?;
    let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok());
    Ok(kib.context("understand its memory")? * 1024.0)
}
