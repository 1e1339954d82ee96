//! The atomics that lock-free code uses: std's, or those of loom and shuttle when a model is built.
//!
//! `ringbuf` and `client` name no other atomics (`cargo xtask tidy`), so that what `ringbuf`'s models explore is the code that ships. The client's
//! own few words (who owns a block, whether a session is open) are tried by tests with threads and forks, not modelled.

#[cfg(loom)]
pub use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
};

#[cfg(all(shuttle, not(loom)))]
pub use shuttle::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence},
};

#[cfg(not(any(loom, shuttle)))]
pub use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
};

/// Keeps the compiler from moving memory accesses across this point; orders a thread with its own signal handlers.
///
/// # Cost
/// No instruction. The models have no signals, so there it does nothing.
#[inline(always)]
pub fn signal_fence() {
    #[cfg(not(any(loom, shuttle)))]
    std::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// Tells the processor, or the model's scheduler, that this thread waits for another.
pub fn spin() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(all(shuttle, not(loom)))]
    shuttle::thread::yield_now();
    #[cfg(not(any(loom, shuttle)))]
    std::hint::spin_loop();
}
