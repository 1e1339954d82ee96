//! A thread's log as a reader understands it: chunks chained, segments joined to visits, fragments to records, elided spans filled in.
//!
//! Written from the document alone, so that it disagrees with the writer where the two would.

use crate::region::Chunk;
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::record::{Header, Kind, Level, Record, Records, flags, seg_flags};
use std::collections::BTreeMap;

/// A record, whole, with its span written out.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) ticks: u64,
    pub(crate) kind: u8,
    /// Without those that say how it was stored.
    pub(crate) flags: u8,
    pub(crate) body: Vec<u8>,
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ticks, kind, flags, body } = self;
        let (start, len) = (&body[..body.len().min(8)], body.len());
        write!(f, "{kind:#x}/{flags:#x} at {ticks}, {len} B {start:x?}")
    }
}

/// What a thread did for one trace from begin to end, over all of its segments.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Visit {
    pub(crate) trace: TraceId,
    /// [`SpanId::NONE`] for one that goes on in the segment of the visit before: it has no SEG record that says it.
    pub(crate) parent_span: SpanId,
    pub(crate) from_agent: AgentId,
    /// Those of its first segment without `IMPLICIT_END` and `DETAIL`, and `LOSS` where any segment has it.
    pub(crate) flags: u32,
    pub(crate) start_ticks: u64,
    pub(crate) end_ticks: Option<u64>,
    pub(crate) items: Vec<Item>,
}

/// A LOST record and where it stood: before any segment, or within the visit of this number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Loss {
    pub(crate) n: u32,
    pub(crate) bytes: u64,
    pub(crate) first_ticks: u64,
    pub(crate) last_ticks: u64,
    /// Visits found before it; the one that it stands in included.
    pub(crate) n_visits: usize,
    pub(crate) in_segment: bool,
}

#[derive(Clone, Default, Debug)]
pub(crate) struct Log {
    pub(crate) visits: Vec<Visit>,
    pub(crate) losses: Vec<Loss>,
    /// By trace, the lowest level that its segments say was left out.
    pub(crate) left_out: BTreeMap<TraceId, Level>,
    /// A record whose next fragment has not been found, with its visit.
    unfinished: Option<Item>,
    last_chunk: Option<u32>,
    last_span: Option<u64>,
}

/// Orders the chunks of one thread, by time and by their links, behind chunk `last`.
///
/// Time comes first because a link names a chunk, not its generation: a chunk granted again may even follow itself.
pub(crate) fn chain(mut chunks: Vec<Chunk>, last: Option<u32>) -> Vec<Chunk> {
    chunks.sort_by_key(|chunk| chunk.info.first_ticks);
    let mut next = last.unwrap_or(u32::MAX);
    let mut ordered = Vec::new();
    for same_tick in chunks.chunk_by(|a, b| a.info.first_ticks == b.info.first_ticks) {
        let order = path(same_tick, next, &mut vec![false; same_tick.len()]).expect("links lead to every chunk");
        ordered.extend(order.into_iter().map(|idx| same_tick[idx].clone()));
        next = ordered.last().map_or(next, |chunk| chunk.id.code());
    }
    ordered
}

/// Returns an order of the unused chunks in which each follows the one before.
fn path(chunks: &[Chunk], next: u32, used: &mut Vec<bool>) -> Option<Vec<usize>> {
    if used.iter().all(|used| *used) {
        return Some(Vec::new());
    }
    for idx in 0..chunks.len() {
        if used[idx] || chunks[idx].info.prev_chunk != next {
            continue;
        }
        used[idx] = true;
        if let Some(mut rest) = path(chunks, chunks[idx].id.code(), used) {
            rest.insert(0, idx);
            return Some(rest);
        }
        used[idx] = false;
    }
    None
}

impl Log {
    pub(crate) fn last_chunk(&self) -> Option<u32> {
        self.last_chunk
    }

    /// Reads the thread's next chunk.
    pub(crate) fn take(&mut self, chunk: &Chunk) {
        assert_eq!(chunk.info.prev_chunk, self.last_chunk.unwrap_or(u32::MAX), "the chunk follows the one before");
        for raw in Records::new(&chunk.preamble) {
            let raw = raw.expect("the preamble decodes");
            assert_eq!(raw.header.kind, Kind::Lost as u8, "only losses stand before the first segment");
            self.lost(raw.header, raw.body, false);
        }
        for (nth, (info, bytes)) in chunk.segments.iter().enumerate() {
            self.segment(bytes, nth == 0);
            assert!(info.flags & seg_flags::CONTINUED == 0 || nth == 0, "only a chunk's first segment goes on");
        }
        self.last_chunk = Some(chunk.id.code());
    }

    fn segment(&mut self, bytes: &[u8], first: bool) {
        let mut raws = Records::new(bytes);
        let start = raws.next().expect("a segment has a first record").expect("which decodes");
        let decoded = Record::decode(start.header, start.body).expect("a SEG record decodes");
        let Record::Seg { trace, base_tsc, parent_span, from_agent, seg_flags: bits } = decoded else {
            panic!("a segment begins with SEG, not {decoded:?}");
        };
        self.last_span = None;
        if let Some(level) = Level::left_out(bits) {
            let lowest = self.left_out.entry(trace).or_insert(level);
            *lowest = level.min(*lowest);
        }
        if bits & seg_flags::CONTINUED == 0 {
            self.unfinished = None;
            let flags = bits & !(seg_flags::IMPLICIT_END | seg_flags::DETAIL);
            self.visits.push(Visit {
                trace,
                parent_span,
                from_agent,
                flags,
                start_ticks: base_tsc,
                end_ticks: None,
                items: Vec::new(),
            });
        } else {
            assert!(first, "a segment goes on only from chunk to chunk");
            let visit = self.visits.last_mut().expect("a continued segment has a beginning");
            if visit.parent_span.is_none() {
                (visit.parent_span, visit.from_agent) = (parent_span, from_agent);
            }
            assert_eq!((visit.trace, visit.parent_span), (trace, parent_span), "it goes on with the visit before");
            assert_eq!(visit.end_ticks, None, "what has ended does not go on");
            visit.flags |= bits & seg_flags::LOSS;
        }
        let mut base = base_tsc;
        for raw in raws {
            let raw = raw.expect("a segment's records decode");
            if raw.header.kind == Kind::Pad as u8 {
                continue; // what follows is lost
            }
            let ticks = base + u64::from(raw.header.dt);
            self.go_on(ticks);
            match Kind::from_code(raw.header.kind) {
                Some(Kind::Time) => match Record::decode(raw.header, raw.body) {
                    Ok(Record::Time { tsc }) => base = tsc,
                    other => panic!("a TIME record is {other:?}"),
                },
                Some(Kind::SegEnd) => self.visits.last_mut().expect("a visit").end_ticks = Some(ticks),
                Some(Kind::Lost) => self.lost(raw.header, raw.body, true),
                _ => self.record(ticks, raw.header, raw.body),
            }
        }
    }

    /// Begins a visit where the one that stands here has ended: its thread went on with it.
    fn go_on(&mut self, ticks: u64) {
        let before = self.visits.last_mut().expect("a visit");
        if before.end_ticks.is_none() {
            return;
        }
        // A visit that loses something leaves its chunk: what its segment says of losses is of the last visit in it.
        let loss = before.flags & seg_flags::LOSS;
        before.flags -= loss;
        let visit = Visit {
            trace: before.trace,
            parent_span: SpanId::NONE,
            from_agent: AgentId::NONE,
            flags: seg_flags::RESUME | loss,
            start_ticks: ticks,
            end_ticks: None,
            items: Vec::new(),
        };
        self.visits.push(visit);
    }

    fn lost(&mut self, header: Header, body: &[u8], in_segment: bool) {
        let Ok(Record::Lost { reason: 1, n, bytes, first_tsc, last_tsc }) = Record::decode(header, body) else {
            panic!("a LOST record of another reason, or malformed");
        };
        let n_visits = self.visits.len();
        self.losses.push(Loss { n, bytes, first_ticks: first_tsc, last_ticks: last_tsc, n_visits, in_segment });
    }

    fn record(&mut self, ticks: u64, header: Header, body: &[u8]) {
        let bits = header.flags & !(flags::MORE | flags::CONTINUES | flags::ELIDED);
        let mut item = match header.flags & flags::CONTINUES != 0 {
            true => {
                let mut item = self.unfinished.take().expect("a fragment has a beginning");
                assert_eq!((item.kind, item.flags), (header.kind, bits), "fragments of one record agree");
                item.body.extend_from_slice(body);
                item
            }
            false => {
                self.unfinished = None;
                Item { ticks, kind: header.kind, flags: bits, body: self.with_span(header, body) }
            }
        };
        if header.flags & flags::MORE != 0 {
            self.unfinished = Some(item);
            return;
        }
        item.body.shrink_to_fit();
        self.visits.last_mut().expect("a record stands in a visit").items.push(item);
    }

    /// Returns the body with its span id in front, if its kind has one, and remembers which it was.
    fn with_span(&mut self, header: Header, body: &[u8]) -> Vec<u8> {
        let names_span =
            (Kind::SpanStart as u8..=Kind::Rename as u8).contains(&header.kind) || header.kind == Kind::Exception as u8;
        if header.flags & flags::ELIDED != 0 {
            assert!(names_span, "kind {:#x} has no span to leave out", header.kind);
            let span = self.last_span.expect("a left-out span was named before, in the same segment");
            return [&span.to_le_bytes(), body].concat();
        }
        if names_span {
            self.last_span = body.first_chunk().map(|word| u64::from_le_bytes(*word));
        }
        body.to_vec()
    }
}
