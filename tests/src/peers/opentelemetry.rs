//! `opentelemetry_sdk` 0.33.1 with a span processor that discards.
//!
//! Called through [`Peer`]. No batch, no exporter: what is left is the cost of the SDK's own span on the thread that makes it.

use std::time::Duration;

use anyhow::Result;
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor},
};

use super::{CHILDREN, Op, Peer, unsupported};
use crate::bench::threads::{Measurement, per_op};

/// The SDK's tracer, always sampling, with nowhere to send.
#[derive(Debug)]
pub struct OpenTelemetry {
    tracer: SdkTracer,
}

impl Default for OpenTelemetry {
    fn default() -> Self {
        let provider =
            SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOn).with_span_processor(Discard).build();
        Self { tracer: provider.tracer("backsight-tests") }
    }
}

#[derive(Debug)]
struct Discard;

impl SpanProcessor for Discard {
    fn on_start(&self, _span: &mut Span, _context: &Context) {}

    fn on_end(&self, span: SpanData) {
        drop(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Peer for OpenTelemetry {
    fn name(&self) -> &'static str {
        "opentelemetry_sdk"
    }

    fn measures(&self) -> &'static str {
        "opentelemetry_sdk 0.33.1: start_with_context under one parent, and end; always sampled, a processor that drops the span, no \
         batch and no exporter; attr is set_attribute with an integer on a span renewed every 100"
    }

    fn supports(&self, op: Op) -> bool {
        matches!(op, Op::Span | Op::Attr)
    }

    fn measure(&self, op: Op, threads: usize, n: u64) -> Result<Measurement> {
        let parent = || Context::new().with_span(self.tracer.start("parent"));
        match op {
            Op::Span => per_op(threads, n, || {
                let parent = parent();
                move |n| {
                    for _ in 0..n {
                        self.tracer.start_with_context("span", &parent).end();
                    }
                    0.0
                }
            }),
            Op::Attr => per_op(threads, n, || {
                let parent = parent();
                move |n| {
                    let mut left = n;
                    while left > 0 {
                        let n_attrs = left.min(CHILDREN);
                        let mut span = self.tracer.start_with_context("span", &parent);
                        (0..n_attrs).for_each(|value| span.set_attribute(KeyValue::new("key", value as i64)));
                        span.end();
                        left -= n_attrs;
                    }
                    0.0
                }
            }),
            _ => Err(unsupported(self, op)),
        }
    }
}
