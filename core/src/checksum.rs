//! Checksums of what is written to disk, by which damage is found. Not a defence against people who choose the bytes.
//!
//! Called by the store, and by the collector to know a report that came twice.

use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

/// Returns the checksum of `bytes` under `seed`.
///
/// # Cost
/// A pass over the bytes at memory speed, no allocation.
/// # Source
/// XXH3, 64 bits.
pub fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// The checksum of bytes that come piece by piece: that of all of them at once, whatever the pieces.
#[derive(Clone, Default)]
pub struct Running(Xxh3);

impl Running {
    /// Returns the checksum of no bytes, under seed 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the checksum of all bytes so far.
    pub fn sum(&self) -> u64 {
        self.0.digest()
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Running({:016x})", self.sum())
    }
}

#[cfg(test)]
mod tests {
    use super::{Running, checksum};

    #[test]
    fn checksums_never_change() {
        assert_eq!(checksum(0, b""), 0x2d06_8005_38d3_94c2);
        assert_ne!(checksum(1, b"a"), checksum(2, b"a"));
        assert_ne!(checksum(1, b"a"), checksum(1, b"b"));
    }

    #[test]
    fn pieces_sum_up_to_the_whole() {
        let bytes: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
        for piece in [1, 7, 256, 4096] {
            let mut running = Running::new();
            bytes.chunks(piece).for_each(|piece| running.add(piece));
            assert_eq!(running.sum(), checksum(0, &bytes));
        }
    }
}
