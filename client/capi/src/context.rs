//! Segments: what the calling thread works for.

use backsight_client::{Context, ffi};
use std::mem;

/// Makes the calling thread work for the request of `context`; returns 1 where that began something that `bks_end` should end.
///
/// # Safety
/// `context` is null or points to a `bks_context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_begin(context: *const Context) -> i32 {
    // SAFETY: null, or valid, says the caller.
    let Some(context) = (unsafe { context.as_ref() }) else { return 0 };
    i32::from(ffi::begin_unguarded(context))
}

/// Ends the active segment, if there is one.
#[unsafe(no_mangle)]
pub extern "C" fn bks_end() {
    ffi::with_writer(|writer, now| writer.end(now));
}

/// Ends the active segment and writes its context to `out`; returns 0, and writes nothing, where there is none.
///
/// # Safety
/// `out` is null or points to a `bks_context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_detach(out: *mut Context) -> i32 {
    let Some(context) = backsight_client::detach() else { return 0 };
    if !out.is_null() {
        // SAFETY: not null, so valid, says the caller.
        unsafe { out.write(context) };
    }
    1
}

/// Writes the context of the active segment to `out`; returns 0, and writes nothing, where there is none.
///
/// # Safety
/// `out` is null or points to a `bks_context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_current(out: *mut Context) -> i32 {
    let Some(context) = Context::current() else { return 0 };
    if !out.is_null() {
        // SAFETY: not null, so valid, says the caller.
        unsafe { out.write(context) };
    }
    1
}

/// Goes on with a request that was detached; returns whether the thread works for it now.
///
/// # Safety
/// `context` is null or points to a `bks_context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_attach(context: *const Context) -> i32 {
    // SAFETY: null, or valid, says the caller.
    unsafe { context.as_ref() }.map_or(0, attach)
}

/// Detaches the active segment to `previous`, then attaches `next`: what a scheduler of coroutines calls.
///
/// # Safety
/// Each pointer is null or points to a `bks_context`; they may be the same.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_switch(next: *const Context, previous: *mut Context) -> i32 {
    // SAFETY: null, or valid, says the caller. Copied before `previous` is written.
    let next = unsafe { next.as_ref() }.copied();
    let before = backsight_client::detach().unwrap_or_default();
    if !previous.is_null() {
        // SAFETY: not null, so valid, says the caller.
        unsafe { previous.write(before) };
    }
    next.as_ref().map_or(0, attach)
}

fn attach(context: &Context) -> i32 {
    mem::forget(backsight_client::attach(context)); // `bks_end` or `bks_detach` ends it
    let attached = Context::current().is_some_and(|current| current.trace == context.trace);
    i32::from(attached && !context.trace.is_none())
}

/// Writes the context of a new trace with a random id to `out`.
///
/// # Safety
/// `out` is null or points to a `bks_context`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_context_new(out: *mut Context) {
    if !out.is_null() {
        // SAFETY: not null, so valid, says the caller.
        unsafe { out.write(Context::new_trace()) };
    }
}
