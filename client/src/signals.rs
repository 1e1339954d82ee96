//! Holding back signals for a few microseconds, where a handler must not come in between.
//!
//! Called by what a thread or process does once: claiming a block, opening the session. A handler that traced there would do the same
//! once more, and one that left by `longjmp` would leave it half done for good.

use std::mem::MaybeUninit;

/// Signals that an instruction raises; the kernel ends a process that holds them back.
const RAISED_BY_INSTRUCTIONS: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGABRT];

/// Signals of the calling thread are held back until this drops.
pub(crate) struct HeldBack {
    before: libc::sigset_t,
}

impl HeldBack {
    /// Holds back the calling thread's signals.
    ///
    /// # Cost
    /// A system call, and another when the guard drops.
    pub(crate) fn new() -> Self {
        let (mut held, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
        // SAFETY: writes the set.
        unsafe { libc::sigfillset(held.as_mut_ptr()) };
        for signal in RAISED_BY_INSTRUCTIONS {
            // SAFETY: the set was filled above.
            unsafe { libc::sigdelset(held.as_mut_ptr(), signal) };
        }
        // SAFETY: clears the set, so that it is one even if the next call did not write it.
        unsafe { libc::sigemptyset(before.as_mut_ptr()) };
        // SAFETY: both point to sets of this frame. It fails only for an unknown first argument.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, held.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: written by `sigemptyset`.
        Self { before: unsafe { before.assume_init() } }
    }
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        // SAFETY: restores what `new` found.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, std::ptr::null_mut()) };
    }
}
