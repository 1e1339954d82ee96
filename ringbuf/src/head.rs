//! The head word of a chunk: committed length, last segment, generation and the seal, published by one store.

/// The head word, unpacked.
///
/// # Shape
/// Bits 0-19 committed bytes (chunk header included), 20-39 offset of the last SEG record (0: none), 40-62 generation, 63 sealed. One
/// release store publishes records and segment chain together; one acquire load reads both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Head {
    /// Bytes that readers may read, from the chunk's start.
    pub committed: u32,
    /// Where the last segment starts, 0 for none.
    pub last_segment: u32,
    /// How often the chunk has been granted, modulo 2^23.
    pub generation: u32,
    /// Whether its thread is done with it.
    pub sealed: bool,
}

const FIELD: u64 = (1 << 20) - 1;
const GENERATION_SHIFT: u32 = 40;

/// Generations wrap at this number.
pub const GENERATIONS: u32 = 1 << 23;
/// The bit of the seal.
pub const SEALED: u64 = 1 << 63;

impl Head {
    /// Returns the head of a chunk that was just granted for the `generation`th time.
    pub const fn granted(generation: u32) -> Self {
        Self { committed: 0, last_segment: 0, generation: generation % GENERATIONS, sealed: false }
    }

    /// Returns the word.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        self.committed as u64 & FIELD
            | (self.last_segment as u64 & FIELD) << 20
            | ((self.generation % GENERATIONS) as u64) << GENERATION_SHIFT
            | (self.sealed as u64) << 63
    }

    /// Returns the head that a word holds; every word holds one.
    #[inline(always)]
    pub const fn unpack(word: u64) -> Self {
        Self {
            committed: (word & FIELD) as u32,
            last_segment: (word >> 20 & FIELD) as u32,
            generation: (word >> GENERATION_SHIFT) as u32 & (GENERATIONS - 1),
            sealed: word & SEALED != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{GENERATIONS, Head};
    use proptest::prelude::{any, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn every_word_round_trips(word in any::<u64>()) {
            prop_assert_eq!(Head::unpack(word).pack(), word);
        }
    }

    #[test]
    fn generations_wrap() {
        assert_eq!(Head::granted(GENERATIONS).generation, 0);
    }
}
