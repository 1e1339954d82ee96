//! A writer of thread logs for tests: segments as the recorder copies them, without the shared memory.

use super::{EndedSpan, SegmentCopy, Walk};
use backsight_core::ids::{RegionId, SpanId, TraceId};
use backsight_core::record::{Header, Kind, align8};
use backsight_core::segment::{Segment, SegmentKey};

/// Ticks of the writer's clock: one is ten nanoseconds.
pub(crate) const TICKS_PER_SECOND: u64 = 100_000_000;
/// The strings of the region: the id of each is its position, from 1.
pub(crate) const STRINGS: [&str; 4] = ["GET /cart", "http.status", "service.name", "retry"];

/// Writes one segment after another, each in a chunk of its own; the clock advances by a tick a record, or as told.
pub(crate) struct Log {
    pub(crate) trace: TraceId,
    pub(crate) now: u64,
    base: u64,
    pub(crate) segments: Vec<Segment>,
}

impl Log {
    pub(crate) fn new(trace: TraceId) -> Self {
        Self { trace, now: 1000, base: 0, segments: Vec::new() }
    }

    /// Begins a segment of thread `slot`.
    pub(crate) fn begin(&mut self, slot: u32, parent: u64, marks: u32) {
        self.now += 1;
        self.base = self.now;
        let chunk = self.segments.len() as u32;
        let key = SegmentKey { region: RegionId(1), chunk, generation: 1, offset: 64 };
        let before = self.segments.iter().rev().find(|segment| segment.slot == slot);
        let prev_chunk = before.map_or(Segment::NO_CHUNK, |segment| segment.key.chunk);
        self.segments.push(Segment { key, slot, tid: 100 + slot, prev_chunk, bytes: Vec::new() });
        let words = [self.trace.hi, self.trace.lo, self.base, parent, u64::from(marks) << 32];
        self.record(Kind::Seg, 0, &words, b"");
    }

    pub(crate) fn record(&mut self, kind: Kind, flags: u8, words: &[u64], tail: &[u8]) {
        let dt = match kind {
            Kind::Seg => 0,
            _ => {
                self.now += 1;
                (self.now - self.base) as u32
            }
        };
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain(tail.iter().copied()).collect();
        let header = Header { len: 8 + body.len() as u16, kind: kind as u8, flags, dt };
        let Some(segment) = self.segments.last_mut() else { return };
        segment.bytes.extend(header.pack().to_le_bytes());
        segment.bytes.extend(body);
        let len = align8(segment.bytes.len() as u64) as usize;
        segment.bytes.resize(len, 0);
    }

    pub(crate) fn start(&mut self, span: u64, parent: u64, kind: u8) {
        self.record(Kind::SpanStart, 0, &[span, parent, name(1, kind)], b"");
    }

    pub(crate) fn end_span(&mut self, span: u64) {
        self.record(Kind::SpanEnd, 0, &[span], b"");
    }

    pub(crate) fn end(&mut self) {
        self.record(Kind::SegEnd, 0, &[], b"");
    }
}

/// Returns the name word of string `id`.
pub(crate) const fn name(id: u32, aux: u8) -> u64 {
    backsight_core::record::name_word(id, 0, aux)
}

/// Has `walk` read a segment, and calls `take` for each span that ended.
pub(crate) fn read(walk: &mut Walk, segment: &Segment, take: &mut impl FnMut(&EndedSpan<'_>)) {
    with_copy(segment, |copy| walk.read(copy, take));
}

/// Gives `take` a segment as the recorder would.
pub(crate) fn with_copy<T>(segment: &Segment, take: impl FnOnce(&SegmentCopy<'_>) -> T) -> T {
    take(&SegmentCopy {
        region: segment.key.region,
        service: "shop",
        slot: segment.slot,
        tid: segment.tid,
        chunk: segment.key.chunk,
        prev_chunk: segment.prev_chunk,
        bytes: &segment.bytes,
        string: &|id| STRINGS.get((id.0 as usize).checked_sub(1)?).map(|text| text.as_bytes().to_vec()),
    })
}

/// Returns the ids of the spans that end in `segments`, in the order in which the walk hands them on.
pub(crate) fn ended_in(walk: &mut Walk, segments: &[Segment]) -> Vec<SpanId> {
    let mut ended = Vec::new();
    segments.iter().for_each(|segment| read(walk, segment, &mut |span| ended.push(span.span)));
    ended
}
