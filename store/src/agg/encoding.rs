//! Sparse lists as bytes: what stands in the column `list` of table `agg`.
//!
//! Called by `part`. What is parsed is trusted by nobody: any bytes give a list or an error, and no list is longer than its bytes. Each list has one form.

use super::contention::{Diff, INTERVALS_MAX, MS_OF_SECOND};
use super::slot::Task;
use backsight_core::leb128::{DecodeNumberError, Numbers, put, put_signed};

#[cfg(test)]
mod tests;

/// The first byte of a list.
const VERSION: u8 = 1;

/// Bytes that are no list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DecodeListError {
    /// The first byte is not one that this version writes.
    #[error("list of version {version}, expected {VERSION}")]
    Version {
        /// It.
        version: u8,
    },
    /// A number cannot be read.
    #[error(transparent)]
    Number(#[from] DecodeNumberError),
    /// There are more entries than a list may have.
    #[error("list of {n} entries, at most {n_max}")]
    Long {
        /// Entries.
        n: u64,
        /// The most.
        n_max: usize,
    },
    /// An entry is out of its range, or not behind the one before.
    #[error("entry {idx} of a list is out of range or order")]
    Entry {
        /// Its position.
        idx: u64,
    },
    /// Bytes after the end.
    #[error("{n} bytes behind a list")]
    Trailing {
        /// How many.
        n: usize,
    },
}

/// Appends the changes of a second.
///
/// # Shape
/// `1 u8 | n | n x (skipped, by)`: how many milliseconds lie between it and the one before, and a number of any sign, LEB128.
pub(crate) fn put_diffs(bytes: &mut Vec<u8>, diffs: &[Diff]) {
    bytes.push(VERSION);
    put(bytes, diffs.len() as u64);
    let mut next = 0;
    for diff in diffs {
        put(bytes, u64::from(diff.ms).saturating_sub(next));
        put_signed(bytes, diff.by.into());
        next = u64::from(diff.ms) + 1;
    }
}

/// Returns the changes that are all of `bytes`.
///
/// # Errors
/// The bytes are none that [`put_diffs`] writes for ascending changes of which none is 0.
pub(crate) fn diffs(bytes: &[u8]) -> Result<Vec<Diff>, DecodeListError> {
    let mut next = 0_u64;
    list(bytes, MS_OF_SECOND as usize, |numbers| {
        let ms = numbers.number()?.saturating_add(next);
        let by = numbers.signed()?;
        next = ms.saturating_add(1);
        let (ms, by) = (u16::try_from(ms).ok().filter(|ms| i64::from(*ms) < MS_OF_SECOND), i32::try_from(by).ok());
        Ok(ms.zip(by).filter(|(_, by)| *by != 0).map(|(ms, by)| Diff { ms, by }))
    })
}

/// Appends the intervals of a process, the longest first, those of one length by when they begin.
///
/// # Shape
/// `1 u8 | n | n x (shorter, later, count)`: by how many milliseconds it is shorter than the one before, of which the first counts from 2^63; its begin less
/// that of the one before, of any sign; and how many there are.
pub(crate) fn put_intervals(bytes: &mut Vec<u8>, intervals: &[(Task, u64)]) {
    bytes.push(VERSION);
    put(bytes, intervals.len() as u64);
    let (mut len_before, mut first_before) = (1 << 63, 0_i64);
    for (task, n) in intervals {
        let len_ms = task.len_ms();
        put(bytes, len_before - len_ms.min(len_before));
        put_signed(bytes, task.first_ms.wrapping_sub(first_before));
        put(bytes, *n);
        (len_before, first_before) = (len_ms, task.first_ms);
    }
}

/// Returns the intervals that are all of `bytes`.
///
/// # Errors
/// The bytes are none that [`put_intervals`] writes for at most 10,000 intervals in its order.
pub(crate) fn intervals(bytes: &[u8]) -> Result<Vec<(Task, u64)>, DecodeListError> {
    let (mut len_ms, mut first_ms, mut is_first) = (1_u64 << 63, 0_i64, true);
    list(bytes, INTERVALS_MAX, |numbers| {
        let (shorter, later, n) = (numbers.number()?, numbers.signed()?, numbers.number()?);
        let before_ms = first_ms;
        first_ms = first_ms.wrapping_add(later);
        let Some(len) = len_ms.checked_sub(shorter).filter(|len| *len > 0) else { return Ok(None) };
        len_ms = len;
        let is_in_order = std::mem::take(&mut is_first) || shorter > 0 || first_ms > before_ms;
        let last_ms = first_ms.checked_add_unsigned(len - 1).filter(|_| is_in_order && n > 0);
        Ok(last_ms.map(|last_ms| (Task { first_ms, last_ms }, n)))
    })
}

/// Reads a list of at most `n_max` entries; `entry` returns none where one cannot be.
fn list<T>(
    bytes: &[u8],
    n_max: usize,
    mut entry: impl FnMut(&mut Numbers<'_>) -> Result<Option<T>, DecodeNumberError>,
) -> Result<Vec<T>, DecodeListError> {
    match bytes.first() {
        Some(&VERSION) => {}
        Some(&version) => return Err(DecodeListError::Version { version }),
        None => return Err(DecodeNumberError::CutShort { len: 0 }.into()),
    }
    let mut numbers = Numbers::new(bytes, 1);
    let n = numbers.number()?;
    if n > n_max as u64 {
        return Err(DecodeListError::Long { n, n_max });
    }
    let mut entries = Vec::new();
    for idx in 0..n {
        entries.push(entry(&mut numbers)?.ok_or(DecodeListError::Entry { idx })?);
    }
    match numbers.n_left() {
        0 => Ok(entries),
        n => Err(DecodeListError::Trailing { n }),
    }
}
