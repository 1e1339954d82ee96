//! What a crash leaves behind: the signal, the place, the request; and that it changes nothing else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "common/agent.rs"]
mod agent;
#[path = "common/host.rs"]
mod host;

use agent::{Agent, Options};
use backsight_client::{Context, begin, event, last_words, span, stats};
use backsight_core::segment::LastWords;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where no memory ever is.
const NOWHERE: usize = 0x18;
static N_HANDLED: AtomicU32 = AtomicU32::new(0);

extern "C" fn count(_: libc::c_int) {
    N_HANDLED.fetch_add(1, Ordering::Relaxed);
}

extern "C" fn give_up(signal: libc::c_int) {
    N_HANDLED.fetch_add(1, Ordering::Relaxed);
    host::handle(signal, libc::SIG_DFL);
}

/// Works for `context` until `end` ends the process; returns the signal that did.
fn die(context: Context, before: impl FnOnce(), end: impl FnOnce()) -> i32 {
    host::fork_until_death(|| {
        before();
        last_words::install();
        last_words::install();
        while stats().session.is_err() {
            drop(begin(&Context::new_trace()));
            std::thread::sleep(Duration::from_millis(10));
        }
        let _segment = begin(&context);
        let _span = span("work");
        event("last", "");
        end();
    })
}

fn only(agent: &Agent) -> LastWords {
    let all = agent.last_words();
    assert_eq!(all.len(), 1, "{all:?}");
    all.into_iter().next().unwrap()
}

#[test]
fn a_fault_says_where_and_for_whom_and_ends_the_process_as_before() {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    let died_of = die(context, || {}, || assert_ne!(host::read_at(NOWHERE), 0));
    assert_eq!(died_of, libc::SIGSEGV);
    let words = only(&agent);
    assert_eq!((words.signal, words.address, words.trace), (11, NOWHERE as u64, context.trace));
    let near = (host::read_at as *const ()).addr() as u64;
    assert!(words.instruction.abs_diff(near) < 256, "{words:?}, the load is at {near:#x}");
    assert!(words.ticks > 0 && words.frames.len() <= 16);
    assert_eq!(agent.trace(context.trace).spans[0].notes.events.len(), 1, "what was recorded is there");
}

fn is_told_and_stays_deadly(signal: libc::c_int, end: impl FnOnce()) {
    let agent = Agent::start_joined(Options::default());
    let context = Context::new_trace();
    assert_eq!(die(context, || {}, end), signal);
    let words = only(&agent);
    assert_eq!((words.signal, words.address, words.trace), (signal.cast_unsigned(), 0, context.trace));
}

#[test]
fn an_abort_is_told_and_stays_deadly() {
    is_told_and_stays_deadly(libc::SIGABRT, || std::process::abort());
}

#[test]
fn a_signal_from_outside_is_told_and_stays_deadly() {
    is_told_and_stays_deadly(libc::SIGFPE, || host::raise(libc::SIGFPE));
}

#[test]
fn whoever_had_the_signal_before_is_asked_and_may_go_on_living() {
    let agent = Agent::start_joined(Options::default());
    let before = || {
        host::handle(libc::SIGFPE, count as *const () as usize);
        host::handle(libc::SIGILL, libc::SIG_IGN);
    };
    let died_of = die(Context::new_trace(), before, || {
        host::raise(libc::SIGFPE);
        host::raise(libc::SIGILL);
        host::raise(libc::SIGFPE);
        assert_eq!(N_HANDLED.load(Ordering::Relaxed), 2);
        event("alive", "");
        host::raise(libc::SIGKILL);
    });
    assert_eq!(died_of, libc::SIGKILL);
    assert_eq!(agent.last_words(), [], "it did not die of those");
}

#[test]
fn a_handler_that_gives_the_signal_back_to_the_system_ends_the_process_with_words() {
    let agent = Agent::start_joined(Options::default());
    let before = || host::handle(libc::SIGSEGV, give_up as *const () as usize);
    let died_of = die(Context::new_trace(), before, || assert_ne!(host::read_at(NOWHERE), 0));
    assert_eq!((died_of, only(&agent).signal), (libc::SIGSEGV, 11));
}

extern "C" fn once(_: libc::c_int) {
    if N_HANDLED.fetch_add(1, Ordering::Relaxed) != 0 {
        host::exit_at_once(1);
    }
}

extern "C" fn raise_again(signal: libc::c_int) {
    host::raise(signal);
    host::exit_at_once(1);
}

/// A reporter that is called once counts on the fault that comes again when it returns.
#[test]
fn a_handler_that_was_to_be_called_once_is_not_called_again() {
    let agent = Agent::start_joined(Options::default());
    let before = || host::handle_as(libc::SIGSEGV, once, libc::SA_RESETHAND);
    let died_of = die(Context::new_trace(), before, || assert_ne!(host::read_at(NOWHERE), 0));
    assert_eq!((died_of, only(&agent).signal), (libc::SIGSEGV, 11));
}

/// Or it raises the signal itself, which it did not want held back meanwhile.
#[test]
fn a_handler_that_raises_its_signal_again_ends_the_process_by_it() {
    let agent = Agent::start_joined(Options::default());
    let before = || host::handle_as(libc::SIGSEGV, raise_again, libc::SA_RESETHAND | libc::SA_NODEFER);
    let died_of = die(Context::new_trace(), before, || assert_ne!(host::read_at(NOWHERE), 0));
    assert_eq!((died_of, only(&agent).signal), (libc::SIGSEGV, 11));
}

#[test]
fn a_thread_without_a_session_dies_as_it_would_have() {
    let died_of = host::fork_until_death(|| {
        last_words::install();
        assert_ne!(host::read_at(NOWHERE), 0);
    });
    assert_eq!(died_of, libc::SIGSEGV);
}
