//! The traces that came by last: a ring that any thread adds to and any thread reads, where nobody waits.
//!
//! Called by `set`; explored by `client/tests/loom.rs`. Knows no trigger and no agent.

use backsight_core::ids::TraceId;
use backsight_core::sync::AtomicU64;
use backsight_core::sync::Ordering::Relaxed;

/// Places for each trace that is asked for: some hold a trace again, or one that is being written.
const PLACES_PER_TRACE: usize = 4;

/// One trace of the ring.
///
/// # Shape
/// Three words, written one after the other with no lock: two threads that are a whole round apart may mix theirs. `check` is a hash of the
/// other two and of the ticket; words that do not belong together are taken for no trace.
///
/// # Source
/// R. M. Hyatt and T. Mann, "A lockless transposition-table implementation for parallel search", ICGA Journal 25 (2002).
#[derive(Debug)]
#[repr(align(32))]
struct Place {
    hi: AtomicU64,
    lo: AtomicU64,
    check: AtomicU64,
}

/// The traces that came by last.
///
/// # Shape
/// Four places of 32 bytes for each trace that is asked for, rounded up to a power of two; allocated by [`Recent::new`].
#[derive(Debug)]
pub(crate) struct Recent {
    /// The number of the next trace; its place is the number modulo the number of places.
    next: AtomicU64,
    places: Box<[Place]>,
}

// Relaxed throughout: a place's check says whether its words belong together, and which traces are found is a matter of moments anyway.
impl Recent {
    /// Returns a ring for the last `n_traces` traces.
    pub(crate) fn new(n_traces: usize) -> Self {
        Self::with_places(PLACES_PER_TRACE * n_traces.max(1).next_power_of_two())
    }

    /// Returns a ring of `n_places` places, a power of two.
    pub(crate) fn with_places(n_places: usize) -> Self {
        debug_assert!(n_places.is_power_of_two());
        let zero = || AtomicU64::new(0);
        let places = (0..n_places).map(|_| Place { hi: zero(), lo: zero(), check: zero() }).collect();
        Self { next: zero(), places }
    }

    /// Adds `trace`, unless it is none or the one that came last.
    ///
    /// # Cost
    /// One atomic add and three stores, on lines that all threads share; for the trace that came last four loads.
    #[inline]
    pub(crate) fn push(&self, trace: TraceId) {
        let before = self.next.load(Relaxed).wrapping_sub(1);
        if trace.is_none() || self.get(before) == Some(trace) {
            return;
        }
        let number = self.next.fetch_add(1, Relaxed);
        let place = self.place(number);
        place.hi.store(trace.hi, Relaxed);
        place.lo.store(trace.lo, Relaxed);
        place.check.store(check_of(trace, number), Relaxed);
    }

    /// Writes the traces that came last to `out`, newest first, each once and `except` not at all; returns how many there are.
    ///
    /// # Cost
    /// At most one look at each place, and a comparison with each trace found.
    pub(crate) fn copy_to(&self, out: &mut [TraceId], except: TraceId) -> usize {
        let next = self.next.load(Relaxed);
        let mut n_found = 0;
        for back in 1..=self.places.len() as u64 {
            let (found, room) = out.split_at_mut(n_found);
            let Some(first) = room.first_mut() else { break };
            let Some(trace) = self.get(next.wrapping_sub(back)) else { continue };
            if trace != except && !found.contains(&trace) {
                *first = trace;
                n_found += 1;
            }
        }
        n_found
    }

    /// Returns trace number `number`, unless it is not there yet, or another is in its place.
    #[inline]
    fn get(&self, number: u64) -> Option<TraceId> {
        let place = self.place(number);
        let trace = TraceId::new(place.hi.load(Relaxed), place.lo.load(Relaxed));
        (!trace.is_none() && place.check.load(Relaxed) == check_of(trace, number)).then_some(trace)
    }

    #[inline]
    fn place(&self, number: u64) -> &Place {
        &self.places[number as usize & (self.places.len() - 1)]
    }
}

/// Returns the hash that marks `trace` as number `number`: one multiplication, folded, as in wyhash (Wang Yi).
#[inline]
fn check_of(trace: TraceId, number: u64) -> u64 {
    let left = trace.lo ^ 0xa076_1d64_78bd_642f;
    let right = trace.hi ^ number.wrapping_mul(0xe703_7ed1_a0b4_28db) ^ 0x8ebc_6af0_9c88_c6e3;
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(all(test, not(loom)))]
mod tests;
