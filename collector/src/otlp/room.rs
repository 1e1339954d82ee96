//! The memory that requests in flight take together: bounded, and whoever wants more than is left is refused at once.
//!
//! Called by what receives requests, for each piece that comes in. Nobody waits for room, so nobody can wait for ever.

use super::counts::Counts;
use std::sync::atomic::Ordering::Relaxed; // a sum, which guards no other memory

/// All memory that there is for requests. Clones are of the same.
#[derive(Clone, Debug)]
pub(crate) struct Rooms {
    /// Hold the sum.
    counts: Counts,
    max_bytes: usize,
}

/// No room is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Full;

impl Rooms {
    pub(crate) const fn new(max_bytes: usize, counts: Counts) -> Self {
        Self { counts, max_bytes }
    }

    /// Returns a room without any memory yet.
    pub(crate) fn room(&self) -> Room {
        Room { rooms: self.clone(), bytes: 0 }
    }
}

/// The memory of one request; free again once this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    rooms: Rooms,
    bytes: usize,
}

impl Room {
    /// Takes as much as makes it `bytes`.
    ///
    /// # Errors
    /// There is not so much left; what it has stays.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), Full> {
        let more = bytes.saturating_sub(self.bytes);
        let sum = |used: usize| used.checked_add(more).filter(|sum| *sum <= self.rooms.max_bytes);
        self.rooms.counts.in_flight_bytes().fetch_update(Relaxed, Relaxed, sum).map_err(|_| Full)?;
        self.bytes += more;
        Ok(())
    }

    /// Gives back what is more than `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.rooms.counts.in_flight_bytes().fetch_sub(less, Relaxed);
        self.bytes -= less;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::{Full, Rooms};
    use crate::otlp::counts::Counts;
    use std::sync::atomic::Ordering::Relaxed;

    #[test]
    fn no_more_is_taken_than_there_is_and_all_of_it_comes_back() {
        let counts = Counts::default();
        let used = || counts.in_flight_bytes().load(Relaxed);
        let rooms = Rooms::new(100, counts.clone());
        let (mut a, mut b) = (rooms.room(), rooms.room());
        assert_eq!((a.grow_to(60), b.grow_to(40), a.grow_to(61)), (Ok(()), Ok(()), Err(Full)));
        assert_eq!((a.grow_to(usize::MAX), used()), (Err(Full), 100));
        assert_eq!(a.grow_to(10), Ok(()), "it has more already");
        a.shrink_to(50);
        assert_eq!((b.grow_to(50), used()), (Ok(()), 100));
        drop(a);
        assert_eq!(used(), 50);
        drop(b);
        assert_eq!(used(), 0);
    }
}
