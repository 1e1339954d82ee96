//! Claims about the peers: what they decide, where, and that their context goes along with a request.

use super::{Headers, HeadersMut, sampler};
use crate::tracer::TracerKind;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SamplingDecision, ShouldSample as _};
use tonic::metadata::MetadataMap;

fn parent(trace: u128, is_sampled: bool) -> Context {
    let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let (trace, span) = (TraceId::from(trace), SpanId::from(7));
    Context::new().with_remote_span_context(SpanContext::new(trace, span, flags, true, TraceState::NONE))
}

fn is_recorded(kind: TracerKind, is_entry: bool, trace: u128, is_sampled: bool) -> bool {
    let parent = parent(trace, is_sampled);
    let sampler = sampler(kind, is_entry);
    let result = sampler.should_sample(Some(&parent), TraceId::from(trace), "a/get", &SpanKind::Server, &[], &[]);
    result.decision == SamplingDecision::RecordAndSample
}

#[test]
fn head_sampling_decides_at_the_entry_and_the_parent_from_there_on() {
    let trace = |n: u64| u128::from(crate::hash::scatter(n)) << 64 | u128::from(crate::hash::scatter(!n));
    let n_recorded = (0..20_000).filter(|n| is_recorded(TracerKind::OtelHead, true, trace(*n), true)).count();
    assert!((100..300).contains(&n_recorded), "{n_recorded} of 20000");
    for n in 0..1000 {
        assert!(is_recorded(TracerKind::OtelHead, false, trace(n), true));
        assert!(!is_recorded(TracerKind::OtelHead, false, trace(n), false));
        assert!(is_recorded(TracerKind::OtelTailModel, true, trace(n), true));
        assert!(is_recorded(TracerKind::OtelTailModel, false, trace(n), true));
    }
}

#[test]
fn the_context_goes_along_with_a_request() {
    let propagator = TraceContextPropagator::new();
    let mut headers = MetadataMap::new();
    propagator.inject_context(&parent(0xabc, true), &mut HeadersMut(&mut headers));
    let text = headers.get("traceparent").unwrap().to_str().unwrap();
    assert_eq!(text, "00-00000000000000000000000000000abc-0000000000000007-01");
    assert!(headers.get("tracestate").is_none());
    let context = propagator.extract_with_context(&Context::new(), &Headers(&headers));
    let span = context.span();
    assert_eq!(span.span_context().trace_id(), TraceId::from(0xabc));
    assert!(span.span_context().is_sampled() && span.span_context().is_remote());
}
