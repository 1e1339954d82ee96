//! OpenTelemetry, as the peers of Backsight use it: head sampling, and everything for a model of tail sampling.
//!
//! Each service has a tracer provider, with its own name as `service.name`, its own queue and its own exporting thread, as it would have in a
//! process of its own; those of one process share a connection to the sink. Queues, batches and delays are the SDK's defaults.

mod export;

use super::{CallEnd, Recorded, Setup, Tracer, TracerKind, VisitEnd, attribute};
use crate::plan::{Place, Plan};
use crate::rpc::VisitRequest;
use anyhow::{Context as _, Result};
use export::Exporting;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator as _};
use opentelemetry::trace::{SpanKind, Status as SpanStatus, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer};
use std::future::Future;
use std::time::Duration;
use tonic::metadata::{KeyRef, MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::Endpoint;

/// The share of requests that head sampling records.
const HEAD_SHARE: f64 = 0.01;
/// How long the exporters may take to hand over what they hold.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(4);

/// Records with OpenTelemetry.
#[derive(Debug)]
pub(crate) struct Otel {
    /// The services by their position, `None` for those of other processes.
    services: Vec<Option<Service>>,
    /// What spans say of every service, also of those that are called elsewhere.
    names: Vec<Names>,
    propagator: TraceContextPropagator,
    process: String,
}

/// A service of this process.
#[derive(Debug)]
struct Service {
    tracer: SdkTracer,
    exporting: Exporting,
}

/// The names of a service and of its APIs' spans, as long-lived as the process, which makes them once.
#[derive(Debug)]
struct Names {
    service: &'static str,
    spans: Vec<&'static str>,
}

/// A visit under way: its context, with the server span in it.
#[derive(Debug)]
pub(crate) struct Visit {
    context: Context,
    service_idx: u16,
}

impl Otel {
    fn span_name(&self, place: Place) -> &'static str {
        self.names[usize::from(place.service_idx)].spans[usize::from(place.api_idx)] // places come from the plan
    }

    /// Starts a span of service `service_idx`, which this process hosts, and returns `parent` with it.
    fn start_span(
        &self,
        service_idx: u16,
        (name, kind): (&'static str, SpanKind),
        attributes: Vec<KeyValue>,
        parent: &Context,
    ) -> Context {
        let Some(service) = &self.services[usize::from(service_idx)] else { return parent.clone() };
        let span = service.tracer.span_builder(name).with_kind(kind).with_attributes(attributes);
        parent.with_span(span.start_with_context(&service.tracer, parent))
    }
}

impl Tracer for Otel {
    type Scope = Context;
    type Visit = Visit;
    type Call = Context;

    fn start(setup: Setup<'_>) -> Result<Self> {
        let sink = setup.sink.context("there is no sink to send spans to")?;
        let endpoint = Endpoint::from_shared(format!("http://{sink}")).with_context(|| format!("sink `{sink}`"))?;
        let channel = endpoint.timeout(opentelemetry_otlp::OTEL_EXPORTER_OTLP_TIMEOUT_DEFAULT).connect_lazy();
        let mut services: Vec<Option<Service>> = setup.plan.services.iter().map(|_| None).collect();
        for idx in &setup.process.service_idxs {
            let name = &setup.plan.services[usize::from(*idx)].name;
            let sampler = sampler(setup.kind, *idx == setup.plan.entry.service_idx);
            let (tracer, exporting) = export::start(name, sampler, channel.clone())?;
            services[usize::from(*idx)] = Some(Service { tracer, exporting });
        }
        let names = names(setup.plan);
        Ok(Self { services, names, propagator: TraceContextPropagator::new(), process: setup.process.name.clone() })
    }

    fn arrive(&self, place: Place, headers: &MetadataMap, request: &VisitRequest) -> (Context, Visit) {
        let parent = self.propagator.extract_with_context(&Context::new(), &Headers(headers));
        let attributes = vec![
            KeyValue::new(attribute::RPC_SYSTEM, attribute::RPC_SYSTEM_VALUE),
            KeyValue::new(attribute::PATH, request.path.cast_signed()),
            KeyValue::new(attribute::PAYLOAD_BYTES, request.payload.len() as i64),
        ];
        let what = (self.span_name(place), SpanKind::Server);
        let context = self.start_span(place.service_idx, what, attributes, &parent);
        (context.clone(), Visit { context, service_idx: place.service_idx })
    }

    fn within<F: Future + Send>(scope: Context, work: F) -> impl Future<Output = F::Output> + Send {
        opentelemetry::context::FutureExt::with_context(work, scope)
    }

    fn depart(&self, visit: &mut Visit, place: Place, headers: &mut MetadataMap) -> Context {
        let peer = self.names[usize::from(place.service_idx)].service;
        let attributes = vec![
            KeyValue::new(attribute::RPC_SYSTEM, attribute::RPC_SYSTEM_VALUE),
            KeyValue::new(attribute::PEER_SERVICE, peer),
        ];
        let what = (self.span_name(place), SpanKind::Client);
        let context = self.start_span(visit.service_idx, what, attributes, &visit.context);
        self.propagator.inject_context(&context, &mut HeadersMut(headers));
        context
    }

    fn returned(&self, _: &mut Visit, call: Context, end: &CallEnd<'_>) {
        match end {
            CallEnd::Answered(_) => {}
            CallEnd::Refused(status) | CallEnd::Lost(status) | CallEnd::Unsent(status) => {
                call.span().set_status(SpanStatus::error(status.message().to_owned()));
            }
        }
        call.span().end();
    }

    fn leave(&self, visit: Visit, end: &VisitEnd<'_>, _: &mut MetadataMap) {
        if let Some(status) = end.error {
            visit.context.span().set_status(SpanStatus::error(status.message().to_owned()));
        }
        visit.context.span().end();
    }

    fn recorded(&self) -> Option<Recorded> {
        let dropped = self.services.iter().flatten().map(|service| service.exporting.dropped_at_least()).sum();
        Some(Recorded { bytes_written: None, dropped }) // the sink counts bytes
    }

    async fn stop(&self) {
        // Exporters are waited for on a thread of its own: they need this runtime to get rid of what they hold.
        let exporting: Vec<Exporting> =
            self.services.iter().flatten().map(|service| service.exporting.clone()).collect();
        let stopped = tokio::task::spawn_blocking(move || export::stop(exporting, FLUSH_TIMEOUT)).await;
        if let Ok(n_lost @ 1..) = stopped {
            eprintln!("bricks: {n_lost} spans of {} never reached the sink", self.process);
        }
    }
}

/// Returns what decides which requests are recorded.
///
/// The decision is made where a request comes in: the load generator marks all requests as sampled, for tracers that record everything.
/// From there on the parent decides.
fn sampler(kind: TracerKind, is_entry: bool) -> Sampler {
    match (kind, is_entry) {
        (TracerKind::OtelHead, true) => Sampler::TraceIdRatioBased(HEAD_SHARE),
        (TracerKind::OtelHead, false) => Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(HEAD_SHARE))),
        _ => Sampler::AlwaysOn,
    }
}

fn names(plan: &Plan) -> Vec<Names> {
    let lasting = |name: &str| -> &'static str { name.to_owned().leak() };
    let services = plan.services.iter().map(|service| Names {
        service: lasting(&service.name),
        spans: service.apis.iter().map(|api| lasting(&api.span_name)).collect(),
    });
    services.collect()
}

/// Headers that a request brought along.
struct Headers<'a>(&'a MetadataMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        let text = |key| match key {
            KeyRef::Ascii(key) => Some(key.as_str()),
            KeyRef::Binary(_) => None,
        };
        self.0.keys().filter_map(text).collect()
    }
}

/// Headers that a request takes along.
struct HeadersMut<'a>(&'a mut MetadataMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return; // as `tracestate` is for requests that bring none
        }
        if let (Ok(key), Ok(mut value)) = (MetadataKey::from_bytes(key.as_bytes()), MetadataValue::try_from(value)) {
            value.set_sensitive(true); // no two are the same: in HPACK's table it would push out what repeats
            self.0.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests;
