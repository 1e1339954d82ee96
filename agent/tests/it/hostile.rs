//! Clients that write anything anywhere: in their own region, on the socket, on the admin socket.

use crate::client::{Client, dial, hear, refusal, say};
use crate::harness::{Agent, eventually};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::session::Message;
use backsight_core::sync::Ordering::Relaxed;
use backsight_ringbuf::abi::{
    ABI_VERSION, LEASES_OFFSET, SLOTS_OFFSET, SPAN_OFFSET, STRINGS_OFFSET, header, lease, lease_offset,
};
use backsight_ringbuf::storage::Storage;
use rustix::net::{SendFlags, send};
use std::io::Write;
use std::time::Duration;

fn trace(n: u64) -> TraceId {
    TraceId::new(0xbad, n)
}

/// Deterministic noise (xorshift64*).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

fn check_whole(agent: &Agent, honest: &Client, n: u64) {
    assert!(honest.thread(9).visit(trace(n), "honest", b"whole"), "{}", agent.log());
    let found = agent.json(&format!("/v1/traces/{}", trace(n))).unwrap();
    assert_eq!(found["spans"][0]["name"], "honest", "{found}");
    assert_eq!(agent.get("/healthz").0, 200);
}

/// A process keeps its doorbell when its session is over, and others may hold its socket: neither wakes the agent any more.
#[test]
fn a_doorbell_that_is_rung_after_its_session_wakes_nobody() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "hostile");
    let (socket, doorbell) = (client.socket.try_clone().unwrap(), client.doorbell.try_clone().unwrap());
    say(&socket, &Message::Goodbye);
    drop(client); // with its mapping
    rustix::net::shutdown(&socket, rustix::net::Shutdown::Both).unwrap();
    eventually("the session ends", || agent.status()["sessions"].as_array().unwrap().is_empty().then_some(()));
    rustix::io::write(&doorbell, &1_u64.to_ne_bytes()).unwrap();
    let turns = || agent.metric("backsight_agent_turns_total").unwrap();
    let before = turns();
    std::thread::sleep(Duration::from_millis(300));
    let n = turns() - before;
    assert!(n < 1000, "{n} turns of a loop that has nothing to do");
}

/// No collector reads an announcement of no trigger: it would end the stream by which this host reports everything.
#[test]
fn no_trigger_fires_for_a_trace() {
    let agent = Agent::start("");
    let client = Client::connect(&agent.socket(), "hostile");
    let mut thread = client.thread(1);
    client.wait_for_grants();
    assert!(thread.visit(trace(1), "visit", b"") && thread.visit(trace(2), "visit", b""));
    assert!(thread.try_fire(TriggerId(0), trace(1), &[]));
    assert!(thread.try_fire(TriggerId::MANUAL, trace(2), &[]));
    eventually("the other one is kept", || (!agent.kept().is_empty()).then_some(()));
    assert_eq!(agent.kept(), [(trace(2).to_string(), "manual".to_owned())]);
    let body = serde_json::json!({"trace": trace(1).to_string(), "trigger": "0x0"});
    assert_eq!(agent.post("/v1/triggers/fire", &body).0, 404);
}

/// For every seed: whatever a client writes into its region, the agent and the data of others stay whole.
#[test]
fn random_bytes_in_a_region_harm_nobody_else() {
    let agent = Agent::start("[pool]\nbudget_bytes = 33554432\n");
    let honest = Client::connect(&agent.socket(), "honest");
    check_whole(&agent, &honest, 1);
    for seed in 1..=30 {
        let mut noise = Noise(seed);
        let hostile = Client::connect(&agent.socket(), "hostile");
        let mut thread = hostile.thread(1);
        for n in 0..20 {
            thread.visit(trace(1000 * seed + n), "bait", &[0; 300]);
        }
        let areas = [(0, 512), (LEASES_OFFSET, 1024), (SLOTS_OFFSET, 2048), (STRINGS_OFFSET, 512), (SPAN_OFFSET, 8192)];
        for _ in 0..4000 {
            let (start, n_words) = areas[(noise.next() % 5) as usize];
            let offset = start + 8 * (noise.next() % n_words);
            let value = match noise.next() % 4 {
                0 => noise.next(),
                1 => u64::MAX,
                2 => noise.next() & 0xffff,
                _ => hostile.memory.word(offset).load(Relaxed) ^ (1 << (noise.next() % 64)),
            };
            hostile.memory.word(offset).store(value, Relaxed);
        }
        hostile.memory.word(header::SLOT_BITS).store(u64::MAX, Relaxed);
        rustix::io::write(&hostile.doorbell, &1_u64.to_ne_bytes()).unwrap();
        let _ = agent.get(&format!("/v1/traces/{}", trace(1000 * seed)));
        check_whole(&agent, &honest, 1 + seed);
    }
}

#[test]
fn a_region_corrupted_again_and_again_closes_its_session() {
    let agent = Agent::start("");
    let honest = Client::connect(&agent.socket(), "honest");
    let hostile = Client::connect(&agent.socket(), "hostile");
    let lease = LEASES_OFFSET + 64;
    eventually("the session is closed", || {
        hostile.memory.word(lease).store(u64::MAX, Relaxed);
        rustix::io::write(&hostile.doorbell, &1_u64.to_ne_bytes()).unwrap();
        (agent.metric("backsight_agent_closed_sessions_total") == Some(1)).then_some(())
    });
    assert!(agent.metric("backsight_agent_drops_total{reason=\"corrupt\"}").unwrap() > 0);
    check_whole(&agent, &honest, 1);
}

/// Chunks that are retained, granted ahead or nobody's say that they are full: none is taken for another one, nor for the same once more.
#[test]
fn seals_of_chunks_that_no_thread_holds_are_corrupt_and_change_nothing() {
    let agent = Agent::start("");
    let hostile = Client::connect(&agent.socket(), "hostile");
    let mut thread = hostile.thread(1);
    for n in 1..=100 {
        eventually("the visit is recorded", || thread.visit(trace(n), "bait", &[7; 1000]).then_some(()));
    }
    thread.exit();
    // The agent frees the slot after it has looked at what its thread sealed.
    eventually("all is sealed", || (hostile.memory.word(header::SLOT_BITS).load(Relaxed) == 0).then_some(()));
    let retained = || agent.status()["pool"]["retained_bytes"].clone();
    let corrupt = || agent.metric("backsight_agent_drops_total{reason=\"corrupt\"}");
    let before = retained();
    assert_eq!(corrupt(), Some(0));
    for number in 0..8 {
        hostile.memory.word(lease_offset(number) + lease::SEALED).store(u64::MAX, Relaxed);
    }
    rustix::io::write(&hostile.doorbell, &1_u64.to_ne_bytes()).unwrap();
    eventually("it is counted", || (corrupt() > Some(0)).then_some(()));
    assert_eq!(retained(), before);
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(50))).0, 200);
}

#[test]
fn pages_that_nobody_granted_close_the_session_that_made_them() {
    let agent = Agent::start("[pool]\nbudget_bytes = 67108864\n");
    let hostile = Client::connect(&agent.socket(), "hostile");
    for page in 0..(48 << 20) / 4096 {
        hostile.memory.word(SPAN_OFFSET + 4096 * page).store(1, Relaxed);
    }
    eventually("the session is closed", || {
        (agent.metric("backsight_agent_closed_sessions_total") == Some(1)).then_some(())
    });
}

#[test]
fn noise_on_the_sockets_is_survived() {
    let agent = Agent::start("");
    let honest = Client::connect(&agent.socket(), "honest");
    let mut noise = Noise(42);
    for len in 0..200 {
        let socket = dial(&agent.socket());
        let bytes: Vec<u8> = (0..len * 4).map(|_| noise.next() as u8).collect();
        let _ = send(&socket, &bytes, SendFlags::NOSIGNAL);
        let mut admin = std::os::unix::net::UnixStream::connect(agent.dir.path().join("admin.sock")).unwrap();
        let _ = admin.write_all(&bytes);
    }
    for request in ["/v1/nothing", "/v1/traces/xyz", "/v1/traces/0", "/"] {
        assert!((400..500).contains(&agent.get(request).0), "{request}");
    }
    check_whole(&agent, &honest, 1);
}

/// Who says nothing, or asks what nobody can answer, is counted by reason, and harms nobody.
#[test]
fn connections_without_a_hello_and_requests_without_a_sense_are_counted_by_reason() {
    let agent = Agent::start("");
    let unheard = |reason| agent.metric(&format!("backsight_agent_unheard_connections_total{{reason=\"{reason}\"}}"));
    let refused = |reason| agent.metric(&format!("backsight_agent_refused_requests_total{{reason=\"{reason}\"}}"));
    assert_eq!(["too_late", "left"].map(unheard), [Some(0); 2]);
    let reasons = ["unknown_name", "method", "malformed", "too_late", "busy"];
    assert_eq!(reasons.map(refused), [Some(0); 5]);
    let (silent, leaves) = (dial(&agent.socket()), dial(&agent.socket()));
    let refused_hello = refusal(&agent.socket(), 0x0007_0009);
    assert!(refused_hello.contains("7.9"), "it said hello, and those before it were accepted: {refused_hello}");
    drop(leaves);
    eventually("who left is counted", || (unheard("left") == Some(1)).then_some(()));
    assert_eq!(agent.get("/v1/nothing").0, 404);
    assert_eq!((agent.get("/v1/traces/xyz").0, agent.post("/v1/triggers/fire", &"text".into()).0), (400, 400));
    assert_eq!(agent.post("/v1/status", &"".into()).0, 405);
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(7))).0, 404, "asked well, and not here");
    let mut admin = std::os::unix::net::UnixStream::connect(agent.dir.path().join("admin.sock")).unwrap();
    admin.write_all(b"no HTTP\r\n\r\n").unwrap();
    eventually("all are counted", || (refused("malformed") == Some(3)).then_some(()));
    assert_eq!(reasons.map(refused), [Some(1), Some(1), Some(3), Some(0), Some(0)]);
    assert_eq!(hear(&silent).0, b"", "the agent closes it");
    assert_eq!(["too_late", "left"].map(unheard), [Some(1), Some(1)]);
}

#[test]
fn a_client_of_another_abi_is_refused_with_both_versions() {
    let agent = Agent::start("");
    let reason = refusal(&agent.socket(), 0x0007_0009);
    let (major, minor) = (ABI_VERSION >> 16, ABI_VERSION & 0xffff);
    let versions = format!("the agent has shared-memory ABI {major}.{minor}, the program 7.9: ");
    assert_eq!(reason, versions + "rebuild the program or update the agent");
}

#[test]
fn sessions_over_the_bound_are_refused_with_a_reason() {
    let agent = Agent::start("[pool]\nsessions_per_uid = 3\n");
    let clients: Vec<_> = (0..3).map(|_| Client::connect(&agent.socket(), "one")).collect();
    let reason = refusal(&agent.socket(), ABI_VERSION);
    assert!(reason.contains("has all 3 sessions that one user may have"), "{reason}");
    drop(clients);
    eventually("places are free again", || agent.status()["sessions"].as_array().unwrap().is_empty().then_some(()));
    Client::connect(&agent.socket(), "four");
}
