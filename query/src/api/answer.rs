//! What is answered: its bytes, in which form errors are said, and the headers that stand on every answer.
//!
//! Made by endpoints, sent by [`super::serve`]. Compression and the tag of an answer cost a pass over its bytes each, on the thread that made it.

use super::guard::Envelope;
use crate::archive::Partial;
use crate::jaeger::{Layout, json, v1, v3};
use crate::problem::{self, Problem};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use backsight_core::checksum::checksum;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;
use std::io::Write as _;

/// What `content-type` says of JSON.
const JSON: &str = "application/json";
/// Shorter answers are not compressed.
const COMPRESSED_MIN_BYTES: usize = 1024;
/// Says why there may be more than was answered, in answers that have no place for it.
const PARTIAL: HeaderName = HeaderName::from_static("backsight-partial");
/// Nothing of an answer is ever run, shown inside another page, or kept by anybody but who asked, who asks again before using it.
const ALWAYS: [(HeaderName, &str); 5] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "private, no-cache"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// In which form errors are said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Jaeger's envelope.
    Classic,
    /// Jaeger's v3.
    V3,
    /// Problems.
    Ours,
}

impl Form {
    /// Returns the answer that there is none.
    pub(super) fn refuse(self, problem: &Problem) -> Response {
        let (content_type, bytes) = match self {
            Self::Classic => {
                (JSON, json(&v1::Envelope::error(problem.status(), problem.detail()), Layout::Compact).into_bytes())
            }
            Self::V3 => {
                (JSON, json(&v3::ErrorAnswer::new(problem.status(), problem.detail()), Layout::Compact).into_bytes())
            }
            Self::Ours => (problem::CONTENT_TYPE, problem.json().into_bytes()),
        };
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = with_headers(status, content_type, Body::from(bytes));
        let headers = response.headers_mut();
        if let Some(seconds) = problem.retry_after_s() {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            }
            _ => {}
        }
        response
    }
}

fn with_headers(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: StatusCode,
    content_type: &'static str,
    bytes: Vec<u8>,
    /// Under which name it is saved, where it is a file.
    file: Option<String>,
    partial: Option<&'static str>,
}

impl Answer {
    /// Returns bytes of a type.
    pub(super) const fn of(content_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { status: StatusCode::OK, content_type, bytes, file: None, partial: None }
    }

    /// Returns a text for people.
    pub(super) fn text(text: String) -> Self {
        Self::of("text/plain; charset=utf-8", text.into_bytes())
    }

    /// Returns JSON in one line.
    pub(super) fn json(answer: &(impl Serialize + ?Sized)) -> Self {
        Self::laid_out(answer, Layout::Compact)
    }

    /// Returns JSON.
    pub(super) fn laid_out(answer: &(impl Serialize + ?Sized), layout: Layout) -> Self {
        Self::of(JSON, json(answer, layout).into_bytes())
    }

    /// Returns JSON that is text already.
    pub(super) fn json_text(text: &str) -> Self {
        Self::of(JSON, text.as_bytes().to_vec())
    }

    /// Returns it as a file of this name.
    pub(super) fn file(self, name: String) -> Self {
        Self { file: Some(name), ..self }
    }

    /// Returns it with the status that the server cannot serve.
    pub(super) fn unavailable(self) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, ..self }
    }

    /// Returns it with a header that says why there may be more, where there may.
    pub(super) fn partial(self, partial: &[Partial]) -> Self {
        Self { partial: partial.first().map(|partial| partial.reason), ..self }
    }

    /// Returns it as it is sent to whoever wishes `wish`.
    pub(super) fn ready(self, wish: &Wish) -> Ready {
        let tag = format!("W/\"{:016x}\"", checksum(0, &self.bytes));
        if self.status == StatusCode::OK && wish.has(&tag) {
            return Ready { answer: Self { bytes: Vec::new(), ..self }, tag, is_same: true, is_compressed: false };
        }
        let compressed = if wish.gzip && self.bytes.len() >= COMPRESSED_MIN_BYTES { gzip(&self.bytes) } else { None };
        let is_compressed = compressed.is_some();
        let bytes = compressed.unwrap_or(self.bytes);
        Ready { answer: Self { bytes, ..self }, tag, is_same: false, is_compressed }
    }
}

/// Returns the bytes compressed, or `None` where that does not make them fewer.
fn gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).ok()?; // memory takes everything
    encoder.finish().ok().filter(|compressed| compressed.len() < bytes.len())
}

/// In which form somebody takes the answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Wish {
    gzip: bool,
    /// Tags of answers that he has, as the header says them.
    has: Option<String>,
}

impl Wish {
    pub(super) fn of(envelope: &Envelope<'_>) -> Self {
        let has = envelope.header(header::IF_NONE_MATCH).map(str::to_owned);
        Self { gzip: envelope.header(header::ACCEPT_ENCODING).is_some_and(takes_gzip), has }
    }

    fn has(&self, tag: &str) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        self.has
            .as_deref()
            .is_some_and(|tags| tags.split(',').any(|known| known.trim() == "*" || opaque(known) == opaque(tag)))
    }
}

/// Returns whether `accept-encoding` has gzip, with a weight that is not 0.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let weight = weight.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok());
        name.trim().eq_ignore_ascii_case("gzip") && weight.is_some_and(|weight| weight > 0.0)
    })
}

/// An answer as it is sent.
pub(super) struct Ready {
    answer: Answer,
    tag: String,
    is_same: bool,
    is_compressed: bool,
}

impl Ready {
    pub(super) fn into_response(self) -> Response {
        let Answer { status, content_type, bytes, file, partial } = self.answer;
        let status = if self.is_same { StatusCode::NOT_MODIFIED } else { status };
        let mut response = with_headers(status, content_type, Body::from(bytes));
        let headers = response.headers_mut();
        put(headers, header::ETAG, &self.tag);
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding, authorization"));
        if self.is_compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(name) = file {
            put(headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
        }
        if let Some(reason) = partial {
            headers.insert(PARTIAL, HeaderValue::from_static(reason));
        }
        response
    }
}

/// Sets a header to a text of ours, which has nothing in it that may not stand there.
fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::{Answer, Wish, takes_gzip};
    use axum::http::{StatusCode, header};

    #[test]
    fn gzip_is_taken_where_it_is_named_and_not_refused() {
        for taken in ["gzip", "deflate, GZIP;q=0.5", "br, gzip;q=1"] {
            assert!(takes_gzip(taken), "{taken}");
        }
        for other in ["", "br", "gzip;q=0", "gzip; q=0.0", "gzip;q=x", "identity"] {
            assert!(!takes_gzip(other), "{other}");
        }
    }

    #[test]
    fn what_somebody_has_is_not_sent_again() {
        let answer = || Answer::text("a".repeat(5000));
        let first = answer().ready(&Wish::default()).into_response();
        let tag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let has = |has: String| Wish { has: Some(has), gzip: true };
        let again = answer().ready(&has(format!("\"x\", {tag}"))).into_response();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let other = answer().ready(&has("\"x\"".to_owned())).into_response();
        assert_eq!(
            (other.status(), &other.headers()[header::CONTENT_ENCODING]),
            (StatusCode::OK, &"gzip".parse().unwrap())
        );
        assert_eq!(other.headers()[header::ETAG], *tag);
    }
}
