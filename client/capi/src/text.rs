//! Bytes and text that a C program passes.

use std::ffi::{CStr, c_char};

/// Returns the `bytes` bytes at `data`; none for a null pointer.
///
/// # Safety
/// `data` is null, or points to `bytes` bytes that nobody changes during `'a`.
pub(crate) unsafe fn bytes<'a>(data: *const u8, bytes: usize) -> &'a [u8] {
    if data.is_null() || bytes > isize::MAX as usize {
        return &[];
    }
    // SAFETY: not null, and as long as the caller says.
    unsafe { std::slice::from_raw_parts(data, bytes) }
}

/// Returns the NUL-terminated text at `text`, `None` for a null pointer; what is not UTF-8 ends it.
///
/// # Safety
/// `text` is null, or points to a NUL-terminated string that nobody changes during `'a`.
pub(crate) unsafe fn c_str<'a>(text: *const c_char) -> Option<&'a str> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and NUL-terminated, says the caller.
    let text = unsafe { CStr::from_ptr(text) };
    Some(utf8(text.to_bytes()))
}

/// Returns the longest valid beginning of `bytes`.
pub(crate) fn utf8(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => bytes.get(..error.valid_up_to()).and_then(|valid| std::str::from_utf8(valid).ok()).unwrap_or(""),
    }
}
