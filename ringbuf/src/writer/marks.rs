//! What becomes known of a segment after its SEG record is committed: bits of its flags, which readers of an open chunk see too.
//!
//! Called by the write path where something is lost, left out or ended, and by the client where a trigger fires.

use super::Writer;
use crate::storage::Storage;
use backsight_core::context::BEYOND_MAX;
use backsight_core::ids::{AgentId, TriggerId};
use backsight_core::record::{Kind, SEG_BYTES, seg_flags};
use backsight_core::sync::Ordering::{Relaxed, Release};

impl<S: Storage> Writer<S> {
    /// Joins bits of [`seg_flags`] to those of the active segment, where readers of an open chunk see them too.
    pub fn mark(&mut self, bits: u32) {
        self.segment.carried.flags = seg_flags::join(self.segment.carried.flags, bits);
        if self.limit != 0 {
            self.mark_last(bits);
        }
    }

    /// Joins bits of [`seg_flags`] to those of the active segment, the open chunk's last, to which nothing is added any more. It gets longer by that: whoever
    /// has copied it copies it again.
    pub(super) fn mark_at_end(&mut self, bits: u32) {
        self.segment.carried.flags = seg_flags::join(self.segment.carried.flags, bits);
        self.mark_last(bits);
        self.put(0, Kind::Pad, 0, &[], &[]); // in `END_ROOM`
    }

    /// Joins bits of [`seg_flags`] to those of the open chunk's last segment; there is one.
    fn mark_last(&self, bits: u32) {
        let at = self.head + u64::from(self.last_segment()) + SEG_BYTES - 8;
        let word = self.store.word(at);
        let before = word.load(Relaxed); // one writer
        let joined = seg_flags::join((before >> 32) as u32, bits);
        word.store(u64::from(before as u32) | u64::from(joined) << 32, Release); // a reader sees the bits or not yet
    }

    /// Says that `trigger` fired for the active trace: in its segment's flags, and for the requests that go out from it.
    pub fn mark_fired(&mut self, trigger: TriggerId) {
        self.mark(seg_flags::FIRED);
        let known = &mut self.segment.carried.triggers;
        if !known.contains(&trigger)
            && let Some(free) = known.iter_mut().find(|known| known.0 == 0)
        {
            *free = trigger;
        }
    }

    /// Says where the active visit's calls were answered from: see [`super::Carried::beyond`].
    pub fn set_beyond(&mut self, beyond: [AgentId; BEYOND_MAX]) {
        self.segment.carried.beyond = beyond;
    }
}
