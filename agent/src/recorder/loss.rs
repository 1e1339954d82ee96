//! Reading what threads say that they lost: from LOST records of chunks, and from the slots of those that have not told yet. And what cannot
//! be read at all, as a process damaged it.
//!
//! Called by the recorder at each seal, ten times a second, at the end of a thread, and when a trigger asks. What a client says is bounded
//! by the present; a client that lies makes traces of its host partial, never complete; one that damages its region those that may have been there.

use super::{Member, Now, Recorder};
use crate::collect;
use crate::losses::Lost;
use backsight_core::ids::{RegionId, TraceId};
use backsight_core::record::seg_flags;
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::{CHUNK_HEADER_BYTES, ChunkId};
use backsight_ringbuf::reader::{ChunkInfo, SegmentInfo};
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::slot;
use std::collections::BTreeSet;

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

    /// Notes that what a chunk held cannot be read: since it was taken, its process may have written for any trace there.
    pub(super) fn note_damage(&mut self, position: u32, id: ChunkId, now: Now) {
        let Some(region) = self.member(position).map(|member| &member.region) else { return };
        self.damage.add(region.id(), region.taken_since(id), now.ticks);
    }

    /// Notes that a process runs on of which nothing more is taken.
    pub fn open_damage(&mut self, region: RegionId, now: Now) {
        self.damage.open(region, now.ticks);
        self.leave_evicted(now.ticks); // for a successor it is one that has ended
    }

    /// Notes that such a process is over.
    pub fn close_damage(&mut self, region: RegionId, now: Now) {
        self.damage.close(region, now.ticks);
    }

    /// Returns what was damaged where `trace` may have been, since the tick `first` at which it is first known here. How long it went on
    /// there is not known, so whoever judges it says which of that is later than its end.
    pub(super) fn damage_of(&self, trace: TraceId, first: u64, now: Now) -> Vec<Lost> {
        let mut damage = self.damage.since(first, now.ticks).peekable();
        if damage.peek().is_none() {
            return Vec::new();
        }
        let may_be_anywhere = self.may_be_anywhere(trace);
        let region_at = |position| Some(self.member(position)?.region.id());
        let indexed: BTreeSet<RegionId> =
            self.index.find(trace).filter_map(|place| region_at(place.chunk.position())).collect();
        let may_be_it = |region| may_be_anywhere || indexed.contains(&region) || self.kept.has_of(trace, region);
        damage.filter(|(region, _)| region.is_none_or(may_be_it)).map(|(_, lost)| lost).collect()
    }

    /// Returns whether any process of the host may have worked for `trace`: nothing is known of it, or it leads to this host, or to where
    /// nobody tells.
    fn may_be_anywhere(&self, trace: TraceId) -> bool {
        let leads_here = || self.ring_crumbs.of(trace).any(|crumb| crumb.agent == self.settings.agent);
        self.kept.amounts(trace).is_none_or(|amounts| amounts.has_loose_end || leads_here())
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
