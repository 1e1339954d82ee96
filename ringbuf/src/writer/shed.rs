//! What the write path leaves out while the agent has threads record less than all: whole traces, and records by their detail level.
//!
//! Called by [`Writer`] alone, and only where a threshold is not 0, or on its cold path. Which traces are shed is in [`region::Shed`].

use super::{PENDING, SHED, Writer};
use crate::region;
use crate::storage::Storage;
use backsight_core::ids::TraceId;
use backsight_core::record::{Level, SEG_BYTES, SEG_END_BYTES, seg_flags};
use backsight_core::telemetry::DropReason;

impl<S: Storage> Writer<S> {
    /// Returns whether nothing of the active trace is recorded, because of its priority.
    #[inline]
    pub fn is_shed(&self) -> bool {
        match self.pending {
            SHED => true,
            PENDING => self.sheds_trace(self.segment.trace), // what its first record will find
            _ => false,
        }
    }

    /// Returns whether a segment of `trace` that begins now is not recorded.
    pub(super) fn sheds_trace(&self, trace: TraceId) -> bool {
        self.store.bytes() != 0 && region::sheds_trace(&self.store, trace)
    }

    /// Has the active segment, of which nothing stands in the log, not be recorded. Only the counter tells of it.
    pub(super) fn shed_segment(&mut self) {
        self.pending = SHED;
        self.count_drop(DropReason::Priority);
    }

    /// Returns whether a record of `level` is left out, with its whole segment or alone. What is left out alone the segment tells of.
    pub(super) fn leaves_out(&mut self, now: u64, level: Level) -> bool {
        if self.limit == 0 && self.is_shed() {
            if self.pending != SHED {
                self.shed_segment();
            }
            return true;
        }
        level != Level::Always && self.sheds(now, level)
    }

    /// Returns whether a record of `level` is left out of the active segment, which then tells of it.
    #[cold]
    #[inline(never)]
    pub(super) fn sheds(&mut self, now: u64, level: Level) -> bool {
        if self.store.bytes() == 0 {
            return false;
        }
        if self.detail_priority == 0 {
            self.detail_priority = region::detail_priority(&self.store, self.segment.trace);
        }
        let sheds = region::sheds_level(&self.store, self.detail_priority, level);
        if sheds {
            self.tell_of_shed(now, level);
        }
        sheds
    }

    /// Says in the flags of the visit's segment that records of `level` were left out, once for each visit; where it has no segment yet, it
    /// gets one for that. Where there is no chunk for it, the record counts as lost, as one that found none would.
    fn tell_of_shed(&mut self, now: u64, level: Level) {
        let bits = (level as u32) << seg_flags::DETAIL_SHIFT;
        let joined = seg_flags::join(self.segment.carried.flags, bits);
        if joined == self.segment.carried.flags {
            return;
        }
        if self.limit != 0 || self.make_room(now, 0) {
            self.mark(bits);
        } else {
            self.lose(now, SEG_BYTES + SEG_END_BYTES);
        }
    }
}
