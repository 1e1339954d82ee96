//! Sketches as bytes: what stands in files of aggregates and between processes.
//!
//! Called by the store. What is parsed is trusted by nobody: any bytes give a sketch or an error, and at most 30 KB are allocated.

use super::{SKETCH_BUCKETS, Sketch};
use crate::leb128::{DecodeNumberError, Numbers, put};

/// The first byte of an encoded sketch.
const VERSION: u8 = 1;

/// Bytes that are no sketch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeSketchError {
    /// The first byte is not one that this version writes.
    #[error("sketch of version {version}, expected {VERSION}")]
    Version {
        /// It.
        version: u8,
    },
    /// The bytes end within the sketch.
    #[error("sketch ends after {len} bytes, in the middle")]
    CutShort {
        /// All bytes.
        len: usize,
    },
    /// A number is longer than it has to be, or than 64 bits.
    #[error("number at byte {at} of a sketch is not in its shortest form")]
    Number {
        /// Where it begins.
        at: usize,
    },
    /// A bucket beyond the last, or more of them than there are.
    #[error("bucket {idx} of a sketch, of {SKETCH_BUCKETS}")]
    Bucket {
        /// Its number.
        idx: u64,
    },
    /// A bucket without values.
    #[error("bucket {idx} of a sketch holds nothing")]
    EmptyBucket {
        /// Its number.
        idx: u64,
    },
    /// Bytes after the end.
    #[error("{n} bytes behind a sketch")]
    Trailing {
        /// How many.
        n: usize,
    },
}

impl Sketch {
    /// Appends the sketch to `bytes`.
    ///
    /// # Shape
    /// `1 u8 | n | n x (skipped, count)`: for each bucket that holds values, ascending, how many buckets without were skipped since the one before,
    /// and its count. Numbers are LEB128 in their shortest form, so that equal sketches are equal bytes. Most often two to three bytes a bucket.
    pub fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.push(VERSION);
        put(bytes, self.occupied().count() as u64);
        let mut next = 0;
        for (idx, count) in self.occupied() {
            put(bytes, (idx - next) as u64);
            put(bytes, count);
            next = idx + 1;
        }
    }

    /// Returns the sketch that is all of `bytes`.
    ///
    /// # Errors
    /// The bytes are none that [`Sketch::encode`] writes: each of them is the only form of its sketch.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeSketchError> {
        let mut numbers = Numbers::new(bytes, 1);
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&version) => return Err(DecodeSketchError::Version { version }),
            None => return Err(DecodeSketchError::CutShort { len: 0 }),
        }
        let mut sketch = Self::default();
        let mut next = 0_u64;
        for _ in 0..numbers.number()? {
            let idx = numbers.number()?.saturating_add(next);
            if idx >= SKETCH_BUCKETS as u64 {
                return Err(DecodeSketchError::Bucket { idx });
            }
            match numbers.number()? {
                0 => return Err(DecodeSketchError::EmptyBucket { idx }),
                count => sketch.add_to(idx as usize, count),
            }
            next = idx + 1;
        }
        match numbers.n_left() {
            0 => Ok(sketch),
            n => Err(DecodeSketchError::Trailing { n }),
        }
    }
}

impl From<DecodeNumberError> for DecodeSketchError {
    fn from(error: DecodeNumberError) -> Self {
        match error {
            DecodeNumberError::CutShort { len } => Self::CutShort { len },
            DecodeNumberError::Number { at } => Self::Number { at },
        }
    }
}
