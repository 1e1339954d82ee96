//! The end of threads and of the process: chunks are sealed, slots given up, the agent told.

use crate::block::{self, ThreadBlock};
use crate::process;
use crate::signals::HeldBack;
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
    // SAFETY: writes a key to a local; the destructor has the C ABI and lives as long as the program, see `stay`.
    let made = unsafe { libc::pthread_key_create(&raw mut key, Some(thread_ends)) } == 0;
    let word = if made { key + 1 } else { FAILED };
    match KEY.compare_exchange(0, word, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {
            stay();
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

/// Keeps the object that this code is part of from being unloaded, where that is a plugin which was linked with a copy of its own: what is registered
/// here points into it.
fn stay() {
    let within = |address: *const c_void| {
        let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
        // SAFETY: writes to a local where it returns anything but 0.
        let found = unsafe { libc::dladdr(address, info.as_mut_ptr()) } != 0;
        // SAFETY: written, as just found.
        found.then(|| unsafe { info.assume_init() })
    };
    let Some(own) = within(thread_ends as *const c_void) else { return };
    // SAFETY: no arguments but a number.
    let headers = unsafe { libc::getauxval(libc::AT_PHDR) };
    let program = within(std::ptr::without_provenance(headers as usize));
    if own.dli_fname.is_null() || program.is_some_and(|program| program.dli_fbase == own.dli_fbase) {
        return; // the program itself is never unloaded
    }
    // SAFETY: the name ends in NUL, and nothing is loaded: it is here already.
    unsafe { libc::dlopen(own.dli_fname, libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE) };
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
        // What a handler of this thread would find from here on is the block of whoever takes it next. Nothing runs after this but the end.
        std::mem::forget(HeldBack::new());
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
    goodbye();
}

/// Says that this process ends well: what a program does that ends by `_exit`, as runtimes of other languages do. At `exit` it is said anyway.
///
/// What the calling thread writes is sealed. A crash after it is a death all the same.
pub fn goodbye() {
    if block::existing().is_some() {
        leave();
    }
    process::say_goodbye();
}
