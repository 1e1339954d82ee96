//! What a request carries from thread to thread and from host to host.

use crate::block;
use backsight_core::ids::{AgentId, SpanId, TraceId};

/// The context of a request: its trace, the span that caused what comes next, and where it came from.
///
/// # Shape
/// Plain data, 64 bytes, `Copy`: it goes by value through queues, tasks and the C face.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Context {
    /// The trace; [`TraceId::NONE`] records nothing.
    pub trace: TraceId,
    /// The span under which new spans hang, 0 for none.
    pub span: SpanId,
    /// The span that caused the segment, 0 for none.
    pub parent_span: SpanId,
    /// The agent of the host that the request came from, 0 for none.
    pub from_agent: AgentId,
    /// Bits of `backsight_core::record::seg_flags` that travel: fired, head-kept, resume.
    pub flags: u32,
    /// The API that the request calls, for kernel probes; 0 for none.
    pub api: u32,
    reserved: [u32; 5],
}

const _: () = assert!(size_of::<Context>() == 64);

impl Context {
    /// Returns the context of a new trace with a random id, as the first service that sees a request makes it.
    pub fn new_trace() -> Self {
        Self { trace: TraceId::new(block::random(), block::random() | 1), ..Self::default() }
    }

    /// Returns the context of `trace`, caused by span `parent` elsewhere.
    pub fn of(trace: TraceId, parent: SpanId) -> Self {
        Self { trace, span: parent, parent_span: parent, ..Self::default() }
    }

    /// Returns what the calling thread works for now, or `None` outside a segment.
    pub fn current() -> Option<Self> {
        crate::guard::current_context()
    }
}
