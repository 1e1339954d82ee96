//! What cannot be read, as its process damaged it: traces that may have been there are told of a loss, others are not.

use crate::client::{Client, Thread};
use crate::collector::{Collector, Conduct};
use crate::harness::{Agent, eventually};
use backsight_core::holding::{Holding, HoldingState, LossInterval};
use backsight_core::ids::{AgentId, TraceId};
use backsight_core::record::{CrumbDirection, Header, Kind};
use backsight_core::sync::Ordering::Relaxed;
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::{ChunkId, chunk, lease, lease_offset};
use backsight_ringbuf::head::Head;
use backsight_ringbuf::storage::Storage;
use backsight_ringbuf::{lease as leases, slot};
use std::time::{SystemTime, UNIX_EPOCH};

fn trace(n: u64) -> TraceId {
    TraceId::new(0xda3a, n)
}

fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// Returns where the chunk stands that a thread fills.
fn chunk_of(thread: &Thread<'_>) -> u64 {
    let memory = &thread.client.memory;
    let id = ChunkId::from_code(slot::open(memory, thread.writer.slot_number()) as u32 - 1).unwrap();
    leases::read(memory, id.lease()).unwrap().chunk_offset(id.bit())
}

fn overwrite(client: &Client, offset: u64, change: impl Fn(u64) -> u64) {
    let word = client.memory.word(offset);
    word.store(change(word.load(Relaxed)), Relaxed);
}

fn fire(agent: &Agent, n: u64) {
    let body = serde_json::json!({"trace": trace(n).to_string(), "trigger": "manual"});
    agent.post("/v1/triggers/fire", &body);
}

fn losses(holding: &Holding) -> Vec<LossInterval> {
    let corrupt = |loss: &&LossInterval| loss.reason == Some(DropReason::Corrupt);
    holding.losses.iter().filter(corrupt).copied().collect()
}

fn holding(collector: &Collector, n: u64) -> Holding {
    eventually("a holding", || collector.holding(trace(n)))
}

/// Waits until a holding of the trace names damage that lasted at least until `ns`.
fn until_damaged(collector: &Collector, n: u64, ns: u64) -> Holding {
    eventually("the damage is named", || {
        collector.holding(trace(n)).filter(|holding| losses(holding).iter().any(|loss| loss.last_ns >= ns))
    })
}

fn corrupt(agent: &Agent) -> u64 {
    agent.metric("backsight_agent_drops_total{reason=\"corrupt\"}").unwrap()
}

/// What a process does to a chunk that it fills, which stands at an offset and begins with two segments.
type Wound = fn(&Client, u64);

const WOUNDS: [(&str, Wound); 5] = [
    ("a committed length", |client, at| overwrite(client, at + chunk::HEAD, |head| head | 0xffff8)),
    ("an identity", |client, at| overwrite(client, at + chunk::IDENTITY, |_| 0)),
    ("a generation", |client, at| {
        let other = |head| Head { generation: 77, ..Head::unpack(head) }.pack();
        overwrite(client, at + chunk::HEAD, other);
    }),
    ("a segment's header", |client, at| overwrite(client, at + chunk::BYTES, |_| 0)),
    ("a link that leaves segments out", |client, at| {
        let newest = Head::unpack(client.memory.word(at + chunk::HEAD).load(Relaxed)).last_segment;
        overwrite(client, at + u64::from(newest), |word| Header { dt: 0, ..Header::unpack(word) }.pack());
    }),
];

/// For each way to damage a chunk, whatever the process says about its times: its other traces name the loss, those of other processes none.
#[test]
fn a_trace_with_a_segment_in_a_chunk_that_its_process_damages_names_a_loss_and_others_do_not() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let honest = Client::connect(&agent.socket(), "honest");
    let mut others = honest.thread(1);
    for (n, (what, wound)) in (1..).zip(WOUNDS) {
        let (shared, other) = (10 * n, 10 * n + 1);
        let before = wall_ns();
        let client = Client::connect(&agent.socket(), "damaged");
        client.wait_for_grants();
        let (mut sound, mut leaf) = (client.thread(1), client.thread(2));
        assert!(sound.visit(trace(shared), "root", b"") && others.visit(trace(other), "other", b""));
        assert!(leaf.visit(trace(shared), "leaf", b"") && leaf.visit(trace(5), "cover", b""));
        let at = chunk_of(&leaf);
        overwrite(&client, at + chunk::FIRST_TICKS, |_| u64::MAX);
        wound(&client, at);
        let n_corrupt = corrupt(&agent);
        leaf.exit();
        eventually("it is noticed", || (corrupt(&agent) > n_corrupt).then_some(()));
        fire(&agent, shared);
        fire(&agent, other);
        let found = losses(&holding(&collector, shared));
        assert!(found.iter().any(|loss| loss.first_ns <= wall_ns() && loss.last_ns >= before), "{what}: {found:?}");
        let found = holding(&collector, other);
        assert_eq!((found.state, found.losses), (HoldingState::Kept, vec![]), "{what}");
    }
}

/// An open chunk is looked into for what is triggered; what cannot be found there is missing.
#[test]
fn an_open_chunk_that_cannot_be_read_is_a_loss_until_now() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let client = Client::connect(&agent.socket(), "damaged");
    client.wait_for_grants();
    let (mut sound, mut leaf) = (client.thread(1), client.thread(2));
    assert!(sound.visit(trace(1), "root", b"") && leaf.visit(trace(1), "leaf", b""));
    overwrite(&client, chunk_of(&leaf) + chunk::BYTES, |_| 0);
    let now = wall_ns();
    fire(&agent, 1);
    let found = until_damaged(&collector, 1, now - 5_000_000);
    assert_eq!(found.n_segments, 1, "what can be read is kept: {found:?}");
}

/// What was indexed is known to have been there: whoever writes over it later takes nothing back.
#[test]
fn a_segment_that_was_overwritten_after_its_chunk_was_sealed_is_missed() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let (honest, client) = (Client::connect(&agent.socket(), "honest"), Client::connect(&agent.socket(), "damaged"));
    client.wait_for_grants();
    let (mut other, mut thread) = (honest.thread(1), client.thread(1));
    // All of the same trace: what the other process has of it can be read.
    assert!(other.visit(trace(1), "other", b"") && thread.visit(trace(1), "leaf", b""));
    let at = chunk_of(&thread);
    thread.exit();
    eventually("it is indexed", || (agent.status()["pool"]["retained_bytes"] != 0).then_some(()));
    overwrite(&client, at + chunk::BYTES + 8, |_| 0); // another trace's now
    fire(&agent, 1);
    assert_eq!(losses(&holding(&collector, 1)).len(), 1);
}

/// What is overwritten when it leaves the pool cannot be read any more, and it is remembered whose it was.
#[test]
fn a_segment_that_was_overwritten_before_it_was_evicted_is_remembered() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&format!("{}[pool]\nbudget_bytes = 8388608\n", collector.config()));
    let client = Client::connect(&agent.socket(), "damaged");
    client.wait_for_grants();
    let (mut thread, mut flood) = (client.thread(1), client.thread(2));
    assert!(thread.visit(trace(1), "leaf", b""));
    let at = chunk_of(&thread);
    thread.exit();
    eventually("it is indexed", || (agent.status()["pool"]["retained_bytes"] != 0).then_some(()));
    overwrite(&client, at + chunk::BYTES + 8, |_| 0);
    let evicted = || agent.metric("backsight_agent_evicted_chunks_total").unwrap();
    eventually("it is evicted", || {
        for n in 0..100 {
            let _ = flood.visit(trace(1_000 + n), "flood", &[7; 4000]); // there may be no chunk
        }
        (evicted() > 10).then_some(())
    });
    fire(&agent, 1);
    assert_eq!(holding(&collector, 1).state, HoldingState::Evicted);
}

/// A trace was told of as it stood: what is damaged later in its process is told of once more.
#[test]
fn damage_that_is_found_later_is_told_to_whoever_was_told_before() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let client = Client::connect(&agent.socket(), "damaged");
    client.wait_for_grants();
    let (mut sound, mut leaf) = (client.thread(1), client.thread(2));
    assert!(sound.visit(trace(1), "root", b"") && leaf.visit(trace(5), "cover", b""));
    fire(&agent, 1);
    assert_eq!(holding(&collector, 1).losses, []);
    overwrite(&client, chunk_of(&leaf) + chunk::IDENTITY, |_| 0);
    leaf.exit();
    until_damaged(&collector, 1, 0);
}

/// A trace that went to this host, or that met somebody without a recorder, may have been in any process.
#[test]
fn a_trace_that_may_have_come_to_the_damaged_process_names_the_loss() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let own = AgentId(backsight_ringbuf::region::agent(&*Client::connect(&agent.socket(), "asks").memory).0);
    let (honest, client) = (Client::connect(&agent.socket(), "honest"), Client::connect(&agent.socket(), "damaged"));
    client.wait_for_grants();
    let mut leaf = client.thread(1);
    assert!(leaf.visit(trace(5), "cover", b""));
    overwrite(&client, chunk_of(&leaf) + chunk::IDENTITY, |_| 0);
    let mut thread = honest.thread(1);
    for (n, answered_by) in [(1, own), (2, AgentId::NONE), (3, AgentId(own.0 ^ 1))] {
        let now = honest.clock.ticks();
        assert!(thread.begin(trace(n)));
        let answer = u64::from(answered_by.0) | (CrumbDirection::To as u64) << 32;
        assert!(thread.writer.record(now, Kind::Crumb, 0, [answer, 7], &[]));
        thread.end();
    }
    let n_corrupt = corrupt(&agent);
    leaf.exit();
    eventually("it is noticed", || (corrupt(&agent) > n_corrupt).then_some(()));
    let damaged = [1, 2, 3].map(|n| {
        fire(&agent, n);
        !losses(&holding(&collector, n)).is_empty()
    });
    assert_eq!(damaged, [true, true, false], "of the third the other host would tell");
}

/// Nobody reads what an expelled process goes on to write.
#[test]
fn what_an_expelled_process_wrote_is_damaged_for_as_long_as_it_runs() {
    let collector = Collector::start(Conduct::Honest);
    let agent = Agent::start(&collector.config());
    let client = Client::connect(&agent.socket(), "damaged");
    client.wait_for_grants();
    let mut thread = client.thread(1);
    assert!(thread.visit(trace(1), "visit", b""));
    eventually("the session is closed", || {
        client.memory.word(lease_offset(0) + lease::SEALED).store(u64::MAX, Relaxed);
        client.ring();
        (agent.metric("backsight_agent_closed_sessions_total") == Some(1)).then_some(())
    });
    fire(&agent, 1);
    until_damaged(&collector, 1, 0);
    let now = wall_ns();
    // By more than what the agent's clock and this one may differ, and than a busy machine holds up a turn whose time was read.
    eventually("time passes", || (wall_ns() > now + 1_000_000_000).then_some(()));
    fire(&agent, 2);
    let found = until_damaged(&collector, 2, now);
    assert_eq!(found.state, HoldingState::NeverSeen);
    assert!(found.whole_since_ns >= Some(now), "it vouches for nothing: {found:?}");
}
