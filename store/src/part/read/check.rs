//! Holds the bytes of a file against the checksum in its manifest.
//!
//! Called by whoever suspects a file, and by compaction before it puts rows into another.

use crate::manifest::entry::FileEntry;
use crate::objects::Objects;
use crate::part::PartError;
use crate::part::source::Source;
use backsight_core::checksum::Running;
use std::ops::ControlFlow;

/// What is read at once.
const CHECK_BYTES: u64 = 1 << 20;

/// Holds a file's bytes against the checksum in its manifest.
///
/// # Errors
/// It is missing, or its bytes are not those that were written.
/// # Cost
/// Reads the whole file, 1 MiB at a time.
pub fn verify(objects: &dyn Objects, entry: &FileEntry) -> Result<(), PartError> {
    verify_until(objects, entry, &mut || ControlFlow::Continue(())).map(|_| ())
}

/// Does as [`verify`], and asks after each read whether to go on; a break is returned.
///
/// # Errors
/// As of [`verify`].
pub(crate) fn verify_until(
    objects: &dyn Objects,
    entry: &FileEntry,
    go_on: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<ControlFlow<()>, PartError> {
    let source = Source(objects.open(&entry.path)?);
    let len = source.0.bytes();
    let mut sum = Running::new();
    let mut offset = 0;
    while offset < len && len == entry.bytes {
        let n_bytes = CHECK_BYTES.min(len - offset);
        sum.add(&source.bytes_at(offset, n_bytes)?);
        offset += n_bytes;
        if go_on().is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    if len == entry.bytes && sum.sum() == entry.xxh3 {
        return Ok(ControlFlow::Continue(()));
    }
    Err(PartError::Changed { path: entry.path.clone(), expected: entry.xxh3, found: sum.sum() })
}
