//! What an adopted region must be like, for every course of its use and whatever somebody wrote into it.

use super::{AdoptError, Adopted, GENERATION_STEP};
use crate::region::{Free, Region};
use backsight_core::clock::ClockSource;
use backsight_core::ids::{AgentId, RegionId};
use backsight_core::sync::Ordering::Relaxed;
use backsight_core::units::Bytes;
use backsight_ringbuf::abi::{CHUNKS_PER_LEASE, ChunkId, Class, chunk, header, lease as abi_lease, lease_offset};
use backsight_ringbuf::abi::{slot as abi_slot, slot_offset};
use backsight_ringbuf::head::Head;
use backsight_ringbuf::lease::{self, Claimed};
use backsight_ringbuf::region::{CrumbRules, Identity};
use backsight_ringbuf::slot;
use backsight_ringbuf::storage::Storage as _;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};
use std::collections::BTreeMap;

fn identity() -> Identity {
    Identity {
        region: RegionId(5),
        agent: AgentId(7),
        pid: 1,
        start_time: 2,
        boot: [3, 4],
        n_slots: 8,
        clock: ClockSource::Monotonic,
        ticks_per_second: 1_000_000_000,
        crumbs: CrumbRules::default(),
    }
}

fn region() -> Region {
    Region::create(&identity(), Bytes::mib(16)).unwrap()
}

fn adopt(region: &Region) -> Result<Adopted, AdoptError> {
    Region::adopt(region.fd().try_clone_to_owned().unwrap(), &identity())
}

/// Grants a chunk as the recorder does.
fn grant(region: &mut Region, class: Class) -> Option<ChunkId> {
    let (Free::Populated(id) | Free::Bare(id)) = region.find_free(class) else { return None };
    region.populate(id).unwrap();
    region.grant(id);
    Some(id)
}

/// What a thread or the agent does next; numbers choose among what there is.
#[derive(Clone, Copy, Debug)]
enum Step {
    Grant(Class),
    Claim(Class),
    Write(usize),
    Seal(usize),
    Look,
    Evict(usize),
    Punch(usize),
    Revoke(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let class = || (0..3_usize).prop_map(|idx| Class::ALL[idx]);
    let number = any::<usize>;
    let step = prop_oneof![
        3 => class().prop_map(Step::Grant),
        3 => class().prop_map(Step::Claim),
        3 => number().prop_map(Step::Write),
        2 => number().prop_map(Step::Seal),
        1 => any::<bool>().prop_map(|_| Step::Look),
        1 => number().prop_map(Step::Evict),
        1 => number().prop_map(Step::Punch),
        1 => number().prop_map(Step::Revoke),
    ];
    prop::collection::vec(step, 0..120)
}

/// A region in use, and what its threads and its agent know.
struct InUse {
    region: Region,
    claimed: Vec<Claimed>,
    /// Sealed with data, and not overwritten since: with the generation.
    data: BTreeMap<ChunkId, u32>,
    /// The generation with which each chunk was granted last.
    generations: BTreeMap<ChunkId, u32>,
}

impl InUse {
    fn head(&self, at: u64) -> Head {
        Head::unpack(self.region.store().word(at + chunk::HEAD).load(Relaxed))
    }

    fn step(&mut self, step: Step) {
        let pick = |n: usize, of: &[ChunkId]| (!of.is_empty()).then(|| of[n % of.len()]);
        match step {
            Step::Grant(class) => {
                if let Some(id) = grant(&mut self.region, class) {
                    self.data.remove(&id);
                    self.generations.insert(id, self.region.generation_of(id).unwrap());
                }
            }
            Step::Claim(class) => self.claimed.extend(lease::claim(self.region.store(), class, 0)),
            Step::Write(n) if !self.claimed.is_empty() => {
                let at = self.claimed[n % self.claimed.len()].offset;
                let head = self.head(at);
                let head = Head { committed: (head.committed + 64).min(2048), ..head };
                self.region.store().word(at + chunk::HEAD).store(head.pack(), Relaxed);
            }
            Step::Seal(n) if !self.claimed.is_empty() => {
                let claimed = self.claimed.swap_remove(n % self.claimed.len());
                let head = self.head(claimed.offset);
                lease::seal(self.region.store(), claimed.id, claimed.offset);
                if head.committed > 64 {
                    self.data.insert(claimed.id, head.generation);
                }
            }
            Step::Write(_) | Step::Seal(_) => {}
            Step::Look => {
                for id in self.region.poll(1).sealed {
                    let has_data = self.region.chunk_info(id).is_some_and(|info| info.unwrap().has_data());
                    if has_data { self.region.retain(id) } else { self.region.free(id) }
                }
            }
            Step::Evict(n) => {
                let retained = self.region.collect(|account| account.retained);
                pick(n, &retained).into_iter().for_each(|id| self.region.free(id));
            }
            Step::Punch(n) => {
                if let Some(id) = pick(n, &self.region.free_chunks()) {
                    self.region.punch(id);
                    self.data.remove(&id);
                }
            }
            Step::Revoke(n) => {
                if let Some(id) = pick(n, &self.region.ahead_chunks()).filter(|id| self.region.revoke(*id)) {
                    self.region.punch(id);
                }
            }
        }
    }
}

proptest! {
    /// For every course of a region, whoever takes it over finds all data, leaves to threads what is theirs, and counts the same pages.
    #[test]
    fn the_account_is_read_from_the_region(steps in steps()) {
        let (claimed, data, generations) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut old = InUse { region: region(), claimed, data, generations };
        steps.into_iter().for_each(|step| old.step(step));
        let Adopted { region: mut new, mut sealed } = adopt(&old.region).unwrap();
        prop_assert_eq!(new.chunk_bytes(), old.region.chunk_bytes());
        prop_assert_eq!(new.n_leases(), old.region.n_leases());
        let theirs: Vec<ChunkId> = new.open_chunks();
        prop_assert!(old.claimed.iter().all(|claimed| theirs.contains(&claimed.id)), "what a thread fills is its own");
        prop_assert_eq!(new.n_retained() as usize, sealed.len());
        let polled = new.poll(1);
        prop_assert_eq!(polled.n_corrupt, 0);
        sealed.extend(polled.sealed);
        for (id, generation) in &old.data {
            prop_assert!(sealed.contains(id), "{id:?} holds data");
            prop_assert_eq!(new.generation_of(*id), Some(*generation));
        }
        // What is granted next has a name that nothing had before.
        for class in Class::ALL {
            if let Some(id) = grant(&mut new, class) {
                let before = old.generations.get(&id).copied().unwrap_or(0);
                prop_assert!(new.generation_of(id).unwrap() > before, "{id:?}");
            }
        }
    }

    /// For every region that somebody has scribbled over, it is refused, or whoever takes it over can work with it.
    #[test]
    fn a_region_that_was_scribbled_over_harms_nobody(
        steps in steps(),
        scribbles in prop::collection::vec((0..4_usize, any::<u32>(), prop_oneof![any::<u64>(), 0..70_000_u64]), 1..20),
    ) {
        let (claimed, data, generations) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        let mut old = InUse { region: region(), claimed, data, generations };
        steps.into_iter().for_each(|step| old.step(step));
        let store = old.region.store();
        for (where_to, place, value) in scribbles {
            let offset = match where_to {
                0 => u64::from(place) % header::BYTES,
                1 => lease_offset(place % 8) + u64::from(place >> 8) % abi_lease::BYTES,
                2 => lease_offset(place % 8) + abi_lease::OFFSET,
                _ => backsight_ringbuf::abi::SPAN_OFFSET + u64::from(place) % (1 << 20),
            };
            store.word(offset & !7).store(value, Relaxed);
        }
        let Ok(Adopted { region: mut new, sealed }) = adopt(&old.region) else { return Ok(()) };
        for id in sealed {
            if !matches!(new.chunk_info(id), Some(Ok(_))) {
                new.free(id);
            }
        }
        let _ = new.poll(1);
        for class in Class::ALL {
            grant(&mut new, class);
        }
        prop_assert!(new.next_offset <= new.store().bytes());
        prop_assert!(new.accounts.iter().all(|account| account.ahead & account.open & account.retained == 0));
    }
}

#[test]
fn a_chunk_without_pages_gets_a_generation_that_is_new() {
    let mut old = region();
    let id = grant(&mut old, Class::Small).unwrap();
    for _ in 0..40 {
        assert!(old.revoke(id));
        old.grant(id);
    }
    assert!(old.revoke(id));
    old.punch(id);
    let mut new = adopt(&old).unwrap().region;
    assert_eq!(grant(&mut new, Class::Small), Some(id));
    assert_eq!(new.generation_of(id), Some(GENERATION_STEP + 1));
    assert_eq!(CHUNKS_PER_LEASE as usize, new.accounts[0].generations.len());
}

/// A thread is held up between the two stores of its seal, for as long as it takes to evict what was sealed and to grant it again.
#[test]
fn a_seal_that_comes_late_never_meets_the_chunk_in_another_threads_hands() {
    let mut old = region();
    let id = grant(&mut old, Class::Small).unwrap();
    let store = |region: &Region, offset, value| region.store().word(offset).store(value, Relaxed);
    let late = slot::claim(old.store(), 1).unwrap();
    let claimed = lease::claim(old.store(), Class::Small, 0).unwrap();
    let named = (u64::from(id.code()) + 1) | (u64::from(claimed.generation) << 32);
    store(&old, slot_offset(late) + abi_slot::OPEN, named);
    let filled = Head { committed: 1024, last_segment: 64, generation: claimed.generation, sealed: true };
    store(&old, claimed.offset + chunk::HEAD, filled.pack());
    let Adopted { region: mut new, sealed } = adopt(&old).unwrap();
    assert_eq!((sealed.as_slice(), new.open_chunks()), (&[][..], vec![id]), "its thread has not let go of it");
    sealed.into_iter().for_each(|id| new.free(id)); // evicted
    grant(&mut new, Class::Small).unwrap();
    let other = lease::claim(new.store(), Class::Small, 0).unwrap();
    assert_eq!(new.poll(1).sealed, []);
    lease::seal(new.store(), id, claimed.offset);
    store(&new, slot_offset(late) + abi_slot::OPEN, 0);
    let polled = new.poll(1);
    assert_eq!((polled.sealed.as_slice(), polled.n_corrupt), (&[id][..], 0));
    assert_eq!(
        (new.open_chunks().contains(&other.id), other.id == id),
        (true, false),
        "another thread's stays its own"
    );
}

#[test]
fn a_chunk_that_a_slot_names_with_another_generation_is_indexed() {
    let mut old = region();
    let id = grant(&mut old, Class::Small).unwrap();
    let exited = slot::claim(old.store(), 1).unwrap();
    let claimed = lease::claim(old.store(), Class::Small, 0).unwrap();
    let named = (u64::from(id.code()) + 1) | (u64::from(claimed.generation - 1) << 32);
    old.store().word(slot_offset(exited) + abi_slot::OPEN).store(named, Relaxed);
    let filled = Head { committed: 1024, last_segment: 64, generation: claimed.generation, sealed: true };
    old.store().word(claimed.offset + chunk::HEAD).store(filled.pack(), Relaxed);
    assert_eq!(adopt(&old).unwrap().sealed, [id]);
}

#[test]
fn another_agents_region_and_other_files_are_refused() {
    let region = region();
    let fd = || region.fd().try_clone_to_owned().unwrap();
    let other = |change: fn(&mut Identity)| {
        let mut expected = identity();
        change(&mut expected);
        Region::adopt(fd(), &expected).unwrap_err()
    };
    assert!(matches!(other(|of| of.agent = AgentId(8)), AdoptError::Other { of: AgentId(7), .. }));
    assert!(matches!(other(|of| of.region = RegionId(6)), AdoptError::Other { found: RegionId(5), .. }));
    assert!(matches!(other(|of| of.boot = [3, 5]), AdoptError::Other { .. }));
    assert!(matches!(other(|of| of.clock = ClockSource::Tsc), AdoptError::Other { .. }));
    let file = tempfile::tempfile().unwrap();
    assert!(matches!(Region::adopt(file.into(), &identity()), Err(AdoptError::Memory(_))));
    let (_, empty) = backsight_ringbuf::shm::Mapping::create(4096).unwrap();
    assert!(matches!(Region::adopt(empty, &identity()), Err(AdoptError::Region(_))));
}
