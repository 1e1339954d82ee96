//! One anonymous shared mapping, handed out as atomic words and raw buffers.
//!
//! Called by the pool of the model. One of the files with unsafe code: it maps memory. No other process ever sees it.
#![allow(unsafe_code, reason = "maps memory and hands it out")]

use std::{io, ptr, slice, sync::atomic::AtomicU64};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// Zeroed memory that lives as long as this value.
pub(super) struct Mapping {
    base: *mut u8,
    len: usize,
}

// SAFETY: the mapping belongs to no thread; `words` are atomics, and whoever writes behind `at` answers for its own exclusion.
unsafe impl Send for Mapping {}
// SAFETY: as for `Send`.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes and faults them in, so that no measurement pays for first touches.
    pub(super) fn new(len: usize) -> io::Result<Self> {
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new anonymous mapping at an address of the kernel's choice aliases nothing.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, flags) }?;
        Ok(Self { base: base.cast(), len })
    }

    /// Returns words `first .. first + n` of the mapping.
    ///
    /// # Panics
    /// The range leaves the mapping.
    pub(super) fn words(&self, first: usize, n: usize) -> &[AtomicU64] {
        let words = self.at(first * 8, n * 8).cast::<AtomicU64>();
        // SAFETY: `at` checked the range; it is page-aligned plus whole words, zeroed, and lives as long as `self`. The pool writes its
        // ring words through these atomics alone.
        unsafe { slice::from_raw_parts(words, n) }
    }

    /// Returns the address of `len` bytes from `offset`.
    ///
    /// # Panics
    /// The range leaves the mapping.
    pub(super) fn at(&self, offset: usize, len: usize) -> *mut u8 {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.len),
            "range {offset}+{len} leaves a mapping of {}",
            self.len
        );
        self.base.wrapping_add(offset)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this range, and no borrow of it outlives `self`.
        let unmapped = unsafe { munmap(self.base.cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "unmapping {} bytes: {unmapped:?}", self.len);
    }
}
