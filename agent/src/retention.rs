//! What is retained and in which order it goes: one queue of sealed chunks for the host, by seal time, oldest first.
//!
//! Called by the recorder. Pure. A process that is over its share may lose its own oldest first, so chunks can leave from the middle;
//! they leave a gap that the front skips.

use backsight_core::units::Bytes;
use backsight_ringbuf::abi::{ChunkId, Class};
use std::collections::{BTreeMap, VecDeque};

/// A sealed chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sealed {
    /// Its region's position.
    pub region: u32,
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
    of_region: BTreeMap<u32, VecDeque<u64>>,
    bytes: u64,
    n_entries: u64,
}

impl Retention {
    /// Appends a chunk that was sealed after all others.
    pub fn push(&mut self, sealed: Sealed) {
        let number = self.front + self.queue.len() as u64;
        self.of_region.entry(sealed.region).or_default().push_back(number);
        self.bytes += sealed.class.bytes();
        self.n_entries += u64::from(sealed.n_entries);
        self.queue.push_back(Some(sealed));
    }

    /// Takes the oldest chunk of the host.
    pub fn pop_oldest(&mut self) -> Option<Sealed> {
        let region = self.queue.front()?.as_ref()?.region;
        self.pop_oldest_of(region)
    }

    /// Takes the oldest chunk of one region.
    pub fn pop_oldest_of(&mut self, region: u32) -> Option<Sealed> {
        let numbers = self.of_region.get_mut(&region)?;
        let number = numbers.pop_front()?;
        if numbers.is_empty() {
            self.of_region.remove(&region);
        }
        let place = usize::try_from(number - self.front).ok()?;
        let sealed = self.queue.get_mut(place)?.take()?;
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
        let numbers = self.of_region.get(&region).into_iter().flatten().rev();
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
    use super::{Retention, Sealed};
    use backsight_ringbuf::abi::{ChunkId, Class};
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    fn sealed(n: u64, region: u32) -> Sealed {
        let class = if n.is_multiple_of(3) { Class::Large } else { Class::Small };
        Sealed { region, chunk: ChunkId::new(0, 0), generation: 1, class, last_ticks: n, first_entry: n, n_entries: 2 }
    }

    proptest! {
        /// For every sequence of seals and evictions, chunks leave oldest first, of the host or of the region that was named.
        #[test]
        fn the_queue_agrees_with_a_sorted_list(steps in prop::collection::vec((any::<u8>(), 0_u32..4), 1..300)) {
            let (mut queue, mut model) = (Retention::default(), Vec::<Sealed>::new());
            for (n, (step, region)) in (0_u64..).zip(steps) {
                match step % 4 {
                    0 | 1 => {
                        queue.push(sealed(n, region));
                        model.push(sealed(n, region));
                    }
                    2 => {
                        let oldest = (!model.is_empty()).then(|| model.remove(0));
                        prop_assert_eq!(queue.pop_oldest(), oldest);
                    }
                    _ => {
                        let place = model.iter().position(|sealed| sealed.region == region);
                        prop_assert_eq!(queue.pop_oldest_of(region), place.map(|place| model.remove(place)));
                    }
                }
                prop_assert_eq!(queue.oldest(), model.first());
                let first = queue.from_number(0);
                prop_assert_eq!(first.map(|(_, sealed)| sealed), model.first());
                let mut numbered = std::iter::successors(first, |(number, _)| queue.from_number(number + 1));
                prop_assert!(model.iter().all(|sealed| numbered.next().map(|(_, sealed)| sealed) == Some(sealed)));
                prop_assert!(numbered.next().is_none() && queue.from_number(queue.end()).is_none());
                prop_assert_eq!(queue.n_entries(), 2 * model.len() as u64);
                prop_assert_eq!(queue.bytes().0, model.iter().map(|sealed| sealed.class.bytes()).sum::<u64>());
                let newest_first: Vec<_> = model.iter().rev().filter(|sealed| sealed.region == region).collect();
                prop_assert_eq!(queue.of_region(region).collect::<Vec<_>>(), newest_first);
            }
        }
    }
}
