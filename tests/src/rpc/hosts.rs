//! The hosts of a run: agents with a folder each, and the one collector that they report to through a relay that counts.
//!
//! Called by the bench once; they stay up through all rounds, the peers' ones included, so that every tracer meets the same machine.

use crate::harness::{
    agent::{Agent, AgentOptions},
    collector::Collector,
    relay::Relay,
};
use anyhow::{Context as _, Result, ensure};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Hosts among which the services are spread.
const N_HOSTS: usize = 3;
/// The pool of each: some seconds of full load, so that it goes round within a warm-up ([`super::cases::Plan::warmup_seconds`]), and eviction
/// works as it does in production.
const BUDGET_BYTES: u64 = 32 << 20;
/// What such a pool holds of full load. Agents that were to look further back would have detail left out, which no trace is whole without.
const HORIZON: &str = "[horizon]\ntarget_ms = 2000\n";
/// How long agents may take to see that the processes of a run have ended.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
const SETTLE_PERIOD: Duration = Duration::from_millis(20);

/// Agents and their collector.
#[derive(Debug)]
pub struct Hosts {
    // End before the collector.
    agents: Vec<Agent>,
    relay: Relay,
    /// The collector of them all.
    pub collector: Collector,
    n_seeds: Cell<u64>,
}

impl Hosts {
    /// Starts all of them.
    ///
    /// # Errors
    /// One of them cannot be started.
    pub fn start() -> Result<Self> {
        Self::start_with("")
    }

    /// As [`Hosts::start`], with this configuration of the agents, as TOML.
    ///
    /// # Errors
    /// One of them cannot be started.
    pub fn start_with(config: &str) -> Result<Self> {
        let collector = Collector::start()?;
        let relay = Relay::start(collector.address())?;
        let (url, config) = (relay.url(), format!("{HORIZON}{config}"));
        let options = AgentOptions {
            budget_bytes: BUDGET_BYTES,
            collector: Some(&url),
            config: &config,
            ..AgentOptions::default()
        };
        let agents = (0..N_HOSTS).map(|_| Agent::start(options)).collect::<Result<_>>()?;
        Ok(Self { agents, relay, collector, n_seeds: Cell::new(0) })
    }

    /// Returns a seed that no run on these hosts has had: the same seed gives the same trace ids, and the hosts remember those.
    #[must_use]
    pub fn next_seed(&self) -> u64 {
        self.n_seeds.set(self.n_seeds.get() + 1);
        self.n_seeds.get()
    }

    /// Returns the sockets of the agents.
    #[must_use]
    pub fn sockets(&self) -> Vec<PathBuf> {
        self.agents.iter().map(Agent::socket).collect()
    }

    /// Returns the process ids of the agents.
    #[must_use]
    pub fn agent_pids(&self) -> Vec<u32> {
        self.agents.iter().map(Agent::pid).collect()
    }

    /// Returns how many bytes the agents have sent to the collector, framing and coordination included.
    #[must_use]
    pub fn sent_bytes(&self) -> u64 {
        self.relay.sent_bytes()
    }

    /// Returns the sum of a metric over the agents.
    ///
    /// # Errors
    /// One of them does not answer.
    pub fn metric(&self, name: &str) -> Result<f64> {
        self.agents.iter().map(|agent| agent.api().metric(name)).sum()
    }

    /// Returns the lowest value of a metric among the agents that have it.
    #[must_use]
    pub fn lowest(&self, name: &str) -> Option<f64> {
        self.agents.iter().filter_map(|agent| agent.api().metric(name).ok()).min_by(f64::total_cmp)
    }

    /// Waits until no process records any more and nothing waits to be sent.
    ///
    /// # Errors
    /// That does not happen in time.
    pub fn settle(&self) -> Result<()> {
        self.settle_within(SETTLE_TIMEOUT)
    }

    /// As [`Hosts::settle`], however long that may take.
    ///
    /// # Errors
    /// That does not happen in time.
    pub fn settle_within(&self, timeout: Duration) -> Result<()> {
        const BUSY: [&str; 4] = [
            "backsight_agent_sessions",
            "backsight_agent_uplink_queued_bytes",
            "backsight_agent_uplink_in_flight_batches",
            "backsight_agent_uplink_unacked_announces",
        ];
        let deadline = Instant::now() + timeout;
        loop {
            let busy = BUSY.iter().map(|name| self.metric(name)).sum::<Result<f64>>().context("ask the agents")?;
            if busy == 0.0 {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the agents are still busy after {timeout:?}");
            std::thread::sleep(SETTLE_PERIOD);
        }
    }
}
