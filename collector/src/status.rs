//! What the query service tells of the rest of the collector.
//!
//! Made by the daemon; it only looks at what the coordinator's task shows.

use crate::coordination::{AgentStatus, Coordination};
use crate::query::StatusSource;
use backsight_proto::v1;
use std::time::Instant;

/// Looks at the coordinator's task.
#[derive(Debug)]
pub struct Watch {
    coordination: Coordination,
    started: Instant,
}

impl Watch {
    /// Returns one that counts the time from now.
    pub fn new(coordination: Coordination) -> Self {
        Self { coordination, started: Instant::now() }
    }
}

impl StatusSource for Watch {
    fn uptime_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn agents(&self) -> Vec<v1::AgentStatus> {
        let status = |agent: &AgentStatus| v1::AgentStatus {
            agent: agent.agent.0,
            host: agent.host.clone(),
            version: agent.version.clone(),
            is_connected: agent.is_connected,
            n_batches: agent.n_batches,
            bytes: agent.bytes,
        };
        self.coordination.overview().agents.iter().map(status).collect()
    }

    fn drops(&self) -> Vec<(String, u64)> {
        let overview = self.coordination.overview();
        let refused = |(name, n): (&&'static str, &u64)| {
            let is_refusal = name.starts_with("refused_") && *n > 0;
            is_refusal.then(|| ((*name).to_owned(), *n))
        };
        overview.counts.iter().filter_map(refused).collect()
    }
}
