//! What programs do to a client that runs inside them: forks, signal handlers, closed descriptors, a `longjmp` out of a write.
//!
//! The only test file of the client with unsafe code.
#![allow(dead_code, reason = "each test file uses a part of it")]

use backsight_client::ffi;
use backsight_ringbuf::writer::Writer;

/// Runs `child` in a forked process and returns its exit code: 0 where `child` returned true, 1 where it did not, 2 after a panic.
pub(crate) fn fork(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child runs `child` alone, on this thread, and leaves without unwinding; glibc's allocator survives a fork.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).map_or(2, |ok| i32::from(!ok));
        // SAFETY: ends the process.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: writes to a local.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "the child ended with status {status:#x}");
    libc::WEXITSTATUS(status)
}

/// Calls `handler` on the calling thread every `interval_us` microseconds of its process's time, until the process ends.
pub(crate) fn interrupt(interval_us: i64, handler: extern "C" fn(libc::c_int)) {
    // SAFETY: all zero is a valid action: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler as *const () as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: the handler records and counts, which is what it tests.
    assert_eq!(unsafe { libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()) }, 0);
    set_timer(interval_us);
}

/// Ends what [`interrupt`] began.
pub(crate) fn calm() {
    set_timer(0);
}

fn set_timer(interval_us: i64) {
    let every = libc::timeval { tv_sec: 0, tv_usec: interval_us };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: reads a local.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }, 0);
}

/// Keeps the calling thread out of [`interrupt`]'s reach.
pub(crate) fn ignore_interrupts() {
    let mut set = std::mem::MaybeUninit::uninit();
    // SAFETY: writes the set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: written above.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGALRM) };
    // SAFETY: reads the set.
    assert_eq!(unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()) }, 0);
}

/// Closes descriptor `number`, whoever has it.
pub(crate) fn close(number: i32) {
    // SAFETY: a number; the tests close the client's behind its back, which is what they are about.
    unsafe { libc::close(number) };
}

/// Makes descriptor `number` a copy of `from`.
pub(crate) fn put_at(from: i32, number: i32) {
    // SAFETY: numbers.
    assert_eq!(unsafe { libc::dup2(from, number) }, number);
}

/// Leaves the calling thread's block as a `longjmp` out of the middle of a write would: busy, with fields that do not fit each other.
pub(crate) fn jump_out_of_a_write() {
    let block = ffi::current().unwrap();
    let offset = Writer::LAYOUT.iter().find(|(name, _)| *name == "head_bias").map(|(_, offset)| *offset).unwrap();
    // SAFETY: a field of this thread's writer; nothing writes now.
    let word = unsafe { block.writer.get().cast::<u8>().add(offset) };
    // SAFETY: as above: an aligned u64.
    let bias = unsafe { word.cast::<u64>().read() };
    // SAFETY: as above. The last segment moves to where there is none.
    unsafe { word.cast::<u64>().write(bias.wrapping_add(16 << 20)) };
    block.busy.set(1); // a frame deeper than any
}
