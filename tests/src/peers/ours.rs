//! Backsight itself, as applications use it: the Rust API, against a real agent process that grants and evicts.
//!
//! Called through [`Peer`]. The agent's own time is not counted here; `rec-rpc` counts it.

use std::cell::OnceCell;
use std::hint::black_box;

use anyhow::{Context as _, Result};
use backsight::{Context, Settings, TraceId};
use backsight_client::ffi::with_writer;
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::{shm::View, slot, writer::Writer};

use super::{OURS, Op, Peer, VISIT_PAYLOAD, ops_per_burst, visits_per_burst};
use crate::bench::{
    pace::{self, Load, VISIT_BYTES},
    threads::{Measurement, per_op_in_bursts},
};
use crate::harness::agent::{Agent, AgentOptions};
use crate::harness::session;

/// The pool of the bench's agent: large enough that a burst outlives the time until the agent is scheduled.
pub(super) const BUDGET_BYTES: u64 = 512 << 20;

/// What a span writes behind the header of its first record, and an attribute behind its own.
const SPAN_BYTES: usize = 32;
const ATTR_BYTES: usize = 16;

/// The recorder, and the agent it needs, which is started when it is first measured.
#[derive(Default)]
pub struct Ours {
    agent: OnceCell<Agent>,
}

impl Ours {
    /// Returns the agent, which is started and has this process's session by then.
    ///
    /// # Errors
    /// The agent cannot be started, or takes no session.
    pub fn agent(&self) -> Result<&Agent> {
        self.session()?;
        self.agent.get().context("a session without its agent")
    }

    /// Starts the agent and opens this process's session.
    fn session(&self) -> Result<()> {
        if self.agent.get().is_some() {
            return Ok(());
        }
        let agent = Agent::start(AgentOptions { budget_bytes: BUDGET_BYTES, ..AgentOptions::default() })?;
        let socket = agent.socket();
        session::join(Settings { socket: socket.to_str(), service: Some("bench") })?;
        fill_pool();
        self.agent.set(agent).ok().context("the agent was started twice")
    }
}

impl Peer for Ours {
    fn name(&self) -> &'static str {
        OURS
    }

    fn measures(&self) -> &'static str {
        "the Rust API with an agent process that grants, indexes and evicts: event is backsight::raw inside an open segment, begin_end \
         includes the thread slot's context, span has an interned name; all in bursts that the agent keeps up with; lost_share counts records that \
         found no chunk"
    }

    fn supports(&self, _: Op) -> bool {
        true
    }

    fn measure(&self, op: Op, threads: usize, n: u64) -> Result<Measurement> {
        self.session()?;
        match op {
            Op::Event { payload } => per_op_in_bursts(threads, n, ops_per_burst(payload), || {
                let payload = vec![7_u8; payload];
                in_segment(move || backsight::raw(black_box(&payload)))
            }),
            Op::Span => per_op_in_bursts(threads, n, ops_per_burst(SPAN_BYTES), || {
                in_segment(|| drop(black_box(backsight::span!("span"))))
            }),
            Op::Attr => per_op_in_bursts(threads, n, ops_per_burst(ATTR_BYTES), || {
                in_segment(|| backsight::attr!("key", black_box(7_i64)))
            }),
            Op::BeginEnd => per_op_in_bursts(threads, n, visits_per_burst(0), || visits(0)),
            Op::Visit { events } => per_op_in_bursts(threads, n, visits_per_burst(events), || visits(events)),
        }
    }

    fn measures_loss(&self) -> bool {
        true
    }

    fn lost_share(&self, load: Load) -> Result<f64> {
        self.session()?;
        let n_events = VISIT_BYTES as usize / (8 + VISIT_PAYLOAD);
        pace::lost_share(load, || {
            let mut work = visits(n_events);
            move || work(1)
        })
    }
}

/// Writes as much as the pool holds, and half of that again: a recorder spends its life with a full pool, whose pages are all there.
fn fill_pool() {
    let payload = [0_u8; 4096];
    let mut work = in_segment(|| backsight::raw(black_box(&payload)));
    for _ in 0..BUDGET_BYTES * 3 / 2 / (1 << 20) {
        work((1 << 20) / payload.len() as u64);
        std::thread::sleep(std::time::Duration::from_millis(1)); // the agent keeps up
    }
}

/// Returns work that runs `record` within one segment for each run of operations, and says what was lost.
fn in_segment(record: impl Fn()) -> impl FnMut(u64) -> f64 {
    move |n| {
        let before = lost();
        let _segment = backsight::begin(&Context::new_trace());
        for _ in 0..n {
            record();
        }
        (lost() - before) as f64 / n as f64
    }
}

/// Returns work that begins a trace, records `n_events` events and ends it, and says what was lost.
fn visits(n_events: usize) -> impl FnMut(u64) -> f64 {
    let payload = [7_u8; VISIT_PAYLOAD];
    let mut context = Context::new_trace();
    move |n| {
        let before = lost();
        for _ in 0..n {
            context.trace = TraceId::new(context.trace.hi, context.trace.lo.wrapping_add(1) | 1);
            let _segment = backsight::begin(&context);
            for _ in 0..n_events {
                backsight::raw(black_box(&payload));
            }
        }
        let per_visit = n_events.max(1) as f64;
        (lost() - before) as f64 / (n as f64 * per_visit)
    }
}

/// Returns how many records of this thread found no chunk.
fn lost() -> u64 {
    let of_writer = |writer: &mut Writer<View>, _| match writer.store().is_mapped() {
        true => slot::drops(writer.store(), writer.slot_number())[DropReason::NoChunk as usize],
        false => 0,
    };
    with_writer(of_writer).unwrap_or(0)
}
