//! How a service records: what every tracer is told, at the same places of the same handler, so that only the tracers differ.
//!
//! Called by `serve::handler` alone, which is made once for each tracer, at compile time: `none` costs nothing. Every tracer names spans
//! `<service>/<api>` and gives them the same attributes ([`attribute`]).

mod backsight;
mod headers;
mod metadata;
mod none;
mod otel;

pub(crate) use backsight::Backsight;
pub(crate) use headers::Headers;
pub(crate) use none::NoTracer;
pub(crate) use otel::Otel;

use crate::plan::{Place, Plan, Process};
use crate::rpc::VisitRequest;
use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::future::Future;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Which tracer the services record with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TracerKind {
    /// Nothing is recorded, and no context is passed on.
    None,
    /// Nothing is recorded; a context is passed on as Backsight does.
    Headers,
    /// Backsight.
    Backsight,
    /// OpenTelemetry: one request in a hundred, decided where it comes in.
    OtelHead,
    /// OpenTelemetry: everything, for a model of tail sampling behind it.
    OtelTailModel,
}

/// The attributes that spans have with every tracer.
pub(crate) mod attribute {
    /// On server and client spans: [`RPC_SYSTEM_VALUE`].
    pub(crate) const RPC_SYSTEM: &str = "rpc.system";
    /// What we speak.
    pub(crate) const RPC_SYSTEM_VALUE: &str = "grpc";
    /// On server spans: the request's `path`, as a signed integer.
    pub(crate) const PATH: &str = "bricks.path";
    /// On server spans: bytes of the payload.
    pub(crate) const PAYLOAD_BYTES: &str = "bricks.payload_bytes";
    /// On server spans of processes that host several services: which one this is.
    pub(crate) const SERVICE_NAME: &str = "service.name";
    /// On client spans: the service that is called.
    pub(crate) const PEER_SERVICE: &str = "peer.service";
}

/// What a tracer may know before it starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'s> {
    /// Which tracer this is, for those that are one of several.
    pub(crate) kind: TracerKind,
    /// The services, their APIs and calls.
    pub(crate) plan: &'s Plan,
    /// The process that records.
    pub(crate) process: &'s Process,
    /// The agent's socket.
    pub(crate) agent: Option<&'s str>,
    /// Where OTLP goes.
    pub(crate) sink: Option<&'s str>,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) enum CallEnd<'m> {
    /// The callee answered well, with this metadata.
    Answered(&'m MetadataMap),
    /// The callee answered with an error, whose metadata are the callee's.
    Refused(&'m Status),
    /// The connection broke, or the deadline passed: nobody knows how far the callee came.
    Lost(&'m Status),
    /// Nobody listened: the request never left.
    Unsent(&'m Status),
}

/// What came of a visit.
#[derive(Debug)]
pub(crate) struct VisitEnd<'m> {
    /// Whether its own work, calls not counted, took long.
    pub(crate) is_slow: bool,
    /// The error that it answers with.
    pub(crate) error: Option<&'m Status>,
}

/// What a tracer has written, as far as it can tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// Bytes of records, or of what was exported.
    pub(crate) bytes_written: Option<u64>,
    /// Records or spans that were given up.
    pub(crate) dropped: u64,
}

/// A tracer of one process.
pub(crate) trait Tracer: Sized + Send + Sync + 'static {
    /// What goes along with every poll of a visit.
    type Scope: Send;
    /// A visit under way: its server span.
    type Visit: Send;
    /// A call under way: its client span.
    type Call: Send;

    /// Starts to record; called once in a process, inside its runtime.
    fn start(setup: Setup<'_>) -> Result<Self>;

    /// A request has come to `place`: opens its server span.
    fn arrive(&self, place: Place, headers: &MetadataMap, request: &VisitRequest) -> (Self::Scope, Self::Visit);

    /// Returns `work` with each of its polls working for the visit; everything below is called inside it.
    fn within<F: Future + Send>(scope: Self::Scope, work: F) -> impl Future<Output = F::Output> + Send;

    /// The visit calls `place`: opens the client span, and gives the request its context along.
    fn depart(&self, visit: &mut Self::Visit, place: Place, headers: &mut MetadataMap) -> Self::Call;

    /// The call is over: ends its span.
    fn returned(&self, visit: &mut Self::Visit, call: Self::Call, end: &CallEnd<'_>);

    /// The visit is over: ends its server span; `answer` is the metadata of the answer.
    fn leave(&self, visit: Self::Visit, end: &VisitEnd<'_>, answer: &mut MetadataMap);

    /// Returns what was written so far, `None` for a tracer that writes nothing.
    fn recorded(&self) -> Option<Recorded>;

    /// Hands over what is still held, within a few seconds: the process ends.
    fn stop(&self) -> impl Future<Output = ()> + Send;
}
