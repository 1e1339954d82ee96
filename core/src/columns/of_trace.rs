//! From an assembled trace to its rows.
//!
//! Called by whoever holds a [`Trace`] and not the rows of a part.

use super::{Columns, Labels, Row, row_flags};
use crate::flat::{Ending, FlatSpan, FlatTrace};
use crate::trace::Trace;

impl Columns {
    /// Returns the rows of `trace`: its flat spans ([`FlatTrace`]) in their order. The host is the text of the agent's id.
    ///
    /// # Cost
    /// That of the flat form, and one label lookup a span.
    pub fn of_trace(trace: &Trace, labels: &mut Labels) -> Self {
        let flat = FlatTrace::of(trace);
        let mut columns = Self::default();
        let mut hosts: Vec<Option<u32>> = vec![None; trace.processes.len()];
        for span in &flat.spans {
            let process_idx = span.part.process_idx();
            let host = hosts.get(process_idx).copied().flatten().unwrap_or_else(|| {
                let agent = trace.processes.get(process_idx).map(|process| process.agent.to_string());
                columns.host(&agent.unwrap_or_default())
            });
            if let Some(known) = hosts.get_mut(process_idx) {
                *known = Some(host);
            }
            columns.push(Row {
                id: span.id,
                parent: span.parent,
                start_ns: span.start_ns,
                end_ns: span.end_ns,
                label: labels.intern(&flat.home(span).service, span.operation(), span.kind()),
                host,
                flags: flags(span),
            });
        }
        columns
    }
}

fn flags(span: &FlatSpan<'_>) -> u32 {
    let flags = [
        (span.ending != Ending::Seen, row_flags::OPEN),
        (span.is_repaired, row_flags::REPAIRED),
        (span.is_visit(), row_flags::VISIT),
    ];
    flags.into_iter().filter(|(is_set, _)| *is_set).fold(0, |flags, (_, flag)| flags | flag)
}
