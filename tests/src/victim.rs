//! A process that writes until it is killed, and its ground truth: what the kill storm checks the recorder against.
//!
//! The victim (`bench/bks-victim.rs`) says in a file of its own how many records each thread intends before it writes them, and how many
//! are done after; both survive SIGKILL in the page cache. What is found must lie between, without a gap, byte for byte.

pub mod storm;
pub mod truth;

use backsight::TraceId;

/// Records that a victim writes at most, all its threads together: some 32 MiB, which no agent of the storm evicts. A machine that stalls lets
/// victims live for long.
pub const RECORDS_MAX: u64 = 200_000;
/// Records of one thread that go to one trace, so that an answer stays small.
pub const EPOCH_RECORDS: u64 = 256;

/// Names one thread of one victim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writer {
    /// The victim.
    pub victim: u64,
    /// The thread; those of a forked child follow the parent's.
    pub thread: u32,
}

impl Writer {
    /// Returns the trace that record `seq` of this thread belongs to.
    #[must_use]
    pub fn trace(self, seq: u64) -> TraceId {
        TraceId::new(self.victim, (u64::from(self.thread) + 1) << 40 | (seq / EPOCH_RECORDS))
    }

    /// Writes the payload of record `seq` to `buffer`: the number, then bytes that follow from it.
    pub fn payload(self, seq: u64, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&seq.to_le_bytes());
        let mixed = (seq ^ self.victim.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let len = match mixed % 64 {
            0 => 2000 + mixed % 4000, // now and then one that is cut into fragments
            _ => mixed % 120,
        };
        buffer.extend((0..len).map(|i| (mixed.wrapping_add(i * 7)) as u8));
    }
}
