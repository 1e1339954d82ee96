//! Processes that are killed.

use crate::client::Client;
use crate::harness::{Agent, DEADLINE, eventually};
use backsight_core::ids::TraceId;
use backsight_core::record::SpanKind;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

const SOCKET: &str = "BACKSIGHT_TEST_SOCKET";

pub(crate) fn trace(n: u64) -> TraceId {
    TraceId::new(0xdead, n)
}

/// Not a test of its own: what a child of the tests below does until it is killed.
#[test]
fn child_that_serves_until_it_is_killed() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let client = Client::connect(socket.as_ref(), "victim");
    let (mut served, mut parked, mut active) = (client.thread(1), client.thread(2), client.thread(3));
    for n in 100..200 {
        client.wait_for_grants();
        assert!(served.visit(trace(n), "answered", &[1; 100]));
    }
    client.wait_for_grants();
    // A request of an async runtime that waits for something: no thread works on it.
    parked.begin(trace(1));
    parked.start_span(1, "parked", SpanKind::Server);
    parked.end();
    parked.visit(trace(300), "another", b"");
    client.wait_for_grants();
    // A request that a thread is working on right now.
    active.begin(trace(2));
    active.start_span(2, "active", SpanKind::Server);
    active.raw(b"the last record");
    println!("\nready");
    std::thread::sleep(DEADLINE);
}

pub(crate) fn spawn(agent: &Agent) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "death::child_that_serves_until_it_is_killed", "--nocapture"]);
    let mut child = child.env(SOCKET, agent.socket()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with("ready")), "the child failed");
    child
}

#[test]
fn what_a_killed_process_committed_is_kept_for_the_requests_that_it_served() {
    let agent = Agent::start("");
    let mut child = spawn(&agent);
    child.kill().unwrap();
    child.wait().unwrap();
    let mut kept = eventually("both requests are kept", || Some(agent.kept()).filter(|kept| kept.len() == 2));
    kept.sort();
    let by_death = |n| (trace(n).to_string(), "process_death".to_owned());
    assert_eq!(kept, [by_death(1), by_death(2)]);
    let found = agent.json(&format!("/v1/traces/{}", trace(2))).unwrap();
    assert_eq!(found["spans"][0]["name"], "active", "{found}");
    assert!(found.to_string().contains("the last record") || found.to_string().contains("payload"), "{found}");
    let answered = agent.json(&format!("/v1/traces/{}", trace(150))).unwrap();
    assert_eq!(answered["spans"][0]["name"], "answered", "what it wrote before stays readable");
    let status = agent.status();
    assert_eq!(status["sessions"][0]["state"], "dead");
    assert_eq!(
        (&status["sessions"][0]["chunks_open"], &status["sessions"][0]["chunks_granted"]),
        (&0.into(), &0.into())
    );
    assert_eq!(agent.metric("backsight_agent_deaths_total"), Some(1));
}

#[test]
fn a_death_leaves_other_processes_alone() {
    let agent = Agent::start("");
    let survivor = Client::connect(&agent.socket(), "survivor");
    let mut thread = survivor.thread(1);
    thread.visit(trace(1_000), "before", b"");
    let mut child = spawn(&agent);
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the death is seen", || (agent.metric("backsight_agent_deaths_total") == Some(1)).then_some(()));
    assert!(thread.visit(trace(1_001), "after", b""));
    for n in [1_000, 1_001] {
        assert_eq!(agent.get(&format!("/v1/traces/{}", trace(n))).0, 200);
    }
}

#[test]
fn with_process_death_off_nothing_is_fired_and_the_data_stays() {
    let agent = Agent::start("[triggers]\nprocess_death_ms = 0\n");
    let mut child = spawn(&agent);
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the death is seen", || (agent.metric("backsight_agent_deaths_total") == Some(1)).then_some(()));
    assert!(agent.kept().is_empty());
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(2))).0, 200);
}
