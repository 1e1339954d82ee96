//! From the hash of a text to the row that has it, by open addressing: a look-up is one probe and one comparison.
//!
//! Called by the tables whose keys are texts. The rows hold the texts; what equal means is the caller's.

/// Rows by hash.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    /// A power of two of them, or none; at most half of them taken.
    places: Vec<Place>,
    n: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    hash: u32,
    row: u32,
}

const EMPTY: Place = Place { hash: 0, row: u32::MAX };
const PLACES_MIN: usize = 16;

impl Index {
    /// Returns the row with this hash for which `is_it` says so.
    #[inline]
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = hash as u32;
        let mask = self.places.len().checked_sub(1)?;
        let mut at = hash as usize & mask;
        loop {
            let place = self.places[at];
            if place.row == EMPTY.row {
                return None;
            }
            if place.hash == hash && is_it(place.row) {
                return Some(place.row);
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a row that is not there.
    pub(super) fn insert(&mut self, hash: u64, row: u32) {
        if (self.n + 1) * 2 > self.places.len() {
            let places = std::mem::take(&mut self.places);
            self.places = vec![EMPTY; (places.len() * 2).max(PLACES_MIN)];
            places.into_iter().filter(|place| place.row != EMPTY.row).for_each(|place| self.put(place));
        }
        self.put(Place { hash: hash as u32, row });
        self.n += 1;
    }

    fn put(&mut self, place: Place) {
        let mask = self.places.len() - 1;
        let mut at = place.hash as usize & mask;
        while self.places[at].row != EMPTY.row {
            at = (at + 1) & mask;
        }
        self.places[at] = place;
    }

    /// Returns the bytes that it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(self.places.as_slice())
    }
}
