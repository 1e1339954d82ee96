//! Reading what threads say that they lost: from LOST records of chunks, and from the slots of those that have not told yet.
//!
//! Called by the recorder at each seal, ten times a second, at the end of a thread, and when a trigger asks. What a client says is bounded
//! by the present; a client that lies makes traces of its host partial, never complete.

use super::{Member, Now, Recorder};
use crate::collect;
use crate::losses::Lost;
use backsight_core::record::seg_flags;
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::{CHUNK_HEADER_BYTES, ChunkId};
use backsight_ringbuf::reader::{ChunkInfo, SegmentInfo};
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::slot;

impl Recorder {
    /// Reads the LOST records of a chunk that is being indexed, unless they were read while it was open.
    pub(super) fn note_losses(
        &mut self,
        position: u32,
        id: ChunkId,
        info: &ChunkInfo,
        segments: &[SegmentInfo],
        now: Now,
    ) {
        let Some(member) = self.members.get_mut(position as usize).and_then(Option::as_mut) else { return };
        let was_read = member.told.remove(&id.code()) == Some(info.head.generation);
        for lost in losses_of(member, id, info, segments).into_iter().filter(|_| !was_read || info.lost == 0) {
            self.losses.add(lost.clamped(now.ticks));
        }
    }

    /// Reads what threads lost and that no sealed chunk tells of: LOST records in open chunks, and slots.
    pub(super) fn look_at_losses(&mut self, now: Now) {
        let mut open = Vec::new();
        for member in self.members.iter_mut().flatten().filter(|member| member.is_live) {
            let store = member.region.store();
            open.extend(member.region.slots().filter_map(|number| untold(store, number, now)));
            for id in member.region.open_chunks() {
                let Some(Ok(info)) = member.region.chunk_info(id) else { continue };
                if info.lost == 0 || !info.has_data() || member.told.get(&id.code()) == Some(&info.head.generation) {
                    continue;
                }
                let (segments, _) = collect::segments_of(&member.region, id, &info);
                let told = losses_of(member, id, &info, &segments);
                if !told.is_empty() {
                    member.told.insert(id.code(), info.head.generation);
                    told.into_iter().for_each(|lost| self.losses.add(lost.clamped(now.ticks)));
                }
            }
        }
        self.losses.set_open(open);
    }

    /// Takes what threads of an ended process, or ended threads, lost and did not tell.
    pub(super) fn take_untold(&mut self, position: u32, numbers: &[u32], now: Now) {
        let Some(member) = self.members.get(position as usize).and_then(Option::as_ref) else { return };
        let store = member.region.store();
        for lost in numbers.iter().filter_map(|number| untold(store, *number, now)) {
            self.losses.add(lost);
        }
    }
}

/// Returns what the LOST records of a chunk tell: the one before its first segment, and those in segments that are marked.
fn losses_of(member: &Member, id: ChunkId, info: &ChunkInfo, segments: &[SegmentInfo]) -> Vec<Lost> {
    let mut lost = Vec::new();
    if info.lost != 0 {
        let first = segments.first().map_or(info.head.committed, |segment| segment.offset);
        lost.extend(collect::losses_in(&member.region.copy(id, CHUNK_HEADER_BYTES as u32, first)));
    }
    for segment in segments.iter().filter(|segment| segment.flags & seg_flags::LOSS != 0) {
        lost.extend(collect::losses_in(&member.region.copy(id, segment.offset, segment.end)));
    }
    lost
}

fn untold(store: &Mapping, number: u32, now: Now) -> Option<Lost> {
    let untold = slot::untold_loss(store, number)?;
    let lost = Lost {
        first_ticks: untold.first_ticks,
        last_ticks: untold.last_ticks,
        reason: Some(DropReason::NoChunk),
        n_records: untold.n_records,
        bytes: untold.bytes,
    };
    Some(lost.clamped(now.ticks))
}
