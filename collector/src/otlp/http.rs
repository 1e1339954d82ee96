//! OTLP over HTTP: `POST /v1/traces`, answered in the form in which it is asked.
//!
//! Served by the listener. What is told is made in `backsight_proto::wire::otlp_reply`.
//!
//! # Source
//! OTLP 1.x, "OTLP/HTTP" (opentelemetry.io/docs/specs/otlp).

use super::inflate::Encoding;
use super::receive::{Format, Receiver};
use super::refusal::Refusal;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use backsight_proto::wire::otlp_reply;
use backsight_proto::wire::otlp_visit::Decoded;
use serde::Serialize;
use std::sync::Arc;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Returns the routes of the listener.
pub(super) fn routes(receiver: Arc<Receiver>) -> Router {
    let export = move |request: Request| {
        let receiver = receiver.clone();
        async move { export(&receiver, request).await }
    };
    Router::new().route("/v1/traces", post(export))
}

async fn export(receiver: &Arc<Receiver>, request: Request) -> Response {
    receiver.counts().asked();
    let (parts, body) = request.into_parts();
    let format = format(&parts.headers);
    match taken(receiver, format, &parts.headers, body).await {
        Ok(decoded) => {
            let response = otlp_reply::Response::of(&decoded.rejected);
            reply(StatusCode::OK, format, response.to_protobuf(), &response)
        }
        Err(refusal) => {
            receiver.counts().refused(&refusal);
            refused(&refusal, format)
        }
    }
}

async fn taken(
    receiver: &Arc<Receiver>,
    format: Option<Format>,
    headers: &HeaderMap,
    body: Body,
) -> Result<Decoded, Refusal> {
    let format = format.ok_or(Refusal::ContentType)?;
    let encoding = text(headers, CONTENT_ENCODING).map_or(Some(Encoding::Identity), Encoding::of);
    let encoding = encoding.ok_or(Refusal::Encoding)?;
    let len = text(headers, CONTENT_LENGTH).and_then(|len| len.parse().ok());
    len.map_or(Ok(()), |len| receiver.check_len(len))?;
    let received = receiver.receive(body, 0, |_| Ok(())).await?;
    receiver.take(received, encoding, format).await
}

/// Returns what a request says that it is written in, where that is known here.
fn format(headers: &HeaderMap) -> Option<Format> {
    let name = text(headers, CONTENT_TYPE)?.split(';').next()?.trim();
    if name.eq_ignore_ascii_case(PROTOBUF) {
        return Some(Format::Protobuf);
    }
    name.eq_ignore_ascii_case(JSON).then_some(Format::Json)
}

/// Returns a header as text; one that is none names nothing that is known.
fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

fn refused(refusal: &Refusal, format: Option<Format>) -> Response {
    let status = refusal.status();
    let mut response = reply(refusal.reason().http(), format, status.to_protobuf(), &status);
    if let Some(after) = refusal.retry_after() {
        let after_s = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        response.headers_mut().insert(RETRY_AFTER, after_s.max(1).into());
    }
    if matches!(refusal, Refusal::Encoding) {
        response.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static(Encoding::ACCEPTED));
    }
    response
}

/// Returns an answer in the form that was asked in; in JSON where that is not known, for people to read.
fn reply(code: StatusCode, format: Option<Format>, protobuf: Vec<u8>, message: &impl Serialize) -> Response {
    let (name, body) = match format {
        Some(Format::Protobuf) => (PROTOBUF, protobuf),
        Some(Format::Json) | None => (JSON, serde_json::to_vec(message).unwrap_or_default()),
    };
    (code, [(CONTENT_TYPE, name)], body).into_response()
}
