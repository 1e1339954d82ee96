//! Retention: what goes, the oldest first, and when its files are deleted; pinned traces are moved out of the way before.
//!
//! Called every minute by the collector. What decides is pure: [`due`]. [`Retention`] carries it out: it moves what people pinned, commits
//! the change, and deletes files some minutes later, as searches may still read them. Nothing here reads a clock. What a crash leaves is
//! swept (`manifest::sweep`): files go only after the manifest says so, never before.

pub mod pins;

use crate::compact::{CompactError, GoOn, Settings, Work, join};
use crate::manifest::entry::PartEntry;
use crate::manifest::sweep::{GRACE_NS, Sweep};
use crate::manifest::write::Writer;
use crate::manifest::{Change, ManifestError, State};
use crate::objects::Objects;
use crate::part::read::{File, Reports, Scan, Slices, Traces};
use crate::part::{PartError, PartId, Shelf};
use crate::schema::Table;
use backsight_core::ids::TraceId;
use std::collections::{BTreeMap, BTreeSet};

const DAY_NS: i64 = 86_400_000_000_000;
/// Strangers are looked for this often: the store is listed for it.
const SWEEP_EVERY_NS: i64 = GRACE_NS;

/// How much is kept.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Limits {
    /// How long a part is kept since the last of it came (`store.retain_age`).
    pub age_ns: i64,
    /// How long what it counted over all traces, the table `agg`, and tables that are not known (`store.agg_age`).
    pub agg_age_ns: i64,
    /// The most bytes of all parts (`store.retain_bytes`).
    pub bytes: u64,
    /// The most that they take of the file system, 0 to 1 (`store.retain_fs_share`). What is given up takes its room for ten minutes more.
    pub fs_share: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { age_ns: 7 * DAY_NS, agg_age_ns: 30 * DAY_NS, bytes: 50 << 30, fs_share: 0.8 }
    }
}

impl Limits {
    fn bytes_max(&self, fs_bytes: Option<u64>) -> u64 {
        let of_fs = fs_bytes.map_or(u64::MAX, |bytes| (bytes as f64 * self.fs_share.clamp(0.0, 1.0)) as u64);
        self.bytes.min(of_fs)
    }

    /// Returns what stays of a part that came `age_ns` ago.
    fn rest(&self, age_ns: i64) -> Rest {
        match age_ns {
            age_ns if age_ns <= self.age_ns => Rest::All,
            age_ns if age_ns <= self.agg_age_ns => Rest::Aggregates,
            _ => Rest::Nothing,
        }
    }
}

/// What stays of a part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// All of it.
    All,
    /// Files that hold no rows of traces ([`PartEntry::without_rows`]).
    Aggregates,
    /// Nothing.
    Nothing,
}

impl Rest {
    /// Returns the bytes that stay.
    fn bytes(self, part: &PartEntry) -> u64 {
        let of_rows = || part.files.iter().filter(|file| file.is_of_rows()).map(|file| file.bytes).sum::<u64>();
        match self {
            Self::All => part.bytes(),
            Self::Aggregates => part.bytes() - of_rows(),
            Self::Nothing => 0,
        }
    }
}

/// What was read of parts so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// The traces in each part of pinned traces.
    pub pinned: BTreeMap<PartId, BTreeSet<TraceId>>,
    /// Parts that cannot be read; while something is pinned they stay, as they may hold it.
    pub unreadable: BTreeSet<PartId>,
}

/// Returns the parts that are to go at `now_ns`, the oldest first, on a file system of `fs_bytes`, and what stays of each.
///
/// # Shape
/// All that are older than they may be, and beyond that as many as are over the bytes: rows of traces first, then what was counted. Parts of
/// pinned traces stay, but for those with a trace that is not pinned any more.
pub fn due(state: &State, known: &Known, limits: &Limits, fs_bytes: Option<u64>, now_ns: i64) -> Vec<(PartId, Rest)> {
    let may_go = |part: &&PartEntry| {
        let has_unpinned = || known.pinned.get(&part.id).is_some_and(|traces| !traces.is_subset(&state.pins));
        let is_readable = state.pins.is_empty() || !known.unreadable.contains(&part.id);
        is_readable && (!part.is_pinned() || has_unpinned())
    };
    let by_age = |part: &PartEntry| limits.rest(now_ns.saturating_sub(came_ns(part)));
    let mut rests: Vec<_> = state.parts.values().filter(may_go).map(|part| (part, by_age(part))).collect();
    rests.sort_by_key(|(part, _)| (came_ns(part), part.id));
    let mut bytes: u64 = state.parts.values().map(PartEntry::bytes).sum();
    bytes -= rests.iter().map(|(part, rest)| part.bytes() - rest.bytes(part)).sum::<u64>();
    for least in [Rest::Aggregates, Rest::Nothing] {
        for (part, rest) in &mut rests {
            let freed = rest.bytes(part).saturating_sub(least.bytes(part));
            if freed > 0 && bytes > limits.bytes_max(fs_bytes) {
                bytes -= freed;
                *rest = least;
            }
        }
    }
    let going = rests.into_iter().filter(|(part, rest)| rest.bytes(part) < part.bytes());
    going.map(|(part, rest)| (part.id, if rest.bytes(part) == 0 { Rest::Nothing } else { rest })).collect()
}

/// Returns when the last of a part came; when it was written, where it does not say.
fn came_ns(part: &PartEntry) -> i64 {
    let written_ns = i64::try_from(part.id.time_ms()).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    if part.max_ingest_ns > 0 { part.max_ingest_ns } else { written_ns }
}

/// A step of retention that was prepared: nobody sees anything of it before it is committed.
#[derive(Clone, Debug, Default)]
pub struct Step {
    /// What the manifest will say.
    pub change: Change,
    /// The parts that go, each with the files that go of it.
    pub gone: Vec<PartEntry>,
    /// Parts that should go and stay, as it cannot be read whether they hold pinned traces; each is told once in ten minutes.
    pub unreadable: Vec<(PartId, CompactError)>,
    /// What was pinned when it was prepared.
    pins: BTreeSet<TraceId>,
}

/// What a run of retention did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The parts that went, each with the files that went of it.
    pub gone: Vec<PartEntry>,
    /// Parts that should go and stay, as it cannot be read whether they hold pinned traces.
    pub unreadable: Vec<(PartId, CompactError)>,
    /// Files that were deleted.
    pub deleted: Vec<String>,
}

/// Retention could not be carried out; what was committed before stands.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RetainError {
    /// The manifest could not be read or written.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Pinned traces could not be moved, as the store failed, or it was asked to stop.
    #[error("cannot move pinned traces")]
    Move(#[source] CompactError),
}

/// Carries retention out.
#[derive(Debug, Default)]
pub struct Retention {
    limits: Limits,
    known: Known,
    /// Files to delete, and when.
    doomed: BTreeMap<String, i64>,
    sweep: Sweep,
    swept_ns: Option<i64>,
}

impl Retention {
    /// Returns retention within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Does a step, deletes files whose time has come, and looks for strangers every ten minutes.
    ///
    /// # Errors
    /// The store failed, another writes under the manifest's name, or `ask` said so.
    /// # Cost
    /// Nothing is read or written while nothing is to go. Where traces are pinned, reads the ids of each part that goes, and copies what is
    /// pinned of it. The manifest is not free meanwhile: whoever cannot wait uses [`Retention::prepare`] and [`Retention::commit`].
    pub fn run(
        &mut self,
        objects: &dyn Objects,
        writer: &mut Writer,
        settings: &Settings<'_>,
        fs_bytes: Option<u64>,
        now_ns: i64,
        ask: &mut GoOn<'_>,
    ) -> Result<Outcome, RetainError> {
        writer.settle(objects)?;
        let step = self.prepare(objects, writer.state(), settings, fs_bytes, now_ns, ask)?;
        let mut outcome =
            Outcome { gone: step.gone.clone(), unreadable: step.unreadable.clone(), ..Outcome::default() };
        self.commit(step, objects, writer, now_ns)?;
        outcome.deleted = self.delete(objects, writer.state(), now_ns)?;
        if self.swept_ns.is_none_or(|swept_ns| now_ns.saturating_sub(swept_ns) >= SWEEP_EVERY_NS) {
            self.swept_ns = Some(now_ns);
            outcome.deleted.extend(self.sweep.run(objects, now_ns)?);
            writer.prune(objects)?;
            self.known.unreadable.clear();
        }
        Ok(outcome)
    }

    /// Finds out what is to go by `state`, and copies what is pinned of it into new parts.
    ///
    /// # Errors
    /// The store failed, or `ask` said so.
    pub fn prepare(
        &mut self,
        objects: &dyn Objects,
        state: &State,
        settings: &Settings<'_>,
        fs_bytes: Option<u64>,
        now_ns: i64,
        ask: &mut GoOn<'_>,
    ) -> Result<Step, RetainError> {
        let mut step = Step { pins: state.pins.clone(), ..Step::default() };
        self.learn(objects, state, &mut step, ask)?;
        for (id, rest) in due(state, &self.known, &self.limits, fs_bytes, now_ns) {
            let Some(part) = state.parts.get(&id) else { continue };
            match moved(objects, state, part, settings, ask) {
                Ok(add) => {
                    step.change.add.extend(add);
                    step.change.remove.push(id);
                    let rest = part.without_rows().filter(|_| rest == Rest::Aggregates);
                    let stays = |path: &str| rest.iter().flat_map(|rest| &rest.files).any(|file| file.path == path);
                    let files = part.files.iter().filter(|file| !stays(&file.path)).cloned().collect();
                    step.gone.push(PartEntry { files, ..part.clone() });
                    step.change.add.extend(rest);
                }
                Err(error) => step.unreadable.push((id, unless_fatal(error)?)),
            }
        }
        self.known.unreadable.extend(step.unreadable.iter().map(|(id, _)| *id));
        Ok(step)
    }

    /// Commits a step, and returns whether it did: not where pins or parts have changed since it was prepared. The files of what goes are
    /// deleted ten minutes later.
    ///
    /// # Errors
    /// The manifest cannot be written. It is not known then whether it was; the files that nobody needs are swept.
    pub fn commit(
        &mut self,
        step: Step,
        objects: &dyn Objects,
        writer: &mut Writer,
        now_ns: i64,
    ) -> Result<bool, ManifestError> {
        let state = writer.state();
        let is_there = |part: &PartEntry| {
            state.parts.get(&part.id).is_some_and(|now| part.files.iter().all(|file| now.files.contains(file)))
        };
        if state.pins != step.pins || !step.gone.iter().all(is_there) {
            return Ok(false);
        }
        if !step.change.remove.is_empty() {
            writer.commit(objects, step.change)?;
            self.gave_up(&step.gone, now_ns);
        }
        Ok(true)
    }

    /// Takes note of parts that the manifest does not name any more, as of a change that was committed: their files are deleted in ten
    /// minutes.
    pub fn gave_up(&mut self, parts: &[PartEntry], now_ns: i64) {
        let files = parts.iter().flat_map(|part| &part.files);
        self.doomed.extend(files.map(|file| (file.path.clone(), now_ns.saturating_add(GRACE_NS))));
    }

    /// Deletes the files whose time has come, and returns them.
    ///
    /// # Errors
    /// The store failed; what is left is deleted next time.
    pub fn delete(&mut self, objects: &dyn Objects, state: &State, now_ns: i64) -> Result<Vec<String>, ManifestError> {
        let mut over: BTreeSet<String> =
            self.doomed.iter().filter(|(_, at_ns)| **at_ns <= now_ns).map(|(path, _)| path.clone()).collect();
        if !over.is_empty() {
            // A part that was given up does not come back; if it did, it would be kept.
            let live = state.parts.values().flat_map(|part| &part.files);
            live.for_each(|file| drop(over.take(&file.path)));
        }
        for path in &over {
            objects.delete(path)?;
            self.doomed.remove(path);
        }
        Ok(over.into_iter().collect())
    }

    /// Learns which traces stand in parts of pinned ones.
    fn learn(
        &mut self,
        objects: &dyn Objects,
        state: &State,
        step: &mut Step,
        ask: &mut GoOn<'_>,
    ) -> Result<(), RetainError> {
        self.known.pinned.retain(|id, _| state.parts.contains_key(id));
        self.known.unreadable.retain(|id| state.parts.contains_key(id));
        for part in state.parts.values().filter(|part| part.is_pinned()) {
            if self.known.pinned.contains_key(&part.id) || self.known.unreadable.contains(&part.id) {
                continue;
            }
            match traces_of(objects, part, |_| true, ask) {
                Ok(traces) => drop(self.known.pinned.insert(part.id, traces)),
                Err(error) => step.unreadable.push((part.id, unless_fatal(error)?)),
            }
        }
        Ok(())
    }
}

/// Copies the pinned traces of a part into a part of their own, if it has any.
fn moved(
    objects: &dyn Objects,
    state: &State,
    part: &PartEntry,
    settings: &Settings<'_>,
    ask: &mut GoOn<'_>,
) -> Result<Option<PartEntry>, CompactError> {
    if state.pins.is_empty() {
        return Ok(None);
    }
    let only = traces_of(objects, part, |trace| state.pins.contains(trace), ask)?;
    if only.is_empty() {
        return Ok(None);
    }
    let next = state.parts.range(part.id..).nth(1).map(|(id, _)| *id);
    let parents = std::slice::from_ref(part);
    let work = Work { objects, parents, next, only: Some(&only), shelf: Shelf::Pinned, settings: *settings };
    join(&work, ask)
}

/// Returns those traces of a part that are wanted, from their ids alone.
fn traces_of(
    objects: &dyn Objects,
    part: &PartEntry,
    is_wanted: impl Fn(&TraceId) -> bool,
    ask: &mut GoOn<'_>,
) -> Result<BTreeSet<TraceId>, CompactError> {
    let mut traces = BTreeSet::new();
    if let Some(entry) = part.file(Table::Traces) {
        let file = Traces::new(File::open(objects, entry)?)?;
        each(file.scan_places()?, ask, |place| traces.extend(Some(place.trace).filter(&is_wanted)))?;
    }
    if let Some(entry) = part.file(Table::Slices) {
        let file = Slices::new(File::open(objects, entry)?)?;
        each(file.scan_places()?, ask, |place| traces.extend(Some(place.trace).filter(&is_wanted)))?;
    }
    if let Some(entry) = part.file(Table::Reports) {
        let file = Reports::new(File::open(objects, entry)?)?;
        each(file.scan_places()?, ask, |place| traces.extend(Some(place.trace).filter(&is_wanted)))?;
    }
    Ok(traces)
}

fn each<T>(mut scan: Scan<T>, ask: &mut GoOn<'_>, mut visit: impl FnMut(T)) -> Result<(), CompactError> {
    while let Some(decoded) = scan.next()? {
        decoded.rows.into_iter().for_each(&mut visit);
        if ask().is_break() {
            return Err(CompactError::Interrupted);
        }
    }
    Ok(())
}

/// Returns an error that is one part's; others end the run.
fn unless_fatal(error: CompactError) -> Result<CompactError, RetainError> {
    match error {
        CompactError::Interrupted | CompactError::Part(PartError::Object(crate::objects::ObjectError::Io { .. })) => {
            Err(RetainError::Move(error))
        }
        error => Ok(error),
    }
}

#[cfg(test)]
mod tests;
