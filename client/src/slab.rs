//! The slab: private memory that a forked child finds zeroed, with the process's blocks in front and the threads' behind them.
//!
//! Called by `block`, which has what a thread does with its block, and by `process`. Who has which block, and which of the process's counts,
//! stands in ordinary memory, which a child inherits.

use crate::block::ThreadBlock;
use crate::process::Process;
use crate::publication::{Current, MadeOnce, give_back, take_one};
use backsight_core::sync::{AtomicPtr, AtomicU32, Ordering};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Blocks of processes at the slab's start: one for each session in turn, so that what a thread reads of one is not written meanwhile.
const PROCESS_BLOCKS: usize = 64;
/// Bytes of a block: whole cache lines, so that threads do not share one.
pub(crate) const BLOCK_BYTES: usize = 512;
/// Blocks of threads: one for each thread slot of a region.
pub(crate) const THREAD_BLOCKS: usize = 4096;
const SLAB_BYTES: usize = BLOCK_BYTES * (PROCESS_BLOCKS + THREAD_BLOCKS);

const _: () = assert!(size_of::<ThreadBlock>() <= BLOCK_BYTES);
const _: () = assert!(size_of::<Process>() <= BLOCK_BYTES);

/// The slab; made once, inherited by children, never unmapped. Where the system refuses it, it is not asked again, which would cost three
/// system calls a record.
static SLAB: MadeOnce<u8> = MadeOnce { made: AtomicPtr::new(std::ptr::null_mut()), is_refused: AtomicU32::new(0) };
/// 1 while a thread owns the thread block of that number. Ordinary memory: a forked child must not hand its one thread's block, which reads
/// zero, to another thread. The blocks of the parent's other threads stay taken there.
static OWNED: [AtomicU32; THREAD_BLOCKS] = [const { AtomicU32::new(0) }; THREAD_BLOCKS];
/// Which of the process blocks counts. Ordinary memory: a child finds its own, of that number, zeroed.
static CURRENT: Current = Current(AtomicU32::new(0));
/// Numbers that processes of this line of forks have taken. Ordinary memory: a child goes on where its parent was.
static GENERATIONS: AtomicU32 = AtomicU32::new(0);
/// Where to look for a free block first: a hint.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// Returns whether there is a slab, made at the first call; the system may give no memory.
pub(crate) fn exists() -> bool {
    slab().is_some()
}

/// Returns the block of the process's session, or of the next one; `None` where there is no memory.
pub(crate) fn process() -> Option<&'static Process> {
    process_at(CURRENT.number())
}

/// Returns the block that the process's next session takes, once `prepare` has made it one without a session. For the thread that ended the
/// session before.
pub(crate) fn next_process(prepare: impl FnOnce(&Process)) {
    let next = CURRENT.following(PROCESS_BLOCKS);
    if let Some(process) = process_at(next) {
        prepare(process);
        CURRENT.move_to(next);
    }
}

/// Returns the number of this process in the line of its forks: no process that it descends from has it. Not 0.
///
/// # Cost
/// Two loads once it is known.
pub(crate) fn generation() -> u32 {
    // The first block, whichever counts: what is asked for outlives sessions.
    let Some(process) = process_at(0) else { return 1 };
    let known = process.generation.load(Ordering::Relaxed); // all there is to know
    if known != 0 {
        return known;
    }
    let next = GENERATIONS.fetch_add(1, Ordering::Relaxed) + 1; // inherited with the count of those before
    // Relaxed, as above: of two threads that come at once, one has the number for both.
    let taken = process.generation.compare_exchange(0, next, Ordering::Relaxed, Ordering::Relaxed);
    taken.err().unwrap_or(next)
}

fn process_at(number: usize) -> Option<&'static Process> {
    let slab = slab()?;
    // SAFETY: the first blocks of the slab are set aside for the process, and `CURRENT` is one of theirs.
    let block = unsafe { slab.add(number * BLOCK_BYTES) };
    // SAFETY: all its fields are atomics or stand under its state word, and zero is a valid value of each.
    Some(unsafe { &*block.cast::<Process>() })
}

/// Takes a thread block that nobody has; `None` where all are taken, or there is no memory.
pub(crate) fn take() -> Option<&'static ThreadBlock> {
    let start = NEXT.fetch_add(1, Ordering::Relaxed) as usize; // a hint
    let number = PROCESS_BLOCKS + take_one(&OWNED, start)?;
    // SAFETY: a number of the slab's.
    let block = unsafe { slab()?.add(number * BLOCK_BYTES) };
    // SAFETY: within the slab, which is never unmapped; all zero, and what `free` leaves, are valid states.
    Some(unsafe { &*block.cast::<ThreadBlock>() })
}

/// Gives a thread block back.
pub(crate) fn free(block: &ThreadBlock) {
    let Some(slab) = slab() else { return };
    let number = (std::ptr::from_ref(block).addr() - slab.addr()) / BLOCK_BYTES - PROCESS_BLOCKS;
    if let Some(owned) = OWNED.get(number) {
        give_back(owned);
    }
}

fn slab() -> Option<*mut u8> {
    SLAB.get(make, unmap)
}

#[cold]
fn make() -> Option<*mut u8> {
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new private mapping at an address of the kernel's choice touches no existing memory.
    let made = unsafe { mmap_anonymous(std::ptr::null_mut(), SLAB_BYTES, protection, MapFlags::PRIVATE) }.ok()?;
    // SAFETY: the range was just mapped; the advice changes what a child inherits.
    let wiped = unsafe { madvise(made, SLAB_BYTES, Advice::LinuxWipeOnFork) };
    if wiped.is_err() {
        unmap(made.cast());
        return None;
    }
    Some(made.cast())
}

fn unmap(slab: *mut u8) {
    // SAFETY: mapped by `make` with this length and not published.
    let _ = unsafe { munmap(slab.cast(), SLAB_BYTES) };
}
