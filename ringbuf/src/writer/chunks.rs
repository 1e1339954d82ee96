//! How a thread changes from one chunk to the next: the class it wants, claiming, opening, sealing.
//!
//! Called by [`Writer`] alone, once per chunk. The protocol with the agent is in [`crate::lease`].

use super::{END_ROOM, GOES_ON, SegmentStart, Writer};
use crate::abi::{CHUNK_HEADER_BYTES, ChunkId, Class, NO_CHUNK, chunk, header, slot};
use crate::head::Head;
use crate::lease::{self, Claimed};
use crate::region;
use crate::slot as thread_slot;
use crate::storage::Storage;
use backsight_core::ids::TraceId;
use backsight_core::record::seg_flags;
use backsight_core::sync::Ordering::{Acquire, Relaxed, Release};

/// A chunk filled faster than this share of a second asks for a larger one (1/10 s), slower than 2 s for a smaller one.
const FAST_FILL_DIVISOR: u64 = 10;
const SLOW_FILL_SECONDS: u64 = 2;

impl<S: Storage> Writer<S> {
    /// Ends the active segment, seals the open chunk and gives up the slot: the thread's last call.
    pub fn exit(&mut self, now: u64) {
        self.end(now);
        self.seal(now);
        if self.store.bytes() != 0 {
            thread_slot::exit(&self.store, self.slot_number);
        }
    }

    /// Makes the writer whole after a call that a `longjmp` left behind, at any instruction: what was committed stays, the open chunk is
    /// sealed, and the active segment goes on in another one.
    ///
    /// A segment that was just beginning or ending is over: its call never returned. A chunk between two states stays in limbo.
    #[cold]
    pub fn recover(&mut self, now: u64) {
        if self.store.bytes() == 0 {
            return;
        }
        self.settle(); // below, no record of it is in reach
        let own = |offset| self.store.word(self.slot_at + offset).load(Relaxed); // only this thread writes them
        let published = TraceId::new(own(slot::TRACE_HI), own(slot::TRACE_LO));
        let open = own(slot::OPEN);
        let lease_of =
            |id: ChunkId| lease::read(&self.store, id.lease()).map(|lease| (id, lease.chunk_offset(id.bit())));
        let chunk = (open as u32).checked_sub(1).and_then(ChunkId::from_code).and_then(lease_of);
        if let Some((id, offset)) = chunk.filter(|(_, offset)| *offset == self.head) {
            let head = Head::unpack(self.store.word(offset).load(Relaxed)); // only this thread writes it while it is open
            if !head.sealed && u64::from(head.generation) == open >> 32 {
                self.chunk = id.code();
                self.seal(now);
            }
        }
        (self.head, self.cursor, self.chunk_limit, self.limit, self.chunk) = (0, 0, 0, 0, NO_CHUNK);
        self.grants_seen = u64::MAX;
        if published != self.segment.trace {
            (self.segment, self.pending, self.detail_priority) = (SegmentStart::default(), 0, 0);
        }
        self.segment = self.segment(); // of one that is over nothing is told
        self.publish_context(now, &self.segment());
    }

    /// Seals the open chunk and opens another. Returns whether there was one; if not, the thread is in drop mode.
    #[cold]
    pub(super) fn next_chunk(&mut self, now: u64) -> bool {
        if self.store.bytes() == 0 {
            return false;
        }
        let grants = self.store.word(header::GRANT_SEQ).load(Acquire); // pairs with `announce_grants`
        let recording = region::is_recording(&self.store);
        if self.head == 0 && (grants == self.grants_seen || !recording) {
            return false; // nothing was granted since the last look
        }
        let wanted = self.wanted_class(now);
        let last = if self.head == 0 { self.prev_chunk } else { self.chunk };
        let near = if last == NO_CHUNK { 0 } else { last >> 6 };
        // Before the seal: what is active loses a record where there is none, and only an open chunk can still say so.
        let claimed = recording.then(|| lease::claim(&self.store, wanted, near)).flatten();
        let is_in_chunk = self.limit != 0 || (self.pending == GOES_ON && self.head != 0);
        if claimed.is_none() && is_in_chunk {
            self.mark_at_end(seg_flags::LOSS);
        }
        self.seal(now);
        if let Some(wake) = self.wake {
            wake(&self.store); // there is a chunk to index and one fewer to claim
        }
        let Some(claimed) = claimed else {
            if recording {
                self.grants_seen = grants;
            }
            return false; // drop mode: what is lost is told of before anything else is written
        };
        self.open(claimed, now);
        if self.lost != 0 && self.segment.carried.flags & seg_flags::LOSS == 0 {
            self.put_lost(); // of segments that are over: it stands before the first segment of the chunk
        }
        true
    }

    /// Returns the class for the next chunk: by how fast the last one filled.
    fn wanted_class(&self, now: u64) -> Class {
        let second = self.store.word(header::TICKS_PER_SECOND).load(Relaxed); // constant once mapped
        let took = now.wrapping_sub(self.opened_ticks);
        let class = match Class::from_code(u64::from(self.class)).unwrap_or(Class::Small) {
            class if self.head == 0 => class,
            class if took < second / FAST_FILL_DIVISOR => class.larger(),
            class if took > second.saturating_mul(SLOW_FILL_SECONDS) => class.smaller(),
            class => class,
        };
        class.max(region::class_floor(&self.store))
    }

    fn open(&mut self, claimed: Claimed, now: u64) {
        let open = self.store.word(self.slot_at + slot::OPEN);
        let entry = (u64::from(claimed.id.code()) + 1) | (u64::from(claimed.generation) << 32);
        open.store(entry, Release); // the agent tells open chunks from limbo by it
        // Relaxed, all: published by the head.
        let put = |offset, value| self.store.word(claimed.offset + offset).store(value, Relaxed);
        put(chunk::OWNER, u64::from(self.slot_number) | u64::from(self.tid) << 32);
        put(chunk::FIRST_TICKS, now);
        put(chunk::LAST_TICKS, 0);
        put(chunk::LINKS, u64::from(self.prev_chunk));
        put(chunk::LOST, self.lost);
        self.head = claimed.offset;
        self.cursor = claimed.offset + CHUNK_HEADER_BYTES;
        self.chunk_limit = claimed.offset + claimed.class.bytes() - END_ROOM;
        self.chunk_bias = (u64::from(claimed.generation) << 40).wrapping_sub(self.head);
        self.head_bias = self.chunk_bias;
        self.chunk = claimed.id.code();
        self.class = claimed.class as u32;
        self.opened_ticks = now;
        self.n_segments = 0;
        self.base_ticks = now;
    }

    /// Seals the open chunk, if there is one.
    pub(super) fn seal(&mut self, now: u64) {
        self.limit = 0;
        let Some(id) = ChunkId::from_code(self.chunk).filter(|_| self.head != 0) else { return };
        // Relaxed, both: published by the seal.
        self.store.word(self.head + chunk::LAST_TICKS).store(now, Relaxed);
        let links = u64::from(self.prev_chunk) | u64::from(self.n_segments) << 32;
        self.store.word(self.head + chunk::LINKS).store(links, Relaxed);
        lease::seal(&self.store, id, self.head);
        self.store.word(self.slot_at + slot::OPEN).store(0, Release); // after the sealed bit
        (self.head, self.cursor, self.chunk_limit) = (0, 0, 0);
        (self.prev_chunk, self.chunk) = (self.chunk, NO_CHUNK);
    }
}
