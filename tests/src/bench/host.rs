//! What a result says about where it was measured: machine, load, commit.
//!
//! Called once per bench by [`super::report`]. A fact that the host does not tell is the word `unknown`, never an error.

use std::{fs, path::Path, process::Command, thread};

use super::clock;

/// The environment variable that names the commit where there is no git, such as in a container.
pub const COMMIT_ENV: &str = "BACKSIGHT_COMMIT";

const UNKNOWN: &str = "unknown";

/// Returns one line about the machine: processor, number of cores, rate of the counter, kernel.
#[must_use]
pub fn machine() -> String {
    let cpu =
        fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| cpu_model(&text)).unwrap_or_else(|| UNKNOWN.into());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_else(|_| UNKNOWN.into());
    format!("{cpu}, {} cores, tsc {:.0} MHz, Linux {}", cores(), clock::tick_rate_mhz(), kernel.trim())
}

/// Returns the number of cores that this process may use, at least 1.
#[must_use]
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the load averages over 1, 5 and 15 minutes, or zeros where `/proc` does not tell.
#[must_use]
pub fn load_average() -> [f64; 3] {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut fields = text.split_whitespace().map(|field| field.parse().unwrap_or(0.0));
    std::array::from_fn(|_| fields.next().unwrap_or(0.0))
}

/// Returns the short hash of the commit that is checked out at `root`, with `+dirty` when files differ from it.
#[must_use]
pub fn commit(root: &Path) -> String {
    if let Ok(named) = std::env::var(COMMIT_ENV) {
        return named;
    }
    let Some(hash) = git(root, &["rev-parse", "--short=12", "HEAD"]) else { return UNKNOWN.into() };
    let clean = git(root, &["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changed| changed.is_empty());
    if clean { hash } else { format!("{hash}+dirty") }
}

fn git(root: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(root).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    let (_, name) = cpuinfo.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.trim().to_owned())
}
