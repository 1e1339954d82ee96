//! A trace as one flat list of spans, which is how everybody but us knows a trace: what is a span, under which it hangs, on whose clock its times
//! are, and until when it lasted where nobody saw its end.
//!
//! Called by [`crate::columns`], by the exports, and by the rows of searches and of parts. Each of them adds its own form and decides none of this
//! again; no form is known here.

mod calls;
mod ends;
mod event;
mod home;
mod nesting;
#[cfg(test)]
mod tests;

pub use event::{FlatEvent, Happened};
pub use home::{Home, UNKNOWN_SERVICE};

use crate::ids::SpanId;
use crate::record::{SpanKind, StatusCode};
use crate::trace::{Attribute, Link, Notes, ProcessClock, Span, Trace, Visit};
use home::Homes;
use nesting::Nesting;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a visit is called where it is a span.
pub const VISIT: &str = "visit";

/// Keys of the attributes that tell of what others have no place for.
pub mod key {
    /// Of a span: nobody saw its end. True.
    pub const OPEN: &str = "backsight.open";
    /// Of a span: the death of its process cut it short. True.
    pub const CUT: &str = "backsight.cut";
    /// Of a span: its start was not found. True.
    pub const START_LOST: &str = "backsight.start_lost";
    /// Of a span: the thread that began it.
    pub const TID: &str = "backsight.tid";
    /// Of an event: its message.
    pub const MESSAGE: &str = "message";
    /// Of an event that is a payload: its bytes.
    pub const PAYLOAD: &str = "backsight.payload";
    /// Of an event that is a payload: its name, where it has one.
    pub const NAME: &str = "backsight.name";
    /// Of an event that is a payload: more was offered than one call may record. True.
    pub const TRUNCATED: &str = "backsight.truncated";
}

/// What a flat span is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Part<'t> {
    /// A span.
    Span(&'t Span),
    /// A visit, which stands for a span.
    Visit(&'t Visit),
}

impl<'t> Part<'t> {
    /// Returns its process.
    pub const fn process_idx(self) -> usize {
        match self {
            Self::Span(span) => span.process_idx,
            Self::Visit(visit) => visit.process_idx,
        }
    }

    /// Returns the thread that began it.
    pub const fn tid(self) -> u32 {
        match self {
            Self::Span(span) => span.tid,
            Self::Visit(visit) => visit.tid,
        }
    }

    /// Returns what was recorded in it.
    pub const fn notes(self) -> &'t Notes {
        match self {
            Self::Span(span) => &span.notes,
            Self::Visit(visit) => &visit.notes,
        }
    }

    /// Returns its start and its end, as its process has them.
    const fn times(self) -> (u64, Option<u64>) {
        match self {
            Self::Span(span) => (span.start_ns, span.end_ns),
            Self::Visit(visit) => (visit.start_ns, visit.end_ns),
        }
    }

    /// Returns the service that it says itself.
    const fn service(self) -> Option<&'t Arc<str>> {
        match self {
            Self::Span(span) => Some(&span.service),
            Self::Visit(_) => None,
        }
    }

    const fn ending(self) -> Ending {
        let (end_ns, is_cut) = match self {
            Self::Span(span) => (span.end_ns, span.is_cut),
            Self::Visit(visit) => (visit.end_ns, visit.is_cut),
        };
        match (end_ns, is_cut) {
            (_, true) => Ending::Cut,
            (None, false) => Ending::Open,
            (Some(_), false) => Ending::Seen,
        }
    }
}

/// How it is known when a span ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Ending {
    /// It said so.
    #[default]
    Seen,
    /// Nobody saw its end: it may go on.
    Open,
    /// Its process died.
    Cut,
}

impl Ending {
    /// Returns the key of the attribute that says so, if that has to be said.
    pub const fn key(self) -> Option<&'static str> {
        match self {
            Self::Seen => None,
            Self::Open => Some(key::OPEN),
            Self::Cut => Some(key::CUT),
        }
    }
}

/// A span as others know it.
#[derive(Clone, Debug)]
pub struct FlatSpan<'t> {
    /// Its id; for a visit [`Trace::visit_id`].
    pub id: SpanId,
    /// The id of the flat span that caused it, 0 for none; it may be missing.
    pub parent: SpanId,
    /// What it is.
    pub part: Part<'t>,
    /// What it is of: a position in [`FlatTrace::homes`].
    pub home_idx: usize,
    /// Its start.
    pub start_ns: u64,
    /// Its end, never before its start: see [`FlatTrace`].
    pub end_ns: u64,
    /// How that is known.
    pub ending: Ending,
    /// Whether its start was not found, or its times are those of a clock that nobody knows.
    pub is_repaired: bool,
    /// When calls of it went out that were never answered, in the order of the trace.
    pub open_calls_ns: Vec<u64>,
    /// What its times are behind those of its process.
    behind_ns: u64,
}

impl<'t> FlatSpan<'t> {
    /// Returns whether a visit stands for it.
    pub const fn is_visit(&self) -> bool {
        matches!(self.part, Part::Visit(_))
    }

    /// Returns whether its start was found.
    pub const fn is_started(&self) -> bool {
        match self.part {
            Part::Span(span) => span.is_started,
            Part::Visit(_) => true,
        }
    }

    /// Returns its name.
    pub fn operation(&self) -> &'t str {
        match self.part {
            Part::Span(span) => &span.name,
            Part::Visit(_) => VISIT,
        }
    }

    /// Returns its kind.
    pub const fn kind(&self) -> SpanKind {
        match self.part {
            Part::Span(span) => span.kind,
            Part::Visit(_) => SpanKind::Internal,
        }
    }

    /// Returns how it ended.
    pub const fn status(&self) -> StatusCode {
        match self.part {
            Part::Span(span) => span.status,
            Part::Visit(_) => StatusCode::Unset,
        }
    }

    /// Returns why, often nothing.
    pub fn status_text(&self) -> &'t str {
        match self.part {
            Part::Span(span) => &span.status_text,
            Part::Visit(_) => "",
        }
    }

    /// Returns the spans of other traces that it names.
    pub fn links(&self) -> &'t [Link] {
        match self.part {
            Part::Span(span) => &span.links,
            Part::Visit(_) => &[],
        }
    }

    /// Returns its attributes: those that were recorded, then ours ([`key`]) that say how it ended, that its start was lost, and its thread.
    pub fn attributes(&self) -> impl Iterator<Item = Cow<'t, Attribute>> {
        let flags = self.ending.key().into_iter().chain((!self.is_started()).then_some(key::START_LOST));
        let ours = flags.map(|key| Attribute::new(key, true.into()));
        let ours = ours.chain([Attribute::new(key::TID, i64::from(self.part.tid()).into())]);
        self.part.notes().attributes.iter().map(Cow::Borrowed).chain(ours.map(Cow::Owned))
    }

    /// Returns what happened at an instant of it, by time: events, payloads, and calls that were never answered.
    pub fn events(&self) -> Vec<FlatEvent<'t>> {
        event::of(self.part.notes(), self.behind_ns, &self.open_calls_ns)
    }
}

/// A trace as others know it.
///
/// # Shape
/// - **What is a span**: every span, then every visit, each in the order of the trace. A visit is a span [`VISIT`] of kind internal. Assembly leaves
///   out those visits of which their spans say all; the others hold what would be lost without them.
/// - **Parents**: an id that a visit gave one of its calls, and that no span has, is that of the visit. Spans that began in a visit, on its thread and
///   for its cause, hang under it.
/// - **Clock**: all times are nanoseconds since 1970. Ticks of a process without wall time count from the start of the trace, and are marked as
///   repaired.
/// - **Ends**: what nobody saw end lasted until the last that is known of its process, its death included. Where that process lives, it also lasted
///   as long as what it caused, for which it may wait; what is open too and started before its cause, as on clocks that disagree, counts for that
///   cause alone, not for those above.
#[derive(Clone, Debug)]
pub struct FlatTrace<'t> {
    /// What was assembled.
    pub trace: &'t Trace,
    /// Its spans.
    pub spans: Vec<FlatSpan<'t>>,
    /// What they are of: first the processes in their order, then further services of processes, by process and name.
    pub homes: Vec<Home>,
}

impl<'t> FlatTrace<'t> {
    /// Returns the flat form of a trace.
    ///
    /// # Cost
    /// Time `n log n` and 100 bytes a span; nothing that was recorded is copied.
    pub fn of(trace: &'t Trace) -> Self {
        let homes = Homes::of(trace);
        let nesting = Nesting::of(trace);
        let clock = OneClock::of(trace);
        let flat = |id, part: Part<'t>| {
            let (behind_ns, is_wall) = (clock.behind_ns(part.process_idx()), clock.is_wall(part.process_idx()));
            let (start_ns, end_ns) = part.times();
            let start_ns = start_ns.saturating_add(behind_ns);
            let is_started = !matches!(part, Part::Span(Span { is_started: false, .. }));
            FlatSpan {
                id,
                parent: nesting.parent(part),
                part,
                home_idx: homes.idx(trace, part),
                start_ns,
                end_ns: end_ns.map_or(start_ns, |end| end.saturating_add(behind_ns).max(start_ns)),
                ending: part.ending(),
                is_repaired: !is_started || !is_wall,
                open_calls_ns: Vec::new(),
                behind_ns,
            }
        };
        let mut spans = Vec::with_capacity(trace.spans.len() + trace.visits.len());
        spans.extend(trace.spans.iter().map(|span| flat(span.id, Part::Span(span))));
        spans.extend(trace.visits.iter().map(|visit| flat(trace.visit_id(visit), Part::Visit(visit))));
        for (idx, at_ns) in calls::open(trace) {
            let behind_ns = spans[idx].behind_ns;
            spans[idx].open_calls_ns.push(at_ns.saturating_add(behind_ns));
        }
        ends::settle(trace, &mut spans);
        Self { trace, spans, homes: homes.all }
    }

    /// Returns what a span is of.
    ///
    /// # Panics
    /// The span is of another trace.
    pub fn home(&self, span: &FlatSpan<'_>) -> &Home {
        &self.homes[span.home_idx]
    }

    /// Returns for each id the position of the span that is meant where it is named: of several with one id, as a broken application may give, the
    /// first.
    pub fn by_id(&self) -> BTreeMap<SpanId, usize> {
        let mut by_id = BTreeMap::new();
        for (idx, span) in self.spans.iter().enumerate() {
            by_id.entry(span.id).or_insert(idx);
        }
        by_id
    }
}

/// How times of processes become those of one clock.
struct OneClock<'t> {
    trace: &'t Trace,
    start_ns: u64,
}

impl<'t> OneClock<'t> {
    fn of(trace: &'t Trace) -> Self {
        Self { trace, start_ns: trace.interval_ns().map_or(0, |(start, _)| start) }
    }

    fn is_wall(&self, process_idx: usize) -> bool {
        self.trace.processes.get(process_idx).is_some_and(|process| process.clock == ProcessClock::Wall)
    }

    /// Returns what to add to the times of a process.
    fn behind_ns(&self, process_idx: usize) -> u64 {
        match self.trace.processes.get(process_idx).map(|process| process.clock) {
            Some(ProcessClock::Ticks { .. }) => self.start_ns,
            Some(ProcessClock::Wall) | None => 0,
        }
    }
}
