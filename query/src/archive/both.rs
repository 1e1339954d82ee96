//! Two archives as one: what either holds is found, and of a trace that both hold all of it.
//!
//! Asked where traces are kept in two ways. Each is asked for a whole page; what lies behind the place where one of them stopped is left to the
//! next page, so that no page leaves anything out.

use super::{Archive, Ask, Budget, Calls, Found, Operation, Partial, Unanswered};
use crate::cursor::{Cursor, Sort};
use crate::parts::key;
use crate::rows::TraceRows;
use backsight_core::ids::TraceId;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// See the module.
pub struct Both(pub Arc<dyn Archive>, pub Arc<dyn Archive>);

impl std::fmt::Debug for Both {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Both").finish_non_exhaustive()
    }
}

/// Where a trace stands in the order of answers.
type Place = (Reverse<u64>, TraceId);

fn place(rows: &TraceRows, sort: Sort) -> Place {
    (Reverse(key(rows, sort)), rows.id)
}

const fn place_of(cursor: &Cursor) -> Place {
    (Reverse(cursor.key), cursor.trace)
}

impl Archive for Both {
    fn trace(&self, id: TraceId) -> Result<Option<TraceRows>, Unanswered> {
        match (self.0.trace(id), self.1.trace(id)) {
            (Ok(Some(one)), Ok(Some(other))) => Ok(Some(joined(one, other))),
            (Ok(Some(rows)), _) | (_, Ok(Some(rows))) => Ok(Some(rows)),
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(None), Ok(None)) => Ok(None),
        }
    }

    fn search(&self, ask: &Ask, budget: &dyn Budget) -> Result<Found, Unanswered> {
        let found = [answered(self.0.search(ask, budget))?, answered(self.1.search(ask, budget))?];
        let bound = found.iter().filter_map(|found| found.next).min_by_key(place_of);
        let mut united = Found { next: bound, ..Found::default() };
        let mut traces: BTreeMap<Place, TraceRows> = BTreeMap::new();
        for found in found {
            united.partial.extend(found.partial);
            united.n_scanned += found.n_scanned;
            for rows in found.traces {
                let at = place(&rows, ask.sort);
                if bound.as_ref().is_some_and(|bound| at > place_of(bound)) {
                    continue;
                }
                match traces.remove(&at) {
                    Some(other) => traces.insert(at, joined(other, rows)),
                    None => traces.insert(at, rows),
                };
            }
        }
        let is_cut = traces.len() > ask.limit;
        let manifest = bound.map_or(0, |bound| bound.manifest);
        let page: Vec<(Place, TraceRows)> = traces.into_iter().take(ask.limit).collect();
        if let Some(((Reverse(key), trace), _)) = page.last().filter(|_| is_cut) {
            united.next = Some(Cursor { sort: ask.sort, key: *key, trace: *trace, manifest });
        }
        united.traces = page.into_iter().map(|(_, rows)| rows).collect();
        Ok(united)
    }

    fn services(&self, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<String>, Unanswered> {
        let (one, other) = (self.0.services(during.clone(), budget)?, self.1.services(during, budget)?);
        Ok(each_once(one, other))
    }

    fn operations(&self, service: &str, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<Operation>, Unanswered> {
        let one = self.0.operations(service, during.clone(), budget)?;
        Ok(each_once(one, self.1.operations(service, during, budget)?))
    }

    fn calls(&self, during: Range<u64>, budget: &dyn Budget) -> Result<Vec<Calls>, Unanswered> {
        let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
        let other = self.1.calls(during.clone(), budget)?;
        for Calls { caller, callee, n } in self.0.calls(during, budget)?.into_iter().chain(other) {
            let sum = sums.entry((caller, callee)).or_default();
            *sum = sum.saturating_add(n);
        }
        Ok(sums.into_iter().map(|((caller, callee), n)| Calls { caller, callee, n }).collect())
    }
}

/// Returns an answer; what cannot be read is named in it, so that the other archive is heard.
fn answered(found: Result<Found, Unanswered>) -> Result<Found, Unanswered> {
    match found {
        Err(Unanswered::Unreadable(what)) => {
            Ok(Found { partial: vec![Partial { reason: "damaged", what }], ..Found::default() })
        }
        other => other,
    }
}

fn each_once<T: Ord>(mut one: Vec<T>, other: Vec<T>) -> Vec<T> {
    one.extend(other);
    one.sort_unstable();
    one.dedup();
    one
}

/// Returns all that two say of one trace.
fn joined(mut one: TraceRows, other: TraceRows) -> TraceRows {
    let n_processes = one.processes.len();
    one.processes.extend(other.processes);
    one.spans.extend(other.spans.into_iter().map(|mut span| {
        span.process_idx += n_processes;
        span
    }));
    one.spans.sort_by_key(|span| span.start_ns);
    one.facts.triggers = each_once(one.facts.triggers, other.facts.triggers);
    one.facts.verdict = one.facts.verdict.or(other.facts.verdict);
    one.facts.is_pending |= other.facts.is_pending;
    one.facts.warnings.extend(other.facts.warnings);
    one
}

#[cfg(test)]
mod tests;
