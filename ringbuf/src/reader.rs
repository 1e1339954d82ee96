//! Reading what threads wrote, from the agent's side: nothing that stands in shared memory is believed.
//!
//! Bytes are copied out word by word, and only the copy is parsed. Every offset is checked against the committed length that was read
//! first; links between segments must strictly decrease, so a walk ends.

use crate::abi::{CHUNK_HEADER_BYTES, CHUNK_MAGIC, Class, chunk};
use crate::head::Head;
use crate::lease::Lease;
use crate::storage::Storage;
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::record::{Header, Kind, SEG_BYTES};
use backsight_core::sync::Ordering::{Acquire, Relaxed};

/// A chunk that its writer could not have left so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CorruptChunk {
    /// The committed length lies outside the chunk.
    #[error("committed length {committed} is outside a chunk of {bytes} B")]
    Committed {
        /// What the head says.
        committed: u32,
        /// The chunk's size.
        bytes: u64,
    },
    /// The head's generation is not the one that was granted.
    #[error("generation {found} instead of {granted}")]
    Generation {
        /// What the head says.
        found: u32,
        /// What was granted.
        granted: u32,
    },
    /// The identity word was overwritten.
    #[error("identity word {found:#x} is not that of the granted chunk")]
    Identity {
        /// What stands there.
        found: u64,
    },
    /// A segment link that leads outside the chunk, or not backwards, or not to a SEG record.
    #[error("segment link to offset {offset} (from {end}) is wrong")]
    Link {
        /// Where it leads.
        offset: u32,
        /// Where it must end before.
        end: u32,
    },
}

/// The header of a chunk, checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChunkInfo {
    /// Its head when it was read.
    pub head: Head,
    /// The thread slot that wrote it, as the client says.
    pub slot: u32,
    /// The thread, as the client says.
    pub tid: u32,
    /// Ticks when it was opened, as the client says.
    pub first_ticks: u64,
    /// Ticks when it was sealed, as the client says; 0 while it is open.
    pub last_ticks: u64,
    /// The thread's chunk before this, [`crate::abi::NO_CHUNK`] for none.
    pub prev_chunk: u32,
    /// Records that the thread lost before it had this chunk.
    pub lost: u64,
}

impl ChunkInfo {
    /// Returns whether anything was written: a chunk that only has a header holds no data.
    pub const fn has_data(&self) -> bool {
        self.head.committed as u64 > CHUNK_HEADER_BYTES
    }
}

/// A segment's header, as it stands in the chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SegmentInfo {
    /// Where its SEG record starts, in bytes from the chunk's start.
    pub offset: u32,
    /// Where its last committed record ends.
    pub end: u32,
    /// Its trace.
    pub trace: TraceId,
    /// Ticks at its start.
    pub base_ticks: u64,
    /// The span that caused it.
    pub parent_span: SpanId,
    /// The agent it came from.
    pub from_agent: AgentId,
    /// See [`backsight_core::record::seg_flags`].
    pub flags: u32,
}

/// Reads the header of chunk `bit` of `lease`, which was granted with `generation`.
///
/// # Errors
/// A header that the client's code could not have written.
pub fn chunk_info<S: Storage>(store: &S, lease: Lease, bit: u32, generation: u32) -> Result<ChunkInfo, CorruptChunk> {
    let at = lease.chunk_offset(bit);
    let head = Head::unpack(store.word(at + chunk::HEAD).load(Acquire)); // pairs with the writer's release store
    let bytes = lease.class.bytes();
    let aligned = head.committed.is_multiple_of(8);
    if !aligned || u64::from(head.committed) > bytes || (1..CHUNK_HEADER_BYTES as u32).contains(&head.committed) {
        return Err(CorruptChunk::Committed { committed: head.committed, bytes });
    }
    if head.generation != generation {
        return Err(CorruptChunk::Generation { found: head.generation, granted: generation });
    }
    let get = |offset| store.word(at + offset).load(Relaxed); // acquired with the head
    let identity = get(chunk::IDENTITY);
    if identity != u64::from(CHUNK_MAGIC) | (lease.class as u64) << 32 {
        return Err(CorruptChunk::Identity { found: identity });
    }
    let (owner, links) = (get(chunk::OWNER), get(chunk::LINKS));
    Ok(ChunkInfo {
        head,
        slot: owner as u32,
        tid: (owner >> 32) as u32,
        first_ticks: get(chunk::FIRST_TICKS),
        last_ticks: get(chunk::LAST_TICKS),
        prev_chunk: links as u32,
        lost: get(chunk::LOST),
    })
}

/// Walks the segments of a chunk, newest first. Ends after the first error.
#[derive(Debug)]
pub struct Segments<'s, S> {
    store: &'s S,
    at: u64,
    next: u32,
    end: u32,
}

/// Returns the segments of chunk `bit` of `lease`, up to what `head` says is committed.
pub fn segments<'s, S: Storage>(store: &'s S, lease: Lease, bit: u32, head: Head) -> Segments<'s, S> {
    let end = head.committed.min(lease.class.bytes() as u32);
    Segments { store, at: lease.chunk_offset(bit), next: head.last_segment, end }
}

impl<S: Storage> Iterator for Segments<'_, S> {
    type Item = Result<SegmentInfo, CorruptChunk>;

    fn next(&mut self) -> Option<Self::Item> {
        let (offset, end) = (self.next, self.end);
        if offset == 0 {
            return None;
        }
        self.next = 0;
        let place = u64::from(offset);
        let inside = place >= CHUNK_HEADER_BYTES && offset.is_multiple_of(8) && place + SEG_BYTES <= u64::from(end);
        if !inside {
            return Some(Err(CorruptChunk::Link { offset, end }));
        }
        let word = |i: u64| self.store.word(self.at + place + 8 * i).load(Relaxed); // acquired with the head
        let record = Header::unpack(word(0));
        if record.kind != Kind::Seg as u8 || u64::from(record.len) != SEG_BYTES || record.dt >= offset {
            return Some(Err(CorruptChunk::Link { offset, end }));
        }
        (self.next, self.end) = (record.dt, offset);
        let last = word(5);
        Some(Ok(SegmentInfo {
            offset,
            end,
            trace: TraceId::new(word(1), word(2)),
            base_ticks: word(3),
            parent_span: SpanId(word(4)),
            from_agent: AgentId(last as u32),
            flags: (last >> 32) as u32,
        }))
    }
}

/// Appends the bytes from `offset` to `end` of chunk `bit` of `lease` to `out`; both are rounded down to words and cut to the chunk.
pub fn copy<S: Storage>(store: &S, lease: Lease, bit: u32, offset: u32, end: u32, out: &mut Vec<u8>) {
    let at = lease.chunk_offset(bit);
    let end = u64::from(end).min(lease.class.bytes()) / 8;
    let words = u64::from(offset) / 8..end;
    out.reserve(8 * words.clone().count());
    for word in words {
        out.extend_from_slice(&store.word(at + 8 * word).load(Relaxed).to_le_bytes()); // acquired with the head
    }
}

const _: () = assert!(Class::Large.bytes() < 1 << 20, "committed lengths have 20 bits");
