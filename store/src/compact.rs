//! Compaction: small parts of one hour become one, in which split traces are whole again and nothing stands twice.
//!
//! Called by the collector, in a thread of its own, within a share of a core ([`pace`]). [`pick`] says which parts, pure; [`Pick::join`] makes
//! the new one, which nobody sees before the change that it returns is committed by `manifest::write`; then `retain` is told what was given
//! up. So it may stop anywhere, and what it left is swept; where a parent went meanwhile, the change is refused, and nothing is lost. Rows are
//! read and written some ten thousand at a time; of all traces only places are in memory. Joined parts take the place of their parents in
//! the order of parts, as of two that say different things of one span the later may win (`rows::unite`).

mod aggregates;
mod census;
mod join;
pub mod pace;
mod plan;

pub(crate) use join::{Work, join};

use crate::batch::ROWS_MAX;
use crate::manifest::entry::{FileEntry, PartEntry};
use crate::manifest::{Change, State};
use crate::objects::Objects;
use crate::part::{PartError, PartId, Shelf};
use crate::promote::Forced;
use crate::schema::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Parts that become one.
pub const PARENTS: usize = 4;
/// Parts of this size stay as they are.
pub const SMALL_MAX_BYTES: u64 = 256 << 20;
/// The largest part that is made.
pub const JOINED_MAX_BYTES: u64 = 1 << 30;
/// The most traces of parts that are joined, and the most with slices or reports: the places of all are in memory, 48 bytes each.
pub const TRACES_MAX: usize = 2 << 20;
/// The most rows of aggregates of parts that are joined: all are in memory.
pub const AGG_ROWS_MAX: u64 = 1 << 19;
/// The most bytes that these take in memory.
pub const AGG_MAX_BYTES: usize = 256 << 20;
/// The most rows of one trace, of a table: all are in memory.
pub const TRACE_ROWS_MAX: u64 = 1 << 18;
/// The most bytes of one trace.
pub const TRACE_MAX_BYTES: usize = 256 << 20;
const HOUR_MS: u64 = 3_600_000;
/// An hour is over when no part of it will come any more: cuts take seconds.
const HOUR_OVER_MS: u64 = 120_000;

/// Asked every few milliseconds whether to go on; it may rest. After a break nothing more is done.
pub type GoOn<'a> = dyn FnMut() -> ControlFlow<()> + 'a;

/// Parts were not joined. All are as before.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CompactError {
    /// A part cannot be read, or the new one not be written.
    #[error(transparent)]
    Part(#[from] PartError),
    /// It was asked to stop.
    #[error("stopped before it was done")]
    Interrupted,
    /// Joined, they would have more than a part may have, or a trace of it.
    #[error("together they have more {what} than one part may have")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
    },
    /// No id is free between a part and the next one.
    #[error("no part fits between {part} and the next one; they were made in one instant")]
    NoPlace {
        /// The part.
        part: PartId,
    },
}

impl CompactError {
    fn damaged(path: &str, why: &str) -> Self {
        Self::Part(PartError::Damaged { path: path.to_owned(), why: why.to_owned() })
    }
}

/// Who writes parts, and how.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// The name of the manifest.
    pub writer: &'a str,
    /// The commit that the writer was built from.
    pub commit: &'a str,
    /// What people force of promotion.
    pub forced: &'a Forced,
    /// Random: goes into ids of parts and hashes of names. Another one for each part.
    pub random: u128,
}

/// Parts to join.
#[derive(Clone, PartialEq, Debug)]
pub struct Pick {
    /// They, the oldest first.
    pub parents: Vec<PartEntry>,
    /// The part behind them, where there is one.
    next: Option<PartId>,
}

/// Returns the parts to join next, `None` where there are none; `passed_over` are those that could not be joined before.
///
/// # Shape
/// Four neighbours of one hour of writing, or of the pinned ones, each below [`SMALL_MAX_BYTES`], the fewest bytes first. While the hour goes
/// on the largest has at most twice the bytes of the smallest, so that each row is written again only a few times.
pub fn pick(state: &State, now_ms: u64, passed_over: &BTreeSet<PartId>) -> Option<Pick> {
    let mut by_group: BTreeMap<(bool, u64), Vec<&PartEntry>> = BTreeMap::new();
    for part in state.parts.values() {
        let hour = if part.is_pinned() { 0 } else { part.id.time_ms() / HOUR_MS };
        by_group.entry((part.is_pinned(), hour)).or_default().push(part);
    }
    let windows = by_group.iter().flat_map(|((is_pinned, hour), parts)| {
        let is_over = *is_pinned || now_ms > (hour + 1).saturating_mul(HOUR_MS).saturating_add(HOUR_OVER_MS);
        parts.windows(PARENTS).filter(move |window| can_be_joined(window, passed_over) && (is_over || is_even(window)))
    });
    let window = windows.min_by_key(|window| (bytes(window), window[0].id))?;
    let last = window[PARENTS - 1].id;
    let next = state.parts.range(last..).nth(1).map(|(id, _)| *id);
    Some(Pick { parents: window.iter().map(|part| (*part).clone()).collect(), next })
}

fn can_be_joined(window: &[&PartEntry], passed_over: &BTreeSet<PartId>) -> bool {
    let is_known = |file: &FileEntry| Table::of_name(&file.table).is_some();
    let n_rows = |table: Table| window.iter().filter_map(|part| part.file(table)).map(|file| file.rows).sum::<u64>();
    window.iter().all(|part| {
        part.bytes() < SMALL_MAX_BYTES && part.files.iter().all(is_known) && !passed_over.contains(&part.id)
    }) && bytes(window) <= JOINED_MAX_BYTES
        && n_rows(Table::Spans) <= ROWS_MAX as u64
        && n_rows(Table::Slices) <= ROWS_MAX as u64
        && n_rows(Table::Traces) <= TRACES_MAX as u64
        && n_rows(Table::Reports) <= ROWS_MAX as u64
        && n_rows(Table::Agg) <= AGG_ROWS_MAX
}

fn bytes(parts: &[&PartEntry]) -> u64 {
    parts.iter().map(|part| part.bytes()).sum()
}

/// Returns whether no part has more than twice the bytes of another.
fn is_even(window: &[&PartEntry]) -> bool {
    let bytes = || window.iter().map(|part| part.bytes());
    bytes().max() <= bytes().min().map(|least| least.saturating_mul(2))
}

impl Pick {
    /// Makes one part of the parents, and returns the change that puts it in their place. Until that is committed, soon, the files are
    /// strangers.
    ///
    /// # Errors
    /// A part is damaged, there is too much in them, the store failed, or `ask` said so. Nothing has changed then, and the caller passes
    /// over the parents for a while, unless it was the store or `ask`.
    /// # Cost
    /// Reads the parts twice, once to check them; some 8 microseconds a span. At most some 100 MiB beside the places of the traces, for
    /// traces below 64 MiB.
    pub fn join(
        &self,
        objects: &dyn Objects,
        settings: &Settings<'_>,
        ask: &mut GoOn<'_>,
    ) -> Result<Change, CompactError> {
        let shelf = if self.parents.iter().all(PartEntry::is_pinned) { Shelf::Pinned } else { Shelf::Hour };
        let work = Work { objects, parents: &self.parents, next: self.next, only: None, shelf, settings: *settings };
        let add = join(&work, ask)?.into_iter().collect();
        Ok(Change { add, remove: self.parents.iter().map(|part| part.id).collect(), ..Change::default() })
    }
}

fn go_on(ask: &mut GoOn<'_>) -> Result<(), CompactError> {
    match ask() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(CompactError::Interrupted),
    }
}

#[cfg(test)]
mod tests;
