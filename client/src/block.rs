//! Thread blocks: each thread's writer in private memory that a forked child finds zeroed.
//!
//! ```text
//! slab (private, MADV_WIPEONFORK)   | process blocks | thread block 1 | thread block 2 | ...
//! thread-local pointer -------------------------------^        writer -> region, slot, open chunk
//! ```
//! After a fork the child's blocks read zero: its writers are not attached, its next `begin` takes the cold path and opens a session of
//! its own. A signal handler that interrupts a write finds `busy` set and is refused; a write that a `longjmp` abandoned is recognised by
//! its frame.

use crate::clock;
use crate::process;
use crate::signals::HeldBack;
use crate::slab::{self, BLOCK_BYTES, THREAD_BLOCKS};
use backsight_core::clock::ClockSource;
use backsight_core::sync::{AtomicU64, signal_fence};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::shm::View;
use backsight_ringbuf::writer::Writer;
use backsight_ringbuf::{region, slot};
use std::cell::{Cell, UnsafeCell};

/// One thread's writer and what guards it.
///
/// # Shape
/// `repr(C)`: `backsight.h` inlines the hot path over `busy`, `clock` and the first words of `writer` (`docs/spec/c-abi.md`). All zero is
/// the state of a thread that has no session.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct ThreadBlock {
    /// The frame of the call that writes now, 0 while none does.
    pub busy: Cell<usize>,
    /// The clock, a `ClockSource`.
    pub clock: Cell<u32>,
    /// Which session the writer belongs to; cached string ids of another one are not valid.
    pub epoch: Cell<u32>,
    /// The writer.
    pub writer: UnsafeCell<Writer<View>>,
    /// State of the generator of span ids, 0 before the first.
    random: Cell<u64>,
    /// Rounds of thread-exit destructors that this block has seen.
    pub(crate) exit_rounds: Cell<u32>,
    /// The session's epoch in the high half, the number of the thread's slot in its region and 1 more in the low one; 0 without a session. One
    /// word, so that a handler never finds half of it.
    pub(crate) slot: Cell<u64>,
}

/// A region, and the number of a thread slot in it.
pub(crate) type Place = (View, u32);

thread_local! {
    /// This thread's block; null before its first trace call and after its last.
    static BLOCK: Cell<*const ThreadBlock> = const { Cell::new(std::ptr::null()) };
    /// Calls for which a thread that found no block free looks for none again.
    static PASSES: Cell<u32> = const { Cell::new(0) };
}

/// See [`PASSES`]: a look costs two system calls and thousands of reads.
const PASSES_MAX: u32 = 255;

impl ThreadBlock {
    /// Returns the block's number in the slab.
    #[inline(always)]
    pub(crate) fn number(&self) -> usize {
        std::ptr::from_ref(self).addr() / BLOCK_BYTES % THREAD_BLOCKS // blocks stand back to back: the order is all that callers use
    }

    /// Returns the time on the session's clock.
    #[inline(always)]
    fn now(&self) -> u64 {
        clock::now(ClockSource::from_code(self.clock.get()))
    }

    /// Returns where the thread's slot is, for a handler that may not touch the writer; `None` without a session.
    pub(crate) fn place(&self) -> Option<Place> {
        let word = self.slot.get();
        let number = (word as u32).checked_sub(1)?;
        let session = process::open_session()?;
        // A thread may still be in a region whose agent is gone.
        (u64::from(session.epoch) == word >> 32).then_some((session.view, number))
    }

    /// Does what [`random`] does, for a caller that has the block at hand.
    #[inline(always)]
    pub(crate) fn random(&self) -> u64 {
        self.random_at_once().unwrap_or_else(|| {
            self.random.set(seed());
            self.random_at_once().unwrap_or(1)
        })
    }

    /// Does what [`ThreadBlock::random`] does once the generator is seeded.
    #[inline(always)]
    pub(crate) fn random_at_once(&self) -> Option<u64> {
        let state = self.random.get();
        if state == 0 {
            return None;
        }
        // Source: wyrand of wyhash final version 4, Wang Yi. One multiplication; its period is all of the state's values.
        let next = state.wrapping_add(0xa076_1d64_78bd_642f);
        self.random.set(next);
        let product = u128::from(next) * u128::from(next ^ 0xe703_7ed1_a0b4_28db);
        Some((product >> 64) as u64 ^ product as u64)
    }
}

/// Runs `write` with the calling thread's writer and the time, or returns `None` where it must not write: no memory, or a signal handler
/// that interrupted a write.
///
/// `write` must not call this function, nor anything of the application's.
#[inline(always)]
pub fn with_writer<R>(write: impl FnOnce(&mut Writer<View>, u64) -> R) -> Option<R> {
    with_block(|_, writer, now| write(writer, now))
}

/// Does what [`with_writer`] does, for a `write` that needs more of the thread's block.
#[inline(always)]
pub(crate) fn with_block<R>(write: impl FnOnce(&ThreadBlock, &mut Writer<View>, u64) -> R) -> Option<R> {
    let mut held = hold()?;
    let now = held.now();
    let (block, writer) = held.block_and_writer();
    let result = write(block, writer, now);
    held.leave();
    Some(result)
}

/// Looks at the calling thread's writer; reads no clock, for a `read` that needs none.
#[inline(always)]
pub(crate) fn look<R>(read: impl FnOnce(&Writer<View>) -> R) -> Option<R> {
    let mut held = hold()?;
    let result = read(held.writer());
    held.leave();
    Some(result)
}

/// The calling thread's writer, which no handler may use until [`Held::leave`].
///
/// It has no `Drop`: a `longjmp` may pass over the frames that it lives in.
#[must_use = "the writer stays busy until it is left"]
pub(crate) struct Held {
    block: &'static ThreadBlock,
}

/// Takes the calling thread's writer: what [`with_block`] does first, for calls that are inlined whole.
#[inline(always)]
pub(crate) fn hold() -> Option<Held> {
    hold_from(frame())
}

#[inline(always)]
fn hold_from(frame: usize) -> Option<Held> {
    let block = current()?;
    if block.busy.get() != 0 && !abandoned(block, frame) {
        return None;
    }
    block.busy.set(frame);
    signal_fence();
    Some(Held { block })
}

/// Does what [`hold`] does, out of line, for the call whose frame is `frame`: one of its own would lie too deep to tell a write that was
/// abandoned from one that is interrupted.
#[cold]
#[inline(never)]
pub(crate) fn hold_slowly(frame: usize) -> Option<Held> {
    hold_from(frame)
}

/// Takes the calling thread's writer where nothing is unusual: the thread has a block, no write is under way, and the clock is the
/// processor's counter. `None` says nothing but that the caller is to go on with [`hold`].
///
/// For calls whose usual case is inlined, and whose others are one call of a function that begins anew.
#[inline(always)]
pub(crate) fn hold_at_once() -> Option<Held> {
    let block = existing()?;
    const { assert!(ClockSource::Tsc as u32 == 0) };
    if block.busy.get() | block.clock.get() as usize != 0 {
        return None;
    }
    block.busy.set(frame());
    signal_fence();
    Some(Held { block })
}

impl Held {
    /// Returns the block, its writer and the time, for what [`hold_at_once`] returned.
    #[inline(always)]
    pub(crate) fn parts_at_once(&mut self) -> (&'static ThreadBlock, &mut Writer<View>, u64) {
        let now = clock::now(ClockSource::Tsc);
        let (block, writer) = self.block_and_writer();
        (block, writer, now)
    }

    /// Returns the writer. What is done with it must not call the application.
    #[inline(always)]
    pub(crate) fn writer(&mut self) -> &mut Writer<View> {
        // SAFETY: `busy` was 0 and is set while this value lives, so no other call of this thread is inside, and the reference ends with
        // the borrow of the one value; other threads have blocks of their own.
        unsafe { &mut *self.block.writer.get() }
    }

    /// Returns the block and its writer, as [`Held::writer`] does.
    #[inline(always)]
    pub(crate) fn block_and_writer(&mut self) -> (&'static ThreadBlock, &mut Writer<View>) {
        (self.block, self.writer())
    }

    /// Returns the time on the session's clock.
    #[inline(always)]
    pub(crate) fn now(&self) -> u64 {
        self.block.now()
    }

    /// Gives the writer back.
    #[inline(always)]
    pub(crate) fn leave(self) {
        signal_fence();
        self.block.busy.set(0);
    }
}

/// Returns the calling thread's block, claiming one at its first call; `None` where there is no memory.
#[inline(always)]
pub fn current() -> Option<&'static ThreadBlock> {
    let block = match BLOCK.get() {
        block if !block.is_null() => block,
        _ => claim_cold()?,
    };
    // SAFETY: blocks live in the slab, which is never unmapped, and this one is the calling thread's.
    Some(unsafe { &*block })
}

/// Frees the calling thread's block from a write that `frame`, the caller's, proves abandoned: what the C face calls where it finds
/// `busy` set. Returns whether the caller may write.
#[cold]
pub fn recover(frame: usize) -> bool {
    // The block that the caller still knows is another thread's by now: this one is in the last steps of its end.
    let Some(block) = existing() else { return false };
    let free = block.busy.get() == 0 || abandoned(block, frame);
    if free {
        block.busy.set(0);
    }
    free
}

/// Returns the calling thread's block if it has one, without claiming.
#[inline(always)]
pub(crate) fn existing() -> Option<&'static ThreadBlock> {
    let block = BLOCK.get();
    // SAFETY: null, or a block of the slab, which is never unmapped.
    unsafe { block.as_ref() }
}

/// Returns 64 random bits for an id; not for secrets.
///
/// # Cost
/// One multiplication, once the thread's generator is seeded by a system call.
pub(crate) fn random() -> u64 {
    current().map_or_else(seed, ThreadBlock::random)
}

#[cold]
#[inline(never)]
pub(crate) fn seed() -> u64 {
    let mut bytes = [0; 8];
    let read = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::NONBLOCK);
    let fallback = if read == Ok(8) { 0 } else { clock::monotonic_ns().rotate_left(32) };
    (u64::from_ne_bytes(bytes) ^ fallback) | 1
}

/// Returns the time at which an attached writer may write, attaching the calling thread's where it is not; `None` where there is no
/// session.
///
/// Called inside `with_writer`'s closure, with what that was given.
#[inline(always)]
pub(crate) fn attached(writer: &mut Writer<View>, now: u64) -> Option<u64> {
    let is_usual = writer.store().is_mapped() && !is_silent(writer, now);
    if is_usual { Some(now) } else { attach_writer(writer, now) }
}

/// Returns whether a writer is attached and its agent may be gone.
#[inline(always)]
pub(crate) fn is_silent(writer: &Writer<View>, now: u64) -> bool {
    writer.store().is_mapped() && region::silent_ticks(writer.store(), now) > region::SILENT_TICKS
}

/// Attaches the writer of the calling thread to the process's session, opening that first where it may be opened now. A writer that has
/// memory changes to another only where its session is over, and between segments.
///
/// Returns the time if the writer has memory now: the session's clock need not be the one that `with_writer` read.
#[cold]
#[inline(never)]
fn attach_writer(writer: &mut Writer<View>, now: u64) -> Option<u64> {
    let block = existing()?;
    if writer.store().is_mapped() {
        if !writer.trace().is_none() || !process::is_over(writer.store()) {
            return Some(now);
        }
        block.slot.set(0);
        *writer = Writer::detached();
    }
    let session = process::session()?;
    let tid = rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned();
    let Some(number) = slot::claim(&session.view, tid) else {
        process::count(DropReason::ThreadSlots);
        return None;
    };
    *writer = Writer::new(session.view, number, tid);
    writer.wake_by(process::ring_at_change);
    block.clock.set(session.clock as u32);
    block.epoch.set(session.epoch);
    block.slot.set(u64::from(session.epoch) << 32 | u64::from(number + 1));
    Some(clock::now(session.clock))
}

/// Gives the calling thread's block back. The thread's last act; see `exit`.
pub(crate) fn free(block: &ThreadBlock) {
    BLOCK.set(std::ptr::null());
    block.exit_rounds.set(0);
    block.busy.set(0);
    slab::free(block);
}

/// Claims a block for the calling thread.
#[cold]
#[inline(never)]
fn claim_cold() -> Option<*const ThreadBlock> {
    if !slab::exists() {
        return None;
    }
    if let Some(left) = PASSES.get().checked_sub(1) {
        PASSES.set(left);
        return count_refused();
    }
    let _held_back = HeldBack::new();
    let claimed = BLOCK.get();
    if !claimed.is_null() {
        return Some(claimed); // a handler was faster
    }
    if let Some(block) = slab::take() {
        BLOCK.set(block);
        crate::exit::watch(block); // without a session too: the next thread takes the block over
        return Some(block);
    }
    PASSES.set(PASSES_MAX);
    count_refused()
}

/// Counts a call of a thread that has no block; returns none.
fn count_refused<T>() -> Option<T> {
    process::count(DropReason::ThreadSlots);
    if let Some(session) = process::open_session() {
        slot::count_refused(&session.view); // for the agent, as where a slot is missing
    }
    None
}

/// Returns whether the call that set `busy` can no longer return: a `longjmp` left it behind.
///
/// A nested call, a signal handler's, has a deeper frame than the one that it interrupts. The same frame or a shallower one proves that
/// the write is gone, unless the caller runs on the alternate signal stack, whose addresses say nothing.
#[cold]
#[inline(never)]
fn abandoned(block: &ThreadBlock, frame: usize) -> bool {
    let gone = frame >= block.busy.get() && !on_alternate_stack();
    if gone {
        block.busy.set(frame); // handlers stay out
        signal_fence();
        // SAFETY: the call that had this reference never returns, and no other can begin while `busy` is set.
        unsafe { &mut *block.writer.get() }.recover(block.now());
        signal_fence();
    } else {
        count_reentrant(block);
    }
    gone
}

/// Counts a call that a handler made inside a write of its thread: in the thread's slot, where the agent reads it, if it has one. The writer
/// is the interrupted call's.
fn count_reentrant(block: &ThreadBlock) {
    match block.place() {
        Some((view, number)) => slot::count_drop_in_handler(&view, number, DropReason::Reentrant),
        None => process::count(DropReason::Reentrant),
    }
}

fn on_alternate_stack() -> bool {
    let mut stack = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
    // SAFETY: a query: the new stack is null and the old one is written to a local.
    let asked = unsafe { libc::sigaltstack(std::ptr::null(), &raw mut stack) };
    asked == 0 && stack.ss_flags & libc::SS_ONSTACK != 0
}

/// Returns the stack pointer of the function that this is inlined in, which is never 0.
#[inline(always)]
pub(crate) fn frame() -> usize {
    let frame: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: copies a register.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: copies a register.
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) frame, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let local = 0_u8;
        frame = (&raw const local).addr();
    }
    frame
}

/// Counters of the process that no thread slot can hold, by reason; a child starts from zero.
pub(crate) type Counters = [AtomicU64; backsight_core::telemetry::DROP_COUNTERS];
