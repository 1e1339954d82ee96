//! How a batch keeps reports: what producers said of a trace, as they said it, for whoever makes rows of all of it together.
//!
//! Called by whoever takes reports in, by what assembles traces, and by `part`.

use super::spans::Text;
use super::{Batch, BatchFull, ROWS_MAX, TEXT_MAX_BYTES};
use crate::rows::ReportRow;
use backsight_core::ids::TraceId;
use std::borrow::Cow;

/// A report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReportCell {
    pub(crate) trace_idx: u32,
    pub(crate) kind: i16,
    pub(crate) ingest_ns: i64,
    payload: Text,
    /// The one of the same trace that came before it.
    pub(super) before: Option<u32>,
}

impl Batch {
    /// Adds a report.
    ///
    /// # Errors
    /// The batch is full, and as before.
    /// # Cost
    /// A copy of its payload.
    pub fn push_report(&mut self, report: &ReportRow<'_>) -> Result<(), BatchFull> {
        let has_room = self.reports.len() < ROWS_MAX
            && self.traces.len() < ROWS_MAX
            && self.text_bytes() + report.payload.len() <= TEXT_MAX_BYTES;
        if !has_room {
            return Err(BatchFull { what: "report" });
        }
        let trace_idx = self.trace_idx(report.trace);
        let payload = self.put_text(&report.payload);
        let next = self.reports.len() as u32;
        let before = self.traces[trace_idx as usize].last_report.replace(next);
        let (kind, ingest_ns) = (report.kind, report.ingest_ns);
        self.reports.push(ReportCell { trace_idx, kind, ingest_ns, payload, before });
        Ok(())
    }

    /// Returns the number of reports.
    pub fn n_reports(&self) -> usize {
        self.reports.len()
    }

    /// Returns the reports of `trace`, in the order in which they came.
    pub fn reports_of(&self, trace: TraceId) -> Vec<ReportRow<'_>> {
        let last = self.trace_rows.get(&trace).and_then(|idx| self.traces[*idx as usize].last_report);
        let mut reports: Vec<_> = std::iter::successors(last, |idx| self.reports[*idx as usize].before)
            .map(|idx| self.report(&self.reports[idx as usize]))
            .collect();
        reports.reverse();
        reports
    }

    /// Returns the traces that have reports.
    pub fn reported(&self) -> impl Iterator<Item = TraceId> {
        self.traces.iter().filter(|trace| trace.last_report.is_some()).map(|trace| trace.trace)
    }

    /// Returns a report as it was put in.
    pub(crate) fn report(&self, cell: &ReportCell) -> ReportRow<'_> {
        ReportRow {
            trace: self.traces[cell.trace_idx as usize].trace,
            kind: cell.kind,
            ingest_ns: cell.ingest_ns,
            payload: Cow::Borrowed(self.bytes(cell.payload)),
        }
    }
}
