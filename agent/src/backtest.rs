//! Back-testing an expression: what it would have fired for on what is retained, and what keeping that would take.
//!
//! Called by the recorder, which gives it one chunk after another between its other work. Pure: it collects nothing, and its memory is
//! bounded. It reads the same walk as the live triggers, so that it finds what they would have.

use crate::expressions::Watched;
use crate::limits::PriorityLimit;
use crate::walk::{EndedSpan, SegmentCopy, Walk};
use backsight_core::expr::{Expr, Verdict, Wanted};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::priority::{Priority, Salt};
use backsight_core::record::seg_flags;
use backsight_core::units::Nanos;
use backsight_ringbuf::reader::SegmentInfo;
use std::collections::BTreeMap;

/// Matching traces that are told apart; those beyond are counted by their spans only.
pub const FOUND_MAX: usize = 16_384;

/// A trace that matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Found {
    /// When the first matching span ended, in nanoseconds of the clock of records.
    end: Nanos,
    /// How long that span took.
    duration: Nanos,
    /// Bytes of the trace in sealed chunks.
    bytes: u64,
    /// Where its first segment begins, in ticks, and the marks of that segment.
    first: Option<(u64, u32)>,
}

impl Found {
    /// Returns whether nothing of the trace was overwritten on this host, where all that was written after tick `retained_since` is there.
    fn is_complete(&self, retained_since: u64) -> bool {
        let is_begun = |marks: u32| marks & (seg_flags::CONTINUED | seg_flags::RESUME) == 0;
        self.first.is_some_and(|(ticks, marks)| ticks > retained_since && is_begun(marks))
    }
}

/// Which pass over the chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Pass {
    /// Records are read, spans matched.
    Match,
    /// Headers are read, bytes of matching traces counted.
    Measure,
    Done,
}

/// Which chunks, by their numbers in the retention, and when they were written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Range {
    /// The first.
    pub from: u64,
    /// The one after the last.
    pub to: u64,
}

/// A back-test under way, or over.
#[derive(Debug)]
pub struct Backtest {
    id: u64,
    range: Range,
    /// Matching traces that are named.
    n_newest: usize,
    pass: Pass,
    next: u64,
    walk: Walk,
    watched: Watched,
    found: BTreeMap<TraceId, Found>,
    /// When the first and the last span that was looked at ended.
    interval: Option<(Nanos, Nanos)>,
    counts: Counts,
    /// Once it is over.
    summary: Option<Summary>,
}

/// What a back-test counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Spans that were looked at.
    pub spans: u64,
    /// Those that matched.
    pub matches: u64,
    /// Chunks that were read.
    pub chunks: u64,
    /// Chunks that had gone before they could be read.
    pub chunks_evicted: u64,
    /// Matching spans of traces beyond [`FOUND_MAX`].
    pub beyond: u64,
}

/// What a back-test found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// What was counted.
    pub counts: Counts,
    /// Matching traces.
    pub n_traces: u64,
    /// Their bytes on this host.
    pub bytes: u64,
    /// The time between the first and the last span that was looked at.
    pub window: Nanos,
    /// Matching traces of which nothing was overwritten here.
    pub n_complete: u64,
    /// Firings that the rate limit would refuse.
    pub n_refused: u64,
    /// Spans of which the start or the end was not found.
    pub n_spans_given_up: u64,
    /// The newest matching traces and how long the first matching span of each took, newest first.
    pub newest: Vec<(TraceId, Nanos)>,
}

impl Backtest {
    /// Returns a back-test of `expr` over the chunks of `range`, which names the `n_newest` newest traces.
    pub fn new(id: u64, expr: Expr, range: Range, n_newest: usize, ticks_per_second: u64) -> Self {
        let mut wanted = Wanted::default();
        wanted.add(&expr.condition);
        Self {
            id,
            range,
            n_newest,
            pass: Pass::Match,
            next: range.from,
            walk: Walk::new(ticks_per_second, wanted),
            watched: Watched::new(expr),
            found: BTreeMap::new(),
            interval: None,
            counts: Counts::default(),
            summary: None,
        }
    }

    /// Returns its number.
    pub const fn id(&self) -> u64 {
        self.id
    }

    /// Returns the expression.
    pub const fn expr(&self) -> &Expr {
        self.watched.expr()
    }

    /// Returns the number of the chunk that it wants next, `None` where it is over.
    pub fn next_chunk(&self) -> Option<u64> {
        (self.pass != Pass::Done).then_some(self.next)
    }

    /// Returns whether chunk `number` is one of those that it is about.
    pub fn has(&self, number: u64) -> bool {
        (self.range.from..self.range.to).contains(&number)
    }

    /// Returns whether it wants the records of the next chunk, and not only the headers of its segments.
    pub fn wants_records(&self) -> bool {
        self.pass == Pass::Match
    }

    /// Returns how far it has come: the second pass reads headers only, and counts a tenth.
    pub fn progress_share(&self) -> f64 {
        let n_chunks = self.range.to.saturating_sub(self.range.from).max(1) as f64;
        let of_pass = self.next.saturating_sub(self.range.from) as f64 / n_chunks;
        match self.pass {
            Pass::Match => 0.9 * of_pass,
            Pass::Measure => 0.9 + 0.1 * of_pass,
            Pass::Done => 1.0,
        }
    }

    /// Goes on behind chunk `number`, the first that was still there of those that were wanted; `None` where none was.
    pub fn go_on(&mut self, number: Option<u64>) {
        let number = number.filter(|number| self.has(*number));
        if self.pass == Pass::Match {
            let gone = number.unwrap_or(self.range.to).saturating_sub(self.next);
            self.counts.chunks_evicted += gone;
            self.counts.chunks += u64::from(number.is_some());
        }
        self.next = number.map_or(self.range.to, |number| number + 1);
        if self.next >= self.range.to {
            self.next = self.range.from;
            self.pass = if self.pass == Pass::Match { Pass::Measure } else { Pass::Done };
        }
    }

    /// Reads the records of a segment.
    pub fn read(&mut self, segment: &SegmentCopy<'_>) {
        let Self { walk, watched, found, interval, counts, .. } = self;
        walk.read(segment, &mut |ended| {
            counts.spans += 1;
            let (first, last) = interval.unwrap_or((ended.end, ended.end));
            *interval = Some((first.min(ended.end), last.max(ended.end)));
            if watched.take(ended) == Verdict::Match {
                counts.matches += 1;
                note(found, ended, counts);
            }
        });
    }

    /// Counts a segment where its trace matched.
    pub fn measure(&mut self, segment: &SegmentInfo) {
        if let Some(found) = self.found.get_mut(&segment.trace) {
            found.bytes += u64::from(segment.end.saturating_sub(segment.offset));
            let first = (segment.base_ticks, segment.flags);
            found.first = Some(found.first.map_or(first, |known| known.min(first)));
        }
    }

    /// Returns what was found: while it is not over, what was counted so far, and nothing of the traces but their number.
    pub fn summary(&self) -> Summary {
        let so_far = || Summary { counts: self.counts, n_traces: self.found.len() as u64, ..Summary::default() };
        self.summary.clone().unwrap_or_else(so_far)
    }

    /// Sums up what was found, once it is over. `retained_since` is the tick after which nothing was overwritten.
    ///
    /// # Cost
    /// Sorts the matching traces, about a millisecond for [`FOUND_MAX`].
    pub fn sum_up(&mut self, rate_per_s: u64, retained_since: u64) {
        if self.pass == Pass::Done && self.summary.is_none() {
            self.summary = Some(self.summed_up(rate_per_s, retained_since));
            self.found.clear();
        }
    }

    fn summed_up(&self, rate_per_s: u64, retained_since: u64) -> Summary {
        let mut by_end: Vec<_> = self.found.iter().map(|(trace, found)| (*trace, *found)).collect();
        by_end.sort_by_key(|(trace, found)| (found.end, *trace));
        let first = by_end.first().map_or(Nanos(0), |(_, found)| found.end);
        let mut limit = PriorityLimit::new(rate_per_s, first);
        // How many it would refuse does not depend on the name that the trigger gets, only which.
        let priority = |trace| Priority::of(trace, 0, Salt::of_trigger(TriggerId::EXPRESSION));
        let n_refused = by_end.iter().filter(|(trace, found)| !limit.admit(priority(*trace), found.end)).count() as u64;
        let n_complete = by_end.iter().filter(|(_, found)| found.is_complete(retained_since)).count() as u64;
        Summary {
            counts: self.counts,
            n_traces: self.found.len() as u64,
            bytes: self.found.values().map(|found| found.bytes).sum(),
            window: self.interval.map_or(Nanos(0), |(first, last)| Nanos(last.0 - first.0)),
            n_complete,
            n_refused,
            n_spans_given_up: self.walk.shortfalls().spans_given_up + self.walk.n_carried() as u64,
            newest: by_end
                .into_iter()
                .rev()
                .take(self.n_newest)
                .map(|(trace, found)| (trace, found.duration))
                .collect(),
        }
    }
}

/// Notes the first match of a trace.
fn note(found: &mut BTreeMap<TraceId, Found>, ended: &EndedSpan<'_>, counts: &mut Counts) {
    if found.contains_key(&ended.trace) {
        return;
    }
    if found.len() >= FOUND_MAX {
        counts.beyond += 1;
        return;
    }
    let first = Found { end: ended.end, duration: ended.view.duration, bytes: 0, first: None };
    found.insert(ended.trace, first);
}

#[cfg(test)]
mod tests;
