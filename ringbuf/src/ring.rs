//! The signal ring of a thread slot: triggers and crumbs from one thread to the agent, all or nothing.
//!
//! One producer (the slot's thread), one consumer (the agent). Entries are written before the tail moves, so a thread that dies in between
//! leaves nothing that the agent would wait for.

use crate::abi::{LATERALS_MAX, RING_ENTRIES, RING_ENTRY_BYTES, slot, slot_offset};
use crate::storage::Storage;
use backsight_core::ids::{AgentId, SpanId, TraceId, TriggerId};
use backsight_core::record::CrumbDirection;
use backsight_core::sync::Ordering::{Acquire, Relaxed, Release};

const TRIGGER: u64 = 1;
const LATERALS: u64 = 2;
const CRUMB: u64 = 3;
const ELSEWHERE: u64 = 4;
const LATERALS_PER_ENTRY: usize = 3;
const WORDS: u64 = RING_ENTRY_BYTES / 8;

/// What a thread tells its agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Signal {
    /// A trigger fired.
    Trigger {
        /// Which.
        trigger: TriggerId,
        /// For which trace.
        trace: TraceId,
        /// When, in ticks.
        ticks: u64,
        /// Traces to collect with it.
        laterals: Vec<TraceId>,
    },
    /// A trigger fired on another host: the request says so, or the answer to one.
    Elsewhere {
        /// Which, 0 where that is not known.
        trigger: TriggerId,
        /// For which trace.
        trace: TraceId,
        /// When it was heard of, in ticks.
        ticks: u64,
    },
    /// A breadcrumb that no log record carries, or that is needed at once.
    Crumb {
        /// Of which trace.
        trace: TraceId,
        /// The other agent.
        agent: AgentId,
        /// Which way.
        direction: CrumbDirection,
        /// The span that made the call, 0 for none.
        span: SpanId,
        /// When, in ticks.
        ticks: u64,
    },
}

/// The ring held something that its writer could not have written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signal ring of thread slot {slot} is corrupt: head {head}, tail {tail}")]
pub struct CorruptRing {
    /// The thread slot.
    pub slot: u32,
    /// Entries ever taken.
    pub head: u64,
    /// Entries ever written, as the client says.
    pub tail: u64,
}

/// Writes a trigger and its laterals, of which at most [`LATERALS_MAX`] are taken. Called by the slot's thread only.
///
/// Returns whether there was room; where there was not, nothing is written.
///
/// # Cost
/// `1 + ceil(n / 3)` entries of 64 bytes; waits for nobody.
pub fn push_trigger<S: Storage>(
    store: &S,
    number: u32,
    trigger: TriggerId,
    trace: TraceId,
    ticks: u64,
    laterals: &[TraceId],
) -> bool {
    let laterals = &laterals[..laterals.len().min(LATERALS_MAX)];
    let n_entries = 1 + laterals.len().div_ceil(LATERALS_PER_ENTRY) as u64;
    let Some(tail) = room(store, number, n_entries) else { return false };
    let first = TRIGGER | (laterals.len() as u64) << 8 | u64::from(trigger.0) << 32;
    put(store, number, tail, &[first, ticks, trace.hi, trace.lo]);
    for (idx, some) in laterals.chunks(LATERALS_PER_ENTRY).enumerate() {
        let mut words = [0; WORDS as usize];
        words[0] = LATERALS | (some.len() as u64) << 8;
        for (pair, lateral) in words[1..].chunks_mut(2).zip(some) {
            pair.copy_from_slice(&[lateral.hi, lateral.lo]);
        }
        put(store, number, tail.wrapping_add(1 + idx as u64), &words);
    }
    publish(store, number, tail.wrapping_add(n_entries));
    true
}

/// Writes that a trigger fired on another host, 0 for one that is not known. Called by the slot's thread only. Returns whether there was room.
pub fn push_elsewhere<S: Storage>(store: &S, number: u32, trigger: TriggerId, trace: TraceId, ticks: u64) -> bool {
    let Some(tail) = room(store, number, 1) else { return false };
    put(store, number, tail, &[ELSEWHERE | u64::from(trigger.0) << 32, ticks, trace.hi, trace.lo]);
    publish(store, number, tail.wrapping_add(1));
    true
}

/// Writes a crumb. Called by the slot's thread only. Returns whether there was room.
pub fn push_crumb<S: Storage>(
    store: &S,
    number: u32,
    trace: TraceId,
    agent: AgentId,
    direction: CrumbDirection,
    span: SpanId,
    ticks: u64,
) -> bool {
    let Some(tail) = room(store, number, 1) else { return false };
    let first = CRUMB | (direction as u64) << 8 | u64::from(agent.0) << 32;
    put(store, number, tail, &[first, ticks, trace.hi, trace.lo, span.0]);
    publish(store, number, tail.wrapping_add(1));
    true
}

/// Returns the tail where `n_entries` fit, `None` where they do not.
fn room<S: Storage>(store: &S, number: u32, n_entries: u64) -> Option<u64> {
    let at = slot_offset(number);
    let tail = store.word(at + slot::RING_TAIL).load(Relaxed); // only this thread writes it
    let head = store.word(at + slot::RING_HEAD).load(Acquire); // pairs with `pop`: entries below are free to overwrite
    (tail.wrapping_sub(head).saturating_add(n_entries) <= RING_ENTRIES).then_some(tail)
}

fn put<S: Storage>(store: &S, number: u32, entry: u64, words: &[u64]) {
    let at = entry_offset(number, entry);
    for (idx, word) in words.iter().enumerate() {
        store.word(at + 8 * idx as u64).store(*word, Relaxed); // published by the tail
    }
}

fn publish<S: Storage>(store: &S, number: u32, tail: u64) {
    store.word(slot_offset(number) + slot::RING_TAIL).store(tail, Release); // pairs with `pop`
}

const fn entry_offset(number: u32, entry: u64) -> u64 {
    slot_offset(number) + slot::RING + entry % RING_ENTRIES * RING_ENTRY_BYTES
}

/// Takes the next signal. Agent only.
///
/// # Errors
/// [`CorruptRing`] where the tail or an entry is not what the writer's code could leave; everything written so far is skipped.
pub fn pop<S: Storage>(store: &S, number: u32) -> Result<Option<Signal>, CorruptRing> {
    let at = slot_offset(number);
    let head = store.word(at + slot::RING_HEAD).load(Relaxed); // only the agent writes it
    let tail = store.word(at + slot::RING_TAIL).load(Acquire); // pairs with `publish`
    let available = tail.wrapping_sub(head);
    if available == 0 {
        return Ok(None);
    }
    let read = (available <= RING_ENTRIES).then(|| read_signal(store, number, head, available)).flatten();
    let next = read.as_ref().map_or(tail, |(_, n_entries)| head.wrapping_add(*n_entries));
    store.word(at + slot::RING_HEAD).store(next, Release); // pairs with `room`
    match read {
        Some((signal, _)) => Ok(Some(signal)),
        None => Err(CorruptRing { slot: number, head, tail }),
    }
}

/// Reads the signal at `head` and how many entries it has; `None` where it is malformed.
fn read_signal<S: Storage>(store: &S, number: u32, head: u64, available: u64) -> Option<(Signal, u64)> {
    let word = |entry: u64, idx: u64| store.word(entry_offset(number, entry) + 8 * idx).load(Relaxed); // acquired by `pop`
    let first = word(head, 0);
    let (ticks, trace) = (word(head, 1), TraceId::new(word(head, 2), word(head, 3)));
    let id = (first >> 32) as u32;
    match first & 0xff {
        TRIGGER => {
            let n_laterals = (first >> 8 & 0xff) as usize;
            let n_entries = 1 + n_laterals.div_ceil(LATERALS_PER_ENTRY) as u64;
            if n_laterals > LATERALS_MAX || n_entries > available {
                return None;
            }
            let lateral = |i: usize| {
                let entry = head.wrapping_add(1 + (i / LATERALS_PER_ENTRY) as u64);
                let pair = 2 * (i % LATERALS_PER_ENTRY) as u64;
                TraceId::new(word(entry, pair + 1), word(entry, pair + 2))
            };
            let laterals = (0..n_laterals).map(lateral).collect();
            Some((Signal::Trigger { trigger: TriggerId(id), trace, ticks, laterals }, n_entries))
        }
        ELSEWHERE => Some((Signal::Elsewhere { trigger: TriggerId(id), trace, ticks }, 1)),
        CRUMB => {
            let direction = CrumbDirection::from_code((first >> 8) as u8)?;
            let span = SpanId(word(head, 4));
            Some((Signal::Crumb { trace, agent: AgentId(id), direction, span, ticks }, 1))
        }
        _ => None,
    }
}
