//! Traces that are put together from all their reports, wherever those stand.
//!
//! Called for a trace that has come to rest, and by the cutter for all traces that a batch has reports of.

use super::{Ingest, Meaning, Shared, SharedBatch, read, write};
use crate::batch::{Batch, BatchFull};
use crate::manifest::entry::PartEntry;
use crate::objects::Objects;
use crate::part::read::{File, Reports};
use crate::part::{PartError, PartId};
use crate::rows::ReportRow;
use crate::schema::Table;
use crate::view::View;
use backsight_core::ids::TraceId;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Files of reports that are kept open: the newest parts, where late reports look for what came before them.
const OPEN_MAX: usize = 256;

/// The files of reports that are open, by part.
#[derive(Debug, Default)]
pub(super) struct OpenReports {
    files: BTreeMap<PartId, Reports>,
}

impl OpenReports {
    /// Returns the reports of a part; `None` where it has none.
    fn of(&mut self, objects: &dyn Objects, part: &PartEntry) -> Result<Option<Reports>, PartError> {
        if let Some(reports) = self.files.get(&part.id) {
            return Ok(Some(reports.clone()));
        }
        let Some(entry) = part.file(Table::Reports) else { return Ok(None) };
        let reports = Reports::new(File::open(objects, entry)?)?;
        self.files.insert(part.id, reports.clone());
        if self.files.len() > OPEN_MAX {
            self.files.pop_first();
        }
        Ok(Some(reports))
    }

    /// Closes the files of parts that are gone.
    pub(super) fn keep_those_of(&mut self, view: &View) {
        let has_reports = |part: &PartEntry| part.file(Table::Reports).is_some();
        self.files.retain(|id, _| view.manifest.parts.get(id).is_some_and(has_reports));
    }
}

/// All reports of a trace.
#[derive(Clone, Debug, Default)]
pub struct Gathered {
    /// The reports, as they came.
    pub reports: Vec<ReportRow<'static>>,
    /// Whether some of them stand in parts, or in a batch that is being written.
    pub is_cut: bool,
    /// Parts that could not be read.
    pub unreadable: Vec<PartError>,
}

/// A trace whose rows were not put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAssembled {
    /// The batch has no room.
    #[error(transparent)]
    Full(#[from] BatchFull),
}

impl<M: Meaning> Ingest<M> {
    /// Returns what was reported of a trace: what no part has yet, and what the parts have that were written at `since_ms` or later.
    ///
    /// # Cost
    /// A look at the Bloom filter of each part, and reading those that have the trace.
    pub fn reports(&self, trace: TraceId, since_ms: u64) -> Gathered {
        self.shared.gather(&self.shared.view(), trace, since_ms)
    }

    /// Puts a trace together from all its reports, those in parts written before `since_ms` excepted, and its rows into the open batch.
    ///
    /// # Errors
    /// There is no room; it is tried again at the next cut.
    pub fn assemble(&self, trace: TraceId, since_ms: u64) -> Result<(), NotAssembled> {
        loop {
            let view = self.shared.view();
            let Some(open) = view.batches.last() else { return Ok(()) };
            let gathered = self.shared.gather(&view, trace, since_ms);
            let Some(assembled) = self.shared.meaning.assemble(trace, &gathered.reports) else { return Ok(()) };
            let mut batch = write(open);
            // Frozen meanwhile: its own reports are put together before it is written, and later ones are in the next.
            if !batch.is_frozen() {
                return Ok(self.shared.push(trace, &assembled, gathered.is_cut, &mut batch)?);
            }
        }
    }
}

impl<M: Meaning> Shared<M> {
    /// Puts together all traces that `batch`, the last of `view`, has reports of, and their rows into it.
    pub(super) fn assemble_all(&self, view: &View, batch: &SharedBatch, since_ms: u64) {
        let traces: Vec<TraceId> = read(batch).reported().collect();
        let mut earlier = view.clone();
        earlier.batches.clear();
        for trace in traces {
            let mut gathered = self.gather(&earlier, trace, since_ms);
            let is_late = !gathered.reports.is_empty();
            gathered.reports.extend(owned(&read(batch), trace));
            let Some(assembled) = self.meaning.assemble(trace, &gathered.reports) else { continue };
            if self.push(trace, &assembled, is_late, &mut write(batch)).is_err() {
                self.counters.unreadable();
            }
        }
    }

    fn push(
        &self,
        trace: TraceId,
        assembled: &M::Assembled,
        is_late: bool,
        batch: &mut Batch,
    ) -> Result<(), BatchFull> {
        batch.replace_recorded(trace);
        let mark = batch.mark();
        self.meaning.push(assembled, is_late, batch).inspect_err(|_| batch.take_back(mark))
    }

    fn gather(&self, view: &View, trace: TraceId, since_ms: u64) -> Gathered {
        let mut gathered = Gathered::default();
        for part in view.manifest.parts.values().filter(|part| part.id.time_ms() >= since_ms) {
            let reports = self.reports().of(&*self.objects, part); // the lock is held no longer
            match reports.and_then(|reports| reports.map_or(Ok(Vec::new()), |reports| reports.find(trace))) {
                Ok(found) => gathered.reports.extend(found),
                Err(error) => {
                    self.counters.unreadable();
                    gathered.unreadable.push(error);
                }
            }
        }
        for batch in &view.batches {
            gathered.is_cut = !gathered.reports.is_empty();
            gathered.reports.extend(owned(&read(batch), trace));
        }
        gathered
    }
}

/// Returns the reports of a trace in a batch, for whoever does not hold its lock.
fn owned(batch: &Batch, trace: TraceId) -> Vec<ReportRow<'static>> {
    let own = |report: ReportRow<'_>| ReportRow { payload: Cow::Owned(report.payload.into_owned()), ..report };
    batch.reports_of(trace).into_iter().map(own).collect()
}
