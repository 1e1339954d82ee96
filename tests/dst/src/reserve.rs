//! Whether what a process writes while its agent is away fits what was granted ahead.
//!
//! Kept by hosts. It counts what threads need at most, and of the agent it knows only what that promises (ADR 0003), not what it did: a reserve
//! that is too small breaks what must hold, and a burst that is too large does not.

use backsight_agent::demand::{FLOOR_CHUNKS, IDLE_CHUNKS};
use std::collections::BTreeMap;

/// Bytes of a small chunk that records surely find room in: without its header, and without the room of its end.
const ROOM_BYTES: u64 = 3_840;

/// What a process has written since its agent last looked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Spent {
    bytes: BTreeMap<u32, u64>,
    /// Whether the agent has seen it write.
    is_known: bool,
}

impl Spent {
    /// A thread has written at most so many bytes.
    pub fn write(&mut self, thread: u32, bytes: u64) {
        *self.bytes.entry(thread).or_default() += bytes;
    }

    /// Returns whether it may have needed more chunks than it was promised: each thread one at first, and one more for each that it filled.
    #[must_use]
    pub fn is_more_than_promised(&self) -> bool {
        let n_chunks: u64 = self.bytes.values().map(|bytes| 1 + bytes / ROOM_BYTES).sum();
        n_chunks > u64::from(if self.is_known { FLOOR_CHUNKS[0] } else { IDLE_CHUNKS })
    }

    /// The agent looks, and grants what was used up.
    pub fn seen(&mut self) {
        self.is_known |= !self.bytes.is_empty();
        self.bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::{ROOM_BYTES, Spent};

    #[test]
    fn a_process_is_promised_sixteen_chunks_and_more_once_it_was_seen_to_write() {
        let mut spent = Spent::default();
        (0..16).for_each(|thread| spent.write(thread, 100));
        assert!(!spent.is_more_than_promised());
        spent.write(3, ROOM_BYTES);
        assert!(spent.is_more_than_promised());
        spent.seen();
        (0..64).for_each(|thread| spent.write(thread, 100));
        assert!(!spent.is_more_than_promised());
        spent.write(64, 1);
        assert!(spent.is_more_than_promised());
    }
}
