//! Segments and spans as guards: what a thread works for, until the guard drops.

use crate::block;
use crate::context::{Context, TRAVELS};
use crate::name::{Name, Resolved};
use crate::trigger;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{Kind, SpanKind, name_word, seg_flags};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::shm::View;
use backsight_ringbuf::writer::{SegmentStart, Writer};
use std::marker::PhantomData;

/// A thread's work for one trace; ends when it drops.
#[derive(Debug)]
#[must_use = "the segment ends when this guard drops"]
pub struct Segment {
    trace: TraceId,
    /// A segment belongs to the thread that began it.
    not_send: PhantomData<*const ()>,
}

/// A named interval of the active segment; ends when it drops, on whichever thread works for its trace then.
#[derive(Debug)]
#[must_use = "the span ends when this guard drops"]
pub struct Span {
    trace: TraceId,
    id: SpanId,
    outer: SpanId,
}

/// Makes the calling thread work for the request of `context` until the guard drops.
///
/// Where the same trace is active already, nothing begins and nothing ends with the guard; another active trace is ended first.
///
/// # Cost
/// With the guard's drop 56 bytes and two clock reads.
#[inline(always)]
pub fn begin(context: &Context) -> Segment {
    let began = begin_unguarded(context);
    Segment { trace: if began { context.trace } else { TraceId::NONE }, not_send: PhantomData }
}

/// Makes the calling thread go on with a request that another thread [`detach`]ed, until the guard drops.
///
/// # Cost
/// No byte of the log until something is recorded.
#[inline]
pub fn attach(context: &Context) -> Segment {
    let attached = !context.trace.is_none()
        && block::with_writer(|writer, now| {
            let now = block::attached(writer, now)?;
            // A resumed segment hangs under the span that was open when it was detached.
            writer.resume(SegmentStart { parent_span: context.span, ..start_of(context) }, now);
            Some(())
        })
        .flatten()
        .is_some();
    Segment { trace: if attached { context.trace } else { TraceId::NONE }, not_send: PhantomData }
}

/// Ends the active segment and returns its context, for [`attach`] on another thread or later; `None` outside a segment.
pub fn detach() -> Option<Context> {
    block::with_writer(|writer, now| {
        let paused = (!writer.trace().is_none()).then(|| writer.pause(now))?;
        Some(context_of(&paused))
    })
    .flatten()
}

/// Starts a span under the innermost open one, until the guard drops.
///
/// # Cost
/// With the guard's drop 40 bytes and two clock reads.
#[inline(always)]
pub fn span<'a>(name: impl Into<Name<'a>>) -> Span {
    Span::start(name, SpanKind::Internal)
}

impl Span {
    /// Starts a span of kind `kind` under the innermost open one.
    #[inline(always)]
    pub fn start<'a>(name: impl Into<Name<'a>>, kind: SpanKind) -> Self {
        let (trace, id, outer) = span_start_unguarded(name.into(), kind).unwrap_or_default();
        Self { trace, id, outer }
    }

    /// Returns the span's id, [`SpanId::NONE`] where nothing is recorded.
    pub fn id(&self) -> SpanId {
        self.id
    }
}

impl Drop for Segment {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.trace.is_none() {
            end_unguarded(self.trace);
        }
    }
}

impl Drop for Span {
    #[inline(always)]
    fn drop(&mut self) {
        if !self.id.is_none() {
            span_end_unguarded(self.trace, self.id, self.outer);
        }
    }
}

/// Begins a segment; returns whether it did, which it does not for no trace, nor for the trace that is active already.
#[inline(always)]
pub fn begin_unguarded(context: &Context) -> bool {
    let Some(mut held) = block::hold() else { return false };
    let (_, writer, now) = held.parts();
    let began = begin_with(writer, now, context);
    held.leave();
    began
}

#[inline(always)]
fn begin_with(writer: &mut Writer<View>, now: u64, context: &Context) -> bool {
    if context.trace.is_none() || writer.trace() == context.trace {
        return false;
    }
    let Some(now) = block::attached(writer, now) else { return false };
    writer.begin(start_of(context), now);
    if context.flags & (seg_flags::FIRED | seg_flags::RESUME) == seg_flags::FIRED {
        trigger::tell_fired(writer, now, context.trace); // on the way here: this host's part is wanted
    }
    true
}

/// Ends the active segment if it is of `trace`.
#[inline(always)]
pub fn end_unguarded(trace: TraceId) {
    let Some(mut held) = block::hold() else { return };
    let (_, writer, now) = held.parts();
    if writer.trace() == trace {
        writer.end(now);
    }
    held.leave();
}

/// Starts a span; returns its trace, its id and the span that was innermost before, or `None` where nothing is recorded.
#[inline(always)]
pub fn span_start_unguarded(name: Name<'_>, kind: SpanKind) -> Option<(TraceId, SpanId, SpanId)> {
    let mut held = block::hold()?;
    let (block, writer, now) = held.parts();
    let id = SpanId(block.random() | 1); // in here, where no handler draws the same one
    let (trace, outer) = (writer.trace(), writer.span());
    match name.known(block.epoch.get()) {
        Some(known) => writer.start_span(now, id, name_word(known.0, 0, kind as u8)),
        None => start_unknown(writer, now, id, name.resolve(writer, block.epoch.get()), kind),
    }
    held.leave();
    (!trace.is_none()).then_some((trace, id, outer))
}

/// Starts a span at the first use of its name, or with a name that is written in place.
#[cold]
#[inline(never)]
fn start_unknown(writer: &mut Writer<View>, now: u64, id: SpanId, name: Resolved<'_>, kind: SpanKind) {
    let (word, text) = name.in_place(kind as u8);
    writer.start_span_cold(now, id, [id.0, writer.span().0, word], text);
}

/// Ends span `id` of `trace`, if that is active; where it was the innermost, `outer` is again.
#[inline(always)]
pub fn span_end_unguarded(trace: TraceId, id: SpanId, outer: SpanId) {
    let Some(mut held) = block::hold() else { return };
    let (_, writer, now) = held.parts();
    if writer.trace() == trace {
        writer.record_of_span::<0, 1>(now, Kind::SpanEnd, 0, id, [], &[]);
        if writer.span() == id {
            writer.set_span(outer); // else spans end out of order, or on a thread that works under another one
        }
    } else {
        writer.count_drop(DropReason::NoTrace);
    }
    held.leave();
}

/// Returns what the calling thread works for now.
pub(crate) fn current_context() -> Option<Context> {
    block::existing()?;
    block::with_writer(|writer, _| {
        let segment = writer.segment();
        (!segment.trace.is_none()).then(|| context_of(&segment))
    })
    .flatten()
}

#[inline(always)]
fn start_of(context: &Context) -> SegmentStart {
    SegmentStart {
        trace: context.trace,
        parent_span: context.parent_span,
        span: context.span,
        from_agent: context.from_agent,
        flags: context.flags & TRAVELS,
        api: context.api,
        older_agents: context.older_agents,
        triggers: context.triggers,
    }
}

/// Returns the context that goes on where `segment` stands.
#[inline]
pub(crate) fn context_of(segment: &SegmentStart) -> Context {
    Context {
        trace: segment.trace,
        span: segment.span,
        parent_span: segment.parent_span,
        from_agent: segment.from_agent,
        flags: segment.flags & TRAVELS, // what was lost in one segment is not lost in the next
        api: segment.api,
        older_agents: segment.older_agents,
        triggers: segment.triggers,
    }
}
