//! Interned strings of a region: written once, read by id, never changed.
//!
//! Any thread may intern; each claims a descriptor and room for the bytes with one `fetch_add` each, copies, and publishes the descriptor
//! last. A death in between leaves an unused id, never a broken table.

use crate::abi::{STRING_BYTES, STRING_BYTES_OFFSET, STRING_DESCRIPTOR_BYTES, STRING_MAX_BYTES, STRINGS_MAX};
use crate::abi::{STRINGS_OFFSET, strings};
use crate::storage::Storage;
use backsight_core::ids::StringId;
use backsight_core::record::align8;
use backsight_core::sync::Ordering::{Acquire, Relaxed, Release};

/// Ids searched for an equal string, newest first: an intern stays under some microseconds, and a repeated string costs 16 bytes more.
const SEARCH_IDS: u64 = 4096;
const READY: u64 = 1 << 32;

/// Returns the id of `text`, writing it where it is new; `None` where it is empty, longer than [`STRING_MAX_BYTES`], or the table is full.
///
/// `hash` is a hash of `text`, the same for equal texts; callers keep the id, so that a call site interns once.
///
/// # Cost
/// One read per id searched, at most 4096; no allocation, no wait.
pub fn intern<S: Storage>(store: &S, text: &[u8], hash: u32) -> Option<StringId> {
    let len = text.len() as u64;
    if text.is_empty() || len > STRING_MAX_BYTES {
        return None;
    }
    if let Some(id) = find(store, text, hash) {
        return Some(id);
    }
    let ids = store.word(STRINGS_OFFSET + strings::CURSOR_IDS);
    let bytes = store.word(STRINGS_OFFSET + strings::CURSOR_BYTES);
    let room = align8(len);
    // Relaxed, all: the cursors only hand out places; READY publishes what stands there.
    let fits = |place: u64| place.is_multiple_of(8) && place <= STRING_BYTES - room;
    if ids.load(Relaxed) >= u64::from(STRINGS_MAX) - 1 || !fits(bytes.load(Relaxed)) {
        return None;
    }
    let id = ids.fetch_add(1, Relaxed).wrapping_add(1);
    let place = bytes.fetch_add(room, Relaxed);
    if id == 0 || id >= u64::from(STRINGS_MAX) || !fits(place) {
        return None; // others were faster to the end of the table, or somebody scribbled over it
    }
    // SAFETY: `place` is a word's and `place + room <= STRING_BYTES`, so the bytes lie in the string area, which `SPAN_OFFSET` ends; `fetch_add` made the place
    // ours alone, and nobody reads it before READY.
    unsafe { store.copy_in(STRING_BYTES_OFFSET + place, text) };
    let descriptor = descriptor_offset(id);
    store.word(descriptor).store(place | len << 32, Relaxed); // published by READY
    store.word(descriptor + 8).store(u64::from(hash) | READY, Release); // pairs with `find` and `get`
    Some(StringId(id as u32))
}

fn find<S: Storage>(store: &S, text: &[u8], hash: u32) -> Option<StringId> {
    let newest = store.word(STRINGS_OFFSET + strings::CURSOR_IDS).load(Relaxed).min(u64::from(STRINGS_MAX) - 1); // a hint
    let oldest = newest.saturating_sub(SEARCH_IDS) + 1;
    let wanted = u64::from(hash) | READY;
    let equal = |id: &u64| {
        let ready = store.word(descriptor_offset(*id) + 8).load(Acquire); // pairs with `intern`
        ready == wanted && place(store, *id).is_some_and(|(at, len)| holds(store, at, len, text))
    };
    (oldest..=newest).rev().find(equal).map(|id| StringId(id as u32))
}

/// Returns whether the `len` bytes at `at` are `text`.
fn holds<S: Storage>(store: &S, at: u64, len: u64, text: &[u8]) -> bool {
    let word_holds = |(idx, piece): (usize, &[u8])| {
        let word = store.word(at + 8 * idx as u64).load(Relaxed).to_le_bytes(); // acquired with READY
        word.get(..piece.len()) == Some(piece)
    };
    len == text.len() as u64 && text.chunks(8).enumerate().all(word_holds)
}

/// Returns where the string of descriptor `id` stands and its length, checked against the string area.
fn place<S: Storage>(store: &S, id: u64) -> Option<(u64, u64)> {
    let word = store.word(descriptor_offset(id)).load(Relaxed); // acquired with READY
    let (place, len) = (word & 0xffff_ffff, word >> 32);
    let sound = place.is_multiple_of(8) && len <= STRING_MAX_BYTES && place + align8(len) <= STRING_BYTES;
    sound.then_some((STRING_BYTES_OFFSET + place, len))
}

/// Returns the bytes of string `id`, or `None` where nobody has published it or its descriptor is corrupt.
pub fn get<S: Storage>(store: &S, id: StringId) -> Option<Vec<u8>> {
    if id.is_none() || id.0 >= STRINGS_MAX {
        return None;
    }
    let ready = store.word(descriptor_offset(u64::from(id.0)) + 8).load(Acquire); // pairs with `intern`
    let (at, len) = (ready & READY != 0).then(|| place(store, u64::from(id.0)))??;
    let words = (0..len.div_ceil(8)).map(|i| store.word(at + 8 * i).load(Relaxed)); // acquired with READY
    let mut bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    bytes.truncate(len as usize);
    Some(bytes)
}

/// Returns the strings that were published with hash `hash`, oldest first: mostly one or none, but whoever writes the table may make it all.
///
/// # Cost
/// One read per id ever claimed, at most 65 534 of 16 bytes each, and a copy of each string that is returned, at most [`STRING_MAX_BYTES`].
pub fn with_hash<S: Storage>(store: &S, hash: u32) -> impl Iterator<Item = Vec<u8>> {
    // Relaxed: a hint; strings that are claimed meanwhile are found by the next look.
    let newest = store.word(STRINGS_OFFSET + strings::CURSOR_IDS).load(Relaxed).min(u64::from(STRINGS_MAX) - 1);
    let wanted = u64::from(hash) | READY;
    let is_it = move |id: &u64| store.word(descriptor_offset(*id) + 8).load(Relaxed) == wanted; // acquired by `get`
    (1..=newest).filter(is_it).filter_map(|id| get(store, StringId(id as u32)))
}

/// Returns whether half of the table is free: the other half is for names that a program has as it is built, whatever it makes up as it runs.
pub fn is_half_free<S: Storage>(store: &S) -> bool {
    let taken = |cursor: u64| store.word(STRINGS_OFFSET + cursor).load(Relaxed); // a hint
    taken(strings::CURSOR_IDS) < u64::from(STRINGS_MAX) / 2 && taken(strings::CURSOR_BYTES) < STRING_BYTES / 2
}

/// Returns whether nobody has interned a string yet.
pub fn is_empty<S: Storage>(store: &S) -> bool {
    store.word(STRINGS_OFFSET + strings::CURSOR_IDS).load(Relaxed) == 0 // a hint, unless the table is not shared yet
}

/// Copies every string of `from` to the same ids of `to`, whose table is empty: a forked child's cached ids stay valid. Agent only.
pub fn copy_table<F: Storage, T: Storage>(from: &F, to: &T) {
    let claimed = from.word(STRINGS_OFFSET + strings::CURSOR_IDS).load(Acquire).min(u64::from(STRINGS_MAX) - 1); // a snapshot
    let mut cursor = 0;
    for id in 1..=claimed {
        let ready = from.word(descriptor_offset(id) + 8).load(Acquire); // pairs with `intern`
        let Some(text) = get(from, StringId(id as u32)) else { continue };
        let room = align8(text.len() as u64);
        if cursor + room > STRING_BYTES {
            break; // only a hostile table overlaps itself
        }
        // SAFETY: within the string area (checked above); the child has not been given the region yet.
        unsafe { to.copy_in(STRING_BYTES_OFFSET + cursor, &text) };
        to.word(descriptor_offset(id)).store(cursor | (text.len() as u64) << 32, Relaxed); // published by READY
        to.word(descriptor_offset(id) + 8).store(ready & 0xffff_ffff | READY, Release); // pairs with `get`
        cursor += room;
    }
    to.word(STRINGS_OFFSET + strings::CURSOR_BYTES).store(cursor, Relaxed); // the region is not shared yet
    to.word(STRINGS_OFFSET + strings::CURSOR_IDS).store(claimed, Relaxed); // as above
}

const fn descriptor_offset(id: u64) -> u64 {
    STRINGS_OFFSET + id * STRING_DESCRIPTOR_BYTES
}

const _: () = assert!(strings::PLACE == STRING_DESCRIPTOR_BYTES && strings::READY == strings::PLACE + 8);
