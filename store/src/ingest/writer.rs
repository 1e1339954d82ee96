//! The writer: puts what comes into the open batch and into the log, and tells whoever waits.
//!
//! One thread, the only one that appends. What has to survive a power failure waits for a sync that it shares with what comes within a moment.

use super::cut::Job;
use super::options::FEW_ROWS;
use super::{Answer, Input, Meaning, PutError, Refused, Shared, SharedBatch, read, write};
use crate::manifest::ManifestError;
use crate::wal::{Fsync, Kind, Record, Seq, Wal, WalError};
use backsight_core::units::Nanos;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Inputs that are taken before it is looked whether something else is due.
const GROUP_MAX: usize = 256;
/// How long what comes first waits for more where the log was made durable a moment ago.
const GATHER: Duration = Duration::from_millis(50);
/// How often it is looked whether something is due.
const TICK: Duration = Duration::from_millis(20);

/// What the writer is asked.
pub(super) enum Ask<M: Meaning> {
    /// Take something in.
    Input(Input<M>),
    /// Cut what was taken so far, and say when that is done.
    Cut(mpsc::Sender<()>),
    /// Records up to this one stand in parts.
    Committed { upto: Seq },
    /// Another process writes under this name.
    Fenced(ManifestError),
    /// End.
    Close(mpsc::Sender<()>),
}

pub(super) struct Writer<M: Meaning> {
    pub(super) shared: Arc<Shared<M>>,
    pub(super) wal: Wal,
    pub(super) open: SharedBatch,
    pub(super) jobs: mpsc::Sender<Job>,
    /// The last record of the batch that is being written.
    pub(super) cutting: Option<Seq>,
    /// Since when the open batch has rows.
    pub(super) filled: Option<Instant>,
    /// When the last record came, in nanoseconds since 1970.
    last_ingest_ns: u64,
    /// Those who wait for the next sync, with what they are told then.
    waiting: Vec<Waiting<M>>,
    sync_due: Option<Instant>,
    synced: Option<Instant>,
    /// Those who wait for a part.
    cuts: Vec<(Seq, mpsc::Sender<()>)>,
    over: Option<ManifestError>,
    started: Instant,
}

type Waiting<M> = (Box<dyn FnOnce(Answer<M>) + Send>, <M as Meaning>::Receipt);

impl<M: Meaning> Writer<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, wal: Wal, open: SharedBatch, jobs: mpsc::Sender<Job>) -> Self {
        Self {
            shared,
            wal,
            open,
            jobs,
            cutting: None,
            filled: None,
            last_ingest_ns: 0,
            waiting: Vec::new(),
            sync_due: None,
            synced: None,
            cuts: Vec::new(),
            over: None,
            started: Instant::now(),
        }
    }

    pub(super) fn run(mut self, asks: &mpsc::Receiver<Ask<M>>) {
        let closing = loop {
            let first = match asks.recv_timeout(self.rest()) {
                Ok(ask) => Some(ask),
                Err(mpsc::RecvTimeoutError::Timeout) => None,
                Err(mpsc::RecvTimeoutError::Disconnected) => break None,
            };
            let more = std::iter::from_fn(|| asks.try_recv().ok());
            let closing = first.into_iter().chain(more.take(GROUP_MAX)).find_map(|ask| self.take(ask));
            self.sync_if_due();
            self.cut_if_due();
            self.shared.counters.log_has(self.wal.usage().live_bytes);
            if closing.is_some() {
                break closing;
            }
        };
        self.shared.counters.is_closing.store(true, Relaxed);
        self.sync();
        drop(self); // the log is another's to open from here on
        if let Some(closing) = closing {
            let _ = closing.send(()); // whoever asked may be gone
        }
    }

    /// Returns how long there is nothing to do but what is asked.
    fn rest(&self) -> Duration {
        self.sync_due.map_or(TICK, |due| due.saturating_duration_since(Instant::now()).min(TICK))
    }

    /// Does what is asked; returns whom to tell where that is to end.
    fn take(&mut self, ask: Ask<M>) -> Option<mpsc::Sender<()>> {
        match ask {
            Ask::Input(input) => self.take_input(input),
            Ask::Cut(done) => {
                let last = Seq(self.wal.next_seq().0.saturating_sub(1));
                if read(&self.open).is_empty() && self.cutting.is_none() {
                    let _ = done.send(()); // whoever asked may be gone
                } else {
                    self.cuts.push((last, done));
                }
            }
            Ask::Committed { upto } => self.committed(upto),
            Ask::Fenced(error) => {
                self.over = Some(error);
                self.cuts.clear();
            }
            Ask::Close(done) => return Some(done),
        }
        None
    }

    fn take_input(&mut self, input: Input<M>) {
        let Input { kind, ingest_ns, payload, is_durable, done } = input;
        match self.put(kind, ingest_ns, &payload) {
            Ok(receipt) => {
                self.shared.counters.taken(payload.len());
                self.shared.meaning.taken(&receipt);
                if is_durable || self.shared.options.fsync == Fsync::Always {
                    self.wait_for_sync(done, receipt);
                } else {
                    done(Ok(receipt));
                }
            }
            Err(refused) => {
                match &refused {
                    Refused::Malformed(_) | Refused::TooLarge => self.shared.counters.malformed(),
                    _ => self.shared.counters.busy(),
                }
                done(Err(refused));
            }
        }
    }

    /// Puts a record into the batch and the log, or into neither.
    fn put(&mut self, kind: Kind, ingest_ns: u64, payload: &[u8]) -> Answer<M> {
        if let Some(error) = &self.over {
            return Err(Refused::Over(Some(error.clone())));
        }
        if self.is_full() && !self.begin_cut() {
            return Err(Refused::Busy);
        }
        match self.put_into_open(kind, ingest_ns, payload) {
            Err(PutError::Full(_)) => {}
            Err(PutError::Malformed(refusal)) => return Err(Refused::Malformed(refusal)),
            Ok(taken) => return taken,
        }
        if read(&self.open).is_empty() {
            return Err(Refused::TooLarge);
        }
        if !self.begin_cut() {
            return Err(Refused::Busy);
        }
        self.put_into_open(kind, ingest_ns, payload).map_err(|error| match error {
            PutError::Full(_) => Refused::TooLarge,
            PutError::Malformed(refusal) => Refused::Malformed(refusal),
        })?
    }

    fn put_into_open(&mut self, kind: Kind, ingest_ns: u64, payload: &[u8]) -> Result<Answer<M>, PutError<M::Refusal>> {
        let open = self.open.clone();
        let mut batch = write(&open);
        let mark = batch.mark();
        let record = Record { seq: self.wal.next_seq(), kind, ingest_ns, payload };
        let receipt = match self.shared.meaning.put(&record, &mut batch) {
            Ok(receipt) => receipt,
            Err(error) => {
                batch.take_back(mark);
                return Err(error);
            }
        };
        if let Err(error) = self.wal.append(kind, ingest_ns, payload) {
            batch.take_back(mark);
            drop(batch);
            if matches!(error, WalError::Full { .. }) {
                self.begin_cut();
                return Ok(Err(Refused::Busy));
            }
            return Ok(Err(Refused::Log(error)));
        }
        self.last_ingest_ns = ingest_ns;
        Ok(Ok(receipt))
    }

    fn wait_for_sync(&mut self, done: Box<dyn FnOnce(Answer<M>) + Send>, receipt: M::Receipt) {
        let now = Instant::now();
        let is_busy = self.synced.is_some_and(|synced| now.duration_since(synced) < 2 * GATHER);
        self.sync_due.get_or_insert(if is_busy { now + GATHER } else { now });
        self.waiting.push((done, receipt));
    }

    fn sync_if_due(&mut self) {
        let now = Instant::now();
        if self.sync_due.is_some_and(|due| due <= now) {
            self.sync();
        }
        let since = Nanos(u64::try_from(now.duration_since(self.started).as_nanos()).unwrap_or(u64::MAX));
        if self.shared.options.fsync != Fsync::Always {
            let _ = self.wal.tick(since); // nobody waits for it, and the next sync says it again
        }
    }

    /// Makes the log durable and tells those who wait.
    fn sync(&mut self) {
        let start = Instant::now();
        let synced = self.wal.sync();
        self.shared.counters.synced(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        (self.synced, self.sync_due) = (Some(Instant::now()), None);
        for (done, receipt) in self.waiting.drain(..) {
            done(match &synced {
                Ok(_) => Ok(receipt),
                Err(error) => Err(Refused::Log(error.clone())),
            });
        }
    }

    fn is_full(&self) -> bool {
        let batch = read(&self.open);
        batch.memory_bytes() >= self.shared.options.batch_bytes() || batch.n_spans() >= self.shared.options.rows_max
    }

    /// Cuts what is old enough, or where the log is three quarters full, or somebody waits for it.
    fn cut_if_due(&mut self) {
        let (is_empty, is_few) = {
            let open = read(&self.open);
            (open.is_empty(), open.n_spans() < FEW_ROWS)
        };
        if is_empty {
            return;
        }
        // Rows of traces that were assembled come without a record.
        let filled = *self.filled.get_or_insert_with(Instant::now);
        let options = &self.shared.options;
        let every = if is_few { options.cut_few_every } else { options.cut_every };
        let usage = self.wal.usage();
        let is_due = filled.elapsed() >= Duration::from_nanos(every.0)
            || usage.live_bytes > usage.limit_bytes / 4 * 3
            || !self.cuts.is_empty()
            || self.is_full();
        if is_due {
            self.begin_cut();
        }
    }

    /// Freezes the open batch, has a part made of it, and opens another. Returns whether there is room now: not while another one is being
    /// written.
    pub(super) fn begin_cut(&mut self) -> bool {
        if self.cutting.is_some() || self.over.is_some() {
            return false;
        }
        let upto = Seq(self.wal.next_seq().0.saturating_sub(1));
        let job = self.shared.freeze(&mut self.open, upto, self.last_ingest_ns);
        self.filled = None;
        let is_begun = self.jobs.send(job).is_ok();
        self.cutting = is_begun.then_some(upto);
        is_begun
    }

    /// Frees what the log has of what stands in parts.
    fn committed(&mut self, upto: Seq) {
        self.cutting = None;
        let _ = self.wal.free_before(upto.next()); // freed with what comes later
        self.cuts.retain(|(last, done)| {
            if *last <= upto {
                let _ = done.send(()); // whoever asked may be gone
            }
            *last > upto
        });
    }
}
