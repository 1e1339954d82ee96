//! Claims about the ledger: each span is counted once, decisions come when they are due, and what is bounded stays so.

use super::{Kept, Ledger, Limits, Policy, Summary};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::prelude::*;
use prost::Message as _;
use std::collections::BTreeMap;
use std::time::Duration;

const TAIL: Policy = Policy::Tail { wait: Duration::from_secs(30), slow: Duration::from_millis(50) };

/// A server span of `a` that took `ms`, or one with an error.
fn span(trace: u128, ms: u64, is_error: bool) -> Span {
    Span {
        trace_id: trace.to_be_bytes().to_vec(),
        name: "a/get".to_owned(),
        kind: 2,
        start_time_unix_nano: 5,
        end_time_unix_nano: 5 + ms * 1_000_000,
        status: is_error.then(|| Status { code: 2, message: String::new() }),
        ..Span::default()
    }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

/// A trace that was kept, and its visits by service.
type Line = (u128, BTreeMap<String, u64>);

/// A ledger, and the lines that it wrote.
struct Run {
    ledger: Ledger,
    kept: Vec<Line>,
}

impl Run {
    fn new(policy: Policy, traces_max: usize) -> Self {
        Self { ledger: Ledger::new(policy, Limits { traces_max }), kept: Vec::new() }
    }

    fn add(&mut self, second: u64, spans: Vec<Span>) {
        let kept = &mut self.kept;
        self.ledger.add(Duration::from_secs(second), &request(spans), |line| kept.push(owned(line)));
    }

    fn finish(mut self) -> (Summary, Vec<Line>) {
        let kept = &mut self.kept;
        self.ledger.finish(|line| kept.push(owned(line)));
        assert_eq!(self.ledger.held_bytes, 0);
        (self.ledger.summary(), self.kept)
    }
}

fn owned(kept: Kept<'_>) -> Line {
    (kept.trace, kept.visits.map(|(service, n)| (service.to_owned(), n)).collect())
}

fn visits(n: u64) -> BTreeMap<String, u64> {
    BTreeMap::from([("a".to_owned(), n)])
}

#[test]
fn a_plain_sink_keeps_all_that_comes() {
    let mut run = Run::new(Policy::All, 2);
    run.add(0, vec![span(1, 1, false), span(2, 1, true), span(1, 1, false)]);
    run.add(1, vec![span(3, 1, false), Span { kind: 3, ..span(3, 1, false) }]);
    let bytes = [
        vec![span(1, 1, false), span(2, 1, true), span(1, 1, false)],
        vec![span(3, 1, false), Span { kind: 3, ..span(3, 1, false) }],
    ];
    let bytes: u64 = bytes.map(|spans| request(spans).encoded_len() as u64).iter().sum();
    let (summary, kept) = run.finish();
    assert_eq!(kept, [(1, visits(2)), (2, visits(1)), (3, visits(1))]);
    assert_eq!(summary, Summary { spans: 5, traces: 3, bytes, requests: 2, kept: 3, ..Summary::default() });
}

#[test]
fn a_plain_sink_keeps_more_traces_than_it_knows_at_a_time() {
    let mut run = Run::new(Policy::All, 1);
    run.add(0, vec![span(1, 1, false), span(2, 1, false), span(1, 1, false)]);
    let (summary, kept) = run.finish();
    assert_eq!(kept, [(1, visits(1)), (2, visits(1)), (1, visits(1))]);
    assert_eq!((summary.traces, summary.kept, summary.dropped), (3, 3, 0));
}

#[test]
fn the_model_keeps_errors_and_slow_traces_when_their_wait_is_over() {
    let mut run = Run::new(TAIL, 10);
    run.add(0, vec![span(1, 1, false), span(2, 1, true), span(3, 49, false), span(4, 50, false)]);
    run.add(29, vec![span(1, 1, false), span(3, 1, true)]);
    run.ledger.tick(Duration::from_secs(29));
    assert_eq!(run.ledger.summary().kept, 0);
    run.ledger.tick(Duration::from_secs(30));
    assert_eq!((run.ledger.summary().kept, run.ledger.summary().not_kept), (3, 1));
    // What comes late goes where the decision sent the rest, and changes nothing about it.
    run.add(31, vec![span(1, 99, true), span(2, 1, false)]);
    let (summary, kept) = run.finish();
    assert_eq!(kept, [(2, visits(2)), (3, visits(2)), (4, visits(1))]);
    assert_eq!((summary.late_spans, summary.dropped, summary.kept, summary.not_kept), (1, 0, 3, 1));
    assert!(summary.is_tail_model && summary.held_bytes_max > 0);
}

#[test]
fn the_oldest_makes_room_decided_or_not() {
    let mut run = Run::new(TAIL, 2);
    run.add(0, vec![span(1, 1, true), span(2, 1, true)]);
    run.add(1, vec![span(3, 1, true)]); // 1 goes undecided
    run.add(40, vec![span(4, 1, true)]); // 2 and 3 are decided, 2 goes
    let (summary, kept) = run.finish();
    assert_eq!(kept, [(2, visits(1)), (3, visits(1)), (4, visits(1))]);
    assert_eq!((summary.traces, summary.dropped, summary.kept), (4, 1, 3));
}

#[test]
fn spans_without_a_trace_and_of_too_many_services_are_counted_apart() {
    let mut run = Run::new(Policy::All, 10);
    let nameless = Span { trace_id: vec![1, 2], ..span(1, 1, false) };
    run.add(0, vec![nameless, span(0, 1, false)]);
    let many = (0..super::SERVICES_MAX + 3).map(|n| Span { name: format!("s{n}/get"), ..span(7, 1, false) });
    run.add(0, many.collect());
    let (summary, kept) = run.finish();
    // `a` of the first two has taken one of the places.
    assert_eq!((summary.unreadable_spans, kept[0].1.len()), (2 + 4, super::SERVICES_MAX - 1));
}

proptest! {
    /// For all traffic: every span is in a line, was late, or went with a trace that was dropped or not kept; each trace ends once.
    #[test]
    fn every_trace_ends_once_and_memory_stays_bounded(
        steps in prop::collection::vec((0..20_u64, prop::collection::vec((1..12_u128, 0..80_u64, any::<bool>()), 0..6)), 0..30),
        traces_max in 1..8_usize,
        is_tail: bool,
    ) {
        let mut run = Run::new(if is_tail { TAIL } else { Policy::All }, traces_max);
        let (mut now, mut n_spans) = (0, 0);
        for (later, spans) in steps {
            now += later;
            n_spans += spans.len() as u64;
            run.add(now, spans.into_iter().map(|(trace, ms, is_error)| span(trace, ms, is_error)).collect());
            prop_assert!(run.ledger.traces.len() <= traces_max && run.ledger.order.len() == run.ledger.traces.len());
            prop_assert!(run.ledger.n_decided <= run.ledger.order.len());
        }
        let (summary, kept) = run.finish();
        prop_assert_eq!(summary.spans, n_spans);
        prop_assert_eq!(summary.kept + summary.not_kept + summary.dropped, summary.traces);
        prop_assert_eq!(kept.len() as u64, summary.kept);
        let n_kept: u64 = kept.iter().flat_map(|(_, visits)| visits.values()).sum();
        prop_assert!(n_kept + summary.late_spans <= n_spans);
        if !is_tail {
            prop_assert_eq!(n_kept, n_spans);
        }
    }
}
