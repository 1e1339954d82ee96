//! How a batch keeps traces and slices: what is summed up over spans, and rows that own what they say.
//!
//! Called by `Batch`.

use super::owned;
use crate::rows::{ClockOffset, Energy, FiredTrigger, Sampling, SliceRow, TraceFacts};
use backsight_core::ids::TraceId;
use std::borrow::Cow;

/// A trace of the batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TraceHead {
    pub(crate) trace: TraceId,
    /// The start of its first span, and the end of its last; the wrong way round where it has none.
    pub(crate) start_ns: i64,
    pub(crate) end_ns: i64,
    pub(crate) n_rows: u32,
    pub(crate) n_errors: u32,
    pub(crate) facts_idx: Option<u32>,
    /// The last of its reports.
    pub(super) last_report: Option<u32>,
    /// Its recorded spans and slices before these places have been replaced.
    pub(super) recorded_from: (u32, u32),
    /// Its last span that came, from which the others are found; [`NO_ROW`] where it has none.
    pub(crate) last_row: u32,
}

/// No span.
pub(crate) const NO_ROW: u32 = u32::MAX;

impl TraceHead {
    pub(super) fn new(trace: TraceId) -> Self {
        Self {
            trace,
            start_ns: i64::MAX,
            end_ns: i64::MIN,
            n_rows: 0,
            n_errors: 0,
            facts_idx: None,
            last_report: None,
            recorded_from: (0, 0),
            last_row: NO_ROW,
        }
    }

    pub(super) fn add_span(&mut self, start_ns: i64, duration_ns: i64, is_error: bool) {
        self.start_ns = self.start_ns.min(start_ns);
        self.end_ns = self.end_ns.max(start_ns.saturating_add(duration_ns));
        self.n_rows += 1;
        self.n_errors += u32::from(is_error);
    }
}

/// Returns `facts` without their lender.
pub(crate) fn owned_facts(facts: &TraceFacts<'_>) -> TraceFacts<'static> {
    let trigger = |trigger: &FiredTrigger<'_>| FiredTrigger {
        id: trigger.id,
        name: owned(&trigger.name),
        fired_at_ns: trigger.fired_at_ns,
        agent: owned(&trigger.agent),
    };
    let clock = |clock: &ClockOffset<'_>| ClockOffset {
        host: owned(&clock.host),
        offset_ns: clock.offset_ns,
        low: clock.low,
        high: clock.high,
        pairs: clock.pairs,
    };
    TraceFacts {
        entry: facts.entry.as_deref().map(owned),
        triggers: facts.triggers.iter().map(trigger).collect(),
        sampling: owned_sampling(&facts.sampling),
        completeness: facts.completeness,
        certificate: facts.certificate.as_ref().map(|bytes| Cow::Owned(bytes.to_vec())),
        energy_no_span: facts.energy_no_span.as_ref().map(owned_energy),
        clock: facts.clock.iter().map(clock).collect(),
        energy_nj: facts.energy_nj,
        rarity: facts.rarity,
        wal_seq: facts.wal_seq,
        ingest_ns: facts.ingest_ns,
        flags: facts.flags,
    }
}

fn owned_sampling(sampling: &Sampling<'_>) -> Sampling<'static> {
    Sampling {
        head: owned(&sampling.head),
        rho: sampling.rho,
        p: sampling.p,
        weight: sampling.weight,
        threshold: sampling.threshold,
        reason: owned(&sampling.reason),
        policy: owned(&sampling.policy),
        model_epoch: sampling.model_epoch,
        ot_th: sampling.ot_th.as_deref().map(owned),
    }
}

pub(super) fn owned_energy(energy: &Energy<'_>) -> Energy<'static> {
    Energy {
        components: energy.components,
        kind: energy.kind,
        model: energy.model,
        hardware: owned(&energy.hardware),
        covered_share: energy.covered_share,
    }
}

/// Returns the bytes of what is known of a trace.
pub(super) fn facts_bytes(facts: &TraceFacts<'_>) -> usize {
    let sampling = &facts.sampling;
    let optional = |text: &Option<Cow<'_, str>>| text.as_deref().map_or(0, str::len);
    let triggers = facts.triggers.iter().map(|trigger| size_of_val(trigger) + trigger.name.len() + trigger.agent.len());
    let clocks = facts.clock.iter().map(|clock| size_of_val(clock) + clock.host.len());
    sampling.head.len()
        + sampling.reason.len()
        + sampling.policy.len()
        + optional(&sampling.ot_th)
        + optional(&facts.entry)
        + facts.certificate.as_deref().map_or(0, <[u8]>::len)
        + facts.energy_no_span.as_ref().map_or(0, |energy| energy.hardware.len())
        + triggers.sum::<usize>()
        + clocks.sum::<usize>()
}

/// Returns the bytes of a slice's texts.
pub(super) fn slice_bytes(slice: &SliceRow<'_>) -> usize {
    let text = slice.text.as_deref().map_or(0, str::len) + slice.raw.as_deref().map_or(0, <[u8]>::len);
    slice.host.len() + slice.process.len() + slice.thread.len() + text
}

pub(super) fn owned_slice(slice: &SliceRow<'_>) -> SliceRow<'static> {
    SliceRow {
        trace: slice.trace,
        span: slice.span,
        host: owned(&slice.host),
        process: owned(&slice.process),
        thread: owned(&slice.thread),
        cpu: slice.cpu,
        kind: slice.kind,
        start_ns: slice.start_ns,
        duration_ns: slice.duration_ns,
        flags: slice.flags,
        numbers: slice.numbers,
        text: slice.text.as_deref().map(owned),
        raw: slice.raw.as_ref().map(|bytes| Cow::Owned(bytes.to_vec())),
    }
}
