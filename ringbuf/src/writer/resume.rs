//! Visits that pause and go on: what a future does between its polls.
//!
//! Called by the client for every poll. Where a thread has recorded nothing since it paused a visit, the visit's records follow the end of
//! its last segment; else it gets another one with its first record.

use super::{GOES_ON, PENDING, SegmentStart, Writer};
use crate::storage::Storage;
use backsight_core::ids::TraceId;
use backsight_core::record::{SEG_BYTES, seg_flags};
use backsight_core::sync::Ordering::Relaxed;

impl<S: Storage> Writer<S> {
    /// Makes a trace active whose segment is written with its first record: what a future does at each poll.
    ///
    /// Where the thread has recorded nothing since it paused the same visit, no segment is written: its records follow the end of the last.
    ///
    /// # Cost
    /// The context's six stores; no byte of the log until something is recorded.
    #[inline]
    pub fn resume(&mut self, start: SegmentStart, now: u64) {
        if !self.segment.trace.is_none() {
            self.end_implicitly(now);
        }
        let goes_on = self.segment.span == start.span && self.is_last(start.trace);
        (self.segment.trace, self.segment.parent_span, self.segment.span) =
            (start.trace, start.parent_span, start.span);
        self.segment.carried = start.carried;
        self.segment.carried.flags |= seg_flags::RESUME;
        self.pending = match start.trace.is_none() {
            true => 0,
            false if goes_on => GOES_ON,
            false => PENDING,
        };
        self.publish_context(now, &start);
    }

    /// Returns whether the open chunk's last segment is of `trace`, was ended by the thread's own pause, and lost nothing before it.
    #[inline]
    fn is_last(&self, trace: TraceId) -> bool {
        let last = self.last_segment();
        if self.head == 0 || last == 0 {
            return false;
        }
        let at = self.head + u64::from(last);
        let word = |nth: u64| self.store.word(at + 8 * nth).load(Relaxed); // only this thread writes them
        let seg_flags_of_last = (word(SEG_BYTES / 8 - 1) >> 32) as u32;
        let is_plain = seg_flags_of_last & (seg_flags::IMPLICIT_END | seg_flags::LOSS) == 0;
        is_plain && (word(1), word(2)) == (trace.hi, trace.lo)
    }

    /// Ends the active segment and returns how it stands, for a later [`Writer::resume`].
    #[inline]
    pub fn pause(&mut self, now: u64) -> SegmentStart {
        let segment = self.segment();
        if matches!(self.pending, PENDING | GOES_ON) {
            // Nothing was recorded, so nothing ends.
            (self.segment.trace, self.pending) = (TraceId::NONE, 0);
            self.publish_idle(now);
        } else {
            self.end(now);
        }
        segment
    }

    /// Opens the last segment of the chunk again, where the active one goes on with it and the record of `need` bytes fits.
    pub(super) fn goes_on(&mut self, now: u64, need: u64) -> bool {
        let fits = self.cursor + need <= self.chunk_limit && now.wrapping_sub(self.base_ticks) <= u64::from(u32::MAX);
        if self.pending != GOES_ON || !fits {
            return false;
        }
        (self.pending, self.limit, self.last_span) = (0, self.chunk_limit, 0);
        self.mark(self.segment.carried.flags & !seg_flags::RESUME); // a trigger may have fired meanwhile
        true
    }
}
