//! Streams of agents and readers that were refused or ended because of what came on them or did not, connections that were refused before any
//! stream, and questions of readers that have no answer: counted by reason.
//!
//! Counted by the intake, the coordinator's shell, the query service and TLS; read for metrics and `status`. All that it decides is how long a
//! stream may take to begin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed}; // each counter stands for itself
use std::time::Duration;
use tonic::{Code, Status, Streaming};

/// How long an agent may take to say hello on a stream that it opened: it does so at once, and a network may lose that twice.
const HELLO_WITHIN: Duration = Duration::from_secs(10);

/// Why a stream was refused, or ended by the collector.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
    /// No message came on it in time, or none before its end.
    NoHello,
    /// Its first message is no hello, or one of another protocol or without an agent.
    BadHello,
    /// A batch came that is not the next one, or something that is no batch.
    NotNextBatch,
    /// A batch cannot be unpacked.
    BadBatch,
    /// A message that no version of the protocol says.
    Malformed,
    /// A message longer than its service takes.
    TooLong,
    /// The agent let too many messages wait.
    Deaf,
    /// As many readers follow the tail as may.
    TooManyFollowers,
    /// Whoever connected showed no certificate.
    NoCertificate,
    /// Its certificate is of another authority, or not valid now.
    BadCertificate,
    /// It did not finish the handshake: it speaks no TLS, does not take the collector's certificate, or took too long.
    NoHandshake,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::NoHello,
        Self::BadHello,
        Self::NotNextBatch,
        Self::BadBatch,
        Self::Malformed,
        Self::TooLong,
        Self::Deaf,
        Self::TooManyFollowers,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::NoHandshake,
    ];

    /// Returns the name under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoHello => "no_hello",
            Self::BadHello => "bad_hello",
            Self::NotNextBatch => "not_next_batch",
            Self::BadBatch => "bad_batch",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Deaf => "deaf",
            Self::TooManyFollowers => "too_many_followers",
            Self::NoCertificate => "no_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::NoHandshake => "no_handshake",
        }
    }
}

/// What is wrong with a question that was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BadQuery {
    /// It names no trace.
    TraceId,
    /// It asks for more than one may.
    Limit,
    /// Its filter lets nothing through.
    Filter,
}

impl BadQuery {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::TraceId, Self::Limit, Self::Filter];

    /// Returns the name under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::TraceId => "bad_trace_id",
            Self::Limit => "bad_limit",
            Self::Filter => "bad_filter",
        }
    }
}

/// How many streams and questions were refused. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Refused {
    counts: Arc<[AtomicU64; Reason::ALL.len()]>,
    queries: Arc<[AtomicU64; BadQuery::ALL.len()]>,
}

impl Refused {
    /// Counts a stream.
    pub fn count(&self, reason: Reason) {
        self.counts[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts a stream that ends with `status`, and returns that.
    pub fn with(&self, reason: Reason, status: Status) -> Status {
        self.count(reason);
        status
    }

    /// Returns the first message of a stream, which is to be a hello.
    ///
    /// # Errors
    /// None came, or none that can be read: counted, and what to say of it.
    pub async fn first<T>(&self, stream: &mut Streaming<T>) -> Result<T, Status> {
        match tokio::time::timeout(HELLO_WITHIN, stream.message()).await {
            Ok(Ok(Some(first))) => Ok(first),
            Ok(Err(status)) => {
                self.count(of_message(&status).unwrap_or(Reason::NoHello));
                Err(status)
            }
            Ok(Ok(None)) => {
                Err(self.with(Reason::NoHello, Status::failed_precondition("the stream ended before a hello")))
            }
            Err(_) => {
                let text = format!("no hello came within {} s", HELLO_WITHIN.as_secs());
                Err(self.with(Reason::NoHello, Status::deadline_exceeded(text)))
            }
        }
    }

    /// Counts a stream that could not be read on, where that is because of what came on it, and returns what to say of it.
    pub fn unread(&self, status: Status) -> Status {
        of_message(&status).into_iter().for_each(|reason| self.count(reason));
        status
    }

    /// Counts a question that has no answer, and returns what to say of it.
    pub fn query(&self, what: BadQuery, text: String) -> Status {
        self.queries[what as usize].fetch_add(1, Relaxed);
        Status::invalid_argument(text)
    }

    /// Returns how many questions were refused, by the names of what was wrong.
    pub fn queries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        BadQuery::ALL.into_iter().map(|what| (what.name(), self.queries[what as usize].load(Relaxed)))
    }

    /// Returns how many there were, by the names of the reasons.
    pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::ALL.into_iter().map(|reason| (reason.name(), self.counts[reason as usize].load(Relaxed)))
    }
}

/// Returns what is wrong with the message that could not be read; `None` where the connection broke, which is then the status' source.
fn of_message(status: &Status) -> Option<Reason> {
    match status.code() {
        _ if std::error::Error::source(status).is_some() => None,
        Code::OutOfRange => Some(Reason::TooLong),
        Code::Internal => Some(Reason::Malformed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{BadQuery, Reason, Refused};
    use std::convert::Infallible;
    use tonic::codec::{DecodeBuf, Decoder};
    use tonic::{Code, Status, Streaming};

    /// Reads nothing.
    struct Nothing;

    impl Decoder for Nothing {
        type Item = ();
        type Error = Status;

        fn decode(&mut self, _: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
            Ok(None)
        }
    }

    /// A stream on which nothing comes is ended, however long its agent would hold it open. The clock is the test's.
    #[tokio::test(start_paused = true)]
    async fn stream_on_which_no_hello_comes_is_ended_and_counted() {
        let never = tokio_stream::pending::<Result<Vec<u8>, Infallible>>();
        let mut stream = Streaming::new_request(Nothing, axum::body::Body::from_stream(never), None, None);
        let refused = Refused::default();
        let ended = refused.first(&mut stream).await.unwrap_err();
        assert_eq!((ended.code(), ended.message()), (Code::DeadlineExceeded, "no hello came within 10 s"));
        assert_eq!(refused.counts().find(|(_, n)| *n > 0), Some(("no_hello", 1)));
    }

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let refused = Refused::default();
        for (idx, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, idx);
            (0..=idx).for_each(|_| refused.clone().count(reason));
        }
        assert!(refused.counts().map(|(_, n)| n).eq(1..=Reason::ALL.len() as u64));
        for (idx, what) in BadQuery::ALL.into_iter().enumerate() {
            assert_eq!(what as usize, idx);
            (0..=idx).for_each(|_| drop(refused.clone().query(what, String::new())));
        }
        assert!(refused.queries().map(|(_, n)| n).eq(1..=BadQuery::ALL.len() as u64));
    }
}
