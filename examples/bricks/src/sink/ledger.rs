//! What a sink knows of traces, and the model of tail sampling.
//!
//! Called by [`super`] with the time since its start. Pure, and bounded: by the number of traces, of services and of visits counted apart.
//!
//! # Source
//! The model follows the OpenTelemetry collector's `tail_sampling` processor: a trace is decided one wait after its first span; a decision
//! stands as long as the trace is among the last so many, and holds for spans that come late; the oldest trace makes room for a new one,
//! decided or not.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use serde::Serialize;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Services that are told apart; spans of more are counted as unreadable.
const SERVICES_MAX: usize = 4096;

/// What is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Policy {
    /// Everything that comes.
    All,
    /// Traces with an error, or with a span of at least `slow`, by what has come `wait` after their first span.
    Tail { wait: Duration, slow: Duration },
}

/// The bounds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Limits {
    /// Traces known at the same time, at least 1.
    pub(super) traces_max: usize,
}

/// What came, and what became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub(super) struct Summary {
    /// Spans that came.
    pub(super) spans: u64,
    /// Traces that began; one that was forgotten begins anew.
    pub(super) traces: u64,
    /// Bytes of the requests, as they are on the wire without gRPC's frames.
    pub(super) bytes: u64,
    /// Requests.
    pub(super) requests: u64,
    /// Traces that were kept.
    pub(super) kept: u64,
    /// Traces that were found not to be worth it.
    pub(super) not_kept: u64,
    /// Traces that made room for others before they were decided.
    pub(super) dropped: u64,
    /// Spans that came after their trace was found not to be worth it.
    pub(super) late_spans: u64,
    /// Spans without a trace id, or of more services than are told apart.
    pub(super) unreadable_spans: u64,
    /// The most bytes of spans that a tail sampler would have held undecided at once.
    pub(super) held_bytes_max: u64,
    /// Whether this was a model of tail sampling.
    pub(super) is_tail_model: bool,
}

/// A trace that was kept, as it is forgotten.
pub(super) struct Kept<'a> {
    /// Its id.
    pub(super) trace: u128,
    /// Server spans by service.
    pub(super) visits: Box<dyn Iterator<Item = (&'a str, u64)> + 'a>,
}

/// What is known.
pub(super) struct Ledger {
    policy: Policy,
    limits: Limits,
    services: Vec<String>,
    service_idxs: HashMap<String, u16>,
    traces: HashMap<u128, Trace>,
    /// The traces by their first span.
    order: VecDeque<u128>,
    /// How many of the first in that order are decided.
    n_decided: usize,
    held_bytes: u64,
    summary: Summary,
}

struct Trace {
    first_seen: Duration,
    /// Server spans by service.
    visits: Vec<(u16, u64)>,
    has_error: bool,
    is_slow: bool,
    held_bytes: u64,
    decision: Option<Decision>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Keep,
    Leave,
}

impl Ledger {
    pub(super) fn new(policy: Policy, limits: Limits) -> Self {
        Self {
            policy,
            limits,
            services: Vec::new(),
            service_idxs: HashMap::new(),
            traces: HashMap::new(),
            order: VecDeque::new(),
            n_decided: 0,
            held_bytes: 0,
            summary: Summary { is_tail_model: policy != Policy::All, ..Summary::default() },
        }
    }

    /// Takes a request in; calls `forget` with each kept trace that makes room for another.
    pub(super) fn add(&mut self, now: Duration, request: &ExportTraceServiceRequest, mut forget: impl FnMut(Kept<'_>)) {
        self.tick(now);
        self.summary.requests += 1;
        self.summary.bytes += request.encoded_len() as u64;
        for span in request.resource_spans.iter().flat_map(spans_of) {
            self.summary.spans += 1;
            let id = <[u8; 16]>::try_from(span.trace_id.as_slice()).map_or(0, u128::from_be_bytes);
            let service_idx = self.service_of(span);
            match (id, service_idx) {
                (0, _) | (_, Err(TooMany)) => self.summary.unreadable_spans += 1,
                (id, Ok(service_idx)) => self.add_span(now, id, span, service_idx, &mut forget),
            }
        }
    }

    fn add_span(
        &mut self,
        now: Duration,
        id: u128,
        span: &Span,
        service_idx: Option<u16>,
        forget: &mut impl FnMut(Kept<'_>),
    ) {
        if !self.traces.contains_key(&id) {
            while self.order.len() >= self.limits.traces_max.max(1) {
                self.forget_oldest(forget);
            }
            self.summary.traces += 1;
            self.order.push_back(id);
        }
        let trace = self.traces.entry(id).or_insert_with(|| Trace::new(now));
        if trace.decision == Some(Decision::Leave) {
            self.summary.late_spans += 1;
            return;
        }
        if let Some(service_idx) = service_idx {
            match trace.visits.iter_mut().find(|(idx, _)| *idx == service_idx) {
                Some((_, n)) => *n += 1,
                None => trace.visits.push((service_idx, 1)),
            }
        }
        let Policy::Tail { slow, .. } = self.policy else { return };
        trace.has_error |= span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32);
        let length_ns = span.end_time_unix_nano.saturating_sub(span.start_time_unix_nano);
        trace.is_slow |= Duration::from_nanos(length_ns) >= slow;
        if trace.decision.is_none() {
            let bytes = span.encoded_len() as u64;
            trace.held_bytes += bytes;
            self.held_bytes += bytes;
            self.summary.held_bytes_max = self.summary.held_bytes_max.max(self.held_bytes);
        }
    }

    /// Decides the traces whose wait is over.
    pub(super) fn tick(&mut self, now: Duration) {
        let wait = match self.policy {
            Policy::All => Duration::ZERO,
            Policy::Tail { wait, .. } => wait,
        };
        while let Some(id) = self.order.get(self.n_decided) {
            let is_due = self.traces.get(id).is_none_or(|trace| now >= trace.first_seen.saturating_add(wait));
            if !is_due {
                break;
            }
            self.decide_next();
        }
    }

    /// Decides all, and calls `forget` with each trace that was kept.
    pub(super) fn finish(&mut self, mut forget: impl FnMut(Kept<'_>)) {
        while self.n_decided < self.order.len() {
            self.decide_next();
        }
        while !self.order.is_empty() {
            self.forget_oldest(&mut forget);
        }
    }

    /// Returns what came so far.
    pub(super) const fn summary(&self) -> Summary {
        self.summary
    }

    /// Decides the oldest trace that is not.
    fn decide_next(&mut self) {
        let next = self.order.get(self.n_decided).and_then(|id| self.traces.get_mut(id));
        if let Some(trace) = next {
            let is_kept = self.policy == Policy::All || trace.has_error || trace.is_slow;
            trace.decision = Some(if is_kept { Decision::Keep } else { Decision::Leave });
            *(if is_kept { &mut self.summary.kept } else { &mut self.summary.not_kept }) += 1;
            self.held_bytes -= std::mem::take(&mut trace.held_bytes);
        }
        self.n_decided += 1;
    }

    fn forget_oldest(&mut self, forget: &mut impl FnMut(Kept<'_>)) {
        if self.policy == Policy::All && self.n_decided == 0 {
            self.decide_next();
        }
        let Some(id) = self.order.pop_front() else { return };
        self.n_decided = self.n_decided.saturating_sub(1);
        let Some(trace) = self.traces.remove(&id) else { return };
        match trace.decision {
            Some(Decision::Leave) => {}
            Some(Decision::Keep) => {
                let services = &self.services;
                let named = |(idx, n): &(u16, u64)| (services[usize::from(*idx)].as_str(), *n);
                forget(Kept { trace: id, visits: Box::new(trace.visits.iter().map(named)) });
            }
            None => {
                self.summary.dropped += 1;
                self.held_bytes -= trace.held_bytes;
            }
        }
    }

    /// Returns the service of a server span, by its name, and nothing for others.
    fn service_of(&mut self, span: &Span) -> Result<Option<u16>, TooMany> {
        if span.kind != SpanKind::Server as i32 {
            return Ok(None);
        }
        let service = span.name.split_once('/').map_or(span.name.as_str(), |(service, _)| service);
        if let Some(idx) = self.service_idxs.get(service) {
            return Ok(Some(*idx));
        }
        if self.services.len() >= SERVICES_MAX {
            return Err(TooMany);
        }
        let idx = self.services.len() as u16;
        self.services.push(service.to_owned());
        self.service_idxs.insert(service.to_owned(), idx);
        Ok(Some(idx))
    }
}

/// There are more services than are told apart.
struct TooMany;

impl Trace {
    const fn new(first_seen: Duration) -> Self {
        Self { first_seen, visits: Vec::new(), has_error: false, is_slow: false, held_bytes: 0, decision: None }
    }
}

fn spans_of(resource: &ResourceSpans) -> impl Iterator<Item = &Span> {
    resource.scope_spans.iter().flat_map(|scope| &scope.spans)
}

#[cfg(test)]
mod tests;
