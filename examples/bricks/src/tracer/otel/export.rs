//! The way of spans out of a service: the SDK's batching processor and its OTLP exporter, with a count at both ends.
//!
//! Called by [`super`]. The processor itself counts what it drops, but tells nobody.

use anyhow::{Context as _, Result};
use opentelemetry::Context;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{SpanExporter, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfig, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanProcessor,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// What the SDK's processor holds at most by default: its queue, and the batch that is on its way.
const HELD_MAX: u64 = 2048 + 512;

/// The way of the spans of one service.
#[derive(Clone, Debug)]
pub(super) struct Exporting {
    provider: SdkTracerProvider,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    ended: AtomicU64,
    exported: AtomicU64,
}

/// Returns a tracer for `service`, whose spans go to `channel`; inside a runtime, on which they are sent.
pub(super) fn start(service: &str, sampler: Sampler, channel: Channel) -> Result<(SdkTracer, Exporting)> {
    let inner = SpanExporter::builder().with_tonic().with_channel(channel).build().context("the exporter")?;
    let counts = Arc::new(Counts::default());
    let exporter = Counted { inner, counts: Arc::clone(&counts) };
    let inner = BatchSpanProcessor::new(exporter, BatchConfig::default());
    let processor = Counted { inner, counts: Arc::clone(&counts) };
    let resource = Resource::builder().with_service_name(service.to_owned()).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_sampler(sampler)
        .with_resource(resource)
        .build();
    Ok((provider.tracer("bricks"), Exporting { provider, counts }))
}

/// Stops all, one after another, within `timeout`; returns how many spans never arrived.
///
/// # Cost
/// Blocks. The runtime of [`start`] has to run meanwhile.
pub(super) fn stop(all: Vec<Exporting>, timeout: Duration) -> u64 {
    let end = Instant::now() + timeout;
    for exporting in &all {
        // Whatever goes wrong shows as spans that did not arrive.
        let _ = exporting.provider.shutdown_with_timeout(end.saturating_duration_since(Instant::now()));
    }
    all.iter().map(|exporting| exporting.counts.not_exported()).sum()
}

impl Exporting {
    /// Returns how many spans were dropped for sure: what cannot still be on its way.
    pub(super) fn dropped_at_least(&self) -> u64 {
        self.counts.not_exported().saturating_sub(HELD_MAX)
    }
}

impl Counts {
    fn not_exported(&self) -> u64 {
        let exported = self.exported.load(Ordering::Relaxed); // counts that are read for people
        self.ended.load(Ordering::Relaxed).saturating_sub(exported)
    }
}

/// A processor or an exporter that counts what passes.
#[derive(Debug)]
struct Counted<T> {
    inner: T,
    counts: Arc<Counts>,
}

impl<T: SpanProcessor> SpanProcessor for Counted<T> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if span.span_context.is_sampled() {
            self.counts.ended.fetch_add(1, Ordering::Relaxed); // a count; nothing is ordered by it
        }
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<T: opentelemetry_sdk::trace::SpanExporter> opentelemetry_sdk::trace::SpanExporter for Counted<T> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let n = batch.len() as u64;
        let exported = self.inner.export(batch).await;
        if exported.is_ok() {
            self.counts.exported.fetch_add(n, Ordering::Relaxed); // a count; nothing is ordered by it
        }
        exported
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}
