//! Autotriggers: made once, never freed, sampled from any thread.

use crate::text;
use backsight_client::autotrigger::{AutotriggerError, Category, Percentile};
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
