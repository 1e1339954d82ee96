//! A paced load: many threads that together write a given rate, each sleeping between its visits.
//!
//! Called by peers for the rows about loss. It asks what many mostly idle threads lose, where [`super::threads`] asks what busy ones cost.

use std::{
    thread,
    time::{Duration, Instant},
};

/// The bytes of payload of one visit, as in the paper's and the spec's arithmetic.
pub const VISIT_BYTES: u64 = 600;

const STACK_BYTES: usize = 256 << 10;

/// A paced load.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many threads write.
    pub n_threads: usize,
    /// What they write in all.
    pub bytes_per_s: u64,
    /// For how long.
    pub duration: Duration,
}

impl Load {
    /// Returns how long a thread waits from the start of one visit to the next.
    #[must_use]
    pub fn period(&self) -> Duration {
        let visits_per_s = self.bytes_per_s as f64 / VISIT_BYTES as f64;
        Duration::from_secs_f64(self.n_threads as f64 / visits_per_s)
    }
}

/// Runs `load`, calling a visit made by `make` once per period on each thread, and returns the share that was lost.
///
/// # Shape
/// A visit writes [`VISIT_BYTES`] and returns the share of them that it lost. Threads start spread over one period; a thread that is
/// late goes on at once, so the rate is kept.
/// # Errors
/// A thread could not be started, or panicked.
pub fn lost_share<V>(load: Load, make: impl Fn() -> V + Sync) -> anyhow::Result<f64>
where
    V: FnMut() -> f64,
{
    let period = load.period();
    let start = Instant::now();
    let write = |idx: usize| {
        let mut visit = make();
        let mut next = period.mul_f64(idx as f64 / load.n_threads as f64);
        let (mut lost, mut n_visits) = (0.0, 0_u64);
        while next < load.duration {
            thread::sleep(next.saturating_sub(start.elapsed()));
            lost += visit();
            n_visits += 1;
            next += period;
        }
        (lost, n_visits)
    };
    let write = &write;
    let outcomes = thread::scope(|scope| -> anyhow::Result<Vec<_>> {
        let mut handles = Vec::with_capacity(load.n_threads);
        for idx in 0..load.n_threads {
            handles.push(thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, move || write(idx))?);
        }
        Ok(handles.into_iter().map(thread::ScopedJoinHandle::join).collect())
    })?;
    let (mut lost, mut n_visits) = (0.0, 0_u64);
    for outcome in outcomes {
        let (thread_lost, thread_visits) = outcome.map_err(|_| anyhow::anyhow!("a paced thread panicked"))?;
        lost += thread_lost;
        n_visits += thread_visits;
    }
    Ok(lost / n_visits.max(1) as f64)
}
