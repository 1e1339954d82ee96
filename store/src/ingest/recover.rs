//! Opening a store: what the log holds and no part does is put into a batch again, as it was when it came.
//!
//! Called once. The threads are started when all of it is there.

use super::cut::Cutter;
use super::writer::Writer;
use super::{Ingest, Meaning, OpenError, Options, Shared, SharedBatch, new_batch, random, read, write};
use crate::manifest::write::Writer as Manifest;
use crate::objects::Objects;
use crate::view::View;
use crate::wal::{self, Known, Record, Recovery, Seq, Wal};
use std::sync::{Arc, Mutex, RwLock, mpsc};

/// What was found when a store was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Opened {
    /// What the log says of itself.
    pub log: Recovery,
    /// Records that were put into a batch again.
    pub n_replayed: u64,
    /// Records that this version cannot read: what is in them stays in the log until the next cut.
    pub n_unreadable: u64,
}

pub(super) fn open<M: Meaning>(
    options: Options,
    objects: Arc<dyn Objects>,
    meaning: Arc<M>,
) -> Result<(Ingest<M>, Opened), OpenError> {
    let manifest = Manifest::open(&*objects, &options.writer, random())?;
    let state = manifest.state();
    let known =
        Known { wal_low: Seq(state.wal_low), last_seq: Seq(state.wal_low.saturating_sub(1)), epoch: state.epoch };
    let wal_options = wal::Options {
        fsync: options.fsync,
        wal_bytes: options.wal_bytes,
        file_bytes: options.wal_file_bytes,
        known,
        ..wal::Options::default()
    };
    let (wal, log) = Wal::open(&options.wal, wal_options)?;
    let open = new_batch();
    let view = View { manifest: Arc::new(state.clone()), batches: vec![open.clone()] };
    let shared = Arc::new(Shared {
        meaning,
        objects,
        options,
        view: RwLock::new(view),
        reports: Mutex::default(),
        counters: super::stats::Counters::default(),
    });
    let mut replay = Replay {
        cutter: Cutter::new(shared.clone(), manifest),
        shared: shared.clone(),
        open,
        last: known.last_seq,
        last_ingest_ns: 0,
        opened: Opened { log, ..Opened::default() },
        failed: None,
    };
    wal.replay(known.wal_low, &mut |record| replay.visit(&record))?;
    if let Some(error) = replay.failed {
        return Err(error.into());
    }
    let Replay { cutter, open, opened, .. } = replay;
    start(shared, wal, open, cutter).map(|ingest| (ingest, opened))
}

struct Replay<M> {
    cutter: Cutter<M>,
    shared: Arc<Shared<M>>,
    open: SharedBatch,
    /// The last record that is in a batch or a part.
    last: Seq,
    last_ingest_ns: u64,
    opened: Opened,
    failed: Option<super::cut::CutError>,
}

impl<M: Meaning> Replay<M> {
    fn visit(&mut self, record: &Record<'_>) {
        if self.failed.is_some() {
            return;
        }
        if read(&self.open).memory_bytes() >= self.shared.options.batch_bytes() {
            self.cut();
        }
        if !self.put(record) {
            self.cut(); // it may have been full
            if !self.put(record) {
                self.opened.n_unreadable += 1;
            }
        }
        (self.last, self.last_ingest_ns) = (record.seq, record.ingest_ns);
    }

    fn put(&mut self, record: &Record<'_>) -> bool {
        let mut batch = write(&self.open);
        let mark = batch.mark();
        match self.shared.meaning.put(record, &mut batch) {
            Ok(receipt) => {
                drop(batch);
                self.shared.meaning.taken(&receipt);
                self.opened.n_replayed += 1;
                true
            }
            Err(_) => {
                batch.take_back(mark);
                false
            }
        }
    }

    /// Makes a part of what is there.
    fn cut(&mut self) {
        if read(&self.open).is_empty() || self.failed.is_some() {
            return;
        }
        let job = self.shared.freeze(&mut self.open, self.last, self.last_ingest_ns);
        if let Err(error) = self.cutter.cut(&job, &mut None) {
            self.failed = Some(error);
        }
    }
}

fn start<M: Meaning>(
    shared: Arc<Shared<M>>,
    wal: Wal,
    open: SharedBatch,
    cutter: Cutter<M>,
) -> Result<Ingest<M>, OpenError> {
    let (asks, asked) = mpsc::channel();
    let (jobs, to_do) = mpsc::channel();
    let writer = Writer::new(shared.clone(), wal, open, jobs);
    let of_cutter = asks.clone();
    spawn("bks-cut", move || cutter.run(&to_do, &of_cutter))?;
    spawn("bks-store", move || writer.run(&asked))?;
    Ok(Ingest { shared, asks: Arc::new(super::Asks(asks)) })
}

fn spawn(name: &'static str, run: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    started.map(drop).map_err(|source| OpenError::Thread { name, source: Arc::new(source) })
}
