//! Merges what several parts counted: rows of one key become one.
//!
//! Called by `join`. No key is let go, however many there are: a reader finds in the new file what it found in the old ones together.

use super::{AGG_MAX_BYTES, CompactError, GoOn, go_on};
use crate::agg::{Aggregates, Limits};
use crate::part::read::aggs::Aggs;

/// Rows that are read between two looks at memory.
const RUN_ROWS: u64 = 4096;
/// More keys than parts that are joined have rows.
const KEYS_MAX: usize = 1 << 30;
/// All that may stay.
const LIMITS: Limits = Limits {
    ops_max: KEYS_MAX,
    events_max: KEYS_MAX,
    events_of_op_max: KEYS_MAX,
    edges_max: KEYS_MAX,
    paths_max: KEYS_MAX,
    paths_of_root_max: KEYS_MAX,
    processes_max: KEYS_MAX,
    memory_bytes: usize::MAX,
};

/// Returns the sums of all rows, settled.
///
/// # Errors
/// A file is damaged, the rows take more than [`AGG_MAX_BYTES`], or `ask` said so.
pub(super) fn merged<'a>(
    parts: impl Iterator<Item = &'a Aggs>,
    ask: &mut GoOn<'_>,
) -> Result<Aggregates, CompactError> {
    let mut merged = Aggregates::new(LIMITS);
    for aggs in parts {
        let n_rows = aggs.file().n_rows();
        let mut start = 0;
        while start < n_rows {
            let end = n_rows.min(start + RUN_ROWS);
            aggs.visit(start..end, &mut |row| merged.merge_row(row))?;
            if merged.memory_bytes() > AGG_MAX_BYTES {
                return Err(CompactError::TooMuch { what: "bytes of aggregates" });
            }
            start = end;
            go_on(ask)?;
        }
    }
    merged.settle();
    Ok(merged)
}
