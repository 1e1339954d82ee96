//! Memory shared between processes: sealed memfds, their mappings, populating and punching.
//!
//! The only file that maps shared memory. The agent makes regions ([`Mapping::create`]), clients map what they are passed
//! ([`Mapping::from_fd`]).

use crate::abi::SPAN_OFFSET;
use crate::storage::Storage;
use backsight_core::sync::AtomicU64;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, SeekFrom};
use rustix::fs::{fallocate, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create, seek};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect, munlock, munmap};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What could not be done with shared memory.
#[derive(Debug, thiserror::Error)]
pub enum ShmError {
    /// No memfd: an old kernel, or a limit.
    #[error("memfd_create for a region of {bytes} B")]
    Create {
        /// The region's size.
        bytes: u64,
        /// Why.
        source: rustix::io::Errno,
    },
    /// The memfd has no such size, seals, or state.
    #[error("{what} of a region's memfd")]
    Prepare {
        /// What was attempted.
        what: &'static str,
        /// Why.
        source: rustix::io::Errno,
    },
    /// A memfd that somebody could still shrink.
    #[error("the memfd is not sealed against shrinking")]
    NotSealed,
    /// No address space, or none that may be locked where the process locks all its memory.
    #[error("map a region of {bytes} B (is RLIMIT_AS lower, or RLIMIT_MEMLOCK under mlockall?)")]
    Map {
        /// The region's size.
        bytes: u64,
        /// Why.
        source: rustix::io::Errno,
    },
    /// No memory for chunks.
    #[error("allocate {bytes} B of shared memory")]
    Populate {
        /// Bytes wanted.
        bytes: u64,
        /// Why.
        source: rustix::io::Errno,
    },
}

/// The words of a mapped region; valid for as long as the process lives.
///
/// # Shape
/// `repr(C)`: base address, then bytes. `backsight.h` has the same two fields. All zero means *not mapped*, and has no words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(C)]
pub struct View {
    base: *mut u8,
    bytes: u64,
}

// SAFETY: a view is an address and a length; all access goes through atomics, or through `copy_in` with its own contract.
unsafe impl Send for View {}
// SAFETY: as above.
unsafe impl Sync for View {}

impl View {
    /// No memory.
    pub const NONE: Self = Self { base: std::ptr::null_mut(), bytes: 0 };

    /// Returns whether this view has memory: a zeroed one, as a forked child finds it, has none.
    #[inline(always)]
    pub const fn is_mapped(&self) -> bool {
        self.bytes != 0
    }

    /// Gives the pages of the span back to the system, those of the agent that made the region included. Threads that still write there find
    /// zeros, and populate what they touch.
    ///
    /// # Errors
    /// The kernel's, which no supported one returns for a memfd.
    pub fn discard_span(&self) -> Result<(), ShmError> {
        let bytes = self.bytes.saturating_sub(SPAN_OFFSET);
        if bytes == 0 {
            return Ok(());
        }
        // SAFETY: within the mapping, as the span begins below its end.
        let span = unsafe { self.base.add(SPAN_OFFSET as usize) };
        // SAFETY: the range is mapped; its words stay words, of another value, as if another process had written them.
        let removed = unsafe { madvise(span.cast(), bytes as usize, Advice::LinuxRemove) };
        removed.map_err(|source| ShmError::Prepare { what: "give pages back", source })
    }
}

impl Storage for View {
    #[inline(always)]
    fn bytes(&self) -> u64 {
        self.bytes
    }

    #[inline(always)]
    fn word(&self, offset: u64) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8) && self.contains(offset, 8), "offset {offset:#x} outside {:#x} B", self.bytes);
        // SAFETY: checked in the line above.
        unsafe { self.word_unchecked(offset) }
    }

    #[inline(always)]
    unsafe fn word_unchecked(&self, offset: u64) -> &AtomicU64 {
        debug_assert!(offset.is_multiple_of(8) && self.contains(offset, 8));
        // SAFETY: `offset` is within the mapping, says the caller, so the address is in one allocation.
        let word = unsafe { self.base.add(offset as usize) };
        // SAFETY: aligned, as the base is a page's; mapped for as long as any `&self` lives; only ever accessed as an atomic word or by
        // `copy_in`, whose contract excludes readers.
        unsafe { AtomicU64::from_ptr(word.cast()) }
    }

    #[inline(always)]
    unsafe fn words_unchecked(&self, offset: u64, n: usize) -> &[AtomicU64] {
        debug_assert!(offset.is_multiple_of(8) && self.contains(offset, 8 * n as u64));
        // SAFETY: `offset` is within the mapping, says the caller, so the address is in one allocation.
        let first = unsafe { self.base.add(offset as usize) };
        // SAFETY: `n` words, says the caller; each as in `word_unchecked`.
        unsafe { std::slice::from_raw_parts(first.cast(), n) }
    }

    #[inline(always)]
    unsafe fn copy_in(&self, offset: u64, bytes: &[u8]) {
        debug_assert!(self.contains(offset, bytes.len() as u64));
        // SAFETY: within the mapping, says the caller.
        let target = unsafe { self.base.add(offset as usize) };
        // SAFETY: `bytes` is private memory of this process and the target is shared memory that nobody reads yet, says the caller.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
    }
}

/// A mapped region that is unmapped on drop.
#[derive(Debug)]
pub struct Mapping {
    view: View,
}

impl Storage for Mapping {
    fn bytes(&self) -> u64 {
        self.view.bytes
    }

    fn word(&self, offset: u64) -> &AtomicU64 {
        self.view.word(offset)
    }

    unsafe fn word_unchecked(&self, offset: u64) -> &AtomicU64 {
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { self.view.word_unchecked(offset) }
    }

    unsafe fn words_unchecked(&self, offset: u64, n: usize) -> &[AtomicU64] {
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { self.view.words_unchecked(offset, n) }
    }

    unsafe fn copy_in(&self, offset: u64, bytes: &[u8]) {
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { self.view.copy_in(offset, bytes) }
    }
}

impl Mapping {
    /// Makes a memfd of `bytes` bytes that nobody can resize, and maps it. All of it reads zero and takes no memory yet.
    ///
    /// # Errors
    /// No memfd, no seals, or no address space.
    pub fn create(bytes: u64) -> Result<(Self, OwnedFd), ShmError> {
        let fd = create_memfd().map_err(|source| ShmError::Create { bytes, source })?;
        ftruncate(&fd, bytes).map_err(|source| ShmError::Prepare { what: "set the size", source })?;
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL;
        fcntl_add_seals(&fd, seals).map_err(|source| ShmError::Prepare { what: "seal the size", source })?;
        Ok((Self::map(fd.as_fd(), bytes)?, fd))
    }

    /// Maps the region behind `fd`, which must be sealed against shrinking: no access can fault then.
    ///
    /// # Errors
    /// Another kind of file, a missing seal, or no address space.
    pub fn from_fd(fd: BorrowedFd<'_>) -> Result<Self, ShmError> {
        let seals = fcntl_get_seals(fd).map_err(|source| ShmError::Prepare { what: "read the seals", source })?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(ShmError::NotSealed);
        }
        let stat = fstat(fd).map_err(|source| ShmError::Prepare { what: "read the size", source })?;
        Self::map(fd, stat.st_size as u64)
    }

    /// Maps a region whose pages are made by whoever grants them, and by nobody else: neither a process that locks all its memory
    /// (`mlockall`), nor a core dump, which would read each of them.
    fn map(fd: BorrowedFd<'_>, bytes: u64) -> Result<Self, ShmError> {
        let len = usize::try_from(bytes).unwrap_or(usize::MAX);
        // What may not be touched is not made, not even under `MCL_FUTURE`.
        // SAFETY: a new mapping at an address of the kernel's choice touches no existing memory.
        let base = unsafe { mmap(std::ptr::null_mut(), len, ProtFlags::empty(), MapFlags::SHARED, fd, 0) };
        let base = base.map_err(|source| ShmError::Map { bytes, source })?;
        let mapping = Self { view: View { base: base.cast(), bytes } };
        // A filter of system calls may refuse these two: then the pages are made, and the agent measures them.
        // SAFETY: the range is this mapping, of which nobody knows yet.
        let _ = unsafe { munlock(base, len) };
        // SAFETY: as above.
        let _ = unsafe { madvise(base, len, Advice::LinuxDontDump) };
        let protection = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: as above.
        unsafe { mprotect(base, len, protection) }.map_err(|source| ShmError::Map { bytes, source })?;
        Ok(mapping)
    }

    /// Keeps the region from being inherited by forked children, which get their own.
    ///
    /// # Errors
    /// The kernel's, which no supported one returns.
    pub fn keep_from_children(&self) -> Result<(), ShmError> {
        // SAFETY: the range is this mapping; the advice changes what a child inherits, nothing in this process.
        let advised = unsafe { madvise(self.view.base.cast(), self.view.bytes as usize, Advice::LinuxDontFork) };
        advised.map_err(|source| ShmError::Prepare { what: "advise no inheritance", source })
    }

    /// Gives up unmapping: the region stays for as long as the process lives, as threads may write until its last instruction.
    pub fn leak(self) -> View {
        let view = self.view;
        std::mem::forget(self);
        view
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: this mapping was made by `map` with this length, and no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.view.base.cast(), self.view.bytes as usize) };
        debug_assert!(unmapped.is_ok(), "munmap of a mapping of ours");
    }
}

/// Populates `bytes` bytes at `offset` with zeroed pages, charged to the caller. Agent only.
///
/// # Errors
/// No memory, or a limit of the caller's control group.
pub fn populate(fd: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<(), ShmError> {
    fallocate(fd, FallocateFlags::KEEP_SIZE, offset, bytes).map_err(|source| ShmError::Populate { bytes, source })
}

/// Gives the pages of `bytes` bytes at `offset` back to the system. Agent only; nobody holds a chunk there.
///
/// # Errors
/// The kernel's, which no supported one returns for a memfd.
pub fn punch(fd: BorrowedFd<'_>, offset: u64, bytes: u64) -> Result<(), ShmError> {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(fd, flags, offset, bytes).map_err(|source| ShmError::Prepare { what: "punch a hole", source })
}

/// Returns where memory that was written to begins at or after `offset`, and where it ends; `None` where there is no more.
///
/// # Errors
/// The kernel's.
pub fn written_from(fd: BorrowedFd<'_>, offset: u64) -> Result<Option<(u64, u64)>, ShmError> {
    let failed = |source| ShmError::Prepare { what: "look for the pages", source };
    let start = match seek(fd, SeekFrom::Data(offset)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    Ok(Some((start, seek(fd, SeekFrom::Hole(start)).map_err(failed)?)))
}

/// Returns the bytes that a region's memfd really holds, whoever populated them.
///
/// # Errors
/// The kernel's.
pub fn populated_bytes(fd: BorrowedFd<'_>) -> Result<u64, ShmError> {
    let stat = fstat(fd).map_err(|source| ShmError::Prepare { what: "count the pages", source })?;
    Ok(stat.st_blocks as u64 * 512)
}

/// Makes a memfd that can be sealed and never executed where the kernel knows that (6.3); older kernels get one without.
fn create_memfd() -> rustix::io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("bks-region", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(rustix::io::Errno::INVAL) => memfd_create("bks-region", flags),
        other => other,
    }
}
