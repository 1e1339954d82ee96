//! The region of one process as the agent sees it: the memory, and a private, authoritative account of who holds each chunk.
//!
//! Called by the recorder. What stands in the shared memory is only ever a claim: a sealed bit of a chunk that was not granted, a length
//! outside its chunk or a wrong generation is counted and harms nobody but the process that wrote it.

pub mod adopt;
mod slots;

use crate::demand::{PerClass, idx};
use backsight_core::ids::RegionId;
use backsight_core::sync::Ordering::Relaxed;
use backsight_core::units::Bytes;
use backsight_ringbuf::abi::{CHUNKS_PER_LEASE, ChunkId, Class, LEASES_MAX, SPAN_OFFSET};
use backsight_ringbuf::abi::{slot as abi_slot, slot_offset};
use backsight_ringbuf::head::GENERATIONS;
use backsight_ringbuf::lease::{self, Lease};
use backsight_ringbuf::reader::{self, ChunkInfo, CorruptChunk, Segments};
use backsight_ringbuf::region::{self, Identity};
use backsight_ringbuf::shm::{self, Mapping, ShmError};
use backsight_ringbuf::slot;
use backsight_ringbuf::storage::Storage;
use slots::Seen;
use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What a client may populate by itself in the fixed part: header, leases, slots and strings, and some slack for the kernel's rounding.
const FIXED_MAX: Bytes = Bytes::mib(33);
/// The largest span: 512 leases of class L.
const SPAN_MAX: Bytes = Bytes(LEASES_MAX as u64 * Class::Large.lease_bytes());

/// The account of one lease: a bit for each chunk. A chunk in none of the first three is free.
#[derive(Debug)]
struct Account {
    lease: Lease,
    /// Granted, and not yet seen taken.
    ahead: u64,
    /// Taken by a thread.
    open: u64,
    /// Sealed and indexed.
    retained: u64,
    /// Has pages.
    populated: u64,
    /// Found sealed when the region was taken over, by a thread that may have said so meanwhile.
    adopted: u64,
    generations: Box<[u32; CHUNKS_PER_LEASE as usize]>,
    /// Ticks before which no thread wrote to a chunk since it was granted; 0 where that was an earlier agent's doing.
    taken_since: Box<[u64; CHUNKS_PER_LEASE as usize]>,
}

impl Account {
    fn new(lease: Lease) -> Self {
        let generations = Box::new([0; CHUNKS_PER_LEASE as usize]);
        let taken_since = Box::new([0; CHUNKS_PER_LEASE as usize]);
        Self { lease, ahead: 0, open: 0, retained: 0, populated: 0, adopted: 0, generations, taken_since }
    }

    const fn free(&self) -> u64 {
        !(self.ahead | self.open | self.retained)
    }
}

/// What a look at the leases found.
#[derive(Debug, Default)]
pub struct Polled {
    /// Chunks that their threads sealed.
    pub sealed: Vec<ChunkId>,
    /// Chunks taken since the last look.
    pub taken: PerClass,
    /// Chunks still granted ahead.
    pub left: PerClass,
    /// Sealed bits of chunks that nobody had taken.
    pub n_corrupt: u64,
}

/// The part of what a process has ahead from which on taking it between two looks calls for looking more often, and whose use rings for a look.
pub const PRESSING_PART: u32 = 8;

impl Polled {
    /// Returns whether the process took so much since the last look that a few more looks like it would leave it without.
    pub fn is_pressing(&self) -> bool {
        self.taken.iter().zip(&self.left).any(|(taken, left)| taken * PRESSING_PART > taken + left)
    }
}

/// What became of an attempt to grant a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Free {
    /// This chunk is free and has its pages.
    Populated(ChunkId),
    /// This chunk is free and needs pages.
    Bare(ChunkId),
    /// The region has no free chunk of the class, and no room for another lease of it.
    None,
}

/// A region.
#[derive(Debug)]
pub struct Region {
    id: RegionId,
    mapping: Mapping,
    fd: OwnedFd,
    accounts: Vec<Account>,
    n_leases: PerClass,
    /// For each class, the lease where a free chunk was last found.
    hints: PerClass,
    next_offset: u64,
    chunk_bytes: u64,
    fixed_bytes: u64,
    seen: Seen,
    /// Ticks of the last look at the leases.
    looked_ticks: u64,
}

impl Region {
    /// Makes a region whose span could hold all of `budget` in any one class.
    ///
    /// # Errors
    /// No memfd or no address space.
    pub fn create(identity: &Identity, budget: Bytes) -> Result<Self, ShmError> {
        // Leases keep their class, so a process that moves from one class to another needs the span twice; it is address space only.
        let span = (2 * budget.0).next_multiple_of(Class::Large.lease_bytes()).min(SPAN_MAX.0);
        let (mapping, fd) = Mapping::create(SPAN_OFFSET + span)?;
        region::initialise(&mapping, identity);
        Ok(Self::without_leases(identity.region, mapping, fd))
    }

    fn without_leases(id: RegionId, mapping: Mapping, fd: OwnedFd) -> Self {
        Self {
            id,
            mapping,
            fd,
            accounts: Vec::new(),
            n_leases: [0; 3],
            hints: [0; 3],
            next_offset: SPAN_OFFSET,
            chunk_bytes: 0,
            fixed_bytes: 0,
            seen: Seen::default(),
            looked_ticks: 0,
        }
    }

    /// Returns the region's id.
    pub const fn id(&self) -> RegionId {
        self.id
    }

    /// Returns the shared memory.
    pub const fn store(&self) -> &Mapping {
        &self.mapping
    }

    /// Returns the descriptor that its process is given.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns the bytes of its chunks that have pages.
    pub const fn chunk_bytes(&self) -> Bytes {
        Bytes(self.chunk_bytes)
    }

    /// Returns the pages outside the chunks, as last measured.
    pub const fn fixed_bytes(&self) -> Bytes {
        Bytes(self.fixed_bytes)
    }

    /// Returns the leases of each class.
    pub const fn n_leases(&self) -> PerClass {
        self.n_leases
    }

    /// Measures the pages outside the chunks; returns whether the process populated more than its fixed part can hold.
    pub fn measure(&mut self) -> bool {
        let Ok(total) = shm::populated_bytes(self.fd.as_fd()) else { return false };
        let outside = total.saturating_sub(self.chunk_bytes);
        self.fixed_bytes = outside.min(FIXED_MAX.0);
        outside > FIXED_MAX.0
    }

    /// Looks at all leases: which chunks were taken, which were sealed.
    pub fn poll(&mut self, now_ticks: u64) -> Polled {
        let mut polled = Polled::default();
        let before = std::mem::replace(&mut self.looked_ticks, now_ticks);
        for (number, account) in (0_u32..).zip(&mut self.accounts) {
            // First the seals: a chunk sealed by now had its granted bit cleared before, so the second read sees it taken.
            let mut sealed = lease::drain(&self.mapping, number);
            if account.ahead | account.open | sealed == 0 {
                continue;
            }
            let taken = account.ahead & !lease::unclaimed(&self.mapping, number);
            account.ahead &= !taken;
            account.open |= taken;
            if taken != 0 {
                bits_of(taken).for_each(|bit| account.taken_since[bit as usize] = before);
            }
            let class = idx(account.lease.class);
            polled.taken[class] += taken.count_ones();
            polled.left[class] += account.ahead.count_ones();
            polled.n_corrupt += u64::from((sealed & !account.open & !account.adopted).count_ones());
            sealed &= account.open;
            while sealed != 0 {
                polled.sealed.push(ChunkId::new(number, sealed.trailing_zeros()));
                sealed &= sealed - 1;
            }
        }
        polled
    }

    /// Returns whether a thread has signals that were not taken.
    pub fn has_signals(&self) -> bool {
        let has_signal = |number| {
            let word = |offset| self.mapping.word(slot_offset(number) + offset).load(Relaxed); // a hint; `set_sleeping` ordered it
            word(abi_slot::RING_TAIL) != word(abi_slot::RING_HEAD)
        };
        self.slots().any(has_signal)
    }

    /// Returns the chunks that threads hold now, as of the last look.
    pub fn open_chunks(&self) -> Vec<ChunkId> {
        self.collect(|account| account.open)
    }

    /// Returns the chunks granted ahead, as of the last look.
    pub fn ahead_chunks(&self) -> Vec<ChunkId> {
        self.collect(|account| account.ahead)
    }

    /// Returns a free chunk that has pages.
    pub fn spare(&self) -> Option<ChunkId> {
        let spares =
            (0_u32..).zip(&self.accounts).map(|(number, account)| (number, account.free() & account.populated));
        spares.filter(|(_, mask)| *mask != 0).map(|(number, mask)| ChunkId::new(number, mask.trailing_zeros())).next()
    }

    /// Returns the free chunks that have pages.
    pub fn free_chunks(&self) -> Vec<ChunkId> {
        self.collect(|account| account.free() & account.populated)
    }

    fn collect(&self, mask: impl Fn(&Account) -> u64) -> Vec<ChunkId> {
        let leases = (0_u32..).zip(&self.accounts);
        leases.flat_map(|(number, account)| bits_of(mask(account)).map(move |bit| ChunkId::new(number, bit))).collect()
    }

    /// Returns how many chunks threads hold.
    pub fn n_open(&self) -> u32 {
        self.accounts.iter().map(|account| account.open.count_ones()).sum()
    }

    /// Returns how many chunks threads fill, and how many were taken by threads that do not fill them.
    pub fn open_and_limbo(&self) -> (u64, u64) {
        let named = |number| slot::open(&self.mapping, number);
        let open: BTreeSet<u32> = self.slots().map(named).filter_map(|word| (word as u32).checked_sub(1)).collect();
        let held = self.open_chunks();
        let n_open = held.iter().filter(|id| open.contains(&id.code())).count() as u64;
        (n_open, held.len() as u64 - n_open)
    }

    /// Returns the bytes of the chunks that threads hold or have granted ahead.
    pub fn held_bytes(&self) -> Bytes {
        self.bytes_of(|account| account.ahead | account.open)
    }

    /// Returns the bytes of the free chunks that have pages.
    pub fn spare_bytes(&self) -> Bytes {
        self.bytes_of(|account| account.free() & account.populated)
    }

    fn bytes_of(&self, mask: impl Fn(&Account) -> u64) -> Bytes {
        let bytes = |account: &Account| u64::from(mask(account).count_ones()) * account.lease.class.bytes();
        Bytes(self.accounts.iter().map(bytes).sum())
    }

    /// Returns how many chunks of each class are granted ahead.
    pub fn n_ahead(&self) -> PerClass {
        let mut n = [0; 3];
        for account in &self.accounts {
            n[idx(account.lease.class)] += account.ahead.count_ones();
        }
        n
    }

    /// Returns how many chunks are retained.
    pub fn n_retained(&self) -> u32 {
        self.accounts.iter().map(|account| account.retained.count_ones()).sum()
    }

    /// Returns the class of a chunk, `None` where the chunk is of no lease.
    pub fn class_of(&self, id: ChunkId) -> Option<Class> {
        Some(self.account(id)?.lease.class)
    }

    /// Returns the generation with which a chunk was granted last.
    pub fn generation_of(&self, id: ChunkId) -> Option<u32> {
        self.account(id)?.generations.get(id.bit() as usize).copied()
    }

    /// Returns the ticks before which nothing of what a chunk holds was written, by the agent's own clock.
    pub fn taken_since(&self, id: ChunkId) -> u64 {
        self.account(id).and_then(|account| account.taken_since.get(id.bit() as usize)).copied().unwrap_or(0)
    }

    /// Returns whether a chunk is retained under `generation`.
    pub fn is_retained(&self, id: ChunkId, generation: u32) -> bool {
        self.account(id).is_some_and(|account| account.retained & id.mask() != 0)
            && self.generation_of(id) == Some(generation)
    }

    /// Reads the header of a chunk, checked against the account.
    ///
    /// # Errors
    /// A header that the client's code could not have written.
    pub fn chunk_info(&self, id: ChunkId) -> Option<Result<ChunkInfo, CorruptChunk>> {
        let generation = self.generation_of(id)?;
        Some(reader::chunk_info(&self.mapping, self.account(id)?.lease, id.bit(), generation))
    }

    /// Returns the segments of a chunk, newest first.
    pub fn segments(&self, id: ChunkId, info: &ChunkInfo) -> Option<Segments<'_, Mapping>> {
        Some(reader::segments(&self.mapping, self.account(id)?.lease, id.bit(), info.head))
    }

    /// Copies the bytes from `offset` to `end` of a chunk.
    pub fn copy(&self, id: ChunkId, offset: u32, end: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(account) = self.account(id) {
            reader::copy(&self.mapping, account.lease, id.bit(), offset, end, &mut bytes);
        }
        bytes
    }

    /// Finds a free chunk of `class`, one with pages if there is any; adds a lease where none has a free one.
    pub fn find_free(&mut self, class: Class) -> Free {
        let n = self.accounts.len();
        let start = self.hints[idx(class)] as usize;
        let leases = || (0..n).map(|i| (start + i) % n).filter(|number| self.accounts[*number].lease.class == class);
        let with_pages = leases().find(|number| self.accounts[*number].free() & self.accounts[*number].populated != 0);
        let found = with_pages.or_else(|| leases().find(|number| self.accounts[*number].free() != 0));
        let Some(number) = found.or_else(|| self.add_lease(class)) else { return Free::None };
        self.hints[idx(class)] = number as u32;
        let account = &self.accounts[number];
        let with_pages = account.free() & account.populated;
        let chunk = |mask: u64| ChunkId::new(number as u32, mask.trailing_zeros());
        if with_pages != 0 { Free::Populated(chunk(with_pages)) } else { Free::Bare(chunk(account.free())) }
    }

    fn add_lease(&mut self, class: Class) -> Option<usize> {
        let number = self.accounts.len();
        let end = self.next_offset + class.lease_bytes();
        if number as u32 >= LEASES_MAX || end > self.mapping.bytes() {
            return None;
        }
        let lease = Lease { number: number as u32, class, offset: self.next_offset };
        lease::install(&self.mapping, lease);
        self.next_offset = end;
        self.n_leases[idx(class)] += 1;
        self.accounts.push(Account::new(lease));
        Some(number)
    }

    /// Gives a chunk its pages.
    ///
    /// # Errors
    /// No memory, or a limit of the agent's control group.
    pub fn populate(&mut self, id: ChunkId) -> Result<(), ShmError> {
        let Some(account) = self.accounts.get_mut(id.lease() as usize) else { return Ok(()) };
        if account.populated & id.mask() == 0 {
            let bytes = account.lease.class.bytes();
            shm::populate(self.fd.as_fd(), account.lease.chunk_offset(id.bit()), bytes)?;
            account.populated |= id.mask();
            self.chunk_bytes += bytes;
        }
        Ok(())
    }

    /// Takes the pages of a free chunk.
    pub fn punch(&mut self, id: ChunkId) {
        let Some(account) = self.accounts.get_mut(id.lease() as usize) else { return };
        let mask = id.mask();
        debug_assert!(account.free() & mask != 0, "punch of a chunk that somebody holds");
        let bytes = account.lease.class.bytes();
        let has_pages = account.populated & mask != 0;
        if has_pages && shm::punch(self.fd.as_fd(), account.lease.chunk_offset(id.bit()), bytes).is_ok() {
            account.populated &= !mask;
            self.chunk_bytes -= bytes;
        }
    }

    /// Hands a free chunk with pages to the process.
    pub fn grant(&mut self, id: ChunkId) {
        let Some(account) = self.accounts.get_mut(id.lease() as usize) else { return };
        debug_assert!(account.free() & account.populated & id.mask() != 0, "grant of a chunk that is not ready");
        let Some(generation) = account.generations.get_mut(id.bit() as usize) else { return };
        *generation = (*generation + 1) % GENERATIONS;
        account.taken_since[id.bit() as usize] = self.looked_ticks;
        account.ahead |= id.mask();
        account.adopted &= !id.mask();
        lease::grant(&self.mapping, self.id, account.lease, id, *generation);
    }

    /// Takes a granted chunk back; returns whether it is free now, `false` where a thread was faster.
    pub fn revoke(&mut self, id: ChunkId) -> bool {
        let Some(account) = self.accounts.get_mut(id.lease() as usize) else { return false };
        if account.ahead & id.mask() == 0 || !lease::revoke(&self.mapping, id) {
            return false;
        }
        account.ahead &= !id.mask();
        true
    }

    /// Notes that a chunk is retained.
    pub fn retain(&mut self, id: ChunkId) {
        if let Some(account) = self.accounts.get_mut(id.lease() as usize) {
            account.ahead &= !id.mask();
            account.open &= !id.mask();
            account.retained |= id.mask();
        }
    }

    /// Notes that a chunk is free again: evicted, empty, or of a dead process.
    pub fn free(&mut self, id: ChunkId) {
        if let Some(account) = self.accounts.get_mut(id.lease() as usize) {
            account.ahead &= !id.mask();
            account.open &= !id.mask();
            account.retained &= !id.mask();
        }
    }

    fn account(&self, id: ChunkId) -> Option<&Account> {
        self.accounts.get(id.lease() as usize)
    }
}

fn bits_of(mask: u64) -> impl Iterator<Item = u32> {
    (0..CHUNKS_PER_LEASE).filter(move |bit| mask >> bit & 1 == 1)
}
