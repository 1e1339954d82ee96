//! What a thread is told when it begins to work for a request.
//!
//! Plain data, which contexts hold as well; the write path copies it whole.

use backsight_core::context::{BEYOND_MAX, CRUMBS_MAX, TRIGGERS_MAX};
use backsight_core::ids::{AgentId, SpanId, TraceId, TriggerId};

/// What a segment starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct SegmentStart {
    /// The trace; [`TraceId::NONE`] starts nothing.
    pub trace: TraceId,
    /// The span that caused it, 0 for none.
    pub parent_span: SpanId,
    /// The span that is open already, when a visit is resumed; else the same as `parent_span`.
    pub span: SpanId,
    /// What else it takes along.
    pub carried: Carried,
}

/// What a request takes along beside its trace and its spans.
///
/// # Shape
/// Plain data, 40 bytes, the same in a segment and in the context of a request, so that it is copied whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Carried {
    /// The agent of the host that the request came from, 0 for none.
    pub from_agent: AgentId,
    /// See [`backsight_core::record::seg_flags`]; a context has those that travel.
    pub flags: u32,
    /// The API that the request calls, for kernel probes; 0 for none.
    pub api: u32,
    /// The agents before `from_agent`, newest first, 0 for none; whoever begins the segment records them.
    pub older_agents: [AgentId; OLDER_AGENTS],
    /// The first triggers that fired for the trace, here or on the way, 0 for none.
    pub triggers: [TriggerId; TRIGGERS_MAX],
    /// The agents that the visit's calls were answered from, newest first, and those behind them, 0 for none: what its own answer names.
    pub beyond: [AgentId; BEYOND_MAX],
}

const _: () = assert!(size_of::<Carried>() == 40 && size_of::<SegmentStart>() == 72);

/// Agents that a request remembers behind the one it came from: with the next hop's, the longest trail.
pub const OLDER_AGENTS: usize = CRUMBS_MAX - 2;
