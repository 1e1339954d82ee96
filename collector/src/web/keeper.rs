//! What the API asks of the collector that serves it: the time, who may read, how it is.

use super::{Parts, Tally};
use crate::auth::Tokens;
use crate::library::Library;
use crate::query::{StatusSource, drops};
use crate::streams::Refused;
use backsight_core::ids::AgentId;
use backsight_proto::v1;
use backsight_query::api::{Admission, AgentStatus, Done, Keeper, Refusal, Status};
use backsight_query::archive::Budget;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// See the module.
pub struct Steward {
    library: Library,
    source: Arc<dyn StatusSource>,
    refused: Refused,
    tokens: Option<Arc<Tokens>>,
    tally: Tally,
    timeout: Duration,
    began: Instant,
}

impl fmt::Debug for Steward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steward").field("library", &self.library).finish_non_exhaustive()
    }
}

impl Steward {
    /// Returns one whose questions may take `timeout`.
    pub fn new(parts: Parts, timeout: Duration) -> Self {
        let Parts { library, source, refused, tls: _, tokens, tally, spans: _ } = parts;
        Self { library, source, refused, tokens, tally, timeout, began: Instant::now() }
    }
}

/// A question that is to end by then.
struct Until(Instant);

impl Budget for Until {
    fn is_spent(&self) -> bool {
        Instant::now() >= self.0
    }
}

impl Keeper for Steward {
    fn now_ns(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    fn monotonic_ns(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn budget(&self) -> Box<dyn Budget + Send> {
        Box::new(Until(Instant::now() + self.timeout))
    }

    fn admission(&self, token: Option<&str>) -> Admission {
        self.tokens.as_ref().map_or(Admission::Admitted, |tokens| tokens.admission(token))
    }

    fn prove(&self, token: &str) -> Result<(), Refusal> {
        self.tokens.as_ref().map_or(Ok(()), |tokens| tokens.prove(token))
    }

    fn status(&self) -> Status {
        let stats = self.library.stats();
        let agent = |agent: v1::AgentStatus| AgentStatus {
            agent: AgentId(agent.agent).to_string(),
            host: agent.host,
            version: agent.version,
            is_connected: agent.is_connected,
            n_batches: agent.n_batches,
            bytes: agent.bytes,
        };
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.source.uptime_ms(),
            n_traces: stats.n_traces,
            stored_bytes: stats.stored_bytes,
            agents: self.source.agents().into_iter().map(agent).collect(),
            drops: drops(&stats, self.source.drops(), &self.refused).into_iter().collect(),
        }
    }

    fn unready(&self) -> Option<String> {
        self.library.is_closed().then(|| "nobody writes to the store any more".to_owned())
    }

    fn done(&self, done: Done) {
        self.tally.count(done);
    }
}
