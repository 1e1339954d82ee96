//! What the inlined part of `backsight.h` calls when it cannot go on alone.

use crate::BKS_ABI_VERSION;
use backsight_client::ffi::{self, ThreadBlock};
use backsight_core::record::Level;

/// Returns the face's version.
#[unsafe(no_mangle)]
pub extern "C" fn bks_abi_version() -> u32 {
    BKS_ABI_VERSION
}

/// Returns the calling thread's block, null without memory, or where the header has another major version: it then calls the library for
/// everything.
#[unsafe(no_mangle)]
pub extern "C" fn bks_thread(header_version: u32) -> *const ThreadBlock {
    if header_version >> 16 != BKS_ABI_VERSION >> 16 {
        return std::ptr::null();
    }
    ffi::current().map_or(std::ptr::null(), std::ptr::from_ref)
}

/// Frees the thread's block from a write that a `longjmp` left behind; `frame` is the caller's. Returns whether the caller may write.
#[unsafe(no_mangle)]
pub extern "C" fn bks_recover(frame: usize) -> i32 {
    i32::from(ffi::recover(frame))
}

/// Makes room in the open chunk for a record of `bytes` payload bytes, or for the first part of a large one. Returns whether there is, and
/// the record is not left out.
#[unsafe(no_mangle)]
pub extern "C" fn bks_room(bytes: usize) -> i32 {
    let made = ffi::with_writer(|writer, now| writer.make_room_for(now, Level::Normal, bytes as u64));
    i32::from(made == Some(true))
}
