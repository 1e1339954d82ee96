//! What all exports of a trace share: what is known beside it, one clock for all processes, names for what has none.
//!
//! Called by `otlp` and `perfetto`, and by the read side for its rows. It knows no outside format.

mod relations;

pub use relations::{Part, Relations};

use backsight_core::certificate::Certificate;
use backsight_core::ids::AgentId;
use backsight_core::trace::{Notes, ProcessClock, Trace};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What is known beside a trace.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// What it says of its own completeness.
    pub certificate: Option<&'a Certificate>,
    /// Names of hosts, by agent, as far as they are known.
    pub hosts: Option<&'a BTreeMap<AgentId, String>>,
}

impl<'a> Extras<'a> {
    /// Returns the name of an agent's host.
    pub fn host(self, agent: AgentId) -> Option<&'a str> {
        self.hosts?.get(&agent).map(String::as_str)
    }
}

/// Returns `trace` with all times in nanoseconds since 1970: ticks of processes without wall time count from the start of the trace.
pub fn on_one_clock(trace: &Trace) -> Cow<'_, Trace> {
    let is_ticks: Vec<_> = trace.processes.iter().map(|p| matches!(p.clock, ProcessClock::Ticks { .. })).collect();
    if !is_ticks.contains(&true) {
        return Cow::Borrowed(trace);
    }
    let start_ns = trace.interval_ns().map_or(0, |(start, _)| start);
    let mut moved = trace.clone();
    let behind = |process_idx: usize| if is_ticks.get(process_idx) == Some(&true) { start_ns } else { 0 };
    for span in &mut moved.spans {
        let by = behind(span.process_idx);
        (span.start_ns, span.end_ns) = (later(span.start_ns, by), span.end_ns.map(|end| later(end, by)));
        move_notes(&mut span.notes, by);
    }
    for visit in &mut moved.visits {
        let by = behind(visit.process_idx);
        (visit.start_ns, visit.end_ns) = (later(visit.start_ns, by), visit.end_ns.map(|end| later(end, by)));
        move_notes(&mut visit.notes, by);
    }
    for edge in &mut moved.open_edges {
        edge.at_ns = later(edge.at_ns, behind(edge.process_idx));
    }
    for (idx, process) in moved.processes.iter_mut().enumerate() {
        if let Some(at_ns) = process.death.as_mut().and_then(|death| death.at_ns.as_mut()) {
            *at_ns = later(*at_ns, behind(idx));
        }
    }
    Cow::Owned(moved)
}

fn later(time: u64, by: u64) -> u64 {
    time.saturating_add(by)
}

fn move_notes(notes: &mut Notes, by: u64) {
    for event in &mut notes.events {
        event.at_ns = later(event.at_ns, by);
    }
    for payload in &mut notes.payloads {
        payload.at_ns = later(payload.at_ns, by);
    }
}

#[cfg(test)]
pub(crate) mod sample;
