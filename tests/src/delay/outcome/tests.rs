//! Claims about what a request counts as.

use super::{Outcome, fault_of};
use crate::delay::hosts::service;
use backsight_core::certificate::{Certificate, Gap, GapKind, Verdict};
use backsight_core::ids::AgentId;
use backsight_core::trace::{ProcessInfo, Span, Trace};
use backsight_proto::wire::StoredTrace;

fn span(host: usize, name: &str) -> Span {
    Span { process_idx: host, name: name.into(), is_started: true, start_ns: 1, end_ns: Some(2), ..Span::default() }
}

fn whole() -> Trace {
    let served = (0..3).map(|host| span(host, "serve"));
    let process = |host| ProcessInfo { service: service(host).into(), ..ProcessInfo::default() };
    Trace {
        processes: (0..3).map(process).collect(),
        spans: served.chain((0..2).map(|host| span(host, "call"))).collect(),
        ..Trace::default()
    }
}

fn stored(verdict: Verdict, kinds: &[GapKind]) -> StoredTrace {
    let gaps = kinds.iter().map(|kind| Gap { kind: *kind, agent: AgentId::NONE, n: 1 }).collect();
    StoredTrace { certificate: Certificate { verdict, gaps, ..Certificate::default() }, ..StoredTrace::default() }
}

#[test]
fn a_trace_is_whole_with_each_span_once_and_ended() {
    assert_eq!(fault_of(&whole()), None);
    for idx in 0..5 {
        let mut without = whole();
        without.spans.remove(idx);
        assert!(fault_of(&without).is_some(), "without span {idx}");
        let mut twice = whole();
        twice.spans.push(twice.spans[idx].clone());
        assert!(fault_of(&twice).is_some(), "span {idx} twice");
        let mut cut = whole();
        cut.spans[idx].end_ns = None;
        assert!(fault_of(&cut).is_some(), "span {idx} without its end");
    }
}

#[test]
fn what_is_called_complete_and_lacks_something_is_a_false_promise() {
    let outcome = Outcome::of(Some(&stored(Verdict::Complete, &[])));
    assert!(matches!(outcome, Outcome::FalseComplete(_)), "{outcome:?}");
}

#[test]
fn only_a_certificate_that_names_the_eviction_counts_as_evicted() {
    let of = |verdict, kinds: &[GapKind]| Outcome::of(Some(&stored(verdict, kinds)));
    assert_eq!(of(Verdict::Partial, &[GapKind::Evicted, GapKind::OneEnded]), Outcome::Evicted);
    assert_eq!(of(Verdict::Partial, &[GapKind::Loss]), Outcome::Unexplained("partial: loss".to_owned()));
    assert_eq!(of(Verdict::Unknown, &[GapKind::Evicted]), Outcome::Unexplained("unknown: evicted".to_owned()));
    assert_eq!(Outcome::of(None), Outcome::Nothing);
}
