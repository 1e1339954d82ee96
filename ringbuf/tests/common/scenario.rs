//! Writer threads and one agent on a tiny pool: chunks granted, filled, read while open, drained and granted again, slots reused.
//!
//! The same code runs on real threads (`threads.rs`) and under a scheduler that chooses who goes next (`shuttle.rs`).

use crate::log::{Item, Log, chain};
use crate::model::Model;
use crate::region::{Agent, Chunk, Chunks};
use backsight_core::ids::{AgentId, SpanId, TraceId, TriggerId};
use backsight_core::record::{Kind, align8};
use backsight_core::sync::Ordering::{Acquire, Relaxed, Release};
use backsight_core::sync::{Arc, AtomicU32, spin};
use backsight_ringbuf::abi::{Class, slot, slot_offset};
use backsight_ringbuf::ring::{self, Signal};
use backsight_ringbuf::slot::{self as thread_slot, State};
use backsight_ringbuf::storage::Storage;
use backsight_ringbuf::writer::{Carried, SegmentStart, Writer};
#[cfg(shuttle)]
use shuttle::thread;
use std::collections::BTreeMap;
#[cfg(not(shuttle))]
use std::thread;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) n_writers: u32,
    /// How often each writer takes a slot, writes, and gives it back.
    pub(crate) n_lives: u32,
    pub(crate) n_records: u32,
    pub(crate) record_bytes_max: u64,
    pub(crate) seed: u64,
}

/// What one life of a writer did: the log that must be found, and the signals that must have arrived.
struct Life {
    tid: u32,
    model: Model,
    signals: Vec<u64>,
}

/// What the agent saw of one life.
#[derive(Default)]
struct Seen {
    chunks: Vec<Chunk>,
    signals: Vec<u64>,
    untold: u64,
}

/// Runs writers and agent to their end; every committed record is seen exactly once, none is invented, every signal arrives.
pub(crate) fn run<S: Storage + Send + Sync + 'static>(store: S, chunks: Chunks, load: Load) {
    let store = Arc::new(store);
    let agent = Agent::new(store.clone(), chunks, 1_000_000);
    let n_done = Arc::new(AtomicU32::new(0));
    let writers: Vec<_> = (0..load.n_writers)
        .map(|number| {
            let (store, n_done) = (store.clone(), n_done.clone());
            thread::spawn(move || {
                let lives: Vec<Life> =
                    (0..load.n_lives).map(|life| live(&store, load, 100 * (number + 1) + life)).collect();
                n_done.fetch_add(1, Release); // pairs with the agent's load
                lives
            })
        })
        .collect();
    let (mut seen, n_held) = serve(agent, load.n_writers, &n_done);
    assert_eq!(n_held, 0, "threads that are gone hold no chunk");
    for life in writers.into_iter().flat_map(|writer| writer.join().expect("a writer ends")) {
        let seen = seen.remove(&life.tid).unwrap_or_default();
        let mut log = Log::default();
        for chunk in chain(seen.chunks, None) {
            log.take(&chunk);
        }
        life.model.check(&log, seen.untold);
        assert_eq!(seen.signals, life.signals, "signals arrive once, in order");
    }
    assert!(seen.is_empty(), "threads that never lived: {:?}", seen.keys());
}

/// A small generator, so that a run depends on its seed and the schedule alone.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn live<S: Storage>(store: &Arc<S>, load: Load, tid: u32) -> Life {
    let mut random = Random(load.seed ^ u64::from(tid));
    let number = loop {
        match thread_slot::claim(store, tid) {
            Some(number) => break number,
            None => spin(),
        }
    };
    let mut writer = Writer::new(store.clone(), number, tid);
    let mut life = Life { tid, model: Model::default(), signals: Vec::new() };
    let mut now = 1;
    for _ in 0..load.n_records {
        now += 7; // a call that fills several chunks counts a tick for each
        match random.below(8) {
            0 | 1 => {
                let parent_span = SpanId(life.model.n_visits() as u64 + 1);
                let trace = TraceId::new(u64::from(tid), parent_span.0);
                let carried = Carried { from_agent: AgentId(tid), ..Carried::default() };
                let start = SegmentStart { trace, parent_span, carried, ..SegmentStart::default() };
                let begun = writer.begin(start, now);
                life.model.begin(start, now, begun);
            }
            2 => {
                writer.end(now);
                life.model.end(now);
            }
            3 => {
                let laterals: Vec<_> = (0..random.below(8)).map(|i| TraceId::new(now, i)).collect();
                let trace = TraceId::new(u64::from(tid), now);
                if ring::push_trigger(store, number, TriggerId(tid), trace, now, &laterals) {
                    life.signals.push(now);
                }
            }
            _ => {
                let bytes = random.below(load.record_bytes_max) as usize;
                if !write(&mut writer, &mut life.model, now, bytes) {
                    spin();
                }
            }
        }
    }
    writer.exit(now + 1);
    life.model.end(now + 1);
    life
}

/// Writes one record of `bytes` bytes that no other is equal to, and tells the model.
fn write<S: Storage>(writer: &mut Writer<Arc<S>>, model: &mut Model, now: u64, bytes: usize) -> bool {
    let mark = now as u8 ^ writer.slot_number() as u8;
    let tail: Vec<u8> = (0..bytes).map(|i| i as u8 ^ mark).collect();
    let accepted = writer.record(now, Kind::Named, 0, [now], &tail);
    let body = [&now.to_le_bytes()[..], &tail].concat();
    let stored = 8 + align8(body.len() as u64);
    model.record(Item { ticks: now, kind: Kind::Named as u8, flags: 0, body }, stored, accepted);
    accepted
}

/// What the agent does until every writer is done and everything is drained.
fn serve<S: Storage>(mut agent: Agent<Arc<S>>, n_writers: u32, n_done: &AtomicU32) -> (BTreeMap<u32, Seen>, usize) {
    let mut seen: BTreeMap<u32, Seen> = BTreeMap::new();
    let mut open: BTreeMap<(u32, u32), Chunk> = BTreeMap::new();
    loop {
        let all_done = n_done.load(Acquire) == n_writers; // pairs with the writers' last step
        let class = if seen.len() % 3 == 2 { Class::Medium } else { Class::Small };
        let _ = agent.grant(class).or_else(|| agent.grant(Class::Small));
        for chunk in agent.open_chunks() {
            open.insert((chunk.id.code(), chunk.info.head.generation), chunk);
        }
        let exited: Vec<(u32, u32)> = thread_slot::taken(&agent.store)
            .filter_map(|number| match thread_slot::state(&agent.store, number) {
                Some(State::Exited { tid }) => Some((number, tid)),
                _ => None,
            })
            .collect();
        for chunk in agent.drain() {
            if let Some(before) = open.remove(&(chunk.id.code(), chunk.info.head.generation)) {
                assert_goes_on(&before, &chunk);
            }
            seen.entry(chunk.info.tid).or_default().chunks.push(chunk);
        }
        take_signals(&agent, &mut seen);
        for (number, tid) in exited {
            let untold = agent.store.word(slot_offset(number) + slot::LOSS_RECORDS).load(Relaxed); // acquired with the state
            seen.entry(tid).or_default().untold = untold;
            thread_slot::release(&agent.store, number);
        }
        if all_done && thread_slot::taken(&agent.store).next().is_none() {
            agent.revoke_all();
            let n_held = agent.n_held_by_threads();
            return (seen, n_held);
        }
        spin();
    }
}

fn take_signals<S: Storage>(agent: &Agent<Arc<S>>, seen: &mut BTreeMap<u32, Seen>) {
    let taken: Vec<u32> = thread_slot::taken(&agent.store).collect();
    for number in taken {
        while let Some(signal) = ring::pop(&agent.store, number).expect("rings stay sound") {
            let Signal::Trigger { trigger, trace, ticks, laterals } = signal else { panic!("nobody sent {signal:?}") };
            assert_eq!(trace, TraceId::new(u64::from(trigger.0), ticks));
            for (i, lateral) in laterals.iter().enumerate() {
                assert_eq!(*lateral, TraceId::new(ticks, i as u64));
            }
            seen.entry(trigger.0).or_default().signals.push(ticks);
        }
    }
}

/// Asserts that what was read of an open chunk is the beginning of what it became, but for the flags of its segments.
fn assert_goes_on(before: &Chunk, after: &Chunk) {
    assert_eq!(
        (before.info.slot, before.info.tid, before.info.first_ticks),
        (after.info.slot, after.info.tid, after.info.first_ticks)
    );
    assert_eq!(before.info.prev_chunk, after.info.prev_chunk);
    assert!(after.preamble.starts_with(&before.preamble));
    assert!(before.segments.len() <= after.segments.len());
    for ((_, was), (_, is)) in before.segments.iter().zip(&after.segments) {
        let without_flags = |bytes: &[u8]| [&bytes[..44], &bytes[48..]].concat();
        assert!(without_flags(is).starts_with(&without_flags(was)), "a record changed after it was committed");
    }
}
