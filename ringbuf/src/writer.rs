//! The write path: one thread appends records of one trace after another to its own log of chunks.
//!
//! Called by the client for every record. It takes no lock, allocates nothing, makes no system call of its own ([`Writer::wake_by`] is the
//! caller's, once per chunk) and cannot panic; every step is bounded. A record is visible to the agent with the release store of its chunk's head, and survives whatever happens to the process
//! after that store. The clock is the caller's: `now` is in ticks.

mod chunks;
mod cold;
mod context;
mod marks;
mod resume;
mod shed;
mod start;

use self::context::{context_words, idle_words};
use self::resume::OVER;
pub use self::start::{Carried, OLDER_AGENTS, SegmentStart};
use crate::abi::{NO_CHUNK, header, slot, slot_offset};
use crate::region;
#[cfg(not(any(loom, shuttle)))]
use crate::shm::View;
use crate::slot as thread_slot;
use crate::storage::Storage;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{Header, Kind, Level, SEG_BYTES, SEG_END_BYTES, TIME_BYTES, align8, flags};
use backsight_core::sync::Ordering::{Relaxed, Release};
use backsight_core::telemetry::DropReason;

/// Room that every open chunk keeps free, so that an active segment can always be ended: TIME and SEG_END.
const END_ROOM: u64 = TIME_BYTES + SEG_END_BYTES;
/// A SPAN_START record whose name is interned.
const SPAN_START_BYTES: u64 = 8 + 3 * 8;
/// A SPAN_END record that says its span.
const SPAN_END_BYTES: u64 = 8 + 8;
/// The active segment waits for its first record.
const PENDING: u32 = 1;
/// The active segment found no chunk when it began.
const REFUSED: u32 = 2;
/// The segment that the active one goes on with is the last of the open chunk: its records follow there.
const GOES_ON: u32 = 3;
/// Nothing of the active trace is recorded: its priority is below what the agent has threads record.
const SHED: u32 = 4;

/// One thread's place in its log.
///
/// # Shape
/// `repr(C)`; `backsight.h` inlines [`Writer::record`] and reads the first nine words: store (address, bytes), `cursor`, `limit`,
/// `base_ticks`, `head`, `head_bias`, `last_span`, `detail_priority`. All offsets count from the region's start. All zero is a writer that is not attached:
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
    /// The active trace's priority for detail: a level whose threshold is not above it is recorded. 0 until a threshold was above that.
    detail_priority: u64,
    /// `limit` of the open chunk, also while no segment is active.
    chunk_limit: u64,
    /// `head_bias` of the open chunk while it has no segment: the generation in place, minus the chunk's start.
    chunk_bias: u64,
    /// While its trace is none, what else stands here is of a segment that is over.
    segment: SegmentStart,
    /// Where the thread slot stands.
    slot_at: u64,
    opened_ticks: u64,
    /// The grants seen when the last claim failed.
    grants_seen: u64,
    /// Records lost that no LOST record tells of yet.
    lost: u64,
    /// How many segments the open chunk has.
    n_segments: u32,
    slot_number: u32,
    tid: u32,
    chunk: u32,
    prev_chunk: u32,
    /// A [`Class`]'s number, 0 before the first chunk.
    class: u32,
    /// [`PENDING`] or [`REFUSED`] while the active segment has no SEG record: it is written with the first record. [`GOES_ON`] where it has
    /// that of the visit's last one; once more is recorded [`Writer::settle`] may take that for 0. [`SHED`] where it gets none. Else 0.
    pending: u32,
    /// 1 after a record was cut: what it named stands in another segment, where no later record may look for it.
    split: u32,
    /// Where the next record went when the active segment went on; 0 before the first that did.
    went_on_at: u64,
    /// The span in which the open chunk's last segment was paused, or [`OVER`].
    paused_in: SpanId,
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
        ("detail_priority", std::mem::offset_of!(Self, detail_priority)),
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
        Self::unopened(store, slot_number, tid)
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
            detail_priority: 0,
            chunk_limit: 0,
            chunk_bias: 0,
            segment: SegmentStart::default(),
            slot_at: slot_offset(slot_number),
            opened_ticks: 0,
            grants_seen: u64::MAX,
            lost: 0,
            n_segments: 0,
            slot_number,
            tid,
            chunk: NO_CHUNK,
            prev_chunk: NO_CHUNK,
            class: 0,
            pending: 0,
            split: 0,
            went_on_at: 0,
            paused_in: SpanId::NONE,
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

    /// Returns the innermost open span of the active segment; outside a segment, that of the last one.
    #[inline(always)]
    pub fn span(&self) -> SpanId {
        self.segment.span
    }

    /// Returns what the active segment was started with, its open span and flags as they are now; nothing outside a segment.
    #[inline]
    pub fn segment(&self) -> SegmentStart {
        if self.segment.trace.is_none() { SegmentStart::default() } else { self.segment }
    }

    /// Returns the flags of the active segment, 0 outside a segment.
    #[inline(always)]
    pub fn flags(&self) -> u32 {
        if self.segment.trace.is_none() { 0 } else { self.segment.carried.flags }
    }

    /// Starts a segment; one that is active is ended implicitly.
    ///
    /// Returns whether it is recorded: not while no chunk is free, though it becomes so when one is had; not where the trace is shed.
    ///
    /// # Cost
    /// Six words of the log and its head, six of the thread slot, and this writer's own: no atomic read-modify-write, while the chunk has
    /// room.
    #[inline(always)]
    pub fn begin(&mut self, start: SegmentStart, now: u64) -> bool {
        let SegmentStart { trace, parent_span, span, carried } = &start;
        self.begin_at_once(now, *trace, [*parent_span, *span], carried) || self.begin_cold(start, now)
    }

    /// Starts a segment where none is active and the open chunk has room; else does nothing and returns false.
    ///
    /// The parts of a [`SegmentStart`] come one by one, so that `carried` is copied as it stands.
    #[inline(always)]
    pub fn begin_at_once(
        &mut self,
        now: u64,
        trace: TraceId,
        [parent_span, span]: [SpanId; 2],
        carried: &Carried,
    ) -> bool {
        let is_plain = self.segment.trace.is_none() && !trace.is_none();
        if !is_plain || self.cursor + SEG_BYTES > self.chunk_limit {
            return false;
        }
        // SAFETY: there is an open chunk: `chunk_limit` is not 0.
        if unsafe { self.has_threshold(header::RECORD_THRESHOLD) } && self.sheds_trace(trace) {
            return false; // told out of line
        }
        (self.segment.trace, self.segment.parent_span, self.segment.span) = (trace, parent_span, span);
        self.segment.carried = *carried;
        let start = SegmentStart { trace, parent_span, span, carried: *carried };
        self.put_segment(now, &start, carried.flags);
        // SAFETY: there is an open chunk: `chunk_limit` is not 0.
        unsafe { self.publish_attached(carried.api, context_words(&start, now)) };
        true
    }

    /// Ends the active segment, if there is one.
    #[inline]
    pub fn end(&mut self, now: u64) {
        if !self.segment.trace.is_none() && !self.end_at_once(self.segment.trace, now) {
            self.end_cold(now);
        }
    }

    /// Ends the active segment where it is of `trace` and stands in the open chunk; else does nothing and returns false.
    #[inline(always)]
    pub fn end_at_once(&mut self, trace: TraceId, now: u64) -> bool {
        let dt = now.wrapping_sub(self.base_ticks);
        if self.segment.trace != trace || self.limit == 0 || dt > u64::from(u32::MAX) || self.pending != 0 {
            return false;
        }
        self.put(dt as u32, Kind::SegEnd, 0, &[], &[]);
        (self.segment.trace, self.limit, self.paused_in) = (TraceId::NONE, 0, OVER);
        // SAFETY: there is an open chunk: `limit` was not 0.
        unsafe { self.publish_attached(0, idle_words(now)) };
        true
    }

    /// Appends a record: `words`, then `tail`, to the active segment.
    ///
    /// Returns whether it was recorded whole: not where its level is shed. A record that does not fit the chunk goes to the next one, large
    /// ones in fragments.
    ///
    /// # Cost
    /// The header, the words and a copy of the tail, then one release store; where its flags have a detail level, one load of a word that
    /// seldom changes. The cold path when the chunk is full, for the first record of a segment while its level is shed of any trace, and
    /// for each that is shed.
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
        // SAFETY: there is an open chunk: `limit` is not 0.
        if unsafe { self.sheds_at_once(now, record_flags) } {
            return false;
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
        let need = 8 + 8 * N as u64 + align8(tail.len() as u64);
        let dt = now.wrapping_sub(self.base_ticks);
        let is_elided = self.last_span == span.0 && span.0 != 0;
        let mut all = [span.0; WITH_SPAN];
        all[1..].copy_from_slice(&words);
        let end = self.cursor + need + if is_elided { 0 } else { 8 };
        if end > self.limit || dt > u64::from(u32::MAX) {
            // The cold path may move on to another segment, where nothing may be elided: it is told by the full form instead.
            self.last_span = span.0; // before the call: one that moves on to another segment takes it back
            return self.record_cold(now, kind, record_flags, &all, tail);
        }
        // SAFETY: there is an open chunk: `limit` is not 0.
        if unsafe { self.sheds_at_once(now, record_flags) } {
            return false;
        }
        if is_elided {
            self.put(dt as u32, kind, record_flags | flags::ELIDED, &words, tail);
        } else {
            self.last_span = span.0;
            self.put(dt as u32, kind, record_flags, &all, tail);
        }
        true
    }

    /// Starts span `id` under the innermost open one: writes SPAN_START with the name word `name`, and makes it the innermost.
    ///
    /// # Cost
    /// Four words of the log and its head, three of the thread slot, and three of this writer's own; the cold path when the chunk is full.
    #[inline(always)]
    pub fn start_span(&mut self, now: u64, id: SpanId, name: u64) {
        if !self.start_span_at_once(now, id, name) {
            self.start_span_cold(now, id, [id.0, self.segment.span.0, name], &[]);
        }
    }

    /// Does what [`Writer::start_span`] does where the record fits the active segment; else does nothing and returns false.
    #[inline(always)]
    pub fn start_span_at_once(&mut self, now: u64, id: SpanId, name: u64) -> bool {
        let words = [id.0, self.segment.span.0, name];
        let dt = now.wrapping_sub(self.base_ticks);
        if self.cursor + SPAN_START_BYTES > self.limit || dt > u64::from(u32::MAX) {
            return false;
        }
        self.put(dt as u32, Kind::SpanStart, 0, &words, &[]);
        self.last_span = id.0;
        self.segment.span = id;
        // SAFETY: there is an open chunk: `limit` is not 0.
        unsafe { self.publish_attached(self.segment.carried.api, [(slot::SPAN, id.0)]) };
        true
    }

    /// Ends span `id`, after which `outer` is the innermost, where its trace is active and the record fits; else does nothing and returns
    /// false, as it does where another span is the innermost.
    #[inline(always)]
    pub fn end_span_at_once(&mut self, now: u64, trace: TraceId, id: SpanId, outer: SpanId) -> bool {
        let dt = now.wrapping_sub(self.base_ticks);
        let fits = self.cursor + SPAN_END_BYTES <= self.limit && dt <= u64::from(u32::MAX);
        if !fits || self.segment.span != id || self.segment.trace != trace {
            return false;
        }
        if self.last_span == id.0 {
            self.put(dt as u32, Kind::SpanEnd, flags::ELIDED, &[], &[]);
        } else {
            self.last_span = id.0;
            self.put(dt as u32, Kind::SpanEnd, 0, &[id.0], &[]);
        }
        self.segment.span = outer;
        // SAFETY: there is an open chunk: `limit` is not 0.
        unsafe { self.publish_attached(self.segment.carried.api, [(slot::SPAN, outer.0)]) };
        true
    }

    /// Says that the record just written named `span`, so that the next one of it may leave the id out.
    #[inline(always)]
    pub fn note_span(&mut self, span: SpanId) {
        self.last_span = if std::mem::take(&mut self.split) == 0 { span.0 } else { 0 };
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

    /// Returns whether the threshold in word `threshold` of the region's header is not 0.
    ///
    /// # Safety
    /// The writer is attached, as any that has an open chunk is.
    #[inline(always)]
    unsafe fn has_threshold(&self, threshold: u64) -> bool {
        // SAFETY: the header stands at the beginning of every region, and the writer has one, says the caller.
        let word = unsafe { self.store.word_unchecked(threshold) };
        word.load(Relaxed) != 0 // advice, as `region::set_shed` says
    }

    /// Returns whether a record with these flags is left out of the active segment, which then tells of it.
    ///
    /// # Safety
    /// As of [`Writer::has_threshold`].
    #[inline(always)]
    unsafe fn sheds_at_once(&mut self, now: u64, record_flags: u8) -> bool {
        let level = Level::of_flags(record_flags);
        let Some(threshold) = region::detail_threshold(level) else { return false };
        // SAFETY: as in `has_threshold`, whose contract the caller keeps, too.
        let word = unsafe { self.store.word_unchecked(threshold) };
        word.load(Relaxed) > self.detail_priority && self.sheds(now, level) // advice, as `region::set_shed` says
    }

    /// Writes the SEG record of `start`; the chunk has room for it.
    #[inline(always)]
    fn put_segment(&mut self, now: u64, start: &SegmentStart, segment_flags: u32) {
        let words = [
            start.trace.hi,
            start.trace.lo,
            now,
            start.parent_span.0,
            u64::from(start.carried.from_agent.0) | u64::from(segment_flags) << 32,
        ];
        let previous = self.last_segment();
        self.head_bias = self.chunk_bias.wrapping_add((self.cursor - self.head) << 20);
        self.n_segments += 1;
        self.base_ticks = now;
        (self.last_span, self.detail_priority) = (0, 0);
        self.limit = self.chunk_limit;
        self.put(previous, Kind::Seg, 0, &words, &[]);
    }

    /// Returns where the open chunk's last segment begins in it, 0 for none.
    #[inline(always)]
    fn last_segment(&self) -> u32 {
        (self.head_bias.wrapping_sub(self.chunk_bias) >> 20) as u32
    }

    /// Writes a record and publishes it.
    #[inline(always)]
    fn put(&mut self, dt: u32, kind: Kind, record_flags: u8, words: &[u64], tail: &[u8]) {
        let (at, head_at, head_bias) = (self.cursor, self.head, self.head_bias);
        let fixed = 8 + 8 * words.len() as u64;
        let len = fixed + tail.len() as u64;
        debug_assert!(self.head != 0 && at + align8(len) <= self.chunk_limit + END_ROOM);
        let head = Header { len: len as u16, kind: kind as u8, flags: record_flags, dt };
        // SAFETY: `at + align8(len)` is within the open chunk: every caller compared with `limit` or `chunk_limit`, or uses END_ROOM. The
        // chunk is within the region (`lease::read`) and this thread's alone; readers stop at the committed length.
        let target = unsafe { self.store.words_unchecked(at, 1 + words.len()) };
        // SAFETY: the open chunk's first word.
        let head_word = unsafe { self.store.word_unchecked(head_at) };
        // Relaxed, both: published below. A plain loop, as the compiler does not always inline a chain of iterators.
        target[0].store(head.pack(), Relaxed);
        for (target, word) in target[1..].iter().zip(words) {
            target.store(*word, Relaxed);
        }
        // SAFETY: as above, and 8-aligned because `at` is.
        unsafe { self.store.copy_in(at + fixed, tail) };
        let end = at + align8(len);
        self.cursor = end;
        head_word.store(head_bias.wrapping_add(end), Release); // pairs with the reader's acquire load
    }
}
