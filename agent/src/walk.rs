//! The walk: reads the records of sealed chunks once, in the order of their seals, and hands on each span that has ended.
//!
//! Called by the recorder, which copies segments out of chunks, bounds what that costs ([`budget`]) and passes the spans to whoever looks at
//! them: trigger expressions now. Pure: segments go in, spans come out; any bytes give an answer. A span may begin and end in different
//! chunks, on different threads of its process: what is known of it meanwhile is carried along, in bounded memory ([`carry`]).

pub mod budget;
mod carry;
mod texts;

pub use carry::{CARRIED_BYTES_MAX, CARRIED_SPANS_MAX};
pub use texts::TEXTS_MAX;

use backsight_core::expr::{SpanView, Wanted};
use backsight_core::ids::{RegionId, SpanId, StringId, TraceId};
use backsight_core::record::{Kind, RawRecord, Record, Records, flags, seg_flags};
use backsight_core::trace::{Attribute, AttributeValue};
use backsight_core::units::Nanos;
use carry::{Carried, Carry, SpanKey};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use texts::Texts;

/// Threads that are remembered from the end of a chunk to the next one, for the segment that goes on there.
const THREADS_MAX: usize = 8192;
/// Open spans of one segment within each other; deeper ones are not what a record without a span is about.
const NESTED_MAX: usize = 64;
/// The attribute by which a span says its service, as OpenTelemetry calls it.
const SERVICE_NAME: &str = "service.name";

/// A segment's copy and where it stood.
#[derive(Clone, Copy)]
pub struct SegmentCopy<'a> {
    /// Its region.
    pub region: RegionId,
    /// The service of the process.
    pub service: &'a str,
    /// The thread slot that wrote it.
    pub slot: u32,
    /// The thread.
    pub tid: u32,
    /// Its chunk.
    pub chunk: u32,
    /// The thread's chunk before that.
    pub prev_chunk: u32,
    /// Its records back to back, the SEG record first.
    pub bytes: &'a [u8],
    /// Looks an interned string of the region up.
    pub string: &'a dyn Fn(StringId) -> Option<Vec<u8>>,
}

/// A span that has ended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct EndedSpan<'a> {
    /// Its trace.
    pub trace: TraceId,
    /// Its id.
    pub span: SpanId,
    /// When it ended, in nanoseconds of the clock of records.
    pub end: Nanos,
    /// What it was; of its notes as much as is wanted.
    pub view: SpanView<'a>,
}

/// What could not be carried or read in full, counted since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shortfalls {
    /// Spans whose other half did not come before too many others were open.
    pub spans_given_up: u64,
    /// Threads forgotten in mid-segment, as there were too many.
    pub threads_given_up: u64,
    /// Texts of which only the beginning was looked at, and events of one span beyond the bound.
    pub notes_cut: u64,
}

/// What a thread was at when its chunk was full.
struct Thread {
    /// Its place in the order in which threads were met in mid-segment.
    nth: u64,
    tid: u32,
    chunk: u32,
    trace: TraceId,
    /// See [`Position::open`].
    open: Vec<SpanId>,
    /// See [`Position::cause`].
    cause: SpanId,
}

/// Where the reading of a segment stands.
#[derive(Default)]
struct Position {
    base_ticks: u64,
    /// The span of the record before, for those that leave it out.
    last_span: Option<SpanId>,
    /// The span of the event before, for its attributes.
    last_event: Option<SpanId>,
    /// Spans that started in the segment or that it goes on with, innermost last.
    open: Vec<SpanId>,
    /// What caused the visit, elsewhere or in another visit, 0 for none: what is said of it here is said of the visit.
    cause: SpanId,
}

/// See the module.
pub struct Walk {
    ticks_per_second: u64,
    wanted: Wanted,
    threads: BTreeMap<(RegionId, u32), Thread>,
    /// They in the order in which they were met, with some that are gone.
    order: VecDeque<(u64, (RegionId, u32))>,
    n_met: u64,
    carry: Carry,
    texts: Texts,
    shortfalls: Shortfalls,
}

impl std::fmt::Debug for Walk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Walk").field("n_carried", &self.carry.len()).finish_non_exhaustive()
    }
}

impl Walk {
    /// Returns a walk that has read nothing and remembers of a span's notes what is `wanted`.
    pub fn new(ticks_per_second: u64, wanted: Wanted) -> Self {
        Self {
            ticks_per_second: ticks_per_second.max(1),
            wanted,
            threads: BTreeMap::new(),
            order: VecDeque::new(),
            n_met: 0,
            carry: Carry::default(),
            texts: Texts::default(),
            shortfalls: Shortfalls::default(),
        }
    }

    /// Remembers other notes from now on.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// Returns how many spans are carried along.
    pub fn n_carried(&self) -> usize {
        self.carry.len()
    }

    /// Remembers a thread in mid-segment; of too many the one that was met first is forgotten.
    fn remember(&mut self, key: (RegionId, u32), thread: Thread) {
        self.n_met += 1;
        self.order.push_back((thread.nth, key));
        self.threads.insert(key, thread);
        while self.threads.len() > THREADS_MAX || self.order.len() > 2 * THREADS_MAX {
            let Some((nth, key)) = self.order.pop_front() else { return };
            if self.threads.get(&key).is_some_and(|thread| thread.nth == nth) {
                self.threads.remove(&key);
                self.shortfalls.threads_given_up += 1;
            }
        }
    }

    /// Returns what could not be carried or read in full.
    pub fn shortfalls(&self) -> Shortfalls {
        Shortfalls { spans_given_up: self.carry.n_given_up(), ..self.shortfalls }
    }

    /// Reads a segment and calls `take` for each span of which start and end are known now. The segments of a thread must come in the order
    /// in which it wrote them.
    ///
    /// # Cost
    /// Linear in the bytes; a record takes at most a few lookups in bounded tables.
    pub fn read(&mut self, segment: &SegmentCopy<'_>, take: &mut impl FnMut(&EndedSpan<'_>)) {
        let mut records = Records::new(segment.bytes);
        let first = records.next().and_then(Result::ok).map(|raw| Record::decode(raw.header, raw.body));
        let Some(Ok(Record::Seg { trace, base_tsc, parent_span, seg_flags, .. })) = first else { return };
        let mut reading = Reading { walk: self, segment, trace };
        let mut at = reading.enter(base_tsc, parent_span, seg_flags);
        let mut is_ended = false;
        for raw in records.map_while(Result::ok) {
            is_ended = raw.header.kind == Kind::SegEnd as u8;
            if raw.header.flags & flags::CONTINUES != 0 {
                continue; // as much as is looked at stands in the first fragment
            }
            if let Some((span, ended)) = reading.take(raw, &mut at) {
                take(&ended.as_ended(trace, span, reading.walk.ticks_per_second, segment.service));
            }
        }
        reading.leave(at, is_ended);
    }
}

/// One segment being read.
struct Reading<'w, 's> {
    walk: &'w mut Walk,
    segment: &'s SegmentCopy<'s>,
    trace: TraceId,
}

impl Reading<'_, '_> {
    /// Returns where a segment begins: with the spans that its thread had open in the chunk before, or the one that it resumes.
    fn enter(&mut self, base_ticks: u64, parent: SpanId, marks: u32) -> Position {
        let mut at = Position { base_ticks, ..Position::default() };
        let before = self.walk.threads.remove(&(self.segment.region, self.segment.slot));
        if marks & seg_flags::CONTINUED != 0 {
            let goes_on = |thread: &Thread| {
                thread.trace == self.trace && thread.tid == self.segment.tid && thread.chunk == self.segment.prev_chunk
            };
            (at.open, at.cause) = before.filter(goes_on).map(|thread| (thread.open, thread.cause)).unwrap_or_default();
        } else if marks & seg_flags::RESUME == 0 {
            at.cause = parent;
        } else if let Some(resumed) = self.walk.carry.open(&self.key(parent)) {
            at.open.push(parent);
            at.cause = resumed.cause;
        }
        at
    }

    /// Remembers what the thread was at, where the segment goes on in its next chunk.
    fn leave(&mut self, at: Position, is_ended: bool) {
        if is_ended || at.open.is_empty() && at.cause.is_none() {
            return;
        }
        let Position { open, cause, .. } = at;
        let (nth, SegmentCopy { tid, chunk, .. }) = (self.walk.n_met, *self.segment);
        let thread = Thread { nth, tid, chunk, trace: self.trace, open, cause };
        self.walk.remember((self.segment.region, self.segment.slot), thread);
    }

    /// Takes a record; returns the span that is known from start to end now, if one is.
    fn take(&mut self, raw: RawRecord<'_>, at: &mut Position) -> Option<(SpanId, Carried)> {
        let ticks = at.base_ticks.saturating_add(raw.header.dt.into());
        let record = Record::decode(raw.header, raw.body).ok()?;
        let span = match record {
            Record::Time { tsc } => {
                at.base_ticks = tsc;
                return None;
            }
            Record::SpanStart { span, .. } => span,
            Record::SpanEnd { span }
            | Record::Attr { span, .. }
            | Record::Event { span, .. }
            | Record::Status { span, .. }
            | Record::Rename { span, .. }
            | Record::Exception { span, .. }
            | Record::Link { span, .. } => {
                let span = span.or(at.last_span)?;
                at.last_span = Some(span);
                let ends_own =
                    matches!(record, Record::SpanEnd { .. }) && self.walk.carry.open(&self.key(span)).is_some();
                if span == at.cause && !span.is_none() && !ends_own {
                    return None;
                }
                if span.is_none() { self.innermost(at)? } else { span }
            }
            _ => return None,
        };
        match record {
            Record::SpanStart { .. } => {
                at.last_span = Some(span);
                self.start(span, ticks, record, at.cause);
                at.open.push(span);
                at.open.truncate(NESTED_MAX);
            }
            Record::SpanEnd { .. } => {
                let carried = self.carried(span)?;
                carried.end_ticks = carried.end_ticks.max(Some(ticks));
            }
            Record::Attr { of_event: true, .. } => self.note_event_attribute(span, record, at),
            Record::Event { .. } | Record::Exception { .. } => self.note_event(span, ticks, record, at),
            _ => self.note(span, ticks, record),
        }
        let ended = self.walk.carry.take_ended(&self.key(span))?;
        Some((span, ended))
    }

    fn start(&mut self, span: SpanId, ticks: u64, record: Record<'_>, cause: SpanId) {
        let Record::SpanStart { parent, name, kind, .. } = record else { return };
        let name = self.walk.texts.name(self.segment, name, &mut self.walk.shortfalls.notes_cut);
        // The spans inside one that says its service are of that service too.
        let service = self.walk.carry.get(&self.key(parent)).and_then(|around| around.service.clone());
        let Some(carried) = self.carried(span) else { return };
        if carried.start_ticks.is_none() {
            (carried.start_ticks, carried.cause, carried.kind, carried.name) = (Some(ticks), cause, kind, name);
            carried.service = carried.service.take().or(service);
        }
        self.measure(span);
    }

    /// Takes what a record says of a span itself.
    fn note(&mut self, span: SpanId, ticks: u64, record: Record<'_>) {
        let Walk { texts, shortfalls, wanted, .. } = &mut *self.walk;
        let n_cut = &mut shortfalls.notes_cut;
        match record {
            Record::Attr { key, value, .. } => {
                let key = texts.name(self.segment, key, n_cut);
                let is_service = &*key == SERVICE_NAME;
                if !is_service && !wanted.attributes.contains(&key) {
                    return;
                }
                let is_wanted = wanted.attributes.contains(&key);
                let value = texts.value(self.segment, value, n_cut);
                let Some(carried) = self.carried(span) else { return };
                match &value {
                    AttributeValue::Str(service) if is_service && !service.is_empty() => {
                        carried.service = Some(service.clone());
                    }
                    _ => {}
                }
                if is_wanted {
                    carried.set_attribute(ticks, Attribute { key, value });
                }
            }
            Record::Status { code, text, .. } => {
                let text = texts::text(text, n_cut);
                let Some(carried) = self.carried(span) else { return };
                if carried.status_ticks <= Some(ticks) {
                    (carried.status_ticks, carried.status, carried.status_message) = (Some(ticks), code, text);
                }
            }
            Record::Rename { name, .. } => {
                let name = texts.name(self.segment, name, n_cut);
                let Some(carried) = self.carried(span) else { return };
                if carried.rename.as_ref().is_none_or(|(before, _)| *before <= ticks) {
                    carried.rename = Some((ticks, name));
                }
            }
            _ => return,
        }
        self.measure(span);
    }

    fn note_event(&mut self, span: SpanId, ticks: u64, record: Record<'_>, at: &mut Position) {
        at.last_event = Some(span);
        let Walk { texts, shortfalls, wanted, .. } = &mut *self.walk;
        if !wanted.has_events {
            return;
        }
        let n_cut = &mut shortfalls.notes_cut;
        let (name, attributes) = match record {
            Record::Event { name, .. } => (texts.name(self.segment, name, n_cut), Vec::new()),
            Record::Exception { kind, text, .. } => {
                let of_type = texts.name(self.segment, kind, n_cut);
                let said = [("exception.type", of_type), ("exception.message", texts::text(text, n_cut))];
                let is_wanted = |(key, _): &(&str, Arc<str>)| wanted.event_attributes.contains(*key);
                let attribute =
                    |(key, text): (&str, _)| Attribute { key: key.into(), value: AttributeValue::Str(text) };
                ("exception".into(), said.into_iter().filter(is_wanted).map(attribute).collect())
            }
            _ => return,
        };
        let Some(carried) = self.carried(span) else { return };
        let is_taken = carried.add_event(ticks, name, attributes);
        self.walk.shortfalls.notes_cut += u64::from(!is_taken);
        self.measure(span);
    }

    /// Takes an attribute of the event before it in the segment.
    fn note_event_attribute(&mut self, span: SpanId, record: Record<'_>, at: &Position) {
        let Record::Attr { key, value, .. } = record else { return };
        let Walk { texts, shortfalls, wanted, .. } = &mut *self.walk;
        let n_cut = &mut shortfalls.notes_cut;
        let key = texts.name(self.segment, key, n_cut);
        if at.last_event != Some(span) || !wanted.event_attributes.contains(&key) {
            return;
        }
        let value = texts.value(self.segment, value, n_cut);
        let Some(carried) = self.carried(span) else { return };
        let is_taken = carried.add_event_attribute(Attribute { key, value });
        self.walk.shortfalls.notes_cut += u64::from(!is_taken);
        self.measure(span);
    }

    /// Returns the innermost span that is open in the segment.
    fn innermost(&self, at: &mut Position) -> Option<SpanId> {
        while let Some(span) = at.open.last().copied() {
            if self.walk.carry.open(&self.key(span)).is_some() {
                return Some(span);
            }
            at.open.pop();
        }
        None
    }

    /// Returns what is carried of a span, or makes room for it; `None` for the span 0, which nobody ends.
    fn carried(&mut self, span: SpanId) -> Option<&mut Carried> {
        let key = self.key(span);
        if span.is_none() { None } else { Some(self.walk.carry.entry(key)) }
    }

    fn measure(&mut self, span: SpanId) {
        let key = self.key(span);
        self.walk.carry.measure(&key);
    }

    fn key(&self, span: SpanId) -> SpanKey {
        SpanKey { region: self.segment.region, trace: self.trace, span }
    }
}

#[cfg(test)]
pub(crate) mod log;
#[cfg(test)]
mod tests;
