//! Room in the index: chunks that go because their segments fill it, and the rebuilding of an index full of holes.
//!
//! Called where a chunk is indexed. A process whose segments are tiny fills the index long before its memory; its pages stay, as it would
//! fault them in again and again.

use super::{Now, Recorder};
use crate::retention::{Owner, Sealed};

impl Recorder {
    /// Makes room in an index that is nearly full. Where the process at `position`, or its user, has more than its share of it and another's chunk
    /// would go too young, its own go, down to half of the share: then the index is rebuilt seldom.
    pub(super) fn make_index_room(&mut self, position: u32, now: Now) {
        let Some(excess) = self.excess_of(position, now, |owner| self.index_share(owner)) else {
            return self.compact_index();
        };
        while self.index_share(excess.owner) > excess.share / 2.0
            && let Some(evicted) = self.pop_oldest_of(excess.owner)
        {
            self.note_gone_for_index(&evicted, now);
        }
        self.rebuild_index();
    }

    /// Evicts the oldest chunk because the index has no room, unless it is the one that is being indexed.
    pub(super) fn evict_for_index(&mut self, indexing_from: u64, now: Now) -> bool {
        if self.retention.oldest().is_none_or(|sealed| sealed.first_entry >= indexing_from) {
            return false;
        }
        let Some(evicted) = self.pop_oldest() else { return false };
        self.note_gone_for_index(&evicted, now);
        true
    }

    fn note_gone_for_index(&mut self, evicted: &Sealed, now: Now) {
        self.totals.evicted_for_index += 1;
        self.note_gone(evicted, now);
        self.n_spare += 1;
    }

    /// Returns what an owner has of the index, as a share.
    fn index_share(&self, owner: Owner) -> f64 {
        self.retention.n_entries_of(owner) as f64 / self.index.entries_max() as f64
    }

    /// Rebuilds the index where entries of chunks that were evicted out of turn are most of it: the oldest chunk pins all that came after it.
    fn compact_index(&mut self) {
        if self.retention.n_entries() <= self.index.n_entries() / 2 {
            self.rebuild_index();
        }
    }

    /// Rebuilds the index without the entries of chunks that were evicted out of turn.
    fn rebuild_index(&mut self) {
        let mut compact = self.index.emptied();
        for sealed in self.retention.iter_mut() {
            let first_entry = compact.head();
            for (trace, place) in self.index.run(sealed.first_entry, sealed.n_entries) {
                compact.push(trace, place);
            }
            sealed.first_entry = first_entry;
        }
        self.index = compact;
    }
}
