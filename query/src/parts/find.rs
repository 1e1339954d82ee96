//! The search: candidates part after part, the newest first, and of these the best are read, united, and held against the search as a whole.
//!
//! Called for each page. A candidate has a *bound*: its place in the order is not before it. So the page is done once no candidate, and no
//! part that was not looked at, may come before the last trace of it.

use super::byid::{Reader, TRACE_SPANS_MAX};
use super::cache::OpenPart;
use super::recent::{Seen, overlaps};
use super::scan::Means;
use super::skeleton::Skeleton;
use super::splits::Splits;
use super::{facts, plan, scan};
use crate::archive::{Ask, Found, Partial};
use crate::cursor::{Cursor, Sort};
use crate::language::matches;
use crate::rows::TraceRows;
use crate::rows::stored::clamped;
use backsight_core::ids::TraceId;
use backsight_store::part::{PartError, PartId};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

/// Traces of one page.
const RESULTS_MAX: usize = 1000;
/// Spans of one page, about 1 KB each; a page with more ends early.
const PAGE_SPANS_MAX: usize = 200_000;
/// Spans that are read at once.
const CHUNK_SPANS_MAX: u64 = 100_000;
/// Traces that are read at once.
const CHUNK_TRACES_MAX: usize = 64;
/// Candidates that are remembered, 40 bytes each.
const CANDIDATES_MAX: usize = 4 << 20;
/// Parts that cannot be read and are named one by one.
const LOST_MAX: usize = 16;

/// Returns a page of what `reader` sees.
pub(super) fn find(reader: Reader<'_>, splits: &Splits, ask: &Ask, means: Means<'_>) -> Found {
    let mut parts: Vec<_> =
        reader.view.manifest.parts.values().map(|part| (Reverse(clamped(part.max_start_ns)), part.id)).collect();
    parts.sort_unstable();
    let recent_ids: Vec<TraceId> = reader.recent.ids();
    let loose = reader.recent.scan(&ask.query, &ask.during, means.budget);
    let n_scanned = loose.len() as u64;
    let mut finder = Finder {
        sort: ask.behind.map_or(ask.sort, |cursor| cursor.sort),
        limit: ask.limit.clamp(1, RESULTS_MAX),
        all_groups: (0..ask.query.groups.len()).fold(0, |groups, idx| groups | 1 << idx),
        reader,
        ask,
        means,
        loose,
        queue: BinaryHeap::new(),
        queued: HashSet::new(),
        found: BTreeMap::new(),
        n_spans: 0,
        n_scanned,
        is_overfull: false,
    };
    for (idx, (_, id)) in parts.iter().enumerate() {
        if means.budget.is_spent() {
            break;
        }
        finder.add_part(*id, splits, &recent_ids);
        // Parts are in this order, so that the next one has the latest start of those that are left.
        if let Some((Reverse(start_ns), _)) = parts.get(idx + 1)
            && finder.sort == Sort::Recent
            && finder.advance(Some(*start_ns))
        {
            break;
        }
    }
    finder.advance(None);
    finder.answer()
}

/// A trace that may be one that is searched for. Those that may come first are the greatest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Candidate {
    /// It is ordered by this or by less.
    bound: u64,
    id: Reverse<TraceId>,
    /// Its spans, and it is ordered by exactly `bound`; `None` of a loose trace.
    tight: Option<u64>,
}

/// What a part holds.
#[derive(Default)]
struct OfPart {
    tight: Vec<Candidate>,
    loose: Vec<(TraceId, Seen)>,
    n_scanned: u64,
}

struct Finder<'a> {
    sort: Sort,
    limit: usize,
    /// A bit for each group.
    all_groups: u64,
    reader: Reader<'a>,
    ask: &'a Ask,
    means: Means<'a>,
    loose: HashMap<TraceId, Seen>,
    queue: BinaryHeap<Candidate>,
    /// Loose traces that were queued.
    queued: HashSet<TraceId>,
    /// The best so far, one more than asked for; by the order, equal ones by id.
    found: BTreeMap<(Reverse<u64>, TraceId), TraceRows>,
    /// Spans of `found`.
    n_spans: usize,
    n_scanned: u64,
    is_overfull: bool,
}

impl Finder<'_> {
    /// Looks for candidates in a part.
    fn add_part(&mut self, id: PartId, splits: &Splits, recent: &[TraceId]) {
        let Some(entry) = self.reader.view.manifest.parts.get(&id) else { return };
        let may_hold: Vec<_> = self.ask.query.groups.iter().map(|group| plan::may_hold(entry, group)).collect();
        let is_during = overlaps(&self.ask.during, entry.min_start_ns, entry.max_end_ns.max(entry.max_start_ns));
        let has_splits = splits.of(id).is_none_or(|places| !places.is_empty());
        let is_certain = !may_hold.is_empty() && !may_hold.contains(&true);
        if is_certain || (!is_during && !has_splits && recent.is_empty()) {
            return;
        }
        let look = Look { ask: self.ask, sort: self.sort, means: self.means, splits, recent, may_hold, is_during };
        let Some(of_part) = self.reader.try_part(id, |part| look.at(part)) else { return };
        self.n_scanned += of_part.n_scanned;
        for (trace, seen) in of_part.loose {
            let before = self.loose.entry(trace).or_insert(Seen::NOTHING);
            before.groups |= seen.groups;
            before.start_ns = before.start_ns.min(seen.start_ns);
            before.is_during |= seen.is_during;
        }
        let n_candidates = self.queue.len() + self.loose.len() + of_part.tight.len();
        if n_candidates > CANDIDATES_MAX {
            self.is_overfull = true;
            return;
        }
        let is_behind = |candidate: &Candidate| self.is_behind(candidate.bound, candidate.id.0);
        let tight: Vec<_> = of_part.tight.into_iter().filter(is_behind).collect();
        self.queue.extend(tight);
    }

    /// Returns whether what is ordered so comes behind the page before.
    fn is_behind(&self, key: u64, trace: TraceId) -> bool {
        self.ask.behind.is_none_or(|cursor| (Reverse(key), trace) > (Reverse(cursor.key), cursor.trace))
    }

    /// Queues loose traces for which a span of each group was found.
    fn queue_loose(&mut self) {
        for (trace, seen) in &self.loose {
            if seen.groups == self.all_groups && self.queued.insert(*trace) {
                let bound = if self.sort == Sort::Recent { seen.start_ns } else { u64::MAX };
                self.queue.push(Candidate { bound, id: Reverse(*trace), tight: None });
            }
        }
    }

    /// Reads candidates, the best first, down to those that are ordered by more than `floor`; returns whether the page is done, whatever
    /// comes that is ordered by `floor` or less.
    fn advance(&mut self, floor: Option<u64>) -> bool {
        self.queue_loose();
        loop {
            let chunk = self.chunk(floor);
            if chunk.is_empty() || self.means.budget.is_spent() {
                break;
            }
            for trace in self.reader.read(&chunk) {
                self.keep(trace);
            }
        }
        let is_above = |key: u64| floor.is_none_or(|floor| key > floor);
        self.last_of_full().is_some_and(|(Reverse(key), _)| is_above(key))
    }

    /// Takes the next candidates that may be of the page.
    fn chunk(&mut self, floor: Option<u64>) -> Vec<TraceId> {
        let n_wanted = (self.limit + 1).saturating_sub(self.found.len()).clamp(8, CHUNK_TRACES_MAX);
        let (mut chunk, mut n_spans) = (Vec::new(), 0);
        while chunk.len() < n_wanted && n_spans < CHUNK_SPANS_MAX && !self.means.budget.is_spent() {
            let Some(next) = self.queue.peek().copied() else { break };
            let is_late = self.last_of_full().is_some_and(|last| last < (Reverse(next.bound), next.id.0));
            if is_late || floor.is_some_and(|floor| next.bound <= floor) {
                break;
            }
            self.queue.pop();
            if let Some(n) = next.tight.or_else(|| self.n_spans_of_loose(next.id.0)) {
                n_spans += n.min(TRACE_SPANS_MAX);
                chunk.push(next.id.0);
            }
        }
        chunk
    }

    /// Returns how many spans a loose trace has; `None` of one that is not on this page without being read.
    fn n_spans_of_loose(&mut self, trace: TraceId) -> Option<u64> {
        let extent = self.reader.extent(trace);
        let is_here_alone = extent.n_spans == extent.n_recent;
        let is_during = !is_here_alone || self.loose.get(&trace).is_none_or(|seen| seen.is_during);
        let start_ns = extent.start_ns?;
        let is_behind = self.sort != Sort::Recent || self.is_behind(start_ns, trace);
        (is_during && is_behind).then_some(extent.n_spans)
    }

    /// Keeps a trace if it is what is searched for, and one of the best.
    fn keep(&mut self, trace: TraceRows) {
        let is_during = trace.spans.iter().any(|span| {
            let end_ns = span.start_ns.saturating_add(span.duration_ns);
            span.start_ns < self.ask.during.end && end_ns >= self.ask.during.start
        });
        let key = facts::key(&trace, self.sort);
        if !is_during || !self.is_behind(key, trace.id) || !matches(&self.ask.query, &trace) {
            return;
        }
        self.n_spans += trace.spans.len();
        if let Some(before) = self.found.insert((Reverse(key), trace.id), trace) {
            self.n_spans -= before.spans.len();
        }
        while self.found.len() > self.limit + 1 || (self.n_spans > PAGE_SPANS_MAX && self.found.len() > 2) {
            let Some((_, last)) = self.found.pop_last() else { return };
            self.n_spans -= last.spans.len();
            self.limit = self.limit.min(self.found.len() - 1);
        }
    }

    /// Returns the last trace that was found, if there are as many as the page takes and one more.
    fn last_of_full(&self) -> Option<(Reverse<u64>, TraceId)> {
        self.found.last_key_value().filter(|_| self.found.len() > self.limit).map(|(order, _)| *order)
    }

    fn answer(mut self) -> Found {
        let has_more = self.found.len() > self.limit;
        if has_more {
            self.found.pop_last();
        }
        let last = self.found.last_key_value().filter(|_| has_more).map(|(order, _)| *order);
        let manifest = self.reader.view.manifest.version;
        let cursor = |(Reverse(key), trace)| Cursor { sort: self.sort, key, trace, manifest };
        let n_lost = self.reader.lost.len();
        let mut partial: Vec<_> = self.reader.lost.into_values().take(LOST_MAX).collect();
        if n_lost > LOST_MAX {
            partial.push(Partial { reason: "damaged", what: format!("{} more parts", n_lost - LOST_MAX) });
        }
        if self.is_overfull {
            let what = format!("more than {CANDIDATES_MAX} traces may match: ask for less");
            partial.push(Partial { reason: "limit", what });
        }
        if self.means.budget.is_spent() {
            partial.push(Partial { reason: "timeout", what: "the time of the search was used up".to_owned() });
        }
        Found { next: last.map(cursor), traces: self.found.into_values().collect(), partial, n_scanned: self.n_scanned }
    }
}

/// How a part is looked at.
struct Look<'a> {
    ask: &'a Ask,
    sort: Sort,
    means: Means<'a>,
    splits: &'a Splits,
    /// Traces of batches.
    recent: &'a [TraceId],
    /// For each group whether a span of the part may be it.
    may_hold: Vec<bool>,
    /// Whether the part has anything in the time that is asked for.
    is_during: bool,
}

impl Look<'_> {
    fn at(&self, part: &OpenPart) -> Result<OfPart, PartError> {
        let skeleton = part.skeleton()?;
        let is_loose = self.loose(part, skeleton)?;
        let is_during = |place: usize| overlaps(&self.ask.during, skeleton.starts[place], skeleton.ends[place]);
        let is_tight = |place: usize| !is_loose[place] && skeleton.n_rows(place) > 0 && is_during(place);
        let mut is_alive: Vec<bool> = (0..skeleton.len()).map(|place| self.is_during && is_tight(place)).collect();
        let n_scanned = is_alive.iter().chain(&is_loose).filter(|is| **is).count() as u64;
        facts::retain(part, skeleton, &self.ask.query.of_trace, &mut is_alive)?;
        let groups = self.groups(part, skeleton, &is_loose, &is_alive)?;
        let all_groups = (0..self.may_hold.len()).fold(0, |all, idx| all | 1 << idx);
        let found: Vec<_> =
            (0..skeleton.len()).filter(|place| is_alive[*place] && groups[*place] == all_groups).collect();
        let keys = if found.is_empty() { Vec::new() } else { facts::keys(part, skeleton, self.sort)? };
        let tight = |place: usize| Candidate {
            bound: keys.get(place).copied().unwrap_or(u64::MAX),
            id: Reverse(skeleton.ids[place]),
            tight: Some(skeleton.n_rows(place)),
        };
        let seen = |place: usize| Seen {
            groups: groups[place],
            start_ns: clamped(skeleton.starts[place]),
            is_during: is_during(place),
        };
        let loose = (0..skeleton.len()).filter(|place| is_loose[*place] && skeleton.n_rows(*place) > 0);
        Ok(OfPart {
            tight: found.into_iter().map(tight).collect(),
            loose: loose.map(|place| (skeleton.ids[place], seen(place))).collect(),
            n_scanned,
        })
    }

    /// Returns for each trace the groups for which it has a span; of tight ones for which an earlier group has none no more is looked for.
    fn groups(
        &self,
        part: &OpenPart,
        skeleton: &Skeleton,
        is_loose: &[bool],
        is_alive: &[bool],
    ) -> Result<Vec<u64>, PartError> {
        let mut found = vec![0_u64; skeleton.len()];
        let mut before = 0;
        for (idx, group) in self.ask.query.groups.iter().enumerate() {
            if self.may_hold[idx] {
                let rows = skeleton.rows_where(|place| is_loose[place] || (is_alive[place] && found[place] == before));
                if !rows.is_empty() {
                    for place in scan::places(part, skeleton, group, &rows, self.means)? {
                        found[place] |= 1 << idx;
                    }
                }
            }
            before |= 1 << idx;
        }
        Ok(found)
    }

    /// Returns for each trace whether this part may not know all of it.
    fn loose(&self, part: &OpenPart, skeleton: &Skeleton) -> Result<Vec<bool>, PartError> {
        let Some(splits) = self.splits.of(part.entry.id) else { return Ok(vec![true; skeleton.len()]) };
        // Of what is not asked for only what stands elsewhere, too, is of interest.
        if self.is_during && part.is_odd()? {
            return Ok(vec![true; skeleton.len()]);
        }
        let mut is_loose = vec![false; skeleton.len()];
        let mut set = |place: usize| is_loose[place] = true;
        splits.iter().for_each(|place| set(*place as usize));
        let file = part.traces()?.file();
        let may_be_here = self.recent.iter().filter(|trace| !file.candidates(**trace).is_empty());
        may_be_here.filter_map(|trace| skeleton.find(*trace)).for_each(&mut set);
        if self.is_during && facts::depends_on_repeats(&self.ask.query.of_trace, self.sort) {
            part.repeats()?.iter().for_each(|place| set(*place as usize));
        }
        Ok(is_loose)
    }
}
