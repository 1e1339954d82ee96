//! The words by which threads of one process hand things to each other without a lock: a session, which of its blocks counts, the slab, and
//! the blocks of it.
//!
//! Called by `process` and `slab`; explored by `client/tests/loom.rs`. Knows no session and no agent: what is handed over is a parameter.

use backsight_core::sync::{AtomicPtr, AtomicU32, Ordering, UnsafeCell};

const NONE: u32 = 0;
const BUSY: u32 = 1;
const READY: u32 = 2;
/// What was published counts no more, and is still read by those who found it ready.
const OVER: u32 = 3;

/// A value that one thread at a time tries to make, and that everybody reads once it is there.
///
/// # Shape
/// Where zero is a valid `T`, all zero is the state in which nothing is published.
#[derive(Debug)]
pub(crate) struct Published<T> {
    state: AtomicU32,
    value: UnsafeCell<T>,
}

// SAFETY: the state word orders each write of the value before every read; see `read`, `attempt` and `renew`.
unsafe impl<T: Send + Sync> Sync for Published<T> {}

impl<T> Published<T> {
    /// Returns a value that is not published.
    #[cfg(loom)]
    pub(crate) fn new(value: T) -> Self {
        Self { state: AtomicU32::new(NONE), value: UnsafeCell::new(value) }
    }

    /// Reads the value if it is published.
    ///
    /// # Cost
    /// One load.
    #[inline(always)]
    pub(crate) fn read<R>(&self, read: impl FnOnce(&T) -> R) -> Option<R> {
        // Acquire: pairs with the release store in `attempt`.
        if self.state.load(Ordering::Acquire) != READY {
            return None;
        }
        // SAFETY: it was published, and whoever calls `renew` knows that nobody reads it any more.
        let get = |value: *const T| read(unsafe { &*value });
        Some(self.value.with(get))
    }

    /// Returns whether the value is published.
    ///
    /// # Cost
    /// One load, which orders nothing: it says nothing of what was published.
    #[inline(always)]
    pub(crate) fn is_published(&self) -> bool {
        self.state.load(Ordering::Relaxed) == READY // as above
    }

    /// Makes the value by `make`, and publishes it where that went well. Returns `None`, without a try, where the value is there or over, or
    /// another thread makes it. What a try that failed leaves in the value, the next one finds.
    ///
    /// `make` must return: the state that it leaves otherwise is nobody's.
    pub(crate) fn attempt<R, E>(&self, make: impl FnOnce(&mut T) -> Result<R, E>) -> Option<Result<R, E>> {
        // Acquire: pairs with the release store below, of the try before.
        self.state.compare_exchange(NONE, BUSY, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // SAFETY: this thread moved the state to BUSY, in which nobody else uses the value.
        let set = |value: *mut T| make(unsafe { &mut *value });
        let made = self.value.with_mut(set);
        let next = if made.is_ok() { READY } else { NONE };
        self.state.store(next, Ordering::Release); // pairs with `read`, or with the exchange of the next try
        Some(made)
    }

    /// Ends what is published: nobody finds it any more. Returns what `last` does with it, `None` where another thread ended it, or there is
    /// nothing.
    pub(crate) fn end<R>(&self, last: impl FnOnce(&T) -> R) -> Option<R> {
        // Acquire: pairs with the release store in `attempt`.
        self.state.compare_exchange(READY, OVER, Ordering::Acquire, Ordering::Relaxed).ok()?;
        // SAFETY: as in `read`; others may still read it.
        let get = |value: *const T| last(unsafe { &*value });
        Some(self.value.with(get))
    }

    /// Makes this ready for another try, once `prepare` has made the value what the first try expects.
    ///
    /// Called before anybody looks here, or after all who did have gone: what tells the others to look here publishes this, too.
    pub(crate) fn renew(&self, prepare: impl FnOnce(&mut T)) {
        // SAFETY: nobody else uses the value, see above.
        let set = |value: *mut T| prepare(unsafe { &mut *value });
        self.value.with_mut(set);
        self.state.store(NONE, Ordering::Relaxed); // published with what leads here
    }
}

/// Which of several blocks counts.
#[derive(Debug, Default)]
pub(crate) struct Current(pub(crate) AtomicU32);

impl Current {
    /// Returns the number of the block that counts.
    #[inline(always)]
    pub(crate) fn number(&self) -> usize {
        self.0.load(Ordering::Acquire) as usize // pairs with `move_to`
    }

    /// Returns the number that follows, of `n`. For the one thread that may call [`Current::move_to`] next.
    pub(crate) fn following(&self, n: usize) -> usize {
        (self.0.load(Ordering::Relaxed) as usize + 1) % n // nobody else changes it meanwhile
    }

    /// Has another block count, with all that was written to it. One thread at a time: the one that ended what the block before held.
    pub(crate) fn move_to(&self, number: usize) {
        self.0.store(number as u32, Ordering::Release); // pairs with `number`
    }
}

/// Memory that is made by whoever needs it first.
#[derive(Debug, Default)]
pub(crate) struct MadeOnce<T> {
    pub(crate) made: AtomicPtr<T>,
    /// 1 once it could not be made.
    pub(crate) is_refused: AtomicU32,
}

impl<T> MadeOnce<T> {
    /// Returns the memory, made by `make` at the first call; `None` where that failed, now or before. Where two threads make it at once, one
    /// `unmake`s its own.
    ///
    /// # Cost
    /// One load once it is made; two where it could not be.
    #[inline]
    pub(crate) fn get(&self, make: impl FnOnce() -> Option<*mut T>, unmake: impl FnOnce(*mut T)) -> Option<*mut T> {
        let made = self.made.load(Ordering::Acquire); // pairs with the exchange in `make`
        if made.is_null() { self.make(make, unmake) } else { Some(made) }
    }

    #[cold]
    fn make(&self, make: impl FnOnce() -> Option<*mut T>, unmake: impl FnOnce(*mut T)) -> Option<*mut T> {
        if self.is_refused.load(Ordering::Relaxed) != 0 {
            return None; // a switch that is only ever turned on
        }
        let Some(made) = make() else {
            self.is_refused.store(1, Ordering::Relaxed); // as above
            return None;
        };
        match self.made.compare_exchange(std::ptr::null_mut(), made, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Some(made),
            Err(other) => {
                unmake(made);
                Some(other) // another thread was faster
            }
        }
    }
}

/// Takes one of the blocks that `owned` tells of, looking from number `start` on; returns its number. All that who had it before wrote is seen.
pub(crate) fn take_one(owned: &[AtomicU32], start: usize) -> Option<usize> {
    let numbers = (0..owned.len()).map(|i| (start + i) % owned.len());
    let is_taken = |number: &usize| {
        let word = &owned[*number];
        // Acquire: pairs with `give_back`. The load before it is a hint.
        word.load(Ordering::Relaxed) == 0 && word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    numbers.into_iter().find(is_taken)
}

/// Gives back what [`take_one`] took.
pub(crate) fn give_back(owned: &AtomicU32) {
    owned.store(0, Ordering::Release); // pairs with the exchange in `take_one`
}
