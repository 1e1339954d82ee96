//! Pins: traces that people want to keep for longer than retention does.
//!
//! Called by the admin side of the collector. A pin stands in the manifest, also of a trace that is in no part, or not yet; when the time of
//! a part has come, retention moves what is pinned of it to `pinned/` (`super`), in the change by which the part goes. So at each version
//! each row stands in one part. What collectors hold of one trace each pins on its own.

use crate::manifest::write::Writer;
use crate::manifest::{Change, ManifestError};
use crate::objects::Objects;
use backsight_core::ids::TraceId;

/// The most traces that are pinned: each version of which the number is a multiple of 64 lists them.
pub const PINS_MAX: usize = 10_000;

/// A trace was not pinned.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PinError {
    /// The manifest cannot be written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// No trace has the id zero.
    #[error("the trace id is zero, which stands for no trace")]
    NoTrace,
    /// There are enough.
    #[error("{PINS_MAX} traces are pinned, and no more can be; unpin one first")]
    TooMany,
}

/// Pins a trace, and returns whether it was not before.
///
/// # Errors
/// As of the manifest, or too many are.
pub fn pin(objects: &dyn Objects, writer: &mut Writer, trace: TraceId) -> Result<bool, PinError> {
    if trace == TraceId::NONE {
        return Err(PinError::NoTrace);
    }
    writer.settle(objects)?;
    let pins = &writer.state().pins;
    if pins.contains(&trace) {
        return Ok(false);
    }
    if pins.len() >= PINS_MAX {
        return Err(PinError::TooMany);
    }
    writer.commit(objects, Change { pin: vec![trace], ..Change::default() })?;
    Ok(true)
}

/// Lets a trace go with all others of its time again, and returns whether it was pinned.
///
/// # Errors
/// As of the manifest.
pub fn unpin(objects: &dyn Objects, writer: &mut Writer, trace: TraceId) -> Result<bool, PinError> {
    writer.settle(objects)?;
    if !writer.state().pins.contains(&trace) {
        return Ok(false);
    }
    writer.commit(objects, Change { unpin: vec![trace], ..Change::default() })?;
    Ok(true)
}
