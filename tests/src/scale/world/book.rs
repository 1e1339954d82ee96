//! The book of a simulation: when each trigger fired, when all hosts of its request were asked, and when all of it was on disk.
//!
//! Pure; filled by the world.

use crate::bench::stats::quantile;
use crate::scale::collector::{Batch, Told};
use crate::scale::workload::Path;
use backsight_core::ids::TraceId;
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug)]
struct Entry {
    fired: u64,
    /// Hosts that know, and hosts whose part is on disk, by their place on the request's way.
    reached: u64,
    stored: u64,
    all_reached: Option<u64>,
    all_stored: Option<u64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Book {
    entries: BTreeMap<TraceId, Entry>,
}

/// Times of triggers, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Times {
    /// Triggers that fired.
    pub n: usize,
    /// Until all hosts were asked: the median, and the 99th percentile.
    pub reach_p50_ms: f64,
    /// See `reach_p50_ms`.
    pub reach_p99_ms: f64,
    /// Until all was on disk.
    pub store_p50_ms: f64,
    /// See `store_p50_ms`.
    pub store_p99_ms: f64,
    /// The share of which not all hosts were asked.
    pub unreached_share: f64,
    /// The share of which not all was on disk.
    pub unstored_share: f64,
}

impl Book {
    /// A trigger fires on `host`.
    pub fn begin(&mut self, now: u64, host: usize, base: TraceId, paths: &BTreeMap<TraceId, Path>) {
        let Some(path) = paths.get(&base) else { return };
        let reached = bit(path, host);
        let all_reached = (path.hosts.len() == 1).then_some(now);
        self.entries.insert(base, Entry { fired: now, reached, stored: 0, all_reached, all_stored: None });
    }

    /// A host is told something.
    pub fn reach(&mut self, now: u64, host: usize, told: &[Told], paths: &BTreeMap<TraceId, Path>) {
        for told in told {
            let Told::Collect(collection) = told else { continue };
            let base = collection.traces[0];
            let Some((path, entry)) = paths.get(&base).zip(self.entries.get_mut(&base)) else { continue };
            entry.reached |= bit(path, host);
            if entry.reached == all(path) {
                entry.all_reached.get_or_insert(now);
            }
        }
    }

    /// Batches are durable.
    pub fn store(&mut self, now: u64, batches: &[Batch], paths: &BTreeMap<TraceId, Path>) {
        for batch in batches {
            for report in &batch.reports {
                let trace = report.holding.trace;
                let Some((path, entry)) = paths.get(&trace).zip(self.entries.get_mut(&trace)) else { continue };
                entry.stored |= bit(path, batch.line);
                if entry.stored == all(path) {
                    entry.all_stored.get_or_insert(now);
                }
            }
        }
    }

    /// Returns the times of triggers that fired from `from` to before `to`; what has not ended by `now` counts with that.
    #[must_use]
    pub fn times(&self, from: u64, to: u64, now: u64) -> Times {
        let fired: Vec<&Entry> = self.entries.values().filter(|entry| (from..to).contains(&entry.fired)).collect();
        let sorted = |ended: fn(&Entry) -> Option<u64>| {
            let mut times: Vec<f64> =
                fired.iter().map(|entry| (ended(entry).unwrap_or(now) - entry.fired) as f64 / 1e6).collect();
            times.sort_by(f64::total_cmp);
            times
        };
        let missing = |ended: fn(&Entry) -> Option<u64>| {
            fired.iter().filter(|entry| ended(entry).is_none()).count() as f64 / fired.len().max(1) as f64
        };
        let (reach, store) = (sorted(|entry| entry.all_reached), sorted(|entry| entry.all_stored));
        let at = |times: &[f64], share| quantile(times, share).unwrap_or(0.0);
        Times {
            n: fired.len(),
            reach_p50_ms: at(&reach, 0.5),
            reach_p99_ms: at(&reach, 0.99),
            store_p50_ms: at(&store, 0.5),
            store_p99_ms: at(&store, 0.99),
            unreached_share: missing(|entry| entry.all_reached),
            unstored_share: missing(|entry| entry.all_stored),
        }
    }
}

fn bit(path: &Path, host: usize) -> u64 {
    path.hosts.iter().position(|of| *of == host).map_or(0, |idx| 1 << idx)
}

fn all(path: &Path) -> u64 {
    (1 << path.hosts.len()) - 1
}
