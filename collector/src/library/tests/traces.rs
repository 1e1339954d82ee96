//! Reports for tests: logs as clients write them, in the slices that an agent sends.

use backsight_core::clock::CalibrationPoint;
use backsight_core::holding::{Holding, HoldingState};
use backsight_core::ids::{AgentId, RegionId, StringId, TraceId, TriggerId};
use backsight_core::record::{Header, Kind, SpanKind, StatusCode, align8, name_word};
use backsight_core::segment::{Process, Segment, SegmentKey, Slice};
use backsight_proto::v1;
use backsight_proto::wire::Report;

/// When tick 0 was; a tick is a nanosecond.
pub(crate) const EPOCH_NS: u64 = 1_000_000_000_000_000_000;

/// A span to write.
#[derive(Clone, Copy, Default)]
pub(crate) struct TestSpan {
    pub(crate) id: u64,
    pub(crate) parent: u64,
    pub(crate) name: &'static str,
    pub(crate) start: u64,
    pub(crate) took: u64,
    pub(crate) is_error: bool,
}

/// What a process reports.
#[derive(Clone)]
pub(crate) struct TestReport {
    pub(crate) trace: TraceId,
    pub(crate) region: u64,
    pub(crate) service: &'static str,
    pub(crate) trigger: TriggerId,
    pub(crate) revision: u64,
    pub(crate) segments: Vec<Vec<TestSpan>>,
}

pub(crate) fn trace(lo: u64) -> TraceId {
    TraceId::new(7, lo)
}

/// Returns a report of one span.
pub(crate) fn one_span(lo: u64, service: &'static str, span: TestSpan) -> TestReport {
    let trigger = TriggerId::MANUAL;
    TestReport { trace: trace(lo), region: 1, service, trigger, revision: 1, segments: vec![vec![span]] }
}

impl TestReport {
    /// Returns the message.
    pub(crate) fn message(&self) -> v1::TraceReport {
        (&self.report()).into()
    }

    pub(crate) fn report(&self) -> Report {
        let segments: Vec<_> =
            self.segments.iter().enumerate().map(|(idx, spans)| self.segment(idx as u32, spans)).collect();
        let holding = Holding {
            trace: self.trace,
            state: HoldingState::Kept,
            revision: self.revision,
            n_segments: segments.len() as u64,
            bytes: segments.iter().map(|segment| segment.bytes.len() as u64).sum(),
            ..Holding::default()
        };
        let point = |s: u64| CalibrationPoint { ticks: s, realtime_ns: EPOCH_NS + s, monotonic_ns: s };
        let process = Process {
            agent: AgentId::NONE, // that of the stream
            region: RegionId(self.region),
            pid: 42,
            service: self.service.to_owned(),
            death: None,
            strings: vec![(StringId(self.revision as u32), format!("string of {}", self.revision))],
            clock: vec![point(0), point(1_000_000_000)],
        };
        Report {
            holding,
            trigger: self.trigger,
            fired_ns: EPOCH_NS + 5,
            base: None,
            slices: vec![Slice { process, segments }],
            ..Report::default()
        }
    }

    /// Writes the spans of one segment, in the order of time.
    fn segment(&self, idx: u32, spans: &[TestSpan]) -> Segment {
        let base = spans.iter().map(|span| span.start).min().unwrap_or(1);
        let mut bytes = Vec::new();
        record(&mut bytes, Kind::Seg, 0, &[self.trace.hi, self.trace.lo, base, 0, 0], b"");
        let mut records = Vec::new();
        for span in spans {
            let name_of = name_word(0, span.name.len() as u16, SpanKind::Server as u8);
            records.push((span.start, Kind::SpanStart, vec![span.id, span.parent, name_of], span.name));
            let end = span.start + span.took;
            if span.is_error {
                records.push((end, Kind::Status, vec![span.id, StatusCode::Error as u64], ""));
            }
            records.push((end, Kind::SpanEnd, vec![span.id], ""));
        }
        records.sort_by_key(|(at, ..)| *at);
        for (at, kind, words, tail) in &records {
            record(&mut bytes, *kind, (at - base) as u32, words, tail.as_bytes());
        }
        let key = SegmentKey { region: RegionId(self.region), chunk: idx, generation: 1, offset: 64 };
        Segment { key, slot: idx, tid: 100 + idx, prev_chunk: Segment::NO_CHUNK, bytes }
    }
}

fn record(bytes: &mut Vec<u8>, kind: Kind, dt: u32, words: &[u64], tail: &[u8]) {
    let body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain(tail.iter().copied()).collect();
    let header = Header { len: (8 + body.len()) as u16, kind: kind as u8, flags: 0, dt };
    bytes.extend(header.pack().to_le_bytes());
    bytes.extend(body);
    bytes.resize(align8(bytes.len() as u64) as usize, 0);
}
