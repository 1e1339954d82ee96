//! The log of a process's threads: segments in order, continuations linked, fragments joined, clock ticks absolute.
//!
//! Called by assembly, once for each process. It gives records, not meaning: bodies stay undecoded.

use super::Malformed;
use crate::ids::{AgentId, SpanId, TraceId};
use crate::record::{Header, Kind, PAYLOAD_MAX_BYTES, Record, Records, flags, seg_flags};
use crate::segment::{Segment, SegmentKey};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// The longest joined body: a whole payload, and names and ids in front of it.
const JOINED_MAX_BYTES: usize = PAYLOAD_MAX_BYTES as usize + (64 << 10);

/// A segment, read.
pub(super) struct LogSegment<'a> {
    pub(super) thread: Thread,
    pub(super) base_ticks: u64,
    pub(super) parent_span: SpanId,
    pub(super) from_agent: AgentId,
    pub(super) seg_flags: u32,
    /// When it ended, where it did in this chunk.
    pub(super) end_ticks: Option<u64>,
    /// Its last record's time, or its base.
    pub(super) last_ticks: u64,
    /// The segment that this one continues, by its position in the log; always an earlier one.
    pub(super) continues: Option<usize>,
    /// The segment in which the record began that is completed first in this one.
    pub(super) joins: Option<usize>,
    pub(super) records: Vec<LogRecord<'a>>,
    key: SegmentKey,
    prev_chunk: u32,
}

/// Who wrote a segment. A slot is used again after its thread has exited.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Thread {
    pub(super) slot: u32,
    pub(super) tid: u32,
}

/// A record with its own time; whole, once the log is read.
pub(super) struct LogRecord<'a> {
    pub(super) ticks: u64,
    pub(super) header: Header,
    pub(super) body: Cow<'a, [u8]>,
}

/// Reads the segments of one process, each key once, and returns those of `trace` by base ticks.
///
/// # Cost
/// Time `n log n`, memory linear in the bytes given; only joined bodies are copied.
pub(super) fn read<'a>(
    trace: TraceId,
    segments: impl Iterator<Item = &'a Segment>,
    malformed: &mut Malformed,
) -> Vec<LogSegment<'a>> {
    let mut log = Vec::new();
    for segment in longest_of_each_key(segments) {
        match read_segment(trace, segment, malformed) {
            Some(read) => log.push(read),
            None => malformed.segments += 1,
        }
    }
    // A thread's segments follow each other by time, and within a chunk by offset. The whole log has the same order, so that what one
    // thread says of another's span is mostly read after that span's start.
    log.sort_by_key(|segment| (segment.base_ticks, segment.thread, segment.key.chunk, segment.key.offset));
    let place = |segment: &LogSegment<'_>| (segment.base_ticks, segment.thread);
    log.chunk_by_mut(|a, b| place(a) == place(b)).filter(|tied| tied.len() > 1).for_each(follow_links);
    let mut threads: BTreeMap<Thread, Joiner<'a>> = BTreeMap::new();
    for idx in 0..log.len() {
        threads.entry(log[idx].thread).or_default().take(&mut log, idx, malformed);
    }
    malformed.fragments += threads.values().filter(|joiner| joiner.unfinished.is_some()).count() as u64;
    log
}

/// Orders segments of one thread and one tick by the links of their chunks: one long record fills many, whose numbers need not ascend.
fn follow_links(tied: &mut [LogSegment<'_>]) {
    let chunks: BTreeSet<u32> = tied.iter().map(|segment| segment.key.chunk).collect();
    let next: BTreeMap<u32, u32> = tied.iter().map(|segment| (segment.prev_chunk, segment.key.chunk)).collect();
    let is_first = |segment: &&LogSegment<'_>| !chunks.contains(&segment.prev_chunk);
    // Where the chunk before the first was granted again and stands among them, the first says itself that it continues none, or no record.
    let begins = |segment: &&LogSegment<'_>| segment.seg_flags & seg_flags::CONTINUED == 0;
    let has_start = |segment: &&LogSegment<'_>| {
        segment.records.first().is_none_or(|record| record.header.flags & flags::CONTINUES == 0)
    };
    let find = |is: &dyn Fn(&&LogSegment<'_>) -> bool| tied.iter().find(is);
    let Some(first) = find(&is_first).or_else(|| find(&begins)).or_else(|| find(&has_start)) else { return };
    let mut rank = BTreeMap::new();
    let mut chunk = first.key.chunk;
    while !rank.contains_key(&chunk) {
        rank.insert(chunk, rank.len());
        let Some(after) = next.get(&chunk) else { break };
        chunk = *after;
    }
    let rank_of = |segment: &LogSegment<'_>| rank.get(&segment.key.chunk).copied().unwrap_or(usize::MAX);
    tied.sort_by_key(|segment| (rank_of(segment), segment.key.chunk, segment.key.offset));
}

/// Returns the segments by key; of several copies the one that was committed furthest.
fn longest_of_each_key<'a>(segments: impl Iterator<Item = &'a Segment>) -> impl Iterator<Item = &'a Segment> {
    let mut by_key: BTreeMap<SegmentKey, &Segment> = BTreeMap::new();
    for segment in segments {
        let kept = by_key.entry(segment.key).or_insert(segment);
        if segment.bytes.len() > kept.bytes.len() {
            *kept = segment;
        }
    }
    by_key.into_values()
}

/// Reads one segment, or returns `None` where it does not begin with a SEG record of `trace`.
fn read_segment<'a>(trace: TraceId, segment: &'a Segment, malformed: &mut Malformed) -> Option<LogSegment<'a>> {
    let mut raws = Records::new(&segment.bytes);
    let first = raws.next()?.ok()?;
    let Ok(Record::Seg { trace: of, base_tsc, parent_span, from_agent, seg_flags }) =
        Record::decode(first.header, first.body)
    else {
        return None;
    };
    if of != trace {
        return None;
    }
    let mut read = LogSegment {
        thread: Thread { slot: segment.slot, tid: segment.tid },
        base_ticks: base_tsc,
        parent_span,
        from_agent,
        seg_flags,
        end_ticks: None,
        last_ticks: base_tsc,
        continues: None,
        joins: None,
        records: Vec::new(),
        key: segment.key,
        prev_chunk: segment.prev_chunk,
    };
    let mut base = base_tsc;
    for raw in raws {
        let Ok(raw) = raw else {
            malformed.records += 1;
            break;
        };
        let ticks = base.saturating_add(u64::from(raw.header.dt));
        match Kind::from_code(raw.header.kind) {
            Some(Kind::Time) => match Record::decode(raw.header, raw.body) {
                Ok(Record::Time { tsc }) => base = tsc,
                _ => malformed.records += 1,
            },
            Some(Kind::Seg) => {
                malformed.records += 1;
                break;
            }
            Some(Kind::SegEnd) => read.end_ticks = Some(ticks),
            _ => {
                read.end_ticks = None; // the thread paused, and went on
                read.last_ticks = read.last_ticks.max(ticks);
                read.records.push(LogRecord { ticks, header: raw.header, body: Cow::Borrowed(raw.body) });
            }
        }
    }
    Some(read)
}

/// Follows one thread's log: finds what a segment continues, and joins fragments.
#[derive(Default)]
struct Joiner<'a> {
    /// The thread's segment before, by its position in the log.
    last: Option<usize>,
    /// A record whose next fragment has yet to come, and the segment that it began in.
    unfinished: Option<(usize, LogRecord<'a>)>,
}

impl<'a> Joiner<'a> {
    /// Takes the thread's next segment, at position `idx` of `log`.
    fn take(&mut self, log: &mut [LogSegment<'a>], idx: usize, malformed: &mut Malformed) {
        let continues = self.last.filter(|last| is_continuation(&log[*last], &log[idx]));
        log[idx].continues = continues;
        if continues.is_none() && self.unfinished.take().is_some() {
            malformed.fragments += 1;
        }
        self.last = Some(idx);
        for (nth, record) in std::mem::take(&mut log[idx].records).into_iter().enumerate() {
            let (continues, more) =
                (record.header.flags & flags::CONTINUES != 0, record.header.flags & flags::MORE != 0);
            if !continues {
                malformed.fragments += u64::from(self.unfinished.take().is_some());
                match more {
                    true => self.unfinished = Some((idx, record)),
                    false => log[idx].records.push(record),
                }
                continue;
            }
            let Some((home, mut whole)) = self.unfinished.take() else {
                malformed.fragments += u64::from(!more);
                continue;
            };
            if whole.header.kind != record.header.kind || whole.body.len() + record.body.len() > JOINED_MAX_BYTES {
                malformed.fragments += 1;
                continue;
            }
            whole.body.to_mut().extend_from_slice(&record.body);
            whole.header.flags |= record.header.flags & flags::TRUNCATED;
            if more {
                self.unfinished = Some((home, whole));
            } else {
                if nth == 0 {
                    log[idx].joins = Some(home);
                }
                log[home].records.push(whole);
            }
        }
    }
}

/// Returns whether `next` goes on where `last`, the segment before it of the same thread, had filled its chunk.
fn is_continuation(last: &LogSegment<'_>, next: &LogSegment<'_>) -> bool {
    next.seg_flags & seg_flags::CONTINUED != 0 && next.prev_chunk == last.key.chunk && last.end_ticks.is_none()
}
