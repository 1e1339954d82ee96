//! Which traces are stored, where their entries stand, and how each looks in one line.
//!
//! Called by the library under its lock; pure: it reads no clock and no disk. Bounded by `traces_max` and [`REPORTS_MAX`] a trace; what it
//! forgets stays on disk until its file is retired.

use super::line::{Filter, Line};
use super::names::Names;
use backsight_core::ids::TraceId;
use backsight_store::Place;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Reports that are kept of one trace; an agent that sends more of them is refused.
pub const REPORTS_MAX: usize = 4096;
/// A trace comes to rest when nothing of it has arrived for so long ...
pub const QUIET_NS: u64 = 1_000_000_000;
/// ... or, where it never rests, every so often.
pub const RESTLESS_NS: u64 = 10_000_000_000;

/// An entry, and what its bytes are known by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct EntryRef {
    pub(super) place: Place,
    pub(super) digest: u64,
}

/// Whether an entry is to be stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    New,
    /// It is there already.
    Duplicate,
    /// There are [`REPORTS_MAX`] of its trace.
    TooMany,
}

/// A trace that is to be assembled and summed up.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) trace: TraceId,
    pub(super) places: Vec<Place>,
    revision: u64,
    /// Whether those who follow the tail are told.
    is_news: bool,
}

#[derive(Debug, Default)]
struct Known {
    /// Counts traces as they came.
    arrival: u64,
    reports: Vec<EntryRef>,
    view: Option<EntryRef>,
    line: Option<Arc<Line>>,
    /// Counts changes.
    revision: u64,
    rest: Rest,
}

/// How far a trace has come to rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Rest {
    /// Its line is that of its entries, or is being made.
    #[default]
    Settled,
    /// It changed since the last tick; it has been restless since.
    Touched { since_ns: Option<u64> },
    /// It is summed up at `due_ns`.
    Due { due_ns: u64, since_ns: u64 },
    /// It changed without anything having arrived; summed up when there is time.
    Backlog,
}

#[derive(Debug)]
pub(super) struct Index {
    traces_max: usize,
    traces: HashMap<TraceId, Known>,
    arrivals: BTreeMap<u64, TraceId>,
    next_arrival: u64,
    by_start: BTreeSet<(u64, TraceId)>,
    by_file: BTreeMap<u64, BTreeSet<TraceId>>,
    touched: BTreeSet<TraceId>,
    due: BTreeSet<(u64, TraceId)>,
    backlog: BTreeSet<(u64, TraceId)>,
    names: Names,
    n_entries: u64,
    /// Traces that were forgotten for newer ones.
    n_forgotten: u64,
}

impl Index {
    pub(super) fn new(traces_max: usize) -> Self {
        Self {
            traces_max: traces_max.max(1),
            traces: HashMap::new(),
            arrivals: BTreeMap::new(),
            next_arrival: 0,
            by_start: BTreeSet::new(),
            by_file: BTreeMap::new(),
            touched: BTreeSet::new(),
            due: BTreeSet::new(),
            backlog: BTreeSet::new(),
            names: Names::default(),
            n_entries: 0,
            n_forgotten: 0,
        }
    }

    pub(super) fn n_traces(&self) -> usize {
        self.traces.len()
    }

    pub(super) fn n_entries(&self) -> u64 {
        self.n_entries
    }

    pub(super) fn n_forgotten(&self) -> u64 {
        self.n_forgotten
    }

    /// Returns traces whose line is yet to be made.
    pub(super) fn n_waiting(&self) -> usize {
        self.touched.len() + self.due.len() + self.backlog.len()
    }

    /// Says whether a report with this digest is to be stored.
    pub(super) fn admit_report(&self, trace: TraceId, digest: u64) -> Admission {
        let reports = self.traces.get(&trace).map_or(&[][..], |known| &known.reports);
        if reports.iter().any(|report| report.digest == digest) {
            Admission::Duplicate
        } else if reports.len() >= REPORTS_MAX {
            Admission::TooMany
        } else {
            Admission::New
        }
    }

    /// Returns whether a view with this digest is what is known already.
    pub(super) fn has_view(&self, trace: TraceId, digest: u64) -> bool {
        let view = self.traces.get(&trace).and_then(|known| known.view);
        view.is_some_and(|view| view.digest == digest)
    }

    /// Adds a report that was stored.
    pub(super) fn add_report(&mut self, trace: TraceId, entry: EntryRef) {
        self.known(trace, entry.place.file).reports.push(entry);
        self.n_entries += 1;
        self.touch(trace);
    }

    /// Adds a view that was stored; it takes the place of an earlier one.
    pub(super) fn add_view(&mut self, trace: TraceId, entry: EntryRef) {
        let before = self.known(trace, entry.place.file).view.replace(entry);
        self.n_entries += u64::from(before.is_none());
        self.touch(trace);
    }

    fn known(&mut self, trace: TraceId, file: u64) -> &mut Known {
        self.by_file.entry(file).or_default().insert(trace);
        if !self.traces.contains_key(&trace) {
            while self.traces.len() >= self.traces_max {
                let Some((_, oldest)) = self.arrivals.first_key_value() else { break };
                self.forget(*oldest);
                self.n_forgotten += 1;
            }
            self.arrivals.insert(self.next_arrival, trace);
            self.traces.insert(trace, Known { arrival: self.next_arrival, ..Known::default() });
            self.next_arrival += 1;
        }
        self.traces.entry(trace).or_default()
    }

    fn touch(&mut self, trace: TraceId) {
        let Some(known) = self.traces.get_mut(&trace) else { return };
        known.revision += 1;
        let since_ns = match known.rest {
            Rest::Settled => None,
            Rest::Touched { since_ns } => since_ns,
            Rest::Due { due_ns, since_ns } => {
                self.due.remove(&(due_ns, trace));
                Some(since_ns)
            }
            Rest::Backlog => {
                self.backlog.remove(&(known.arrival, trace));
                None
            }
        };
        known.rest = Rest::Touched { since_ns };
        self.touched.insert(trace);
    }

    /// Says that nothing has arrived since the start: what is known so far was there before.
    pub(super) fn all_is_old(&mut self) {
        for trace in std::mem::take(&mut self.touched) {
            self.put_back(trace);
        }
    }

    /// Puts a trace into the backlog, unless it will be summed up anyway.
    fn put_back(&mut self, trace: TraceId) {
        let Some(known) = self.traces.get_mut(&trace) else { return };
        known.revision += 1;
        if matches!(known.rest, Rest::Due { .. }) || self.touched.contains(&trace) {
            return;
        }
        known.rest = Rest::Backlog;
        self.backlog.insert((known.arrival, trace));
    }

    /// Forgets a trace.
    fn forget(&mut self, trace: TraceId) {
        let Some(known) = self.traces.remove(&trace) else { return };
        self.n_entries -= known.reports.len() as u64 + u64::from(known.view.is_some());
        self.arrivals.remove(&known.arrival);
        if let Some(line) = &known.line {
            self.by_start.remove(&(line.summary.start_ns, trace));
        }
        match known.rest {
            Rest::Settled => {}
            Rest::Touched { .. } => drop(self.touched.remove(&trace)),
            Rest::Due { due_ns, .. } => drop(self.due.remove(&(due_ns, trace))),
            Rest::Backlog => drop(self.backlog.remove(&(known.arrival, trace))),
        }
        for entry in known.reports.iter().chain(&known.view) {
            if let Some(traces) = self.by_file.get_mut(&entry.place.file) {
                traces.remove(&trace);
            }
        }
    }

    /// Drops the entries of a file that is gone, and traces of which nothing else is there.
    pub(super) fn retire(&mut self, file: u64) {
        for trace in self.by_file.remove(&file).unwrap_or_default() {
            let Some(known) = self.traces.get_mut(&trace) else { continue };
            let n_before = known.reports.len() + usize::from(known.view.is_some());
            known.reports.retain(|report| report.place.file != file);
            known.view = known.view.filter(|view| view.place.file != file);
            let n_after = known.reports.len() + usize::from(known.view.is_some());
            self.n_entries -= (n_before - n_after) as u64;
            if let Some(line) = known.line.take_if(|_| known.reports.is_empty()) {
                self.by_start.remove(&(line.summary.start_ns, trace));
            }
            if n_after == 0 {
                self.forget(trace);
            } else if n_after < n_before {
                self.put_back(trace);
            }
        }
    }

    /// Returns where the entries of a trace stand, reports in the order in which they came; `None` where no host reported anything.
    pub(super) fn places(&self, trace: TraceId) -> Option<Vec<Place>> {
        self.traces.get(&trace).filter(|known| !known.reports.is_empty()).map(Known::places)
    }

    /// Returns whether the coordinator knows the trace, though nothing of it may have arrived.
    pub(super) fn is_announced(&self, trace: TraceId) -> bool {
        self.traces.contains_key(&trace)
    }

    /// Returns the traces that have come to rest at `now_ns`, then those of the backlog, newest first: at most `n_max` of them, and at
    /// most `bytes_max` of entries, but one trace at least.
    pub(super) fn take_due(&mut self, now_ns: u64, n_max: usize, bytes_max: u64) -> Vec<Work> {
        for trace in std::mem::take(&mut self.touched) {
            let Some(known) = self.traces.get_mut(&trace) else { continue };
            let Rest::Touched { since_ns } = known.rest else { continue };
            let since_ns = since_ns.unwrap_or(now_ns);
            let due_ns = now_ns.saturating_add(QUIET_NS).min(since_ns.saturating_add(RESTLESS_NS));
            known.rest = Rest::Due { due_ns, since_ns };
            self.due.insert((due_ns, trace));
        }
        let mut work = Vec::new();
        let mut bytes = 0;
        while work.len() < n_max && bytes < bytes_max {
            let is_due = self.due.first().is_some_and(|(due_ns, _)| *due_ns <= now_ns);
            let next = if is_due { self.due.pop_first() } else { self.backlog.pop_last() };
            let Some((_, trace)) = next else { break };
            let Some(known) = self.traces.get_mut(&trace) else { continue };
            known.rest = Rest::Settled;
            if known.reports.is_empty() {
                continue; // announced, and nothing arrived
            }
            let places = known.places();
            bytes += places.iter().map(|place| u64::from(place.len)).sum::<u64>();
            work.push(Work { trace, places, revision: known.revision, is_news: is_due });
        }
        work
    }

    /// Takes the line that was made of `work`, and returns it if it is news. Where the trace has changed meanwhile it will be made again.
    pub(super) fn settle(&mut self, work: &Work, mut line: Line) -> Option<Arc<Line>> {
        let known = self.traces.get_mut(&work.trace)?;
        if let Some(before) = known.line.take() {
            self.by_start.remove(&(before.summary.start_ns, work.trace));
        }
        self.names.share(&mut line);
        let line = Arc::new(line);
        known.line = Some(line.clone());
        self.by_start.insert((line.summary.start_ns, work.trace));
        (work.is_news && known.revision == work.revision).then_some(line)
    }

    /// Looks at `n_max` traces that began before `cursor`, newest first: adds those that match to `found`, and returns where to go on.
    pub(super) fn search(
        &self,
        filter: &Filter,
        cursor: Option<(u64, TraceId)>,
        n_max: usize,
        found: &mut Vec<Arc<Line>>,
    ) -> Option<(u64, TraceId)> {
        const LAST: TraceId = TraceId::new(u64::MAX, u64::MAX);
        let range = match cursor {
            Some(cursor) => self.by_start.range(..cursor),
            None => self.by_start.range(..=(filter.start_max(), LAST)),
        };
        let mut last = None;
        let mut n_seen = 0;
        for at in range.rev().take(n_max) {
            let line = self.traces.get(&at.1).and_then(|known| known.line.as_ref());
            found.extend(line.filter(|line| line.matches(filter)).cloned());
            (last, n_seen) = (Some(*at), n_seen + 1);
        }
        last.filter(|_| n_seen == n_max)
    }
}

impl Known {
    fn places(&self) -> Vec<Place> {
        // The view first: it says what there should be where not all is read.
        self.view.iter().chain(&self.reports).map(|entry| entry.place).collect()
    }
}

#[cfg(test)]
mod tests;
