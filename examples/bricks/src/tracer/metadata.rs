//! Values of metadata, for the tracers that say a context by themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use tonic::metadata::AsciiMetadataValue;

/// Whether a `traceparent` was sent over a connection that HPACK keeps: those that come later name it by number, and are themselves not kept.
#[derive(Debug, Default)]
pub(super) struct Named(AtomicBool);

impl Named {
    /// Returns `text` as the value of the connection's next `traceparent`. No two are the same: in HPACK's table they would push out what
    /// repeats.
    pub(super) fn parent(&self, text: &[u8]) -> Option<AsciiMetadataValue> {
        let mut value = value_of(text)?;
        // Read before it is written, as all threads come here for every request. One more than once does no harm.
        let is_named = self.0.load(Ordering::Relaxed);
        if !is_named {
            self.0.store(true, Ordering::Relaxed);
        }
        value.set_sensitive(is_named);
        Some(value)
    }
}

/// Returns a value of metadata, `None` for an empty one.
pub(super) fn value_of(text: &[u8]) -> Option<AsciiMetadataValue> {
    AsciiMetadataValue::try_from(text).ok().filter(|_| !text.is_empty())
}
