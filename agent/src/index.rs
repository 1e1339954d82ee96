//! The index: which retained segments belong to a trace, in seal order.
//!
//! Called by the recorder when chunks are sealed, evicted, and when a trigger asks. Entries are claims about chunks that may have been granted
//! again since; whoever reads a segment checks it there.

use crate::chains::{Chains, Note};

/// The index of one host.
pub type Index = Chains<Place>;

/// Where a segment stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Place {
    /// The region's position in the pool, and the chunk within it.
    pub chunk: ChunkRef,
    /// How often the chunk had been granted.
    pub generation: u32,
    /// Where the segment starts in the chunk.
    pub offset: u32,
}

/// A chunk of any region: `region position << 15 | chunk id`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ChunkRef(u32);

/// Bits of a chunk's code.
const CODE_BITS: u32 = 15;

impl ChunkRef {
    /// Returns the reference to the chunk with code `code` of the region at `position`.
    pub const fn new(position: u32, code: u32) -> Self {
        Self(position << CODE_BITS | code)
    }

    /// Returns the region's position.
    pub const fn position(self) -> u32 {
        self.0 >> CODE_BITS
    }

    /// Returns the chunk's code.
    pub const fn code(self) -> u32 {
        self.0 & ((1 << CODE_BITS) - 1)
    }
}

impl From<Place> for Note {
    fn from(place: Place) -> Self {
        [place.chunk.0, place.generation, place.offset]
    }
}

impl From<Note> for Place {
    fn from([chunk, generation, offset]: Note) -> Self {
        Self { chunk: ChunkRef(chunk), generation, offset }
    }
}
