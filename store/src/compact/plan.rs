//! Where the rows of each trace stand in several parts, in the order in which they go into one.
//!
//! Called by `join`. This, some 48 bytes a trace, is all that is in memory of all traces at once.

use super::{CompactError, GoOn, TRACES_MAX, go_on};
use crate::batch::ROWS_MAX;
use crate::part::RowPlace;
use crate::part::read::{Scan, Traces};
use backsight_core::ids::TraceId;
use std::collections::BTreeSet;
use std::ops::Range;

/// What one part holds of one trace, in one table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// The start of the trace, as far as this part knows it; of the whole trace once the plan is made.
    pub(super) start_ns: i64,
    pub(super) trace: TraceId,
    /// Its rows of `spans`, of `slices` or of `reports`.
    pub(super) first_row: u32,
    pub(super) n_rows: u32,
    /// Its row of `traces`.
    pub(super) trace_row: u32,
    /// The part, by its place among those that are joined.
    pub(super) part: u8,
}

impl Piece {
    /// Returns its rows, at least one: a trace without spans takes room, too.
    pub(super) fn n_counted(&self) -> usize {
        self.n_rows.max(1) as usize
    }

    pub(super) fn rows(&self) -> Range<u64> {
        self.first_row.into()..u64::from(self.first_row) + u64::from(self.n_rows)
    }
}

/// Pieces in the order of a part; those of one trace stand together, the oldest part's first.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) traces: Vec<Piece>,
    pub(super) slices: Vec<Piece>,
    pub(super) reports: Vec<Piece>,
}

/// Adds the rows that `scan` shows of a part, of all traces or of those in `only`, to `pieces`.
pub(super) fn add_rows(
    pieces: &mut Vec<Piece>,
    part: u8,
    mut scan: Scan<RowPlace>,
    only: Option<&BTreeSet<TraceId>>,
    breathe: &mut GoOn<'_>,
) -> Result<(), CompactError> {
    let mut row = 0_u32;
    while let Some(places) = scan.next()? {
        for RowPlace { trace, start_ns } in places.rows {
            let is_wanted = only.is_none_or(|only| only.contains(&trace));
            match pieces.last_mut() {
                Some(last)
                    if is_wanted && last.part == part && last.trace == trace && last.rows().end == u64::from(row) =>
                {
                    last.n_rows += 1;
                    last.start_ns = last.start_ns.min(start_ns);
                }
                _ if is_wanted => pieces.push(Piece { start_ns, trace, first_row: row, n_rows: 1, trace_row: 0, part }),
                _ => {}
            }
            row += 1;
        }
        if pieces.len() > TRACES_MAX {
            return Err(CompactError::TooMuch { what: "traces with slices or reports" });
        }
        go_on(breathe)?;
    }
    Ok(())
}

impl Plan {
    /// Adds the traces of a part with `n_spans` spans, all or those in `only`.
    pub(super) fn add_traces(
        &mut self,
        part: u8,
        traces: &Traces,
        n_spans: u64,
        only: Option<&BTreeSet<TraceId>>,
        breathe: &mut GoOn<'_>,
    ) -> Result<(), CompactError> {
        let damaged = |why: &str| CompactError::damaged(traces.file().path(), why);
        let (mut next_row, mut trace_row) = (0_u64, 0_u32);
        let mut scan = traces.scan_places()?;
        while let Some(places) = scan.next()? {
            for place in places.rows {
                // Otherwise rows would be lost, or come twice.
                if place.first_row != next_row || next_row + u64::from(place.n_rows) > ROWS_MAX as u64 {
                    return Err(damaged("its traces do not name each span once, in order"));
                }
                if only.is_none_or(|only| only.contains(&place.trace)) {
                    let (first_row, n_rows) = (next_row as u32, place.n_rows);
                    let (start_ns, trace) = (place.start_ns, place.trace);
                    self.traces.push(Piece { start_ns, trace, first_row, n_rows, trace_row, part });
                }
                next_row += u64::from(place.n_rows);
                trace_row += 1;
            }
            if self.traces.len() > TRACES_MAX {
                return Err(CompactError::TooMuch { what: "traces" });
            }
            go_on(breathe)?;
        }
        if next_row == n_spans { Ok(()) } else { Err(damaged("its traces do not name all spans")) }
    }

    /// Returns whether there are no rows of traces.
    pub(super) fn is_empty(&self) -> bool {
        self.traces.is_empty() && self.slices.is_empty() && self.reports.is_empty()
    }

    /// Puts the pieces in order, each with the start of its whole trace.
    ///
    /// # Cost
    /// Sorts: some 0.2 seconds for a million traces.
    pub(super) fn arrange(&mut self) {
        self.traces.sort_unstable_by_key(|piece| (piece.trace, piece.part));
        for pieces in self.traces.chunk_by_mut(|a, b| a.trace == b.trace) {
            // A trace without spans has the time at which it came; the last counts, as where its row is made.
            let with_spans = pieces.iter().filter(|piece| piece.n_rows > 0).map(|piece| piece.start_ns).min();
            let start_ns = with_spans.or_else(|| pieces.iter().map(|piece| piece.start_ns).max()).unwrap_or(0);
            pieces.iter_mut().for_each(|piece| piece.start_ns = start_ns);
        }
        for rows in [&mut self.slices, &mut self.reports] {
            rows.sort_unstable_by_key(|piece| (piece.trace, piece.part, piece.first_row));
            for pieces in rows.chunk_by_mut(|a, b| a.trace == b.trace) {
                let trace = pieces[0].trace;
                let of_trace = self.traces.binary_search_by_key(&trace, |piece| piece.trace).ok();
                let of_rows = || pieces.iter().map(|piece| piece.start_ns).min().unwrap_or(0);
                let start_ns = of_trace.map_or_else(of_rows, |idx| self.traces[idx].start_ns);
                pieces.iter_mut().for_each(|piece| piece.start_ns = start_ns);
            }
        }
        let place = |piece: &Piece| (piece.start_ns, piece.trace, piece.part, piece.first_row);
        self.traces.sort_unstable_by_key(place);
        self.slices.sort_unstable_by_key(place);
        self.reports.sort_unstable_by_key(place);
    }

    /// Returns whether a part before `part` has slices of the trace of `piece`.
    pub(super) fn has_older_slices(&self, piece: &Piece, part: u8) -> bool {
        let idx = self.slices.partition_point(|of| (of.start_ns, of.trace) < (piece.start_ns, piece.trace));
        self.slices.get(idx).is_some_and(|of| of.trace == piece.trace && of.part < part)
    }
}

/// Returns the pieces from `start` on whose traces have at most `n_rows_max` rows together, at least those of one trace.
pub(super) fn run(pieces: &[Piece], start: usize, n_rows_max: usize) -> Range<usize> {
    let (mut end, mut n_rows) = (start, 0_usize);
    for of_trace in pieces[start..].chunk_by(|a, b| a.trace == b.trace) {
        n_rows += of_trace.iter().map(Piece::n_counted).sum::<usize>();
        if n_rows > n_rows_max && end > start {
            break;
        }
        end += of_trace.len();
    }
    start..end
}
