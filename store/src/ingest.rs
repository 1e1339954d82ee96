//! Taking in: what comes is logged, can be read at once, and is cut into parts.
//!
//! Used by the collector, which knows what payloads mean ([`Meaning`]). Two threads: the writer appends to the log and to the open batch, the
//! cutter makes parts of batches, and between them has old ones go and joins small ones. Readers take a [`View`] and wait for neither.
//!
//! # What holds
//! - Whoever is told that his input was taken finds its rows in the next view, and after a crash. What is malformed, or finds no room, leaves
//!   nothing behind, neither in the batch nor in the log.
//! - Records from `wal_low` of the manifest on are in the log, those before it in parts: a replay doubles nothing.
//! - A cut freezes the open batch and begins another; the parts' manifest and the batches of a view change in one step.
//! - Rows that are made from all reports of a trace are made again with each batch that has reports of it, before that is written. So parts never
//!   lack rows of reports that they hold.

mod assemble;
mod cut;
mod options;
mod recover;
mod stats;
mod upkeep;
mod writer;

pub use assemble::{Gathered, NotAssembled};
pub use options::{OpenError, Options};
pub use recover::Opened;
pub use stats::Stats;

use crate::batch::{Batch, BatchFull};
use crate::manifest::ManifestError;
use crate::objects::Objects;
use crate::rows::{ReportRow, TraceFacts};
use crate::view::View;
use crate::wal::{Kind, Record, Seq, WalError};
use assemble::OpenReports;
use backsight_core::ids::TraceId;
use bytes::Bytes;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};

/// What whoever takes in knows, and the store does not: what payloads say.
///
/// Called by the writer's thread, but for [`Meaning::assemble`], which is called by any.
pub trait Meaning: Send + Sync + 'static {
    /// What is told of an input that was taken.
    type Receipt: Send + 'static;
    /// Why an input is malformed.
    type Refusal: Send + 'static;
    /// A trace, put together.
    type Assembled;

    /// Puts the rows of a record into `batch`. On an error the caller takes back what was put in; nothing else may have changed.
    ///
    /// # Errors
    /// The batch is full, or the payload is malformed.
    fn put(&self, record: &Record<'_>, batch: &mut Batch) -> Result<Self::Receipt, PutError<Self::Refusal>>;

    /// Notes that a record stands in the log, or was found there.
    fn taken(&self, receipt: &Self::Receipt);

    /// Puts together what all reports of a trace say; `None` where they say nothing.
    fn assemble(&self, trace: TraceId, reports: &[ReportRow<'_>]) -> Option<Self::Assembled>;

    /// Puts the rows of a trace into `batch`, where they take the place of all that was assembled of it before. `is_late` says that some of that
    /// stands in parts.
    ///
    /// # Errors
    /// The batch is full.
    fn push(&self, assembled: &Self::Assembled, is_late: bool, batch: &mut Batch) -> Result<(), BatchFull>;
}

/// Why rows are not put into a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PutError<R> {
    /// It has no room.
    Full(BatchFull),
    /// The payload cannot be read.
    Malformed(R),
}

impl<R> From<BatchFull> for PutError<R> {
    fn from(full: BatchFull) -> Self {
        Self::Full(full)
    }
}

/// Why an input was not taken.
#[derive(Clone, Debug)]
pub enum Refused<R> {
    /// It cannot be read.
    Malformed(R),
    /// It alone is more than a batch holds.
    TooLarge,
    /// What came before it is not in parts yet, and memory or the log is full: it may be taken later.
    Busy,
    /// The log failed.
    Log(WalError),
    /// Another process writes under the name of this one, or the store ended.
    Over(Option<ManifestError>),
}

/// What is told of an input.
pub type Answer<M> = Result<<M as Meaning>::Receipt, Refused<<M as Meaning>::Refusal>>;

/// Something to take in.
pub struct Input<M: Meaning> {
    /// What it is.
    pub kind: Kind,
    /// When it came, in nanoseconds since 1970.
    pub ingest_ns: u64,
    /// What stands in the log.
    pub payload: Bytes,
    /// Whether it has to survive a power failure before it is answered, whatever the policy of the log.
    pub is_durable: bool,
    /// Called once, on the writer's thread: it must not block.
    pub done: Box<dyn FnOnce(Answer<M>) + Send>,
}

/// A store that takes in. Clones are of the same one; it ends when the last is gone, or is closed.
#[derive(Debug)]
pub struct Ingest<M: Meaning> {
    shared: Arc<Shared<M>>,
    asks: Arc<Asks<M>>,
}

/// The way to the writer, which ends when this is dropped.
struct Asks<M: Meaning>(mpsc::Sender<writer::Ask<M>>);

impl<M: Meaning> Drop for Asks<M> {
    fn drop(&mut self) {
        let _ = self.0.send(writer::Ask::Close(mpsc::channel().0)); // it may have ended
    }
}

impl<M: Meaning> std::fmt::Debug for Asks<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asks").finish_non_exhaustive()
    }
}

impl<M: Meaning> Clone for Ingest<M> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone(), asks: self.asks.clone() }
    }
}

/// What the threads and readers share.
struct Shared<M> {
    meaning: Arc<M>,
    objects: Arc<dyn Objects>,
    options: Options,
    view: RwLock<View>,
    reports: Mutex<OpenReports>,
    counters: stats::Counters,
}

impl<M> std::fmt::Debug for Shared<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("objects", &self.objects).finish_non_exhaustive()
    }
}

impl<M> Shared<M> {
    fn view(&self) -> View {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change_view(&self, change: impl FnOnce(&mut View)) {
        change(&mut self.view.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// Freezes the batch `open`, whose last record is `upto` and came at `ingest_ns`, puts an empty one in its place, and returns what is to be cut. When it
    /// came is known so of each trace that does not say it by itself.
    fn freeze(&self, open: &mut SharedBatch, upto: Seq, ingest_ns: u64) -> cut::Job {
        let (wal_seq, ingest_ns) = (upto.0.cast_signed(), i64::try_from(ingest_ns).unwrap_or(i64::MAX));
        let next = new_batch();
        let frozen = std::mem::replace(open, next.clone());
        {
            let mut batch = write(&frozen);
            batch.set_unknown(TraceFacts { wal_seq, ingest_ns, ..TraceFacts::default() });
            batch.freeze();
        }
        self.change_view(|view| view.batches.push(next));
        cut::Job { batch: frozen, upto }
    }

    fn reports(&self) -> MutexGuard<'_, OpenReports> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a random number, for names that nobody else may choose.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A batch that readers may look at.
pub(crate) type SharedBatch = Arc<RwLock<Batch>>;

fn new_batch() -> SharedBatch {
    Arc::new(RwLock::new(Batch::new(random())))
}

pub(crate) fn read(batch: &SharedBatch) -> RwLockReadGuard<'_, Batch> {
    batch.read().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn write(batch: &SharedBatch) -> RwLockWriteGuard<'_, Batch> {
    batch.write().unwrap_or_else(PoisonError::into_inner)
}

impl<M: Meaning> Ingest<M> {
    /// Opens the store: replays what the log holds and no part does, and starts the threads.
    ///
    /// # Errors
    /// The log or the manifest cannot be read, or another has them.
    /// # Cost
    /// Reads the log from `wal_low` on; where that is more than memory may hold, parts are cut meanwhile.
    pub fn open(options: Options, objects: Arc<dyn Objects>, meaning: Arc<M>) -> Result<(Self, Opened), OpenError> {
        recover::open(options, objects, meaning)
    }

    /// Hands something in to be taken. How much may wait is the caller's to bound.
    pub fn offer(&self, input: Input<M>) {
        if let Err(mpsc::SendError(writer::Ask::Input(input))) = self.asks.0.send(writer::Ask::Input(input)) {
            (input.done)(Err(Refused::Over(None)));
        }
    }

    /// Returns what is stored now.
    pub fn view(&self) -> View {
        self.shared.view()
    }

    /// Returns the objects that the parts of a view are in.
    pub fn objects(&self) -> &Arc<dyn Objects> {
        &self.shared.objects
    }

    /// Has what was taken so far written as a part, and returns once that is done, or was given up because the store ends.
    pub fn cut(&self) {
        let (done, wait) = mpsc::channel();
        if self.asks.0.send(writer::Ask::Cut(done)).is_ok() {
            let _ = wait.recv(); // ended either way
        }
    }

    /// Ends: what was answered is durable.
    pub fn close(&self) {
        let (done, wait) = mpsc::channel();
        if self.asks.0.send(writer::Ask::Close(done)).is_ok() {
            let _ = wait.recv(); // ended either way
        }
    }

    /// Returns why no part can be written at present, as a sentence; `None` where the last one was.
    pub fn trouble(&self) -> Option<String> {
        self.shared.counters.trouble()
    }

    /// Returns the counters.
    pub fn stats(&self) -> Stats {
        self.shared.counters.stats(&self.shared.view())
    }
}

#[cfg(test)]
mod tests;
