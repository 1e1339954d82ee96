//! How much of a request is taken.

/// How deep values stand below each other at most, whatever the configuration says: reading them takes stack.
pub const DEPTH_MAX: usize = 64;

/// What a request, and a span in it, may hold. What is over a limit is left out and counted; of the request it is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of a request after decompression; configured as `intake.decompressed_max`.
    pub request_max: usize,
    /// Bytes of a text or of bytes, beyond which they are cut, and of a list or map, which is left out; configured as `intake.attr_value_max`.
    pub attr_value_max: usize,
    /// Attributes of a span, event, link, resource or scope; configured as `intake.attrs_max`.
    pub attrs_max: usize,
    /// Events of a span, and likewise links; configured as `intake.events_max`.
    pub events_max: usize,
    /// Values below each other in an attribute, itself included: 1 to [`DEPTH_MAX`]; configured as `intake.depth_max`.
    pub depth_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { request_max: 64 << 20, attr_value_max: 64 << 10, attrs_max: 512, events_max: 1024, depth_max: 32 }
    }
}

impl Limits {
    /// Returns how deep values may stand below each other.
    pub(in crate::wire) fn levels(&self) -> usize {
        self.depth_max.clamp(1, DEPTH_MAX)
    }
}
