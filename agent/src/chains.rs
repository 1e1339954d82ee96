//! What is remembered by trace, for as long as it is young: an append-only ring of small entries, and the heads of hash chains through it.
//!
//! Called by the index, of segments that are retained, and by the afterlife, of those that are gone. To forget moves the tail, nothing is
//! deleted.

use backsight_core::ids::TraceId;
use backsight_core::units::Bytes;
use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::marker::PhantomData;

/// Entries of one block; blocks are the unit in which memory is taken and given back.
pub const BLOCK_ENTRIES: usize = 1024;
/// Bytes of an entry.
const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;
/// Bytes of a chain's head.
const HEAD_BYTES: u64 = size_of::<u32>() as u64;
/// The largest number of entries: positions have 32 bits, and must tell live from dead.
const ENTRIES_MAX: u64 = 1 << 30;

/// What an entry says of its trace beside its id.
pub type Note = [u32; 3];

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    trace_hi: u64,
    trace_lo: u64,
    note: Note,
    /// The position of the bucket's entry before this one, modulo 2^32.
    previous: u32,
}

const _: () = assert!(ENTRY_BYTES == 32);

/// Entries by trace.
///
/// # Shape
/// 32 bytes an entry and a 4-byte chain head for one or two entries of the most there may be, so that a walk is short: each step of it is likely to
/// miss the caches. At most the bytes given to [`Chains::new`].
/// Positions count from 1 and never repeat; those below the tail are dead.
#[derive(Debug)]
pub struct Chains<T> {
    blocks: VecDeque<Box<[Entry]>>,
    buckets: Vec<u32>,
    tail: u64,
    head: u64,
    entries_max: u64,
    /// Drawn at the start: ids are the word of whoever sends a request, who must not know which of them meet in one chain.
    secrets: [u64; 2],
    says: PhantomData<T>,
}

impl<T: From<Note> + Into<Note>> Chains<T> {
    /// Returns no entries; they will use at most `budget` bytes, but there is always room for one block.
    pub fn new(budget: Bytes) -> Self {
        let entries_max = (budget.0 / (ENTRY_BYTES + HEAD_BYTES)).clamp(BLOCK_ENTRIES as u64, ENTRIES_MAX);
        let n_buckets = entries_max.next_power_of_two() / 2;
        let buckets = vec![0; n_buckets as usize];
        let secrets = [(), ()].map(|()| RandomState::new().hash_one(entries_max));
        Self { blocks: VecDeque::new(), buckets, tail: 1, head: 1, entries_max, secrets, says: PhantomData }
    }

    /// Returns the position that the next entry gets.
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// Returns the number of live entries.
    pub const fn n_entries(&self) -> u64 {
        self.head - self.tail
    }

    /// Returns the most entries that there may be, but for a block that finds no room made.
    pub const fn entries_max(&self) -> u64 {
        self.entries_max
    }

    /// Returns whether another entry needs older ones to go first.
    pub fn is_full(&self) -> bool {
        let whole_blocks = self.entries_max / BLOCK_ENTRIES as u64;
        self.head.is_multiple_of(BLOCK_ENTRIES as u64) && self.blocks.len() as u64 >= whole_blocks
    }

    /// Returns the memory in use.
    pub fn bytes(&self) -> Bytes {
        let entries = self.blocks.len() as u64 * BLOCK_ENTRIES as u64 * ENTRY_BYTES;
        Bytes(entries + HEAD_BYTES * self.buckets.len() as u64)
    }

    /// Appends an entry. The caller has made room where [`Chains::is_full`]; where it could not, the memory grows by a block.
    pub fn push(&mut self, trace: TraceId, says: T) {
        let position = self.head;
        let bucket = self.bucket(trace);
        if self.blocks.is_empty() || position.is_multiple_of(BLOCK_ENTRIES as u64) {
            self.blocks.push_back(vec![Entry::default(); BLOCK_ENTRIES].into_boxed_slice());
        }
        let entry = Entry { trace_hi: trace.hi, trace_lo: trace.lo, note: says.into(), previous: self.buckets[bucket] };
        self.head += 1;
        if let Some((block, idx)) = self.locate(position) {
            self.blocks[block][idx] = entry;
        }
        self.buckets[bucket] = position as u32;
    }

    /// Forgets all entries before position `tail`.
    pub fn forget_before(&mut self, tail: u64) {
        let first_block = self.tail / BLOCK_ENTRIES as u64;
        self.tail = tail.clamp(self.tail, self.head);
        let n_dead = (self.tail / BLOCK_ENTRIES as u64 - first_block).min(self.blocks.len() as u64);
        self.blocks.drain(..n_dead as usize);
    }

    /// Returns what the entries of `trace` say, newest first.
    pub fn find(&self, trace: TraceId) -> impl Iterator<Item = T> + '_ {
        let mut next = self.live(self.buckets[self.bucket(trace)], self.head);
        std::iter::from_fn(move || {
            loop {
                let position = next?;
                let (block, idx) = self.locate(position)?;
                let entry = self.blocks[block][idx];
                next = self.live(entry.previous, position);
                if entry.trace_hi == trace.hi && entry.trace_lo == trace.lo {
                    return Some(entry.note.into());
                }
            }
        })
    }

    /// Returns the live ones of `n_entries` entries from `position` on, oldest first.
    pub fn run(&self, position: u64, n_entries: u32) -> impl Iterator<Item = (TraceId, T)> + '_ {
        let positions = position.max(self.tail)..self.head.min(position + u64::from(n_entries));
        positions.filter_map(|position| {
            let (block, idx) = self.locate(position)?;
            let entry = self.blocks[block][idx];
            Some((TraceId::new(entry.trace_hi, entry.trace_lo), entry.note.into()))
        })
    }

    /// Returns no entries, with the same bounds.
    pub fn emptied(&self) -> Self {
        let Self { entries_max, secrets, .. } = *self;
        let buckets = vec![0; self.buckets.len()];
        Self { blocks: VecDeque::new(), buckets, tail: 1, head: 1, entries_max, secrets, says: PhantomData }
    }

    /// Forgets the oldest block of entries; returns how many of them were live.
    pub fn forget_block(&mut self) -> u64 {
        let n_before = self.n_entries();
        self.forget_before((self.tail / BLOCK_ENTRIES as u64 + 1) * BLOCK_ENTRIES as u64);
        n_before - self.n_entries()
    }

    /// Returns whether `n_more` entries would come close to the most there may be.
    pub const fn is_nearly_full(&self, n_more: u64) -> bool {
        self.n_entries() + n_more > self.entries_max - self.entries_max / 8
    }

    /// Returns the live position below `limit` whose low half is `low`: chains strictly descend, so a walk ends.
    fn live(&self, low: u32, limit: u64) -> Option<u64> {
        let back = u64::from((limit as u32).wrapping_sub(low));
        let position = limit.checked_sub(back).filter(|_| back != 0)?;
        (position >= self.tail).then_some(position)
    }

    /// Returns the block and the place in it of a live position.
    fn locate(&self, position: u64) -> Option<(usize, usize)> {
        let first_block = self.tail / BLOCK_ENTRIES as u64;
        let block = (position / BLOCK_ENTRIES as u64).checked_sub(first_block)? as usize;
        (block < self.blocks.len()).then_some((block, (position % BLOCK_ENTRIES as u64) as usize))
    }

    fn bucket(&self, trace: TraceId) -> usize {
        // Both halves are mixed in: ids may be sequential in either.
        let mixed = u128::from(trace.lo ^ self.secrets[0]) * u128::from(trace.hi ^ self.secrets[1]);
        ((mixed >> 64) as usize ^ mixed as usize) & (self.buckets.len() - 1)
    }
}

#[cfg(test)]
mod tests;
