//! Perfetto's native format, made of rows by way of the trace that `proto` exports.

use crate::rows::{EventRow, ProcessRow, SpanRow, TraceRows, value_of};
use backsight_core::ids::{AgentId, RegionId};
use backsight_core::trace::{AttributeValue, Event, Notes, ProcessInfo, Span, Trace};
use backsight_proto::export::Extras;
use std::collections::BTreeMap;

/// Returns `rows` as a Perfetto trace; see [`backsight_proto::perfetto::export`].
pub fn export(rows: &TraceRows) -> Vec<u8> {
    let processes: Vec<_> = rows.processes.iter().enumerate().map(process).collect();
    let hosts = rows.processes.iter().zip(&processes);
    let hosts = hosts.filter_map(|(row, process)| Some((process.agent, row.host.as_deref()?.to_owned())));
    let hosts: BTreeMap<AgentId, String> = hosts.collect();
    let trace = Trace { id: rows.id, spans: rows.spans.iter().map(span).collect(), processes, ..Trace::default() };
    backsight_proto::perfetto::export(&trace, Extras { certificate: None, hosts: Some(&hosts) })
}

/// Returns a process; one of which no agent told has no agent, and its position for a region.
fn process((idx, row): (usize, &ProcessRow)) -> ProcessInfo {
    let said = |key: &str| match value_of(&row.attributes, key) {
        Some(AttributeValue::Str(text)) => Some(&**text),
        _ => None,
    };
    let pid = match value_of(&row.attributes, "process.pid") {
        Some(AttributeValue::I64(pid)) => u32::try_from(*pid).unwrap_or_default(),
        _ => 0,
    };
    let agent = said("backsight.agent").and_then(|agent| agent.parse().ok()).unwrap_or(AgentId::NONE);
    let region = said("backsight.region").and_then(|region| region.parse().ok()).unwrap_or(idx as u64);
    ProcessInfo { agent, region: RegionId(region), pid, service: row.service.clone(), ..ProcessInfo::default() }
}

fn span(row: &SpanRow) -> Span {
    let event = |row: &EventRow| Event {
        at_ns: row.at_ns,
        name: row.name.clone(),
        message: "".into(), // among the attributes, where there is one
        attributes: row.attributes.clone(),
    };
    Span {
        id: row.id,
        parent: row.parent,
        name: row.operation.clone(),
        kind: row.kind.unwrap_or_default(),
        process_idx: row.process_idx,
        tid: TraceRows::thread(row).unwrap_or_default(),
        start_ns: row.start_ns,
        end_ns: Some(row.start_ns.saturating_add(row.duration_ns)),
        is_started: true,
        status: row.status,
        status_text: row.status_message.clone(),
        links: row.links.clone(),
        notes: Notes {
            attributes: row.attributes.clone(),
            events: row.events.iter().map(event).collect(),
            payloads: Vec::new(),
        },
        ..Span::default()
    }
}
