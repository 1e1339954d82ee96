//! Chunks between agent and threads: granting, claiming, sealing and draining, each by one atomic operation on a lease's words.
//!
//! ```text
//! FREE --agent: head = (generation + 1, 0), set granted bit (Release)--> GRANTED --thread: clear bit (AcqRel)--> OPEN
//! OPEN --thread: head | sealed, set sealed bit (Release)--> SEALED --agent: swap(0) (Acquire)--> RETAINED --> GRANTED or FREE
//! ```
//! Whoever clears a granted bit owns the chunk, so no two threads, and no thread and the agent, ever hold the same one. A thread that dies
//! between two steps leaves the chunk where it was; the agent reclaims it when the process is gone.

use crate::abi::{CHUNK_HEADER_BYTES, CHUNK_MAGIC, CHUNKS_PER_LEASE, ChunkId, Class, LEASES_MAX, SPAN_OFFSET};
use crate::abi::{chunk, header, lease, lease_offset};
use crate::head::{Head, SEALED};
use crate::storage::Storage;
use backsight_core::ids::RegionId;
use backsight_core::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// A lease's entry, checked: its chunks lie within the region.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lease {
    /// Its number.
    pub number: u32,
    /// The class of its chunks.
    pub class: Class,
    /// Where its first chunk stands.
    pub offset: u64,
}

impl Lease {
    /// Returns where chunk `bit` of this lease stands.
    pub const fn chunk_offset(self, bit: u32) -> u64 {
        self.offset + (bit % CHUNKS_PER_LEASE) as u64 * self.class.bytes()
    }
}

/// A chunk that the caller owns: it cleared the granted bit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claimed {
    /// The chunk.
    pub id: ChunkId,
    /// Its class.
    pub class: Class,
    /// Where it stands.
    pub offset: u64,
    /// Its generation.
    pub generation: u32,
}

/// Reads lease entry `number`; `None` while it is unused, or where it does not describe chunks of this region.
///
/// Both sides call it: the agent does not trust the client, and the client survives an application that scribbles over the region.
pub fn read<S: Storage>(store: &S, number: u32) -> Option<Lease> {
    if number >= LEASES_MAX {
        return None;
    }
    let at = lease_offset(number);
    // Relaxed: written before the lease's first granted bit, whose AcqRel claim orders it.
    let class = Class::from_code(store.word(at + lease::CLASS).load(Relaxed))?;
    let offset = store.word(at + lease::OFFSET).load(Relaxed); // as above
    let sound = offset >= SPAN_OFFSET && offset.is_multiple_of(4096) && store.contains(offset, class.lease_bytes());
    sound.then_some(Lease { number, class, offset })
}

/// Writes lease entry `number`. Agent only, before it grants any chunk of it.
pub fn install<S: Storage>(store: &S, lease: Lease) {
    let at = lease_offset(lease.number % LEASES_MAX);
    store.word(at + lease::OFFSET).store(lease.offset, Relaxed); // published by the release store of N_LEASES
    store.word(at + lease::CLASS).store(lease.class as u64, Relaxed); // as above
    let n_leases = store.word(header::N_LEASES);
    let n = n_leases.load(Relaxed); // only the agent writes it
    n_leases.store(n.max(u64::from(lease.number) + 1), Release); // pairs with the load in `claim`
}

/// Hands chunk `id` of a lease to the process. Agent only; the chunk's pages are populated and nobody else holds it.
pub fn grant<S: Storage>(store: &S, region: RegionId, lease: Lease, id: ChunkId, generation: u32) {
    let at = lease.chunk_offset(id.bit());
    let identity = u64::from(CHUNK_MAGIC) | (lease.class as u64) << 32;
    // Relaxed, all three: published by the granted bit.
    store.word(at + chunk::IDENTITY).store(identity, Relaxed);
    store.word(at + chunk::REGION).store(region.0, Relaxed);
    store.word(at + chunk::HEAD).store(Head::granted(generation).pack(), Relaxed);
    let granted = store.word(lease_offset(lease.number) + lease::GRANTED);
    granted.fetch_or(id.mask(), Release); // pairs with the fetch_and in `take`
}

/// Tells threads in drop mode that chunks were granted. Agent only, after a batch of grants.
pub fn announce_grants<S: Storage>(store: &S) {
    let seq = store.word(header::GRANT_SEQ);
    seq.store(seq.load(Relaxed).wrapping_add(1), Release); // only the agent writes it; pairs with the load in the writer's drop mode
}

/// Takes back a granted chunk. Agent only.
///
/// Returns whether the agent owns it now; `false` where a thread was faster.
pub fn revoke<S: Storage>(store: &S, id: ChunkId) -> bool {
    take(store, id)
}

/// Clears the granted bit of `id`; returns whether it was set, so that the caller owns the chunk.
fn take<S: Storage>(store: &S, id: ChunkId) -> bool {
    let granted = store.word(lease_offset(id.lease()) + lease::GRANTED);
    granted.fetch_and(!id.mask(), AcqRel) & id.mask() != 0 // acquires what `grant` released
}

/// Claims a granted chunk: of `class` if there is one, else of a smaller class, else of a larger one.
///
/// # Cost
/// No loop waits for anyone. At most 3 x 512 lease words are read, and 64 bits tried in each that has some; `near` is the lease to look at
/// first, normally that of the thread's last chunk.
pub fn claim<S: Storage>(store: &S, class: Class, near: u32) -> Option<Claimed> {
    let n_leases = store.word(header::N_LEASES).load(Acquire).min(u64::from(LEASES_MAX)) as u32; // pairs with `install`
    let order = match class {
        Class::Small => [Class::Small, Class::Medium, Class::Large],
        Class::Medium => [Class::Medium, Class::Small, Class::Large],
        Class::Large => [Class::Large, Class::Medium, Class::Small],
    };
    let leases = || (0..n_leases).map(|i| (near.min(n_leases) + i) % n_leases);
    order.iter().find_map(|wanted| leases().find_map(|number| claim_in(store, number, *wanted)))
}

fn claim_in<S: Storage>(store: &S, number: u32, wanted: Class) -> Option<Claimed> {
    let granted = store.word(lease_offset(number) + lease::GRANTED);
    let mut left = granted.load(Relaxed); // a hint only: `take` decides
    if left == 0 {
        return None;
    }
    read(store, number).filter(|lease| lease.class == wanted)?;
    while left != 0 {
        let id = ChunkId::new(number, left.trailing_zeros());
        if take(store, id) {
            // Read again: only now is it certain that this is the entry under which the chunk was granted.
            let lease = read(store, number)?;
            let offset = lease.chunk_offset(id.bit());
            let head = Head::unpack(store.word(offset + chunk::HEAD).load(Relaxed)); // acquired by `take`
            return Some(Claimed { id, class: lease.class, offset, generation: head.generation });
        }
        left &= !id.mask();
    }
    None
}

/// Marks a chunk as full. Called by the thread that claimed it, after its last record; the chunk is the agent's from here on.
pub fn seal<S: Storage>(store: &S, id: ChunkId, offset: u64) {
    let head = store.word(offset + chunk::HEAD);
    let word = head.load(Relaxed); // only this thread writes it
    head.store(word | SEALED, Release); // pairs with the reader's acquire load
    let sealed = store.word(lease_offset(id.lease()) + lease::SEALED);
    sealed.fetch_or(id.mask(), Release); // pairs with the swap in `drain`
}

/// Takes the sealed bits of lease `number`. Agent only; the bits are a claim of the client, checked by the caller.
pub fn drain<S: Storage>(store: &S, number: u32) -> u64 {
    let sealed = store.word(lease_offset(number % LEASES_MAX) + lease::SEALED);
    if sealed.load(Relaxed) == 0 {
        return 0; // the common case costs no exclusive cache line; bits that come later are seen in the next round
    }
    sealed.swap(0, Acquire) // pairs with the fetch_or in `seal`
}

/// Returns the granted bits of lease `number` that no thread has claimed.
pub fn unclaimed<S: Storage>(store: &S, number: u32) -> u64 {
    let granted = store.word(lease_offset(number % LEASES_MAX) + lease::GRANTED);
    granted.load(Acquire) // pairs with `take`: a cleared bit means that the owner's earlier chunk was let go before
}

const _: () = assert!(CHUNK_HEADER_BYTES == chunk::BYTES);
