//! Spans that came by OTLP: kept in the store that takes in, and handed out of it.
//!
//! Opened by the daemon, and filled by [`crate::otlp`]. What a request says is put into rows on the store's own thread, where it is logged.

use crate::config::IntakeConfig;
use crate::otlp::rows::{Filled, Filler};
use crate::otlp::{Refused, Request, Spans};
use backsight_core::cause::chain;
use backsight_core::ids::TraceId;
use backsight_proto::wire::otlp_visit::{Decoded, Limits, OtlpError};
use backsight_query::parts::Views;
use backsight_store::batch::{Batch, BatchFull};
use backsight_store::ingest::{self, Ingest, Input, Meaning, OpenError, Opened, PutError};
use backsight_store::local::Local;
use backsight_store::objects::Objects;
use backsight_store::rows::ReportRow;
use backsight_store::view::View;
use backsight_store::wal::{Kind, Record};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use tracing::warn;

/// When whoever found no room may try again: a cut takes seconds.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Why the spans of a collector cannot be kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SpansError {
    /// The store did not open.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The folder of the parts.
    #[error(transparent)]
    Folder(#[from] backsight_store::objects::ObjectError),
}

/// The spans of a collector. Clones are of the same ones.
#[derive(Clone, Debug)]
pub struct SpanStore {
    ingest: Ingest<Otlp>,
}

impl SpanStore {
    /// Opens what the folder `data_dir` has of spans.
    ///
    /// # Errors
    /// It cannot be read, or is another's.
    /// # Cost
    /// Reads the write-ahead log: not on a thread that serves others.
    pub fn open(data_dir: &Path, intake: &IntakeConfig) -> Result<Self, SpansError> {
        let objects = Arc::new(Local::open(data_dir.join("parts"))?);
        let options = ingest::Options::new(data_dir.join("wal"));
        let (ingest, opened) = Ingest::open(options, objects, Arc::new(Otlp::new(intake.limits())))?;
        tell(&opened);
        Ok(Self { ingest })
    }

    /// Returns where its parts are.
    pub fn objects(&self) -> Arc<dyn Objects> {
        self.ingest.objects().clone()
    }

    /// Returns what it counts.
    pub fn stats(&self) -> ingest::Stats {
        self.ingest.stats()
    }

    /// Returns why no part can be written at present.
    pub fn trouble(&self) -> Option<String> {
        self.ingest.trouble()
    }

    /// Ends: what was answered is durable.
    pub async fn close(&self) {
        let ingest = self.ingest.clone();
        let _ = tokio::task::spawn_blocking(move || ingest.close()).await; // closed either way
    }
}

fn tell(opened: &Opened) {
    let Opened { log, n_replayed: _, n_unreadable } = opened;
    if log.n_losses > 0 || *n_unreadable > 0 {
        let (n_losses, lost_bytes, lost_records) = (log.n_losses, log.lost_bytes, log.lost_records);
        warn!(n_losses, lost_bytes, lost_records, n_unreadable, "not all of the write-ahead log can be read back");
    }
}

impl Views for SpanStore {
    fn view(&self) -> View {
        self.ingest.view()
    }
}

impl Spans for SpanStore {
    fn add(&self, request: Request) -> BoxFuture<'_, Result<Decoded, Refused>> {
        let (done, answer) = oneshot::channel();
        self.ingest.offer(Input {
            kind: Kind::Otlp,
            ingest_ns: now_ns(),
            payload: request.protobuf().clone(),
            is_durable: false,
            done: Box::new(move |answer| {
                drop(request); // its room is others' from here on
                let _ = done.send(answer); // whoever asked may be gone
            }),
        });
        async { answer.await.map_or(Err(Refused::Closed), |answer| answer.map_err(refused)) }.boxed()
    }
}

fn refused(why: ingest::Refused<Unreadable>) -> Refused {
    match why {
        ingest::Refused::Busy => Refused::Full { retry_after: RETRY_AFTER },
        ingest::Refused::TooLarge | ingest::Refused::Malformed(_) => {
            Refused::TooLarge { max_bytes: backsight_store::batch::TEXT_MAX_BYTES }
        }
        ingest::Refused::Log(error) => {
            warn!(cause = chain(&error), "spans not stored");
            Refused::Full { retry_after: RETRY_AFTER }
        }
        ingest::Refused::Over(_) => Refused::Closed,
    }
}

fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A record that is none of OTLP, or cannot be read.
#[derive(Clone, Debug)]
pub enum Unreadable {
    /// Its kind is another's.
    Kind(Kind),
    /// Its payload.
    Otlp(OtlpError),
}

/// What requests of OTLP mean as rows.
#[derive(Debug)]
pub struct Otlp {
    limits: Limits,
    filling: Mutex<Filling>,
}

/// What is known of the batch that is filled.
#[derive(Debug, Default)]
struct Filling {
    filler: Filler,
    batch: u64,
}

impl Otlp {
    /// A request that was taken once is taken again, whatever was configured since.
    fn new(limits: Limits) -> Self {
        Self { limits: Limits { request_max: usize::MAX, ..limits }, filling: Mutex::default() }
    }
}

impl Meaning for Otlp {
    type Receipt = Decoded;
    type Refusal = Unreadable;
    type Assembled = ();

    fn put(&self, record: &Record<'_>, batch: &mut Batch) -> Result<Decoded, PutError<Unreadable>> {
        if record.kind != Kind::Otlp {
            return Err(PutError::Malformed(Unreadable::Kind(record.kind)));
        }
        let mut filling = self.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let Filling { filler, batch: of_batch } = &mut *filling;
        if *of_batch != batch.id() {
            filler.forget();
            *of_batch = batch.id();
        }
        let filled = filler.fill_from(record.payload, &self.limits, batch);
        match filled {
            Ok(Filled { decoded, is_full: false }) => Ok(decoded),
            // What was put in is taken back, resources as well.
            Ok(Filled { is_full: true, .. }) => {
                filler.forget();
                Err(PutError::Full(BatchFull { what: "span" }))
            }
            Err(error) => {
                filler.forget();
                Err(PutError::Malformed(Unreadable::Otlp(error)))
            }
        }
    }

    fn taken(&self, _: &Decoded) {}

    fn assemble(&self, _: TraceId, _: &[ReportRow<'_>]) -> Option<()> {
        None
    }

    fn push(&self, _: &(), _: bool, _: &mut Batch) -> Result<(), BatchFull> {
        Ok(())
    }
}
