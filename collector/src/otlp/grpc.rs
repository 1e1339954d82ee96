//! OTLP over gRPC: `TraceService/Export`, one message in and one out, framed here: so a message is bounded before it is decompressed, and read in
//! place instead of into objects.
//!
//! Served by the listener.
//!
//! # Source
//! OTLP 1.x, "OTLP/gRPC"; gRPC over HTTP/2 (github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).

use super::inflate::Encoding;
use super::receive::{Format, Receiver};
use super::refusal::Refusal;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use backsight_proto::wire::otlp_reply;
use backsight_proto::wire::otlp_visit::Decoded;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use std::sync::Arc;
use tonic::Status;

/// What is called.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
/// What stands before a message: whether it is compressed, and its length, big-endian.
const HEAD_LEN: usize = 5;
const GRPC: &str = "application/grpc";
const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Returns the routes of the listener.
pub(super) fn routes(receiver: Arc<Receiver>) -> Router {
    let export = move |request: Request| {
        let receiver = receiver.clone();
        async move { export(&receiver, request).await }
    };
    Router::new().route(EXPORT, post(export)).fallback(async || failure(Status::unimplemented("unknown method")))
}

async fn export(receiver: &Arc<Receiver>, request: Request) -> Response {
    receiver.counts().asked();
    let (parts, body) = request.into_parts();
    match taken(receiver, &parts.headers, body).await {
        Ok(decoded) => success(&otlp_reply::Response::of(&decoded.rejected).to_protobuf()),
        Err(refusal) => {
            receiver.counts().refused(&refusal);
            refused(&refusal)
        }
    }
}

async fn taken(receiver: &Arc<Receiver>, headers: &HeaderMap, body: Body) -> Result<Decoded, Refusal> {
    if !is_protobuf(headers) {
        return Err(Refusal::ContentType);
    }
    let named = headers.get(GRPC_ENCODING).map_or("", |name| name.to_str().unwrap_or("?"));
    let named = Encoding::of(named).ok_or(Refusal::Encoding)?;
    let mut received = receiver
        .receive(body, HEAD_LEN, |so_far| match head(so_far) {
            Some(head) if so_far.len() > HEAD_LEN + head.len as usize => {
                Err(Refusal::Frame("more than one message came"))
            }
            Some(head) => receiver.check_len(head.len.into()),
            None => Ok(()),
        })
        .await?;
    let Some(head) = head(&received.bytes) else { return Err(Refusal::Frame("no message came")) };
    if received.bytes.len() < HEAD_LEN + head.len as usize {
        return Err(Refusal::Frame("the message is shorter than it says"));
    }
    let encoding = match (head.is_compressed, named) {
        (0, _) => Encoding::Identity,
        (1, Encoding::Gzip | Encoding::Zstd) => named,
        (1, Encoding::Identity) => return Err(Refusal::Frame("the message is compressed, and no header says how")),
        _ => return Err(Refusal::Frame("the message is not framed as gRPC says")),
    };
    received.bytes = received.bytes.slice(HEAD_LEN..);
    receiver.take(received, encoding, Format::Protobuf).await
}

/// What stands before a message.
struct Head {
    /// 0 or 1.
    is_compressed: u8,
    len: u32,
}

fn head(bytes: &[u8]) -> Option<Head> {
    let [is_compressed, len @ ..] = *bytes.first_chunk::<HEAD_LEN>()?;
    Some(Head { is_compressed, len: u32::from_be_bytes(len) })
}

/// Returns whether a request says that it is gRPC, with messages of protobuf.
fn is_protobuf(headers: &HeaderMap) -> bool {
    let name = headers.get(CONTENT_TYPE).and_then(|name| name.to_str().ok()).unwrap_or_default();
    let name = name.split(';').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case(GRPC) || name.eq_ignore_ascii_case("application/grpc+proto")
}

fn success(message: &[u8]) -> Response {
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(framed)).with_trailers(std::future::ready(Some(Ok(trailers))));
    ([(CONTENT_TYPE, GRPC)], Body::new(body)).into_response()
}

fn refused(refusal: &Refusal) -> Response {
    let status = refusal.status();
    let details = Bytes::from(status.to_protobuf());
    let mut response = failure(Status::with_details(refusal.reason().grpc(), status.message, details));
    match refusal {
        Refusal::ContentType => *response.status_mut() = refusal.reason().http(),
        Refusal::Encoding => {
            response.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(Encoding::ACCEPTED));
        }
        _ => {}
    }
    response
}

/// Returns an answer without a message.
fn failure(status: Status) -> Response {
    status.into_http::<Body>()
}
