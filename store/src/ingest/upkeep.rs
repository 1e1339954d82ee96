//! Upkeep between cuts: what is too old goes, and small parts become one.
//!
//! Called by the cutter, which has the manifest, while it waits for the next batch; a batch that comes interrupts it, and it goes on afterwards.
//! What fails is tried again a minute later. Nothing is shown before it stands in the manifest.

use super::cut::{CutError, Cutter, Job, now_ms, random};
use super::{Meaning, Shared};
use crate::compact::pace::Pace;
use crate::compact::{self, CompactError, GoOn, Pick};
use crate::manifest::entry::PartEntry;
use crate::objects::ObjectError;
use crate::part::{PartError, PartId};
use crate::retain::{Outcome, RetainError, Retention};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Parts that could not be joined are looked at again after so long.
const PASSED_OVER_FOR: Duration = Duration::from_secs(600);

/// What upkeep remembers.
#[derive(Debug)]
pub(super) struct Upkeep {
    retention: Retention,
    every: Duration,
    /// `None` where nothing is joined.
    pace: Option<Pace>,
    /// When retention is due.
    due: Instant,
    /// Whether there may be something to join.
    is_uneven: bool,
    passed_over: BTreeSet<PartId>,
    /// Since when parts are passed over.
    passed_since: Instant,
}

impl Upkeep {
    pub(super) fn new<M>(shared: &Shared<M>) -> Self {
        let options = &shared.options;
        let share = options.compact_core_share;
        let (now, every) = (Instant::now(), Duration::from_nanos(options.retain_every.0));
        Self {
            retention: Retention::new(options.retain),
            every,
            pace: (share > 0.0).then(|| Pace::new(share)),
            due: now + every,
            is_uneven: true,
            passed_over: BTreeSet::new(),
            passed_since: now,
        }
    }

    /// Returns how long there is nothing to do.
    pub(super) fn rest(&self) -> Duration {
        if self.is_uneven && self.pace.is_some() {
            return Duration::ZERO;
        }
        self.due.saturating_duration_since(Instant::now())
    }

    /// Takes note of a new part.
    pub(super) fn was_cut(&mut self) {
        self.is_uneven = true;
    }
}

/// Asks whether a batch came, and rests as long as the pace wants. The batch is what is left in the end.
struct Breaths<'a> {
    jobs: &'a mpsc::Receiver<Job>,
    pace: Pace,
    since: Instant,
    job: Option<Job>,
}

impl Breaths<'_> {
    fn take(&mut self, is_closing: bool) -> ControlFlow<()> {
        let now = Instant::now();
        let rest = self.pace.worked(now.duration_since(self.since));
        let come = if is_closing || self.job.is_some() {
            return ControlFlow::Break(());
        } else {
            self.jobs.recv_timeout(rest)
        };
        self.since = Instant::now();
        self.pace.rested(self.since.duration_since(now));
        match come {
            Err(mpsc::RecvTimeoutError::Timeout) => ControlFlow::Continue(()),
            Err(mpsc::RecvTimeoutError::Disconnected) => ControlFlow::Break(()),
            Ok(job) => {
                self.job = Some(job);
                ControlFlow::Break(())
            }
        }
    }
}

impl<M: Meaning> Cutter<M> {
    /// Does what is due, and returns a batch that came meanwhile.
    ///
    /// # Errors
    /// Another process writes under the name of this one.
    pub(super) fn keep_up(&mut self, jobs: &mpsc::Receiver<Job>) -> Result<Option<Job>, CutError> {
        let shared = self.shared.clone();
        let is_closing = || shared.counters.is_closing.load(Relaxed);
        // Retention is short, and makes room: it does not rest.
        let pace = self.upkeep.pace.unwrap_or(Pace::new(1.0));
        let mut breaths = Breaths { jobs, pace: Pace::new(1.0), since: Instant::now(), job: None };
        if self.upkeep.due <= Instant::now() {
            let kept = self.retain(&mut || breaths.take(is_closing()));
            self.settle_upkeep(kept)?;
        }
        (breaths.pace, breaths.since) = (pace, Instant::now());
        while self.upkeep.is_uneven && self.upkeep.pace.is_some() && breaths.job.is_none() && !is_closing() {
            let joined = self.join_some(&mut || breaths.take(is_closing()));
            self.settle_upkeep(joined)?;
        }
        self.upkeep.pace = self.upkeep.pace.map(|_| breaths.pace);
        Ok(breaths.job)
    }

    /// Counts what failed, and returns what ends the cutter.
    fn settle_upkeep(&mut self, done: Result<(), CutError>) -> Result<(), CutError> {
        let Err(error) = done else { return Ok(()) };
        if error.fence().is_some() {
            return Err(error);
        }
        // The store is at fault: later.
        self.upkeep.is_uneven = false;
        self.shared.counters.upkeep_failed();
        Ok(())
    }

    /// Has go what is to go.
    fn retain(&mut self, ask: &mut GoOn<'_>) -> Result<(), CutError> {
        self.upkeep.due = Instant::now() + self.upkeep.every;
        self.upkeep.is_uneven = true;
        if self.upkeep.passed_since.elapsed() >= PASSED_OVER_FOR {
            self.upkeep.passed_since = Instant::now();
            self.upkeep.passed_over.clear();
        }
        let shared = self.shared.clone();
        let settings = shared.settings();
        let objects = &*shared.objects;
        let version = self.manifest.state().version;
        let (fs_bytes, now_ns) = (objects.capacity_bytes(), now_ns());
        let ran = self.upkeep.retention.run(objects, &mut self.manifest, &settings, fs_bytes, now_ns, ask);
        // Also where a later step failed.
        if self.manifest.state().version != version {
            self.publish();
        }
        match ran {
            Ok(Outcome { gone, unreadable, deleted }) => {
                shared.counters.retained(gone.len(), deleted.len(), unreadable.len());
                Ok(())
            }
            Err(RetainError::Manifest(error)) => Err(error.into()),
            Err(RetainError::Move(CompactError::Interrupted)) => {
                self.upkeep.due = Instant::now(); // goes on behind the batch
                Ok(())
            }
            Err(RetainError::Move(_)) => {
                shared.counters.upkeep_failed();
                Ok(())
            }
        }
    }

    /// Joins some parts, if there are any to join.
    fn join_some(&mut self, ask: &mut GoOn<'_>) -> Result<(), CutError> {
        let shared = self.shared.clone();
        self.manifest.settle(&*shared.objects)?;
        let Some(pick) = compact::pick(self.manifest.state(), now_ms(), &self.upkeep.passed_over) else {
            self.upkeep.is_uneven = false;
            return Ok(());
        };
        match pick.join(&*shared.objects, &shared.settings(), ask) {
            Ok(change) => {
                self.manifest.commit(&*shared.objects, change)?;
                self.was_joined(&pick);
                Ok(())
            }
            Err(CompactError::Interrupted) => Ok(()),
            Err(CompactError::Part(PartError::Object(error @ ObjectError::Io { .. }))) => {
                Err(CutError::Part(error.into()))
            }
            Err(_) => {
                self.upkeep.passed_over.extend(pick.parents.iter().map(|part| part.id));
                shared.counters.upkeep_failed();
                Ok(())
            }
        }
    }

    fn was_joined(&mut self, pick: &Pick) {
        let bytes: u64 = pick.parents.iter().map(PartEntry::bytes).sum();
        self.upkeep.retention.gave_up(&pick.parents, now_ns());
        self.publish();
        self.shared.counters.joined(pick.parents.len(), bytes);
    }
}

fn now_ns() -> i64 {
    i64::try_from(now_ms()).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

impl<M> Shared<M> {
    /// Returns who writes parts, for one part.
    fn settings(&self) -> compact::Settings<'_> {
        let options = &self.options;
        compact::Settings { writer: &options.writer, commit: options.commit, forced: &options.forced, random: random() }
    }
}
