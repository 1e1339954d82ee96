//! HTTP/1.1 over the admin socket: routes to commands, replies to JSON.

use super::refused::Reason;
use super::{AskError, Client, Command, RefusedRequests, Reply, expressions};
use backsight_core::ids::{TraceId, TriggerId};
use backsight_core::trace::{Trace, assemble};
use backsight_proto::admin::{ErrorReply, FireReply, FireRequest, KeptState, REQUEST_MAX_BYTES, route};
use backsight_proto::trace_json::{TraceJson, json_bytes};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{Semaphore, watch};
use tracing::warn;

/// Connections served at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take over its request line and headers.
const HEADERS_WITHIN: Duration = Duration::from_secs(10);
/// How long to wait where no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The largest trace that is shown as JSON: a client decides how large one is, and the agent has little memory beside its pool.
const TRACE_JSON_MAX_BYTES: u64 = 32 << 20;
const METRICS_TYPE: &str = "text/plain; version=0.0.4";
const TEXT_TYPE: &str = "text/plain";
const JSON_TYPE: &str = "application/json";

/// Serves until `stopped` is closed.
pub(super) async fn serve(socket: std::os::unix::net::UnixListener, client: Client, mut stopped: watch::Receiver<()>) {
    let listener = match UnixListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(error = %error, "admin socket not served");
            return;
        }
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            let place = places.clone().acquire_owned().await.ok()?;
            Some((place, listener.accept().await))
        };
        let next = tokio::select! {
            next = accepted => next,
            _ = stopped.changed() => return,
        };
        let Some((place, accepted)) = next else { return };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(error = %error, "admin connection not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let client = client.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| answer(request, &client));
            let mut server = hyper::server::conn::http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEADERS_WITHIN);
            // What goes wrong on a connection is its client's to see; here it is counted.
            if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
                count_unserved(&client.refused, &error);
            }
            drop(place);
        });
    }
}

pub(super) type Answer = Response<Full<Bytes>>;

/// A request that is answered with an error.
pub(super) struct Refused {
    status: StatusCode,
    error: String,
    /// Why it is counted, if it is.
    reason: Option<Reason>,
}

impl Refused {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), reason: None }
    }

    fn because(self, reason: Reason) -> Self {
        Self { reason: Some(reason), ..self }
    }
}

impl From<AskError> for Refused {
    fn from(error: AskError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).because(Reason::Busy)
    }
}

/// Counts a connection that ended without a request that could be answered. One that was closed is its client's affair.
fn count_unserved(counts: &RefusedRequests, error: &hyper::Error) {
    if error.is_parse() {
        counts.count(Reason::Malformed);
    } else if error.is_timeout() {
        counts.count(Reason::TooLate);
    }
}

async fn answer(request: Request<Incoming>, client: &Client) -> Result<Answer, Infallible> {
    Ok(route_request(request, client).await.unwrap_or_else(|refused| {
        refused.reason.into_iter().for_each(|reason| client.refused.count(reason));
        json(refused.status, &ErrorReply { error: refused.error })
    }))
}

async fn route_request(request: Request<Incoming>, client: &Client) -> Result<Answer, Refused> {
    let path = request.uri().path().trim_end_matches('/').to_owned();
    let is_posted = matches!(path.as_str(), route::FIRE | route::SET_TRIGGER | route::TEST);
    let allowed = if is_posted { Method::POST } else { Method::GET };
    let command = match path.as_str() {
        route::HEALTH | route::FIRE | route::SET_TRIGGER | route::TEST => None,
        route::STATUS => Some(Command::Status),
        route::HORIZON => Some(Command::Horizon),
        route::TRIGGERS => Some(Command::Triggers),
        route::TRACES => Some(Command::Kept),
        route::METRICS => Some(Command::Metrics),
        path => Some(command_below(path)?),
    };
    if request.method() != allowed {
        let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, format!("{path} takes {allowed} only"));
        return Err(refused.because(Reason::Method));
    }
    match (command, path.as_str()) {
        (Some(Command::Test(id)), _) => expressions::look_at_test(id, client).await,
        (Some(command), _) => reply(client.ask(command).await?).await,
        (None, route::FIRE) => fire(request, client).await,
        (None, route::SET_TRIGGER) => expressions::set(request, client).await,
        (None, route::TEST) => expressions::test(request, client).await,
        (None, _) => Ok(text(TEXT_TYPE, "ok\n".into())),
    }
}

/// Returns what is asked of one trace or back-test.
fn command_below(path: &str) -> Result<Command, Refused> {
    let below = |parent: &str| path.strip_prefix(parent).and_then(|rest| rest.strip_prefix('/'));
    if let Some(id) = below(route::TRACES) {
        return Ok(Command::Trace(id.parse::<TraceId>().map_err(|error| bad(error.to_string()))?));
    }
    if let Some(id) = below(route::TEST) {
        return Ok(Command::Test(id.parse().map_err(|_| bad(format!("a back-test has a number, not `{id}`")))?));
    }
    Err(Refused::new(StatusCode::NOT_FOUND, format!("no such path: {path}")).because(Reason::UnknownName))
}

pub(super) fn bad(error: String) -> Refused {
    Refused::new(StatusCode::BAD_REQUEST, error).because(Reason::Malformed)
}

async fn reply(reply: Reply) -> Result<Answer, Refused> {
    Ok(match reply {
        Reply::Status(status) => json(StatusCode::OK, &*status),
        Reply::Horizon(horizon) => json(StatusCode::OK, &horizon),
        Reply::Triggers(triggers) => json(StatusCode::OK, &triggers),
        Reply::Kept(kept) => json(StatusCode::OK, &kept),
        Reply::Metrics(metrics) => text(METRICS_TYPE, metrics),
        Reply::Trace { slices: None, .. } => {
            return Err(Refused::new(StatusCode::NOT_FOUND, "nothing of this trace is kept or retained here"));
        }
        Reply::Trace { trace, slices: Some(slices), names } => {
            // Megabytes may take a while: not on the thread that serves the others.
            let assembled = move || {
                let trace = Trace { names, ..assemble(trace, &slices) };
                let bytes = json_bytes(&trace);
                if bytes > TRACE_JSON_MAX_BYTES {
                    let mib = bytes >> 20;
                    let why = format!(
                        "the trace takes some {mib} MiB to show, which its host has no room for: a collector has it once a trigger fired"
                    );
                    return Err(Refused::new(StatusCode::PAYLOAD_TOO_LARGE, why));
                }
                Ok(json(StatusCode::OK, &TraceJson::from(&trace)))
            };
            let failed = |_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the trace could not be assembled");
            tokio::task::spawn_blocking(assembled).await.map_err(failed)??
        }
        Reply::Fired(fired) if fired.state == KeptState::Refused => {
            return Err(Refused::new(StatusCode::TOO_MANY_REQUESTS, "the trigger fires more often than its limit"));
        }
        Reply::TriggerSet(_) | Reply::Test(_) | Reply::TestBusy => {
            return Err(Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the agent answered something else"));
        }
        Reply::Fired(fired) => {
            let reply = FireReply { state: fired.state, n_segments: fired.n_segments, bytes: fired.bytes };
            json(StatusCode::OK, &reply)
        }
    })
}

/// Reads the body of a request.
pub(super) async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refused> {
    let body = Limited::new(request.into_body(), REQUEST_MAX_BYTES).collect().await;
    let body = body.map_err(|_| bad(format!("the body is over {REQUEST_MAX_BYTES} B, or was cut short")))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| bad(error.to_string()))
}

async fn fire(request: Request<Incoming>, client: &Client) -> Result<Answer, Refused> {
    let request: FireRequest = read(request).await?;
    let trigger = TriggerId::from_text(&request.trigger).ok_or_else(|| {
        let error = format!("no trigger can be called `{}`", request.trigger);
        Refused::new(StatusCode::NOT_FOUND, error).because(Reason::UnknownName)
    })?;
    let command = Command::Fire { trigger, name: request.trigger, trace: request.trace, laterals: request.laterals };
    reply(client.ask(command).await?).await
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(JSON_TYPE));
    answer
}

fn text(content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    answer.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    answer
}
