//! The trace event format that `chrome://tracing` and many others read.
//!
//! # Source
//! "Trace Event Format" (Google, 2016): complete events `X`, flows `s` and `f`, metadata `M`.

use crate::jaeger::v1::plain;
use crate::rows::{ProcessRow, SpanRow, TraceRows};
use backsight_core::ids::SpanId;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A trace.
///
/// # Shape
/// Times are microseconds from its start. A process is the position of a process plus 1, a thread the one that the span ran on, 0 where nobody said it.
/// Where a span's parent is elsewhere, a flow leads from there.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Events {
    trace_events: Vec<Event>,
    display_time_unit: &'static str,
}

#[derive(Debug, Serialize)]
struct Event {
    ph: &'static str,
    #[serde(serialize_with = "text")]
    name: Arc<str>,
    cat: &'static str,
    pid: usize,
    tid: u32,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'static str>,
    args: BTreeMap<String, Value>,
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl Event {
    fn at(ph: &'static str, row: &SpanRow, ts: f64) -> Self {
        let (pid, tid) = lane(row);
        let name = row.operation.clone();
        Self { ph, name, cat: "span", pid, tid, ts, dur: None, id: None, bp: None, args: BTreeMap::new() }
    }
}

impl Events {
    /// Returns `rows` as events, by start.
    ///
    /// # Cost
    /// Time `n log n`, memory linear in the trace.
    pub fn of(rows: &TraceRows) -> Self {
        let start_ns = rows.interval_ns().map_or(0, |(start, _)| start);
        let us = |ns: u64| ns.saturating_sub(start_ns) as f64 / 1000.0;
        let ids: BTreeMap<SpanId, &SpanRow> = rows.spans.iter().rev().map(|row| (row.id, row)).collect();
        let mut trace_events: Vec<Event> = rows.processes.iter().enumerate().map(process).collect();
        for row in &rows.spans {
            let args = row.attributes.iter().map(|attribute| (attribute.key.to_string(), plain(&attribute.value)));
            let dur = Some(row.duration_ns as f64 / 1000.0);
            trace_events.push(Event { dur, args: args.collect(), ..Event::at("X", row, us(row.start_ns)) });
            let Some(parent) = ids.get(&row.parent).filter(|parent| lane(parent) != lane(row)) else { continue };
            // A flow begins within what it comes from.
            let last_ns = parent.start_ns.saturating_add(parent.duration_ns);
            let from = us(row.start_ns.clamp(parent.start_ns, last_ns));
            let (name, id): (Arc<str>, _) = ("call".into(), Some(row.id.to_string()));
            let flow = |ph: &'static str, of: &SpanRow, ts: f64| Event {
                name: name.clone(),
                cat: "call",
                id: id.clone(),
                ..Event::at(ph, of, ts)
            };
            trace_events.push(flow("s", parent, from));
            trace_events.push(Event { bp: Some("e"), ..flow("f", row, us(row.start_ns)) });
        }
        Self { trace_events, display_time_unit: "ns" }
    }
}

fn lane(row: &SpanRow) -> (usize, u32) {
    (row.process_idx + 1, TraceRows::thread(row).unwrap_or_default())
}

fn process((idx, row): (usize, &ProcessRow)) -> Event {
    let name = row.instance.as_ref().map_or_else(|| row.service.to_string(), |on| format!("{} {on}", row.service));
    Event {
        ph: "M",
        name: "process_name".into(),
        cat: "span",
        pid: idx + 1,
        tid: 0,
        ts: 0.0,
        dur: None,
        id: None,
        bp: None,
        args: BTreeMap::from([("name".to_owned(), name.into())]),
    }
}
