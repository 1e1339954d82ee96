//! What one process, or one user, may take of the pool, of the index, and of what others record.

use crate::client::{Client, Thread};
use crate::harness::{Agent, eventually};
use backsight_core::ids::TraceId;
use backsight_core::sync::Ordering::Relaxed;
use backsight_ringbuf::abi::header;
use backsight_ringbuf::storage::Storage as _;

/// A pool of 8 MiB in which no data is as old as it should get.
const POOL: &str = "[pool]\nbudget_bytes = 8388608\n[horizon]\ntarget_ms = 600000\n";
/// The traces of the process that writes little.
const QUIET: std::ops::Range<u64> = 1..300;

fn trace(n: u64) -> TraceId {
    TraceId::new(0x5ba, n)
}

/// Writes one visit for each trace of `traces`, waiting for chunks where the agent has granted none yet.
fn write(thread: &mut Thread<'_>, traces: std::ops::Range<u64>, payload: &[u8]) {
    for n in traces {
        eventually("the visit is recorded", || thread.visit(trace(n), "visit", payload).then_some(()));
    }
}

/// Returns the session of a process that wrote [`QUIET`].
fn quiet(agent: &Agent) -> Client {
    let client = Client::connect(&agent.socket(), "quiet");
    let mut thread = client.thread(1);
    write(&mut thread, QUIET, &[7; 1000]);
    thread.exit();
    client
}

fn check_quiet(agent: &Agent) {
    for n in QUIET.step_by(23) {
        assert_eq!(agent.get(&format!("/v1/traces/{}", trace(n))).0, 200, "trace {n} of the quiet process");
    }
}

/// Connects as another user, where this one may.
fn connect_as_user(agent: &Agent, uid: u32, service: &str) -> Option<Client> {
    use rustix::thread::{Uid, set_thread_res_uid};
    let connect = || {
        let uid = Uid::from_raw(uid);
        set_thread_res_uid(uid, uid, uid).ok()?; // of this thread alone
        Some(Client::connect(&agent.socket(), service))
    };
    std::thread::scope(|scope| scope.spawn(connect).join().unwrap())
}

#[test]
fn a_process_of_many_tiny_segments_evicts_its_own_from_the_index() {
    let agent = Agent::start(POOL);
    let _quiet = quiet(&agent);
    let loud = Client::connect(&agent.socket(), "loud");
    let mut thread = loud.thread(1);
    // Less than its share of the pool, and twice as many segments as the index has room for.
    write(&mut thread, 10_000..46_000, b"");
    let evicted = agent.metric("backsight_agent_index_evicted_chunks_total").unwrap();
    assert!(evicted > 0, "the index was full");
    check_quiet(&agent);
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(45_999))).0, 200, "the newest is there");
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(10_000))).0, 404, "its own oldest went");
}

#[test]
fn a_process_whose_segments_become_tiny_gets_the_chunks_that_its_large_ones_had() {
    let agent = Agent::start(POOL);
    let client = Client::connect(&agent.socket(), "changing");
    let mut thread = client.thread(1);
    // Fills the pool; what the index has no room for later leaves chunks that are free, and keep their pages.
    write(&mut thread, 1..9_000, &[7; 1000]);
    write(&mut thread, 10_000..200_000, b"");
    let evicted = agent.metric("backsight_agent_index_evicted_chunks_total").unwrap();
    assert!(evicted > 0, "the index was full");
    assert_eq!(agent.get(&format!("/v1/traces/{}", trace(199_999))).0, 200, "the newest is there");
}

#[test]
fn a_process_that_seals_nothing_gets_no_more_than_its_share() {
    let agent = Agent::start(POOL);
    let quiet = quiet(&agent);
    let hoarder = Client::connect(&agent.socket(), "hoarder");
    let mut threads = Vec::new();
    let mut n_without = 0;
    // Each thread keeps its chunk open, and its slot has a page, too: 3,000 of them would take all of the pool three times.
    for n in 0..3_000 {
        hoarder.ring();
        let mut thread = hoarder.thread(n);
        n_without += u32::from(!thread.visit(trace(10_000 + u64::from(n)), "visit", b""));
        threads.push(thread);
        if n % 64 == 0 {
            agent.status(); // the agent has had its turn
        }
    }
    assert!(n_without > 0, "all of them got a chunk");
    check_quiet(&agent);
    let mut thread = quiet.thread(2);
    write(&mut thread, 100_000..102_000, &[7; 1000]);
    let newest: Vec<u64> = (100_000..102_000).rev().step_by(100).take(10).collect();
    for n in newest {
        assert_eq!(agent.get(&format!("/v1/traces/{}", trace(n))).0, 200, "trace {n}: others go on recording");
    }
}

#[test]
fn processes_of_one_user_take_no_more_than_its_share() {
    let agent = Agent::start(POOL);
    let _quiet = quiet(&agent);
    let names = ["loud-1", "loud-2", "loud-3", "loud-4"];
    let connected: Option<Vec<Client>> = names.iter().map(|name| connect_as_user(&agent, 65_534, name)).collect();
    let Some(loud) = connected else {
        return println!("skipped: only root may connect as another user");
    };
    let mut threads: Vec<_> = loud.iter().map(|client| client.thread(1)).collect();
    for round in 0..30_u64 {
        for (n, thread) in (0_u64..).zip(&mut threads) {
            let first = 10_000 + 1_000 * (4 * round + n);
            write(thread, first..first + 400, &[7; 1000]);
        }
    }
    check_quiet(&agent);
    assert!(agent.metric("backsight_agent_horizon_over_share_ms").is_some());
}

/// Returns the threshold below which traces lose their verbose detail in a process.
fn detail_threshold(client: &Client) -> u64 {
    client.memory.word(header::DETAIL_THRESHOLD_3).load(Relaxed)
}

#[test]
fn a_process_that_writes_too_much_leaves_detail_out_alone() {
    let agent = Agent::start("[pool]\nbudget_bytes = 8388608\n");
    let few = Client::connect(&agent.socket(), "quiet");
    let loud = Client::connect(&agent.socket(), "loud");
    let (mut few_thread, mut loud_thread) = (few.thread(1), loud.thread(1));
    let mut n = 0;
    // The quiet one writes so little that its data would get old enough by far.
    eventually("the loud one leaves detail out", || {
        write(&mut loud_thread, 100_000 + n..100_100 + n, &[7; 1000]);
        few_thread.visit(trace(n), "visit", &[7; 16]);
        n += 100;
        (detail_threshold(&loud) > 0).then_some(())
    });
    assert_eq!(detail_threshold(&few), 0);
    assert_eq!(agent.metric("backsight_agent_processes_shedding"), Some(1));
    let sessions = agent.status()["sessions"].clone();
    let sheds = |service: &str| {
        sessions.as_array().unwrap().iter().find(|of| of["service"] == service).unwrap()["sheds_alone"] == true
    };
    assert!(sheds("loud") && !sheds("quiet"), "{sessions}");
}
