//! Claims about the listeners: what exporters send arrives, in every form, and each is told what became of it.

mod full;
mod hostile;

use super::receive::Waits;
use super::rows::Filler;
use super::{Counts, Listeners, Refused, Request, Spans};
use crate::config::{IntakeConfig, RedactAction, RedactRule};
use crate::streams;
use crate::tls::Tls;
use axum::http;
use backsight_proto::tls::Side;
use backsight_proto::tls::testing::{Authority, Wanted};
use backsight_proto::wire::otlp_visit::Decoded;
use backsight_store::batch::Batch;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Official;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Takes spans into a batch.
#[derive(Debug)]
struct Collecting {
    batch: Mutex<(Filler, Batch)>,
    /// What was to be logged.
    requests: Mutex<Vec<Bytes>>,
    /// What is said to each request in place of taking it.
    refuses: Option<Refused>,
    /// As many as came.
    entered: Semaphore,
    /// As many as may go on.
    goes_on: Semaphore,
}

impl Collecting {
    fn new(refuses: Option<Refused>, n_go_on: usize) -> Arc<Self> {
        Arc::new(Self {
            batch: Mutex::new((Filler::default(), Batch::new(1))),
            requests: Mutex::default(),
            refuses,
            entered: Semaphore::new(0),
            goes_on: Semaphore::new(n_go_on),
        })
    }

    fn n_spans(&self) -> usize {
        self.batch.lock().unwrap().1.n_spans()
    }
}

impl Spans for Collecting {
    fn add(&self, request: Request) -> BoxFuture<'_, Result<Decoded, Refused>> {
        async move {
            self.entered.add_permits(1);
            self.goes_on.acquire().await.unwrap().forget();
            if let Some(refused) = self.refuses {
                return Err(refused);
            }
            self.requests.lock().unwrap().push(request.protobuf().clone());
            let (filler, batch) = &mut *self.batch.lock().unwrap();
            Ok(filler.fill(&request, batch).decoded)
        }
        .boxed()
    }
}

fn config() -> IntakeConfig {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    IntakeConfig { otlp_grpc: any_port, otlp_http: any_port, ..IntakeConfig::default() }
}

/// Opens listeners; what they count is returned beside them.
async fn start(config: &IntakeConfig, waits: Waits, spans: &Arc<Collecting>) -> (Listeners, Counts) {
    let counts = Counts::default();
    let refused = streams::Refused::default();
    let started = Listeners::start_with(config, waits, None, refused, spans.clone(), counts.clone()).await;
    (started.unwrap(), counts)
}

async fn start_any(spans: &Arc<Collecting>) -> (Listeners, Counts) {
    start(&config(), Waits::default(), spans).await
}

const MANY: usize = 1000;

fn span(id: u8) -> Span {
    let value = Some(AnyValue { value: Some(Official::StringValue("secret".to_owned())) });
    let attributes = vec![KeyValue { key: "user.password".to_owned(), value, ..KeyValue::default() }];
    Span { trace_id: vec![id; 16], span_id: vec![id; 8], name: "GET /".to_owned(), attributes, ..Span::default() }
}

fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    ExportTraceServiceRequest { resource_spans: vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }] }
}

/// Returns a request with one good span, as protobuf.
fn good() -> Vec<u8> {
    request(vec![span(1)]).encode_to_vec()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What was answered over HTTP.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

/// Returns the lines of a request up to its body.
fn head(len: u64, headers: &str) -> String {
    format!("POST /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n{headers}\r\n")
}

/// Sends bytes, and returns what is answered before the connection ends.
async fn say(address: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await; // it may be answered before it is read
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
    let head = String::from_utf8_lossy(&answer[..at]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
    Answer { status, head, body: answer.get(at + 4..).unwrap_or_default().to_vec() }
}

async fn post(address: SocketAddr, headers: &str, body: &[u8]) -> Answer {
    say(address, &[head(body.len() as u64, headers).as_bytes(), body].concat()).await
}

const PROTOBUF: &str = "Content-Type: application/x-protobuf\r\n";
const JSON: &str = "Content-Type: application/json; charset=utf-8\r\n";

async fn channel(address: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// Returns a message with what gRPC puts before it.
fn framed(is_compressed: u8, message: &[u8]) -> Vec<u8> {
    [&[is_compressed][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

/// Returns the status and the message of a call, and all of its headers and trailers.
async fn call(
    mut channel: Channel,
    encoding: Option<&str>,
    body: axum::body::Body,
) -> (String, Bytes, http::HeaderMap) {
    let mut request = http::Request::post(EXPORT).header("content-type", "application/grpc").header("te", "trailers");
    if let Some(encoding) = encoding {
        request = request.header("grpc-encoding", encoding);
    }
    let request = request.body(tonic::body::Body::new(body)).unwrap();
    std::future::poll_fn(|context| Service::<http::Request<tonic::body::Body>>::poll_ready(&mut channel, context))
        .await
        .unwrap();
    let (parts, body) = channel.call(request).await.unwrap().into_parts();
    let collected = body.collect().await.unwrap();
    let mut headers = parts.headers;
    headers.extend(collected.trailers().cloned().unwrap_or_default());
    let status = headers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
    (status.unwrap_or_default(), collected.to_bytes(), headers)
}

async fn call_with(address: SocketAddr, encoding: Option<&str>, bytes: Vec<u8>) -> (String, Bytes, http::HeaderMap) {
    call(channel(address).await, encoding, axum::body::Body::from(bytes)).await
}

#[tokio::test]
async fn an_exporter_of_grpc_is_told_what_became_of_its_spans() {
    let spans = Collecting::new(None, MANY);
    let (listeners, counts) = start_any(&spans).await;
    let mut client = tonic::client::Grpc::new(channel(listeners.grpc()).await);
    for (sent, rejected) in [(vec![span(1), span(2)], 0), (vec![span(3), span(0), Span::default()], 2)] {
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<ExportTraceServiceRequest, ExportTraceServiceResponse>::default();
        let path = http::uri::PathAndQuery::from_static(EXPORT);
        let response = client.unary(tonic::Request::new(request(sent)), path, codec).await.unwrap().into_inner();
        let partial = response.partial_success.unwrap_or_default();
        assert_eq!(partial.rejected_spans, rejected);
        assert_eq!(partial.error_message.contains("2 trace_id"), rejected == 2, "{}", partial.error_message);
    }
    assert_eq!(spans.n_spans(), 3);
    assert!(counts.rejected_spans().any(|count| count == ("trace_id", 2)));
    assert_eq!(counts.totals().map(|(_, _, n)| n)[3], 3);
    listeners.stop(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn compressed_messages_of_grpc_are_taken() {
    let spans = Collecting::new(None, MANY);
    let (listeners, _) = start_any(&spans).await;
    let packed = [("gzip", gzip(&good())), ("zstd", zstd::encode_all(good().as_slice(), 1).unwrap())];
    for (encoding, packed) in packed {
        let (status, message, _) = call_with(listeners.grpc(), Some(encoding), framed(1, &packed)).await;
        assert_eq!((status.as_str(), &message[..]), ("0", &[0, 0, 0, 0, 0][..]), "{encoding}");
    }
    // A message may say for itself that it is not compressed.
    assert_eq!(call_with(listeners.grpc(), Some("gzip"), framed(0, &good())).await.0, "0");
    assert_eq!(spans.n_spans(), 3);
}

#[tokio::test]
async fn requests_of_http_are_answered_in_their_own_form() {
    let spans = Collecting::new(None, MANY);
    let (listeners, _) = start_any(&spans).await;
    let answer = post(listeners.http(), PROTOBUF, &good()).await;
    assert_eq!((answer.status, answer.body), (200, Vec::new()));
    assert!(answer.head.contains("content-type: application/x-protobuf"), "{}", answer.head);
    let partly = request(vec![span(1), span(0)]).encode_to_vec();
    let answer = post(listeners.http(), PROTOBUF, &partly).await;
    let response = ExportTraceServiceResponse::decode(answer.body.as_slice()).unwrap();
    assert_eq!((answer.status, response.partial_success.unwrap().rejected_spans), (200, 1));
    let json = serde_json::to_vec(&request(vec![span(1), span(0)])).unwrap();
    let answer = post(listeners.http(), JSON, &json).await;
    let body = String::from_utf8(answer.body).unwrap();
    assert_eq!(
        (answer.status, body.as_str()),
        (200, r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"1 spans rejected: 1 trace_id"}}"#)
    );
    assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
    assert_eq!(post(listeners.http(), JSON, b"{}").await.body, b"{}");
    let read = |bytes: &Bytes| ExportTraceServiceRequest::decode(bytes.clone()).unwrap();
    let requests: Vec<_> = spans.requests.lock().unwrap().iter().map(read).collect();
    assert_eq!(
        requests[..3],
        [request(vec![span(1)]), request(vec![span(1), span(0)]), request(vec![span(1), span(0)])]
    );
    assert_eq!((requests.len(), spans.n_spans()), (4, 3));
}

#[tokio::test]
async fn compressed_requests_of_http_are_taken_in_both_forms() {
    let spans = Collecting::new(None, MANY);
    let (listeners, _) = start_any(&spans).await;
    let json = serde_json::to_vec(&request(vec![span(1)])).unwrap();
    for (format, plain) in [(PROTOBUF, good()), (JSON, json)] {
        let packed =
            [("gzip", gzip(&plain)), ("zstd", zstd::encode_all(plain.as_slice(), 1).unwrap()), ("identity", plain)];
        for (encoding, packed) in packed {
            let headers = format!("{format}Content-Encoding: {encoding}\r\n");
            assert_eq!(post(listeners.http(), &headers, &packed).await.status, 200, "{headers}");
        }
    }
    assert_eq!(spans.n_spans(), 6);
    for taken in spans.requests.lock().unwrap().iter() {
        assert_eq!(ExportTraceServiceRequest::decode(taken.clone()).unwrap(), request(vec![span(1)]));
    }
}

#[tokio::test]
async fn what_must_not_be_stored_is_gone_before_it_is_handed_on() {
    let rule = RedactRule { key: "user.*".to_owned(), action: RedactAction::Drop, pattern: None };
    let spans = Collecting::new(None, MANY);
    let config = IntakeConfig { redact: vec![rule], ..config() };
    let (listeners, counts) = start(&config, Waits::default(), &spans).await;
    let json = serde_json::to_vec(&request(vec![span(1)])).unwrap();
    assert_eq!(post(listeners.http(), PROTOBUF, &good()).await.status, 200);
    assert_eq!(post(listeners.http(), JSON, &json).await.status, 200);
    assert_eq!(call_with(listeners.grpc(), Some("gzip"), framed(1, &gzip(&good()))).await.0, "0");
    let requests = spans.requests.lock().unwrap();
    let has_secret = |request: &Bytes| request.windows(6).any(|six| six == b"secret");
    assert!(requests.len() == 3 && !requests.iter().any(has_secret));
    assert_eq!(counts.totals()[4].2, 3);
}

#[tokio::test]
async fn where_there_are_certificates_only_who_has_one_may_write() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let issued = |name: &str| {
        let folder = folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        authority.issue(&folder, Wanted::default())
    };
    let (tls, refused) = (Tls::read(issued("collector")).unwrap(), streams::Refused::default());
    let spans = Collecting::new(None, MANY);
    let started = Listeners::start(&config(), Some(&tls), refused.clone(), spans.clone(), Counts::default()).await;
    let listeners = started.unwrap();
    assert_eq!(post(listeners.http(), PROTOBUF, &good()).await.status, 0, "no answer");
    assert!(refused.counts().any(|count| count == ("no_handshake", 1)));
    let shown = issued("exporter").read("", Side::Client).unwrap().for_client();
    let endpoint = Endpoint::from_shared(format!("https://{}", listeners.grpc())).unwrap().tls_config(shown).unwrap();
    let body = axum::body::Body::from(framed(0, &good()));
    assert_eq!(call(endpoint.connect().await.unwrap(), None, body).await.0, "0");
    assert_eq!(spans.n_spans(), 1);
}
