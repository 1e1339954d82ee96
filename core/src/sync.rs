//! The atomics that lock-free code uses: std's, or those of loom and shuttle when a model is built; and a cell whose uses loom watches.
//!
//! `ringbuf` and `client` name no other atomics (`cargo xtask tidy`), so that what their models explore is the code that ships.

#[cfg(loom)]
pub use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
    },
};

#[cfg(all(shuttle, not(loom)))]
pub use shuttle::sync::{
    Arc,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
};

#[cfg(not(any(loom, shuttle)))]
pub use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, fence},
};

/// Memory of which atomics say who may use it. A model under loom fails where two threads use it at once and one of them writes.
///
/// # Shape
/// That of `T`.
#[cfg(not(loom))]
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    /// Returns a cell that holds `value`.
    pub const fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    /// Runs `read` with the address of what the cell holds, which nobody writes meanwhile.
    #[inline(always)]
    pub fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
        read(self.0.get())
    }

    /// Runs `write` with the address of what the cell holds, which nobody else uses meanwhile.
    #[inline(always)]
    pub fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
        write(self.0.get())
    }
}

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
