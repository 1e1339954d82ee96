//! The client side of the model: what one thread does in begin, tracepoint and end.
//!
//! Called by the model on measured threads. One of the files with unsafe code: it stores into buffers of the pool that it owns.
#![allow(unsafe_code, reason = "stores into buffers of the pool")]

use std::{hint::black_box, ptr};

use super::{BUFFER_BYTES, Pool};
use crate::bench::clock::ticks;

const HEADER_BYTES: usize = 32;

/// The header of a buffer (hindsight spec, section 2).
#[repr(C)]
struct Header {
    trace: u64,
    acquired_tsc: u64,
    buffer_id: i32,
    previous_id: i32,
    size: u32,
    chain_idx: i16,
    n_null: i16,
}

const _: () = assert!(size_of::<Header>() == HEADER_BYTES);

/// The buffer id of the null buffer.
const NULL: i32 = -1;

/// One thread's writer: it owns at most one buffer of the pool, or writes to its private null buffer.
pub(super) struct Writer<'p> {
    pool: &'p Pool,
    null: Box<[u8; BUFFER_BYTES]>,
    payload: [u8; 2048],
    /// The active trace; 0 when there is none, and then there is no buffer.
    trace: u64,
    /// `BUFFER_BYTES` that this writer owns, while `trace` is not 0.
    base: *mut u8,
    /// The next free byte; `BUFFER_BYTES` when there is no buffer.
    at: usize,
    id: i32,
    chain_idx: i16,
    n_taken: u64,
    n_null: u64,
}

impl<'p> Writer<'p> {
    pub(super) fn new(pool: &'p Pool) -> Self {
        let mut null = Box::new([0; BUFFER_BYTES]);
        let base = null.as_mut_ptr();
        let payload = black_box([0x5a; 2048]);
        Self { pool, null, payload, trace: 0, base, at: BUFFER_BYTES, id: NULL, chain_idx: 0, n_taken: 0, n_null: 0 }
    }

    /// Makes `trace` the active one: no-op when it is, else the old buffer goes back and a fresh one gets its header.
    #[inline]
    pub(super) fn begin(&mut self, trace: u64) {
        if self.trace == trace {
            return;
        }
        self.end();
        self.trace = trace;
        self.chain_idx = 0;
        self.take_buffer(NULL);
    }

    /// Copies a time stamp and the first `N` bytes of the payload into the active trace's buffer.
    #[inline]
    pub(super) fn tracepoint<const N: usize>(&mut self) {
        if self.at + 8 + N > BUFFER_BYTES {
            self.spill();
        }
        let room = self.base.wrapping_add(self.at);
        let stamp = ticks();
        // SAFETY: this writer owns the `BUFFER_BYTES` at `base`, and `at + 8 + N` is within them: checked above, or a new buffer.
        unsafe { room.cast::<u64>().write_unaligned(stamp) };
        // SAFETY: as above; the payload is this thread's own and does not overlap a buffer. `N` is at most 2048.
        unsafe { ptr::copy_nonoverlapping(self.payload.as_ptr(), room.wrapping_add(8), N) };
        self.at += 8 + N;
    }

    /// Ends the active trace: its buffer goes to the complete ring.
    #[inline]
    pub(super) fn end(&mut self) {
        if self.trace != 0 {
            self.give_back();
            self.trace = 0;
            self.at = BUFFER_BYTES;
        }
    }

    /// Returns which share of the buffers taken since the last call were null buffers.
    pub(super) fn take_lost_share(&mut self) -> f64 {
        let share = self.n_null as f64 / self.n_taken.max(1) as f64;
        (self.n_taken, self.n_null) = (0, 0);
        share
    }

    #[cold]
    fn spill(&mut self) {
        assert!(self.trace != 0, "a tracepoint belongs to a trace");
        let previous = self.id;
        self.give_back();
        self.chain_idx = self.chain_idx.wrapping_add(1);
        self.take_buffer(previous);
    }

    fn take_buffer(&mut self, previous_id: i32) {
        self.n_taken += 1;
        (self.id, self.base) = match self.pool.available().pop() {
            Some([id, _]) => (id as i32, self.pool.buffer(id)),
            None => {
                self.n_null += 1;
                (NULL, self.null.as_mut_ptr())
            }
        };
        self.at = HEADER_BYTES;
        let header = Header {
            trace: self.trace,
            acquired_tsc: ticks(),
            buffer_id: self.id,
            previous_id,
            size: 0,
            chain_idx: self.chain_idx,
            n_null: self.n_null as i16,
        };
        // SAFETY: `base` is the start of `BUFFER_BYTES` that this writer now owns: popped from the ring, or its own null buffer.
        unsafe { self.base.cast::<Header>().write_unaligned(header) };
    }

    /// Sets the size in the header and hands the buffer to the agent; a null buffer stays.
    fn give_back(&mut self) {
        if self.id == NULL {
            return;
        }
        let size = self.base.wrapping_add(std::mem::offset_of!(Header, size)).cast::<u32>();
        // SAFETY: the header lies in the buffer that this writer still owns; `end` and `spill` come here only with a buffer.
        unsafe { size.write_unaligned(self.at as u32) };
        let pushed = self.pool.complete().push([self.id as u64, self.trace]);
        debug_assert!(pushed, "the complete ring holds as many slots as there are buffers");
        self.id = NULL;
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.end();
    }
}
