//! OTLP: spans that strangers' exporters send, over gRPC and over HTTP, as protobuf or JSON.
//!
//! Started by the daemon over whoever takes spans. What comes in goes one way: received and decompressed within bounds, rewritten without what must not
//! be stored, checked, handed to [`Spans`], and answered once that has it safe. What spans are as rows is said in [`rows`]. Nothing here
//! stores anything, and no listener is open without somebody who does.

mod connection;
mod counts;
mod grpc;
mod http;
mod inflate;
mod listen;
mod receive;
mod redact;
mod refusal;
mod request;
mod room;
pub mod rows;

pub use counts::Counts;
pub use listen::{ListenError, Listeners};
pub use redact::{RedactError, Rules};
pub use request::Request;

use backsight_proto::wire::otlp_visit::Decoded;
use futures_util::future::BoxFuture;
use std::fmt;
use std::time::Duration;

/// Who takes spans.
pub trait Spans: fmt::Debug + Send + Sync + 'static {
    /// Takes the spans of a request; returns once they are as safe as is promised, what became of them.
    ///
    /// # Shape
    /// The request is dropped as soon as its bytes are no longer needed: until then others find no room. Who asked may be gone before the
    /// answer, which drops the future; what was begun then may be taken or not.
    /// # Errors
    /// Nothing of it was taken.
    fn add(&self, request: Request) -> BoxFuture<'_, Result<Decoded, Refused>>;
}

/// Why spans were not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// There is no room now.
    #[error("there is no room for spans now")]
    Full {
        /// When there may be some.
        retry_after: Duration,
    },
    /// Nothing is taken any more.
    #[error("the store is closed")]
    Closed,
    /// The request will never be taken, being larger than the store takes at once.
    #[error("more than {max_bytes} B at once are not taken")]
    TooLarge {
        /// What is taken.
        max_bytes: usize,
    },
}

#[cfg(test)]
mod tests;
