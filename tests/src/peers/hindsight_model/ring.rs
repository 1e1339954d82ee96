//! A bounded ring for many producers and many consumers, as the paper describes: CAS on head or tail claims a slot, and a status word in
//! the slot says who has it.
//!
//! Called by writers and the agent of the model. A slot whose other side is not done is waited for with back-off and without bound: that
//! weakness is part of what is modelled. Both rings have the wider slot {status, two words}, where the original's had 4 and 16 bytes.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Duration,
};

const HEAD: usize = 0;
const TAIL: usize = 8; // a cache line further
const SLOTS: usize = 16;
const SLOT_WORDS: usize = 3;

const EMPTY: u64 = 0;
const WRITING: u64 = 1;
const FULL: u64 = 2;
const READING: u64 = 3;

const BACKOFF_MIN: Duration = Duration::from_micros(10);
const BACKOFF_MAX: Duration = Duration::from_millis(100);

/// Returns how many words a ring of `capacity` slots needs; `capacity` is a power of two.
pub(super) const fn ring_words(capacity: usize) -> usize {
    SLOTS + capacity * SLOT_WORDS
}

/// A view of a ring in shared words; zeroed words are an empty ring.
#[derive(Clone, Copy)]
pub(super) struct Ring<'m> {
    words: &'m [AtomicU64],
    /// The capacity, a power of two, less one.
    mask: u64,
}

impl<'m> Ring<'m> {
    /// Views `words`, whose length [`ring_words`] gave.
    pub(super) fn new(words: &'m [AtomicU64]) -> Self {
        let capacity = (words.len().saturating_sub(SLOTS) / SLOT_WORDS) as u64;
        assert!(capacity.is_power_of_two(), "a ring of {capacity} slots");
        Self { words, mask: capacity - 1 }
    }

    /// Appends `value`, or returns `false` when the ring is full.
    pub(super) fn push(&self, value: [u64; 2]) -> bool {
        let position = loop {
            // Acquire: pairs with the AcqRel of `pop`. Tail before head, so that head is never behind it.
            let tail = self.words[TAIL].load(Ordering::Acquire);
            let head = self.words[HEAD].load(Ordering::Acquire);
            if head.wrapping_sub(tail) > self.mask {
                return false;
            }
            if self.claim(HEAD, head) {
                break head;
            }
        };
        let slot = self.slot(position);
        wait_for(&slot[0], EMPTY);
        // Relaxed: this thread has claimed the slot; the Release below publishes all three words.
        slot[0].store(WRITING, Ordering::Relaxed);
        slot[1].store(value[0], Ordering::Relaxed);
        slot[2].store(value[1], Ordering::Relaxed);
        slot[0].store(FULL, Ordering::Release); // pairs with `wait_for` in `pop`
        true
    }

    /// Takes the oldest value, or returns `None` when the ring is empty.
    pub(super) fn pop(&self) -> Option<[u64; 2]> {
        let position = loop {
            // Acquire: pairs with the AcqRel of `push`.
            let tail = self.words[TAIL].load(Ordering::Acquire);
            let head = self.words[HEAD].load(Ordering::Acquire);
            if head == tail {
                return None;
            }
            if self.claim(TAIL, tail) {
                break tail;
            }
        };
        let slot = self.slot(position);
        wait_for(&slot[0], FULL);
        // Relaxed: this thread has claimed the slot, and `wait_for` acquired what its writer published.
        slot[0].store(READING, Ordering::Relaxed);
        let value = [slot[1].load(Ordering::Relaxed), slot[2].load(Ordering::Relaxed)];
        slot[0].store(EMPTY, Ordering::Release); // pairs with `wait_for` in `push`
        Some(value)
    }

    /// Moves the counter in word `counter` on from `position`, unless another thread did.
    fn claim(&self, counter: usize, position: u64) -> bool {
        // AcqRel pairs with the Acquire loads above; Relaxed on failure, as the caller loads again.
        self.words[counter]
            .compare_exchange_weak(position, position.wrapping_add(1), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn slot(&self, position: u64) -> &'m [AtomicU64] {
        let first = SLOTS + (position & self.mask) as usize * SLOT_WORDS;
        &self.words[first..first + SLOT_WORDS]
    }
}

fn wait_for(status: &AtomicU64, wanted: u64) {
    let mut backoff = BACKOFF_MIN;
    // Acquire: pairs with the Release that ends the other side's use of the slot.
    while status.load(Ordering::Acquire) != wanted {
        thread::sleep(backoff);
        backoff = (backoff * 2).min(BACKOFF_MAX);
    }
}

#[cfg(test)]
mod tests;
