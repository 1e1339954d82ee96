//! What travels: a request that visits processes of several hosts, one thread a visit, and writes there what a client writes.

use crate::host::Host;
use backsight_core::ids::{AgentId, SpanId, TraceId, TriggerId};
use backsight_core::record::{CrumbDirection, Kind, SpanKind, name_word, seg_flags};
use backsight_ringbuf::ring;
use backsight_ringbuf::shm::Mapping;
use backsight_ringbuf::writer::{Carried, SegmentStart, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The trigger that visits fire.
pub const TRIGGER: TriggerId = TriggerId(300);

/// A process of a host, by their numbers.
pub type Place = (usize, usize);

/// How a call ended, as its caller sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The callee answered, and said where it was recorded, if it was.
    Came(AgentId),
    /// The connection broke: nobody knows how far the callee came.
    Lost,
    /// Nobody was there.
    Unsent,
}

/// What a visit writes at most to begin, beside its payload; with a crumb; and to end, beside the laterals that it names.
const BEGIN_BYTES: u64 = 160;
/// See [`BEGIN_BYTES`].
const CRUMB_BYTES: u64 = 32;
/// See [`BEGIN_BYTES`].
const END_BYTES: u64 = 64;

/// One visit.
#[derive(Debug)]
pub struct Visit {
    /// Of which request.
    pub trace: TraceId,
    /// Its span.
    pub span: SpanId,
    /// The visit that called, by its number.
    pub caller: Option<usize>,
    /// The span that called, and its host's agent; of a caller that nobody records, what that was called by.
    pub from: (AgentId, SpanId),
    /// Where.
    pub place: Place,
    /// Which life of the process serves it; 0 before it arrived and once it is over.
    pub life: u64,
    /// The thread that writes, where the process is recorded.
    pub writer: Option<Writer<Arc<Mapping>>>,
    /// Whom it calls, one after the other.
    pub calls: Vec<Place>,
    /// How many of them it has called.
    pub n_called: usize,
    /// Whether it fires in the end.
    pub fires: bool,
    /// Bytes of payload.
    pub payload: u64,
}

impl Visit {
    /// Begins the visit on a thread of its process.
    pub fn begin(&mut self, host: &mut Host, now_ns: u64) {
        let (from_agent, parent_span) = self.from;
        self.life = host.processes[self.place.1].life;
        self.writer = host.take_thread(self.place.1);
        let Some(writer) = &mut self.writer else { return };
        let carried = Carried { from_agent, ..Carried::default() };
        let start = SegmentStart { trace: self.trace, parent_span, span: parent_span, carried };
        writer.begin(start, now_ns);
        let name = name_word(0, 0, SpanKind::Server as u8);
        writer.record(now_ns, Kind::SpanStart, 0, [self.span.0, parent_span.0, name], &[]);
        writer.record(now_ns, Kind::Raw, 0, [], &vec![7; self.payload as usize]);
        let thread = writer.slot_number();
        host.note_written(self.place.1, thread, BEGIN_BYTES + self.payload);
    }

    /// Leaves the open edge of a call to `callee`.
    pub fn call(&mut self, callee: Place, host: &mut Host, now_ns: u64) {
        let led = host.processes[self.place.1].remembered.get(&callee).copied().unwrap_or(AgentId::NONE);
        self.crumb(CrumbDirection::Out, led, host, now_ns);
    }

    /// Takes the answer of a call to `callee`.
    pub fn answered(&mut self, answer: Answer, callee: Place, host: &mut Host, now_ns: u64) {
        match answer {
            Answer::Came(agent) => {
                host.processes[self.place.1].remembered.insert(callee, agent);
                self.crumb(CrumbDirection::To, agent, host, now_ns);
            }
            Answer::Unsent => self.crumb(CrumbDirection::To, AgentId::NONE, host, now_ns),
            Answer::Lost => {}
        }
    }

    /// Ends the visit, and fires with these laterals if it is to; returns what its answer says of where it was recorded.
    pub fn end(&mut self, host: &mut Host, laterals: &[TraceId], now_ns: u64) -> AgentId {
        let mut writer = self.writer.take();
        if let Some(writer) = &mut writer {
            if self.fires {
                let store = writer.store().clone();
                if !ring::push_trigger(&*store, writer.slot_number(), TRIGGER, self.trace, now_ns, laterals) {
                    writer.mark_fired(TRIGGER);
                }
            }
            writer.record(now_ns, Kind::SpanEnd, 0, [self.span.0], &[]);
            writer.end(now_ns);
            host.note_written(self.place.1, writer.slot_number(), END_BYTES);
        }
        let is_recorded = writer.is_some();
        if let Some(writer) = writer {
            host.give_back(self.place.1, writer);
        }
        if is_recorded { host.id } else { AgentId::NONE }
    }

    fn crumb(&mut self, direction: CrumbDirection, agent: AgentId, host: &mut Host, now_ns: u64) {
        let Some(writer) = &mut self.writer else { return };
        host.note_written(self.place.1, writer.slot_number(), CRUMB_BYTES);
        let word = u64::from(agent.0) | (direction as u64) << 32;
        if writer.record(now_ns, Kind::Crumb, 0, [word, self.span.0], &[]) {
            writer.mark(seg_flags::CRUMBS);
        } else {
            let store = writer.store().clone();
            let slot = writer.slot_number();
            ring::push_crumb(&*store, slot, self.trace, agent, direction, self.span, now_ns);
        }
    }
}

/// What requests really did.
#[derive(Debug, Default)]
pub struct Truth {
    /// By request, by span: where it was, and whether it came to its end.
    pub visits: BTreeMap<TraceId, BTreeMap<SpanId, Happened>>,
    /// Requests that went through a process which nobody recorded: where that led, nobody can know.
    pub cut: BTreeSet<TraceId>,
    /// Requests for which a trigger fired, laterals included.
    pub triggered: BTreeMap<TraceId, u64>,
}

/// What became of a visit in a process that recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Happened {
    /// The host's number.
    pub host: usize,
    /// Whether it came to its end.
    pub is_over: bool,
}
