//! What a thread leaves that goes away in the middle, and a process that lets go of its descriptors.

use crate::client::{Client, say};
use crate::harness::{Agent, eventually};
use backsight_core::ids::TraceId;
use backsight_core::session::Message;
use backsight_core::sync::Ordering::Relaxed;
use backsight_ringbuf::abi::{Class, chunk};
use backsight_ringbuf::storage::Storage as _;
use backsight_ringbuf::{lease, region, slot};

fn trace(n: u64) -> TraceId {
    TraceId::new(0x11b0, n)
}

fn limbo(agent: &Agent) -> Option<u64> {
    agent.metric("backsight_agent_limbo_chunks")
}

/// A thread that was cancelled between claim and open holds its chunk for good: nobody else gets it while the process lives, however often
/// all others are granted again, and it is there again when the process has ended.
#[test]
fn a_chunk_that_was_claimed_and_never_opened_is_counted_and_granted_to_nobody_until_its_process_ends() {
    let agent = Agent::start("[pool]\nbudget_bytes = 8388608\nprocess_share = 1.0\n");
    let client = Client::connect(&agent.socket(), "cancelled");
    client.wait_for_grants();
    assert_eq!(limbo(&agent), Some(0));
    let cancelled = slot::claim(&client.memory, 7).unwrap();
    let claimed = lease::claim(&client.memory, Class::Small, 0).unwrap();
    slot::exit(&client.memory, cancelled);
    client.ring();
    eventually("it is counted", || (limbo(&agent) == Some(1)).then_some(()));
    let head = || client.memory.word(claimed.offset + chunk::HEAD).load(Relaxed); // nobody else may write it
    let before = head();
    let mut thread = client.thread(1);
    for n in 1..20_000 {
        eventually("the visit is recorded", || thread.visit(trace(n), "visit", &[7; 1000]).then_some(()));
    }
    let evicted = agent.metric("backsight_agent_evicted_chunks_total").unwrap();
    assert!(evicted > 100, "the pool went round: {evicted}");
    assert_eq!((head(), limbo(&agent)), (before, Some(1)), "nobody had it");
    assert_eq!(agent.metric("backsight_agent_drops_total{reason=\"corrupt\"}"), Some(0));
    thread.exit();
    say(&client.socket, &Message::Goodbye);
    drop(client);
    eventually("the session ends", || (agent.status()["sessions"][0]["state"] == "dead").then_some(()));
    let session = agent.status()["sessions"][0].clone();
    assert_eq!((limbo(&agent), &session["chunks_open"]), (Some(0), &0.into()), "{session}");
    let pool = agent.status()["pool"].clone();
    assert_eq!(
        pool["populated_bytes"].as_u64().map(|bytes| bytes >= pool["retained_bytes"].as_u64().unwrap()),
        Some(true)
    );
}

/// A program that closed every descriptor still has its region: it records on, and its session ends only when it lets go of that.
#[test]
fn a_process_that_closed_its_socket_records_on_until_it_lets_go_of_its_region() {
    let agent = Agent::start("");
    let mut client = Client::connect(&agent.socket(), "closed");
    client.socket = std::fs::File::open("/dev/null").unwrap().into();
    let state = || agent.status()["sessions"][0]["state"].clone();
    for n in 1..=3 {
        // The agent looks once a second whether the region is still mapped.
        eventually("the agent has looked again", || {
            let beat = region::heartbeat(&client.memory);
            eventually("a beat", || (region::heartbeat(&client.memory) != beat).then_some(()));
            Some(())
        });
        assert!(client.thread(1).visit(trace(n), "closed", b"whole"), "{}", agent.log());
        assert_eq!((agent.get(&format!("/v1/traces/{}", trace(n))).0, state()), (200, "live".into()));
    }
    drop(client);
    eventually("the session ends", || (state() == "dead").then_some(()));
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(3))).0, 200, "what it wrote stays");
}
