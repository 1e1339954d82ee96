//! Claims about many threads: slots and blocks are used again, and all that 200 threads write at once is found.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;

use agent::{Agent, Options};
use backsight_client::{Context, begin, raw, stats};
use backsight_core::telemetry::DropReason;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

fn start() -> Agent {
    Agent::start_joined(Options { n_leases: 16, ..Options::default() })
}

fn visit(n: u8) -> Context {
    let context = Context::new_trace();
    let _segment = begin(&context);
    raw(&[n; 16]);
    context
}

#[test]
fn five_thousand_threads_one_after_another_reuse_slots() {
    let agent = start();
    let mut last = Vec::new();
    for n in 0..5000_u32 {
        if n % 500 == 0 {
            agent.look(|_| ()); // the agent's own thread may be behind by more threads than there are slots and chunks
        }
        let context = std::thread::spawn(move || visit(n as u8)).join().unwrap();
        if n >= 4990 {
            last.push((n as u8, context.trace));
        }
    }
    for (n, trace) in last {
        assert_eq!(agent.trace(trace).visits[0].notes.payloads[0].bytes, [n; 16]);
    }
    agent.until("free slots", |sessions| sessions[0].n_slots() == 0);
    assert_eq!(stats().drops, []);
}

#[test]
fn two_hundred_threads_at_once_are_all_recorded() {
    let agent = start();
    let threads: Vec<_> =
        (0..200_u8).map(|n| std::thread::spawn(move || (0..20).map(|_| visit(n).trace).collect::<Vec<_>>())).collect();
    let traces: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    for (i, trace) in traces.iter().enumerate().step_by(97) {
        assert_eq!(agent.trace(*trace).visits[0].notes.payloads[0].bytes, [(i / 20) as u8; 16]);
    }
    assert_eq!((stats().drops.as_slice(), agent.n_corrupt()), (&[][..], 0));
}

/// A thread that never ends its segment leaves nothing behind: its chunk is sealed and its slot given up.
#[test]
fn thread_that_forgets_its_segment_gives_up_its_slot() {
    let agent = start();
    let context = Context::new_trace();
    std::thread::spawn(move || {
        std::mem::forget(begin(&context));
        raw(b"last");
    })
    .join()
    .unwrap();
    agent.until("a free slot", |sessions| sessions[0].n_slots() == 0);
    let trace = agent.trace(context.trace);
    assert!(trace.visits[0].end_ns.is_some() && trace.visits[0].notes.payloads.len() == 1, "{trace:#?}");
}

/// A process has one block fewer than a region has slots.
#[test]
fn threads_for_which_there_is_no_block_are_counted_where_the_agent_reads_it() {
    let agent = start();
    visit(0);
    let (gate, n_done) = (Arc::new(RwLock::new(())), Arc::new(AtomicUsize::new(0)));
    let closed = gate.write().unwrap();
    let spawn = |_| {
        let (gate, n_done) = (Arc::clone(&gate), Arc::clone(&n_done));
        std::thread::Builder::new().stack_size(64 << 10).spawn(move || {
            visit(1);
            n_done.fetch_add(1, Ordering::Relaxed);
            drop(gate.read().unwrap());
        })
    };
    let threads: Vec<_> = (0..4096).map(spawn).map_while(Result::ok).collect();
    let n_threads = threads.len();
    agent.until("visits", |_| n_done.load(Ordering::Relaxed) == n_threads);
    let n_refused = agent.dropped(DropReason::ThreadSlots);
    drop(closed);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    if n_threads == 4096 {
        assert!(n_refused > 0);
    } else {
        println!("skipped: this host runs no more than {n_threads} threads");
    }
}
