//! The clocks of the benches: CPU time of a thread, and the raw time stamp counter.
//!
//! Called by the harness and by peers that stamp their records. One of the files with unsafe code: reading the counter is an intrinsic.
#![allow(unsafe_code, reason = "the time stamp counter is read through an intrinsic")]

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

const CALIBRATION: Duration = Duration::from_millis(20);

/// Returns the CPU time that the calling thread has used, in nanoseconds.
///
/// # Cost
/// One system call; call it around many operations, never around one.
#[must_use]
pub fn thread_cpu_ns() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// Returns the raw time stamp counter.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: `rdtsc` exists on every x86_64 processor and only reads a counter.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Returns the raw virtual counter.
#[cfg(target_arch = "aarch64")]
#[inline(always)]
#[must_use]
pub fn ticks() -> u64 {
    let ticks: u64;
    // SAFETY: Linux lets user space read CNTVCT_EL0; the instruction touches no memory and no flags.
    unsafe { core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// Measures the rate of [`ticks`] against the monotonic clock, in MHz.
///
/// # Cost
/// Sleeps 20 ms.
#[must_use]
pub fn tick_rate_mhz() -> f64 {
    let (from, start) = (ticks(), Instant::now());
    std::thread::sleep(CALIBRATION);
    let n_ticks = ticks().wrapping_sub(from);
    n_ticks as f64 / start.elapsed().as_secs_f64() / 1e6
}
