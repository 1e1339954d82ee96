//! The agent's admin API: JSON over HTTP/1.1 on a unix socket.
//!
//! Served by the agent on `agent.admin_socket`, called by the command line. Every answer that is not 200 carries an [`ErrorReply`].
//!
//! # Shape
//! | route | request | answer |
//! |---|---|---|
//! | `GET /v1/status` | | [`Status`] |
//! | `GET /v1/horizon` | | [`HorizonReport`] |
//! | `GET /v1/triggers` | | [`TriggerList`] |
//! | `POST /v1/triggers/fire` | [`FireRequest`] | [`FireReply`]; 404 for an unknown trigger, 429 where a limit refused |
//! | `POST /v1/triggers/set` | [`SetTriggerRequest`] | [`SetTriggerReply`]; 400 with the column where the expression is none |
//! | `POST /v1/triggers/test` | [`TestRequest`] | [`TestReply`], mostly not over yet; 409 while another back-test runs |
//! | `GET /v1/triggers/test/{n}` | | [`TestReply`]; 404 where another one was begun since |
//! | `GET /v1/traces` | | [`KeptList`] |
//! | `GET /v1/traces/{id}` | | [`crate::trace_json::TraceJson`]; 404 where nothing of it is kept or retained |
//! | `GET /metrics` | | Prometheus text |
//! | `GET /healthz` | | `ok` |
//!
//! Trace ids are 32 hex digits, agents 7 base32 digits. Sizes are bytes; a `_share` lies in 0..=1.

mod expressions;

pub use expressions::{MatchedTrace, SetTriggerReply, SetTriggerRequest, TEST_TRACES_MAX, TestReply, TestRequest};

use crate::text;
use backsight_core::ids::{AgentId, TraceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Paths of the API, each in one place.
pub mod route {
    use backsight_core::ids::TraceId;

    /// See [`super::Status`].
    pub const STATUS: &str = "/v1/status";
    /// See [`super::HorizonReport`].
    pub const HORIZON: &str = "/v1/horizon";
    /// See [`super::TriggerList`].
    pub const TRIGGERS: &str = "/v1/triggers";
    /// See [`super::FireRequest`].
    pub const FIRE: &str = "/v1/triggers/fire";
    /// See [`super::SetTriggerRequest`].
    pub const SET_TRIGGER: &str = "/v1/triggers/set";
    /// See [`super::TestRequest`]; a back-test is below it.
    pub const TEST: &str = "/v1/triggers/test";
    /// See [`super::KeptList`]; a trace is below it.
    pub const TRACES: &str = "/v1/traces";
    /// Prometheus text.
    pub const METRICS: &str = "/metrics";
    /// Answers `ok` while the agent works.
    pub const HEALTH: &str = "/healthz";

    /// Returns the path of one trace.
    pub fn trace(id: TraceId) -> String {
        format!("{TRACES}/{id}")
    }

    /// Returns the path of one back-test.
    pub fn test(number: u64) -> String {
        format!("{TEST}/{number}")
    }
}

/// The largest request body that the agent reads, in bytes.
pub const REQUEST_MAX_BYTES: usize = 64 << 10;

/// What an agent is and does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Status {
    /// The agent's id.
    #[serde(with = "text")]
    pub agent: AgentId,
    /// Its version, as `0.1.0`.
    pub version: String,
    /// Milliseconds since it started.
    pub uptime_ms: u64,
    /// Its process.
    pub pid: u32,
    /// Its memory.
    pub pool: PoolStatus,
    /// How far back it can look.
    pub horizon: Horizon,
    /// The processes whose data it holds, dead ones as long as any of theirs is retained.
    #[serde(default)]
    pub sessions: Vec<SessionStatus>,
    /// How often each trigger has fired since the agent started, by name.
    #[serde(default)]
    pub triggers_fired: BTreeMap<String, u64>,
    /// What the agent gave up since it started, by reason (`core::telemetry::DropReason`).
    #[serde(default)]
    pub drops: BTreeMap<String, u64>,
    /// What the host allows.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// The connections to the collectors; empty where none is configured.
    #[serde(default)]
    pub uplinks: Vec<UplinkStatus>,
}

/// An agent's connection to one collector, counted since the agent started.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UplinkStatus {
    /// Whom it dials, as `http://host:port`.
    pub collector: String,
    /// Whether the coordinator has said welcome.
    pub is_connected: bool,
    /// Whether the collector takes batches.
    pub is_reporting: bool,
    /// Milliseconds since either began or ended.
    pub since_ms: u64,
    /// Why the last connection or stream ended, or was not made; empty where none ever did.
    pub last_error: String,
    /// Firings to announce.
    pub announced_total: u64,
    /// Announcements that the coordinator has.
    pub announces_acked_total: u64,
    /// Announcements that it has and does not follow.
    pub announces_refused_total: u64,
    /// Announcements given up.
    pub announces_given_up_total: u64,
    /// Collections that the coordinator asked for.
    pub collections_total: u64,
    /// Batches sent, those sent again included.
    pub batches_total: u64,
    /// Batches that the collector has on disk.
    pub batches_acked_total: u64,
    /// Batches that had to be sent again.
    pub batches_resent_total: u64,
    /// Bytes of all batches sent.
    pub bytes_total: u64,
    /// Bytes that wait to be sent.
    pub queued_bytes: u64,
}

/// The memory of an agent, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct PoolStatus {
    /// What it may use at most.
    pub budget_bytes: u64,
    /// Pages of regions that are there, of live and dead processes.
    pub populated_bytes: u64,
    /// Sealed chunks that can still be asked for.
    pub retained_bytes: u64,
    /// Copies of what triggers asked for.
    pub kept_bytes: u64,
    /// The index of segments.
    pub index_bytes: u64,
    /// Segments of evicted chunks whose traces went on.
    #[serde(default)]
    pub carried_bytes: u64,
    /// The memory of segments that are gone.
    #[serde(default)]
    pub afterlife_bytes: u64,
}

/// How far back an agent can look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Horizon {
    /// The age of the newest data that was overwritten, in milliseconds; `None` until anything was.
    pub horizon_ms: Option<u64>,
    /// The age that data will reach at the present rate of writing, in milliseconds; `None` while nothing is written.
    pub predicted_ms: Option<u64>,
    /// The age that is wanted: below it the agent sheds detail.
    pub target_ms: u64,
    /// The chunks that processes fill in a second, on average over ten, in bytes.
    #[serde(default)]
    pub bytes_per_s: u64,
    /// How many of a thousand traces are without records of detail level 1, 2 and 3.
    #[serde(default)]
    pub shed_permille: [u16; 3],
    /// How many of a thousand are not recorded at all.
    #[serde(default)]
    pub unrecorded_permille: u16,
}

/// Samples of a horizon that an agent remembers at most: ten minutes.
pub const HORIZON_SAMPLES_MAX: usize = 600;

/// The horizon as it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HorizonSample {
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// What it was.
    #[serde(flatten)]
    pub horizon: Horizon,
}

/// The horizon and how it came to be what it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HorizonReport {
    /// What it is now.
    #[serde(flatten)]
    pub now: Horizon,
    /// What it was, once a second, oldest first, at most [`HORIZON_SAMPLES_MAX`].
    #[serde(default)]
    pub history: Vec<HorizonSample>,
}

/// A process with a region.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its region's id.
    pub region: u64,
    /// Its id on this host.
    pub pid: u32,
    /// The service that it said it is; empty where it said nothing.
    pub service: String,
    /// Whether it runs.
    pub state: SessionState,
    /// Whether it leaves out more than others do, because it alone writes too much.
    #[serde(default)]
    pub sheds_alone: bool,
    /// Thread slots in use.
    pub threads: u32,
    /// Chunks that its threads fill.
    pub chunks_open: u32,
    /// Chunks granted ahead, which none of its threads has taken yet.
    pub chunks_granted: u32,
    /// Bytes written since the session began.
    pub bytes_written: u64,
    /// What its threads gave up, by reason.
    #[serde(default)]
    pub drops: BTreeMap<String, u64>,
}

/// Whether a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// It does.
    Live,
    /// It has ended; its data stays until it leaves the horizon.
    Dead,
}

/// Something that hosts allow or do not.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Capability {
    /// Its name, as `invariant_tsc`.
    pub name: String,
    /// Whether it is there.
    pub available: bool,
    /// Why not; empty where it is.
    #[serde(default)]
    pub why: String,
}

/// The triggers that an agent knows.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct TriggerList {
    /// By id, ascending.
    pub triggers: Vec<TriggerStatus>,
}

/// A trigger, counted since the agent started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TriggerStatus {
    /// Its id: the hash of its name, or reserved below 256.
    pub id: u32,
    /// Its name; empty where only its id was ever seen.
    pub name: String,
    /// How often it fired.
    pub fired_total: u64,
    /// How often its limit refused it.
    pub refused_total: u64,
    /// Traces that are kept for it now.
    pub kept_traces: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// The expression by which the agent fires it; empty where it does not.
    #[serde(default)]
    pub when: String,
}

/// Fires a trigger by hand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FireRequest {
    /// The trace to keep.
    #[serde(with = "text")]
    pub trace: TraceId,
    /// The trigger's name; `cli` where none is meant.
    pub trigger: String,
    /// Traces to collect with it, at most 32.
    #[serde(default, with = "text::list")]
    pub laterals: Vec<TraceId>,
}

/// What firing did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FireReply {
    /// What became of the trace.
    pub state: KeptState,
    /// Segments found on this host, of the trace and its laterals.
    pub n_segments: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// How far a triggered trace has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeptState {
    /// Copied out on this host.
    Kept,
    /// Waiting to be sent to a collector.
    Queued,
    /// Sent, not yet acknowledged.
    Sent,
    /// A collector has it on disk.
    Acked,
    /// Acknowledged; segments that come late still follow.
    Lingering,
    /// Given up again for traces of higher priority.
    Abandoned,
    /// Refused by the trigger's limit.
    Refused,
    /// It was here, and has left the horizon.
    Evicted,
    /// Nothing of it was ever seen here.
    NeverSeen,
}

impl KeptState {
    /// Returns the name that stands on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Queued => "queued",
            Self::Sent => "sent",
            Self::Acked => "acked",
            Self::Lingering => "lingering",
            Self::Abandoned => "abandoned",
            Self::Refused => "refused",
            Self::Evicted => "evicted",
            Self::NeverSeen => "never_seen",
        }
    }

    /// Returns whether the trace's data is, or was, safe: firing did what was asked.
    pub const fn is_kept(self) -> bool {
        matches!(self, Self::Kept | Self::Queued | Self::Sent | Self::Acked | Self::Lingering)
    }
}

/// The traces that an agent keeps because a trigger fired.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeptList {
    /// By time of firing, newest first, at most [`KEPT_LIST_MAX`].
    pub traces: Vec<KeptTrace>,
    /// How many more there are.
    #[serde(default)]
    pub n_more: u64,
}

/// The longest list of kept traces that an agent sends.
pub const KEPT_LIST_MAX: usize = 1000;

/// A trace that is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptTrace {
    /// The trace.
    #[serde(with = "text")]
    pub trace: TraceId,
    /// The trigger's name, or its id as `0x…` where the name is not known.
    pub trigger: String,
    /// Its id; 0 where an older version wrote this.
    #[serde(default)]
    pub trigger_id: u32,
    /// When it fired, in nanoseconds since 1970.
    pub fired_unix_ns: u64,
    /// Segments on this host.
    pub n_segments: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How far it has come.
    pub state: KeptState,
}

/// Why a request was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ErrorReply {
    /// One sentence, lowercase, without a full stop.
    pub error: String,
}

#[cfg(test)]
mod tests;
