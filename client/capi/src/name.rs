//! `bks_name`: a name that its call site interns once.

use crate::text;
use backsight_client::{Name, ffi};
use backsight_core::ids::StringId;
use backsight_core::sync::{AtomicU64, Ordering};
use std::ffi::c_char;

/// A static name of a C program; `BKS_NAME("text")` makes one.
#[repr(C)]
pub struct bks_name {
    text: *const c_char,
    bytes: u64,
    /// The session's epoch in the high half, the id in the low one; 0 before the first use.
    cached: AtomicU64,
}

/// Returns the name at `name` as records take it; a null pointer is the empty name.
///
/// # Safety
/// `name` is null or points to a `bks_name` that lives during `'a`, whose text has the length that it says.
#[inline]
pub(crate) unsafe fn resolve<'a>(name: *const bks_name) -> Name<'a> {
    // SAFETY: null, or valid, says the caller; the one field that changes is atomic.
    let Some(name) = (unsafe { name.as_ref() }) else { return Name::Text("") };
    let Some(block) = ffi::current() else { return Name::Text("") };
    let cached = name.cached.load(Ordering::Relaxed); // an id is valid for whoever sees it
    let epoch = block.epoch.get();
    if epoch != 0 && (cached >> 32) as u32 == epoch {
        return Name::Interned(StringId(cached as u32));
    }
    // SAFETY: the text is as long as `bytes` says, says the caller.
    let text = unsafe { text::bytes(name.text.cast(), usize::try_from(name.bytes).unwrap_or(0)) };
    intern(name, text::utf8(text))
}

#[cold]
fn intern<'a>(name: &bks_name, text: &'a str) -> Name<'a> {
    let id = ffi::intern(text);
    let epoch = ffi::current().map_or(0, |block| block.epoch.get()); // interning may have opened the session
    if id.is_none() || epoch == 0 {
        return Name::Text(text);
    }
    name.cached.store(u64::from(epoch) << 32 | u64::from(id.0), Ordering::Relaxed); // as above
    Name::Interned(id)
}

/// Interns a name before its first use; returns its id, 0 without a session.
///
/// # Safety
/// As the header says: `name` is null or a valid `bks_name`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bks_intern(name: *const bks_name) -> u32 {
    // SAFETY: the caller's contract is the same.
    match unsafe { resolve(name) } {
        Name::Interned(id) => id.0,
        _ => 0,
    }
}
