//! Thread slots: claiming, exit and reuse; the context that probes read; drop counters; last words.
//!
//! A slot is taken by setting its bit in the region header and freed by the agent alone, after it has drained what the thread left.

use crate::abi::{LAST_WORDS_FRAMES, SLOTS_MAX, header, slot, slot_offset};
use crate::storage::Storage;
use backsight_core::ids::TraceId;
use backsight_core::segment::LastWords;
use backsight_core::sync::AtomicU64;
use backsight_core::sync::Ordering::{AcqRel, Acquire, Relaxed, Release};
use backsight_core::telemetry::{DROP_COUNTERS, DropReason};

/// The bit of the state word that says that the thread has exited.
pub const EXITED: u64 = 1 << 63;

/// What the state word of a taken slot says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Taken, and its thread has not said who it is: it is just starting, or died there.
    Unnamed,
    /// In use by that thread.
    Live {
        /// The thread id as its process says it.
        tid: u32,
    },
    /// The thread has exited and writes no more.
    Exited {
        /// The thread id as its process said it.
        tid: u32,
    },
}

fn bits<S: Storage>(store: &S, word: u32) -> &AtomicU64 {
    store.word(header::SLOT_BITS + 8 * u64::from(word % (SLOTS_MAX / 64)))
}

/// Takes a free slot for thread `tid`; `None` when all are taken.
///
/// # Cost
/// At most 64 words, each tried until it is full; waits for nobody.
pub fn claim<S: Storage>(store: &S, tid: u32) -> Option<u32> {
    let n_slots = store.word(header::N_SLOTS).load(Relaxed).min(u64::from(SLOTS_MAX)) as u32; // constant once mapped
    for word in 0..n_slots.div_ceil(64) {
        let usable = if n_slots - 64 * word >= 64 { u64::MAX } else { (1 << (n_slots - 64 * word)) - 1 };
        let taken = bits(store, word);
        let mut free = !taken.load(Relaxed) & usable; // a hint only: fetch_or decides
        while free != 0 {
            let mask = free & free.wrapping_neg();
            let before = taken.fetch_or(mask, AcqRel); // acquires the agent's cleaning in `release`
            if before & mask == 0 {
                let number = 64 * word + mask.trailing_zeros();
                store.word(slot_offset(number) + slot::STATE).store(u64::from(tid), Release); // pairs with `state`
                return Some(number);
            }
            free &= !before;
        }
    }
    count_refused(store);
    None
}

/// Counts a write that was refused because its thread has no slot.
pub fn count_refused<S: Storage>(store: &S) {
    store.word(header::NO_SLOT).fetch_add(1, Relaxed); // a statistic
}

/// Returns how many writes were refused because their threads have no slot.
pub fn refused<S: Storage>(store: &S) -> u64 {
    store.word(header::NO_SLOT).load(Relaxed) // a statistic
}

/// Says that the slot's thread is gone. Its last call; everything it wrote is visible to whoever sees the state.
pub fn exit<S: Storage>(store: &S, number: u32) {
    let state = store.word(slot_offset(number) + slot::STATE);
    let word = state.load(Relaxed); // only this thread and, after it, the agent write it
    state.store(word | EXITED, Release); // pairs with `state`
}

/// Returns the state of slot `number`, `None` while it is free.
pub fn state<S: Storage>(store: &S, number: u32) -> Option<State> {
    let taken = bits(store, number / 64).load(Acquire) >> (number % 64) & 1 == 1; // pairs with `claim`
    if number >= SLOTS_MAX || !taken {
        return None;
    }
    let word = store.word(slot_offset(number) + slot::STATE).load(Acquire); // pairs with `claim` and `exit`
    let tid = word as u32;
    Some(match word {
        0 => State::Unnamed,
        _ if word & EXITED != 0 => State::Exited { tid },
        _ => State::Live { tid },
    })
}

/// Returns what the thread of slot `number` says of the chunk that it fills: its id + 1 in bits 0-31, its generation in 32-63; 0 for none.
pub fn open<S: Storage>(store: &S, number: u32) -> u64 {
    // Pairs with the writer's release stores: who sees a chunk let go of sees its sealed bit.
    store.word(slot_offset(number % SLOTS_MAX) + slot::OPEN).load(Acquire)
}

/// Returns the numbers of the taken slots, ascending.
pub fn taken<S: Storage>(store: &S) -> impl Iterator<Item = u32> + '_ {
    (0..SLOTS_MAX / 64).flat_map(move |word| {
        let mut left = bits(store, word).load(Acquire); // pairs with `claim`
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros())?;
            left &= left - 1;
            Some(64 * word + bit)
        })
    })
}

/// Cleans an exited slot and frees it. Agent only, after it has taken the ring, the counters and the loss interval.
pub fn release<S: Storage>(store: &S, number: u32) {
    let at = slot_offset(number);
    let cleaned = [slot::STATE, slot::OPEN, slot::WORDS_SIGNAL, slot::RING_TAIL, slot::RING_HEAD, slot::LOSS_RECORDS];
    // Relaxed: published by the bit below. SEQ_API stays, so that a probe never sees a change number twice.
    let context = [slot::TRACE_HI, slot::TRACE_LO, slot::SPAN];
    let drops = (0..DROP_COUNTERS as u64).map(|i| slot::DROPS + 8 * i);
    for offset in cleaned.into_iter().chain(context).chain(drops) {
        store.word(at + offset).store(0, Relaxed);
    }
    bits(store, number / 64).fetch_and(!(1 << (number % 64)), Release); // pairs with the fetch_or in `claim`
}

/// Counts a drop in slot `number`. Called by its thread only.
pub fn count_drop<S: Storage>(store: &S, number: u32, reason: DropReason) {
    let counter = store.word(slot_offset(number) + slot::DROPS + 8 * reason as u64);
    counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed); // one writer; a statistic
}

/// Counts a drop in slot `number`, from a signal handler of its thread, which may have interrupted another one that does the same.
pub fn count_drop_in_handler<S: Storage>(store: &S, number: u32, reason: DropReason) {
    let counter = store.word(slot_offset(number) + slot::DROPS + 8 * reason as u64);
    counter.fetch_add(1, Relaxed); // a statistic; the thread itself counts other reasons
}

/// Returns the drop counters of slot `number`, by reason code.
pub fn drops<S: Storage>(store: &S, number: u32) -> [u64; DROP_COUNTERS] {
    let at = slot_offset(number % SLOTS_MAX) + slot::DROPS;
    std::array::from_fn(|i| store.word(at + 8 * i as u64).load(Relaxed)) // statistics
}

/// Records that a thread lost and that no LOST record tells of yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UntoldLoss {
    /// How many.
    pub n_records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Ticks of the first.
    pub first_ticks: u64,
    /// Ticks of the last.
    pub last_ticks: u64,
}

/// Returns what the thread of slot `number` lost since its last LOST record, `None` where that is nothing.
///
/// Of a thread that runs this is a snapshot whose words may be of neighbouring moments; of a dead one it is exact.
pub fn untold_loss<S: Storage>(store: &S, number: u32) -> Option<UntoldLoss> {
    let at = slot_offset(number % SLOTS_MAX);
    let get = |offset| store.word(at + offset).load(Relaxed); // statistics; of exited threads acquired with their state
    let n_records = get(slot::LOSS_RECORDS);
    let (first_ticks, last_ticks) = (get(slot::LOSS_FIRST), get(slot::LOSS_LAST));
    (n_records != 0).then(|| UntoldLoss { n_records, bytes: get(slot::LOSS_BYTES), first_ticks, last_ticks })
}

/// The context of a thread: what it works for right now.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Context {
    /// The active trace, [`TraceId::NONE`] outside a segment.
    pub trace: TraceId,
    /// The innermost open span.
    pub span: u64,
    /// Ticks of the last change.
    pub changed: u64,
}

/// Returns the context of slot `number`, or `None` where it changes this very moment.
///
/// Of a thread that runs, this is a snapshot; of a dead or sleeping one, its last word.
pub fn context<S: Storage>(store: &S, number: u32) -> Option<Context> {
    let at = slot_offset(number % SLOTS_MAX);
    let seq = || store.word(at + slot::SEQ_API).load(Acquire) as u32; // pairs with the writer's release stores
    let before = seq();
    // Acquire: not after the second read of the change number.
    let load = |offset| store.word(at + offset).load(Acquire);
    let trace = TraceId::new(load(slot::TRACE_HI), load(slot::TRACE_LO));
    let span = load(slot::SPAN);
    let span = if trace.is_none() { 0 } else { span }; // the thread leaves there what it last worked on
    let context = Context { trace, span, changed: load(slot::CHANGED) };
    (before.is_multiple_of(2) && before == seq()).then_some(context)
}

/// Writes the last words of a dying thread and its return addresses, innermost first. Async-signal-safe: allocates nothing.
pub fn say_last_words<S: Storage>(store: &S, number: u32, words: &LastWords, frames: &[u64]) {
    let at = slot_offset(number % SLOTS_MAX);
    // Relaxed: published by the signal's number.
    let put = |offset, value| store.word(at + offset).store(value, Relaxed);
    put(slot::WORDS_ADDRESS, words.address);
    put(slot::WORDS_INSTRUCTION, words.instruction);
    put(slot::WORDS_TRACE_HI, words.trace.hi);
    put(slot::WORDS_TRACE_LO, words.trace.lo);
    put(slot::WORDS_TICKS, words.ticks);
    put(slot::WORDS_N_FRAMES, frames.len().min(LAST_WORDS_FRAMES) as u64);
    for (i, frame) in frames.iter().take(LAST_WORDS_FRAMES).enumerate() {
        put(slot::WORDS_FRAMES + 8 * i as u64, *frame);
    }
    let signal = store.word(at + slot::WORDS_SIGNAL);
    signal.store(u64::from(words.signal), Release); // pairs with `last_words`
}

/// Takes back the last words of slot `number`: its thread lives on.
pub fn take_back_last_words<S: Storage>(store: &S, number: u32) {
    let signal = store.word(slot_offset(number % SLOTS_MAX) + slot::WORDS_SIGNAL);
    signal.store(0, Release); // pairs with `last_words`
}

/// Returns the last words of slot `number`, `None` where its thread left none.
pub fn last_words<S: Storage>(store: &S, number: u32) -> Option<LastWords> {
    let at = slot_offset(number % SLOTS_MAX);
    let signal = store.word(at + slot::WORDS_SIGNAL).load(Acquire); // pairs with `say_last_words`
    let get = |offset| store.word(at + offset).load(Relaxed); // acquired with the signal
    let n_frames = get(slot::WORDS_N_FRAMES).min(LAST_WORDS_FRAMES as u64);
    (signal != 0).then(|| LastWords {
        signal: signal as u32,
        address: get(slot::WORDS_ADDRESS),
        instruction: get(slot::WORDS_INSTRUCTION),
        trace: TraceId::new(get(slot::WORDS_TRACE_HI), get(slot::WORDS_TRACE_LO)),
        ticks: get(slot::WORDS_TICKS),
        frames: (0..n_frames).map(|i| get(slot::WORDS_FRAMES + 8 * i)).collect(),
    })
}
