//! Claims about all forms of one trace: they have the same spans.

use crate::rows::TraceRows;
use backsight_core::columns::{Columns, Labels};
use backsight_core::flat::FlatTrace;
use backsight_core::ids::{AgentId, RegionId, SpanId, TraceId};
use backsight_core::trace::{Death, OpenEdge, ProcessClock, ProcessInfo, Span, Trace, Visit};
use backsight_proto::export::Extras;
use backsight_proto::otlp::ExportRequest;
use backsight_store::batch::BatchFull;
use backsight_store::rows::recorded::{Beside, RowSink, push_recorded};
use backsight_store::rows::{self, ResourceId, SliceRow};
use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};
use serde_json::Value;

const START_NS: u64 = 1_700_000_000_000_000_000;

/// Id, parent, start and end of a span.
type Said = (SpanId, SpanId, u64, u64);

fn any_process() -> impl Strategy<Value = ProcessInfo> {
    let parts = (1_u32..3, 0_u64..3, any::<bool>(), prop::option::of(prop::option::of(0_u64..200)), 0_usize..3);
    parts.prop_map(|(agent, region, is_wall, death, service)| ProcessInfo {
        agent: AgentId(agent),
        region: RegionId(region),
        pid: 42,
        service: ["", "web", "db"][service].into(),
        clock: if is_wall { ProcessClock::Wall } else { ProcessClock::Ticks { first: 0 } },
        death: death.map(|at_ns| Death { at_ns: at_ns.map(|at_ns| START_NS + at_ns), ..Death::default() }),
    })
}

/// Any spans, visits and calls of up to three processes: ids that clash, parents that are not there or each other's, what is open and what is cut.
fn any_trace() -> impl Strategy<Value = Trace> {
    let process = || (0_usize..3, 0_u32..2, 0_u64..100, prop::option::of(0_u64..50));
    let spans = prop::collection::vec((process(), 1_u64..14, 0_u64..20, any::<bool>(), 0_usize..3), 0..20);
    let visits = prop::collection::vec((process(), 0_u64..14, prop::collection::vec(8_u64..20, 0..3)), 0..6);
    let calls = prop::collection::vec((0_usize..3, 0_u64..20, 0_u64..150), 0..4);
    (prop::collection::vec(any_process(), 3), spans, visits, calls).prop_map(|(processes, spans, visits, calls)| {
        let at = |process_idx: usize, ns: u64| match processes[process_idx].clock {
            ProcessClock::Wall => START_NS + ns,
            ProcessClock::Ticks { .. } => ns,
        };
        let is_dead = |process_idx: usize| processes[process_idx].death.is_some();
        let spans = spans.into_iter().map(|((process_idx, tid, start, len), id, parent, is_started, service)| Span {
            id: SpanId(id),
            parent: SpanId(parent),
            name: "work".into(),
            process_idx,
            service: ["", "web", "shop"][service].into(),
            tid,
            start_ns: at(process_idx, start),
            end_ns: len.map(|len| at(process_idx, start + len)),
            is_started,
            is_cut: len.is_none() && is_dead(process_idx),
            ..Span::default()
        });
        let visits = visits.into_iter().map(|((process_idx, tid, start, len), parent, calls)| Visit {
            parent: SpanId(parent),
            process_idx,
            tid,
            start_ns: at(process_idx, start),
            end_ns: len.map(|len| at(process_idx, start + len)),
            is_cut: len.is_none() && is_dead(process_idx),
            calls: calls.into_iter().map(SpanId).collect(),
            ..Visit::default()
        });
        let edges = calls.into_iter().map(|(process_idx, span, ns)| OpenEdge {
            process_idx,
            span: SpanId(span),
            expected: AgentId::NONE,
            at_ns: at(process_idx, ns),
        });
        let (spans, visits, open_edges) = (spans.collect(), visits.collect(), edges.collect());
        Trace { id: TraceId::new(1, 2), spans, visits, open_edges, processes: processes.clone(), ..Trace::default() }
    })
}

fn in_order(spans: impl IntoIterator<Item = Said>) -> Vec<Said> {
    let mut spans: Vec<Said> = spans.into_iter().collect();
    spans.sort_unstable();
    spans
}

fn of_columns(trace: &Trace) -> Vec<Said> {
    let columns = Columns::of_trace(trace, &mut Labels::default());
    in_order(columns.rows().iter().map(|row| (row.id, row.parent, row.start_ns, row.end_ns)))
}

fn of_query(trace: &Trace) -> Vec<Said> {
    let rows = TraceRows::recorded(trace, Extras::default());
    in_order(rows.spans.iter().map(|row| (row.id, row.parent, row.start_ns, row.start_ns + row.duration_ns)))
}

fn of_otlp(trace: &Trace) -> Vec<Said> {
    let request = serde_json::to_value(ExportRequest::new(trace, Extras::default())).unwrap();
    let lists = |of: &Value, key: &str| of[key].as_array().unwrap().clone();
    let resources = lists(&request, "resourceSpans");
    let scopes = resources.iter().flat_map(|resource| lists(resource, "scopeSpans"));
    let spans = scopes.flat_map(|scope| lists(&scope, "spans"));
    let id = |of: &Value| SpanId(of.as_str().map_or(0, |id| u64::from_str_radix(id, 16).unwrap()));
    let time = |of: &Value| of.as_str().unwrap().parse().unwrap();
    in_order(spans.map(|span| {
        let times = (time(&span["startTimeUnixNano"]), time(&span["endTimeUnixNano"]));
        (id(&span["spanId"]), id(&span["parentSpanId"]), times.0, times.1)
    }))
}

/// What was put into a part.
#[derive(Default)]
struct Part {
    n_resources: u32,
    spans: Vec<Said>,
    n_slices: usize,
}

impl RowSink for Part {
    fn resource(&mut self, _: &[rows::Attribute<'_>]) -> Result<ResourceId, BatchFull> {
        self.n_resources += 1;
        Ok(ResourceId(self.n_resources - 1))
    }

    fn span(&mut self, span: &rows::SpanRow<'_>) -> Result<(), BatchFull> {
        assert!(span.resource.0 < self.n_resources);
        let end_ns = (span.start_ns + span.duration_ns) as u64;
        self.spans.push((span.id, span.parent.unwrap_or_default(), span.start_ns as u64, end_ns));
        Ok(())
    }

    fn slice(&mut self, _: &SliceRow<'_>) -> Result<(), BatchFull> {
        self.n_slices += 1;
        Ok(())
    }
}

proptest! {
    /// For any trace: rows of comparisons, of searches, of parts, and OTLP have the same spans with the same parents, starts and ends.
    #[test]
    fn all_forms_of_a_trace_have_the_same_spans(trace in any_trace()) {
        let flat = FlatTrace::of(&trace);
        let want = in_order(flat.spans.iter().map(|span| (span.id, span.parent, span.start_ns, span.end_ns)));
        prop_assert_eq!(&of_columns(&trace), &want);
        prop_assert_eq!(&of_query(&trace), &want);
        prop_assert_eq!(&of_otlp(&trace), &want);
        let mut part = Part::default();
        push_recorded(&mut part, &trace, Beside { host: &|_| None, sampling_weight: 1.0, flags: 0 }).unwrap();
        prop_assert_eq!((in_order(part.spans), part.n_slices), (want, trace.visits.len()));
    }
}
