//! A batch in the making: how much of each trace it takes.
//!
//! Called by reports. Pure.

use super::{Ledger, Part, TRACE_COST};
use crate::uplink::Counters;
use backsight_core::ids::TraceId;

/// A batch in the making.
pub(super) struct Filling {
    pub(super) cost: u64,
    pub(super) target: u64,
    pub(super) batch_max: u64,
    pub(super) n_segments: usize,
}

impl Filling {
    /// Takes of a trace what fits; what is left stays unsent.
    pub(super) fn take(
        &mut self,
        trace: TraceId,
        ledger: &mut Ledger,
        queued_bytes: &mut u64,
        counters: &mut Counters,
    ) -> Part {
        self.cost += TRACE_COST;
        let deaths = std::mem::take(&mut ledger.deaths);
        let mut part = Part { trace, why: ledger.why, segments: Vec::new(), deaths };
        while let Some(key) = ledger.unsent.first().copied() {
            let Some(state) = ledger.segments.get_mut(&key) else {
                ledger.unsent.remove(&key);
                continue;
            };
            let cost = u64::from(state.cost);
            let is_too_large = cost + TRACE_COST > self.batch_max;
            if !is_too_large && self.n_segments > 0 && self.cost + cost > self.target {
                break;
            }
            ledger.unsent.remove(&key);
            *queued_bytes -= cost;
            state.sent = state.len;
            if is_too_large {
                // No collector will ever take it: only a client that lies names that many strings in one segment.
                counters.too_large += 1;
                ledger.n_unacked -= usize::from(state.acked < state.len);
                state.acked = state.len;
                continue;
            }
            self.n_segments += 1;
            self.cost += cost;
            part.segments.push((key, state.len));
        }
        part
    }
}
