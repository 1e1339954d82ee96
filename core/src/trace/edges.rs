//! Calls to other processes that nobody answered.
//!
//! Called by the reader of one process, once its log is read.

use crate::ids::{AgentId, SpanId};
use std::collections::{BTreeMap, VecDeque};

/// An end of an edge to another process: a call that goes out, or its answer.
pub(super) struct EdgeEnd {
    pub(super) ticks: u64,
    pub(super) span: SpanId,
    /// Where a call went to, as far as its connection knew; `None` for an answer.
    pub(super) expected: Option<AgentId>,
}

/// A call that went out.
pub(super) struct OpenCall {
    pub(super) ticks: u64,
    pub(super) span: SpanId,
    pub(super) expected: AgentId,
}

/// The open calls of one span, oldest first.
#[derive(Default)]
struct OpenCalls {
    /// Of which it is known where to ask.
    led: VecDeque<OpenCall>,
    unled: VecDeque<OpenCall>,
}

/// Returns the calls without an answer: each answer closes the oldest open call of its span, one of which it is known where to ask first.
/// So where calls overlap, one that may have gone anywhere stays open rather than one that can be looked for.
pub(super) fn open_edges(mut ends: Vec<EdgeEnd>) -> Vec<OpenCall> {
    ends.sort_by_key(|end| end.ticks);
    let mut open: BTreeMap<SpanId, OpenCalls> = BTreeMap::new();
    for EdgeEnd { ticks, span, expected } in ends {
        let calls = open.entry(span).or_default();
        match expected {
            Some(AgentId::NONE) => calls.unled.push_back(OpenCall { ticks, span, expected: AgentId::NONE }),
            Some(expected) => calls.led.push_back(OpenCall { ticks, span, expected }),
            None => drop(calls.led.pop_front().or_else(|| calls.unled.pop_front())),
        }
    }
    open.into_values().flat_map(|calls| calls.led.into_iter().chain(calls.unled)).collect()
}
