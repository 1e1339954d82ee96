//! Edges to other processes: the record of a call that goes out, of its answer, and what a server's answer says.
//!
//! An out-edge is open from the call to its answer. One that stays open says that a callee may be missing from the trace.

use crate::block;
use crate::process;
use crate::trigger;
use backsight_core::context::{ResponseCrumb, ResponseText};
use backsight_core::ids::{AgentId, SpanId, TraceId};
use backsight_core::record::{CrumbDirection, Kind, seg_flags};
use backsight_core::sync::{AtomicU32, Ordering};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::shm::View;
use backsight_ringbuf::writer::{Carried, Writer};
use backsight_ringbuf::{region, ring};

/// What is remembered of a peer: the agent that its last answer came from. One for each connection, or each peer address.
///
/// The next call writes it into the log, so that a callee that never answers is still found, and so that a call that a death cut is known
/// to have reached nobody. Where one address leads to several hosts (a balancer) it must be one for each connection: else a call is looked
/// for on the host of another one's answer, and a trace may be called complete without its callee.
///
/// # Shape
/// One word, 0 at first; shared between threads.
#[derive(Debug)]
#[repr(transparent)]
pub struct Connection {
    agent: AtomicU32,
}

impl Connection {
    /// Returns a connection on which nothing has been answered.
    #[expect(clippy::new_without_default, reason = "derived below would not be const")]
    pub const fn new() -> Self {
        Self { agent: AtomicU32::new(0) }
    }

    /// Returns the agent that the last answer came from, [`AgentId::NONE`] for none.
    pub fn agent(&self) -> AgentId {
        AgentId(self.agent.load(Ordering::Relaxed)) // a hint, whole in one word
    }

    fn remember(&self, agent: AgentId) {
        // Mostly it is the same again, and all threads that call this peer read the word.
        if self.agent() != agent {
            self.agent.store(agent.0, Ordering::Relaxed); // as above
        }
    }
}

/// A call that went out: what [`Call::answered`] closes.
///
/// # Shape
/// Plain data, 32 bytes, `Copy`: it goes along with the request's future, or in the map of requests under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Call {
    trace: TraceId,
    span: SpanId,
    /// 1 where an open edge was recorded.
    is_recorded: u64,
}

impl Call {
    pub(crate) const NONE: Self = Self { trace: TraceId::NONE, span: SpanId::NONE, is_recorded: 0 };

    /// Records the open edge of a call from `span` over `connection`.
    ///
    /// Called inside `with_writer`'s closure, with an attached writer.
    #[inline]
    pub(crate) fn record(
        writer: &mut Writer<View>,
        now: u64,
        trace: TraceId,
        span: SpanId,
        connection: &Connection,
    ) -> Self {
        put_crumb(writer, now, trace, Crumb { direction: CrumbDirection::Out, agent: connection.agent(), span });
        Self { trace, span, is_recorded: 1 }
    }

    /// Closes the edge: the callee has answered. `response_crumb` is the value of the response's header `backsight-crumb`, if it has one.
    ///
    /// An answer without that header, or with a malformed one, comes from somebody without a recorder. A call that failed in transport was
    /// *not* answered: leave its edge open, so that the trace is not taken for complete; or call [`Self::unsent`] where that holds.
    ///
    /// Where a trigger has fired for the trace at the callee, the active segment carries that on, and the agent is told.
    ///
    /// # Cost
    /// 24 bytes of the log, and as many for each host behind the callee that the answer names and none before it did; 64 of the signal ring
    /// where the trace is not active on this thread, where there is no chunk, or where it has fired.
    pub fn answered(&self, response_crumb: Option<&[u8]>, connection: &Connection) {
        let answer = response_crumb.and_then(ResponseCrumb::parse).unwrap_or_default();
        connection.remember(answer.agent);
        if self.is_recorded == 0 {
            return;
        }
        block::with_writer(|writer, now| {
            let now = block::attached(writer, now)?;
            close(writer, now, self, answer.agent);
            go_beyond(writer, now, self, &answer);
            let is_news = writer.trace() != self.trace || writer.flags() & seg_flags::FIRED == 0;
            if answer.fired && is_news {
                trigger::tell_fired(writer, now, self.trace);
            }
            Some(())
        });
    }

    /// Closes the edge of a call whose request never left: nobody can have seen it. What `connection` remembers stays as it is.
    ///
    /// Only where that is certain: the name was not resolved, the connection was refused or never stood, the request was given up while it
    /// waited for one. Once a byte of it was handed to a connection it may have been read, whatever became of the connection: a reset, a
    /// time-out or an answer that broke off is *not* this, and its edge stays open.
    ///
    /// # Cost
    /// As [`Self::answered`] without a trigger.
    pub fn unsent(&self) {
        if self.is_recorded == 0 {
            return;
        }
        block::with_writer(|writer, now| {
            let now = block::attached(writer, now)?;
            close(writer, now, self, AgentId::NONE);
            Some(())
        });
    }
}

/// Records that a call is over, and by whom it was answered.
fn close(writer: &mut Writer<View>, now: u64, call: &Call, by: AgentId) {
    put_crumb(writer, now, call.trace, Crumb { direction: CrumbDirection::To, agent: by, span: call.span });
}

/// Leaves crumbs of the hosts behind the one that has answered, whose agent may be dead when somebody asks, and remembers both for this
/// visit's own answer.
fn go_beyond(writer: &mut Writer<View>, now: u64, call: &Call, answer: &ResponseCrumb) {
    let known = writer.segment().carried.beyond;
    let view = *writer.store();
    let own = region::agent(&view);
    let is_news = |agent: AgentId| !agent.is_none() && agent != own && !known.contains(&agent);
    for agent in answer.beyond.into_iter().filter(|agent| is_news(*agent)) {
        let crumb = Crumb { direction: CrumbDirection::After, agent, span: SpanId::NONE };
        put_crumb(writer, now, call.trace, crumb);
    }
    let is_heard = is_news(answer.agent) || answer.beyond.into_iter().any(is_news);
    if is_heard && writer.trace() == call.trace {
        let room = usize::from(region::crumbs(&view).path_len).saturating_sub(1);
        writer.set_beyond(answer.passed_on(own, known, room));
    }
}

/// Returns the value of header `backsight-crumb` for the response that the calling thread's segment ends with: it tells the caller where
/// its request was served, where it went on to, and whether a trigger has fired for it here. `None` without a session, or where the agent
/// keeps that to itself (`crumbs.response`).
pub fn response_crumb() -> Option<ResponseText> {
    let (attached, carried) = block::existing()
        .and_then(|_| block::look(|writer| (*writer.store(), writer.segment().carried)))
        .unwrap_or((View::NONE, Carried::default()));
    let view = if attached.is_mapped() { attached } else { process::session()?.view };
    if !region::crumbs(&view).in_responses {
        return None;
    }
    let fired = carried.flags & seg_flags::FIRED != 0;
    Some(ResponseCrumb { agent: region::agent(&view), beyond: carried.beyond, fired }.format())
}

/// Leaves crumbs of the hosts that a request came through before the one that it came from, whose agent may be dead when somebody asks. They
/// stand in the log alone, as that one does.
pub(crate) fn leave_before(writer: &mut Writer<View>, now: u64, older: &[AgentId]) {
    for agent in older.iter().copied().take_while(|agent| !agent.is_none()) {
        let crumb = Crumb { direction: CrumbDirection::Before, agent, span: SpanId::NONE };
        if log(writer, now, &crumb) && writer.flags() & seg_flags::CRUMBS == 0 {
            writer.mark(seg_flags::CRUMBS);
        }
    }
}

/// Writes a crumb to the active segment; returns whether it was recorded.
#[inline]
fn log(writer: &mut Writer<View>, now: u64, crumb: &Crumb) -> bool {
    let word = u64::from(crumb.agent.0) | (crumb.direction as u64) << 32;
    writer.record(now, Kind::Crumb, 0, [word, crumb.span.0], &[])
}

/// One end of an edge.
struct Crumb {
    direction: CrumbDirection,
    agent: AgentId,
    span: SpanId,
}

/// Leaves a crumb in the log of the active segment, and in the signal ring where there is no such log or the agent wants it at once.
#[inline]
fn put_crumb(writer: &mut Writer<View>, now: u64, trace: TraceId, crumb: Crumb) {
    let is_active = writer.trace() == trace;
    let is_logged = is_active && log(writer, now, &crumb);
    let flags = writer.flags();
    if is_logged && flags & seg_flags::CRUMBS == 0 {
        writer.mark(seg_flags::CRUMBS);
    }
    // Of a trace that is not recorded here, nobody asks for crumbs until it fires.
    let is_enough = is_logged || (is_active && writer.is_shed());
    let is_urgent = flags & seg_flags::FIRED != 0 && !crumb.agent.is_none();
    if !is_enough || is_urgent {
        signal(writer, now, trace, &crumb, is_logged);
    }
}

#[cold]
#[inline(never)]
fn signal(writer: &Writer<View>, now: u64, trace: TraceId, crumb: &Crumb, is_logged: bool) {
    let view = *writer.store();
    let pushed = ring::push_crumb(&view, writer.slot_number(), trace, crumb.agent, crumb.direction, crumb.span, now);
    if !pushed && !is_logged {
        writer.count_drop(DropReason::SignalFull);
    }
    process::ring_doorbell(&view);
}
