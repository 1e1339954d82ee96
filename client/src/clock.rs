//! The clock of records: the processor's counter where it is invariant, CLOCK_MONOTONIC elsewhere.

use backsight_core::clock::ClockSource;

/// Returns the time in ticks of `source`.
///
/// # Cost
/// One unserialised counter read, about 12 ns in a virtual machine; a vDSO call for [`ClockSource::Monotonic`].
#[inline(always)]
pub fn now(source: ClockSource) -> u64 {
    match source {
        ClockSource::Tsc => counter(),
        ClockSource::Monotonic => monotonic_ns(),
    }
}

/// Returns CLOCK_MONOTONIC in nanoseconds.
#[cold]
pub(crate) fn monotonic_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Returns CLOCK_MONOTONIC as of the last tick of the kernel, some milliseconds ago at most, in nanoseconds.
///
/// # Cost
/// About 5 ns: it reads no counter.
pub(crate) fn coarse_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction, and it touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn counter() -> u64 {
    monotonic_ns()
}
