//! A request that was checked: bytes of which it is known that they can be read, now and after a crash.
//!
//! Made by what receives requests, and by whoever reads them back from a write-ahead log; handed to whoever takes spans.

use super::room::Room;
use backsight_proto::wire::otlp_visit::{
    self, Decoded, Limits, OtlpError, OtlpSink, Reason, ResourceView, ScopeView, SpanView,
};
use bytes::Bytes;

/// See the module.
#[derive(Debug)]
pub struct Request {
    protobuf: Bytes,
    limits: Limits,
    decoded: Decoded,
    n_scope_attributes: u64,
    /// What it takes of the memory for requests, free again with it; nothing where it was read back.
    room: Option<Room>,
}

/// Looks at everything and takes it.
#[derive(Default)]
struct Check {
    n_scope_attributes: u64,
}

impl OtlpSink for Check {
    fn resource(&mut self, _: &ResourceView<'_>) {}

    fn scope(&mut self, scope: &ScopeView<'_>) {
        self.n_scope_attributes += scope.attributes.len() as u64;
    }

    fn span(&mut self, _: &SpanView<'_>) -> Result<(), Reason> {
        Ok(())
    }
}

impl Request {
    /// Checks `protobuf`, an encoded `ExportTraceServiceRequest`.
    ///
    /// # Errors
    /// It is not of the format, or over a limit as a whole.
    /// # Cost
    /// One pass, as [`otlp_visit::visit`]; no copy.
    pub fn checked(protobuf: Bytes, limits: &Limits) -> Result<Self, OtlpError> {
        let mut check = Check::default();
        let decoded = otlp_visit::visit(&protobuf, limits, &mut check)?;
        let Check { n_scope_attributes } = check;
        Ok(Self { protobuf, limits: *limits, decoded, n_scope_attributes, room: None })
    }

    /// Returns the request, with the room that it takes.
    pub(super) fn within(mut self, room: Room) -> Self {
        self.room = Some(room);
        self
    }

    /// Returns the encoded `ExportTraceServiceRequest`, as it is to be logged: decompressed, without what must not be stored.
    pub const fn protobuf(&self) -> &Bytes {
        &self.protobuf
    }

    /// Returns what becomes of its spans where none is refused by whoever takes them.
    pub const fn decoded(&self) -> &Decoded {
        &self.decoded
    }

    /// Returns how many attributes its scopes have, which have no place in spans.
    pub(super) const fn n_scope_attributes(&self) -> u64 {
        self.n_scope_attributes
    }

    /// Returns under which limits it was checked.
    pub(super) const fn limits(&self) -> &Limits {
        &self.limits
    }
}
