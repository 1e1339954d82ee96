//! Where the agent is and who we are: from the environment or from [`crate::init`], kept without allocation.
//!
//! A forked child opens its session inside its first write, where it may neither allocate nor take a lock; so the settings are read once
//! and stand in fixed memory.

use backsight_core::session::SERVICE_MAX_BYTES;
use backsight_core::sync::{AtomicU32, Ordering};
use std::cell::UnsafeCell;
use std::ffi::CStr;

/// Longer than the kernel takes (107), so that a path which is too long is refused as such, and not cut to another one.
const SOCKET_PATH_MAX_BYTES: usize = 255;
/// Where an agent listens unless told otherwise.
const DEFAULT_SOCKET: &str = "/run/backsight/agent.sock";

/// What a program may say instead of the environment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings<'a> {
    /// The agent's socket; else `BACKSIGHT_SOCKET`, else `/run/backsight/agent.sock`.
    pub socket: Option<&'a str>,
    /// The service's name; else `BACKSIGHT_SERVICE`, else the agent takes the executable's.
    pub service: Option<&'a str>,
}

/// A short text in place.
struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    const EMPTY: Self = Self { bytes: [0; N], len: 0 };

    /// Takes `text`; a longer one than fits is cut at a character.
    fn set(&mut self, text: &str) {
        let cut = text.floor_char_boundary(N);
        self.bytes[..cut].copy_from_slice(&text.as_bytes()[..cut]);
        self.len = cut;
    }

    fn get(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or("")
    }
}

struct Kept {
    socket: UnsafeCell<Text<SOCKET_PATH_MAX_BYTES>>,
    service: UnsafeCell<Text<SERVICE_MAX_BYTES>>,
    disabled: AtomicU32,
    /// 0 unset, 1 being written, 2 readable.
    state: AtomicU32,
}

// SAFETY: the cells are written only by the thread that moved `state` from 0 to 1, and read only in state 2.
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept {
    socket: UnsafeCell::new(Text::EMPTY),
    service: UnsafeCell::new(Text::EMPTY),
    disabled: AtomicU32::new(0),
    state: AtomicU32::new(0),
};

/// The settings in force.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InForce {
    pub(crate) socket: &'static str,
    pub(crate) service: &'static str,
    pub(crate) disabled: bool,
}

/// Fixes the settings, if that has not happened; returns whether these took effect.
pub(crate) fn set(settings: Settings<'_>) -> bool {
    if KEPT.state.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_err() {
        return false;
    }
    let socket = settings.socket.or_else(|| env(c"BACKSIGHT_SOCKET")).unwrap_or(DEFAULT_SOCKET);
    let service = settings.service.or_else(|| env(c"BACKSIGHT_SERVICE")).unwrap_or("");
    // SAFETY: this thread moved the state from 0 to 1: nobody else touches the cell.
    unsafe { &mut *KEPT.socket.get() }.set(socket);
    // SAFETY: as above.
    unsafe { &mut *KEPT.service.get() }.set(service);
    let disabled = env(c"BACKSIGHT_DISABLE").is_some_and(|value| !value.is_empty() && value != "0");
    KEPT.disabled.store(u32::from(disabled), Ordering::Relaxed); // published by the state
    KEPT.state.store(2, Ordering::Release); // pairs with `in_force`
    true
}

/// Returns whether what `settings` say is what is in force; what they leave open may be anything.
pub(crate) fn are_in_force(settings: Settings<'_>) -> bool {
    let Some(of) = in_force() else { return true }; // another thread sets them at this moment
    let is_cut = |asked: &str, kept: &str, max: usize| asked.get(..asked.floor_char_boundary(max)) == Some(kept);
    settings.socket.is_none_or(|socket| is_cut(socket, of.socket, SOCKET_PATH_MAX_BYTES))
        && settings.service.is_none_or(|service| is_cut(service, of.service, SERVICE_MAX_BYTES))
}

/// Returns the settings, from the environment if nobody set any; `None` while another thread writes them.
pub(crate) fn in_force() -> Option<InForce> {
    set(Settings::default());
    if KEPT.state.load(Ordering::Acquire) != 2 {
        return None; // pairs with `set`
    }
    // SAFETY: in state 2 nobody writes any more.
    let socket = unsafe { &*KEPT.socket.get() };
    // SAFETY: as above.
    let service = unsafe { &*KEPT.service.get() };
    let disabled = KEPT.disabled.load(Ordering::Relaxed) != 0; // acquired with the state
    Some(InForce { socket: socket.get(), service: service.get(), disabled })
}

/// Returns a variable of the environment without allocating; one that is not UTF-8 counts as absent, and so do all in a program with more rights
/// than whoever started it.
fn env(name: &CStr) -> Option<&'static str> {
    // SAFETY: no arguments but a number.
    if unsafe { libc::getauxval(libc::AT_SECURE) } != 0 {
        return None;
    }
    // SAFETY: `name` ends in NUL. A program that changes its environment meanwhile breaks every reader's getenv, not only ours.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: getenv returns a NUL-terminated string.
    unsafe { CStr::from_ptr(value) }.to_str().ok()
}
