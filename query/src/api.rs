//! The endpoints by which people and programs read traces over HTTP: Jaeger's API of both generations, and ours.
//!
//! Served by the collector, which opens the port, knows the time and says who may ask ([`Keeper`]). Every request goes one way ([`serve`]):
//! where it comes from, who asks, whether there is room; then its endpoint answers on a thread that may block.

mod answer;
mod classic;
mod endpoint;
mod guard;
mod ours;
mod serve;
mod v3;

pub use endpoint::{ENDPOINTS, Endpoint};
pub use guard::Refusal;

use crate::archive::{Archive, Budget};
use crate::cursor::CursorKey;
use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// What our own API says of itself, to programs.
pub const OPENAPI: &str = include_str!("../openapi.json");

/// How endpoints are offered.
#[derive(Debug)]
pub struct Options {
    /// What stands before every path: empty, or begun by a slash and not ended by one.
    pub base_path: String,
    /// Pages of these origins may read answers, as `https://grafana.example`.
    pub origins: Vec<String>,
    /// Whether only names of this host are known to a request: it listens there alone.
    pub is_loopback: bool,
    /// The most traces of one answer.
    pub results_max: usize,
    /// Requests that are answered at a time; further ones are refused.
    pub concurrent_max: usize,
    /// What cursors are signed with.
    pub cursor_key: CursorKey,
}

/// Whoever serves the endpoints: it knows the time, who may ask, and how it is.
pub trait Keeper: Send + Sync + 'static {
    /// Returns the time in nanoseconds since 1970.
    fn now_ns(&self) -> u64;

    /// Returns the nanoseconds of a clock that is never set.
    fn monotonic_ns(&self) -> u64;

    /// Returns what a question that begins now may take.
    fn budget(&self) -> Box<dyn Budget + Send>;

    /// Returns at once whether somebody with this token, or without one, may read.
    fn admission(&self, token: Option<&str>) -> Admission;

    /// Finds out whether somebody with a token that is [`Admission::Unproved`] may read.
    ///
    /// # Errors
    /// He may not, or too many are being found out about.
    /// # Cost
    /// Tens of milliseconds: not on a thread that serves others.
    fn prove(&self, token: &str) -> Result<(), Refusal>;

    /// Returns how it is.
    fn status(&self) -> Status;

    /// Returns why it cannot serve, if so.
    fn unready(&self) -> Option<String>;

    /// Hears what became of a request.
    fn done(&self, done: Done);
}

/// Whether somebody may read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Admission {
    /// He may.
    Admitted,
    /// He may not.
    Refused(Refusal),
    /// It takes time to find out.
    Unproved,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Done {
    /// Which endpoint it was for, by its name; `none` where it is none.
    pub endpoint: &'static str,
    /// Why it was refused, if it was.
    pub refusal: Option<Refusal>,
    /// How long it took until the answer was ready.
    pub took_ns: u64,
}

/// What `/api/v1/status` says.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Status {
    /// Of the server.
    pub version: String,
    /// How long it has run.
    pub uptime_ms: u64,
    /// Traces that are stored.
    pub n_traces: u64,
    /// Their bytes on disk.
    pub stored_bytes: u64,
    /// Agents that are or were connected.
    pub agents: Vec<AgentStatus>,
    /// What was refused or given up, by reason.
    pub drops: BTreeMap<String, u64>,
}

/// What is known of an agent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct AgentStatus {
    /// Its id, 7 base32 digits.
    pub agent: String,
    /// The name of its host.
    pub host: String,
    /// Its version.
    pub version: String,
    /// Whether it is connected.
    pub is_connected: bool,
    /// Batches of its that were stored.
    pub n_batches: u64,
    /// Their bytes, as they came.
    pub bytes: u64,
}

/// What all endpoints share.
struct Api {
    archive: Arc<dyn Archive>,
    keeper: Arc<dyn Keeper>,
    options: Options,
    room: Arc<Semaphore>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("options", &self.options).finish_non_exhaustive()
    }
}

/// Returns the endpoints over `archive`. `/healthz` and `/ready` stand below no base path.
pub fn router(archive: Arc<dyn Archive>, keeper: Arc<dyn Keeper>, options: Options) -> Router {
    let room = Arc::new(Semaphore::new(options.concurrent_max.min(Semaphore::MAX_PERMITS)));
    let api = Arc::new(Api { archive, keeper, options, room });
    let mut router = Router::new();
    for endpoint in ENDPOINTS {
        let base = if endpoint.is_open { "" } else { api.options.base_path.as_str() };
        let served = api.clone();
        let answer = move |request: Request| serve::serve(served.clone(), Some(endpoint), request);
        router = router.route(&format!("{base}{}", endpoint.path), any(answer));
    }
    router.fallback(move |request: Request| serve::serve(api.clone(), None, request))
}
