//! Models of every step of the shared-memory protocol, over all interleavings and all reorderings that the memory model allows.
//!
//! `LOOM_MAX_PREEMPTIONS=2 LOOM_MAX_BRANCHES=10000 RUSTFLAGS="--cfg loom" cargo test -p backsight-ringbuf --release --test loom`
//! Each claim was seen to fail with its ordering weakened; `docs/spec/shm-abi.md` section 12 says which.

#![cfg(loom)]

use backsight_core::sync::{AtomicU64, Ordering};
use loom::sync::Arc;
use loom::thread::JoinHandle;

#[path = "loom/chunks.rs"]
mod chunks;
#[path = "loom/slots.rs"]
mod slots;

/// Makes loom try both orders of two threads, though it orders nothing itself.
///
/// Loom 0.7.3 remembers one last access for each atomic, so a thread that loads a word and then stores it hides, by its own load, that
/// another thread's earlier load raced with the store; it would then run the other thread first, and only so. A store without a load
/// before it is not hidden: one thread is [spawned](Self::spawn) with it, the other [looks](Self::looks) before its first step.
struct Order(Arc<AtomicU64>);

impl Order {
    fn new() -> Self {
        Self(Arc::new(AtomicU64::new(0)))
    }

    fn spawn<T: 'static>(&self, run: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
        let word = self.0.clone();
        loom::thread::spawn(move || {
            word.store(1, Ordering::Relaxed); // must not order anything
            run()
        })
    }

    fn looks(&self) {
        self.0.load(Ordering::Relaxed); // as above
    }
}
