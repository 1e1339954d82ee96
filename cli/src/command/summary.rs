//! Stored traces, a line each: columns that fit the terminal.
//!
//! Called by `trace search`, which knows all its rows, and by `trace tail`, which knows none of them before it prints the titles. Where a line
//! is too long for the terminal, whole columns are left out, the least telling first; nothing is left out where output is no terminal.

use super::table::{Align, pad_cell};
use crate::render::{self, clean, cut, width};
use backsight_core::certificate::{GapKind, Verdict};
use backsight_core::units::{Bytes, Nanos};
use backsight_proto::wire::Summary;
use std::collections::BTreeSet;

/// The number of columns.
const N: usize = 10;
/// Columns between two cells.
const GAP: usize = 2;

/// A column.
struct Column {
    title: &'static str,
    align: Align,
    /// Its width where its cells are not known yet.
    usual: usize,
    /// Its cells may be cut to this.
    min: usize,
    /// When it is left out: the lowest first, [`NEVER`] never.
    rank: u8,
}

const NEVER: u8 = u8::MAX;
/// Cells that are not cut.
const WHOLE: usize = usize::MAX;

const COLUMNS: [Column; N] = [
    Column { title: "TRACE", align: Align::Left, usual: 32, min: WHOLE, rank: NEVER },
    Column { title: "START", align: Align::Left, usual: 24, min: WHOLE, rank: 6 },
    Column { title: "LENGTH", align: Align::Right, usual: 7, min: WHOLE, rank: 8 },
    Column { title: "ROOT", align: Align::Left, usual: 32, min: 20, rank: NEVER },
    Column { title: "SPANS", align: Align::Right, usual: 5, min: WHOLE, rank: 3 },
    Column { title: "ERRORS", align: Align::Right, usual: 6, min: WHOLE, rank: 5 },
    Column { title: "HOSTS", align: Align::Right, usual: 5, min: WHOLE, rank: 2 },
    Column { title: "SIZE", align: Align::Right, usual: 8, min: WHOLE, rank: 1 },
    Column { title: "TRIGGER", align: Align::Left, usual: 13, min: WHOLE, rank: 4 },
    Column { title: "CERTIFICATE", align: Align::Left, usual: 16, min: 12, rank: 7 },
];

/// Which columns are shown, and how wide.
pub(super) struct Layout {
    /// Columns of the terminal.
    room: Option<usize>,
    /// `None` for a column that is left out.
    widths: [Option<usize>; N],
}

impl Layout {
    /// Returns the layout for these rows.
    pub(super) fn of_rows(rows: &[[String; N]], room: Option<usize>) -> Self {
        let widest = |idx: usize| rows.iter().map(|row| width(&row[idx])).max().unwrap_or(0);
        Self::fitting(std::array::from_fn(|idx| widest(idx).max(COLUMNS[idx].title.len())), room)
    }

    /// Returns the layout for rows that are not known yet.
    pub(super) fn usual(room: Option<usize>) -> Self {
        Self::fitting(COLUMNS.map(|column| column.usual), room)
    }

    fn fitting(wanted: [usize; N], room: Option<usize>) -> Self {
        let Some(columns) = room else { return Self { room, widths: wanted.map(Some) } };
        let least = |idx: usize| wanted[idx].min(COLUMNS[idx].min.max(COLUMNS[idx].title.len()));
        let mut widths: [Option<usize>; N] = std::array::from_fn(|idx| Some(least(idx)));
        let mut by_rank: Vec<usize> = (0..N).filter(|idx| COLUMNS[*idx].rank != NEVER).collect();
        by_rank.sort_by_key(|idx| COLUMNS[*idx].rank);
        for idx in by_rank {
            if total(&widths) > columns {
                widths[idx] = None;
            }
        }
        for idx in 0..N {
            let left = columns.saturating_sub(total(&widths));
            widths[idx] = widths[idx].map(|now| now + left.min(wanted[idx] - now));
        }
        Self { room, widths }
    }

    /// Returns the line of titles.
    pub(super) fn titles(&self) -> String {
        self.line(&COLUMNS.map(|column| column.title.to_owned()))
    }

    /// Returns a row as a line.
    pub(super) fn line(&self, row: &[String; N]) -> String {
        let mut cells = Vec::new();
        for ((text, column), shown) in row.iter().zip(&COLUMNS).zip(self.widths) {
            let Some(columns) = shown else { continue };
            let text = clean(text);
            let text = if self.room.is_some() && column.min != WHOLE { cut(&text, columns).0 } else { text };
            cells.push(pad_cell(&text, column.align, columns));
        }
        let line = cells.join(&" ".repeat(GAP)).trim_end().to_owned();
        self.room.map_or(line.clone(), |room| cut(&line, room).0) + "\n"
    }

    /// Returns a line that says which columns are left out, if any are.
    pub(super) fn left_out(&self) -> Option<String> {
        let shown = COLUMNS.iter().zip(self.widths);
        let names: Vec<&str> = shown.filter(|(_, width)| width.is_none()).map(|(column, _)| column.title).collect();
        let room = self.room.filter(|_| !names.is_empty())?;
        Some(format!("{room} columns have no room for {}\n", names.join(", ")))
    }
}

/// Returns the columns of a line.
fn total(widths: &[Option<usize>; N]) -> usize {
    let shown: Vec<usize> = widths.iter().flatten().copied().collect();
    shown.iter().sum::<usize>() + GAP * shown.len().saturating_sub(1)
}

/// Returns a line for each reason why one of these traces is not complete: what its name means.
pub(super) fn legend(traces: &[Summary]) -> String {
    let kinds: BTreeSet<GapKind> = traces.iter().flat_map(|trace| trace.gaps.iter().map(|gap| gap.kind)).collect();
    let lines: String = kinds.into_iter().map(|kind| format!("{}: {}\n", kind.name(), meaning(kind))).collect();
    if lines.is_empty() { lines } else { format!("\n{lines}") }
}

/// Returns what a gap means, in less than a line.
const fn meaning(kind: GapKind) -> &'static str {
    match kind {
        GapKind::Unanswered => "a host was asked and has not answered yet",
        GapKind::Unreachable => "a host did not answer in time",
        GapKind::SegmentsMissing => "a host has more than has arrived",
        GapKind::Detail => "a host recorded less than full detail",
        GapKind::Loss => "records were lost on a host meanwhile",
        GapKind::Evicted => "it had left the horizon of a host",
        GapKind::Refused => "a limit refused it on a host",
        GapKind::Abandoned => "a host gave it up for others of higher priority",
        GapKind::TooLarge => "it is larger than one trace may be",
        GapKind::NoAnswer => "a call got no answer, and its callee was not found",
        GapKind::OneEnded => "it points to a host that knows nothing of it",
        GapKind::Malformed => "some of it cannot be read",
        GapKind::InProgress => "threads still work for it",
        GapKind::TooMany => "it names more hosts than are followed",
        GapKind::NothingFound => "no host has anything of it",
    }
}

/// Returns the cells of a trace.
pub(super) fn cells(summary: &Summary) -> [String; N] {
    let root = format!("{} {}", summary.root_service, summary.root_operation);
    let mut triggers: Vec<String> = summary.fired.iter().map(|fired| summary.names.label(fired.trigger)).collect();
    triggers.sort();
    triggers.dedup();
    let gaps: Vec<&str> = summary.gaps.iter().map(|gap| gap.kind.name()).collect();
    let certificate = match summary.verdict {
        Verdict::Complete => "complete".to_owned(),
        verdict => format!("{}: {}", verdict.name(), gaps.join(", ")),
    };
    [
        summary.trace.to_string(),
        render::utc(summary.start_ns),
        Nanos(summary.duration_ns).to_string(),
        root.trim().to_owned(),
        summary.n_spans.to_string(),
        summary.n_errors.to_string(),
        summary.n_agents.to_string(),
        Bytes(summary.bytes).to_string(),
        triggers.join(" "),
        certificate,
    ]
}

#[cfg(test)]
mod tests;
