//! Where the words of a region live: a mapping in production, the heap in models and tests.

use backsight_core::sync::AtomicU64;
use std::ops::Deref;

/// Words and bytes at offsets of a region.
///
/// Offsets of words are multiples of 8. Accesses out of range are bugs of the caller, never of the other process: whatever comes out of
/// shared memory is checked with [`Storage::contains`] before it is used as an offset.
pub trait Storage {
    /// Returns the bytes of the region.
    fn bytes(&self) -> u64;

    /// Returns the word at `offset`.
    ///
    /// # Panics
    /// Where `offset` is not a multiple of 8 below [`Storage::bytes`].
    fn word(&self, offset: u64) -> &AtomicU64;

    /// Returns the word at `offset`, unchecked in release builds.
    ///
    /// # Safety
    /// `offset` is a multiple of 8, and `offset + 8 <= self.bytes()`.
    unsafe fn word_unchecked(&self, offset: u64) -> &AtomicU64;

    /// Returns `n` words from `offset` on, unchecked in release builds: one address for all of them.
    ///
    /// # Safety
    /// `offset` is a multiple of 8, and `offset + 8 * n <= self.bytes()`.
    unsafe fn words_unchecked(&self, offset: u64, n: usize) -> &[AtomicU64];

    /// Copies `bytes` to `offset`; the rest of the last word may be overwritten with anything.
    ///
    /// # Safety
    /// `offset` is a multiple of 8, `offset + align8(bytes.len()) <= self.bytes()`, and nobody reads these words until the caller
    /// publishes them with a release store.
    unsafe fn copy_in(&self, offset: u64, bytes: &[u8]);

    /// Returns whether `len` bytes at `offset` lie within the region.
    fn contains(&self, offset: u64, len: u64) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.bytes())
    }
}

/// Words on the heap, in windows of a region: only what a test touches exists.
///
/// The models run on this; reading outside the windows panics, which is a finding.
#[derive(Debug)]
pub struct Heap {
    bytes: u64,
    windows: Vec<(u64, Vec<AtomicU64>)>,
}

impl Heap {
    /// Returns a region of `bytes` bytes that has the words of `windows` (offset, number of words), all zero.
    pub fn new(bytes: u64, windows: &[(u64, usize)]) -> Self {
        let words = |n| (0..n).map(|_| AtomicU64::new(0)).collect();
        Self { bytes, windows: windows.iter().map(|(offset, n)| (*offset, words(*n))).collect() }
    }

    fn words(&self, offset: u64, n: usize) -> &[AtomicU64] {
        assert!(offset.is_multiple_of(8), "offset {offset} is not a word's");
        let found = self.windows.iter().find_map(|(start, words)| {
            let idx = usize::try_from(offset.checked_sub(*start)? / 8).ok()?;
            words.get(idx..idx + n)
        });
        found.unwrap_or_else(|| panic!("{n} words at {offset:#x} are outside the windows of this test"))
    }
}

impl Storage for Heap {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn word(&self, offset: u64) -> &AtomicU64 {
        &self.words(offset, 1)[0]
    }

    unsafe fn word_unchecked(&self, offset: u64) -> &AtomicU64 {
        self.word(offset)
    }

    unsafe fn words_unchecked(&self, offset: u64, n: usize) -> &[AtomicU64] {
        self.words(offset, n)
    }

    unsafe fn copy_in(&self, offset: u64, bytes: &[u8]) {
        for (idx, piece) in bytes.chunks(8).enumerate() {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            let target = self.word(offset + 8 * idx as u64);
            // Relaxed: the caller publishes with a release store.
            target.store(u64::from_le_bytes(word), backsight_core::sync::Ordering::Relaxed);
        }
    }
}

impl<P: Deref<Target: Storage>> Storage for P {
    #[inline(always)]
    fn bytes(&self) -> u64 {
        (**self).bytes()
    }

    #[inline(always)]
    fn word(&self, offset: u64) -> &AtomicU64 {
        (**self).word(offset)
    }

    #[inline(always)]
    unsafe fn word_unchecked(&self, offset: u64) -> &AtomicU64 {
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { (**self).word_unchecked(offset) }
    }

    #[inline(always)]
    unsafe fn words_unchecked(&self, offset: u64, n: usize) -> &[AtomicU64] {
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { (**self).words_unchecked(offset, n) }
    }

    #[inline(always)]
    unsafe fn copy_in(&self, offset: u64, bytes: &[u8]) {
        // SAFETY: the caller keeps the contract of this very method.
        unsafe { (**self).copy_in(offset, bytes) }
    }
}
