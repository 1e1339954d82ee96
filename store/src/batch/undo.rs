//! Taking back what was put in last: a request that turns out to be malformed, or that the log had no room for, leaves no row.
//!
//! And what later knowledge replaces: a recorded trace is put in again as a whole when more of it has come.
//!
//! Called by whoever fills a batch from one source at a time.

use super::spans::count;
use super::{Batch, Head, TraceHead};
use crate::rows::source::RECORDER;
use backsight_core::ids::TraceId;
use std::collections::BTreeSet;

/// How much a batch held at some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mark {
    n_heads: usize,
    n_cells: usize,
    n_extras: usize,
    n_events: usize,
    n_links: usize,
    n_traces: usize,
    n_resources: usize,
    n_slices: usize,
    n_reports: usize,
    text_bytes: usize,
    resource_bytes: usize,
    owned_bytes: usize,
}

impl Batch {
    /// Returns how much the batch holds now.
    pub fn mark(&self) -> Mark {
        Mark {
            n_heads: self.heads.len(),
            n_cells: self.cells.len(),
            n_extras: self.extras.len(),
            n_events: self.events.len(),
            n_links: self.links.len(),
            n_traces: self.traces.len(),
            n_resources: self.resources.len(),
            n_slices: self.slices.len(),
            n_reports: self.reports.len(),
            text_bytes: self.text.len(),
            resource_bytes: self.resource_bytes,
            owned_bytes: self.owned_bytes,
        }
    }

    /// Takes back the spans, slices, reports and resources that were put in since `mark`. What was said of traces by [`Batch::set_trace`] stays, and so do
    /// names, which nothing shows.
    ///
    /// # Cost
    /// A look at all spans, where traces that were there before had got some.
    pub fn take_back(&mut self, mark: Mark) {
        for row in mark.n_heads..self.heads.len() {
            let head = self.heads[row];
            self.uncount(&head);
        }
        let mut changed: BTreeSet<u32> = self.heads[mark.n_heads..].iter().map(|head| head.trace_idx).collect();
        // Newest first: what stands there in the end is what came before the oldest of a trace.
        for head in self.heads[mark.n_heads..].iter().rev() {
            self.traces[head.trace_idx as usize].last_row = head.before_of_trace;
        }
        for report in self.reports[mark.n_reports..].iter().rev() {
            self.traces[report.trace_idx as usize].last_report = report.before;
        }
        changed.retain(|idx| (*idx as usize) < mark.n_traces);
        self.heads.truncate(mark.n_heads);
        self.cells.truncate(mark.n_cells);
        self.extras.truncate(mark.n_extras);
        self.events.truncate(mark.n_events);
        self.links.truncate(mark.n_links);
        if self.resources.len() > mark.n_resources {
            self.resources.truncate(mark.n_resources);
            self.known_resources.retain(|_, id| (id.0 as usize) < mark.n_resources);
        }
        self.slices.truncate(mark.n_slices);
        self.reports.truncate(mark.n_reports);
        self.text.truncate(mark.text_bytes);
        (self.resource_bytes, self.owned_bytes) = (mark.resource_bytes, mark.owned_bytes);
        for trace in self.traces.drain(mark.n_traces..) {
            self.trace_rows.remove(&trace.trace);
        }
        if !changed.is_empty() {
            self.sum_up_again(&changed);
        }
    }

    /// Takes out what was put in of `trace` from source [`RECORDER`], spans and slices: what is put in next takes its place.
    ///
    /// # Cost
    /// Nothing where the batch has no span of the trace; else a look at all spans.
    pub fn replace_recorded(&mut self, trace: TraceId) {
        let from = (self.heads.len() as u32, self.slices.len() as u32);
        let Some(idx) = self.trace_rows.get(&trace).copied() else { return };
        let had_spans = self.traces[idx as usize].n_rows > 0;
        if had_spans {
            for row in 0..self.heads.len() {
                let head = self.heads[row];
                if head.trace_idx == idx && head.source == RECORDER && self.is_live(row, &head) {
                    self.uncount(&head);
                }
            }
        }
        self.traces[idx as usize].recorded_from = from;
        if had_spans {
            self.sum_up_again(&BTreeSet::from([idx]));
        }
    }

    /// Returns whether the span at place `row` was not replaced since.
    pub(crate) fn is_live(&self, row: usize, head: &Head) -> bool {
        head.source != RECORDER || row >= self.traces[head.trace_idx as usize].recorded_from.0 as usize
    }

    /// Returns the spans that were not replaced since.
    pub(crate) fn live_heads(&self) -> impl Iterator<Item = &Head> {
        self.heads.iter().enumerate().filter(|(row, head)| self.is_live(*row, head)).map(|(_, head)| head)
    }

    /// Returns whether the slice at place `row` was not replaced since.
    pub(crate) fn is_live_slice(&self, row: usize, trace: TraceId) -> bool {
        let idx = self.trace_rows.get(&trace);
        idx.is_none_or(|idx| row >= self.traces[*idx as usize].recorded_from.1 as usize)
    }

    /// Takes the attributes of a span out of the counts by key.
    fn uncount(&mut self, head: &Head) {
        for cell in head.attributes.range() {
            let cell = self.cells[cell];
            count(&mut self.key_rows[cell.key as usize], cell.value, u32::wrapping_sub);
        }
    }

    /// Sums up the traces at `changed` over their spans.
    fn sum_up_again(&mut self, changed: &BTreeSet<u32>) {
        for idx in changed {
            let trace = &mut self.traces[*idx as usize];
            let TraceHead { facts_idx, last_report, recorded_from, last_row, .. } = *trace;
            *trace = TraceHead { facts_idx, last_report, recorded_from, last_row, ..TraceHead::new(trace.trace) };
        }
        for row in 0..self.heads.len() {
            let head = self.heads[row];
            if changed.contains(&head.trace_idx) && self.is_live(row, &head) {
                self.traces[head.trace_idx as usize].add_span(head.start_ns, head.duration_ns, head.is_error());
            }
        }
    }
}
