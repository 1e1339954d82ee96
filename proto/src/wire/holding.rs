//! Holdings: what one host says that it has of one trace.

use super::{WireError, at_most, trace_bytes, trace_id};
use crate::v1;
use backsight_core::holding::{CRUMBS_MAX, CrumbTo, DEATHS_MAX, Holding, HoldingState, LOSSES_MAX, LossInterval};
use backsight_core::ids::{AgentId, SpanId};
use backsight_core::record::CrumbDirection;
use backsight_core::telemetry::DropReason;

impl From<&Holding> for v1::Holding {
    fn from(holding: &Holding) -> Self {
        Self {
            trace: trace_bytes(holding.trace),
            state: holding.state as u32,
            revision: holding.revision,
            n_segments: holding.n_segments,
            bytes: holding.bytes,
            n_open: holding.n_open,
            n_left_out: holding.n_left_out,
            detail: holding.detail.into(),
            horizon_ms: holding.horizon_ms,
            crumbs: holding.crumbs.iter().map(Into::into).collect(),
            losses: holding.losses.iter().map(Into::into).collect(),
            whole_since_ns: holding.whole_since_ns,
            looked_ns: holding.looked_ns,
            deaths_ns: holding.deaths_ns.clone(),
            n_evicted: holding.n_evicted,
            remembers_since_ns: holding.remembers_since_ns,
            waits: holding.waits,
        }
    }
}

impl TryFrom<v1::Holding> for Holding {
    type Error = WireError;

    fn try_from(holding: v1::Holding) -> Result<Self, WireError> {
        at_most("holding.crumbs", &holding.crumbs, CRUMBS_MAX, "at most 256")?;
        at_most("holding.losses", &holding.losses, LOSSES_MAX, "at most 16")?;
        at_most("holding.deaths_ns", &holding.deaths_ns, DEATHS_MAX, "at most 16")?;
        let state = u8::try_from(holding.state).ok().and_then(HoldingState::from_code);
        Ok(Self {
            trace: trace_id("holding.trace", &holding.trace)?,
            state: state.unwrap_or_default(),
            revision: holding.revision,
            n_segments: holding.n_segments,
            bytes: holding.bytes,
            n_open: holding.n_open,
            n_left_out: holding.n_left_out,
            detail: holding.detail.min(u8::MAX.into()) as u8,
            horizon_ms: holding.horizon_ms,
            crumbs: holding.crumbs.into_iter().filter_map(crumb).collect(),
            losses: holding.losses.into_iter().map(Into::into).collect(),
            whole_since_ns: holding.whole_since_ns,
            looked_ns: holding.looked_ns,
            deaths_ns: holding.deaths_ns,
            n_evicted: holding.n_evicted,
            remembers_since_ns: holding.remembers_since_ns,
            waits: holding.waits,
        })
    }
}

impl From<&CrumbTo> for v1::CrumbTo {
    fn from(crumb: &CrumbTo) -> Self {
        Self { agent: crumb.agent.0, direction: crumb.direction as u32, span: crumb.span.0 }
    }
}

/// Reads a crumb; one that points nowhere, or in a direction of a later version, is passed over.
fn crumb(crumb: v1::CrumbTo) -> Option<CrumbTo> {
    let direction = u8::try_from(crumb.direction).ok().and_then(CrumbDirection::from_code)?;
    let agent = AgentId(crumb.agent);
    (!agent.is_none()).then_some(CrumbTo { agent, direction, span: SpanId(crumb.span) })
}

impl From<&LossInterval> for v1::LossInterval {
    fn from(loss: &LossInterval) -> Self {
        Self {
            first_ns: loss.first_ns,
            last_ns: loss.last_ns,
            reason: loss.reason.map_or(0, |reason| reason as u32),
            n_records: loss.n_records,
            bytes: loss.bytes,
        }
    }
}

impl From<v1::LossInterval> for LossInterval {
    fn from(loss: v1::LossInterval) -> Self {
        Self {
            first_ns: loss.first_ns,
            last_ns: loss.last_ns.max(loss.first_ns),
            reason: u8::try_from(loss.reason).ok().and_then(DropReason::from_code),
            n_records: loss.n_records,
            bytes: loss.bytes,
        }
    }
}
