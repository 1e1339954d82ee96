//! Looking at leases, and indexing what threads sealed.

use super::{Now, Recorder};
use crate::collect;
use crate::index::{ChunkRef, Place};
use crate::retention::Sealed;
use crate::triggers::{Event, Origin};
use backsight_core::ids::TriggerId;
use backsight_core::record::seg_flags;
use backsight_core::telemetry::DropReason;
use backsight_core::units::{Bytes, Nanos};
use backsight_ringbuf::abi::{ChunkId, Class};
use backsight_ringbuf::reader::{ChunkInfo, SegmentInfo};
use backsight_ringbuf::region;

/// A chunk that its thread gave up, its header read and checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    pub(super) position: u32,
    pub(super) id: ChunkId,
    pub(super) class: Class,
    pub(super) info: ChunkInfo,
    /// Ticks of its last record, no later than now.
    pub(super) last_ticks: u64,
}

impl Recorder {
    /// Looks at the leases of `due`; returns the chunks that were sealed, in the order of their seals.
    pub(super) fn look(&mut self, due: &[u32], now: Now) -> Vec<Full> {
        let mut full = Vec::new();
        for position in due {
            let Some(member) = self.members.get_mut(*position as usize).and_then(Option::as_mut) else { continue };
            let polled = member.region.poll(now.ticks);
            member.n_corrupt += polled.n_corrupt;
            member.demand.observe(now.time, polled.taken, polled.left);
            if polled.taken != [0; 3] || !polled.sealed.is_empty() {
                member.last_active = now.time;
            }
            if polled.is_pressing() {
                self.last_pressed = Some(now.time);
            }
            self.totals.drop_n(DropReason::Corrupt, polled.n_corrupt);
            self.note_taken(polled.taken);
            full.extend(polled.sealed.into_iter().filter_map(|id| self.read_full(*position, id, now)));
        }
        full.sort_by_key(|full| full.last_ticks);
        full
    }

    /// Reads the header of a chunk that its thread gave up; `None` where it holds nothing, or nothing that can be believed.
    pub(super) fn read_full(&mut self, position: u32, id: ChunkId, now: Now) -> Option<Full> {
        let ticks_per_second = self.settings.ticks_per_second.max(1);
        let member = self.members.get_mut(position as usize)?.as_mut()?;
        let class = member.region.class_of(id)?;
        let info = match member.region.chunk_info(id)? {
            Ok(info) if info.has_data() => info,
            Ok(_) => {
                member.region.free(id);
                return None;
            }
            Err(_) => {
                member.n_corrupt += 1;
                member.region.free(id);
                self.totals.drop_n(DropReason::Corrupt, 1);
                self.note_damage(position, id, now);
                self.leave_evicted(now.ticks); // a successor finds nothing there
                return None;
            }
        };
        // The client's word, so it decides about its own data at most: never later than now. What was open when its process ended grew no more.
        let last_ticks = match info.last_ticks {
            0 => region::ended_at(member.region.store()).unwrap_or(now.ticks),
            last_ticks => last_ticks,
        };
        let last_ticks = last_ticks.min(now.ticks);
        let took = u128::from(last_ticks.saturating_sub(info.first_ticks)) * 1_000_000_000;
        let took = Nanos((took / u128::from(ticks_per_second)) as u64);
        // What a thread gives up when it exits says nothing about how fast it writes.
        if u64::from(info.head.committed) >= class.bytes() / 2 {
            member.demand.observe_seal(now.time, class, took);
        }
        Some(Full { position, id, class, info, last_ticks })
    }

    /// Retains and indexes chunks; returns what their segments say was triggered.
    pub(super) fn index_all(&mut self, full: &[Full], now: Now) -> Vec<Event> {
        full.iter().flat_map(|full| self.index_chunk(full, now)).collect()
    }

    fn index_chunk(&mut self, full: &Full, now: Now) -> Vec<Event> {
        let Some(member) = self.members.get_mut(full.position as usize).and_then(Option::as_mut) else {
            return Vec::new();
        };
        let (segments, is_sound) = collect::segments_of(&member.region, full.id, &full.info);
        let (written, uid) = (u64::from(full.info.head.committed), member.uid);
        member.bytes_written += written;
        member.rate.add(Bytes(full.class.bytes()));
        member.n_corrupt += u64::from(!is_sound);
        member.region.retain(full.id);
        member.looked.remove(&full.id.code());
        let generation = full.info.head.generation;
        self.totals.drop_n(DropReason::Corrupt, u64::from(!is_sound));
        self.totals.written_bytes += written;
        self.totals.filled_bytes += full.class.bytes();
        self.totals.segments += segments.len() as u64;
        self.totals.chunks += 1;
        if self.index.is_nearly_full(segments.len() as u64) {
            self.make_index_room(full.position, now);
        }
        let first_entry = self.index.head();
        self.retention.push(Sealed {
            region: full.position,
            uid,
            chunk: full.id,
            generation,
            class: full.class,
            last_ticks: full.last_ticks,
            first_entry,
            n_entries: segments.len() as u32,
        });
        self.note_losses(full.position, full.id, &full.info, &segments, now);
        if !is_sound {
            self.note_damage(full.position, full.id, now);
        }
        let chunk = ChunkRef::new(full.position, full.id.code());
        let mut events = Vec::new();
        for segment in &segments {
            while self.index.is_full() && self.evict_for_index(first_entry, now) {}
            self.index.push(segment.trace, Place { chunk, generation, offset: segment.offset });
            let event = self.event_of(full, segment);
            self.names.note_fired(full.position, event.as_slice());
            events.extend(event);
        }
        let of_interest = |segment: &&SegmentInfo| self.triggers.triggered(segment.trace).is_some();
        let late: Vec<SegmentInfo> = segments.iter().filter(of_interest).copied().collect();
        for segment in late {
            self.keep_segment(full.position, full.id, &full.info, &segment, now);
        }
        events
    }

    /// Returns what a segment's marks say was triggered, unless that is known.
    fn event_of(&self, full: &Full, segment: &SegmentInfo) -> Option<Event> {
        if segment.flags & (seg_flags::FIRED | seg_flags::HEAD_KEPT) == 0 || self.triggers.knows(segment.trace) {
            return None;
        }
        let head_kept = (segment.flags & seg_flags::HEAD_KEPT != 0).then_some(TriggerId::HEAD);
        let region = &self.member(full.position)?.region;
        let bytes = region.copy(full.id, segment.offset, segment.end);
        // Marked without a record: it came with the request, and says no more than that somebody wants it.
        let (trigger, origin) = match collect::fired_in(&bytes).or(head_kept) {
            Some(trigger) => (trigger, Origin::Segment),
            None => (TriggerId::ELSEWHERE, Origin::Elsewhere),
        };
        Some(Event::Fired { trigger, trace: segment.trace, laterals: Vec::new(), origin })
    }
}
