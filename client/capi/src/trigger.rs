//! Saying that a trace was worth keeping.

use crate::text;
use backsight_client::{TraceId, TriggerId, autotrigger};
use std::ffi::c_char;

/// Returns the id of the trigger called `name`, 0 where the name is refused: `bks_auto_*_new` says why.
///
/// # Safety
/// `name` is null or a NUL-terminated string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_trigger_id(name: *const c_char) -> u32 {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { text::c_str(name) };
    name.and_then(|name| autotrigger::register(name).ok()).map_or(0, |id| id.0)
}

/// Fires `trigger` for the active trace; returns whether anything took note.
#[unsafe(no_mangle)]
pub extern "C" fn bks_trigger(trigger: u32) -> i32 {
    i32::from(trigger != 0 && backsight_client::trigger(TriggerId(trigger)))
}

/// Fires `trigger` for `trace` (null: the active one), and has the `n_laterals` traces at `laterals` collected with it, at most 32.
///
/// # Safety
/// `trace` is null or points to a `bks_trace_id`; `laterals` is null or points to `n_laterals` of them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_trigger_for(
    trigger: u32,
    trace: *const TraceId,
    laterals: *const TraceId,
    n_laterals: usize,
) -> i32 {
    if trigger == 0 {
        return 0;
    }
    let n_laterals = if laterals.is_null() { 0 } else { n_laterals.min(32) };
    let mut few = [TraceId::NONE; 32];
    for (idx, lateral) in few.iter_mut().enumerate().take(n_laterals) {
        // SAFETY: `idx < n_laterals`, so within what the caller passes.
        let source = unsafe { laterals.add(idx) };
        // SAFETY: as above.
        *lateral = unsafe { source.read() };
    }
    let laterals = few.get(..n_laterals).unwrap_or(&[]);
    // SAFETY: null, or valid, says the caller.
    let fired = match unsafe { trace.as_ref() } {
        Some(trace) => backsight_client::trigger_for(TriggerId(trigger), *trace, laterals),
        None => backsight_client::trigger_with_laterals(TriggerId(trigger), laterals),
    };
    i32::from(fired)
}
