//! The report of a run, as it stands in the JSON file.

use super::options::Rate;
use crate::faults::FaultKind;
use crate::load::ledger::Counts;
use crate::tracer::{Recorded, TracerKind};
use serde::Serialize;

/// What a run measured.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Report {
    /// The topology's name.
    pub(crate) topology: String,
    /// What the services recorded with.
    pub(crate) tracer: TracerKind,
    /// What was asked for.
    pub(crate) rate: Rate,
    /// How long was measured.
    pub(crate) seconds: f64,
    /// Between which instants CPU time was taken, in nanoseconds since 1970: for those who look at other processes meanwhile.
    pub(crate) window_unix_ns: [u64; 2],
    /// Requests that were due: answered, failed and refused.
    pub(crate) sent: u64,
    /// Answered well.
    pub(crate) answered: u64,
    /// Answered with an error, or not at all.
    pub(crate) failed: u64,
    /// Not sent, because too many were under way.
    pub(crate) refused: u64,
    /// Good answers a second.
    pub(crate) rps: f64,
    /// Of the good answers, from when their requests were due.
    pub(crate) latency_us: Latency,
    /// CPU time, user and system, from the end of the warm-up to the last answer.
    pub(crate) cpu: Cpu,
    /// What the tracers wrote, since their processes started.
    pub(crate) recorded: Option<Recorded>,
    /// Requests that were sent with a fault.
    pub(crate) faults: Faults,
    /// The kill, if there was one.
    pub(crate) killed: Option<Killed>,
    /// Requests whose fault acted, or that failed.
    pub(crate) edge_cases: u64,
}

/// Latencies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Latency {
    p50: u64,
    p90: u64,
    p99: u64,
    p999: u64,
    max: u64,
}

impl Latency {
    /// Returns the latencies that `of_share` gives for each share of the requests.
    pub(crate) fn of(of_share: impl Fn(f64) -> u64) -> Self {
        Self { p50: of_share(0.5), p90: of_share(0.9), p99: of_share(0.99), p999: of_share(0.999), max: of_share(1.0) }
    }
}

/// CPU time.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Cpu {
    /// Of all services together, for each good answer.
    services_us_per_request: f64,
    /// Of the load generator, for each good answer.
    load_us_per_request: f64,
    by_process: Vec<ProcessCpu>,
}

/// CPU time of one process; that of a killed one and of its successor count together.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct ProcessCpu {
    /// The process's name.
    pub(crate) name: String,
    /// Its id, the successor's where there is one.
    pub(crate) pid: u32,
    /// What it used.
    pub(crate) cpu_ms: f64,
}

impl Cpu {
    /// Returns what `answered` requests cost.
    pub(crate) fn of(by_process: Vec<ProcessCpu>, load_ns: u64, answered: u64) -> Self {
        let each = |us: f64| if answered == 0 { 0.0 } else { us / answered as f64 };
        let services_us: f64 = by_process.iter().map(|process| process.cpu_ms * 1e3).sum();
        let load_us_per_request = each(load_ns as f64 / 1e3);
        Self { services_us_per_request: each(services_us), load_us_per_request, by_process }
    }
}

/// Requests that were sent with a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Faults {
    slow: u64,
    error: u64,
    panic: u64,
    parked: u64,
}

impl Faults {
    /// Returns those of `counts`.
    pub(crate) fn of(counts: &Counts) -> Self {
        let n = |kind: FaultKind| counts.faults[kind as usize];
        Self {
            slow: n(FaultKind::Slow),
            error: n(FaultKind::Error),
            panic: n(FaultKind::Panic),
            parked: n(FaultKind::Park),
        }
    }
}

/// A kill.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(crate) struct Killed {
    /// The service whose process was killed.
    pub(crate) service: String,
    /// Visits that were parked in it.
    pub(crate) parked: u64,
}
