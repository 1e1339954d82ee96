//! What is kept of one trace: its segments by process, where it came from and went to, and how much of it is still being written.
//!
//! Called by the heap, and by the recorder to say what there is. Pure.

use super::receipts::Receipt;
use super::{Amounts, Copied, Piece};
use crate::collect;
use crate::triggers::{Looked, Triggered};
use backsight_core::clock::Timeline;
use backsight_core::holding::{CRUMBS_MAX, CrumbTo};
use backsight_core::ids::{AgentId, RegionId, StringId};
use backsight_core::record::{Level, seg_flags};
use backsight_core::segment::{LastWords, Process, Segment, SegmentKey, Slice};
use backsight_core::units::Nanos;
use std::collections::{BTreeMap, BTreeSet};

/// What a segment costs beside its bytes: its key, its place in the tables here and in the uplink, the allocator's share.
const SEGMENT_OVERHEAD: u64 = 256;
/// What a trace costs beside its segments.
pub(super) const TRACE_OVERHEAD: u64 = 512;
/// What a string costs beside its text.
const STRING_OVERHEAD: u64 = 48;
/// What a segment and each of its strings take in a batch beside their bytes.
const FRAME_BYTES: u64 = 48;
/// Segments left out of one trace that are told apart.
const LEFT_OUT_MAX: usize = 1024;

/// What is kept of one trace.
#[derive(Clone, Debug)]
pub struct KeptTrace {
    /// Why.
    pub triggered: Triggered,
    /// Its segments.
    pub n_segments: u64,
    /// Their bytes and what holding them costs.
    pub bytes: u64,
    /// The bytes of their records alone.
    pub record_bytes: u64,
    /// Whether another host has given its part up.
    pub(super) is_incoherent: bool,
    /// See [`Amounts::looked`].
    pub(super) looked: Option<Looked>,
    /// What a collector had of it before it was kept anew.
    pub(super) receipt: Option<Receipt>,
    /// See [`Amounts::detail`].
    detail: u8,
    /// See [`Amounts::has_loose_end`].
    has_loose_end: bool,
    crumbs: BTreeSet<CrumbTo>,
    n_crumbs_left_out: u64,
    left_out: BTreeSet<SegmentKey>,
    slices: BTreeMap<RegionId, KeptSlice>,
}

#[derive(Clone, Debug)]
struct KeptSlice {
    process: Process,
    is_live: bool,
    strings: BTreeMap<StringId, String>,
    segments: BTreeMap<SegmentKey, KeptSegment>,
    /// Segments whose last record does not end them.
    n_unended: u64,
    /// Ticks of the first and the last record.
    interval: (u64, u64),
}

#[derive(Clone, Debug)]
struct KeptSegment {
    segment: Segment,
    flags: u32,
    is_ended: bool,
    /// Whether a thread held its chunk when it was copied.
    is_open: bool,
    /// The time base after its last record.
    base_ticks: u64,
}

/// What another copy of a segment changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Change {
    /// Nothing.
    #[default]
    None,
    /// Whether its thread may still write to it.
    State,
    /// There is more of it.
    Grew(Piece),
}

fn around(a: (u64, u64), b: (u64, u64)) -> (u64, u64) {
    (a.0.min(b.0), a.1.max(b.1))
}

/// Returns what keeping a segment costs.
pub(crate) fn cost_of(copied: &Copied) -> u64 {
    let strings: u64 = copied.strings.iter().map(|(_, text)| text.len() as u64 + STRING_OVERHEAD).sum();
    copied.segment.bytes.len() as u64 + strings + SEGMENT_OVERHEAD
}

impl KeptTrace {
    pub(super) fn new(triggered: Triggered, receipt: Option<Receipt>) -> Self {
        Self {
            triggered,
            n_segments: 0,
            bytes: TRACE_OVERHEAD + receipt.as_ref().map_or(0, Receipt::cost),
            record_bytes: 0,
            is_incoherent: false,
            looked: None,
            receipt,
            detail: 0,
            has_loose_end: false,
            crumbs: BTreeSet::new(),
            n_crumbs_left_out: 0,
            left_out: BTreeSet::new(),
            slices: BTreeMap::new(),
        }
    }

    /// Returns when it fired first.
    pub const fn fired(&self) -> Nanos {
        self.triggered.fired
    }

    /// Returns the length of the segment `key` where it is kept, its flags, and whether its chunk was open.
    pub fn known(&self, key: &SegmentKey) -> Option<(usize, u32, bool)> {
        let kept = self.slices.get(&key.region)?.segments.get(key)?;
        Some((kept.segment.bytes.len(), kept.flags, kept.is_open))
    }

    /// Returns how much there is of it, what a collector had before included.
    pub fn amounts(&self) -> Amounts {
        let before = self.receipt.as_ref().map(|receipt| receipt.amounts).unwrap_or_default();
        let details = [self.detail, before.detail].into_iter().filter(|detail| *detail > 0);
        Amounts {
            n_segments: self.n_segments + before.n_segments,
            record_bytes: self.record_bytes + before.record_bytes,
            n_open: self.n_open(),
            n_left_out: self.n_left_out() + before.n_left_out,
            detail: details.min().unwrap_or(0),
            interval: [self.interval(), before.interval].into_iter().flatten().reduce(around),
            looked: self.looked.or(before.looked),
            has_loose_end: self.has_loose_end || before.has_loose_end,
        }
    }

    /// Returns the lengths of its segments, those that a collector had before included.
    pub(super) fn lengths(&self) -> impl Iterator<Item = (SegmentKey, u32)> {
        let before = self.receipt.iter().flat_map(|receipt| &receipt.segments).copied();
        let segments = self.slices.values().flat_map(|slice| &slice.segments);
        before.chain(segments.map(|(key, kept)| (*key, kept.segment.bytes.len() as u32)))
    }

    /// Returns what keeping `copied` costs more than what is kept of it already, at most.
    pub(super) fn extra_cost(&self, copied: &Copied) -> u64 {
        let known = self.known(&copied.segment.key);
        cost_of(copied).saturating_sub(known.map_or(0, |(len, ..)| len as u64 + SEGMENT_OVERHEAD))
    }

    pub(super) fn add(&mut self, copied: Copied) -> Change {
        let Copied { process, segment, strings, interval, is_open, is_live } = copied;
        let own = process.agent;
        let slice = self.slices.entry(process.region).or_insert_with(|| KeptSlice {
            process,
            is_live,
            strings: BTreeMap::new(),
            segments: BTreeMap::new(),
            n_unended: 0,
            interval: (interval.0, interval.0),
        });
        let (key, len, flags) = (segment.key, segment.bytes.len(), collect::seg_flags_of(&segment.bytes));
        let detail_before = self.detail;
        if let Some(level) = Level::left_out(flags) {
            self.detail = if self.detail == 0 { level as u8 } else { self.detail.min(level as u8) };
        }
        let known = slice.segments.get_mut(&key);
        let before = known.as_ref().map(|known| (known.segment.bytes.len(), known.base_ticks, known.is_ended));
        if let Some(known) = known
            && known.segment.bytes.len() >= len
        {
            let is_other = known.segment.bytes.len() == len && (known.is_open, known.flags) != (is_open, flags);
            if is_other {
                (known.is_open, known.flags, known.segment) = (is_open, flags, segment);
            }
            // To one that has ended its thread writes no more, whether its chunk is open or sealed; it may leave something out of it.
            let is_news = is_other && (!known.is_ended || self.detail != detail_before);
            return if is_news { Change::State } else { Change::None };
        }
        let named: u64 = strings.iter().map(|(_, text)| text.len() as u64 + FRAME_BYTES).sum();
        for (id, text) in strings {
            let cost = text.len() as u64 + STRING_OVERHEAD;
            if slice.strings.insert(id, text).is_none() {
                self.bytes += cost;
            }
        }
        let (known_len, base_ticks, was_ended) = before.unwrap_or((0, 0, true));
        let scanned = collect::scan(&segment.bytes, known_len, base_ticks);
        // What the thread wrote later in the same chunk was for others.
        let (first, end) = interval;
        let last = if scanned.is_ended { scanned.last_ticks.clamp(first, end.max(first)) } else { end };
        slice.interval = (slice.interval.0.min(first), slice.interval.1.max(last));
        slice.n_unended = slice.n_unended + u64::from(!scanned.is_ended) - u64::from(!was_ended);
        let (is_ended, base_ticks) = (scanned.is_ended, scanned.base_ticks);
        slice.segments.insert(key, KeptSegment { segment, flags, is_ended, is_open, base_ticks });
        let more = (len - known_len) as u64;
        self.bytes += more + if before.is_none() { SEGMENT_OVERHEAD } else { 0 };
        self.n_segments += u64::from(before.is_none());
        self.record_bytes += more;
        self.left_out.remove(&key);
        if let Some(receipt) = &mut self.receipt {
            receipt.forget(&key);
        }
        self.has_loose_end |= scanned.has_loose_end || scanned.crumbs.iter().any(|crumb| crumb.agent == own);
        for crumb in scanned.crumbs {
            if self.crumbs.len() < CRUMBS_MAX {
                self.crumbs.insert(crumb);
            } else if !self.crumbs.contains(&crumb) {
                self.n_crumbs_left_out += 1;
            }
        }
        let cost = (len as u64 + named + FRAME_BYTES).min(u32::MAX.into()) as u32;
        Change::Grew(Piece { key, len: len as u32, cost })
    }

    /// Notes that a segment does not fit; returns whether that is new.
    pub(super) fn leave_out(&mut self, key: SegmentKey) -> bool {
        self.left_out.len() < LEFT_OUT_MAX && self.left_out.insert(key)
    }

    /// Returns whether a segment of `region` is kept.
    pub(super) fn has_of(&self, region: RegionId) -> bool {
        self.slices.contains_key(&region)
    }

    /// Notes that a process writes no more; returns whether it wrote for this trace.
    pub(super) fn note_ended(&mut self, region: RegionId, death: Option<&LastWords>) -> bool {
        let Some(slice) = self.slices.get_mut(&region) else { return false };
        slice.is_live = false;
        slice.process.death = death.cloned();
        true
    }

    /// Returns the crumbs that point to other agents than `own`, ascending: those of the same host lead nowhere new.
    pub fn crumbs(&self, own: AgentId) -> impl Iterator<Item = &CrumbTo> {
        self.crumbs.iter().filter(move |crumb| crumb.agent != own)
    }

    /// Takes the number of crumbs left out since the last call.
    pub(super) const fn take_crumbs_left_out(&mut self) -> u64 {
        std::mem::replace(&mut self.n_crumbs_left_out, 0)
    }

    /// Returns how many segments did not fit.
    pub fn n_left_out(&self) -> u64 {
        self.left_out.len() as u64
    }

    /// Returns how many segments their threads may still write to.
    ///
    /// A segment whose chunk is sealed and that was not ended goes on in its thread's next chunk; it counts until that is found, unless
    /// the thread had no next chunk or the trace was too large to keep it.
    pub fn n_open(&self) -> u64 {
        self.slices.values().filter(|slice| slice.is_live).map(|slice| slice.n_open(!self.left_out.is_empty())).sum()
    }

    /// Returns the ticks between which it was active here, as far as that is kept.
    pub fn interval(&self) -> Option<(u64, u64)> {
        self.slices.values().map(|slice| slice.interval).reduce(around)
    }

    /// Returns everything that is kept.
    pub(super) fn to_slices(&self, timeline: &Timeline) -> Vec<Slice> {
        let slice = |kept: &KeptSlice| Slice {
            process: Process {
                strings: kept.strings.iter().map(|(id, text)| (*id, text.clone())).collect(),
                ..kept.process_on(timeline)
            },
            segments: kept.segments.values().map(|kept| kept.segment.clone()).collect(),
        };
        self.slices.values().map(slice).collect()
    }

    /// Returns these segments in these lengths, with the strings that they name; and the processes of `also` without any.
    pub fn slices_of(
        &self,
        segments: &[(SegmentKey, u32)],
        also: &BTreeSet<RegionId>,
        timeline: &Timeline,
    ) -> Vec<Slice> {
        let mut by_region: BTreeMap<RegionId, Vec<Segment>> = also.iter().map(|region| (*region, Vec::new())).collect();
        for (key, len) in segments {
            let Some(kept) = self.slices.get(&key.region).and_then(|slice| slice.segments.get(key)) else { continue };
            let bytes = kept.segment.bytes.get(..*len as usize).unwrap_or(&kept.segment.bytes).to_vec();
            let Segment { key, slot, tid, prev_chunk, .. } = kept.segment;
            by_region.entry(key.region).or_default().push(Segment { key, slot, tid, prev_chunk, bytes });
        }
        let slice = |(region, segments): (RegionId, Vec<Segment>)| {
            let kept = self.slices.get(&region)?;
            let ids: BTreeSet<StringId> =
                segments.iter().flat_map(|segment| collect::string_ids(&segment.bytes)).collect();
            let string = |id: StringId| Some((id, kept.strings.get(&id)?.clone()));
            let strings = ids.into_iter().filter_map(string).collect();
            Some(Slice { process: Process { strings, ..kept.process_on(timeline) }, segments })
        };
        by_region.into_iter().filter_map(slice).collect()
    }
}

impl KeptSlice {
    fn process_on(&self, timeline: &Timeline) -> Process {
        let clock = timeline.bracket(self.interval.0, self.interval.1);
        Process { strings: Vec::new(), clock, ..self.process.clone() }
    }

    fn n_open(&self, is_cut: bool) -> u64 {
        if self.n_unended == 0 {
            return 0;
        }
        let continued = |kept: &&KeptSegment| kept.flags & seg_flags::CONTINUED != 0;
        let continued: BTreeSet<(u32, u32)> =
            self.segments.values().filter(continued).map(|kept| (kept.segment.slot, kept.segment.prev_chunk)).collect();
        let is_open = |kept: &&KeptSegment| {
            let goes_on = kept.is_open || (!is_cut && kept.flags & seg_flags::LOSS == 0);
            !kept.is_ended && goes_on && !continued.contains(&(kept.segment.slot, kept.segment.key.chunk))
        };
        self.segments.values().filter(is_open).count() as u64
    }
}
