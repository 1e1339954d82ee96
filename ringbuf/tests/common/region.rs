//! A region with an agent of few words: grants chunks, drains sealed ones, reads them whole.
//!
//! Used by every test of the log. It does what the real agent does with the region, and decides nothing by itself.

use backsight_core::ids::{AgentId, RegionId};
use backsight_ringbuf::abi::{ChunkId, Class, LEASES_OFFSET, SLOTS_OFFSET, SPAN_OFFSET};
use backsight_ringbuf::lease::{self, Lease};
use backsight_ringbuf::reader::{self, ChunkInfo, CorruptChunk, SegmentInfo};
use backsight_ringbuf::region::{self, Identity};
use backsight_ringbuf::storage::{Heap, Storage};
use std::collections::BTreeMap;

pub(crate) const REGION: RegionId = RegionId(77);

/// How many chunks of each class a test region has, all in one lease per class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chunks {
    pub(crate) small: u32,
    pub(crate) medium: u32,
    pub(crate) large: u32,
}

impl Chunks {
    pub(crate) fn leases(self) -> [(Lease, u32); 3] {
        let lease = |number, class, offset| Lease { number, class, offset };
        let (medium, large) = (SPAN_OFFSET + Class::Small.lease_bytes(), SPAN_OFFSET + (4 << 20));
        [
            (lease(0, Class::Small, SPAN_OFFSET), self.small),
            (lease(1, Class::Medium, medium), self.medium),
            (lease(2, Class::Large, large), self.large),
        ]
    }

    /// Returns the bytes of a region with these leases.
    pub(crate) const fn region_bytes() -> u64 {
        SPAN_OFFSET + (8 << 20)
    }

    /// Returns a heap with windows for the header, the leases, `n_slots` thread slots and these chunks.
    pub(crate) fn heap(self, n_slots: usize) -> Heap {
        let mut windows = vec![(0, 512), (LEASES_OFFSET, 3 * 16), (SLOTS_OFFSET, n_slots * 512)];
        let chunks = self.leases().map(|(lease, n)| (lease.offset, n as usize * lease.class.bytes() as usize / 8));
        windows.extend(chunks.into_iter().filter(|(_, words)| *words != 0));
        Heap::new(Self::region_bytes(), &windows)
    }
}

/// One chunk as the agent copied it.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) id: ChunkId,
    pub(crate) info: ChunkInfo,
    /// What stands before the first segment.
    pub(crate) preamble: Vec<u8>,
    /// Oldest first, each with its bytes.
    pub(crate) segments: Vec<(SegmentInfo, Vec<u8>)>,
}

/// Copies a chunk out: its header, then its segments and what stands before them.
pub(crate) fn read_chunk<S: Storage>(
    store: &S,
    lease: Lease,
    bit: u32,
    generation: u32,
) -> Result<Chunk, CorruptChunk> {
    let info = reader::chunk_info(store, lease, bit, generation)?;
    read_to(store, lease, bit, info)
}

/// Copies a chunk out as if `info` were its header.
pub(crate) fn read_to<S: Storage>(store: &S, lease: Lease, bit: u32, info: ChunkInfo) -> Result<Chunk, CorruptChunk> {
    let mut segments = Vec::new();
    for segment in reader::segments(store, lease, bit, info.head) {
        let segment = segment?;
        let mut bytes = Vec::new();
        reader::copy(store, lease, bit, segment.offset, segment.end, &mut bytes);
        segments.push((segment, bytes));
    }
    segments.reverse();
    let mut preamble = Vec::new();
    let first = segments.first().map_or(info.head.committed, |(segment, _)| segment.offset);
    reader::copy(store, lease, bit, 64, first, &mut preamble);
    Ok(Chunk { id: ChunkId::new(lease.number, bit), info, preamble, segments })
}

/// The agent's side of one region.
pub(crate) struct Agent<S> {
    pub(crate) store: S,
    leases: BTreeMap<u32, Lease>,
    /// Chunks that the agent holds, by class.
    free: BTreeMap<Class, Vec<ChunkId>>,
    /// Chunks that were granted and not drained since, with their generation.
    out: BTreeMap<ChunkId, u32>,
    generations: BTreeMap<ChunkId, u32>,
}

impl<S: Storage> Agent<S> {
    pub(crate) fn new(store: S, chunks: Chunks, ticks_per_second: u64) -> Self {
        let identity = Identity {
            region: REGION,
            agent: AgentId(5),
            pid: 1,
            start_time: 2,
            boot: [3, 4],
            n_slots: 64,
            clock: Default::default(),
            ticks_per_second,
            crumbs: Default::default(),
        };
        region::initialise(&store, &identity);
        let mut agent = Self {
            store,
            leases: BTreeMap::new(),
            free: BTreeMap::new(),
            out: BTreeMap::new(),
            generations: BTreeMap::new(),
        };
        for (lease, n) in chunks.leases() {
            lease::install(&agent.store, lease);
            agent.leases.insert(lease.number, lease);
            agent.free.entry(lease.class).or_default().extend((0..n).rev().map(|bit| ChunkId::new(lease.number, bit)));
        }
        agent
    }

    /// Grants one chunk of `class`, if one is free, and announces it.
    pub(crate) fn grant(&mut self, class: Class) -> Option<ChunkId> {
        let id = self.free.get_mut(&class)?.pop()?;
        let generation = self.generations.entry(id).or_insert(0);
        *generation += 1;
        lease::grant(&self.store, REGION, self.leases[&id.lease()], id, *generation);
        lease::announce_grants(&self.store);
        self.out.insert(id, *generation);
        Some(id)
    }

    /// Takes back every chunk that no thread has claimed.
    pub(crate) fn revoke_all(&mut self) {
        for id in self.out.keys().copied().collect::<Vec<_>>() {
            if lease::revoke(&self.store, id) {
                self.take_back(id);
            }
        }
    }

    /// Copies out every sealed chunk, in no order, and takes it back.
    pub(crate) fn drain(&mut self) -> Vec<Chunk> {
        let mut drained = Vec::new();
        for lease in self.leases.clone().into_values() {
            let sealed = lease::drain(&self.store, lease.number);
            for bit in (0..64).filter(|bit| sealed >> bit & 1 == 1) {
                let id = ChunkId::new(lease.number, bit);
                let generation = *self.out.get(&id).expect("only a granted chunk is sealed");
                let chunk = read_chunk(&self.store, lease, bit, generation).expect("a sealed chunk reads");
                assert!(chunk.info.head.sealed, "the seal comes before the bit");
                assert!(chunk.info.has_data(), "a chunk is opened only to be written");
                drained.push(chunk);
                self.take_back(id);
            }
        }
        drained
    }

    /// Copies out what stands in the chunks that threads have open.
    pub(crate) fn open_chunks(&self) -> Vec<Chunk> {
        let granted = |id: &ChunkId| lease::unclaimed(&self.store, id.lease()) & id.mask() != 0;
        let open = self.out.iter().filter(|(id, _)| !granted(id));
        let read = open.map(|(id, generation)| {
            read_chunk(&self.store, self.leases[&id.lease()], id.bit(), *generation).expect("an open chunk reads")
        });
        read.filter(|chunk| chunk.info.has_data()).collect()
    }

    /// Returns the chunks of `id`'s lease and its place, to read it in other ways.
    pub(crate) fn lease_of(&self, id: ChunkId) -> Lease {
        self.leases[&id.lease()]
    }

    /// Returns how many chunks are neither with the agent nor granted and unclaimed.
    pub(crate) fn n_held_by_threads(&self) -> usize {
        self.out.keys().filter(|id| lease::unclaimed(&self.store, id.lease()) & id.mask() == 0).count()
    }

    fn take_back(&mut self, id: ChunkId) {
        self.out.remove(&id);
        self.free.entry(self.leases[&id.lease()].class).or_default().push(id);
    }
}
