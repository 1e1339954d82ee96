//! The cutter: makes a part of a frozen batch, commits it, and shows it in its place.
//!
//! One thread, which keeps parts up while there is no batch (`upkeep`). What fails is tried again, with pauses, for as long as the store lives: meanwhile the writer refuses what it has no room for.

use super::upkeep::Upkeep;
use super::writer::Ask;
use super::{Meaning, Shared, SharedBatch, read};
use crate::manifest::entry::PartEntry;
use crate::manifest::{Change, ManifestError, write::Writer as Manifest};
use crate::part::write::{Cut, write};
use crate::part::{PartError, PartId};
use crate::promote::Promoted;
use crate::wal::Seq;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long after a failure it is tried again: twice as long each time.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// zstd's level for cuts.
const ZSTD_LEVEL: i32 = 1;
/// How far back reports of a trace are looked for that has new ones: longer than agents hold on to a trace.
const REPORTED_WITHIN_MS: u64 = 30 * 60 * 1000;

/// A batch to make a part of.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) batch: SharedBatch,
    /// The last record whose rows it has; all before it are in parts.
    pub(super) upto: Seq,
}

/// A part that could not be made.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CutError {
    /// Its files.
    #[error(transparent)]
    Part(#[from] PartError),
    /// Its manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

impl CutError {
    /// Returns why no part can ever be made again.
    pub(super) fn fence(&self) -> Option<&ManifestError> {
        match self {
            Self::Manifest(error @ ManifestError::Fenced { .. }) => Some(error),
            _ => None,
        }
    }
}

pub(super) struct Cutter<M> {
    pub(super) shared: Arc<Shared<M>>,
    pub(super) manifest: Manifest,
    pub(super) upkeep: Upkeep,
    /// Keys that the last part had columns for.
    before: Vec<Promoted>,
}

impl<M: Meaning> Cutter<M> {
    pub(super) fn new(shared: Arc<Shared<M>>, manifest: Manifest) -> Self {
        let before = manifest.state().parts.last_key_value().map(|(_, part)| part.promoted.clone()).unwrap_or_default();
        let upkeep = Upkeep::new(&shared);
        Self { shared, manifest, upkeep, before }
    }

    /// Makes parts until there is no more to do.
    pub(super) fn run(mut self, jobs: &mpsc::Receiver<Job>, asks: &mpsc::Sender<Ask<M>>) {
        let mut came = None;
        loop {
            let job = match came.take().map_or_else(|| jobs.recv_timeout(self.upkeep.rest()), Ok) {
                Ok(job) => job,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => match self.keep_up(jobs) {
                    Ok(job) => {
                        came = job;
                        continue;
                    }
                    Err(error) => {
                        self.shared.counters.cut_failed(&error);
                        tell_fence(&error, asks);
                        return;
                    }
                },
            };
            let mut pause = PAUSE_MIN;
            let mut written = None;
            while let Err(error) = self.cut(&job, &mut written) {
                self.shared.counters.cut_failed(&error);
                if tell_fence(&error, asks) {
                    return;
                }
                if self.shared.counters.is_closing.load(Relaxed) {
                    return; // the log still has it
                }
                std::thread::sleep(pause);
                pause = (pause * 2).min(PAUSE_MAX);
            }
            self.upkeep.was_cut();
            let _ = asks.send(Ask::Committed { upto: job.upto }); // nobody takes in any more
        }
    }

    /// Makes a part of a batch and shows it. What was `written` by an earlier attempt is not written again.
    pub(super) fn cut(&mut self, job: &Job, written: &mut Option<PartEntry>) -> Result<(), CutError> {
        let start = Instant::now(); // only counted
        let part = match written {
            Some(part) => part.clone(),
            None => written.insert(self.write(job)?).clone(),
        };
        self.commit(job, part)?;
        self.shared.counters.cut(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        Ok(())
    }

    fn write(&mut self, job: &Job) -> Result<PartEntry, CutError> {
        let id = PartId::new(now_ms(), random());
        self.shared.assemble_all(&self.shared.view(), &job.batch, id.time_ms().saturating_sub(REPORTED_WITHIN_MS));
        let options = &self.shared.options;
        let cut = Cut {
            id,
            writer: &options.writer,
            commit: options.commit,
            before: &self.before,
            forced: &options.forced,
            zstd_level: ZSTD_LEVEL,
            parents: &[],
        };
        Ok(write(&read(&job.batch), &cut, &*self.shared.objects)?)
    }

    fn commit(&mut self, job: &Job, part: PartEntry) -> Result<(), CutError> {
        let objects = &*self.shared.objects;
        let id = part.id;
        // What an earlier attempt left open is this part.
        self.manifest.settle(objects)?;
        if !self.manifest.state().parts.contains_key(&id) {
            let change = Change { add: vec![part], wal_low: Some(job.upto.next().0), ..Change::default() };
            self.manifest.commit(objects, change)?;
        }
        let state = Arc::new(self.manifest.state().clone());
        self.before = state.parts.get(&id).map(|part| part.promoted.clone()).unwrap_or_default();
        self.shared.change_view(|view| {
            view.manifest = state;
            view.batches.retain(|batch| !Arc::ptr_eq(batch, &job.batch));
        });
        self.shared.reports().keep_those_of(&self.shared.view());
        Ok(())
    }

    /// Shows the parts that the manifest names now.
    pub(super) fn publish(&self) {
        let state = Arc::new(self.manifest.state().clone());
        self.shared.change_view(|view| view.manifest = state);
        self.shared.reports().keep_those_of(&self.shared.view());
    }
}

/// Tells the writer that another process writes under this name, where that is the error; returns whether it is.
fn tell_fence<M: Meaning>(error: &CutError, asks: &mpsc::Sender<Ask<M>>) -> bool {
    if let Some(fence) = error.fence() {
        let _ = asks.send(Ask::Fenced(fence.clone())); // nobody takes in any more
    }
    error.fence().is_some()
}

pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Returns random bits for the id of a part.
pub(super) fn random() -> u128 {
    u128::from(super::random()) << 64 | u128::from(super::random())
}
