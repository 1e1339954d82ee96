//! The tracer that Backsight is: what an application does to be recorded, at the places of the handler.
//!
//! A process has one session with its agent, under the process's name; where it hosts several services, its server spans say which.

use super::metadata::{Named, value_of};
use super::{CallEnd, Recorded, Setup, Tracer, VisitEnd, attribute};
use crate::plan::{Place, Plan};
use crate::rpc::VisitRequest;
use anyhow::{Context as _, Result};
use backsight::macros::{attr, attr_at};
use backsight::{
    Connection, Context, KeptOthers, Level, Others, RESPONSE_HEADER, SegmentExt as _, Settings, Span, SpanKind,
    StaticName, StatusCode, TRACEPARENT, TRACESTATE, TriggerId,
};
use bytes::Bytes;
use std::future::Future;
use std::sync::OnceLock;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

static RPC_SYSTEM: StaticName = StaticName::new(attribute::RPC_SYSTEM);
static GRPC: StaticName = StaticName::new(attribute::RPC_SYSTEM_VALUE);
static PATH: StaticName = StaticName::new(attribute::PATH);
static PAYLOAD_BYTES: StaticName = StaticName::new(attribute::PAYLOAD_BYTES);
static SERVICE_NAME: StaticName = StaticName::new(attribute::SERVICE_NAME);
static PEER_SERVICE: StaticName = StaticName::new(attribute::PEER_SERVICE);

/// Digits of a crumb; that of a host where something has fired for the trace is longer by a letter.
const CRUMB_DIGITS: usize = 7;

/// A value of metadata that most requests have, once it is known.
type Usual = OnceLock<Option<AsciiMetadataValue>>;

/// Records with Backsight.
#[derive(Debug)]
pub(crate) struct Backsight {
    services: Vec<Service>,
    /// One for each process that may be called.
    peers: Vec<Peer>,
    /// Whether spans have to say which service they are of.
    is_shared: bool,
    slow: TriggerId,
    error: TriggerId,
    keys: Keys,
    /// The crumb that answers carry where nothing has fired, and its metadata: made once.
    usual_crumb: Usual,
}

/// The names of our metadata, parsed once.
#[derive(Debug)]
struct Keys {
    traceparent: AsciiMetadataKey,
    tracestate: AsciiMetadataKey,
    crumb: AsciiMetadataKey,
}

/// A process that may be called, over one connection.
#[derive(Debug)]
struct Peer {
    connection: Connection,
    named: Named,
    /// The `tracestate` that requests carry where nothing has fired, and its metadata: made once.
    usual_state: Usual,
}

/// What spans say of a service.
#[derive(Debug)]
struct Service {
    name: &'static StaticName,
    process_idx: usize,
    /// The names of its APIs' spans.
    span_names: Vec<&'static StaticName>,
}

/// A visit under way.
#[derive(Debug)]
pub(crate) struct Visit {
    span: Span,
    context: Context,
    /// The members of other vendors in the request's `tracestate`, where it has any.
    others: Option<Box<KeptOthers>>,
}

/// A call under way.
#[derive(Debug)]
pub(crate) struct Call {
    span: Span,
    call: backsight::Call,
    process_idx: usize,
}

impl Backsight {
    fn service(&self, place: Place) -> &Service {
        &self.services[usize::from(place.service_idx)] // places come from the plan
    }

    fn span(&self, place: Place, kind: SpanKind) -> Span {
        Span::start(self.service(place).span_names[usize::from(place.api_idx)], kind)
    }

    fn crumb_in<'m>(&self, metadata: &'m MetadataMap) -> Option<&'m [u8]> {
        metadata.get(&self.keys.crumb).map(|value| value.as_bytes())
    }
}

impl Tracer for Backsight {
    type Scope = Context;
    type Visit = Visit;
    type Call = Call;

    fn start(setup: Setup<'_>) -> Result<Self> {
        let settings = Settings { socket: setup.agent, service: Some(&setup.process.name) };
        if let Err(why) = backsight::init(settings) {
            // Services outlive their recorder: recording starts by itself when an agent comes.
            eprintln!("bricks: {} is not recorded: {why}", setup.process.name);
        }
        backsight::last_words::install();
        backsight::autotrigger::exception::install_panic_hook().context("the trigger of panics")?;
        let named = |name| backsight::register_trigger(name).context("a trigger");
        Ok(Self {
            services: names(setup.plan),
            peers: setup.plan.processes.iter().map(|_| Peer::new()).collect(),
            is_shared: setup.process.is_shared(),
            slow: named("bricks.slow")?,
            error: named("bricks.error")?,
            keys: Keys {
                traceparent: AsciiMetadataKey::from_static(TRACEPARENT),
                tracestate: AsciiMetadataKey::from_static(TRACESTATE),
                crumb: AsciiMetadataKey::from_static(RESPONSE_HEADER),
            },
            usual_crumb: OnceLock::new(),
        })
    }

    fn arrive(&self, place: Place, headers: &MetadataMap, request: &VisitRequest) -> (Context, Visit) {
        let value_of = |key: &AsciiMetadataKey| headers.get(key).map(|value| value.as_bytes());
        let incoming = backsight::extract(value_of(&self.keys.traceparent), value_of(&self.keys.tracestate));
        let others = (incoming.others != Others::NONE).then(|| Box::new(incoming.others.keep()));
        let _segment = backsight::begin(&incoming.context);
        let span = self.span(place, SpanKind::Server);
        attr(&RPC_SYSTEM, &GRPC);
        attr(&PATH, request.path.cast_signed());
        attr(&PAYLOAD_BYTES, request.payload.len() as u64);
        if self.is_shared {
            attr_at(Level::Always, &SERVICE_NAME, self.service(place).name);
        }
        // The span stays open over the awaits: the context that goes along with the future stands inside it.
        let scope = backsight::detach().unwrap_or(incoming.context);
        (scope, Visit { span, context: incoming.context, others })
    }

    fn within<F: Future + Send>(scope: Context, work: F) -> impl Future<Output = F::Output> + Send {
        work.in_segment(scope)
    }

    fn depart(&self, visit: &mut Visit, place: Place, headers: &mut MetadataMap) -> Call {
        let service = self.service(place);
        let span = self.span(place, SpanKind::Client);
        attr(&RPC_SYSTEM, &GRPC);
        attr(&PEER_SERVICE, service.name);
        let others = visit.others.as_ref().map_or(Others::NONE, |others| others.get());
        let peer = &self.peers[service.process_idx];
        let outgoing = backsight::inject(&visit.context, others, &peer.connection);
        if let Some(parent) = peer.named.parent(outgoing.traceparent_bytes()) {
            headers.insert(self.keys.traceparent.clone(), parent);
        }
        if let Some(state) = usual_or_new(&peer.usual_state, outgoing.tracestate_bytes(), outgoing.has_fired()) {
            headers.insert(self.keys.tracestate.clone(), state);
        }
        Call { span, call: outgoing.call, process_idx: service.process_idx }
    }

    fn returned(&self, _: &mut Visit, call: Call, end: &CallEnd<'_>) {
        let connection = &self.peers[call.process_idx].connection;
        match end {
            CallEnd::Answered(metadata) => call.call.answered(self.crumb_in(metadata), connection),
            CallEnd::Refused(status) => {
                call.call.answered(self.crumb_in(status.metadata()), connection);
                backsight::status(StatusCode::Error, status.message());
            }
            CallEnd::Unsent(status) => {
                call.call.unsent();
                backsight::status(StatusCode::Error, status.message());
            }
            // Nobody knows how far the callee came: the edge stays open.
            CallEnd::Lost(status) => backsight::status(StatusCode::Error, status.message()),
        }
        drop(call.span);
    }

    fn leave(&self, visit: Visit, end: &VisitEnd<'_>, answer: &mut MetadataMap) {
        if let Some(status) = end.error {
            backsight::status(StatusCode::Error, status.message());
            backsight::trigger(self.error);
        }
        if end.is_slow {
            backsight::trigger(self.slow);
        }
        if let Some(crumb) = backsight::response_crumb() {
            let has_fired = crumb.as_bytes().len() > CRUMB_DIGITS;
            if let Some(crumb) = usual_or_new(&self.usual_crumb, crumb.as_bytes(), has_fired) {
                answer.insert(self.keys.crumb.clone(), crumb);
            }
        }
        drop(visit.span);
    }

    fn recorded(&self) -> Option<Recorded> {
        let dropped = backsight::stats().drops.iter().map(|(_, n)| n).sum();
        Some(Recorded { bytes_written: None, dropped }) // the agent counts bytes, for all processes of its host
    }

    async fn stop(&self) {}
}

/// Makes the names of all spans: interned at their first use, and as long-lived as the process, which makes them once.
fn names(plan: &Plan) -> Vec<Service> {
    let lasting = |name: &str| -> &'static StaticName { Box::leak(Box::new(StaticName::new(name.to_owned().leak()))) };
    let services = plan.services.iter().map(|service| Service {
        name: lasting(&service.name),
        process_idx: service.process_idx,
        span_names: service.apis.iter().map(|api| lasting(&api.span_name)).collect(),
    });
    services.collect()
}

impl Peer {
    fn new() -> Self {
        Self { connection: Connection::new(), named: Named::default(), usual_state: OnceLock::new() }
    }
}

/// Returns `text` as a value of metadata: the same bytes again where it is the usual one; one that says that something `has_fired` is none,
/// and not for HPACK's table.
fn usual_or_new(usual: &Usual, text: &[u8], has_fired: bool) -> Option<AsciiMetadataValue> {
    let is_usual = !has_fired && !text.is_empty();
    if is_usual
        && let Some(usual) = usual.get_or_init(|| lasting(text)) // the first one stays
        && usual.as_encoded_bytes() == text
    {
        return Some(usual.clone());
    }
    let mut value = value_of(text)?;
    value.set_sensitive(has_fired);
    Some(value)
}

/// Returns a value of metadata as long-lived as the process, which makes few: its copies share no count of who has one.
fn lasting(text: &[u8]) -> Option<AsciiMetadataValue> {
    let text: &'static [u8] = text.to_vec().leak();
    AsciiMetadataValue::try_from(Bytes::from_static(text)).ok()
}
