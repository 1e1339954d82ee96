//! Segments and spans as guards: what a thread works for, until the guard drops.

use crate::block::{self, Held};
use crate::context::{Context, STAYS, TRAVELS};
use crate::edge;
use crate::name::{Name, Resolved, StaticName};
use crate::trigger;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{Kind, SpanKind, name_word, seg_flags};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::shm::View;
use backsight_ringbuf::writer::{Carried, SegmentStart, Writer};
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
/// A context that no thread has worked for yet, as it came with a request, begins here as with [`begin`].
///
/// # Cost
/// No byte of the log until something is recorded, but for such a beginning.
#[inline]
pub fn attach(context: &Context) -> Segment {
    let attached =
        !context.trace.is_none() && block::with_writer(|writer, now| resume(writer, now, context)) == Some(true);
    Segment { trace: if attached { context.trace } else { TraceId::NONE }, not_send: PhantomData }
}

/// Goes on with the request of `context`, or begins with it; returns whether the thread works for it now.
#[inline]
fn resume(writer: &mut Writer<View>, now: u64, context: &Context) -> bool {
    if !context.is_begun() && writer.trace() != context.trace {
        return begin_with(writer, now, context);
    }
    let Some(now) = block::attached(writer, now) else { return false };
    let carried = Carried { flags: context.carried.flags & STAYS, ..context.carried };
    // A resumed segment hangs under the span that was open when it was detached.
    writer.resume_parts(now, context.trace, [context.span; 2], &carried);
    true
}

/// Ends the active segment and returns its context, for [`attach`] on another thread or later; `None` outside a segment.
pub fn detach() -> Option<Context> {
    block::with_writer(pause).flatten()
}

#[inline]
fn pause(writer: &mut Writer<View>, now: u64) -> Option<Context> {
    let paused = (!writer.trace().is_none()).then(|| writer.pause(now))?;
    Some(context_of(&paused))
}

/// [`detach`]es what the thread works for to `outer`, which stays as it is where that is nothing, and [`attach`]es `context`, as one change.
///
/// # Cost
/// One clock read, and no byte of the log, but where `context` begins.
#[inline]
pub(crate) fn switch_to(context: &mut Context, outer: &mut Context) {
    block::with_writer(|writer, now| {
        if !writer.trace().is_none() {
            set_aside(writer, now, outer);
        }
        if !context.trace.is_none() && resume(writer, now, context) {
            context.carried.flags |= seg_flags::RESUME; // also where it has ended by the time that the thread switches back
        }
    });
}

/// Has the thread's own work wait in `outer`: futures are mostly polled by threads that have none.
#[cold]
#[inline(never)]
fn set_aside(writer: &mut Writer<View>, now: u64, outer: &mut Context) {
    take_along(writer, outer);
    outer.trace = writer.trace();
    writer.leave(now);
}

/// Ends what [`switch_to`] began: `context` is now as its segment stands, and the thread goes on with `outer`, where that has a trace.
///
/// Another trace that is active by now is nobody's, and over.
#[inline]
pub(crate) fn switch_back(context: &mut Context, outer: &Context) {
    block::with_writer(|writer, now| {
        if writer.trace() == context.trace && !context.trace.is_none() {
            take_along(writer, context);
        }
        if !writer.trace().is_none() {
            writer.leave(now);
        }
        if !outer.trace.is_none() {
            resume(writer, now, outer);
        }
    });
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
        let Started { trace, id, outer } = span_start_unguarded(name.into(), kind);
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
    let Some(mut held) = block::hold_at_once() else { return begin_slowly(block::frame(), context) };
    let (_, writer, now) = held.parts_at_once();
    let Context { trace, span, parent_span, carried } = context;
    // Other flags do not travel, or need more than a record; so do older crumbs.
    let is_plain = carried.flags & !(TRAVELS & !seg_flags::FIRED) == 0 && carried.older_agents[0].is_none();
    if !is_plain || block::is_silent(writer, now) || !writer.begin_at_once(now, *trace, [*parent_span, *span], carried)
    {
        return begin_held(held, now, context);
    }
    held.leave();
    true
}

#[cold]
#[inline(never)]
fn begin_slowly(frame: usize, context: &Context) -> bool {
    let Some(held) = block::hold_slowly(frame) else { return false };
    let now = held.now();
    begin_held(held, now, context)
}

#[cold]
#[inline(never)]
fn begin_held(mut held: Held, now: u64, context: &Context) -> bool {
    let began = begin_with(held.writer(), now, context);
    held.leave();
    began
}

fn begin_with(writer: &mut Writer<View>, now: u64, context: &Context) -> bool {
    if context.trace.is_none() || writer.trace() == context.trace {
        return false;
    }
    let Some(now) = block::attached(writer, now) else { return false };
    writer.begin(start_of(context, TRAVELS), now);
    if context.carried.flags & seg_flags::RESUME == 0 {
        edge::leave_before(writer, now, &context.carried.older_agents);
    }
    if context.carried.flags & (seg_flags::FIRED | seg_flags::RESUME) == seg_flags::FIRED {
        trigger::tell_fired(writer, now, context.trace); // on the way here: this host's part is wanted
    }
    true
}

/// Ends the active segment if it is of `trace`.
#[inline(always)]
pub fn end_unguarded(trace: TraceId) {
    let Some(mut held) = block::hold_at_once() else { return end_slowly(block::frame(), trace) };
    let (_, writer, now) = held.parts_at_once();
    if !writer.end_at_once(trace, now) {
        return end_held(held, now, trace);
    }
    held.leave();
}

#[cold]
#[inline(never)]
fn end_slowly(frame: usize, trace: TraceId) {
    if let Some(held) = block::hold_slowly(frame) {
        let now = held.now();
        end_held(held, now, trace);
    }
}

#[cold]
#[inline(never)]
fn end_held(mut held: Held, now: u64, trace: TraceId) {
    let writer = held.writer();
    if writer.trace() == trace {
        writer.end(now);
    }
    held.leave();
}

/// A span that was started; its id is none where nothing is recorded.
#[derive(Clone, Copy, Debug, Default)]
pub struct Started {
    /// The trace that was active.
    pub trace: TraceId,
    /// The span.
    pub id: SpanId,
    /// The span that was innermost before.
    pub outer: SpanId,
}

/// Starts a span under the innermost open one.
#[inline(always)]
pub fn span_start_unguarded(name: Name<'_>, kind: SpanKind) -> Started {
    let Some(mut held) = block::hold_at_once() else { return span_start_slowly(name, kind) };
    let (block, writer, now) = held.parts_at_once();
    let (trace, outer) = (writer.trace(), writer.span());
    if let Name::Static(name) = name
        && let Some(known) = name.known_in_session(block.epoch.get()) // a record fits only where there is one
        && let Some(drawn) = block.random_at_once() // in here, where no handler draws the same one
        && writer.start_span_at_once(now, SpanId(drawn | 1), name_word(known.0, 0, kind as u8))
    {
        held.leave();
        return Started { trace, id: SpanId(drawn | 1), outer };
    }
    Started { trace, id: span_start_held(held, now, name, kind), outer }
}

#[inline(always)]
fn span_start_slowly(name: Name<'_>, kind: SpanKind) -> Started {
    let Some(mut held) = block::hold_slowly(block::frame()) else { return Started::default() };
    let writer = held.writer();
    let (trace, outer) = (writer.trace(), writer.span());
    let now = held.now();
    Started { trace, id: span_start_held(held, now, name, kind), outer }
}

/// Starts a span also at the first use of its name, with a name that is written in place, and where the record does not simply fit.
///
/// Returns the id alone: what is returned through memory is stored in words and loaded in vectors, which waits for the stores.
#[inline(always)]
fn span_start_held(held: Held, now: u64, name: Name<'_>, kind: SpanKind) -> SpanId {
    match name {
        Name::Static(name) => static_span_start_held(held, now, name, kind),
        // Made anew, so that no name stands in memory where the call site knows which of them it is.
        Name::Interned(id) => any_span_start_held(held, now, Name::Interned(id), kind),
        Name::Text(text) => any_span_start_held(held, now, Name::Text(text), kind),
    }
}

#[cold]
#[inline(never)]
fn static_span_start_held(held: Held, now: u64, name: &'static StaticName, kind: SpanKind) -> SpanId {
    any_span_start_held(held, now, Name::Static(name), kind)
}

#[inline(never)]
fn any_span_start_held(mut held: Held, now: u64, name: Name<'_>, kind: SpanKind) -> SpanId {
    let (block, writer) = held.block_and_writer();
    let id = SpanId(block.random() | 1);
    let (trace, outer) = (writer.trace(), writer.span());
    match name.resolve(writer, block.epoch.get()) {
        Resolved { text: "", id: known } => writer.start_span(now, id, name_word(known.0, 0, kind as u8)),
        unknown => {
            let (word, text) = unknown.in_place(kind as u8);
            writer.start_span_cold(now, id, [id.0, outer.0, word], text);
        }
    }
    held.leave();
    if trace.is_none() { SpanId::NONE } else { id }
}

/// Ends span `id` of `trace`, if that is active; where it was the innermost, `outer` is again.
#[inline(always)]
pub fn span_end_unguarded(trace: TraceId, id: SpanId, outer: SpanId) {
    let Some(mut held) = block::hold_at_once() else { return span_end_slowly(block::frame(), trace, [id, outer]) };
    let (_, writer, now) = held.parts_at_once();
    if !writer.end_span_at_once(now, trace, id, outer) {
        return span_end_held(held, now, trace, [id, outer]);
    }
    held.leave();
}

#[cold]
#[inline(never)]
fn span_end_slowly(frame: usize, trace: TraceId, spans: [SpanId; 2]) {
    if let Some(held) = block::hold_slowly(frame) {
        let now = held.now();
        span_end_held(held, now, trace, spans);
    }
}

#[cold]
#[inline(never)]
fn span_end_held(mut held: Held, now: u64, trace: TraceId, [id, outer]: [SpanId; 2]) {
    let writer = held.writer();
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
    let segment = block::look(Writer::segment)?;
    (!segment.trace.is_none()).then(|| context_of(&segment))
}

/// Has `context` go on where the active segment, which is of its trace, stands.
#[inline(always)]
fn take_along(writer: &Writer<View>, context: &mut Context) {
    let segment = writer.active();
    (context.span, context.parent_span) = (segment.span, segment.parent_span);
    context.carried = segment.carried;
    context.carried.flags = going_on(segment.carried.flags);
}

/// Returns how a segment of `context` starts, with those of its flags that are in `flags`.
#[inline(always)]
fn start_of(context: &Context, flags: u32) -> SegmentStart {
    let mut carried = context.carried;
    carried.flags &= flags;
    SegmentStart { trace: context.trace, parent_span: context.parent_span, span: context.span, carried }
}

/// Returns the context that goes on where `segment` stands.
#[inline]
pub(crate) fn context_of(segment: &SegmentStart) -> Context {
    let mut carried = segment.carried;
    carried.flags = going_on(carried.flags);
    Context { trace: segment.trace, span: segment.span, parent_span: segment.parent_span, carried }
}

/// Returns the flags of a context that goes on with a visit: what was lost in one segment is not lost in the next, and it began once.
#[inline(always)]
const fn going_on(flags: u32) -> u32 {
    flags & STAYS | seg_flags::RESUME
}
