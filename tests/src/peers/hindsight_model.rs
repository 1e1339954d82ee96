//! The data plane of the published Hindsight, rebuilt from section 2 of the spec (`docs/spec` names the paper), to compare with.
//!
//! Called through [`Peer`]. It is a model and always called so: 32 KiB buffers in one anonymous shared mapping, two bounded MPMC rings
//! between the writers and an agent thread that recycles the oldest buffers above 80 % of the pool. Triggers, crumbs and reporting are
//! left out, as none of them is on the path that is measured. A writer lives on its thread's stack, not behind a thread-local lookup,
//! which favours the model.

use std::{
    cell::RefCell,
    collections::VecDeque,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use self::{
    mapping::Mapping,
    ring::{Ring, ring_words},
    writer::Writer,
};
use super::{Op, PAYLOADS, Peer, VISIT_PAYLOAD, ops_per_burst, unsupported, visits_per_burst};
use crate::bench::{
    pace::{self, Load, VISIT_BYTES},
    threads::{Measurement, per_op_in_bursts},
};

mod mapping;
mod ring;
mod writer;

/// The length of a buffer, as published.
const BUFFER_BYTES: usize = 32 << 10;
/// 256 MiB, a quarter of the published pool: benches must fit beside each other on small machines.
const N_BUFFERS: usize = 8192;
/// The agent evicts above this many retained buffers: 80 % of the pool.
const RETAINED_MAX: usize = N_BUFFERS / 10 * 8;
/// The agent takes at most this many buffers from a ring at once.
const BATCH_BUFFERS: usize = 100;
/// How long the agent sleeps when the complete ring is empty.
const POLL: Duration = Duration::from_micros(50);
/// A span call of the published OpenTelemetry tracer: {type, span id, timestamp, size}, the time stamp written by the writer.
const SPAN_CALL_BYTES: usize = 24;
/// The same with a key and a value behind it.
const ATTR_CALL_BYTES: usize = SPAN_CALL_BYTES + 16;

/// Hindsight's data plane as a peer; its pool is mapped when it is first measured.
#[derive(Default)]
pub struct HindsightModel {
    pool: RefCell<Option<Pool>>,
}

impl Peer for HindsightModel {
    fn name(&self) -> &'static str {
        "hindsight-model"
    }

    fn measures(&self) -> &'static str {
        "section 2's data plane rebuilt: 32 KiB buffers, 256 MiB pool, available and complete rings with CAS and a status word per slot, \
         an agent thread that recycles (its time not counted); events carry an 8-byte time stamp, a span is two 32-byte calls; \
         in bursts that the agent keeps up with; lost_share counts null buffers"
    }

    fn supports(&self, op: Op) -> bool {
        !matches!(op, Op::Event { payload } if !PAYLOADS.contains(&payload))
    }

    fn measure(&self, op: Op, threads: usize, n: u64) -> Result<Measurement> {
        self.with_agent(|pool| match op {
            Op::Event { payload: 8 } => in_trace(pool, threads, n, 8, Writer::tracepoint::<8>),
            Op::Event { payload: 32 } => in_trace(pool, threads, n, 32, Writer::tracepoint::<32>),
            Op::Event { payload: 128 } => in_trace(pool, threads, n, 128, Writer::tracepoint::<128>),
            Op::Event { payload: 512 } => in_trace(pool, threads, n, 512, Writer::tracepoint::<512>),
            Op::Event { payload: 2048 } => in_trace(pool, threads, n, 2048, Writer::tracepoint::<2048>),
            Op::Event { .. } => Err(unsupported(self, op)),
            Op::Span => in_trace(pool, threads, n, 2 * SPAN_CALL_BYTES, |writer| {
                writer.tracepoint::<SPAN_CALL_BYTES>();
                writer.tracepoint::<SPAN_CALL_BYTES>();
            }),
            Op::Attr => in_trace(pool, threads, n, ATTR_CALL_BYTES, Writer::tracepoint::<ATTR_CALL_BYTES>),
            Op::BeginEnd => per_op_in_bursts(threads, n, visits_per_burst(0), || visits(pool, 0)),
            Op::Visit { events } => per_op_in_bursts(threads, n, visits_per_burst(events), || visits(pool, events)),
        })
    }

    fn measures_loss(&self) -> bool {
        true
    }

    fn lost_share(&self, load: Load) -> Result<f64> {
        let n_events = VISIT_BYTES as usize / (8 + VISIT_PAYLOAD);
        self.with_agent(|pool| {
            pace::lost_share(load, || {
                let mut writer = Writer::new(pool);
                let mut trace = 0;
                move || {
                    trace += 1;
                    visit(&mut writer, trace, n_events);
                    writer.take_lost_share()
                }
            })
        })
    }
}

impl HindsightModel {
    /// Runs `work` beside an agent thread, which ends with it so that it takes no core from other peers.
    fn with_agent<T>(&self, work: impl FnOnce(&Pool) -> Result<T>) -> Result<T> {
        let mut slot = self.pool.borrow_mut();
        let pool = match slot.take() {
            Some(pool) => slot.insert(pool),
            None => slot.insert(Pool::new()?),
        };
        let mut retained = std::mem::take(&mut pool.retained);
        let (shared, stop) = (&*pool, AtomicBool::new(false));
        let outcome = thread::scope(|scope| {
            scope.spawn(|| shared.recycle_until(&stop, &mut retained));
            let outcome = work(shared);
            // Relaxed: the agent only needs to see it some time; the scope's join orders everything else.
            stop.store(true, Ordering::Relaxed);
            outcome
        });
        pool.retained = retained;
        outcome
    }
}

/// The memory that writers and the agent share.
struct Pool {
    memory: Mapping,
    /// Full buffers that the agent keeps, oldest first.
    retained: VecDeque<u64>,
}

impl Pool {
    const RING_WORDS: usize = ring_words(N_BUFFERS);
    const RINGS_BYTES: usize = (2 * Self::RING_WORDS * 8).next_multiple_of(4096);

    /// Maps the pool and makes every buffer available.
    fn new() -> Result<Self> {
        let memory = Mapping::new(Self::RINGS_BYTES + N_BUFFERS * BUFFER_BYTES)
            .context("mapping the pool of hindsight-model")?;
        let pool = Self { memory, retained: VecDeque::with_capacity(N_BUFFERS) };
        for id in 0..N_BUFFERS as u64 {
            pool.available().push([id, 0]);
        }
        Ok(pool)
    }

    /// Buffer ids, from the agent to the writers.
    fn available(&self) -> Ring<'_> {
        Ring::new(self.memory.words(0, Self::RING_WORDS))
    }

    /// {buffer id, trace}, from the writers to the agent.
    fn complete(&self) -> Ring<'_> {
        Ring::new(self.memory.words(Self::RING_WORDS, Self::RING_WORDS))
    }

    /// Returns where buffer `id` begins.
    fn buffer(&self, id: u64) -> *mut u8 {
        self.memory.at(Self::RINGS_BYTES + id as usize * BUFFER_BYTES, BUFFER_BYTES)
    }

    /// The agent: takes complete buffers, keeps them in order, and gives back the oldest above its share.
    fn recycle_until(&self, stop: &AtomicBool, retained: &mut VecDeque<u64>) {
        // Relaxed: see the store.
        while !stop.load(Ordering::Relaxed) {
            let mut n_taken = 0;
            while n_taken < BATCH_BUFFERS
                && let Some([id, _trace]) = self.complete().pop()
            {
                retained.push_back(id);
                n_taken += 1;
            }
            while retained.len() > RETAINED_MAX
                && let Some(id) = retained.pop_front()
            {
                self.available().push([id, 0]);
            }
            if n_taken == 0 {
                thread::sleep(POLL);
            }
        }
    }
}

/// Measures `op`, which writes `bytes` bytes of payload.
fn in_trace<'p>(
    pool: &'p Pool,
    threads: usize,
    n: u64,
    bytes: usize,
    op: impl Fn(&mut Writer<'p>) + Sync,
) -> Result<Measurement> {
    per_op_in_bursts(threads, n, ops_per_burst(bytes), || {
        let mut writer = Writer::new(pool);
        writer.begin(1);
        let op = &op;
        move |n| {
            for _ in 0..n {
                op(&mut writer);
            }
            writer.take_lost_share()
        }
    })
}

fn visits(pool: &Pool, n_events: usize) -> impl FnMut(u64) -> f64 {
    let mut writer = Writer::new(pool);
    move |n| {
        for trace in 1..=n {
            visit(&mut writer, trace, n_events);
        }
        writer.take_lost_share()
    }
}

#[inline(always)]
fn visit(writer: &mut Writer<'_>, trace: u64, n_events: usize) {
    writer.begin(trace);
    for _ in 0..n_events {
        writer.tracepoint::<VISIT_PAYLOAD>();
    }
    writer.end();
}

#[cfg(test)]
mod tests;
