//! From rows as they are answered to the rows of the algorithms: critical path, comparison, clocks.
//!
//! Called by the endpoints that ask these; the counterpart of [`Columns::of_trace`] for traces that are rows.

use super::{ProcessRow, Source, SpanRow, TraceRows, value_of};
use backsight_core::columns::{Columns, Labels, Row, row_flags};
use backsight_core::ids::SpanId;
use backsight_core::trace::AttributeValue;
use std::collections::{BTreeMap, BTreeSet};

/// What a visit is called.
const VISIT: &str = "visit";

/// A thread, and the span for which it works.
type Place = (usize, u32, SpanId);

/// Returns the rows of `rows`, in their order.
///
/// # Shape
/// The host is the process's, else what tells the process from others. A visit that has spans is left out: they say what it says; where spans of others
/// hang under it, its own do, too.
/// # Cost
/// Time `n log n`, one label lookup a span.
pub fn columns_of(rows: &TraceRows, labels: &mut Labels) -> Columns {
    let visits = Visits::of(rows);
    let mut columns = Columns::default();
    for span in &rows.spans {
        let is_visit = is_visit(span);
        if is_visit && visits.is_left_out(span) {
            continue;
        }
        let process = rows.processes.get(span.process_idx);
        let parent = if is_visit { span.parent } else { visits.around(span).unwrap_or(span.parent) };
        let label = labels.intern(rows.service(span), &span.operation, span.kind.unwrap_or_default());
        let host = columns.host(host(process));
        let end_ns = span.start_ns.saturating_add(span.duration_ns);
        columns.push(Row {
            id: span.id,
            parent,
            start_ns: span.start_ns,
            end_ns,
            label,
            host,
            flags: flags(span, process),
        });
    }
    columns
}

fn host(process: Option<&ProcessRow>) -> &str {
    process.and_then(|process| process.host.as_deref().or(process.instance.as_deref())).unwrap_or_default()
}

fn flags(span: &SpanRow, process: Option<&ProcessRow>) -> u32 {
    let is_said = |key: &str| value_of(&span.attributes, key) == Some(&AttributeValue::Bool(true));
    let has_ticks = process.is_none_or(|process| value_of(&process.attributes, "backsight.clock").is_some());
    let mut flags = 0;
    if is_said("backsight.open") || is_said("backsight.cut") {
        flags |= row_flags::OPEN;
    }
    if has_ticks || is_said("backsight.start_lost") {
        flags |= row_flags::REPAIRED;
    }
    if is_visit(span) {
        flags |= row_flags::VISIT;
    }
    flags
}

fn is_visit(span: &SpanRow) -> bool {
    span.source == Source::Recorder && &*span.operation == VISIT && TraceRows::thread(span).is_some()
}

fn place(span: &SpanRow) -> Place {
    (span.process_idx, TraceRows::thread(span).unwrap_or_default(), span.parent)
}

/// The visits among the rows, and the spans that stand in them.
struct Visits {
    /// Starts of spans.
    starts: BTreeSet<(Place, u64)>,
    /// Visits under which others hang, by place and start: their end and id.
    callers: BTreeMap<(Place, u64), (u64, SpanId)>,
}

impl Visits {
    fn of(rows: &TraceRows) -> Self {
        let parents: BTreeSet<SpanId> = rows.spans.iter().map(|span| span.parent).collect();
        let (visits, spans): (Vec<_>, Vec<_>) = rows.spans.iter().partition(|span| is_visit(span));
        let callers = visits.into_iter().filter(|visit| parents.contains(&visit.id));
        let end_ns = |visit: &SpanRow| visit.start_ns.saturating_add(visit.duration_ns);
        Self {
            starts: spans.into_iter().map(|span| (place(span), span.start_ns)).collect(),
            callers: callers.map(|visit| ((place(visit), visit.start_ns), (end_ns(visit), visit.id))).collect(),
        }
    }

    fn is_left_out(&self, visit: &SpanRow) -> bool {
        let (place, start_ns) = (place(visit), visit.start_ns);
        let end_ns = start_ns.saturating_add(visit.duration_ns);
        let has_span = self.starts.range((place, start_ns)..=(place, end_ns)).next().is_some();
        has_span && !self.callers.contains_key(&(place, start_ns))
    }

    /// Returns the visit in which a span stands, where others hang under that.
    fn around(&self, span: &SpanRow) -> Option<SpanId> {
        let place = place(span);
        let around = self.callers.range((place, 0)..=(place, span.start_ns)).next_back();
        around.filter(|(_, (end_ns, _))| span.start_ns <= *end_ns).map(|(_, (_, id))| *id)
    }
}
