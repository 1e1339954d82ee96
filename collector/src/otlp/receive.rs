//! The way of a request: its bytes come in, are decompressed, rewritten, checked, and handed to whoever takes spans; all of it bounded.
//!
//! Called by `grpc` and `http`, which know how a request is asked and answered. Long work is done beside the threads that serve.

use super::counts::Counts;
use super::inflate::{Encoding, inflate};
use super::redact::Rules;
use super::refusal::Refusal;
use super::room::{Room, Rooms};
use super::{Refused, Request, Spans};
use crate::config::IntakeConfig;
use axum::body::Body;
use backsight_proto::wire::otlp_json;
use backsight_proto::wire::otlp_redact::redact;
use backsight_proto::wire::otlp_visit::{Decoded, Limits};
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Requests of protobuf up to this length are checked where they are served: a tenth of a millisecond.
const INLINE_MAX_BYTES: usize = 64 << 10;

/// How long an exporter, and the store, may take. Exporters wait 10 s for an answer, unless they are told otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waits {
    /// For a request to come, from its first byte to its last.
    pub(crate) body: Duration,
    /// For the store to have its spans.
    pub(crate) store: Duration,
    /// Without a byte on a connection.
    pub(crate) idle: Duration,
}

impl Default for Waits {
    fn default() -> Self {
        Self { body: Duration::from_secs(30), store: Duration::from_secs(30), idle: Duration::from_secs(120) }
    }
}

/// What a request is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Format {
    Protobuf,
    Json,
}

/// What came of a request, and the memory that it takes.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) bytes: Bytes,
    room: Room,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Receiver {
    spans: Arc<dyn Spans>,
    limits: Limits,
    body_max: usize,
    rules: Rules,
    waits: Waits,
    rooms: Rooms,
    /// Requests that are worked on beside the threads that serve, at a time.
    workers: Arc<Semaphore>,
    counts: Counts,
}

impl Receiver {
    pub(crate) fn new(
        config: &IntakeConfig,
        rules: Rules,
        waits: Waits,
        spans: Arc<dyn Spans>,
        counts: Counts,
    ) -> Self {
        let n_workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            spans,
            limits: config.limits(),
            body_max: config.body_max,
            rules,
            waits,
            rooms: Rooms::new(config.room_bytes(), counts.clone()),
            workers: Arc::new(Semaphore::new(n_workers)),
            counts,
        }
    }

    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Checks the length of a body, as its sender says it.
    pub(crate) fn check_len(&self, len: u64) -> Result<(), Refusal> {
        if len > self.body_max as u64 { Err(self.too_large()) } else { Ok(()) }
    }

    const fn too_large(&self) -> Refusal {
        Refusal::TooLarge { max: self.body_max, key: "intake.body_max" }
    }

    /// Takes in a body; `check` sees what of it has come so far, after each piece.
    pub(crate) async fn receive(
        &self,
        body: Body,
        head_len: usize,
        check: impl Fn(&[u8]) -> Result<(), Refusal>,
    ) -> Result<Received, Refusal> {
        let mut room = self.rooms.room();
        let mut bytes = Vec::new();
        let reading = async {
            let mut pieces = body.into_data_stream();
            while let Some(piece) = pieces.next().await {
                let piece = piece.map_err(Refusal::Broken)?;
                self.check_len((bytes.len() + piece.len()).saturating_sub(head_len) as u64)?;
                bytes.extend_from_slice(&piece);
                room.grow_to(bytes.capacity())?;
                check(&bytes)?;
            }
            Ok(())
        };
        let within = self.waits.body;
        let read = timeout(within, reading).await.unwrap_or(Err(Refusal::Slow { within }));
        self.counts.received(bytes.len());
        read.map(|()| Received { bytes: bytes.into(), room })
    }

    /// Hands on what was received, and returns what became of its spans.
    pub(crate) async fn take(
        self: &Arc<Self>,
        received: Received,
        encoding: Encoding,
        format: Format,
    ) -> Result<Decoded, Refusal> {
        let is_short = received.bytes.len() <= INLINE_MAX_BYTES && self.rules.is_empty();
        let request = if is_short && encoding == Encoding::Identity && format == Format::Protobuf {
            self.prepare(received, encoding, format)?
        } else {
            self.prepare_beside(received, encoding, format).await?
        };
        let (len, n_scope_attributes) = (request.protobuf().len(), request.n_scope_attributes());
        let taken = timeout(self.waits.store, self.spans.add(request)).await;
        let decoded = taken.unwrap_or(Err(Refused::Closed)).map_err(|refused| match refused {
            Refused::Full { retry_after } => Refusal::Full { retry_after },
            Refused::Closed => Refusal::Closed,
            Refused::TooLarge { max_bytes } => {
                Refusal::TooLarge { max: max_bytes, key: "what the store takes at once" }
            }
        })?;
        self.counts.taken(len, &decoded, n_scope_attributes);
        Ok(decoded)
    }

    /// As [`Receiver::prepare`], on a thread that may take its time.
    async fn prepare_beside(
        self: &Arc<Self>,
        received: Received,
        encoding: Encoding,
        format: Format,
    ) -> Result<Request, Refusal> {
        let worker = self.workers.clone().acquire_owned().await.map_err(|_| Refusal::Closed)?;
        let receiver = self.clone();
        let prepared = tokio::task::spawn_blocking(move || {
            let prepared = receiver.prepare(received, encoding, format);
            drop(worker);
            prepared
        });
        match prepared.await {
            Ok(prepared) => prepared,
            Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
            Err(_) => Err(Refusal::Closed), // the collector stops
        }
    }

    /// Makes of what came a request that can be stored.
    fn prepare(&self, received: Received, encoding: Encoding, format: Format) -> Result<Request, Refusal> {
        let Received { bytes, mut room } = received;
        let bytes = match inflate(encoding, &bytes, self.limits.request_max, &mut room)? {
            Some(inflated) => instead(inflated, &mut room),
            None => bytes,
        };
        let bytes = match format {
            Format::Protobuf => bytes,
            Format::Json => {
                room.grow_to(2 * bytes.len())?; // the result is no longer than the text
                instead(otlp_json::to_protobuf(&bytes, &self.limits)?, &mut room)
            }
        };
        if self.rules.is_empty() {
            return Ok(Request::checked(bytes, &self.limits)?.within(room));
        }
        room.grow_to(2 * bytes.len())?;
        let redacted = redact(&bytes, &self.limits, &self.rules)?;
        self.counts.redacted(redacted.n_attributes);
        let bytes = instead(redacted.request, &mut room);
        Ok(Request::checked(bytes, &self.limits)?.within(room))
    }
}

/// Returns bytes that take the place of those before, and leaves them no more room than they take.
fn instead(bytes: Vec<u8>, room: &mut Room) -> Bytes {
    room.shrink_to(bytes.capacity());
    bytes.into()
}
