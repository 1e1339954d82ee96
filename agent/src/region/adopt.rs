//! Taking over a region that an earlier agent of this host made: the account is read from what stands in the shared memory.
//!
//! The private account went with the agent that kept it, so here a client is believed as far as it can only harm itself: what it says about
//! its own chunks. Where leases stand is computed from their classes, so that none lies over another.

use super::{Account, FIXED_MAX, Region};
use crate::demand::idx;
use backsight_core::ids::{AgentId, RegionId};
use backsight_core::sync::Ordering::{Acquire, Relaxed};
use backsight_ringbuf::abi::{CHUNK_HEADER_BYTES, CHUNKS_PER_LEASE, ChunkId, LEASES_MAX, SPAN_OFFSET};
use backsight_ringbuf::abi::{chunk, header, lease as abi_lease, lease_offset};
use backsight_ringbuf::head::{GENERATIONS, Head};
use backsight_ringbuf::lease;
use backsight_ringbuf::region::{self, Identity, OpenError};
use backsight_ringbuf::shm::{self, Mapping, ShmError};
use backsight_ringbuf::slot;
use backsight_ringbuf::storage::Storage;
use std::os::fd::{AsFd, OwnedFd};

/// Generations of chunks whose header is gone go on at the next multiple of this: above whatever they were granted with before, as long as no
/// chunk of a region was granted so much more often than another.
const GENERATION_STEP: u32 = 1 << 16;

/// A region that is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// It is no memory of ours.
    #[error(transparent)]
    Memory(#[from] ShmError),
    /// It is no region that this build can read.
    #[error(transparent)]
    Region(#[from] OpenError),
    /// It is another one than its name says.
    #[error("region {found:?} of agent {of:?} and another boot, clock or number than expected")]
    Other {
        /// The region that it says it is.
        found: RegionId,
        /// The agent that it says it is of.
        of: AgentId,
    },
}

/// A region that was taken over.
#[derive(Debug)]
pub struct Adopted {
    /// It.
    pub region: Region,
    /// Its chunks that threads are done with, which are retained and are to be indexed.
    pub sealed: Vec<ChunkId>,
}

impl Region {
    /// Takes over the region behind `fd`, which must be the one that `expected` would have been made as; process and limits may differ.
    ///
    /// # Errors
    /// Another file or region, or no address space.
    ///
    /// # Cost
    /// A header for each chunk that has pages, and two system calls for each run of them.
    pub fn adopt(fd: OwnedFd, expected: &Identity) -> Result<Adopted, AdoptError> {
        let mapping = Mapping::from_fd(fd.as_fd())?;
        let found = region::open(&mapping)?;
        let same = |of: &Identity| (of.region, of.agent, of.boot, of.clock);
        if same(&found) != same(expected) {
            return Err(AdoptError::Other { found: found.region, of: found.agent });
        }
        let mut region = Self::without_leases(found.region, mapping, fd);
        region.fixed_bytes = FIXED_MAX.0.min(SPAN_OFFSET); // until it is measured
        region.adopt_leases()?;
        let sealed = region.adopt_chunks();
        Ok(Adopted { region, sealed })
    }

    /// Opens an account for each lease, up to the first that no agent could have installed.
    fn adopt_leases(&mut self) -> Result<(), ShmError> {
        let n_leases = self.mapping.word(header::N_LEASES).load(Relaxed).min(u64::from(LEASES_MAX)) as u32; // its writer is gone
        for number in 0..n_leases {
            let Some(lease) = lease::read(&self.mapping, number).filter(|lease| lease.offset == self.next_offset)
            else {
                break;
            };
            self.next_offset += lease.class.lease_bytes();
            self.n_leases[idx(lease.class)] += 1;
            let mut account = Account::new(lease);
            account.populated = self.written_chunks(&account)?;
            self.chunk_bytes += u64::from(account.populated.count_ones()) * lease.class.bytes();
            self.accounts.push(account);
        }
        Ok(())
    }

    /// Returns which chunks of a lease have their first page: an agent writes there whenever it grants one.
    fn written_chunks(&self, account: &Account) -> Result<u64, ShmError> {
        let (first, bytes) = (account.lease.offset, account.lease.class.bytes());
        let end = first + account.lease.class.lease_bytes();
        let (mut written, mut at) = (0, first);
        while let Some((start, hole)) = shm::written_from(self.fd.as_fd(), at)?.filter(|(start, _)| *start < end) {
            let chunks = (start - first).div_ceil(bytes)..(hole.min(end) - first).div_ceil(bytes);
            written |= chunks.fold(0, |mask, bit| mask | 1 << bit);
            at = hole.max(start + 1);
            if at >= end {
                break;
            }
        }
        Ok(written)
    }

    /// Says of each chunk with pages who has it; returns those that are to be indexed.
    fn adopt_chunks(&mut self) -> Vec<ChunkId> {
        let mut sealed = Vec::new();
        let mut newest = 0;
        for (number, account) in (0_u32..).zip(&mut self.accounts) {
            let word = |offset| self.mapping.word(lease_offset(number) + offset).load(Acquire); // what was let go before is seen
            let (granted, is_full) = (word(abi_lease::GRANTED), word(abi_lease::SEALED));
            for bit in (0..CHUNKS_PER_LEASE).filter(|bit| account.populated >> bit & 1 == 1) {
                let at = account.lease.chunk_offset(bit) + chunk::HEAD;
                let head = Head::unpack(self.mapping.word(at).load(Acquire)); // pairs with the writer's release store
                newest = newest.max(head.generation);
                if let Some(generation) = account.generations.get_mut(bit as usize) {
                    *generation = head.generation;
                }
                let id = ChunkId::new(number, bit);
                if granted & id.mask() != 0 {
                    account.ahead |= id.mask();
                } else if is_full & id.mask() != 0 || !head.sealed {
                    account.open |= id.mask(); // a seal is found by the next look
                } else {
                    account.adopted |= id.mask();
                    if u64::from(head.committed) > CHUNK_HEADER_BYTES {
                        account.retained |= id.mask(); // nobody is to be granted it before it is indexed
                        sealed.push(id);
                    }
                }
            }
        }
        self.leave_to_threads(&mut sealed);
        self.skip_generations(newest);
        sealed
    }

    /// Takes out of `sealed` what a thread is sealing right now: it sets the sealed bit when it goes on, however late, and another thread that
    /// had been granted the chunk meanwhile would lose it.
    fn leave_to_threads(&mut self, sealed: &mut Vec<ChunkId>) {
        // Read after the heads: a thread that has let go of its chunk by now has set the bit, which the next look takes.
        let open: Vec<u64> = self.slots().map(|number| slot::open(&self.mapping, number)).collect();
        for word in open {
            let Some(id) = (word as u32).checked_sub(1).and_then(ChunkId::from_code) else { continue };
            let Some(account) = self.accounts.get_mut(id.lease() as usize) else { continue };
            let is_it = account.generations.get(id.bit() as usize).is_some_and(|known| u64::from(*known) == word >> 32);
            if is_it && account.adopted & id.mask() != 0 {
                account.adopted &= !id.mask();
                account.retained &= !id.mask();
                account.open |= id.mask();
                sealed.retain(|other| *other != id);
            }
        }
    }

    /// Has chunks without pages go on with generations that none of them had: nobody knows any more which those were.
    fn skip_generations(&mut self, newest: u32) {
        let next = (newest / GENERATION_STEP + 1) * GENERATION_STEP % GENERATIONS;
        for account in &mut self.accounts {
            for (bit, generation) in account.generations.iter_mut().enumerate() {
                if account.populated >> bit & 1 == 0 {
                    *generation = next;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
