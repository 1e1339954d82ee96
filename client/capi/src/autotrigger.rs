//! Autotriggers: made once, never freed, sampled from any thread.

use crate::text;
use backsight_client::autotrigger::condition::CONDITIONS_MAX;
use backsight_client::autotrigger::{
    AutotriggerError, Burn, Burning, Category, Condition, Outcome, Percentile, Queue, Rate, Sample, Set, Spans,
};
use std::ffi::c_char;

/// Makes a percentile trigger, null where that is refused; `why`, if not null, is then told in at most `why_bytes` bytes with a NUL.
///
/// # Safety
/// `name` is null or a NUL-terminated string; `why` is null or points to `why_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_percentile_new(
    name: *const c_char,
    p: f64,
    why: *mut c_char,
    why_bytes: usize,
) -> *const Percentile {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { text::c_str(name) }.unwrap_or("");
    // SAFETY: as above.
    unsafe { leak(Percentile::new(name, p), why, why_bytes) }
}

/// Counts a value; where it is in the top `1 - p`, fires for the active trace. Returns whether it was.
///
/// # Safety
/// `percentile` is null or came from `bks_auto_percentile_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_percentile_sample(percentile: *const Percentile, value: u64) -> i32 {
    // SAFETY: null, or valid for as long as the process lives.
    i32::from(unsafe { percentile.as_ref() }.is_some_and(|percentile| percentile.sample(value)))
}

/// Makes a category trigger, null where that is refused; `why` as in `bks_auto_percentile_new`.
///
/// # Safety
/// As for `bks_auto_percentile_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_category_new(
    name: *const c_char,
    share: f64,
    why: *mut c_char,
    why_bytes: usize,
) -> *const Category {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { text::c_str(name) }.unwrap_or("");
    // SAFETY: as above.
    unsafe { leak(Category::new(name, share), why, why_bytes) }
}

/// Counts a label; where it is rare, fires for the active trace. Returns whether it was.
///
/// # Safety
/// `category` is null or came from `bks_auto_category_new`; `label` is null or points to `n_bytes` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_category_sample(category: *const Category, label: *const u8, n_bytes: usize) -> i32 {
    // SAFETY: the caller's contract is the same.
    let label = text::utf8(unsafe { text::bytes(label, n_bytes) });
    // SAFETY: null, or valid for as long as the process lives.
    i32::from(unsafe { category.as_ref() }.is_some_and(|category| category.sample(label)))
}

/// Makes a queue trigger, null where that is refused; `why` as in `bks_auto_percentile_new`.
///
/// # Safety
/// As for `bks_auto_percentile_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_queue_new(
    name: *const c_char,
    p: f64,
    n_laterals: u32,
    why: *mut c_char,
    why_bytes: usize,
) -> *const Queue {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { text::c_str(name) }.unwrap_or("");
    // SAFETY: as above.
    unsafe { leak(Queue::new(name, p, n_laterals as usize), why, why_bytes) }
}

/// Counts that the active trace left the queue after `waited`; where that is in the top `1 - p`, fires. Returns whether it was.
///
/// # Safety
/// `queue` is null or came from `bks_auto_queue_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_queue_sample(queue: *const Queue, waited: u64) -> i32 {
    // SAFETY: null, or valid for as long as the process lives.
    i32::from(unsafe { queue.as_ref() }.is_some_and(|queue| queue.sample(waited)))
}

/// Makes a burn-rate trigger, null where that is refused; `why` as in `bks_auto_percentile_new`.
///
/// # Safety
/// As for `bks_auto_percentile_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_burn_new(
    name: *const c_char,
    budget: f64,
    why: *mut c_char,
    why_bytes: usize,
) -> *const Burn {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { text::c_str(name) }.unwrap_or("");
    // SAFETY: as above.
    unsafe { leak(Burn::new(name, Burning::of(budget)), why, why_bytes) }
}

/// Counts a request; where it is bad and the budget burns, fires for the active trace. Returns whether it did so.
///
/// # Safety
/// `burn` is null or came from `bks_auto_burn_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_burn_sample(burn: *const Burn, bad: i32) -> i32 {
    // SAFETY: null, or valid for as long as the process lives.
    i32::from(unsafe { burn.as_ref() }.is_some_and(|burn| burn.sample(outcome(bad))))
}

/// Makes a rate trigger, null where that is refused; `why` as in `bks_auto_percentile_new`.
///
/// # Safety
/// As for `bks_auto_percentile_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_rate_new(
    name: *const c_char,
    per_s: f64,
    why: *mut c_char,
    why_bytes: usize,
) -> *const Rate {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { text::c_str(name) }.unwrap_or("");
    // SAFETY: as above.
    unsafe { leak(Rate::new(name, per_s, Spans::default()), why, why_bytes) }
}

/// Counts an event; while they come too often, fires for the active trace. Returns whether it did so.
///
/// # Safety
/// `rate` is null or came from `bks_auto_rate_new`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_rate_sample(rate: *const Rate) -> i32 {
    // SAFETY: null, or valid for as long as the process lives.
    i32::from(unsafe { rate.as_ref() }.is_some_and(Rate::sample))
}

/// A condition, as C describes it: `bks_auto_condition`.
#[derive(Debug)]
#[repr(C)]
pub struct Description {
    kind: u32,
    n_members: u32,
    parameter: f64,
    members: *const Description,
}

/// What one request shows: `bks_auto_sample`.
#[derive(Debug)]
#[repr(C)]
pub struct Shown {
    value: u64,
    label: *const u8,
    label_bytes: u64,
    bad: i32,
    reserved: u32,
}

const _: () = assert!(size_of::<Description>() == 24 && std::mem::offset_of!(Description, members) == 16);
const _: () = assert!(size_of::<Shown>() == 32 && std::mem::offset_of!(Shown, bad) == 24);

/// Makes a trigger set, null where that is refused; `why` as in `bks_auto_percentile_new`.
///
/// # Safety
/// As for `bks_auto_percentile_new`; `condition` is null or points to a `bks_auto_condition` whose members, and theirs, are there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_set_new(
    name: *const c_char,
    condition: *const Description,
    n_laterals: u32,
    why: *mut c_char,
    why_bytes: usize,
) -> *const Set {
    // SAFETY: the caller's contract is the same.
    let name = unsafe { text::c_str(name) }.unwrap_or("");
    let mut n_left = CONDITIONS_MAX;
    // SAFETY: as above.
    let condition = unsafe { described(condition, &mut n_left) };
    let made = condition.and_then(|condition| Set::new(name, condition, n_laterals as usize));
    // SAFETY: as above.
    unsafe { leak(made, why, why_bytes) }
}

/// Tests the active trace by what `sample` shows of it; where the condition holds, fires. Returns whether it does.
///
/// # Safety
/// `set` is null or came from `bks_auto_set_new`; `sample` is null or points to a `bks_auto_sample` whose label is null or has its length.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_auto_set_sample(set: *const Set, sample: *const Shown) -> i32 {
    // SAFETY: null, or valid for as long as the process lives.
    let Some(set) = (unsafe { set.as_ref() }) else { return 0 };
    // SAFETY: null, or valid during the call, says the caller.
    let Some(shown) = (unsafe { sample.as_ref() }) else { return 0 };
    // SAFETY: as above.
    let label = unsafe { text::bytes(shown.label, shown.label_bytes as usize) };
    let sample = Sample { value: shown.value, label: text::utf8(label), outcome: outcome(shown.bad) };
    i32::from(set.sample(&sample))
}

/// Returns the condition that `description` describes; `n_left` are the conditions that it may have, itself included, so that one which
/// holds itself ends, too.
///
/// # Safety
/// `description` is null or points to a `bks_auto_condition` whose members, and theirs, are there.
unsafe fn described(description: *const Description, n_left: &mut usize) -> Result<Condition, AutotriggerError> {
    let refused = |what, value, expected| Err(AutotriggerError::OutOfRange { what, value, expected });
    // SAFETY: null, or valid during the call, says the caller.
    let Some(found) = (unsafe { description.as_ref() }) else {
        return refused("number of conditions", 0.0, "1 to 16");
    };
    let Some(left) = n_left.checked_sub(1) else {
        return refused("number of conditions", (CONDITIONS_MAX + 1) as f64, "1 to 16");
    };
    *n_left = left;
    match found.kind {
        1 => Condition::percentile(found.parameter),
        2 => Condition::category(found.parameter),
        3 => Condition::burn(Burning::of(found.parameter)),
        4 => Condition::rate(found.parameter, Spans::default()),
        5 => Ok(Condition::bad()),
        6 | 7 => {
            let n_members = if found.members.is_null() { 0 } else { found.n_members as usize };
            // SAFETY: as many members stand there, says the caller.
            let member = |idx| unsafe { found.members.add(idx) };
            // SAFETY: the caller's contract is the same.
            let members = (0..n_members).map(|idx| unsafe { described(member(idx), n_left) });
            let members: Vec<Condition> = members.collect::<Result<_, _>>()?;
            if found.kind == 6 { Condition::all_of(members) } else { Condition::any_of(members) }
        }
        kind => refused("kind of condition", f64::from(kind), "1 to 7"),
    }
}

fn outcome(bad: i32) -> Outcome {
    if bad == 0 { Outcome::Good } else { Outcome::Bad }
}

/// Gives a trigger up for good, or says why there is none.
///
/// # Safety
/// `why` is null or points to `why_bytes` bytes.
unsafe fn leak<T>(made: Result<T, AutotriggerError>, why: *mut c_char, why_bytes: usize) -> *const T {
    match made {
        Ok(trigger) => Box::leak(Box::new(trigger)),
        Err(error) => {
            // SAFETY: the caller's contract is the same.
            unsafe { tell(&error.to_string(), why, why_bytes) };
            std::ptr::null()
        }
    }
}

/// Copies `text` to `target`, cut to fit, with a NUL.
///
/// # Safety
/// `target` is null or points to `room` bytes.
pub(crate) unsafe fn tell(text: &str, target: *mut c_char, room: usize) {
    if target.is_null() || room == 0 {
        return;
    }
    let len = text.floor_char_boundary(room - 1);
    // SAFETY: `len < room`, and the text is private memory of ours.
    unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), target.cast(), len) };
    // SAFETY: `len < room`.
    let end = unsafe { target.add(len) };
    // SAFETY: as above.
    unsafe { end.write(0) };
}
