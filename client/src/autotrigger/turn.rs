//! Whose turn it is to gather what all threads have counted: one thread's at a time, and nobody waits for it.
//!
//! Called by `percentile`, `category` and `window`, now and then; explored by `client/tests/loom.rs`. A thread that finds the turn taken goes on and
//! tries again at a later sample. A signal handler that leaves a turn by `longjmp` leaves it taken: the trigger then decides by what it knew.

use super::generation;
use backsight_core::sync::AtomicU32;
use backsight_core::sync::Ordering::{Acquire, Relaxed, Release};

/// A turn, and the process whose thread has it.
///
/// # Shape
/// 0 while nobody has it, else the number of the process. A child that was forked while another thread had it finds its parent's number
/// there: that thread does not exist in the child, and the turn is free.
#[derive(Debug)]
pub(crate) struct Turn(AtomicU32);

impl Turn {
    /// Returns a turn that nobody has.
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Does `work` if no other thread has the turn; returns whether it was done. What the one before did is seen.
    pub(crate) fn attempt(&self, work: impl FnOnce()) -> bool {
        self.attempt_as(generation(), work)
    }

    /// Does what [`Turn::attempt`] does, as a thread of process `process`, which is not 0.
    pub(crate) fn attempt_as(&self, process: u32, work: impl FnOnce()) -> bool {
        let found = self.0.load(Relaxed); // a hint: the exchange decides
        // Acquire pairs with the release below: what the holder before wrote is seen.
        if found == process || self.0.compare_exchange(found, process, Acquire, Relaxed).is_err() {
            return false;
        }
        work();
        self.0.store(0, Release); // pairs with the exchange above
        true
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Turn;

    #[test]
    fn turn_is_one_threads_and_comes_back() {
        let turn = Turn::new();
        assert!(turn.attempt_as(1, || assert!(!turn.attempt_as(1, || unreachable!()))));
        assert!(turn.attempt_as(1, || ()));
    }

    #[test]
    fn turn_that_a_thread_of_the_parent_has_is_free_in_a_child() {
        let turn = Turn::new();
        turn.attempt_as(1, || assert!(turn.attempt_as(2, || ())));
    }
}
