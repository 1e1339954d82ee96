//! A trace as flat rows: what the algorithms of the read side need of each span, and nothing else.
//!
//! Filled by whoever reads traces back (rows of a part, or a [`Trace`](crate::trace::Trace) by [`Columns::of_trace`]) and read by [`crate::critical`],
//! [`crate::align`], [`crate::compare`] and [`crate::skew`]. Rows are trusted by nobody: any ids, times and numbers give an answer.

mod labels;
mod of_trace;
mod paths;
#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use labels::hash_of;
pub use labels::{Label, LabelId, Labels};
pub use paths::{PATH_DEPTH_NORMAL, PathId, Paths};
pub use tree::Tree;

use crate::ids::SpanId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows of one trace; those beyond are left out and counted.
pub const ROWS_MAX: usize = 1 << 20;

/// Bits of [`Row::flags`], with the numbers of the column `flags` of a part; other bits of it may be set and mean nothing here.
pub mod row_flags {
    /// No end was seen: the row's end is the last that is known of its process.
    pub const OPEN: u32 = 1;
    /// A time was repaired, or is that of a clock which nobody knows: it says nothing about other hosts' clocks.
    pub const REPAIRED: u32 = 2;
    /// Stands for a visit that has no span.
    pub const VISIT: u32 = 8;
}

/// One span.
///
/// # Shape
/// 48 bytes. Times are nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Row {
    /// Its id; where several rows have one id, children are those of the first by start.
    pub id: SpanId,
    /// The span that caused it, 0 for none.
    pub parent: SpanId,
    /// Its start.
    pub start_ns: u64,
    /// Its end; one before the start counts as the start.
    pub end_ns: u64,
    /// Its service, operation and kind, in the [`Labels`] that go with the rows.
    pub label: LabelId,
    /// Whose clock its times are of: a position in [`Columns::hosts`].
    pub host: u32,
    /// See [`row_flags`].
    pub flags: u32,
}

impl Row {
    /// Returns its duration in nanoseconds.
    pub const fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }
}

/// The rows of one trace, in any order.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    rows: Vec<Row>,
    hosts: Vec<Arc<str>>,
    host_idx: BTreeMap<Arc<str>, u32>,
    n_left_out: u64,
}

impl Columns {
    /// Returns the number by which rows name the clock of `host`; where the source knows no host, what it knows of the place stands for it.
    pub fn host(&mut self, host: &str) -> u32 {
        if let Some(idx) = self.host_idx.get(host) {
            return *idx;
        }
        let idx = self.hosts.len() as u32;
        let host: Arc<str> = host.into();
        self.hosts.push(host.clone());
        self.host_idx.insert(host, idx);
        idx
    }

    /// Appends a row. One whose end is before its start is repaired, one beyond [`ROWS_MAX`] left out and counted.
    pub fn push(&mut self, mut row: Row) {
        if self.rows.len() >= ROWS_MAX {
            self.n_left_out += 1;
            return;
        }
        if row.end_ns < row.start_ns {
            row.end_ns = row.start_ns;
            row.flags |= row_flags::REPAIRED;
        }
        self.rows.push(row);
    }

    /// Returns the rows, in the order in which they were pushed.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns the hosts, in the order in which they were named.
    pub fn hosts(&self) -> &[Arc<str>] {
        &self.hosts
    }

    /// Returns how many rows were left out.
    pub const fn n_left_out(&self) -> u64 {
        self.n_left_out
    }

    /// Adds to the times of each row the nanoseconds that `shift_ns` says for its host: the same rows on clocks that agree.
    pub fn shifted(&self, shift_ns: impl Fn(u32) -> i64) -> Self {
        let mut shifted = self.clone();
        for row in &mut shifted.rows {
            let by = shift_ns(row.host);
            row.start_ns = row.start_ns.saturating_add_signed(by);
            row.end_ns = row.end_ns.saturating_add_signed(by);
        }
        shifted
    }
}
