//! The library as endpoints ask it: an [`Archive`] over what agents reported.
//!
//! Asked by the HTTP API on threads that may block. Traces are found by their lines, which are in memory, and read from disk only where the line does
//! not say that they are not what is looked for.

use crate::library::{Filter, Library, Line, Lookup};
use crate::query::StatusSource;
use backsight_core::certificate::Verdict;
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_proto::export::Extras;
use backsight_query::archive::{Archive, Ask, Budget, Calls, Found, Operation, Partial, Unanswered};
use backsight_query::cursor::{Cursor, Sort};
use backsight_query::language::{Query, matches};
use backsight_query::rows::TraceRows;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Bytes of records of the traces that one search answers, after which it stops: as rows they are some ten times as many.
const FOUND_MAX_BYTES: u64 = 16 << 20;

/// See the module.
pub struct LibraryArchive {
    library: Library,
    source: Arc<dyn StatusSource>,
}

impl fmt::Debug for LibraryArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LibraryArchive").field("library", &self.library).finish_non_exhaustive()
    }
}

impl LibraryArchive {
    /// Returns what is in `library`; `source` knows the names of hosts.
    pub fn new(library: Library, source: Arc<dyn StatusSource>) -> Self {
        Self { library, source }
    }

    /// Reads a trace.
    fn rows(&self, trace: TraceId, hosts: &Hosts) -> Option<TraceRows> {
        let Lookup::Stored(stored) = self.library.get(trace) else { return None };
        let (trace, certificate) = stored.examine();
        let extras = Extras { certificate: Some(&certificate), hosts: Some(hosts) };
        let mut rows = TraceRows::recorded(&trace, extras);
        rows.facts.is_pending = certificate.verdict == Verdict::Unknown;
        Some(rows)
    }

    fn hosts(&self) -> Hosts {
        self.source.agents().into_iter().map(|agent| (AgentId(agent.agent), agent.host)).collect()
    }

    /// Returns the lines of traces that touch `during`, newest first.
    fn lines(&self, during: &Range<u64>) -> Vec<Arc<Line>> {
        let filter = match (during.start, during.end) {
            (0, u64::MAX) => Filter::default(), // those of which no time is known, too
            (from_ns, end) if from_ns < end => Filter { from_ns, to_ns: (end - 1).max(1), ..Filter::default() },
            _ => return Vec::new(),
        };
        self.library.lines(&filter)
    }
}

type Hosts = BTreeMap<AgentId, String>;

/// A trace that may be what is looked for, in the order of its cursor.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    key: Reverse<u64>,
    trace: TraceId,
}

impl Candidate {
    fn cursor(&self, sort: Sort) -> Cursor {
        Cursor { sort, key: self.key.0, trace: self.trace, manifest: 0 }
    }
}

/// Returns the traces of `lines` that are behind a cursor and may be what is looked for, in their order, and how many were looked at.
fn candidates(lines: Vec<Arc<Line>>, ask: &Ask) -> (Vec<(Candidate, Arc<Line>)>, u64) {
    let behind = ask.behind.map(|cursor| Candidate { key: Reverse(cursor.key), trace: cursor.trace });
    let n_lines = lines.len() as u64;
    let of_line = |line: Arc<Line>| {
        let candidate = Candidate { key: Reverse(key(ask.sort, &line)), trace: line.summary.trace };
        let is_behind = behind.as_ref().is_none_or(|behind| candidate > *behind);
        (is_behind && line.may_match(&ask.query)).then_some((candidate, line))
    };
    let mut candidates: Vec<_> = lines.into_iter().filter_map(of_line).collect();
    candidates.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    (candidates, n_lines)
}

/// Returns by what traces are ordered; nothing stored here says how rare a trace is, or what it used.
fn key(sort: Sort, line: &Line) -> u64 {
    match sort {
        Sort::Recent => line.summary.start_ns,
        Sort::Duration => line.summary.duration_ns,
        Sort::Spans => line.summary.n_spans,
        Sort::Rarity | Sort::Energy => 0,
    }
}

/// Returns whether a trace is what is looked for: it matches, and has a span at that time.
fn is_wanted(rows: &TraceRows, query: &Query, during: &Range<u64>) -> bool {
    let touches = |span: &backsight_query::rows::SpanRow| {
        span.start_ns < during.end && span.start_ns.saturating_add(span.duration_ns) >= during.start
    };
    rows.spans.iter().any(touches) && matches(query, rows)
}

impl Archive for LibraryArchive {
    fn trace(&self, id: TraceId) -> Result<Option<TraceRows>, Unanswered> {
        Ok(self.rows(id, &self.hosts()))
    }

    /// Searches lines, then reads those that may match one after the other.
    fn search(&self, ask: &Ask, budget: &dyn Budget) -> Result<Found, Unanswered> {
        let (candidates, n_lines) = candidates(self.lines(&ask.during), ask);
        let hosts = self.hosts();
        let mut found = Found { n_scanned: n_lines, ..Found::default() };
        let (mut bytes, mut last) = (0_u64, ask.behind);
        for (idx, (candidate, line)) in candidates.iter().enumerate() {
            if found.traces.len() >= ask.limit {
                found.next = last;
                break;
            }
            let is_too_much = bytes >= FOUND_MAX_BYTES;
            if is_too_much || budget.is_spent() {
                let what = format!("{} traces that may match were not looked at", candidates.len() - idx);
                found.partial.push(Partial { reason: if is_too_much { "size" } else { "timeout" }, what });
                found.next = last;
                break;
            }
            last = Some(candidate.cursor(ask.sort));
            if let Some(rows) =
                self.rows(candidate.trace, &hosts).filter(|rows| is_wanted(rows, &ask.query, &ask.during))
            {
                bytes = bytes.saturating_add(line.summary.bytes);
                found.traces.push(rows);
            }
        }
        Ok(found)
    }

    fn services(&self, during: Range<u64>, _: &dyn Budget) -> Result<Vec<String>, Unanswered> {
        let lines = self.lines(&during);
        let names: BTreeSet<&str> = lines.iter().flat_map(|line| line.services()).collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn operations(&self, service: &str, during: Range<u64>, _: &dyn Budget) -> Result<Vec<Operation>, Unanswered> {
        let lines = self.lines(&during);
        let known: BTreeSet<_> = lines.iter().flat_map(|line| line.operations(service)).collect();
        let operation = |(name, kind): (&str, _)| Operation { name: name.to_owned(), kind: Some(kind) };
        Ok(known.into_iter().map(operation).collect())
    }

    /// Reads traces, newest first, until the budget is spent.
    fn calls(&self, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<Calls>, Unanswered> {
        let hosts = self.hosts();
        let mut calls: BTreeMap<(String, String), u64> = BTreeMap::new();
        for line in self.lines(&during) {
            if budget.is_spent() {
                break;
            }
            let Some(rows) = self.rows(line.summary.trace, &hosts) else { continue };
            count(&rows, &mut calls);
        }
        Ok(calls.into_iter().map(|((caller, callee), n)| Calls { caller, callee, n }).collect())
    }
}

/// Adds the calls from service to service in a trace.
fn count(rows: &TraceRows, calls: &mut BTreeMap<(String, String), u64>) {
    let services: BTreeMap<SpanId, &str> = rows.spans.iter().map(|span| (span.id, rows.service(span))).collect();
    for span in &rows.spans {
        let (caller, callee) = (services.get(&span.parent).copied(), rows.service(span));
        if let Some(caller) = caller.filter(|caller| *caller != callee) {
            *calls.entry((caller.to_owned(), callee.to_owned())).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests;
