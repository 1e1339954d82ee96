//! The end of threads and of the process: chunks are sealed, slots given up, the agent told.

use crate::block::{self, ThreadBlock};
use crate::process;
use backsight_core::sync::{AtomicU32, Ordering};
use std::ffi::c_void;

/// Destructor rounds after which the block goes to another thread: the C face caches its address until the thread's very end.
const LAST_ROUND: u32 = 3;
/// `key + 1` once made, 0 before, `FAILED` where the system has no key left.
static KEY: AtomicU32 = AtomicU32::new(0);
const FAILED: u32 = u32::MAX;

/// Has the thread's end noticed. Async-signal-safe enough for a first write: no lock of ours, no allocation of ours.
pub(crate) fn watch(block: &ThreadBlock) {
    if let Some(key) = key() {
        // SAFETY: a valid key; the value is the address of a block of the slab, which is never unmapped.
        unsafe { libc::pthread_setspecific(key, std::ptr::from_ref(block).cast()) };
    }
}

fn key() -> Option<libc::pthread_key_t> {
    match KEY.load(Ordering::Acquire) {
        0 => make_key(), // pairs with the exchange below
        FAILED => None,
        key => Some(key - 1),
    }
}

fn make_key() -> Option<libc::pthread_key_t> {
    let mut key = 0;
    // SAFETY: writes a key to a local; the destructor has the C ABI and lives as long as the program (`-z nodelete`).
    let made = unsafe { libc::pthread_key_create(&raw mut key, Some(thread_ends)) } == 0;
    let word = if made { key + 1 } else { FAILED };
    match KEY.compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            // SAFETY: registers a function without arguments that may run at any time after.
            unsafe { libc::atexit(process_ends) };
            made.then_some(key)
        }
        Err(other) => {
            if made {
                // SAFETY: made above and never used.
                unsafe { libc::pthread_key_delete(key) };
            }
            (other != FAILED).then(|| other - 1)
        }
    }
}

/// Runs in each thread that recorded something, when it ends: seals at once, frees the block in the last round.
extern "C" fn thread_ends(value: *mut c_void) {
    let Some(block) = block::existing().filter(|block| std::ptr::from_ref(*block).cast() == value.cast_const()) else {
        return;
    };
    let round = block.exit_rounds.get() + 1;
    block.exit_rounds.set(round);
    leave();
    if round < LAST_ROUND {
        watch(block);
    } else {
        block::free(block);
    }
}

/// Ends what the calling thread writes and gives up its slot; a later trace call of the thread starts anew.
fn leave() {
    block::with_block(|block, writer, now| {
        block.slot.set(0); // before somebody else may have it
        if writer.store().is_mapped() {
            let view = *writer.store();
            writer.exit(now);
            *writer = backsight_ringbuf::writer::Writer::detached();
            process::ring_doorbell(&view);
        }
    });
}

/// Runs at `exit`: a goodbye, so that the agent does not take the end for a death. `_exit` and signals skip it.
extern "C" fn process_ends() {
    if block::existing().is_some() {
        leave();
    }
    process::say_goodbye();
}
