//! A table: one line a span.
//!
//! # Source
//! RFC 4180.

use crate::jaeger::v1::Tag;
use crate::rows::TraceRows;
use backsight_core::record::SpanKind;
use std::fmt::Write as _;

/// What the columns are called.
const HEAD: &str =
    "trace_id,span_id,parent_span_id,service,operation,kind,status,start_ns,duration_ns,host,process,attributes";

/// Returns the spans of `rows`, by start, below a line of names. Attributes are JSON.
pub fn export(rows: &TraceRows) -> String {
    let mut table = format!("{HEAD}\r\n");
    for row in &rows.spans {
        let process = rows.processes.get(row.process_idx);
        let tags: Vec<_> =
            row.attributes.iter().map(|of| Tag { key: of.key.clone(), value: (&of.value).into() }).collect();
        let cells = [
            rows.id.to_string(),
            row.id.to_string(),
            if row.parent.is_none() { String::new() } else { row.parent.to_string() },
            rows.service(row).to_owned(),
            row.operation.to_string(),
            row.kind.map_or("", SpanKind::name).to_owned(),
            row.status.name().to_owned(),
            row.start_ns.to_string(),
            row.duration_ns.to_string(),
            process.and_then(|process| process.host.as_deref()).unwrap_or_default().to_owned(),
            process.and_then(|process| process.instance.as_deref()).unwrap_or_default().to_owned(),
            serde_json::to_string(&tags).unwrap_or_default(), // texts and numbers can always be written
        ];
        for (idx, cell) in cells.iter().enumerate() {
            let between = if idx == 0 { "" } else { "," };
            let _ = write!(table, "{between}{}", quoted(cell)); // writing to a String does not fail
        }
        table.push_str("\r\n");
    }
    table
}

/// Returns a cell as it stands in a line.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}
