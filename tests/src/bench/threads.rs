//! Measures the CPU time per operation of work that runs on one or more threads.
//!
//! Called by the peers that live in this process. CPU time does not grow when other processes take the cores, so it is what the specs
//! compare where nanoseconds are given; caches and the hypervisor still show in it.

use std::{sync::Barrier, thread, time::Duration};

use super::clock::thread_cpu_ns;

/// The pause behind each burst.
const PAUSE: Duration = Duration::from_millis(4);
/// Bursts take so much longer that fewer operations are timed.
const BURSTS_PART: u64 = 8;

/// What one measurement saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measurement {
    /// CPU nanoseconds per operation: the mean over the threads.
    pub cpu_ns: f64,
    /// The share of what was written that was lost, 0 to 1.
    pub lost_share: f64,
}

/// Runs `n` operations on each of `n_threads` new threads and returns their CPU time per operation.
///
/// # Shape
/// `make` runs on each thread, untimed, and returns the work; the work is called with a number of operations, first untimed with an
/// eighth of `n`, then with `n` after all threads are ready. It returns the share of them that it lost.
/// # Errors
/// A thread panicked.
pub fn per_op<W>(n_threads: usize, n: u64, make: impl Fn() -> W + Sync) -> anyhow::Result<Measurement>
where
    W: FnMut(u64) -> f64,
{
    let ready = Barrier::new(n_threads);
    let timed = || {
        let mut work = make();
        work(n / 8 + 1);
        ready.wait();
        let start_ns = thread_cpu_ns();
        let lost_share = work(n);
        ((thread_cpu_ns() - start_ns) as f64 / n as f64, lost_share)
    };
    let threads: Vec<thread::Result<(f64, f64)>> = thread::scope(|scope| {
        let handles: Vec<_> = (0..n_threads).map(|_| scope.spawn(timed)).collect();
        handles.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut sum = Measurement { cpu_ns: 0.0, lost_share: 0.0 };
    for outcome in threads {
        let (cpu_ns, lost_share) = outcome.map_err(|_| anyhow::anyhow!("a measured thread panicked"))?;
        sum.cpu_ns += cpu_ns;
        sum.lost_share += lost_share;
    }
    Ok(Measurement { cpu_ns: sum.cpu_ns / n_threads as f64, lost_share: sum.lost_share / n_threads as f64 })
}

/// Does what [`per_op`] does with an eighth of `n`, in bursts of `n_burst` operations with pauses between them, which take no CPU time: an agent that takes
/// what each operation writes keeps up, where it would be losses that are timed otherwise.
///
/// # Errors
/// As of [`per_op`].
pub fn per_op_in_bursts<W>(
    n_threads: usize,
    n: u64,
    n_burst: u64,
    make: impl Fn() -> W + Sync,
) -> anyhow::Result<Measurement>
where
    W: FnMut(u64) -> f64,
{
    per_op(n_threads, n / BURSTS_PART + 1, || in_bursts(n_burst, make()))
}

fn in_bursts(n_burst: u64, mut work: impl FnMut(u64) -> f64) -> impl FnMut(u64) -> f64 {
    move |n| {
        let (mut n_left, mut n_lost) = (n, 0.0);
        while n_left > 0 {
            let n_now = n_left.min(n_burst);
            n_lost += work(n_now) * n_now as f64;
            n_left -= n_now;
            thread::sleep(PAUSE);
        }
        n_lost / n as f64
    }
}
