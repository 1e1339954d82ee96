//! The write path: one thread appends records of one trace after another to its own log of chunks.
//!
//! Called by the client for every record. It takes no lock, allocates nothing, makes no system call of its own ([`Writer::wake_by`] is the
//! caller's, once per chunk) and cannot panic; every step is bounded. A record is visible to the agent with the release store of its chunk's head, and survives whatever happens to the process
//! after that store. The clock is the caller's: `now` is in ticks.

mod chunks;
mod cold;

use crate::abi::{NO_CHUNK, slot, slot_offset};
#[cfg(not(any(loom, shuttle)))]
use crate::shm::View;
use crate::slot as thread_slot;
use crate::storage::Storage;
use backsight_core::context::{CRUMBS_MAX, TRIGGERS_MAX};
use backsight_core::ids::{AgentId, SpanId, TraceId, TriggerId};
use backsight_core::record::{Header, Kind, SEG_BYTES, SEG_END_BYTES, TIME_BYTES, align8, flags, seg_flags};
use backsight_core::sync::Ordering::{Relaxed, Release};
use backsight_core::telemetry::DropReason;

/// Room that every open chunk keeps free, so that an active segment can always be ended: TIME and SEG_END.
const END_ROOM: u64 = TIME_BYTES + SEG_END_BYTES;
/// The active segment waits for its first record.
const PENDING: u32 = 1;
/// The active segment found no chunk when it began.
const REFUSED: u32 = 2;

/// What a segment starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct SegmentStart {
    /// The trace; [`TraceId::NONE`] starts nothing.
    pub trace: TraceId,
    /// The span that caused it, 0 for none.
    pub parent_span: SpanId,
    /// The span that is open already, when a visit is resumed; else the same as `parent_span`.
    pub span: SpanId,
    /// The agent that the request came from, 0 for none.
    pub from_agent: AgentId,
    /// See [`seg_flags`].
    pub flags: u32,
    /// The API that the request calls, for probes; 0 for none.
    pub api: u32,
    /// The agents before `from_agent`, newest first; like the triggers they only travel with the request and stand nowhere in the log.
    pub older_agents: [AgentId; OLDER_AGENTS],
    /// The first triggers that fired for the trace, here or on the way.
    pub triggers: [TriggerId; TRIGGERS_MAX],
}

/// Agents that a request remembers behind the one it came from: with the next hop's, the longest trail.
pub const OLDER_AGENTS: usize = CRUMBS_MAX - 2;

/// One thread's place in its log.
///
/// # Shape
/// `repr(C)`; `backsight.h` inlines [`Writer::record`] and reads the first eight words: store (address, bytes), `cursor`, `limit`,
/// `base_ticks`, `head`, `head_bias`, `last_span`. All offsets count from the region's start. All zero is a writer that is not attached:
/// each call then takes the cold path and writes nothing, which is how a forked child finds it.
#[derive(Debug)]
#[repr(C)]
pub struct Writer<S> {
    store: S,
    /// Where the next record goes.
    cursor: u64,
    /// Records must end here or before; 0 outside a segment and in drop mode, so that one comparison refuses both.
    limit: u64,
    /// The time base of `dt`.
    base_ticks: u64,
    /// Where the open chunk's head word stands; 0 in drop mode.
    head: u64,
    /// What added to `cursor` gives the head word: generation and last segment in place, minus the chunk's start.
    head_bias: u64,
    /// The span that a record of this segment named last, 0 for none: a record of the same span leaves its id out.
    last_span: u64,
    /// `limit` of the open chunk, also while no segment is active.
    chunk_limit: u64,
    /// The generation in its place in the head word.
    generation_bits: u64,
    /// Where the thread slot stands.
    slot_at: u64,
    segment: SegmentStart,
    opened_ticks: u64,
    /// The grants seen when the last claim failed.
    grants_seen: u64,
    /// Records lost that no LOST record tells of yet.
    lost: u64,
    /// The change number of the context.
    seq: u32,
    slot_number: u32,
    tid: u32,
    chunk: u32,
    prev_chunk: u32,
    n_segments: u32,
    last_segment: u32,
    /// A [`Class`]'s number, 0 before the first chunk.
    class: u32,
    /// [`PENDING`] or [`REFUSED`] while the active segment has no SEG record yet: it is written with the first record; else 0.
    pending: u32,
    /// 1 after a record was cut: what it named stands in another segment, where no later record may look for it.
    split: u32,
    /// Called after each change of chunk, to wake an agent that sleeps.
    wake: Option<fn(&S)>,
}

#[cfg(not(any(loom, shuttle)))]
impl Writer<View> {
    /// The fields that `backsight.h` reads, with their offsets (`docs/spec/c-abi.md`).
    pub const LAYOUT: &'static [(&'static str, usize)] = &[
        ("store", std::mem::offset_of!(Self, store)),
        ("cursor", std::mem::offset_of!(Self, cursor)),
        ("limit", std::mem::offset_of!(Self, limit)),
        ("base_ticks", std::mem::offset_of!(Self, base_ticks)),
        ("head", std::mem::offset_of!(Self, head)),
        ("head_bias", std::mem::offset_of!(Self, head_bias)),
        ("last_span", std::mem::offset_of!(Self, last_span)),
        ("trace", std::mem::offset_of!(Self, segment) + std::mem::offset_of!(SegmentStart, trace)),
        ("span", std::mem::offset_of!(Self, segment) + std::mem::offset_of!(SegmentStart, span)),
    ];

    /// Returns a writer without memory: what all-zero bytes are, too.
    pub fn detached() -> Self {
        Self { slot_at: 0, ..Self::unopened(View::NONE, 0, 0) }
    }
}

impl<S: Storage> Writer<S> {
    /// Returns a writer for thread `tid`, which has claimed thread slot `slot_number` of `store`.
    pub fn new(store: S, slot_number: u32, tid: u32) -> Self {
        let seq = store.word(slot_offset(slot_number) + slot::SEQ_API).load(Relaxed) as u32; // an earlier thread's, acquired by the claim
        Self { seq: seq & !1, ..Self::unopened(store, slot_number, tid) }
    }

    fn unopened(store: S, slot_number: u32, tid: u32) -> Self {
        Self {
            store,
            cursor: 0,
            limit: 0,
            base_ticks: 0,
            head: 0,
            head_bias: 0,
            last_span: 0,
            chunk_limit: 0,
            generation_bits: 0,
            slot_at: slot_offset(slot_number),
            segment: SegmentStart::default(),
            opened_ticks: 0,
            grants_seen: u64::MAX,
            lost: 0,
            seq: 0,
            slot_number,
            tid,
            chunk: NO_CHUNK,
            prev_chunk: NO_CHUNK,
            n_segments: 0,
            last_segment: 0,
            class: 0,
            pending: 0,
            split: 0,
            wake: None,
        }
    }

    /// Has `wake` called after each change of chunk: it wakes the agent if that sleeps, and must do so without waiting.
    pub fn wake_by(&mut self, wake: fn(&S)) {
        self.wake = Some(wake);
    }

    /// Returns the region.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Returns the number of the thread slot.
    pub fn slot_number(&self) -> u32 {
        self.slot_number
    }

    /// Returns the active trace, [`TraceId::NONE`] outside a segment.
    #[inline(always)]
    pub fn trace(&self) -> TraceId {
        self.segment.trace
    }

    /// Returns what the active segment was started with, its open span and flags as they are now.
    pub fn segment(&self) -> SegmentStart {
        self.segment
    }

    /// Starts a segment; one that is active is ended implicitly.
    ///
    /// Returns whether it is recorded: not while no chunk is free, though it becomes so when one is had.
    ///
    /// # Cost
    /// 13 stores, no atomic read-modify-write, while the chunk has room.
    #[inline(always)]
    pub fn begin(&mut self, start: SegmentStart, now: u64) -> bool {
        if !self.segment.trace.is_none() {
            self.end_implicitly(now);
        }
        self.segment = start;
        self.pending = 0;
        let recorded = !start.trace.is_none() && (self.cursor + SEG_BYTES <= self.chunk_limit || self.next_chunk(now));
        if recorded {
            self.put_segment(now, start.flags);
        } else {
            self.pending = REFUSED;
        }
        self.publish_context(now);
        recorded
    }

    /// Ends the active segment, if there is one.
    #[inline(always)]
    pub fn end(&mut self, now: u64) {
        if self.segment.trace.is_none() {
            return;
        }
        if self.limit != 0 {
            self.put_end(now);
        } else {
            self.lose_segment(now);
        }
        self.segment = SegmentStart::default();
        self.limit = 0;
        self.pending = 0;
        self.publish_context(now);
    }

    /// Makes a trace active whose segment is written with its first record: what a future does at each poll.
    ///
    /// # Cost
    /// The context's six stores; no byte of the log until something is recorded.
    #[inline]
    pub fn resume(&mut self, start: SegmentStart, now: u64) {
        if !self.segment.trace.is_none() {
            self.end_implicitly(now);
        }
        self.segment = start;
        self.segment.flags |= seg_flags::RESUME;
        self.pending = PENDING;
        self.publish_context(now);
    }

    /// Ends the active segment and returns how it stands, for a later [`Writer::resume`].
    pub fn pause(&mut self, now: u64) -> SegmentStart {
        let segment = self.segment;
        self.end(now);
        segment
    }

    /// Appends a record: `words`, then `tail`, to the active segment.
    ///
    /// Returns whether it was recorded whole. A record that does not fit the chunk goes to the next one, large ones in fragments.
    ///
    /// # Cost
    /// The header, the words and a copy of the tail, then one release store; the cold path when the chunk is full.
    #[inline(always)]
    pub fn record<const N: usize>(
        &mut self,
        now: u64,
        kind: Kind,
        record_flags: u8,
        words: [u64; N],
        tail: &[u8],
    ) -> bool {
        let need = 8 + 8 * N as u64 + align8(tail.len() as u64);
        let dt = now.wrapping_sub(self.base_ticks);
        if self.cursor + need > self.limit || dt > u64::from(u32::MAX) {
            return self.record_cold(now, kind, record_flags, &words, tail);
        }
        self.put(dt as u32, kind, record_flags, &words, tail);
        true
    }

    /// Appends a record of span `span`, leaving the id out where the record before named the same span.
    #[inline(always)]
    pub fn record_of_span<const N: usize, const WITH_SPAN: usize>(
        &mut self,
        now: u64,
        kind: Kind,
        record_flags: u8,
        span: SpanId,
        words: [u64; N],
        tail: &[u8],
    ) -> bool {
        const { assert!(WITH_SPAN == N + 1) };
        if self.last_span == span.0 && span.0 != 0 {
            // The cold path may move on to another segment, where nothing may be elided: it is told by the full form instead.
            let need = 8 + 8 * N as u64 + align8(tail.len() as u64);
            let dt = now.wrapping_sub(self.base_ticks);
            if self.cursor + need <= self.limit && dt <= u64::from(u32::MAX) {
                self.put(dt as u32, kind, record_flags | flags::ELIDED, &words, tail);
                return true;
            }
        }
        let mut all = [span.0; WITH_SPAN];
        all[1..].copy_from_slice(&words);
        self.last_span = span.0; // before the call: one that moves on to another segment takes it back
        self.record(now, kind, record_flags, all, tail)
    }

    /// Says which span is the innermost open one, for what follows and for probes.
    #[inline(always)]
    pub fn set_span(&mut self, span: SpanId) {
        self.segment.span = span;
        self.publish_span();
    }

    /// Says that the record just written named `span`, so that the next one of it may leave the id out.
    #[inline(always)]
    pub fn note_span(&mut self, span: SpanId) {
        self.last_span = if std::mem::take(&mut self.split) == 0 { span.0 } else { 0 };
    }

    /// Sets bits of [`seg_flags`] in the active segment, where readers of an open chunk see them too.
    pub fn mark(&mut self, bits: u32) {
        self.segment.flags |= bits;
        if self.limit != 0 {
            let at = self.head + u64::from(self.last_segment) + SEG_BYTES - 8;
            let word = self.store.word(at);
            word.store(word.load(Relaxed) | u64::from(bits) << 32, Release); // one writer; a reader sees the bits or not yet
        }
    }

    /// Says that `trigger` fired for the active trace: in its segment's flags, and for the requests that go out from it.
    pub fn mark_fired(&mut self, trigger: TriggerId) {
        self.mark(seg_flags::FIRED);
        let known = &mut self.segment.triggers;
        if !known.contains(&trigger)
            && let Some(free) = known.iter_mut().find(|known| known.0 == 0)
        {
            *free = trigger;
        }
    }

    /// Counts a drop that is no loss of an active trace.
    pub fn count_drop(&self, reason: DropReason) {
        if self.store.bytes() != 0 {
            thread_slot::count_drop(&self.store, self.slot_number, reason);
        }
    }

    /// Returns whether the thread has no chunk to write to.
    pub fn is_dropping(&self) -> bool {
        self.head == 0
    }

    /// Writes SEG_END; [`END_ROOM`] is there for it.
    #[inline(always)]
    fn put_end(&mut self, now: u64) {
        let dt = now.wrapping_sub(self.base_ticks);
        if dt > u64::from(u32::MAX) {
            self.put_time(now);
            self.put(0, Kind::SegEnd, 0, &[], &[]);
        } else {
            self.put(dt as u32, Kind::SegEnd, 0, &[], &[]);
        }
    }

    #[cold]
    fn put_time(&mut self, now: u64) {
        self.put(0, Kind::Time, 0, &[now], &[]);
        self.base_ticks = now;
    }

    /// Writes the SEG record; the chunk has room for it.
    #[inline(always)]
    fn put_segment(&mut self, now: u64, segment_flags: u32) {
        let start = &self.segment;
        let words = [
            start.trace.hi,
            start.trace.lo,
            now,
            start.parent_span.0,
            u64::from(start.from_agent.0) | u64::from(segment_flags) << 32,
        ];
        let offset = self.cursor - self.head;
        self.head_bias = (self.generation_bits + (offset << 20)).wrapping_sub(self.head);
        let previous = self.last_segment;
        self.last_segment = offset as u32;
        self.base_ticks = now;
        self.last_span = 0;
        self.n_segments += 1;
        self.limit = self.chunk_limit;
        self.put(previous, Kind::Seg, 0, &words, &[]);
    }

    /// Writes a record and publishes it.
    #[inline(always)]
    fn put(&mut self, dt: u32, kind: Kind, record_flags: u8, words: &[u64], tail: &[u8]) {
        let at = self.cursor;
        let fixed = 8 + 8 * words.len() as u64;
        let len = fixed + tail.len() as u64;
        debug_assert!(self.head != 0 && at + align8(len) <= self.chunk_limit + END_ROOM);
        let head = Header { len: len as u16, kind: kind as u8, flags: record_flags, dt };
        // SAFETY: `at + align8(len)` is within the open chunk: every caller compared with `limit` or `chunk_limit`, or uses END_ROOM. The
        // chunk is within the region (`lease::read`) and this thread's alone; readers stop at the committed length.
        let first = unsafe { self.store.word_unchecked(at) };
        first.store(head.pack(), Relaxed); // published below
        for (idx, word) in words.iter().enumerate() {
            // SAFETY: as above.
            let target = unsafe { self.store.word_unchecked(at + 8 + 8 * idx as u64) };
            target.store(*word, Relaxed); // published below
        }
        // SAFETY: as above, and 8-aligned because `at` is.
        unsafe { self.store.copy_in(at + fixed, tail) };
        self.cursor = at + align8(len);
        // SAFETY: the open chunk's first word.
        let head_word = unsafe { self.store.word_unchecked(self.head) };
        head_word.store(self.head_bias.wrapping_add(self.cursor), Release); // pairs with the reader's acquire load
    }

    #[inline(always)]
    fn publish_context(&mut self, now: u64) {
        let trace = self.segment.trace;
        let span = self.segment.span.0;
        let context =
            [(slot::TRACE_HI, trace.hi), (slot::TRACE_LO, trace.lo), (slot::SPAN, span), (slot::CHANGED, now)];
        self.publish(context);
    }

    #[inline(always)]
    fn publish_span(&mut self) {
        self.publish([(slot::SPAN, self.segment.span.0)]);
    }

    /// Changes words of the thread's context between two change numbers, the first of them odd.
    #[inline(always)]
    fn publish<const N: usize>(&mut self, words: [(u64, u64); N]) {
        if self.slot_at == 0 {
            return;
        }
        let api = u64::from(self.segment.api) << 32;
        let seq = self.seq;
        self.seq = seq.wrapping_add(2);
        self.set_slot(slot::SEQ_API, u64::from(seq.wrapping_add(1)) | api);
        for (offset, value) in words {
            self.set_slot(offset, value);
        }
        self.set_slot(slot::SEQ_API, u64::from(self.seq) | api);
    }

    /// Stores a word of the thread's context; in program order for whoever interrupts this thread or reads from elsewhere.
    #[inline(always)]
    fn set_slot(&self, offset: u64, value: u64) {
        // SAFETY: `slot_at` is 0 (excluded by the callers) or the offset of a slot below SLOTS_MAX, inside the region's fixed part.
        let word = unsafe { self.store.word_unchecked(self.slot_at + offset) };
        word.store(value, Release); // pairs with `slot::context`; on x86-64 a plain store
    }
}
