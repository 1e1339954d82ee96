//! A writer of thread logs for tests: what a client leaves in its chunks, without the shared memory.

use crate::ids::{AgentId, RegionId, SpanId, StringId, TraceId};
use crate::record::{CrumbDirection, Header, Kind, SpanKind, align8, name_word, seg_flags};
use crate::segment::{Segment, SegmentKey};

/// Writes one segment after another; the clock advances by a tick a record, or as told.
pub(super) struct LogWriter {
    pub(super) trace: TraceId,
    pub(super) region: RegionId,
    pub(super) slot: u32,
    pub(super) now: u64,
    chunk: u32,
    base: u64,
    parent: SpanId,
    pub(super) segments: Vec<Segment>,
}

impl LogWriter {
    pub(super) fn new(trace: TraceId, slot: u32) -> Self {
        let chunk = slot << 6;
        Self { trace, region: RegionId(1), slot, now: 1000, chunk, base: 0, parent: SpanId(0), segments: Vec::new() }
    }

    /// Begins a segment that `parent` caused.
    pub(super) fn begin(&mut self, parent: SpanId, flags: u32) {
        self.segment(parent, AgentId::NONE, flags, u32::MAX);
    }

    pub(super) fn segment(&mut self, parent: SpanId, from: AgentId, flags: u32, prev_chunk: u32) {
        self.now += 1;
        self.base = self.now;
        self.parent = parent;
        let key = SegmentKey {
            region: self.region,
            chunk: self.chunk,
            generation: 1,
            offset: 64 + 48 * self.segments.len() as u32,
        };
        let (slot, tid) = (self.slot, 100 + self.slot);
        self.segments.push(Segment { key, slot, tid, prev_chunk, bytes: Vec::new() });
        let words = [self.trace.hi, self.trace.lo, self.base, parent.0, u64::from(from.0) | u64::from(flags) << 32];
        self.record(Kind::Seg, 0, &words, b"");
    }

    /// Goes on in the next chunk.
    pub(super) fn next_chunk(&mut self) {
        self.next_chunk_in(self.parent);
    }

    /// Goes on in the next chunk, within another span than the segment began in.
    pub(super) fn next_chunk_in(&mut self, span: SpanId) {
        let prev = self.chunk;
        self.chunk += 1;
        self.segment(span, AgentId::NONE, seg_flags::CONTINUED, prev);
    }

    /// Counts on from another time, which a TIME record has told.
    pub(super) fn rebase(&mut self, now: u64) {
        (self.now, self.base) = (now, now);
    }

    pub(super) fn end(&mut self) {
        self.record(Kind::SegEnd, 0, &[], b"");
    }

    pub(super) fn record(&mut self, kind: Kind, flags: u8, words: &[u64], tail: &[u8]) {
        self.now += u64::from(kind != Kind::Seg);
        let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain(tail.iter().copied()).collect();
        let dt = (self.now - self.base) as u32;
        let header = Header { len: (8 + body.len()) as u16, kind: kind as u8, flags, dt };
        let bytes = &mut self.segments.last_mut().unwrap().bytes;
        bytes.extend(header.pack().to_le_bytes());
        bytes.extend(body);
        bytes.resize(align8(bytes.len() as u64) as usize, 0);
    }

    pub(super) fn span_start(&mut self, span: u64, parent: u64, name: &str) {
        let name_of = name_word(0, name.len() as u16, SpanKind::Server as u8);
        self.record(Kind::SpanStart, 0, &[span, parent, name_of], name.as_bytes());
    }

    pub(super) fn span_end(&mut self, span: u64) {
        self.record(Kind::SpanEnd, 0, &[span], b"");
    }

    pub(super) fn crumb(&mut self, agent: u32, direction: CrumbDirection, span: u64) {
        self.record(Kind::Crumb, 0, &[u64::from(agent) | (direction as u64) << 32, span], b"");
    }

    pub(super) fn name(id: u32, aux: u8) -> u64 {
        name_word(StringId(id).0, 0, aux)
    }
}
