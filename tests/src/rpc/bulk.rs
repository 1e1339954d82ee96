//! What an agent uses while much is written and nothing is asked for: the load at which cores per 100 MB/s say something.
//!
//! Called by the bench. An RPC application on a small machine writes a few megabytes a second, of which the triggered traces cost an agent
//! more than all others together; here it only grants, seals, indexes and evicts, as it does for a busy host.

use crate::bench::{
    pace::Load,
    runner::{Rounds, Series, Subject, interleave},
};
use crate::harness::cpu::CpuMeter;
use crate::peers::{Peer as _, ours::Ours};
use anyhow::{Result, ensure};
use std::time::Duration;

/// The load's name in rows.
pub const CASE: &str = "600 B visits, 100 MB/s";

/// Threads that write.
const N_THREADS: usize = 4;
const BYTES_PER_S: u64 = 100_000_000;

/// Measures the cores that one agent uses for every 100 MB written in a second.
#[must_use]
pub fn agent_core_per_100mb(duration: Duration, rounds: Rounds) -> Vec<Series> {
    let load = Load { n_threads: N_THREADS, bytes_per_s: BYTES_PER_S, duration };
    let ours = Ours::default();
    let run = Box::new(|| once(&ours, load));
    interleave(CASE, &mut [Subject { name: "backsight".to_owned(), run }], rounds)
}

fn once(ours: &Ours, load: Load) -> Result<f64> {
    const WRITTEN: &str = "backsight_agent_written_bytes_total";
    let agent = ours.agent()?;
    let mut meter = CpuMeter::new(agent.pid());
    let (bytes_before, cpu_before) = (agent.api().metric(WRITTEN)?, meter.cpu_ns()?);
    let lost_share = ours.lost_share(load)?;
    let (bytes, cpu_ns) = (agent.api().metric(WRITTEN)? - bytes_before, meter.cpu_ns()? - cpu_before);
    // What was lost costs the agent nothing, and must not make it look cheap.
    ensure!(lost_share == 0.0, "a share of {lost_share:.4} found no chunk");
    ensure!(bytes > 0.0, "nothing was written");
    Ok(cpu_ns as f64 / 1e9 / (bytes / 1e8))
}
