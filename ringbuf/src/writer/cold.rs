//! What the write path does when a record does not simply fit: late segments, fragments, losses.
//!
//! Called by [`Writer`] alone, and rarely. Like the hot path it allocates nothing, waits for nobody and cannot panic.

use super::resume::OVER;
use super::{GOES_ON, REFUSED, SegmentStart, Writer};
use crate::abi::slot;
use crate::storage::Storage;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{Kind, LOST_BYTES, Level, PAYLOAD_MAX_BYTES, SEG_BYTES, SEG_END_BYTES, TIME_BYTES};
use backsight_core::record::{align8, flags, seg_flags};
use backsight_core::sync::Ordering::{Relaxed, Release};
use backsight_core::telemetry::DropReason;

/// Records up to this size are never cut: the rest of the chunk is left unused instead.
const WHOLE_MAX_BYTES: u64 = 512;
/// Room below which the rest of a chunk is not worth a fragment.
const FRAGMENT_MIN_BYTES: u64 = 128;

/// The most that a reservation waits for; it may be granted more.
const RESERVED_MAX_BYTES: u64 = 512;

impl<S: Storage> Writer<S> {
    /// Makes room for a record of `level` with `bytes` payload bytes, at most 512 of them: what `bks_reserve` calls when the chunk is full or the
    /// agent has anything shed. Returns whether there is that room now, the time base is fresh, and the record is not left out. Nothing is counted
    /// where there is none: the caller may record by another way, and that counts.
    #[cold]
    pub fn make_room_for(&mut self, now: u64, level: Level, bytes: u64) -> bool {
        if self.segment.trace.is_none() || self.leaves_out(now, level) {
            return false;
        }
        let need = 8 + align8(bytes.min(RESERVED_MAX_BYTES));
        // A chunk with room for a part of a large record is not yet one with room for this one whole.
        self.make_room(now, need) && (self.limit - self.cursor >= need || self.continue_in_next_chunk(now))
    }

    #[cold]
    pub(super) fn end_implicitly(&mut self, now: u64) {
        self.settle();
        if self.pending == 0 {
            self.mark(seg_flags::IMPLICIT_END); // else nothing ends
        }
        self.put_end(now);
        (self.segment.trace, self.limit, self.pending) = (TraceId::NONE, 0, 0);
    }

    /// What [`Writer::begin`] does when another trace is active, the chunk is full, there is none, some traces are shed, or there is no trace
    /// to begin.
    #[cold]
    #[inline(never)]
    pub(super) fn begin_cold(&mut self, start: SegmentStart, now: u64) -> bool {
        if !self.segment.trace.is_none() {
            self.end_implicitly(now);
        }
        (self.segment, self.detail_priority) = (start, 0);
        let is_some = !start.trace.is_none();
        let is_shed = is_some && self.sheds_trace(start.trace);
        let recorded = is_some && !is_shed && (self.cursor + SEG_BYTES <= self.chunk_limit || self.next_chunk(now));
        if recorded {
            self.put_segment(now, &start, start.carried.flags);
        } else if is_shed {
            self.shed_segment();
        } else if is_some {
            self.pending = REFUSED;
        }
        self.publish_context(now, &start);
        recorded
    }

    /// What [`Writer::end`] does where the active segment has no record in the open chunk, or its time base is too old.
    #[cold]
    #[inline(never)]
    pub(super) fn end_cold(&mut self, now: u64) {
        self.settle();
        self.put_end(now);
        (self.segment.trace, self.limit, self.pending, self.paused_in) = (TraceId::NONE, 0, 0, OVER);
        self.publish_idle(now);
    }

    /// Writes SEG_END, for which `END_ROOM` is there, or counts the segment where it has no record. It is settled.
    fn put_end(&mut self, now: u64) {
        if self.limit == 0 || self.pending == GOES_ON {
            return self.lose_segment(now);
        }
        let mut dt = now.wrapping_sub(self.base_ticks);
        if dt > u64::from(u32::MAX) {
            self.put_time(now);
            dt = 0;
        }
        self.put(dt as u32, Kind::SegEnd, 0, &[], &[]);
    }

    fn put_time(&mut self, now: u64) {
        self.put(0, Kind::Time, 0, &[now], &[]);
        self.base_ticks = now;
    }

    /// What [`Writer::start_span`] does when the chunk is full, the time base too old, nothing is active, or the name is written in place:
    /// SPAN_START of `words` and `text`.
    #[cold]
    #[inline(never)]
    pub fn start_span_cold(&mut self, now: u64, id: SpanId, words: [u64; 3], text: &[u8]) {
        self.split = 0;
        self.record(now, Kind::SpanStart, 0, words, text);
        if !self.segment.trace.is_none() {
            self.note_span(id);
            self.set_span(id);
        }
    }

    /// What [`Writer::record`] does when the chunk is full, the time base too old, nothing is active, or what is active is shed.
    #[cold]
    #[inline(never)]
    pub(super) fn record_cold(&mut self, now: u64, kind: Kind, record_flags: u8, words: &[u64], tail: &[u8]) -> bool {
        if self.segment.trace.is_none() {
            self.count_drop(DropReason::NoTrace);
            return false;
        }
        if self.leaves_out(now, Level::of_flags(record_flags)) {
            self.last_span = 0; // the record that names it is not there
            return false;
        }
        let whole = tail.len() as u64 <= PAYLOAD_MAX_BYTES;
        let (tail, record_flags) = match tail.get(..PAYLOAD_MAX_BYTES as usize) {
            Some(cut) if !whole => (cut, record_flags | flags::TRUNCATED),
            _ => (tail, record_flags),
        };
        let need = 8 + 8 * words.len() as u64 + align8(tail.len() as u64);
        if self.make_room(now, need) && self.put_fragments(now, kind, record_flags, words, tail) {
            if !whole {
                self.count_drop(DropReason::TooLong);
            }
            return whole;
        }
        self.lose(now, need);
        false
    }

    /// Gets a chunk where the record of `need` bytes, or its first fragment, fits, with a fresh time base.
    pub(super) fn make_room(&mut self, now: u64, need: u64) -> bool {
        self.part_from_last(now, need);
        if self.limit == 0 && !self.start_late(now) {
            return false;
        }
        if now.wrapping_sub(self.base_ticks) > u64::from(u32::MAX) && self.limit - self.cursor >= TIME_BYTES {
            self.put_time(now);
        }
        let room = self.limit - self.cursor;
        let stale = now.wrapping_sub(self.base_ticks) > u64::from(u32::MAX);
        let cut = need > WHOLE_MAX_BYTES && room >= FRAGMENT_MIN_BYTES;
        (!stale && (need <= room || cut)) || self.continue_in_next_chunk(now)
    }

    /// Writes the SEG record of a segment that has none: a resumed one, or one that began in drop mode.
    fn start_late(&mut self, now: u64) -> bool {
        if self.pending == 0 || self.cursor + SEG_BYTES > self.chunk_limit {
            return self.continue_in_next_chunk(now);
        }
        self.pending = 0;
        self.put_segment(now, &self.segment(), self.segment.carried.flags);
        true
    }

    /// Writes a record in as many pieces as it takes. Returns whether all of them found room.
    fn put_fragments(
        &mut self,
        mut now: u64,
        kind: Kind,
        record_flags: u8,
        mut words: &[u64],
        mut tail: &[u8],
    ) -> bool {
        let mut continues = 0;
        loop {
            let room = (self.limit - self.cursor - 8 - 8 * words.len() as u64) as usize;
            let (piece, rest) = tail.split_at(tail.len().min(room));
            let more = if rest.is_empty() { 0 } else { flags::MORE };
            let dt = now.wrapping_sub(self.base_ticks) as u32;
            self.put(dt, kind, record_flags | continues | more, words, piece);
            if rest.is_empty() {
                return true;
            }
            // A tick later: readers order a thread's segments by their base, and links of chunks do not tell generations.
            now = now.wrapping_add(1);
            if !self.continue_in_next_chunk(now) {
                return false;
            }
            self.split = 1;
            (words, tail, continues) = (&[], rest, flags::CONTINUES);
        }
    }

    /// Goes on with the active segment in a new chunk.
    fn continue_in_next_chunk(&mut self, now: u64) -> bool {
        self.settle(); // what is recorded by now is recorded in this chunk
        if !self.next_chunk(now) {
            return false;
        }
        let continued = if self.pending == 0 { seg_flags::CONTINUED } else { 0 };
        self.pending = 0;
        self.put_segment(now, &self.segment(), self.segment.carried.flags | continued);
        self.put_lost();
        true
    }

    /// Counts a segment as one lost record where nothing else tells of it: no chunk was free when it began, and nothing was recorded.
    #[cold]
    pub(super) fn lose_segment(&mut self, now: u64) {
        if self.pending == REFUSED && self.segment.carried.flags & seg_flags::LOSS == 0 {
            self.lose(now, SEG_BYTES + SEG_END_BYTES);
        }
    }

    /// Remembers that a record of `bytes` bytes was lost at `now`, in the slot too, where the agent finds it after a death.
    pub(super) fn lose(&mut self, now: u64, bytes: u64) {
        if self.store.bytes() == 0 {
            return;
        }
        self.count_drop(DropReason::NoChunk);
        self.segment.carried.flags |= seg_flags::LOSS;
        self.lost += 1;
        // Relaxed, all: the agent reads them after the thread's exit, or as a statistic.
        let loss = |offset| self.store.word(self.slot_at + offset);
        if self.lost == 1 {
            loss(slot::LOSS_FIRST).store(now, Relaxed);
            loss(slot::LOSS_BYTES).store(0, Relaxed);
        }
        loss(slot::LOSS_BYTES).store(loss(slot::LOSS_BYTES).load(Relaxed).wrapping_add(bytes), Relaxed);
        loss(slot::LOSS_LAST).store(now, Relaxed);
        loss(slot::LOSS_RECORDS).store(self.lost, Relaxed);
    }

    /// Writes the LOST record, if records were lost; a new chunk has room for it.
    pub(super) fn put_lost(&mut self) {
        if self.lost == 0 || self.cursor + LOST_BYTES > self.chunk_limit {
            return;
        }
        let loss = |offset| self.store.word(self.slot_at + offset).load(Relaxed); // own words
        let (bytes, first, last) = (loss(slot::LOSS_BYTES), loss(slot::LOSS_FIRST), loss(slot::LOSS_LAST));
        let reason = DropReason::NoChunk as u64 | self.lost.min(u64::from(u32::MAX)) << 32;
        self.put(0, Kind::Lost, 0, &[reason, bytes, first, last], &[]);
        self.lost = 0;
        self.store.word(self.slot_at + slot::LOSS_RECORDS).store(0, Release); // after the record that tells of them
    }
}
