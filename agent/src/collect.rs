//! Copying segments out of regions, and reading from the copies what is needed to read them elsewhere.
//!
//! Called by the recorder. Only copies are parsed; any bytes give an answer.

use crate::losses::Lost;
use crate::region::Region;
use backsight_core::holding::CrumbTo;
use backsight_core::ids::{SpanId, StringId, TraceId, TriggerId};
use backsight_core::record::decode::Name;
use backsight_core::record::{
    CrumbDirection, Kind, RawRecord, Record, Records, SpanKind, Value, ValueType, align8, flags, seg_flags,
};
use backsight_core::segment::{Segment, SegmentKey};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::{CHUNK_HEADER_BYTES, ChunkId};
use backsight_ringbuf::reader::{ChunkInfo, SegmentInfo};
use backsight_ringbuf::strings;
use std::collections::{BTreeMap, BTreeSet};

/// Returns the segments of a chunk in the order in which they were written, and whether these are all: each link was sound, and before the first
/// stand whole records of none.
pub fn segments_of(region: &Region, id: ChunkId, info: &ChunkInfo) -> (Vec<SegmentInfo>, bool) {
    let mut segments: Vec<SegmentInfo> = Vec::new();
    let mut is_sound = true;
    for segment in region.segments(id, info).into_iter().flatten() {
        match segment {
            Ok(segment) => segments.push(segment),
            Err(_) => is_sound = false,
        }
    }
    segments.reverse();
    let first = segments.first().map_or(info.head.committed, |segment| segment.offset);
    let before = if is_sound { region.copy(id, CHUNK_HEADER_BYTES as u32, first) } else { Vec::new() };
    let is_none = |record: &RawRecord<'_>| record.header.kind != Kind::Seg as u8;
    (segments, is_sound && Records::new(&before).all(|record| record.as_ref().is_ok_and(is_none)))
}

/// Copies a segment.
pub fn copy_segment(region: &Region, id: ChunkId, info: &ChunkInfo, segment: &SegmentInfo) -> Segment {
    let key =
        SegmentKey { region: region.id(), chunk: id.code(), generation: info.head.generation, offset: segment.offset };
    Segment {
        key,
        slot: info.slot,
        tid: info.tid,
        prev_chunk: info.prev_chunk,
        bytes: region.copy(id, segment.offset, segment.end),
    }
}

/// What is copied of strings for one segment: its process says how long they are, and eight bytes name one.
const STRINGS_MAX_BYTES: usize = 256 << 10;

/// Returns the strings that the records of `bytes` name, as the region's table has them; those beyond [`STRINGS_MAX_BYTES`] are left out, and not found
/// where the trace is read.
pub fn strings_of(region: &Region, bytes: &[u8]) -> Vec<(StringId, String)> {
    let text = |id: StringId| {
        let bytes = strings::get(region.store(), id)?;
        Some((id, String::from_utf8_lossy(&bytes).into_owned()))
    };
    let mut room = STRINGS_MAX_BYTES;
    let fits = |(_, text): &(StringId, String)| {
        room = room.saturating_sub(text.len());
        room > 0
    };
    string_ids(bytes).into_iter().filter_map(text).take_while(fits).collect()
}

/// The kinds of records that a scan reads.
const SCANNED: [u8; 3] = [Kind::Seg as u8, Kind::Time as u8, Kind::Crumb as u8];

/// What the records of a segment say about where its trace went, and whether it is over.
#[derive(Debug, Default)]
pub struct Scanned {
    /// Crumbs to agents that are known.
    pub crumbs: Vec<CrumbTo>,
    /// Whether the last record ends the segment.
    pub is_ended: bool,
    /// The time base after the last record: where a longer copy is read on.
    pub base_ticks: u64,
    /// Ticks of the last record.
    pub last_ticks: u64,
    /// Whether somebody without a recorder called, or was called: from there the trace may have come to any process.
    pub has_loose_end: bool,
}

/// Flags of a segment that goes on with a visit.
const GOES_ON: u32 = seg_flags::RESUME | seg_flags::CONTINUED;

/// Reads the records of a segment's copy from byte `from` on, where a record starts: what stands before was read in a shorter copy, which
/// ended with time base `base_ticks`.
pub fn scan(bytes: &[u8], from: usize, base_ticks: u64) -> Scanned {
    let mut scanned = Scanned { base_ticks, last_ticks: base_ticks, ..Scanned::default() };
    let records = Records::new(bytes.get(from..).unwrap_or_default()).map_while(Result::ok);
    for raw in records {
        scanned.is_ended = raw.header.kind == Kind::SegEnd as u8;
        scanned.last_ticks = scanned.base_ticks.saturating_add(raw.header.dt.into());
        if raw.header.flags & flags::CONTINUES != 0 || !SCANNED.contains(&raw.header.kind) {
            continue;
        }
        let crumb = match Record::decode(raw.header, raw.body) {
            Ok(Record::Seg { from_agent: agent, parent_span: span, base_tsc, seg_flags, .. }) => {
                (scanned.base_ticks, scanned.last_ticks) = (base_tsc, base_tsc);
                if seg_flags & GOES_ON != 0 {
                    continue; // the visit's first segment said where it came from
                }
                CrumbTo { agent, direction: CrumbDirection::From, span }
            }
            Ok(Record::Time { tsc }) => {
                (scanned.base_ticks, scanned.last_ticks) = (tsc, tsc);
                continue;
            }
            Ok(Record::Crumb { agent, direction, span }) => CrumbTo { agent, direction, span },
            _ => continue,
        };
        if !crumb.agent.is_none() {
            scanned.crumbs.push(crumb);
        } else if crumb.direction == CrumbDirection::To
            || (crumb.direction == CrumbDirection::From && crumb.span.0 != 0)
        {
            scanned.has_loose_end = true; // a call that is open counts as such until it is known who answered
        }
    }
    scanned
}

/// Returns the losses that LOST records tell of.
pub fn losses_in(bytes: &[u8]) -> impl Iterator<Item = Lost> {
    whole_records(bytes).filter_map(|record| match record {
        Record::Lost { reason, n, bytes, first_tsc, last_tsc } => Some(Lost {
            first_ticks: first_tsc,
            last_ticks: last_tsc,
            reason: u8::try_from(reason).ok().and_then(DropReason::from_code),
            n_records: n.into(),
            bytes,
        }),
        _ => None,
    })
}

/// Returns the flags of a segment's copy, as its SEG record has them.
pub fn seg_flags_of(bytes: &[u8]) -> u32 {
    bytes.get(44..48).and_then(|half| half.first_chunk()).map_or(0, |half| u32::from_le_bytes(*half))
}

/// Returns the ids of the strings that records name.
pub fn string_ids(bytes: &[u8]) -> BTreeSet<StringId> {
    let mut ids = BTreeSet::new();
    let mut add = |name: Name<'_>| {
        if let Name::Interned(id) = name {
            ids.insert(id);
        }
    };
    for record in whole_records(bytes) {
        match record {
            Record::SpanStart { name, .. } | Record::Event { name, .. } | Record::Rename { name, .. } => add(name),
            Record::Named { name, .. } | Record::Exception { kind: name, .. } => add(name),
            Record::Attr { key, value, .. } => {
                add(key);
                add_value(value, &mut add);
            }
            _ => {}
        }
    }
    ids.remove(&StringId::NONE);
    ids
}

fn add_value(value: Value<'_>, add: &mut impl FnMut(Name<'_>)) {
    match value {
        Value::Interned(id) => add(Name::Interned(id)),
        Value::Array(mut elements) => {
            // `type u8, 3 bytes 0, len u32, bytes padded to 8`; an array within an array is not looked into.
            while let Some((head, rest)) = elements.split_first_chunk::<8>() {
                let word = u64::from_le_bytes(*head);
                let len = (word >> 32) as usize;
                if word as u8 == ValueType::Interned as u8
                    && let Some(id) = rest.first_chunk::<4>()
                {
                    add(Name::Interned(StringId(u32::from_le_bytes(*id))));
                }
                elements = rest.get(align8(len as u64) as usize..).unwrap_or_default();
            }
        }
        _ => {}
    }
}

/// Returns the trigger of the last FIRED record.
pub fn fired_in(bytes: &[u8]) -> Option<TriggerId> {
    all_fired_in(bytes).last()
}

/// Returns the triggers of all FIRED records.
pub fn all_fired_in(bytes: &[u8]) -> impl Iterator<Item = TriggerId> {
    whole_records(bytes).filter_map(|record| match record {
        Record::Fired { trigger, .. } => Some(trigger),
        _ => None,
    })
}

/// Returns the records whose bodies can be read where they stand: the first fragments count, their continuations do not.
fn whole_records(bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    let first = |record: &RawRecord<'_>| record.header.flags & flags::CONTINUES == 0;
    let records = Records::new(bytes).map_while(Result::ok).filter(first);
    records.filter_map(|record| Record::decode(record.header, record.body).ok())
}

/// Requests, and spans that ended before they began, that are known at a time; of more it is not known whether they were served.
const OPEN_MAX: usize = 65_536;

/// Requests that a process was serving, from the segments that it left.
#[derive(Debug, Default)]
pub struct ServedRequests {
    open: BTreeMap<(TraceId, SpanId), u64>,
    /// Spans whose end was read before their start: another thread wrote it.
    ended: BTreeSet<(TraceId, SpanId)>,
}

impl ServedRequests {
    /// Reads one segment; those of one thread come in the order in which they were written, those of several in any.
    pub fn read(&mut self, trace: TraceId, bytes: &[u8]) {
        let (mut base, mut last_span) = (0, SpanId::NONE);
        for raw in Records::new(bytes).map_while(Result::ok) {
            if raw.header.flags & flags::CONTINUES != 0 {
                continue;
            }
            let Ok(record) = Record::decode(raw.header, raw.body) else { continue };
            match record {
                Record::Seg { base_tsc, .. } => base = base_tsc,
                Record::Time { tsc } => base = tsc,
                Record::SpanStart { span, kind, .. } => {
                    last_span = span;
                    let has_room = self.open.len() < OPEN_MAX;
                    if kind == SpanKind::Server && !self.ended.remove(&(trace, span)) && has_room {
                        self.open.insert((trace, span), base.saturating_add(u64::from(raw.header.dt)));
                    }
                }
                Record::SpanEnd { span } => {
                    last_span = span.unwrap_or(last_span);
                    if self.open.remove(&(trace, last_span)).is_none() && self.ended.len() < OPEN_MAX {
                        self.ended.insert((trace, last_span));
                    }
                }
                Record::Attr { span, .. }
                | Record::Event { span, .. }
                | Record::Link { span, .. }
                | Record::Status { span, .. }
                | Record::Rename { span, .. }
                | Record::Exception { span, .. } => last_span = span.unwrap_or(last_span),
                _ => {}
            }
        }
    }

    /// Returns the traces whose requests were not answered, newest first.
    pub fn unanswered(&self) -> Vec<TraceId> {
        let mut newest: BTreeMap<TraceId, u64> = BTreeMap::new();
        for ((trace, _), ticks) in &self.open {
            let known = newest.entry(*trace).or_default();
            *known = (*known).max(*ticks);
        }
        let mut traces: Vec<_> = newest.into_iter().collect();
        traces.sort_by_key(|(trace, ticks)| (std::cmp::Reverse(*ticks), *trace));
        traces.into_iter().map(|(trace, _)| trace).collect()
    }
}

/// Returns whether the last record of a segment ends it.
pub fn is_ended(bytes: &[u8]) -> bool {
    let records = Records::new(bytes).map_while(Result::ok);
    let last = records.last();
    last.is_some_and(|record| record.header.kind == Kind::SegEnd as u8)
}

#[cfg(test)]
mod tests;
