//! Visits that pause and go on: what a future does between its polls.
//!
//! Called by the client for every poll. Where a thread has recorded nothing since it paused a visit, the visit's records follow the end of
//! its last segment; else it gets another one with its first record.

use super::context::{context_words, idle_words};
use super::{Carried, GOES_ON, PENDING, SegmentStart, Writer};
use crate::storage::Storage;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{SEG_BYTES, seg_flags};
use backsight_core::sync::Ordering::Relaxed;

/// In place of the span that a visit was paused in: it ended, so what goes on with that trace and span is another visit.
pub(super) const OVER: SpanId = SpanId(u64::MAX);

impl<S: Storage> Writer<S> {
    /// Makes a trace active whose segment is written with its first record: what a future does at each poll.
    ///
    /// Where the thread has recorded nothing since it paused the same visit, no segment is written: its records follow the end of the last.
    ///
    /// # Cost
    /// The context's six stores; no byte of the log until something is recorded.
    #[inline]
    pub fn resume(&mut self, start: SegmentStart, now: u64) {
        let SegmentStart { trace, parent_span, span, carried } = &start;
        self.resume_parts(now, *trace, [*parent_span, *span], carried);
    }

    /// Does what [`Writer::resume`] does; the parts come one by one, so that `carried` is copied as it stands.
    #[inline(always)]
    pub fn resume_parts(&mut self, now: u64, trace: TraceId, [parent_span, span]: [SpanId; 2], carried: &Carried) {
        if !self.segment.trace.is_none() {
            self.end_implicitly(now);
        }
        (self.segment.trace, self.segment.parent_span, self.segment.span) = (trace, parent_span, span);
        (self.segment.carried, self.detail_priority) = (*carried, 0);
        self.segment.carried.flags |= seg_flags::RESUME;
        self.pending = if trace.is_none() { 0 } else { PENDING };
        if self.paused_in == span && self.pending != 0 {
            self.go_on_with_last(carried.flags);
        }
        self.publish(carried.api, context_words(&self.segment, now));
    }

    /// Has the active segment go on with the open chunk's last one, where that is of its trace, was ended by the thread's own pause, and
    /// lost nothing before it.
    #[inline(always)]
    fn go_on_with_last(&mut self, flags: u32) {
        let last = self.last_segment();
        if self.head == 0 || last == 0 {
            return;
        }
        let at = self.head + u64::from(last);
        let word = |nth: u64| self.store.word(at + 8 * nth).load(Relaxed); // only this thread writes them
        if (word(1), word(2)) != (self.segment.trace.hi, self.segment.trace.lo) {
            return;
        }
        let flags_of_last = (word(SEG_BYTES / 8 - 1) >> 32) as u32;
        if flags_of_last & (seg_flags::IMPLICIT_END | seg_flags::LOSS) != 0 {
            return;
        }
        (self.pending, self.limit, self.last_span) = (GOES_ON, self.chunk_limit, 0);
        self.went_on_at = self.cursor;
        let news = flags & !seg_flags::RESUME; // a trigger may have fired meanwhile
        if seg_flags::join(flags_of_last, news) != flags_of_last {
            self.mark(news);
        }
    }

    /// Has an active segment that went on, and in which nothing was recorded since, get one of its own where a record of `need` bytes would
    /// not stand whole and first behind the end of the last.
    pub(super) fn part_from_last(&mut self, now: u64, need: u64) {
        self.settle();
        let fits = self.cursor + need <= self.limit && now.wrapping_sub(self.base_ticks) <= u64::from(u32::MAX);
        if self.pending == GOES_ON && !fits {
            self.limit = 0;
        }
    }

    /// Takes an active segment that went on, and in which something was recorded since, for one like any other.
    #[inline(always)]
    pub(super) fn settle(&mut self) {
        if self.pending == GOES_ON && self.limit != 0 && self.cursor != self.went_on_at {
            self.pending = 0;
        }
    }

    /// Ends the active segment and returns how it stands, for a later [`Writer::resume`].
    #[inline]
    pub fn pause(&mut self, now: u64) -> SegmentStart {
        let segment = self.segment();
        self.leave(now);
        segment
    }

    /// Returns the active segment in its place; outside a segment, what is left of the last one.
    #[inline(always)]
    pub fn active(&self) -> &SegmentStart {
        &self.segment
    }

    /// Ends the active segment, for a later [`Writer::resume`]; there is one.
    #[inline(always)]
    pub fn leave(&mut self, now: u64) {
        self.settle();
        if matches!(self.pending, PENDING | GOES_ON) {
            // Nothing was recorded, so nothing ends.
            (self.segment.trace, self.limit, self.pending) = (TraceId::NONE, 0, 0);
            self.publish(0, idle_words(now));
        } else {
            let is_recorded = self.pending == 0 && self.limit != 0;
            self.end(now);
            if is_recorded {
                self.paused_in = self.segment.span;
            }
        }
    }
}
