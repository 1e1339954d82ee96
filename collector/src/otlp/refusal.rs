//! Why a request is refused as a whole, and what its sender is told: the same over gRPC and HTTP.
//!
//! Made by what receives requests; told by `grpc` and `http`, counted by name.

use super::room::Full;
use axum::http::StatusCode;
use backsight_core::cause::chain;
use backsight_proto::wire::otlp_json::JsonError;
use backsight_proto::wire::otlp_reply::Status;
use backsight_proto::wire::otlp_visit::OtlpError;
use std::time::Duration;
use tonic::Code;

/// When whoever found no room in memory may try again: requests are through in less.
const ROOM_AFTER: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Its content is of another type.
    #[error("the content type must be application/x-protobuf or application/json, for gRPC application/grpc+proto")]
    ContentType,
    /// It is compressed in a way that is not known here.
    #[error("the content encoding must be one of identity, gzip and zstd")]
    Encoding,
    /// It is larger than a request may be, as it came or decompressed.
    #[error("the request has more than {max} B ({key})")]
    TooLarge {
        /// What is allowed.
        max: usize,
        /// The key of the configuration that says so.
        key: &'static str,
    },
    /// What came is no message of gRPC.
    #[error("{0}")]
    Frame(&'static str),
    /// It cannot be decompressed.
    #[error("the request cannot be decompressed")]
    Compressed(#[source] std::io::Error),
    /// It is no OTLP.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// It is no OTLP in JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It did not come in time.
    #[error("the request did not come within {} s", .within.as_secs())]
    Slow {
        /// How long it had.
        within: Duration,
    },
    /// The connection broke in the middle of it.
    #[error("the request broke off")]
    Broken(#[source] axum::Error),
    /// There is no room for it now.
    #[error("there is no room for the request now")]
    Full {
        /// When it may be tried again.
        retry_after: Duration,
    },
    /// Nothing is taken any more, or an answer took too long.
    #[error("the collector takes nothing now")]
    Closed,
}

impl From<Full> for Refusal {
    fn from(_: Full) -> Self {
        Self::Full { retry_after: ROOM_AFTER }
    }
}

impl Refusal {
    /// Returns why, as it is counted and answered.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::ContentType => Reason::ContentType,
            Self::Encoding => Reason::ContentEncoding,
            Self::TooLarge { .. } => Reason::TooLarge,
            Self::Otlp(error) if error.is_too_large() => Reason::TooLarge,
            Self::Json(error) if error.is_too_large() => Reason::TooLarge,
            Self::Frame(_) | Self::Compressed(_) | Self::Otlp(_) | Self::Json(_) => Reason::Malformed,
            Self::Slow { .. } => Reason::Slow,
            Self::Broken(_) => Reason::Broken,
            Self::Full { .. } => Reason::Full,
            Self::Closed => Reason::Closed,
        }
    }

    /// Returns when it may be tried again, where that helps.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Full { retry_after } => Some(*retry_after),
            Self::Closed => Some(ROOM_AFTER),
            _ => None,
        }
    }

    /// Returns what its sender is told.
    pub(crate) fn status(&self) -> Status {
        Status { code: self.reason().grpc() as i32, message: chain(self), retry_after: self.retry_after() }
    }
}

/// Why requests are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reason {
    ContentType,
    ContentEncoding,
    TooLarge,
    Malformed,
    Slow,
    Broken,
    Full,
    Closed,
}

impl Reason {
    /// Every reason.
    pub(crate) const ALL: [Self; 8] = [
        Self::ContentType,
        Self::ContentEncoding,
        Self::TooLarge,
        Self::Malformed,
        Self::Slow,
        Self::Broken,
        Self::Full,
        Self::Closed,
    ];

    /// Returns the name under which it is shown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ContentType => "content_type",
            Self::ContentEncoding => "content_encoding",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Slow => "slow",
            Self::Broken => "broken",
            Self::Full => "full",
            Self::Closed => "closed",
        }
    }

    /// Returns the status over HTTP.
    pub(crate) const fn http(self) -> StatusCode {
        match self {
            Self::ContentType | Self::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Malformed | Self::Broken => StatusCode::BAD_REQUEST,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Full => StatusCode::TOO_MANY_REQUESTS,
            Self::Closed => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns the code over gRPC, which stands in the answers of HTTP, too.
    pub(crate) const fn grpc(self) -> Code {
        match self {
            Self::ContentType | Self::TooLarge | Self::Malformed | Self::Broken => Code::InvalidArgument,
            Self::ContentEncoding => Code::Unimplemented,
            Self::Slow => Code::DeadlineExceeded,
            Self::Full => Code::ResourceExhausted,
            Self::Closed => Code::Unavailable,
        }
    }
}
