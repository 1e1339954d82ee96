//! Last words: what a thread leaves in its slot when a fatal signal ends the process. The agent reads them after the death.
//!
//! Installed by applications that want them. The handler allocates nothing, takes no lock, touches no memory that may not be there, and
//! hands the signal on to whoever had it before: core dumps, exit status and crash reporters stay as they were.

use crate::block;
use crate::clock;
use backsight_core::clock::ClockSource;
use backsight_core::segment::LastWords;
use backsight_core::sync::{AtomicU32, AtomicU64, Ordering};
use backsight_ringbuf::abi::LAST_WORDS_FRAMES;
use backsight_ringbuf::slot;
use libc::{c_int, c_void, siginfo_t};

/// The signals that end a process because of what it did.
const FATAL: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGABRT];
/// How far up the stack the next frame may lie: a stack's usual size.
const FRAME_MAX_BYTES: u64 = 8 << 20;

/// Who had a signal before.
struct Before {
    handler: AtomicU64,
    flags: AtomicU32,
}

static BEFORE: [Before; FATAL.len()] =
    [const { Before { handler: AtomicU64::new(libc::SIG_DFL as u64), flags: AtomicU32::new(0) } }; FATAL.len()];
static INSTALLED: AtomicU32 = AtomicU32::new(0);

/// Has the threads of this process leave last words when SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT ends it: the signal, the address and the
/// instruction at fault, the request that the thread worked for, and its return addresses.
///
/// Whoever had the signals before is called afterwards, and where nobody had them the process ends as it would have. Handlers that are
/// installed later and do not call the one before them leave none. A second call does nothing.
///
/// # Cost
/// Ten system calls, once. Return addresses are found where the program keeps frame pointers (`-C force-frame-pointers=yes`,
/// `-fno-omit-frame-pointer`).
pub fn install() {
    if INSTALLED.swap(1, Ordering::AcqRel) != 0 {
        return; // pairs with itself: one caller installs
    }
    for (signal, before) in FATAL.into_iter().zip(&BEFORE) {
        let Some(action) = action_of(signal) else { continue };
        // The handler loads both in the other order; it cannot run before the signal is ours.
        before.flags.store(action.sa_flags.cast_unsigned(), Ordering::Relaxed);
        before.handler.store(action.sa_sigaction as u64, Ordering::Release);
        set(signal, &in_place_of(&action));
    }
}

/// Returns our action in place of one: whoever had the signal is called on the stack and with the signals held back that it asked for.
fn in_place_of(before: &libc::sigaction) -> libc::sigaction {
    let is_nobody = matches!(before.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN);
    let kept = before.sa_flags & (libc::SA_RESTART | libc::SA_NODEFER | libc::SA_ONSTACK);
    let mut action = *before;
    action.sa_sigaction = on_fatal as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | if is_nobody { libc::SA_ONSTACK } else { kept };
    action
}

fn action_of(signal: c_int) -> Option<libc::sigaction> {
    // SAFETY: all zero is a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a query: it writes to a local.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) };
    (asked == 0).then_some(action)
}

fn set(signal: c_int, action: &libc::sigaction) {
    // SAFETY: reads what is valid; its handler is a function for the signal with its flags, or one of the system's two words.
    unsafe { libc::sigaction(signal, std::ptr::from_ref(action), std::ptr::null_mut()) };
}

/// Gives a signal back to the system.
fn reset(signal: c_int) {
    // SAFETY: all zero is a valid action: the system's, with an empty mask.
    set(signal, &unsafe { std::mem::zeroed() });
}

extern "C" fn on_fatal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: returns the address of the thread's own word.
    let errno_at = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let errno = unsafe { errno_at.read() };
    // SAFETY: the kernel calls with the information of the signal, and with the registers of the thread.
    let fault = unsafe { Fault::read(info, context) };
    let place = speak(signal, &fault);
    let is_over = hand_on(signal, fault.is_sent, info, context);
    if let Some((view, number)) = place.filter(|_| !is_over) {
        slot::take_back_last_words(&view, number); // somebody mended what was wrong: the thread lives on
    }
    // SAFETY: as above.
    unsafe { errno_at.write(errno) };
}

/// What a signal says of its cause.
struct Fault {
    /// Whether somebody sent it; else an instruction raised it, and raises it again.
    is_sent: bool,
    address: u64,
    instruction: u64,
    frame: u64,
    stack: u64,
}

impl Fault {
    /// # Safety
    /// As the kernel calls a handler: both valid or null.
    unsafe fn read(info: *const siginfo_t, context: *const c_void) -> Self {
        // SAFETY: as the caller's.
        let info = unsafe { info.as_ref() };
        let is_sent = info.is_none_or(|info| info.si_code <= 0);
        let raised = info.filter(|_| !is_sent);
        // SAFETY: the signals that an instruction raises have an address.
        let address = raised.map_or(0, |info| unsafe { info.si_addr() }.addr() as u64);
        // SAFETY: as the caller's.
        let context = unsafe { context.cast::<libc::ucontext_t>().as_ref() };
        let [instruction, frame, stack] = context.map_or([0; 3], registers);
        Self { is_sent, address, instruction, frame, stack }
    }
}

/// Returns the instruction, the frame and the stack pointer.
#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> [u64; 3] {
    let register = |idx: c_int| context.uc_mcontext.gregs[idx as usize].cast_unsigned();
    [register(libc::REG_RIP), register(libc::REG_RBP), register(libc::REG_RSP)]
}

/// Returns the instruction, the frame and the stack pointer.
#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> [u64; 3] {
    [context.uc_mcontext.pc, context.uc_mcontext.regs[29], context.uc_mcontext.sp]
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const fn registers(_: &libc::ucontext_t) -> [u64; 3] {
    [0; 3]
}

/// Writes the calling thread's last words; returns where, if it has a place for them.
fn speak(signal: c_int, fault: &Fault) -> Option<block::Place> {
    let block = block::existing()?;
    let (view, number) = block.place()?;
    let words = LastWords {
        signal: signal.cast_unsigned(),
        address: fault.address,
        instruction: fault.instruction,
        // In the middle of a change it says nothing; the agent then finds the request by the segment that was left open.
        trace: slot::context(&view, number).map(|context| context.trace).unwrap_or_default(),
        ticks: clock::now(ClockSource::from_code(block.clock.get())),
        frames: Vec::new(),
    };
    let mut frames = [0; LAST_WORDS_FRAMES];
    let n = walk(fault, &mut frames);
    slot::say_last_words(&view, number, &words, &frames[..n]);
    Some((view, number))
}

/// Finds return addresses by frame pointers; returns how many. The chain ends where a link is not plausible: where a function keeps none,
/// the register holds anything.
fn walk(fault: &Fault, frames: &mut [u64]) -> usize {
    let (mut frame, mut least) = (fault.frame, fault.stack);
    for (n, place) in frames.iter_mut().enumerate() {
        let is_plausible = frame >= least && frame - least <= FRAME_MAX_BYTES && frame.is_multiple_of(8);
        let Some([next, returns_to]) = peek(frame).filter(|_| is_plausible) else { return n };
        if returns_to == 0 {
            return n;
        }
        *place = returns_to;
        (frame, least) = (next, frame + 1);
    }
    frames.len()
}

/// Reads two words at `address`, which may not be there: the kernel says so, where a load would end the process within its end.
fn peek(address: u64) -> Option<[u64; 2]> {
    let mut words = [0_u64; 2];
    let len = size_of_val(&words);
    let to = libc::iovec { iov_base: words.as_mut_ptr().cast(), iov_len: len };
    let from = libc::iovec { iov_base: std::ptr::without_provenance_mut(address as usize), iov_len: len };
    let own = rustix::process::getpid().as_raw_nonzero().get();
    // SAFETY: writes to a local of this length; what it reads from, the kernel checks.
    let read = unsafe { libc::process_vm_readv(own, &raw const to, 1, &raw const from, 1, 0) };
    (read == len.cast_signed()).then_some(words)
}

/// Gives the signal to whoever had it before; returns whether that ends the process.
fn hand_on(signal: c_int, is_sent: bool, info: *mut siginfo_t, context: *mut c_void) -> bool {
    let Some(before) = FATAL.iter().position(|fatal| *fatal == signal).map(|idx| &BEFORE[idx]) else { return true };
    let handler = before.handler.load(Ordering::Acquire) as usize; // pairs with `install`
    let flags = before.flags.load(Ordering::Relaxed).cast_signed();
    if flags & libc::SA_RESETHAND != 0 {
        reset(signal); // it is called once: it may count on the end that comes when it returns, or raises the signal again
    }
    match handler {
        libc::SIG_IGN if is_sent => return false,
        // The kernel does not let what an instruction raised be ignored.
        libc::SIG_DFL | libc::SIG_IGN => {
            reset(signal);
            if is_sent {
                // SAFETY: a number. It is held back until this handler returns; what an instruction raised comes again by itself.
                unsafe { libc::raise(signal) };
            }
            return true;
        }
        _ if flags & libc::SA_SIGINFO != 0 => {
            // SAFETY: installed for this signal as a function of this kind.
            let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = unsafe { std::mem::transmute(handler) };
            handler(signal, info, context);
        }
        _ => {
            // SAFETY: as above.
            let handler: extern "C" fn(c_int) = unsafe { std::mem::transmute(handler) };
            handler(signal);
        }
    }
    // It returned. One that gave the signal back to the system means that the process ends; else it goes on.
    action_of(signal).is_some_and(|action| action.sa_sigaction == libc::SIG_DFL)
}
