//! What a thread works on, in its slot: a sequence lock that only the thread writes, for the agent, for probes, and for what is read of it after
//! its death.
//!
//! Called by the write path with every change of segment and span.

use super::{SegmentStart, Writer};
use crate::abi::slot;
use crate::storage::Storage;
use backsight_core::ids::SpanId;
use backsight_core::sync::Ordering::{Relaxed, Release};

/// The words that a thread slot begins with, up to the last that the context needs.
const CONTEXT_WORDS: usize = slot::CHANGED as usize / 8 + 1;

impl<S: Storage> Writer<S> {
    /// Says which span is the innermost open one, for what follows and for probes.
    #[inline(always)]
    pub fn set_span(&mut self, span: SpanId) {
        self.segment.span = span;
        self.publish(self.segment.carried.api, [(slot::SPAN, span.0)]);
    }

    #[inline(always)]
    pub(super) fn publish_context(&mut self, now: u64, start: &SegmentStart) {
        self.publish(start.carried.api, context_words(start, now));
    }

    #[inline(always)]
    pub(super) fn publish_idle(&mut self, now: u64) {
        self.publish(0, idle_words(now));
    }

    /// Does what [`Writer::publish_attached`] does, and nothing without a thread slot.
    #[inline(always)]
    pub(super) fn publish<const N: usize>(&mut self, api: u32, words: [(u64, u64); N]) {
        if self.slot_at != 0 {
            // SAFETY: checked in the line above.
            unsafe { self.publish_attached(api, words) };
        }
    }

    /// Changes words of the thread's context between two change numbers, the first of them odd; in program order for whoever interrupts
    /// this thread or reads from elsewhere.
    ///
    /// The last number is read from the slot, where only this thread writes: one that a `longjmp` left odd is taken again.
    ///
    /// # Safety
    /// `slot_at` is not 0: the writer has a thread slot, as any that ever opened a chunk has.
    #[inline(always)]
    pub(super) unsafe fn publish_attached<const N: usize>(&mut self, api: u32, words: [(u64, u64); N]) {
        debug_assert!(self.slot_at != 0);
        // SAFETY: `slot_at` is the offset of a slot below SLOTS_MAX, inside the region's fixed part, whose first words are the context.
        let context = unsafe { self.store.words_unchecked(self.slot_at, CONTEXT_WORDS) };
        // Release, all: pairs with `slot::context`; on x86-64 plain stores.
        let set = |offset: u64, value| context[offset as usize / 8].store(value, Release);
        let number = context[slot::SEQ_API as usize / 8].load(Relaxed) as u32 | 1; // own word
        let api = u64::from(api) << 32;
        set(slot::SEQ_API, u64::from(number) | api);
        for (offset, value) in words {
            set(offset, value);
        }
        set(slot::SEQ_API, u64::from(number.wrapping_add(1)) | api);
    }
}

/// Returns the words of the thread's context while `start` is active.
#[inline(always)]
pub(super) const fn context_words(start: &SegmentStart, now: u64) -> [(u64, u64); 4] {
    [
        (slot::TRACE_HI, start.trace.hi),
        (slot::TRACE_LO, start.trace.lo),
        (slot::SPAN, start.span.0),
        (slot::CHANGED, now),
    ]
}

/// Returns the words that say that nothing is active any more; the span says nothing then.
#[inline(always)]
pub(super) const fn idle_words(now: u64) -> [(u64, u64); 3] {
    [(slot::TRACE_HI, 0), (slot::TRACE_LO, 0), (slot::CHANGED, now)]
}
