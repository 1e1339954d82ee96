//! What becomes of evicted segments: those of traces that go on are carried over, of the others it is remembered that they were there.

use super::fire::Found;
use super::{Member, Now, Recorder};
use crate::collect;
use crate::index::Place;
use crate::kept::Copied;
use crate::retention::Sealed;
use backsight_core::ids::{AgentId, RegionId, TraceId};
use backsight_core::record::seg_flags;
use backsight_core::units::Nanos;
use backsight_ringbuf::abi::ChunkId;
use backsight_ringbuf::reader::SegmentInfo;

/// A trace goes on if another segment of it was sealed so lately, and within half of the horizon: where that is short, most traces have a segment that is
/// younger, and to carry all of them over would take more than it brings.
const GOES_ON: Nanos = Nanos::from_ms(5_000);

impl Recorder {
    /// Takes leave of a chunk that is evicted, while its bytes are still there.
    pub(super) fn note_lost_segments(&mut self, evicted: &Sealed, now: Now) {
        let Some(region) = self.member(evicted.region).map(|member| &member.region) else { return };
        let region_id = region.id();
        let info = region.chunk_info(evicted.chunk).and_then(Result::ok);
        let segments = info.map(|info| collect::segments_of(region, evicted.chunk, &info).0).unwrap_or_default();
        self.remember_damaged(evicted, &segments);
        let Some(info) = info else { return };
        for segment in segments {
            let found = Found { position: evicted.region, id: evicted.chunk, info, segment };
            if self.is_copied_out(region_id, &found) {
                continue;
            }
            if self.goes_on(segment.trace, evicted, now)
                && let Some(copied) = self.copy(&found, now)
            {
                self.totals.carried_segments += 1;
                for (trace, gone) in self.carried.add(segment.trace, copied) {
                    self.remember_copy(trace, &gone);
                }
                continue;
            }
            let mut agents = vec![segment.from_agent];
            if segment.flags & seg_flags::CRUMBS != 0
                && let Some(member) = self.member(evicted.region)
            {
                let bytes = member.region.copy(evicted.chunk, segment.offset, segment.end);
                agents = agents_in(&bytes);
            }
            self.remember(segment.trace, evicted.last_ticks, agents);
        }
    }

    /// Remembers the segments that were indexed and are not among those that can still be read: their process has written over them.
    fn remember_damaged(&mut self, evicted: &Sealed, readable: &[SegmentInfo]) {
        let is_readable = |(trace, place): &(TraceId, Place)| {
            let found = readable.binary_search_by_key(&place.offset, |segment| segment.offset);
            found.is_ok_and(|idx| readable[idx].trace == *trace)
        };
        let indexed = self.index.run(evicted.first_entry, evicted.n_entries);
        let damaged: Vec<TraceId> = indexed.filter(|at| !is_readable(at)).map(|(trace, _)| trace).collect();
        damaged.into_iter().for_each(|trace| self.remember(trace, evicted.last_ticks, Vec::new()));
    }

    /// Remembers a segment that was carried over and is gone now.
    pub(super) fn remember_copy(&mut self, trace: TraceId, gone: &Copied) {
        self.remember(trace, gone.interval.1, agents_in(&gone.segment.bytes));
    }

    /// Remembers that something of `trace` is gone; crumbs to this agent itself lead nowhere.
    pub(super) fn remember(&mut self, trace: TraceId, last_ticks: u64, mut agents: Vec<AgentId>) {
        agents.retain(|agent| *agent != self.settings.agent);
        self.afterlife.add(trace, last_ticks, &agents);
    }

    /// Returns since when the host remembers what it overwrote, in ticks.
    pub(super) fn remembers_since(&self) -> u64 {
        self.afterlife.forgotten_ticks().unwrap_or(0).max(self.started_ticks)
    }

    /// Returns since when nothing of `trace` has been overwritten, in ticks.
    pub(super) fn retained_since(&self, trace: TraceId) -> u64 {
        match self.afterlife.find(trace) {
            None => self.remembers_since(),
            Some(_) => self.overwritten_until(),
        }
    }

    fn is_copied_out(&self, region: RegionId, found: &Found) -> bool {
        self.kept.len_of(found.segment.trace, &found.key(region)).is_some_and(|known| known >= found.len())
    }

    /// Returns whether a trace of which `evicted` holds a segment was still worked for a moment ago.
    fn goes_on(&self, trace: TraceId, evicted: &Sealed, now: Now) -> bool {
        let Some(newest) = self.index.find(trace).next() else { return false };
        let (position, id) = (newest.chunk.position(), ChunkId::from_code(newest.chunk.code()));
        if (position, id) == (evicted.region, Some(evicted.chunk)) {
            return false;
        }
        let horizon = now.ticks.saturating_sub(evicted.last_ticks);
        let since = now.ticks.saturating_sub(self.ticks_of(GOES_ON).min(horizon / 2));
        let region = self.member(position).map(|member| &member.region);
        let retained = region.zip(id).filter(|(region, id)| region.is_retained(*id, newest.generation));
        let info = retained.and_then(|(region, id)| region.chunk_info(id)?.ok());
        info.is_some_and(|info| info.last_ticks >= since)
    }

    /// Takes what was carried over of `trace`, with what has become of its processes since.
    pub(super) fn take_carried(&mut self, trace: TraceId) -> Vec<Copied> {
        let mut taken = self.carried.take(trace);
        for copied in &mut taken {
            let is_it = |member: &&Member| member.region.id() == copied.process.region;
            let member = self.members.iter().flatten().find(is_it);
            copied.is_live = member.is_some_and(|member| member.is_live);
            if let Some(member) = member {
                copied.process = member.process(self.settings.agent);
            }
        }
        taken
    }
}

fn agents_in(bytes: &[u8]) -> Vec<AgentId> {
    collect::scan(bytes, 0, 0).crumbs.into_iter().map(|crumb| crumb.agent).collect()
}
