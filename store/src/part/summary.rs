//! What a manifest says of a part beside its files, summed up over its rows.
//!
//! Called by `write` with a whole batch, and by `stream` with one batch after another.

use super::order::{trace_end_ns, trace_start_ns};
use super::write::Cut;
use crate::batch::Batch;
use crate::manifest::entry::{FileEntry, PartEntry, Services, flag};
use crate::promote::Promoted;

/// The sums of the rows so far.
#[derive(Default)]
pub(super) struct Summary {
    starts: Extent,
    ends: Extent,
    /// Of slices, which count only where there are no traces.
    slice_starts: Extent,
    slice_ends: Extent,
    ingests: Extent,
    max_duration_ns: Option<i64>,
    services: Services,
    flags: u32,
}

impl Summary {
    /// Adds the rows of `batch`.
    pub(super) fn add(&mut self, batch: &Batch) {
        for idx in 0..batch.traces.len() as u32 {
            self.starts.add(trace_start_ns(batch, idx));
            self.ends.add(trace_end_ns(batch, idx));
        }
        for (_, slice) in batch.slices.iter().enumerate().filter(|(row, slice)| batch.is_live_slice(*row, slice.trace))
        {
            self.slice_starts.add(slice.start_ns);
            self.slice_ends.add(slice.start_ns.saturating_add(slice.duration_ns));
        }
        batch.traces.iter().for_each(|trace| self.ingests.add(batch.facts_at(trace).ingest_ns));
        self.max_duration_ns = self.max_duration_ns.max(batch.live_heads().map(|head| head.duration_ns).max());
        let mut codes: Vec<u32> = batch.live_heads().map(|head| head.service).collect();
        codes.sort_unstable();
        codes.dedup();
        codes.into_iter().for_each(|code| self.services.add(batch.names.text(code)));
        self.flags |= flags(batch);
    }

    /// Returns what a manifest says of the part.
    pub(super) fn entry(self, cut: &Cut<'_>, promoted: Vec<Promoted>, files: Vec<FileEntry>) -> PartEntry {
        let (starts, ends) = match self.starts.0 {
            Some(_) => (self.starts, self.ends),
            None => (self.slice_starts, self.slice_ends),
        };
        PartEntry {
            id: cut.id,
            files,
            min_start_ns: starts.min(),
            max_start_ns: starts.max(),
            max_end_ns: ends.max(),
            max_duration_ns: self.max_duration_ns.unwrap_or(0),
            services: self.services,
            promoted,
            flags: self.flags,
            min_ingest_ns: self.ingests.min(),
            max_ingest_ns: self.ingests.max(),
            parents: cut.parents.to_vec(),
        }
    }
}

fn flags(batch: &Batch) -> u32 {
    let has_errors = batch.traces.iter().any(|trace| trace.n_errors > 0);
    let has_triggers = batch.facts.iter().any(|facts| !facts.triggers.is_empty());
    let has_energy = batch.extras.iter().any(|extra| extra.energy.is_some())
        || batch.facts.iter().any(|facts| facts.energy_nj.is_some() || facts.energy_no_span.is_some());
    [(has_errors, flag::ERRORS), (has_triggers, flag::TRIGGERS), (has_energy, flag::ENERGY)]
        .into_iter()
        .filter(|(has, _)| *has)
        .fold(0, |flags, (_, flag)| flags | flag)
}

/// The least and the greatest of some times; 0 of none.
#[derive(Clone, Copy, Default)]
struct Extent(Option<(i64, i64)>);

impl Extent {
    fn add(&mut self, time_ns: i64) {
        let (min, max) = self.0.unwrap_or((time_ns, time_ns));
        self.0 = Some((min.min(time_ns), max.max(time_ns)));
    }

    fn min(&self) -> i64 {
        self.0.map_or(0, |(min, _)| min)
    }

    fn max(&self) -> i64 {
        self.0.map_or(0, |(_, max)| max)
    }
}
