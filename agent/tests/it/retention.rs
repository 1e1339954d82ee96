//! The budget, eviction and the horizon.

use crate::client::Client;
use crate::harness::{Agent, eventually};
use backsight_core::ids::TraceId;
use serde_json::Value;

const SMALL_POOL: &str = "[pool]\nbudget_bytes = 8388608\n";

fn trace(n: u64) -> TraceId {
    TraceId::new(0xdef, n)
}

fn used_bytes(status: &Value) -> u64 {
    let pool = &status["pool"];
    ["populated_bytes", "kept_bytes", "index_bytes"].iter().map(|key| pool[*key].as_u64().unwrap()).sum()
}

/// Writes one visit for each trace of `traces`, waiting for chunks where the agent has granted none yet.
fn write(client: &Client, traces: std::ops::Range<u64>, payload: &[u8]) {
    let mut thread = client.thread(1);
    for n in traces {
        eventually("the visit is recorded", || thread.visit(trace(n), "visit", payload).then_some(()));
    }
    thread.exit();
}

#[test]
fn the_oldest_is_evicted_within_the_budget_and_the_horizon_says_so() {
    let agent = Agent::start(SMALL_POOL);
    let client = Client::connect(&agent.socket(), "writer");
    assert!(agent.status()["horizon"]["horizon_ms"].is_null());
    write(&client, 1..30_000, &[7; 1000]);
    let status = agent.status();
    assert!(used_bytes(&status) <= 8 << 20, "{status}");
    assert!(status["horizon"]["horizon_ms"].is_u64(), "{status}");
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(1))).0, 404, "the oldest is gone");
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(29_999))).0, 200, "the newest is there");
    assert!(agent.metric("backsight_agent_evicted_chunks_total").unwrap() > 0);
    let retained = status["pool"]["retained_bytes"].as_u64().unwrap();
    assert!(retained > 4 << 20, "most of the pool holds data: {status}");
}

#[test]
fn data_of_an_ended_process_stays_until_others_need_the_memory() {
    let agent = Agent::start(&format!("{SMALL_POOL}process_share = 1.0\n"));
    let first = Client::connect(&agent.socket(), "first");
    write(&first, 1..2_000, &[7; 1000]);
    crate::client::say(&first.socket, &backsight_core::session::Message::Goodbye);
    drop(first);
    eventually("the session ends", || (agent.status()["sessions"][0]["state"] == "dead").then_some(()));
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(1_999))).0, 200);
    assert_eq!(agent.metric("backsight_agent_deaths_total"), Some(0), "it said goodbye");
    let second = Client::connect(&agent.socket(), "second");
    write(&second, 10_000..40_000, &[7; 1000]);
    let sessions = eventually("the dead region is dropped", || {
        let sessions = agent.status()["sessions"].clone();
        (sessions.as_array().unwrap().len() == 1).then_some(sessions)
    });
    assert_eq!(sessions[0]["service"], "second");
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(1_999))).0, 404);
    assert!(used_bytes(&agent.status()) <= 8 << 20);
}

#[test]
fn a_chunk_that_was_full_when_its_process_ended_is_retained_once() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "writer");
    let mut thread = client.thread(1);
    // Some chunks are full, the last one is open; how large they are depends on when the agent looked.
    let n_visits = (1..40).take_while(|n| thread.visit(trace(*n), "visit", &[7; 1000])).count() as u64;
    let n_bytes = n_visits * 1000;
    crate::client::say(&client.socket, &backsight_core::session::Message::Goodbye);
    drop(thread);
    drop(client);
    eventually("the session ends", || (agent.status()["sessions"][0]["state"] == "dead").then_some(()));
    let retained = agent.metric("backsight_agent_written_bytes_total").unwrap();
    assert!(n_bytes > 30_000 && (n_bytes..n_bytes * 3 / 2).contains(&retained), "{retained} B for {n_bytes}");
}

#[test]
fn an_idle_process_costs_little_and_a_burst_is_given_back_later() {
    let agent = Agent::start("[pool]\nbudget_bytes = 67108864\n");
    let clients: Vec<_> = (0..20).map(|n| Client::connect(&agent.socket(), &format!("idle-{n}"))).collect();
    let populated = agent.status()["pool"]["populated_bytes"].as_u64().unwrap();
    assert!(populated <= 20 * (80 << 10), "{populated} B for 20 idle processes");
    drop(clients);
    eventually("all regions are dropped", || agent.status()["sessions"].as_array().unwrap().is_empty().then_some(()));
    assert_eq!(agent.status()["pool"]["populated_bytes"], 0);
}

#[test]
fn kept_traces_stay_under_their_share_and_the_lowest_priority_goes() {
    let agent = Agent::start(SMALL_POOL);
    let client = Client::connect(&agent.socket(), "writer");
    let mut thread = client.thread(1);
    for n in 1..=60 {
        let payload = vec![1; 200_000];
        eventually("the visit is recorded", || thread.visit(trace(n), "big", &payload).then_some(()));
        let body = serde_json::json!({"trace": trace(n).to_string(), "trigger": "cli"});
        assert_eq!(agent.post("/v1/triggers/fire", &body).0, 200);
    }
    let status = agent.status();
    let kept = status["pool"]["kept_bytes"].as_u64().unwrap();
    assert!(kept > 1 << 20 && kept <= (8 << 20) * 4 / 10, "{kept}");
    assert!(status["drops"]["priority"].as_u64().unwrap() > 0, "{status}");
    eventually("chunks give way", || (used_bytes(&agent.status()) <= 8 << 20).then_some(()));
}

#[test]
fn a_process_over_its_share_evicts_its_own_while_the_others_data_is_young() {
    let agent = Agent::start("[pool]\nbudget_bytes = 8388608\n[horizon]\ntarget_ms = 600000\n");
    let (quiet, loud) = (Client::connect(&agent.socket(), "quiet"), Client::connect(&agent.socket(), "loud"));
    write(&quiet, 1..500, &[7; 1000]);
    write(&loud, 10_000..40_000, &[7; 1000]);
    for n in [1, 250, 499] {
        assert_eq!(agent.get(&format!("/v1/traces/{}", trace(n))).0, 200, "trace {n} of the quiet process");
    }
    assert!(agent.metric("backsight_agent_horizon_over_share_ms").is_some());
    assert!(used_bytes(&agent.status()) <= 8 << 20);
}
