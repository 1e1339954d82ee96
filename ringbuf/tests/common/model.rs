//! The reference: what a reader must find after any sequence of calls of one thread, as a plain list.
//!
//! It knows nothing of chunks, fragments, bases or elision. A call is told here with what the writer returned; [`Model::check`]
//! compares with a log that was read.

use crate::log::{Item, Log, Visit};
use backsight_core::ids::TraceId;
use backsight_core::record::{Level, seg_flags};
use backsight_ringbuf::writer::SegmentStart;
use std::collections::BTreeMap;

/// A record that was not accepted.
#[derive(Clone, Copy, Debug)]
struct Lost {
    ticks: u64,
    bytes: u64,
    visit: usize,
}

#[derive(Clone, Debug)]
struct Expected {
    visit: Visit,
    /// Whether its beginning was recorded at once; else it starts when its first record finds a chunk.
    begun: bool,
    /// Whether it is recorded only once it says something.
    resumed: bool,
    /// Whether it goes on with the visit before, so that it need not have a segment of its own.
    goes_on: bool,
    n_lost: usize,
    /// Whether none of it is recorded, as its trace is shed.
    shed: bool,
    /// Whether it had to say itself that something was left out of it, for which it may have a segment.
    told: bool,
}

/// The calls of one thread so far.
#[derive(Default, Debug)]
pub(crate) struct Model {
    visits: Vec<Expected>,
    active: bool,
    lost: Vec<Lost>,
    pub(crate) n_no_trace: u64,
    pub(crate) n_too_long: u64,
    /// Visits that are shed.
    pub(crate) n_shed: u64,
    /// By trace, the lowest level of which a record was left out.
    left_out: BTreeMap<TraceId, Level>,
}

impl Model {
    pub(crate) fn is_active(&self) -> bool {
        self.active
    }

    pub(crate) fn n_visits(&self) -> usize {
        self.visits.len()
    }

    pub(crate) fn n_lost(&self) -> u64 {
        self.lost.len() as u64
    }

    /// The thread began, and the writer said whether that is recorded.
    pub(crate) fn begin(&mut self, start: SegmentStart, now: u64, begun: bool) {
        self.start(start, now, begun);
    }

    /// The thread resumed: it is recorded with the first record.
    pub(crate) fn resume(&mut self, start: SegmentStart, now: u64) {
        let mut resumed = start;
        resumed.carried.flags |= seg_flags::RESUME;
        self.start(resumed, now, false);
        self.current().resumed = true;
    }

    /// The thread resumed a visit that it had paused.
    pub(crate) fn go_on(&mut self, start: SegmentStart, now: u64) {
        self.resume(start, now);
        self.current().goes_on = true;
    }

    fn start(&mut self, start: SegmentStart, now: u64, begun: bool) {
        if self.active {
            self.end(now);
        }
        let visit = Visit {
            trace: start.trace,
            parent_span: start.parent_span,
            from_agent: start.carried.from_agent,
            flags: start.carried.flags,
            start_ticks: now,
            end_ticks: None,
            items: Vec::new(),
        };
        let (resumed, goes_on, n_lost, shed, told) = (false, false, 0, false, false);
        self.visits.push(Expected { visit, begun, resumed, goes_on, n_lost, shed, told });
        self.active = true;
    }

    /// The thread recorded `item`; the writer said whether it was accepted.
    pub(crate) fn record(&mut self, item: Item, stored_bytes: u64, accepted: bool) {
        if !self.active {
            assert!(!accepted, "nothing is accepted outside a segment");
            self.n_no_trace += 1;
        } else if accepted {
            self.current().visit.items.push(item);
        } else {
            self.lose(item.ticks, stored_bytes);
        }
    }

    /// The active visit, of which nothing was recorded, is shed.
    pub(crate) fn shed(&mut self) {
        self.n_shed += 1;
        let visit = self.current();
        assert!(
            !visit.begun && !visit.told && visit.visit.items.is_empty(),
            "what is in the log is not shed: {visit:?}"
        );
        visit.shed = true;
    }

    /// Returns whether the active visit is shed.
    pub(crate) fn is_shed(&self) -> bool {
        self.active && self.visits.last().is_some_and(|visit| visit.shed)
    }

    /// Returns whether the active visit begins with its next record, if its trace is not shed then.
    pub(crate) fn is_undecided(&self) -> bool {
        let awaits = |visit: &Expected| visit.resumed && !visit.told && !visit.shed && visit.visit.items.is_empty();
        self.active && self.visits.last().is_some_and(awaits)
    }

    /// Returns whether the active visit may have a segment without a record of its own: that of the visit that it goes on with, or one in
    /// which the beginning of a lost record stands.
    pub(crate) fn may_stand(&self) -> bool {
        self.active && self.visits.last().is_some_and(|visit| visit.goes_on || visit.n_lost != 0)
    }

    /// A record of `level` was left out; where no segment could be written that says so, it counts as `lost`.
    pub(crate) fn leave_out(&mut self, now: u64, level: Level, lost: bool) {
        if lost {
            return self.lose(now, 56);
        }
        let visit = self.current();
        let told_before = Level::left_out(visit.visit.flags); // by a segment before, or by the one that it has now
        if told_before.is_none_or(|lowest| level < lowest) {
            visit.told = true;
            visit.visit.flags = seg_flags::join(visit.visit.flags, u32::from(level as u8) << seg_flags::DETAIL_SHIFT);
        }
        let trace = visit.visit.trace;
        let lowest = self.left_out.entry(trace).or_insert(level);
        *lowest = level.min(*lowest);
    }

    /// The active visit ended.
    pub(crate) fn end(&mut self, now: u64) {
        if !std::mem::take(&mut self.active) {
            return;
        }
        let visit = self.current();
        visit.visit.end_ticks = Some(now);
        let is_silent = visit.visit.items.is_empty() && visit.n_lost == 0 && !visit.told && !visit.shed;
        if !visit.begun && !visit.resumed && is_silent {
            self.lose(now, 56);
        }
    }

    fn current(&mut self) -> &mut Expected {
        self.visits.last_mut().expect("a visit was begun")
    }

    fn lose(&mut self, ticks: u64, bytes: u64) {
        self.lost.push(Lost { ticks, bytes, visit: self.visits.len() - 1 });
        self.current().n_lost += 1;
    }

    /// Asserts that `log` tells of exactly these calls; `untold` are the records that the slot counts as lost beyond the log.
    pub(crate) fn check(&self, log: &Log, untold: u64) {
        self.check_visits(log, true);
        let told: u64 = log.losses.iter().map(|loss| u64::from(loss.n)).sum();
        assert_eq!(told + untold, self.n_lost(), "each lost record is told of once");
        assert_eq!(log.left_out, self.left_out, "what was left out is told of, and nothing else");
        self.check_losses(log);
    }

    /// Asserts that `log` is what a reader may find in the middle of these calls.
    pub(crate) fn check_prefix(&self, log: &Log) {
        self.check_visits(log, false);
        self.check_losses(log);
    }

    fn check_visits(&self, log: &Log, all: bool) {
        let mut expected = self.visits.iter();
        for (nth, found) in log.visits.iter().enumerate() {
            let is_last = nth + 1 == log.visits.len();
            let same = |e: &Expected| match found.parent_span.is_none() {
                true => e.goes_on && !e.visit.items.is_empty(),
                false => e.visit.parent_span == found.parent_span,
            };
            let wanted = loop {
                let next = expected.next().unwrap_or_else(|| panic!("found what nobody wrote: {found:?}"));
                if same(next) {
                    break next;
                }
                assert!(!next.begun && next.visit.items.is_empty(), "not found: {next:?}");
            };
            // What went on with it and found no room for anything says so in its segment.
            let silent = expected.clone().take_while(|next| next.goes_on && next.visit.items.is_empty());
            let n_lost = wanted.n_lost + silent.map(|next| next.n_lost).sum::<usize>();
            check_visit(wanted, n_lost, found, all || !is_last);
        }
        for missing in expected.filter(|_| all) {
            assert!(!missing.begun && missing.visit.items.is_empty(), "not found: {missing:?}");
        }
    }

    /// Each LOST record tells of the next losses, with their sums, at the right place.
    fn check_losses(&self, log: &Log) {
        let mut rest = self.lost.as_slice();
        for loss in &log.losses {
            let (told, after) = rest.split_at(loss.n as usize);
            rest = after;
            let (Some(first), Some(last)) = (told.first(), told.last()) else { panic!("a LOST record of nothing") };
            assert_eq!((loss.first_ticks, loss.last_ticks), (first.ticks, last.ticks));
            assert_eq!(loss.bytes, told.iter().map(|lost| lost.bytes).sum::<u64>());
            let parent = |idx: usize| self.visits[idx].visit.parent_span;
            let at = loss.n_visits.checked_sub(1).map(|idx| log.visits[idx].parent_span);
            if loss.in_segment {
                assert!(told.iter().any(|lost| Some(parent(lost.visit)) == at), "a loss of this visit");
            } else {
                let next = log.visits.get(loss.n_visits).map(|visit| visit.parent_span);
                assert!(
                    told.iter().all(|lost| Some(parent(lost.visit)) != next),
                    "losses of visits before the next one"
                );
            }
        }
    }
}

/// Compares one visit; where it need not be `whole`, what was found may be its beginning.
fn check_visit(wanted: &Expected, n_lost: usize, found: &Visit, whole: bool) {
    let visit = &wanted.visit;
    assert_eq!(found.trace, visit.trace);
    assert!(found.parent_span.is_none() || found.from_agent == visit.from_agent);
    assert!(!wanted.shed, "found what is shed: {found:?}");
    assert_eq!(found.flags & !seg_flags::LOSS, visit.flags & !seg_flags::DETAIL, "flags of {found:?}");
    let marked = found.flags & seg_flags::LOSS != 0;
    // The mark is set in the segment's beginning, by whichever visit of it comes last.
    assert!(!whole || (marked || wanted.n_lost == 0) && (!marked || n_lost != 0), "losses mark the visit: {found:?}");
    match wanted.begun {
        true => assert_eq!(found.start_ticks, visit.start_ticks),
        false => assert!(found.start_ticks >= visit.start_ticks),
    }
    let n = found.items.len();
    assert_eq!(found.items[..], visit.items[..n.min(visit.items.len())], "the records, in order");
    if whole {
        assert_eq!(n, visit.items.len(), "every accepted record is found");
        // A visit whose last records were lost has no end either.
        assert!(found.end_ticks == visit.end_ticks || (found.end_ticks.is_none() && wanted.n_lost != 0));
    } else if found.end_ticks.is_some() {
        assert_eq!((n, found.end_ticks), (visit.items.len(), visit.end_ticks));
    }
}
