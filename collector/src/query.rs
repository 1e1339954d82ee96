//! The gRPC service by which people and programs read what is stored: get, search, tail, status.
//!
//! Served by the daemon. It changes nothing; every limit on what a reader may ask stands here.

use crate::library::{Filter, Library, Line, Lookup, Stats};
use crate::streams::{BadQuery, Reason, Refused};
use backsight_proto::v1::query_server::Query;
use backsight_proto::{v1, wire};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use tokio_stream::wrappers::BroadcastStream;
use tokio_stream::wrappers::errors::BroadcastStreamRecvError;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use tracing::warn;

/// Traces that one search returns at most.
pub const SEARCH_LIMIT_MAX: u32 = 1000;
/// Traces that a search returns where nothing is said.
pub const SEARCH_LIMIT_DEFAULT: u32 = 20;
/// Readers that follow the tail at a time.
pub const FOLLOWERS_MAX: usize = 64;
/// The longest reply: a trace as large as one may be, and what surrounds it. Clients must be told to take as much.
pub const REPLY_MAX_BYTES: usize = 80 << 20;

/// What the service tells of the rest of the collector.
pub trait StatusSource: Send + Sync + 'static {
    /// Returns how long the collector has run, in milliseconds.
    fn uptime_ms(&self) -> u64;
    /// Returns the agents that are or were connected, ascending.
    fn agents(&self) -> Vec<v1::AgentStatus>;
    /// Returns what other parts than the library refused, by reason.
    fn drops(&self) -> Vec<(String, u64)>;
}

/// The service.
#[derive(Clone)]
pub struct QueryService {
    library: Library,
    source: Arc<dyn StatusSource>,
    refused: Refused,
}

impl std::fmt::Debug for QueryService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueryService").field("library", &self.library).finish_non_exhaustive()
    }
}

impl QueryService {
    /// Returns the service over `library`, which counts readers that it refuses in `refused`.
    pub fn new(library: Library, source: Arc<dyn StatusSource>, refused: Refused) -> Self {
        Self { library, source, refused }
    }

    /// Runs something that reads the disk or all of the index, where it holds up nobody.
    async fn apart<T: Send + 'static>(&self, f: impl FnOnce(&Library) -> T + Send + 'static) -> Result<T, Status> {
        let library = self.library.clone();
        let done = tokio::task::spawn_blocking(move || f(&library)).await;
        done.map_err(|_| Status::internal("reading the library came to a bad end; see the collector's log"))
    }
}

#[tonic::async_trait]
impl Query for QueryService {
    type TailStream = Pin<Box<dyn Stream<Item = Result<v1::TraceSummary, Status>> + Send>>;

    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::GetReply>, Status> {
        let trace = wire::trace_id("get.trace", &request.get_ref().trace);
        let trace = trace.map_err(|error| self.refused.query(BadQuery::TraceId, error.to_string()))?;
        let reply = self.apart(move |library| match library.get(trace) {
            Lookup::Stored(stored) => Ok(stored.to_reply()),
            Lookup::Announced => Err(format!(
                "trace {trace} was announced, but no host has reported any of it yet; look again in a moment"
            )),
            Lookup::Unknown => Err(format!(
                "trace {trace} is not stored; either no trigger fired for it, or it has left the store: `backsight trace search` lists what is there"
            )),
        });
        reply.await?.map(Response::new).map_err(Status::not_found)
    }

    async fn search(&self, request: Request<v1::SearchRequest>) -> Result<Response<v1::SearchReply>, Status> {
        let request = request.into_inner();
        let limit = limit(request.limit, &self.refused)?;
        let filter = filter(request.filter, &self.refused)?;
        let found = self.apart(move |library| library.search(&filter, limit)).await?;
        let traces = found.traces.iter().map(Into::into).collect();
        Ok(Response::new(v1::SearchReply { traces, n_more: found.n_more }))
    }

    async fn tail(&self, request: Request<v1::TailRequest>) -> Result<Response<Self::TailStream>, Status> {
        let filter = filter(request.into_inner().filter, &self.refused)?;
        if self.library.n_followers() >= FOLLOWERS_MAX {
            let text = format!("{FOLLOWERS_MAX} readers follow already; end one of them, or search instead");
            return Err(self.refused.with(Reason::TooManyFollowers, Status::resource_exhausted(text)));
        }
        let library = self.library.clone();
        let lines = BroadcastStream::new(self.library.tail());
        let told = lines.filter_map(move |line| tell(&library, &filter, line).map(Ok));
        Ok(Response::new(Box::pin(told)))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Result<Response<v1::StatusReply>, Status> {
        let stats = self.library.stats();
        let reply = v1::StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.source.uptime_ms(),
            n_traces: stats.n_traces,
            stored_bytes: stats.stored_bytes,
            agents: self.source.agents(),
            drops: drops(&stats, self.source.drops(), &self.refused),
        };
        Ok(Response::new(reply))
    }
}

/// Returns what a follower reads of `line`, if anything.
fn tell(
    library: &Library,
    filter: &Filter,
    line: Result<Arc<Line>, BroadcastStreamRecvError>,
) -> Option<v1::TraceSummary> {
    match line {
        Ok(line) => line.matches(filter).then(|| (&line.summary).into()),
        Err(BroadcastStreamRecvError::Lagged(n)) => {
            library.count_missed(n);
            warn!(n_missed = n, "a reader follows the tail too slowly");
            None
        }
    }
}

/// Returns all that was refused or given up, by reason.
pub(crate) fn drops(stats: &Stats, of_others: Vec<(String, u64)>, refused: &Refused) -> HashMap<String, u64> {
    let mut drops: HashMap<String, u64> = of_others.into_iter().collect();
    let streams = refused.counts().filter(|(_, n)| *n > 0);
    drops.extend(streams.map(|(reason, n)| (format!("refused_streams_{reason}"), n)));
    let queries = refused.queries().filter(|(_, n)| *n > 0);
    drops.extend(queries.map(|(reason, n)| (format!("refused_queries_{reason}"), n)));
    let losses = [
        ("traces_forgotten", stats.n_forgotten),
        ("files_retired", stats.n_retired_files),
        ("disk_bytes_cut", stats.losses.cut_bytes),
        ("disk_bytes_lost", stats.losses.lost_bytes),
        ("disk_files_unreadable", stats.losses.n_unreadable_files),
        ("disk_files_removed", stats.losses.n_removed_files),
    ];
    let losses = losses.into_iter().filter(|(_, n)| *n > 0);
    for (reason, n) in stats.drops.iter().map(|(reason, n)| (*reason, *n)).chain(losses).filter(|(_, n)| *n > 0) {
        *drops.entry(reason.to_owned()).or_default() += n;
    }
    drops
}

fn limit(limit: u32, refused: &Refused) -> Result<usize, Status> {
    match limit {
        0 => Ok(SEARCH_LIMIT_DEFAULT as usize),
        1..=SEARCH_LIMIT_MAX => Ok(limit as usize),
        _ => {
            let text = format!("search.limit is {limit}, allowed is 1 to {SEARCH_LIMIT_MAX}");
            Err(refused.query(BadQuery::Limit, text))
        }
    }
}

fn filter(filter: Option<v1::Filter>, refused: &Refused) -> Result<Filter, Status> {
    let filter: Filter = filter.unwrap_or_default().into();
    if filter.to_ns != 0 && filter.from_ns > filter.to_ns {
        let text = format!("filter.from_ns is {}, later than filter.to_ns, {}", filter.from_ns, filter.to_ns);
        return Err(refused.query(BadQuery::Filter, text));
    }
    Ok(filter)
}

#[cfg(test)]
mod tests;
