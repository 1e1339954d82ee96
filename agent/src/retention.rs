//! What is retained and in which order it goes: one queue of sealed chunks for the host, by seal time, oldest first.
//!
//! Called by the recorder. Pure. A process or a user over its share may lose its own oldest first, so chunks can leave from the middle;
//! they leave a gap that the front skips.

use backsight_core::units::Bytes;
use backsight_ringbuf::abi::{ChunkId, Class};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Whose data is meant.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owner {
    /// That of the process with the region at this position.
    Process(u32),
    /// That of all processes of this user, by its number.
    User(u32),
}

/// A sealed chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Its region's position.
    pub region: u32,
    /// The user whose process wrote it.
    pub uid: u32,
    /// The chunk.
    pub chunk: ChunkId,
    /// How often it had been granted.
    pub generation: u32,
    /// Its class.
    pub class: Class,
    /// Ticks of its last record.
    pub last_ticks: u64,
    /// The index position of its first segment.
    pub first_entry: u64,
    /// How many segments it has.
    pub n_entries: u32,
}

/// All sealed chunks of a host.
#[derive(Debug, Default)]
pub struct Retention {
    queue: VecDeque<Option<Sealed>>,
    /// The number of the queue's front; numbers never repeat.
    front: u64,
    of_owner: BTreeMap<Owner, Held>,
    bytes: u64,
    n_entries: u64,
}

/// What is retained of one owner: never empty.
#[derive(Debug, Default)]
struct Held {
    numbers: BTreeSet<u64>,
    bytes: u64,
    n_entries: u64,
}

impl Sealed {
    const fn owners(&self) -> [Owner; 2] {
        [Owner::Process(self.region), Owner::User(self.uid)]
    }
}

impl Retention {
    /// Appends a chunk that was sealed after all others.
    pub fn push(&mut self, sealed: Sealed) {
        let number = self.front + self.queue.len() as u64;
        for owner in sealed.owners() {
            let held = self.of_owner.entry(owner).or_default();
            held.numbers.insert(number);
            held.bytes += sealed.class.bytes();
            held.n_entries += u64::from(sealed.n_entries);
        }
        self.bytes += sealed.class.bytes();
        self.n_entries += u64::from(sealed.n_entries);
        self.queue.push_back(Some(sealed));
    }

    /// Takes the oldest chunk of the host.
    pub fn pop_oldest(&mut self) -> Option<Sealed> {
        self.take(self.front)
    }

    /// Takes the oldest chunk of one owner.
    pub fn pop_oldest_of(&mut self, owner: Owner) -> Option<Sealed> {
        let number = *self.of_owner.get(&owner)?.numbers.first()?;
        self.take(number)
    }

    fn take(&mut self, number: u64) -> Option<Sealed> {
        let place = usize::try_from(number - self.front).ok()?;
        let sealed = self.queue.get_mut(place)?.take()?;
        for owner in sealed.owners() {
            let Some(held) = self.of_owner.get_mut(&owner) else { continue };
            held.numbers.remove(&number);
            held.bytes -= sealed.class.bytes();
            held.n_entries -= u64::from(sealed.n_entries);
            if held.numbers.is_empty() {
                self.of_owner.remove(&owner);
            }
        }
        self.bytes -= sealed.class.bytes();
        self.n_entries -= u64::from(sealed.n_entries);
        while let Some(None) = self.queue.front() {
            self.queue.pop_front();
            self.front += 1;
        }
        Some(sealed)
    }

    /// Returns the oldest chunk of the host.
    pub fn oldest(&self) -> Option<&Sealed> {
        self.queue.front()?.as_ref()
    }

    /// Returns the retained chunks of a region, newest first.
    pub fn of_region(&self, region: u32) -> impl Iterator<Item = &Sealed> {
        let held = self.of_owner.get(&Owner::Process(region));
        let numbers = held.into_iter().flat_map(|held| held.numbers.iter().rev());
        numbers.filter_map(|number| self.queue.get(usize::try_from(number - self.front).ok()?)?.as_ref())
    }

    /// Returns the number that the next chunk gets: those of retained ones are below.
    pub fn end(&self) -> u64 {
        self.front + self.queue.len() as u64
    }

    /// Returns the first retained chunk whose number is not below `number`, with its number.
    ///
    /// # Cost
    /// Constant, but for chunks that left from the middle and are skipped.
    pub fn from_number(&self, number: u64) -> Option<(u64, &Sealed)> {
        let start = number.max(self.front);
        let place = usize::try_from(start - self.front).ok()?;
        let mut after = (start..).zip(self.queue.iter().skip(place));
        after.find_map(|(number, sealed)| Some((number, sealed.as_ref()?)))
    }

    /// Returns all retained chunks, oldest first, so that their index positions can be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Sealed> {
        self.queue.iter_mut().flatten()
    }

    /// Returns the bytes of the retained chunks of one owner.
    pub fn bytes_of(&self, owner: Owner) -> Bytes {
        Bytes(self.of_owner.get(&owner).map_or(0, |held| held.bytes))
    }

    /// Returns the segments of the retained chunks of one owner.
    pub fn n_entries_of(&self, owner: Owner) -> u64 {
        self.of_owner.get(&owner).map_or(0, |held| held.n_entries)
    }

    /// Returns the segments of all retained chunks.
    pub const fn n_entries(&self) -> u64 {
        self.n_entries
    }

    /// Returns the bytes of all retained chunks.
    pub const fn bytes(&self) -> Bytes {
        Bytes(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, Retention, Sealed};
    use backsight_ringbuf::abi::{ChunkId, Class};
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    fn sealed(n: u64, region: u32) -> Sealed {
        let class = if n.is_multiple_of(3) { Class::Large } else { Class::Small };
        let chunk = ChunkId::new(0, 0);
        Sealed { region, uid: region / 2, chunk, generation: 1, class, last_ticks: n, first_entry: n, n_entries: 2 }
    }

    proptest! {
        /// For every sequence of seals and evictions, chunks leave oldest first, of the host, of the process, or of the user that was named.
        #[test]
        fn the_queue_agrees_with_a_sorted_list(steps in prop::collection::vec((any::<u8>(), 0_u32..4), 1..300)) {
            let (mut queue, mut model) = (Retention::default(), Vec::<Sealed>::new());
            for (n, (step, region)) in (0_u64..).zip(steps) {
                let is_of = |owner| move |sealed: &Sealed| sealed.owners().contains(&owner);
                let (process, user) = (Owner::Process(region), Owner::User(region / 2));
                match step % 5 {
                    0 | 1 => {
                        queue.push(sealed(n, region));
                        model.push(sealed(n, region));
                    }
                    2 => {
                        let oldest = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(queue.pop_oldest(), oldest);
                    }
                    n => {
                        let owner = if n == 3 { process } else { user };
                        let place = model.iter().position(is_of(owner));
                        prop_assert_eq!(queue.pop_oldest_of(owner), place.map(|place| model.remove(place)));
                    }
                }
                prop_assert_eq!(queue.oldest(), model.first());
                let first = queue.from_number(0);
                prop_assert_eq!(first.map(|(_, sealed)| sealed), model.first());
                let mut numbered = std::iter::successors(first, |(number, _)| queue.from_number(number + 1));
                prop_assert!(model.iter().all(|sealed| numbered.next().map(|(_, sealed)| sealed) == Some(sealed)));
                prop_assert!(numbered.next().is_none() && queue.from_number(queue.end()).is_none());
                prop_assert_eq!(queue.n_entries(), 2 * model.len() as u64);
                for owner in [process, user] {
                    let bytes: Vec<_> = model.iter().filter(|sealed| is_of(owner)(sealed)).map(|of| of.class.bytes()).collect();
                    prop_assert_eq!(queue.n_entries_of(owner), 2 * bytes.len() as u64);
                    prop_assert_eq!(queue.bytes_of(owner).0, bytes.iter().sum::<u64>());
                }
                prop_assert_eq!(queue.bytes().0, model.iter().map(|sealed| sealed.class.bytes()).sum::<u64>());
                let newest_first: Vec<_> = model.iter().rev().filter(|sealed| sealed.region == region).collect();
                prop_assert_eq!(queue.of_region(region).collect::<Vec<_>>(), newest_first);
            }
        }
    }
}
