//! Which thread slots of a region are looked at: those that are taken and have a page.
//!
//! Called by the region. That a slot is taken is its process's word, and a look at one that nobody ever wrote to would make its page, at this
//! process's expense: sixteen mebibytes for a few bits in the header.

use super::Region;
use backsight_ringbuf::abi::{SLOTS_MAX, slot_offset};
use backsight_ringbuf::shm;
use backsight_ringbuf::slot;
use std::cell::Cell;
use std::os::fd::AsFd as _;

/// The slots that were seen to have a page, a bit for each.
#[derive(Debug)]
pub(super) struct Seen([Cell<u64>; (SLOTS_MAX / 64) as usize]);

impl Default for Seen {
    fn default() -> Self {
        Self([const { Cell::new(0) }; (SLOTS_MAX / 64) as usize])
    }
}

impl Seen {
    fn word(&self, number: u32) -> Option<&Cell<u64>> {
        self.0.get((number / 64) as usize)
    }
}

impl Region {
    /// Returns the numbers of the taken slots whose threads have written to them, ascending.
    ///
    /// # Cost
    /// 64 words, and a system call for each slot that was not seen before.
    pub fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        slot::taken(&self.mapping).filter(|number| self.has_page(*number))
    }

    fn has_page(&self, number: u32) -> bool {
        let (bit, at) = (1 << (number % 64), slot_offset(number));
        let Some(word) = self.seen.word(number) else { return false };
        if word.get() & bit == 0 {
            let written = shm::written_from(self.fd.as_fd(), at);
            if !matches!(written, Ok(Some((start, _))) if start == at) {
                return false; // its thread is just claiming it: it is there at the next look
            }
            word.set(word.get() | bit);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use crate::region::Region;
    use backsight_core::clock::ClockSource;
    use backsight_core::ids::{AgentId, RegionId};
    use backsight_core::sync::Ordering::Relaxed;
    use backsight_core::units::Bytes;
    use backsight_ringbuf::abi::{SLOTS_MAX, header};
    use backsight_ringbuf::region::{CrumbRules, Identity};
    use backsight_ringbuf::slot;
    use backsight_ringbuf::storage::Storage as _;

    #[test]
    fn slots_that_nobody_wrote_to_are_not_looked_at_and_get_no_page() {
        let identity = Identity {
            region: RegionId(1),
            agent: AgentId(1),
            pid: 1,
            start_time: 1,
            boot: [1, 2],
            n_slots: SLOTS_MAX,
            clock: ClockSource::Monotonic,
            ticks_per_second: 1_000_000_000,
            crumbs: CrumbRules::default(),
        };
        let mut region = Region::create(&identity, Bytes::mib(8)).unwrap();
        let own = slot::claim(region.store(), 7).unwrap();
        region.measure();
        let before = region.fixed_bytes();
        for word in 0..u64::from(SLOTS_MAX / 64) {
            region.store().word(header::SLOT_BITS + 8 * word).store(u64::MAX, Relaxed);
        }
        assert_eq!(region.slots().collect::<Vec<_>>(), [own]);
        assert!(!region.has_signals());
        region.measure();
        assert_eq!(region.fixed_bytes(), before);
        let late = 1234;
        let bits = region.store().word(header::SLOT_BITS + 8 * (late / 64));
        bits.fetch_and(!(1 << (late % 64)), Relaxed);
        region.store().word(header::SLOT_BITS).store(u64::MAX, Relaxed);
        let claimed = slot::claim(region.store(), 8).unwrap();
        assert_eq!((u64::from(claimed), region.slots().collect::<Vec<_>>()), (late, vec![own, claimed]));
    }
}
