//! The overview of a busy agent.

use super::overview;
use backsight_core::ids::AgentId;
use backsight_proto::admin::{Capability, Horizon, PoolStatus, SessionState, SessionStatus, Status, UplinkStatus};
use expect_test::expect;

#[test]
fn an_overview_shows_memory_horizon_drops_and_sessions() {
    let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let session = |service: &str, state, drops: &[(&str, u64)]| SessionStatus {
        region: 1,
        pid: 4242,
        service: service.to_owned(),
        state,
        sheds_alone: service == "loud",
        threads: 8,
        chunks_open: 3,
        chunks_granted: 4,
        bytes_written: 5 << 20,
        drops: counts(drops),
    };
    let status = Status {
        agent: AgentId(42),
        version: "0.1.0".to_owned(),
        uptime_ms: 3_725_000,
        pid: 7,
        pool: PoolStatus {
            budget_bytes: 1 << 30,
            populated_bytes: 256 << 20,
            retained_bytes: 200 << 20,
            kept_bytes: 1536,
            index_bytes: 4096,
            carried_bytes: 0,
            afterlife_bytes: 0,
        },
        horizon: Horizon { horizon_ms: None, predicted_ms: Some(9_000), target_ms: 10_000, ..Horizon::default() },
        sessions: vec![
            session("cart", SessionState::Live, &[("no_chunk", 12), ("rate", 0)]),
            session("loud", SessionState::Live, &[]),
            session("", SessionState::Dead, &[]),
        ],
        triggers_fired: counts(&[("cli", 2)]),
        drops: counts(&[]),
        capabilities: vec![
            Capability { name: "memfd".to_owned(), available: true, why: String::new() },
            Capability { name: "bpf".to_owned(), available: false, why: "no CAP_BPF".to_owned() },
        ],
        uplinks: vec![UplinkStatus {
            collector: "http://10.0.0.9:4390".to_owned(),
            is_connected: false,
            is_reporting: false,
            since_ms: 61_000,
            last_error: "tcp connect error: connection refused".to_owned(),
            announced_total: 12,
            announces_acked_total: 10,
            batches_total: 7,
            batches_acked_total: 6,
            bytes_total: 3 << 20,
            queued_bytes: 2048,
            ..UplinkStatus::default()
        }],
    };
    expect![[r#"
        agent     000001a  version 0.1.0  pid 7  up 62 min 5 s
        pool      256 MiB of 1 GiB (25 %): retained 200 MiB, kept 1.5 KiB, index 4 KiB
        horizon   nothing overwritten yet, predicted 9.00 s, target 10.0 s; below target
        fired     cli 2
        dropped   nothing
        collector http://10.0.0.9:4390  not connected for 61.0 s: tcp connect error: connection refused
                  announced 10 of 12, sent 3 MiB in 7 batches, 6 acknowledged, 2 KiB queued
        missing   bpf: no CAP_BPF

        SERVICE   PID  STATE        THREADS  OPEN  AHEAD  WRITTEN  DROPPED
        cart     4242  live               8     3      4    5 MiB  no_chunk 12
        loud     4242  live, sheds        8     3      4    5 MiB  nothing
        ?        4242  dead               8     3      4    5 MiB  nothing
    "#]]
    .assert_eq(&overview(&status));
}
