//! Walking sealed chunks, for triggers that are expressions and for back-tests, within a share of a core.
//!
//! Called by the daemon between two rounds. Both walks follow the queue of sealed chunks by number, and what was evicted before they came is
//! passed over and counted: nothing here keeps a chunk from going. The clock of the thread's own time is the caller's.

use super::{Member, Now, Recorder};
use crate::backtest::{Backtest, Range, Summary};
use crate::collect;
use crate::expressions::{Expressions, SetError};
use crate::retention::Sealed;
use crate::triggers::{Event, Origin};
use crate::walk::budget::{Allowance, Shedding};
use crate::walk::{SegmentCopy, Shortfalls, Walk};
use backsight_core::expr::Expr;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::units::Nanos;
use backsight_ringbuf::reader::{ChunkInfo, SegmentInfo};
use backsight_ringbuf::strings;

/// Time of the loop that one walk takes at a time; a chunk that was begun is read to its end.
const TURN_MAX: Nanos = Nanos::from_ms(1);
/// How soon a walk goes on that has time left and chunks to read.
const TURN_PAUSE: Nanos = Nanos::from_ms(1);

/// What the walk counted, and where it stands.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct WalkCounts {
    /// Bytes of segments that were read.
    pub bytes: u64,
    /// Segments passed over because reading all would have taken more than the walk's share.
    pub skipped_segments: u64,
    /// Chunks that were evicted before they were read.
    pub missed_chunks: u64,
    /// Spans that were held against expressions.
    pub spans: u64,
    /// Time of a core that the walk took, back-tests included.
    pub cpu: Nanos,
}

/// What metrics show of the walk.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct WalkStatus {
    /// See there.
    pub counts: WalkCounts,
    /// See there.
    pub shortfalls: Shortfalls,
    /// Spans of which the other half has not been read.
    pub n_carried: u64,
    /// Spans under names of which no percentile is learnt.
    pub n_unlearnt: u64,
    /// The share of traces that is walked.
    pub taken_share: f64,
    /// How many back-tests were run.
    pub backtests: u64,
}

/// A back-test that cannot begin.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("another back-test is running")]
pub struct Busy;

/// The walks of a host.
#[derive(Debug)]
pub(super) struct Watch {
    expressions: Expressions,
    walk: Walk,
    /// The number of the next chunk to read.
    next: u64,
    allowance: Allowance,
    shedding: Shedding,
    counts: WalkCounts,
    /// One at a time; the last one stays until the next begins, so that its result can be read.
    backtest: Option<Backtest>,
    backtest_allowance: Allowance,
    n_backtests: u64,
}

impl Watch {
    pub(super) fn new(cpu_share: f64, ticks_per_second: u64, now: Now) -> Self {
        let expressions = Expressions::default();
        Self {
            walk: Walk::new(ticks_per_second, expressions.wanted()),
            expressions,
            next: 0,
            allowance: Allowance::new(cpu_share, now.time),
            shedding: Shedding::new(now.time),
            counts: WalkCounts::default(),
            backtest: None,
            backtest_allowance: Allowance::new(cpu_share, now.time),
            n_backtests: 0,
        }
    }
}

impl Recorder {
    /// Has the trigger called `name` fire for spans in chunks sealed from now on that are as `expr` says.
    ///
    /// # Errors
    /// A name that it cannot have, or too many expressions.
    pub fn set_expression(&mut self, name: &str, expr: Expr) -> Result<TriggerId, SetError> {
        let was_idle = self.watch.expressions.is_empty();
        let trigger = self.watch.expressions.set(name, expr)?;
        self.watch.walk.want(self.watch.expressions.wanted());
        if was_idle {
            self.watch.next = self.retention.end();
        }
        self.names.told(name);
        Ok(trigger)
    }

    /// Has a trigger fire by no expression; returns whether it did by one.
    pub fn remove_expression(&mut self, trigger: TriggerId) -> bool {
        let removed = self.watch.expressions.remove(trigger);
        self.watch.walk.want(self.watch.expressions.wanted());
        removed
    }

    /// Returns the triggers that fire by expressions, and which.
    pub fn expressions(&self) -> impl Iterator<Item = (TriggerId, &Expr)> {
        self.watch.expressions.iter()
    }

    /// Begins to hold `expr` against what is retained, to name the `n_newest` newest traces; returns the number of the back-test.
    ///
    /// # Errors
    /// Another one is running.
    pub fn start_backtest(&mut self, expr: Expr, n_newest: usize) -> Result<u64, Busy> {
        if self.watch.backtest.as_ref().is_some_and(|running| running.next_chunk().is_some()) {
            return Err(Busy);
        }
        let to = self.retention.end();
        let from = self.retention.from_number(0).map_or(to, |(number, _)| number);
        self.watch.n_backtests += 1;
        let id = self.watch.n_backtests;
        let ticks_per_second = self.settings.ticks_per_second;
        self.watch.backtest = Some(Backtest::new(id, expr, Range { from, to }, n_newest, ticks_per_second));
        Ok(id)
    }

    /// Returns a back-test and what it has found so far; `None` where it is not the last that was begun.
    pub fn backtest(&self, id: u64) -> Option<(&Backtest, Summary)> {
        let backtest = self.watch.backtest.as_ref().filter(|backtest| backtest.id() == id)?;
        Some((backtest, backtest.summary()))
    }

    /// Returns how often one trigger may fire.
    pub const fn rate_per_s(&self) -> u64 {
        self.settings.rules.rate_per_s
    }

    /// Returns what the walk did.
    pub fn walk_status(&self) -> WalkStatus {
        let watch = &self.watch;
        WalkStatus {
            counts: watch.counts,
            shortfalls: watch.walk.shortfalls(),
            n_carried: watch.walk.n_carried() as u64,
            n_unlearnt: watch.expressions.n_unlearnt(),
            taken_share: watch.shedding.taken_share(),
            backtests: watch.n_backtests,
        }
    }

    /// Reads sealed chunks for a while, and fires what expressions say. Returns when there should be more of it, `None` where all is read.
    /// `cpu` is the time that this thread has used.
    ///
    /// # Cost
    /// A millisecond for each of the two walks and a chunk of at most 64 KiB besides; on average `walk.cpu_share` of a core for each.
    pub fn walk(&mut self, now: Now, cpu: &dyn Fn() -> Nanos) -> Option<Nanos> {
        let live = self.walk_live(now, cpu);
        let backtest = self.walk_backtest(now, cpu);
        live.into_iter().chain(backtest).min()
    }

    fn walk_live(&mut self, now: Now, cpu: &dyn Fn() -> Nanos) -> Option<Nanos> {
        self.watch.allowance.refill(now.time);
        if self.watch.expressions.is_empty() {
            return None;
        }
        let lag = self.walk_lag(now);
        self.watch.shedding.step(now.time, lag);
        let (mut fired, begun) = (Vec::new(), cpu());
        let mut is_done = false;
        while self.watch.allowance.has_any() && cpu().0.saturating_sub(begun.0) < TURN_MAX.0 {
            let before = cpu();
            is_done = !self.walk_chunk(&mut fired);
            let spent = Nanos(cpu().0.saturating_sub(before.0));
            self.watch.allowance.spend(spent);
            self.watch.counts.cpu.0 += spent.0;
            if is_done {
                break;
            }
        }
        let event =
            |(trigger, trace)| Event::Fired { trigger, trace, laterals: Vec::new(), origin: Origin::Expression };
        if !fired.is_empty() {
            self.fire_all(fired.into_iter().map(event).collect(), now);
        }
        if is_done { None } else { Some(self.watch.allowance.wait().max(TURN_PAUSE)) }
    }

    /// Returns how long the oldest chunk has waited that was not read.
    fn walk_lag(&self, now: Now) -> Nanos {
        let waits = self.retention.from_number(self.watch.next).map(|(_, sealed)| sealed.last_ticks);
        Nanos::from_ms(waits.map_or(0, |since| self.ms_of(now.ticks.saturating_sub(since))))
    }

    /// Reads the next chunk for the expressions; returns whether there was one.
    fn walk_chunk(&mut self, fired: &mut Vec<(TriggerId, TraceId)>) -> bool {
        let Self { watch, retention, members, .. } = self;
        let Some((number, sealed)) = retention.from_number(watch.next) else {
            watch.counts.missed_chunks += retention.end() - watch.next;
            watch.next = retention.end();
            return false;
        };
        watch.counts.missed_chunks += number - watch.next;
        watch.next = number + 1;
        let Watch { walk, expressions, counts, shedding, .. } = watch;
        for_each_segment(members, sealed, |chunk, segment| {
            if !shedding.takes(segment.trace) {
                counts.skipped_segments += 1;
                return;
            }
            counts.bytes += u64::from(segment.end.saturating_sub(segment.offset));
            chunk.read(segment, |copy| {
                walk.read(copy, &mut |ended| {
                    counts.spans += 1;
                    expressions.take(ended, fired);
                });
            });
        });
        true
    }

    fn walk_backtest(&mut self, now: Now, cpu: &dyn Fn() -> Nanos) -> Option<Nanos> {
        let (rate_per_s, retained_since) = (self.rate_per_s(), self.overwritten_until());
        let Self { watch, retention, members, .. } = self;
        let Watch { backtest, backtest_allowance: allowance, counts, .. } = watch;
        allowance.refill(now.time);
        let backtest = backtest.as_mut()?;
        let begun = cpu();
        while allowance.has_any() && cpu().0.saturating_sub(begun.0) < TURN_MAX.0 {
            let wanted = backtest.next_chunk()?;
            let before = cpu();
            let next = retention.from_number(wanted).filter(|(number, _)| backtest.has(*number));
            if let Some((_, sealed)) = next {
                for_each_segment(members, sealed, |chunk, segment| match backtest.wants_records() {
                    true => chunk.read(segment, |copy| backtest.read(copy)),
                    false => backtest.measure(segment),
                });
            }
            backtest.go_on(next.map(|(number, _)| number));
            backtest.sum_up(rate_per_s, retained_since);
            let spent = Nanos(cpu().0.saturating_sub(before.0));
            allowance.spend(spent);
            counts.cpu.0 += spent.0;
        }
        backtest.next_chunk().map(|_| allowance.wait().max(TURN_PAUSE))
    }
}

/// A sealed chunk whose segments can be copied.
struct Chunk<'m> {
    member: &'m Member,
    sealed: &'m Sealed,
    info: ChunkInfo,
}

impl Chunk<'_> {
    /// Copies a segment and has it read.
    fn read(&self, segment: &SegmentInfo, read: impl FnOnce(&SegmentCopy<'_>)) {
        let region = &self.member.region;
        let bytes = region.copy(self.sealed.chunk, segment.offset, segment.end);
        read(&SegmentCopy {
            region: region.id(),
            service: &self.member.service,
            slot: self.info.slot,
            tid: self.info.tid,
            chunk: self.sealed.chunk.code(),
            prev_chunk: self.info.prev_chunk,
            bytes: &bytes,
            string: &|id| strings::get(region.store(), id),
        });
    }
}

/// Calls `take` for each segment of a sealed chunk, in the order in which they were written.
fn for_each_segment(members: &[Option<Member>], sealed: &Sealed, mut take: impl FnMut(&Chunk<'_>, &SegmentInfo)) {
    let Some(member) = members.get(sealed.region as usize).and_then(Option::as_ref) else { return };
    let Some(Ok(info)) = member.region.chunk_info(sealed.chunk) else { return };
    let (segments, _) = collect::segments_of(&member.region, sealed.chunk, &info);
    let chunk = Chunk { member, sealed, info };
    segments.iter().for_each(|segment| take(&chunk, segment));
}
