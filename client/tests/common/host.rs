//! What programs do to a client that runs inside them: forks, signal handlers, closed descriptors, a `longjmp` out of a write.
//!
//! The only test file of the client with unsafe code.
#![allow(dead_code, reason = "each test file uses a part of it")]

use backsight_client::ffi;
use backsight_ringbuf::writer::Writer;

/// Runs `child` in a forked process and returns its exit code: 0 where `child` returned true, 1 where it did not, 2 after a panic.
pub(crate) fn fork(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: the child runs `child` alone, on this thread, and leaves without unwinding; glibc's allocator survives a fork.
    run_child(unsafe { libc::fork() }, child)
}

/// Does what [`fork`] does by the system call itself: no library is told, and no handler of `pthread_atfork` runs, as with `_Fork`.
pub(crate) fn fork_behind_libc(child: impl FnOnce() -> bool) -> i32 {
    // SAFETY: a copy of this process, as of `fork`; no thread of it holds the allocator's lock for long enough to matter to a test of few.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    run_child(pid as i32, child)
}

fn run_child(pid: i32, child: impl FnOnce() -> bool) -> i32 {
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

/// Runs `child` as one of `vfork`: a process that shares this one's memory, on the place of the calling thread, which waits until the child
/// ends or executes another program. Returns its exit code: 0 where `child` returned true, 1 where it did not.
///
/// By `clone`, as `posix_spawn` does it: a function that Rust compiled may not return twice, so the child has a stack of its own.
pub(crate) fn vfork<F: FnOnce() -> bool>(child: F) -> i32 {
    extern "C" fn run<F: FnOnce() -> bool>(child: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the address of `vfork`'s local, whose function waits.
        let child = unsafe { &mut *child.cast::<Option<F>>() };
        child.take().map_or(2, |child| i32::from(!child()))
    }
    let mut child = Some(child);
    let mut stack = vec![0_u128; 16 << 10];
    let (top, flags) = (stack.as_mut_ptr_range().end, libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD);
    // SAFETY: the stack and the closure outlive the child, as this thread waits for it.
    let pid = unsafe { libc::clone(run::<F>, top.cast(), flags, (&raw mut child).cast()) };
    assert!(pid >= 0, "vfork");
    let mut status = 0;
    // SAFETY: writes to a local.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "the child ended with status {status:#x}");
    libc::WEXITSTATUS(status)
}

/// Executes a program that does nothing and succeeds; returns where there is none.
pub(crate) fn execute_true() {
    let arguments = [c"true".as_ptr(), std::ptr::null()];
    for path in [c"/bin/true", c"/usr/bin/true"] {
        // SAFETY: a path and arguments that end in NUL and null.
        unsafe { libc::execv(path.as_ptr(), arguments.as_ptr()) };
    }
}

/// Runs `child` in a forked process and returns the signal that ended it, 0 where none did.
pub(crate) fn fork_until_death(child: impl FnOnce()) -> i32 {
    // SAFETY: as in `fork`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        let core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: reads a local: no core files of tests.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const core) };
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)); // the parent sees that it lived
        // SAFETY: ends the process.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: writes to a local.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    if libc::WIFSIGNALED(status) { libc::WTERMSIG(status) } else { 0 }
}

/// Reads a word where no memory is.
#[inline(never)]
pub(crate) fn read_at(address: usize) -> u64 {
    // SAFETY: none: the fault is what the test is about, in a process of its own.
    unsafe { std::ptr::with_exposed_provenance::<u64>(address).read_volatile() }
}

/// Sends the calling thread a signal.
pub(crate) fn raise(signal: i32) {
    // SAFETY: a number.
    assert_eq!(unsafe { libc::raise(signal) }, 0);
}

/// Has `signal` handled by a function of one argument, or by one of the system's two words.
pub(crate) fn handle(signal: i32, handler: usize) {
    // SAFETY: the handlers of tests count, or end the process.
    assert_ne!(unsafe { libc::signal(signal, handler) }, libc::SIG_ERR);
}

/// Has `signal` handled by `handler`, as `flags` say.
pub(crate) fn handle_as(signal: i32, handler: extern "C" fn(libc::c_int), flags: i32) {
    // SAFETY: all zero is a valid action: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    (action.sa_sigaction, action.sa_flags) = (handler as *const () as usize, flags);
    // SAFETY: as in `handle`.
    assert_eq!(unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) }, 0);
}

/// Ends the process without its handlers of exits.
pub(crate) fn exit_at_once(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// Interrupts the calling thread until it drops.
pub(crate) struct Interrupts(libc::timer_t);

impl Interrupts {
    /// Calls `handler` on the calling thread every `interval_us` microseconds.
    pub(crate) fn every(interval_us: i64, handler: extern "C" fn(libc::c_int)) -> Self {
        // SAFETY: all zero is a valid action: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler records and counts, which is what it tests.
        assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()) }, 0);
        // SAFETY: all zero is a valid event.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = libc::SIGUSR1;
        event.sigev_notify_thread_id = rustix::thread::gettid().as_raw_nonzero().get();
        let mut timer = std::ptr::null_mut();
        // SAFETY: reads and writes locals.
        let made = unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer) };
        assert_eq!(made, 0);
        let every = libc::timespec { tv_sec: 0, tv_nsec: interval_us * 1000 };
        let times = libc::itimerspec { it_interval: every, it_value: every };
        // SAFETY: the timer was just made; reads a local.
        assert_eq!(unsafe { libc::timer_settime(timer, 0, &raw const times, std::ptr::null_mut()) }, 0);
        Self(timer)
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // SAFETY: made by `every`, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// Closes descriptor `number`, whoever has it.
pub(crate) fn close(number: i32) {
    // SAFETY: a number; the tests close the client's behind its back, which is what they are about.
    unsafe { libc::close(number) };
}

/// Makes the calling process the leader of a session without a terminal.
pub(crate) fn leave_the_terminal() {
    // SAFETY: no arguments; a child of a fork leads no group.
    assert!(unsafe { libc::setsid() } > 0, "setsid");
}

/// Makes descriptor `number` a copy of `from`.
pub(crate) fn put_at(from: i32, number: i32) {
    // SAFETY: numbers.
    assert_eq!(unsafe { libc::dup2(from, number) }, number);
}

/// Leaves the calling thread's block as a `longjmp` out of the middle of a write, of a call from the calling function, would: busy, with
/// fields that do not fit each other.
#[inline(always)]
pub(crate) fn jump_out_of_a_write() {
    leave_a_write(stack_pointer());
}

#[inline(always)]
fn stack_pointer() -> usize {
    let pointer: usize;
    #[cfg(target_arch = "x86_64")]
    // SAFETY: copies a register.
    unsafe {
        std::arch::asm!("mov {}, rsp", out(reg) pointer, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        pointer = 1; // deeper than any
    }
    pointer
}

fn leave_a_write(frame: usize) {
    let block = ffi::current().unwrap();
    let offset = Writer::LAYOUT.iter().find(|(name, _)| *name == "head_bias").map(|(_, offset)| *offset).unwrap();
    // SAFETY: a field of this thread's writer; nothing writes now.
    let word = unsafe { block.writer.get().cast::<u8>().add(offset) };
    // SAFETY: as above: an aligned u64.
    let bias = unsafe { word.cast::<u64>().read() };
    // SAFETY: as above. The last segment moves to where there is none.
    unsafe { word.cast::<u64>().write(bias.wrapping_add(16 << 20)) };
    block.busy.set(frame);
}
