//! Processes that are killed.

use crate::client::{Client, say};
use crate::harness::{Agent, DEADLINE, eventually};
use backsight_core::ids::TraceId;
use backsight_core::record::SpanKind;
use backsight_core::segment::LastWords;
use backsight_core::session::Message;
use backsight_ringbuf::slot;
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

/// Not a test of its own either.
#[test]
fn child_that_crashes_in_its_own_exit() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let client = Client::connect(socket.as_ref(), "victim");
    let mut thread = client.thread(1);
    client.wait_for_grants();
    thread.begin(trace(3));
    thread.start_span(3, "goes on", SpanKind::Server);
    say(&client.socket, &Message::Goodbye);
    let words = LastWords { signal: 11, trace: trace(3), ticks: client.clock.ticks(), ..LastWords::default() };
    slot::say_last_words(&client.memory, thread.writer.slot_number(), &words, &[]);
    println!("\nready");
    std::thread::sleep(DEADLINE);
}

pub(crate) fn spawn(agent: &Agent) -> Child {
    spawn_as(agent, "death::child_that_serves_until_it_is_killed")
}

fn spawn_as(agent: &Agent, name: &str) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", name, "--nocapture"]);
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

/// `exit` takes down what other threads still use: they crash after the goodbye.
#[test]
fn a_process_that_leaves_last_words_has_died_whatever_it_said_before() {
    let agent = Agent::start("");
    let mut child = spawn_as(&agent, "death::child_that_crashes_in_its_own_exit");
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = eventually("its request is kept", || Some(agent.kept()).filter(|kept| !kept.is_empty()));
    assert_eq!(kept, [(trace(3).to_string(), "process_death".to_owned())]);
    let found = agent.json(&format!("/v1/traces/{}", trace(3))).unwrap();
    assert!(found.to_string().contains("\"signal\":11"), "{found}");
    assert_eq!(agent.metric("backsight_agent_deaths_total"), Some(1));
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
