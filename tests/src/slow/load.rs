//! The load with Backsight: threads that serve requests at a rate, one of which is slow when it is asked for.
//!
//! Run by `bks-requests`. It is what `bench/peers/lttng/requests.c` is for LTTng; whoever changes one changes the other.

use super::{EVENT_BYTES, Load, Symptom};
use crate::bench::stats::SplitMix;
use anyhow::{Context as _, Result};
use backsight::{Context, TraceId, TriggerId};
use rustix::time::{ClockId, clock_gettime};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The left half of all traces.
pub const TRACE_HI: u64 = 0x510e;
/// How often a thread looks at the clock: it then serves all requests that are due.
const STEP: Duration = Duration::from_millis(1);

/// Returns the monotonic clock, in nanoseconds.
#[must_use]
pub fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Serves `load` until the end of its input; for each line it makes one request slow, and prints its [`Symptom`].
///
/// # Errors
/// A thread cannot be started.
pub fn serve(load: Load) -> Result<()> {
    static N_ASKED: AtomicUsize = AtomicUsize::new(0);
    for idx in 0..load.n_threads {
        let work = move || work(idx, load, &N_ASKED);
        std::thread::Builder::new().name(format!("serve-{idx}")).spawn(work).context("start a thread")?;
    }
    for line in std::io::stdin().lines() {
        line.context("read what to do")?;
        N_ASKED.fetch_add(1, Ordering::Relaxed); // a count that orders nothing
    }
    Ok(())
}

/// Returns what an event of a request holds: the request's id, and four words that no compression makes smaller, as LTTng's has none.
#[must_use]
pub fn payload(id: u64, event: usize) -> [u8; EVENT_BYTES] {
    let mut random = SplitMix(id << 16 | (event as u64) << 8);
    let mut payload = [0; EVENT_BYTES];
    let (first, others) = payload.split_at_mut(8);
    first.copy_from_slice(&id.to_le_bytes());
    others.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&random.next().to_le_bytes()));
    payload
}

/// Serves what is due of one thread, for as long as the process lives.
fn work(idx: usize, load: Load, n_asked: &AtomicUsize) {
    let (start, mut n_served, mut n_slow) = (Instant::now(), 0_u64, 0_usize);
    loop {
        let n_due = (start.elapsed().as_secs_f64() * load.requests_per_s / load.n_threads as f64) as u64;
        while n_served < n_due {
            let id = n_served * load.n_threads as u64 + idx as u64 + 1;
            let is_slow = idx == 0 && n_slow != n_asked.load(Ordering::Relaxed);
            let symptom = serve_one(id, load, is_slow);
            if let Some(symptom) = symptom {
                n_slow += 1;
                let mut stdout = std::io::stdout().lock();
                // Without somebody who listens there is nothing to do but to go on; the end of the input ends this.
                let _ = serde_json::to_writer(&mut stdout, &symptom);
                let _ = stdout.write_all(b"\n").and_then(|()| stdout.flush());
            }
            n_served += 1;
        }
        std::thread::sleep(STEP);
    }
}

/// Serves one request; a slow one waits half-way, and fires a trigger at its end.
fn serve_one(id: u64, load: Load, is_slow: bool) -> Option<Symptom> {
    let context = Context { trace: TraceId::new(TRACE_HI, id), ..Context::new_trace() };
    let _segment = backsight::begin(&context);
    for event in 0..load.n_events {
        if is_slow && event == load.n_events / 2 {
            std::thread::sleep(Duration::from_millis(load.slow_ms));
        }
        backsight::raw(&payload(id, event));
    }
    is_slow.then(|| {
        let symptom = Symptom { id, at_ns: monotonic_ns() };
        backsight::trigger(TriggerId::MANUAL);
        symptom
    })
}
