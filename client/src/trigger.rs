//! Saying that a trace was worth keeping.

use crate::block;
use crate::process;
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::record::{Kind, seg_flags};
use backsight_core::telemetry::DropReason;
use backsight_ringbuf::abi::LATERALS_MAX;
use backsight_ringbuf::ring;
use backsight_ringbuf::shm::View;
use backsight_ringbuf::writer::Writer;

/// Fires `trigger` for the active trace. [`crate::autotrigger::register`] makes one that people read by its name.
///
/// Returns whether anything took note: the agent by the signal ring, or the log where that is full.
///
/// # Cost
/// 64 bytes of the ring and 16 of the log; a system call where the agent sleeps.
pub fn trigger(trigger: TriggerId) -> bool {
    trigger_with_laterals(trigger, &[])
}

/// Fires `trigger` for the active trace; the traces `laterals`, at most 32, are collected with it.
pub fn trigger_with_laterals(trigger: TriggerId, laterals: &[TraceId]) -> bool {
    fire(trigger, None, laterals)
}

/// Fires `trigger` for `trace`, active or not; the traces `laterals`, at most 32, are collected with it.
pub fn trigger_for(trigger: TriggerId, trace: TraceId, laterals: &[TraceId]) -> bool {
    fire(trigger, Some(trace), laterals)
}

fn fire(trigger: TriggerId, of: Option<TraceId>, laterals: &[TraceId]) -> bool {
    if trigger.0 == 0 {
        return false; // no trigger has it: nobody registered one
    }
    let fired = block::with_writer(|writer, now| {
        let now = block::attached(writer, now)?;
        let laterals = &laterals[..laterals.len().min(LATERALS_MAX)];
        let trace = of.unwrap_or_else(|| writer.trace());
        if trace.is_none() {
            writer.count_drop(DropReason::NoTrace);
            return None;
        }
        let mut noted = trace == writer.trace();
        if noted {
            // The log says it too: the agent finds the trigger there should the ring be full or the process die.
            writer.mark_fired(trigger);
            let word = u64::from(trigger.0) | (laterals.len() as u64) << 32;
            noted = writer.record(now, Kind::Fired, 0, [word], &[]);
        }
        let view = *writer.store();
        let signalled = ring::push_trigger(&view, writer.slot_number(), trigger, trace, now, laterals);
        if !signalled {
            writer.count_drop(DropReason::SignalFull);
        }
        Some((view, signalled || noted))
    });
    let Some((view, noted)) = fired.flatten() else { return false };
    process::ring_doorbell(&view);
    noted
}

/// Tells the agent that a trigger fired for `trace` on another host: the request says so, or the answer to one.
///
/// Called inside `with_writer`'s closure.
#[cold]
#[inline(never)]
pub(crate) fn tell_fired(writer: &mut Writer<View>, now: u64, trace: TraceId) {
    let mut trigger = TriggerId(0); // the flag alone names none
    if writer.trace() == trace {
        writer.mark(seg_flags::FIRED); // found there should the ring be full; and requests that go out from here say it
        let [first, ..] = writer.segment().carried.triggers;
        if first.0 != 0 {
            trigger = first;
        }
    }
    let view = *writer.store();
    if !ring::push_elsewhere(&view, writer.slot_number(), trigger, trace, now) {
        writer.count_drop(DropReason::SignalFull);
    }
    process::ring_doorbell(&view);
}
