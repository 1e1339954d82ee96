//! What the supervisor and its processes say to each other: JSON lines, orders on standard input, words on standard output.
//!
//! A process ends when its input does: none outlives its supervisor.

use crate::topology::Topology;
use crate::tracer::{Recorded, TracerKind};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The longest wait for a word: a process that is silent for longer has failed.
pub(crate) const WORD_TIMEOUT_MS: u64 = 10_000;

/// What the supervisor says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// First: what to be. Answered by [`Word::Listening`].
    Begin(Box<Setup>),
    /// Second: where all processes listen, by their position. Answered by [`Word::Serving`].
    Peers(Vec<SocketAddr>),
    /// How do you stand? Answered by [`Word::Standing`].
    Stand,
}

/// What a process is to be.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The whole topology.
    pub(crate) topology: Topology,
    /// The process's position in the plan.
    pub(crate) process_idx: usize,
    /// Where to listen; port 0 takes a free one.
    pub(crate) address: SocketAddr,
    /// Threads of the runtime.
    pub(crate) threads: usize,
    /// What to record with.
    pub(crate) tracer: TracerKind,
    /// The socket of the host's agent.
    pub(crate) agent: Option<String>,
    /// Where OTLP goes.
    pub(crate) sink: Option<String>,
    /// How long a slow visit takes longer.
    pub(crate) slow_ms: u64,
    /// The folder of ground truth.
    pub(crate) truth: Option<PathBuf>,
}

/// What a process says.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// It will be found there.
    Listening(SocketAddr),
    /// It serves.
    Serving,
    /// How it stands.
    Standing(Standing),
}

/// How a process stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// CPU time that the process has used since its start, user and system, of all its threads.
    pub(crate) cpu_ns: u64,
    /// Visits that are parked now.
    pub(crate) parked: u64,
    /// What its tracer has written.
    pub(crate) recorded: Option<Recorded>,
    /// Records of the ground truth that could not be written.
    pub(crate) truth_failed: u64,
}
