//! What a request carries from thread to thread and from host to host.

use crate::block;
use backsight_core::context::{TraceParent, Trail, TrailFlags};
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::record::seg_flags;
use backsight_ringbuf::writer::Carried;

/// The bits of [`seg_flags`] that a context takes along; the others tell of one segment.
pub(crate) const TRAVELS: u32 = seg_flags::FIRED
    | seg_flags::HEAD_KEPT
    | seg_flags::RESUME
    | seg_flags::UNSAMPLED
    | seg_flags::RANDOM_ID
    | seg_flags::RECORDED;

/// What goes on within one visit besides: what a later segment of it need not tell again, and that something of it was lost.
pub(crate) const STAYS: u32 = TRAVELS | seg_flags::DETAIL | seg_flags::LOSS;

/// The context of a request: its trace, the span that caused what comes next, and where it came from.
///
/// # Shape
/// Plain data, 72 bytes, `Copy`: it goes by value through queues, tasks and the C face.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Context {
    /// The trace; [`TraceId::NONE`] records nothing.
    pub trace: TraceId,
    /// The span under which new spans hang, 0 for none.
    pub span: SpanId,
    /// The span that caused the segment, 0 for none.
    pub parent_span: SpanId,
    /// Where it came through, what fired, and the bits of `backsight_core::record::seg_flags` that travel: fired, head-kept, resume, and what
    /// `traceparent` says of the trace; of a detached one also which detail was left out so far.
    pub carried: Carried,
}

const _: () = assert!(size_of::<Context>() == 72);

impl Context {
    /// Returns the context of a new trace with a random id, as the first service that sees a request makes it.
    pub fn new_trace() -> Self {
        let trace = TraceId::new(block::random(), block::random() | 1);
        Self { trace, carried: Carried { flags: seg_flags::RANDOM_ID, ..Carried::default() }, ..Self::default() }
    }

    /// Returns the context of `trace`, caused by span `parent` elsewhere.
    pub fn of(trace: TraceId, parent: SpanId) -> Self {
        Self { trace, span: parent, parent_span: parent, ..Self::default() }
    }

    /// Returns what the calling thread works for now, or `None` outside a segment.
    pub fn current() -> Option<Self> {
        crate::guard::current_context()
    }

    /// Returns whether a thread has worked for it: whoever does next goes on with that visit, and begins none.
    #[inline(always)]
    pub(crate) const fn is_begun(&self) -> bool {
        self.carried.flags & seg_flags::RESUME != 0
    }

    /// Returns the context of a request that came with `parent` and `trail`.
    #[inline(always)] // as `TraceState::parse`
    pub(crate) fn arrived(parent: &TraceParent, trail: Option<&Trail>) -> Self {
        let mut context = Self::of(parent.trace, parent.span);
        context.carried.flags = bit(parent.flags & TraceParent::SAMPLED == 0, seg_flags::UNSAMPLED)
            | bit(parent.flags & TraceParent::RANDOM != 0, seg_flags::RANDOM_ID);
        let Some(trail) = trail else { return context };
        for (in_trail, in_segment) in FLAGS {
            context.carried.flags |= bit(trail.flags.has(in_trail), in_segment);
        }
        let [newest, second, third, fourth, _] = trail.crumb_places();
        context.carried.from_agent = newest;
        context.carried.older_agents = [second, third, fourth];
        context.carried.triggers = trail.trigger_places();
        context
    }

    /// Returns the trail that the request brought along, and what has fired since.
    #[inline(always)] // as `TraceState::parse`
    pub(crate) fn trail(&self) -> Trail {
        let [second, third, fourth] = self.carried.older_agents;
        let mut flags = TrailFlags::default();
        for (in_trail, in_segment) in FLAGS {
            if self.carried.flags & in_segment != 0 {
                flags = flags.with(in_trail);
            }
        }
        Trail::new(flags, [self.carried.from_agent, second, third, fourth, AgentId::NONE], self.carried.triggers)
    }

    /// Returns the flags of the `traceparent` that goes out.
    #[inline]
    pub(crate) fn w3c_flags(&self) -> u8 {
        let sampled = if self.carried.flags & seg_flags::UNSAMPLED == 0 { TraceParent::SAMPLED } else { 0 };
        let random = if self.carried.flags & seg_flags::RANDOM_ID != 0 { TraceParent::RANDOM } else { 0 };
        sampled | random
    }
}

/// Flags that stand in the trail and in the segment.
const FLAGS: [(TrailFlags, u32); 3] = [
    (TrailFlags::FIRED, seg_flags::FIRED),
    (TrailFlags::HEAD_KEPT, seg_flags::HEAD_KEPT),
    (TrailFlags::RECORDED, seg_flags::RECORDED),
];

const fn bit(is_set: bool, bit: u32) -> u32 {
    if is_set { bit } else { 0 }
}
