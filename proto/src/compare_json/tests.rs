//! Claims about comparisons as JSON: what is shown sums to the whole, and clocks are corrected before anything is compared.

use super::CompareJson;
use crate::export::sample::{START_NS, trace};
use backsight_core::ids::{AgentId, RegionId, SpanId, TraceId};
use backsight_core::record::SpanKind;
use backsight_core::trace::{ProcessInfo, Span, Trace};
use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};

/// A call from host 1 to host 2, whose clock is `ahead_ns` ahead; the callee takes `took_ns`.
fn call(ahead_ns: u64, took_ns: u64) -> Trace {
    let process = |agent| ProcessInfo {
        agent: AgentId(agent),
        region: RegionId(1),
        service: format!("service-{agent}").into(),
        ..ProcessInfo::default()
    };
    let span = |id, parent, kind, process_idx, start, took| Span {
        id: SpanId(id),
        parent: SpanId(parent),
        name: "pay".into(),
        kind,
        process_idx,
        start_ns: START_NS + start,
        end_ns: Some(START_NS + start + took),
        is_started: true,
        ..Span::default()
    };
    Trace {
        id: TraceId::new(1, took_ns),
        processes: vec![process(1), process(2)],
        spans: vec![
            span(1, 0, SpanKind::Server, 0, 0, 300 + took_ns),
            span(2, 1, SpanKind::Client, 0, 100, 100 + took_ns),
            span(3, 2, SpanKind::Server, 1, 150 + ahead_ns, took_ns),
        ],
        ..Trace::default()
    }
}

#[test]
fn a_trace_and_itself_do_not_differ() {
    let compared = CompareJson::of(&trace(), &trace(), 10);
    assert!(compared.rows.is_empty() && compared.delta_ns == 0 && compared.rest.n_rows == 0, "{compared:?}");
    assert_eq!(compared.a, compared.b);
}

#[test]
fn the_callee_that_took_longer_is_named_also_where_its_clock_is_wrong() {
    let compared = CompareJson::of(&call(0, 1_000), &call(5_000_000, 9_000), 10);
    assert_eq!((compared.delta_ns, compared.rows.len()), (8_000, 1), "{compared:?}");
    let row = &compared.rows[0];
    let path: Vec<_> = row.path_b.iter().map(|step| (&*step.service, &*step.operation)).collect();
    assert_eq!(path, [("service-1", "pay"), ("service-1", "pay"), ("service-2", "pay")]);
    assert_eq!((&*row.change, row.delta_ns, row.critical_a_ns, row.critical_b_ns), ("same", 8_000, 1_000, 9_000));
    assert_eq!((&*row.span_a, &*row.span_b), ("0000000000000003", "0000000000000003"));
    assert!(compared.a.clocks.is_empty());
    let clock = &compared.b.clocks[0];
    assert_eq!((&*clock.host, clock.added_ns, clock.is_too_far), (&*AgentId(2).to_string(), -5_000_000, false));
}

proptest! {
    /// For all traces and any number of rows that are shown: these and the rest sum to the difference, and the JSON reads back as it was.
    #[test]
    fn what_is_shown_sums_to_the_whole(
        calls in prop::collection::vec((0_u64..10_000_000, 0_u64..1_000_000), 2),
        drop in 0_usize..3,
        n_rows in 0_usize..4,
    ) {
        let (a, mut b) = (call(calls[0].0, calls[0].1), call(calls[1].0, calls[1].1));
        b.spans.remove(drop);
        let compared = CompareJson::of(&a, &b, n_rows);
        prop_assert!(compared.rows.len() <= n_rows);
        let shown: i64 = compared.rows.iter().map(|row| row.delta_ns).sum();
        prop_assert_eq!(shown + compared.rest.delta_ns, compared.delta_ns);
        let text = serde_json::to_string(&compared).unwrap();
        prop_assert_eq!(serde_json::from_str::<CompareJson>(&text).unwrap(), compared);
    }
}
