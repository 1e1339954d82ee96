//! Claims about what counts for whom.

use super::{Beside, Sample, Whole, sample};
use crate::harness::cpu::CpuHistory;
use crate::rpc::{
    Tracer,
    bricks::{Cpu, Latency, RunReport},
};

/// 1000 requests in two seconds, with half a core of agents and a quarter of a core of the collector beside them.
fn check(tracer: Tracer) -> Sample {
    let report = RunReport {
        answered: 1000,
        refused: 0,
        rps: 500.0,
        latency_us: Latency { p50: 100.0, p99: 300.0 },
        cpu: Cpu { services_us_per_request: 200.0 },
        window_unix_ns: [1_000_000_000, 3_000_000_000],
        recorded: None,
    };
    let agents = CpuHistory::from_points(&[(0, 0), (4_000_000_000, 2_000_000_000)]);
    let collector = CpuHistory::from_points(&[(0, 0), (4_000_000_000, 1_000_000_000)]);
    let whole = Whole { agents_ns: 2e9, written_bytes: 400e6 };
    sample(tracer, &report, Beside { agents: &agents, collector: &collector }, whole)
}

#[test]
fn nobody_pays_for_agents_or_collectors_that_only_wait() {
    let sample = check(Tracer::None);
    assert_eq!((sample.services_us, sample.all_us), (200.0, 200.0));
    assert_eq!((sample.agent_core, sample.collector_core, sample.agent_core_per_100mb), (0.0, 0.0, 0.0));
}

#[test]
fn ours_pays_for_both() {
    let sample = check(Tracer::Backsight);
    assert_eq!((sample.agent_core, sample.collector_core), (0.5, 0.25));
    assert_eq!(sample.all_us, 200.0 + 1.5e9 / 1e3 / 1000.0);
    // Two core seconds for 400 MB.
    assert_eq!(sample.agent_core_per_100mb, 0.5);
}

#[test]
fn a_peer_pays_for_its_sink_alone() {
    let sample = check(Tracer::OtelTailModel);
    assert_eq!((sample.agent_core, sample.collector_core), (0.0, 0.25));
    assert_eq!(sample.all_us, 200.0 + 0.5e9 / 1e3 / 1000.0);
}
