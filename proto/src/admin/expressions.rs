//! Messages of the admin API about triggers that are expressions.

use crate::text;
use backsight_core::ids::TraceId;
use serde::{Deserialize, Serialize};

/// The most matching traces that a back-test names.
pub const TEST_TRACES_MAX: u32 = 1000;

/// Has a trigger fire by an expression, or by none any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetTriggerRequest {
    /// The trigger's name.
    pub name: String,
    /// The expression, see `docs/spec/trigger-expressions.md`; `None` to have none.
    pub when: Option<String>,
}

/// What was set.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SetTriggerReply {
    /// The trigger's id.
    pub id: u32,
    /// The expression as it is printed; empty where there is none any more.
    pub when: String,
}

/// Starts a back-test.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TestRequest {
    /// The expression.
    pub when: String,
    /// How many matching traces to name, at most [`TEST_TRACES_MAX`].
    #[serde(default = "ten")]
    pub n_traces: u32,
}

const fn ten() -> u32 {
    10
}

/// A back-test. While it is under way only what was counted is there.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TestReply {
    /// Its number.
    pub test: u64,
    /// The expression as it is printed.
    pub when: String,
    /// Whether it is over.
    pub is_done: bool,
    /// How far it has come.
    pub progress_share: f64,
    /// Milliseconds between the ends of the first and the last span that was looked at.
    pub window_ms: u64,
    /// Sealed chunks that were read.
    pub n_chunks: u64,
    /// Sealed chunks that were evicted before they could be read.
    pub n_chunks_evicted: u64,
    /// Spans that were looked at.
    pub n_spans: u64,
    /// Spans that matched.
    pub n_matches: u64,
    /// Traces that matched: each would fire once.
    pub n_traces: u64,
    /// Matching spans of traces beyond the 16 384 that are told apart.
    pub n_beyond: u64,
    /// Spans that were not looked at, as their start or end was not found.
    pub n_spans_given_up: u64,
    /// How often the trigger would fire; `None` where the window is too short to tell.
    pub fires_per_s: Option<f64>,
    /// Bytes of the matching traces on this host.
    pub bytes: u64,
    /// What keeping them would take; `None` as above.
    pub bytes_per_s: Option<f64>,
    /// The share of the matching traces of which this host has overwritten nothing; `None` where none matched.
    pub complete_share: Option<f64>,
    /// The limit of a trigger.
    pub rate_per_s: u64,
    /// Firings that it would refuse.
    pub n_refused: u64,
    /// The newest matching traces, newest first.
    pub traces: Vec<MatchedTrace>,
}

/// A trace that matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MatchedTrace {
    /// The trace.
    #[serde(with = "text")]
    pub trace: TraceId,
    /// How long its first matching span took.
    pub duration_ns: u64,
}
