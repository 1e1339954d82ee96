//! The manifest: which parts there are, as a log of numbered files that one writer appends to and anybody follows.
//!
//! [`write::Writer`] is called by the collector at a cut, [`read::Reader`] by searches, [`sweep`] by retention. What a part is stands in
//! [`entry`]. A version is there as a whole or not at all, as its file is created in one step, and only by whoever is first: a writer that
//! finds its number taken by another has been replaced, and stops for good.

pub mod entry;
pub mod read;
pub mod sweep;
pub mod write;

use crate::manifest::entry::{PartEntry, as_hex, as_texts, as_traces};
use crate::objects::{ObjectError, Objects};
use crate::part::PartId;
use backsight_core::checksum::checksum;
use backsight_core::ids::TraceId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The format of manifests that this code writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
/// Each version whose number is a multiple of this lists all parts.
pub const SNAPSHOT_EVERY: u64 = 64;
/// The longest file: a snapshot of some 60,000 parts.
pub const FILE_MAX_BYTES: u64 = 128 << 20;
/// The longest name of a writer.
pub const WRITER_MAX_BYTES: usize = 64;
/// The folder of all manifests.
pub const FOLDER: &str = "manifest";
const HINT: &str = "LATEST";
const HINT_MAX_BYTES: u64 = 64;

/// A manifest could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ManifestError {
    /// The disk or the store failed.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// Another process writes under this name.
    #[error(
        "version {version} of the manifest of {writer} was written by another process, as epoch {epoch}; \
         this one has been replaced and stops; give each collector a name of its own"
    )]
    Fenced {
        /// The name.
        writer: String,
        /// The version.
        version: u64,
        /// The epoch of the other.
        epoch: u64,
    },
    /// It is unknown whether the last version was written.
    #[error(
        "it is not known whether version {version} of the manifest of {writer} was written; settle it before the next"
    )]
    Unsettled {
        /// The name.
        writer: String,
        /// The version.
        version: u64,
        /// Why.
        #[source]
        source: Option<ObjectError>,
    },
    /// A later version of this software wrote it.
    #[error("{path} has format {format}, and this version reads up to {FORMAT}; upgrade what reads it")]
    Newer {
        /// Its path.
        path: String,
        /// Its format.
        format: u32,
    },
    /// A file of the log is not what was written, or does not follow the one before it.
    #[error(
        "{path} is damaged: {why}; restore it from a backup, or rebuild the manifest from the parts by `backsight store`"
    )]
    Damaged {
        /// Its path.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// The name of a writer cannot stand in a path.
    #[error(
        "`{name}` cannot name a writer: 1 to {WRITER_MAX_BYTES} letters, digits, `-`, `_` or `.`, the first one no `.`"
    )]
    BadName {
        /// The name.
        name: String,
    },
    /// A change takes out a part that is not there, or puts in one that is.
    #[error("part {part} cannot be {what} by this change")]
    BadChange {
        /// The part.
        part: PartId,
        /// What was to be done with it.
        what: &'static str,
    },
}

/// What one version changes.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Change {
    /// Parts that come in.
    pub add: Vec<PartEntry>,
    /// Parts that go.
    pub remove: Vec<PartId>,
    /// The first record of the write-ahead log that is still needed, where that changes.
    pub wal_low: Option<u64>,
    /// The record up to which aggregates are included, where that changes.
    pub agg_upto: Option<u64>,
    /// Traces that retention is to keep from now on.
    pub pin: Vec<TraceId>,
    /// Traces that it need not keep any more.
    pub unpin: Vec<TraceId>,
}

/// A file of the log.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct VersionFile {
    format: u32,
    writer: String,
    version: u64,
    /// Counts who has written under this name; the nonce tells apart two that began at the same time.
    epoch: u64,
    #[serde(with = "as_hex")]
    nonce: u64,
    /// Of the file before, 0 where there is none.
    #[serde(with = "as_hex")]
    prev_xxh3: u64,
    add: Vec<PartEntry>,
    #[serde(with = "as_texts")]
    remove: Vec<PartId>,
    wal_low: u64,
    agg_upto: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "as_traces")]
    pin: Vec<TraceId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "as_traces")]
    unpin: Vec<TraceId>,
    /// In a snapshot all traces that are pinned.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "as_traces")]
    pins: Vec<TraceId>,
    /// In a snapshot all parts, this version's change included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parts: Option<Vec<PartEntry>>,
}

/// What is read of a file whose format may be of a later version.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

/// A version: all that a manifest says.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct State {
    /// The number of the last version, 0 before the first.
    pub version: u64,
    /// Who wrote it.
    pub epoch: u64,
    /// The checksum of its file.
    pub xxh3: u64,
    /// The parts.
    pub parts: BTreeMap<PartId, PartEntry>,
    /// The first record of the write-ahead log that is still needed.
    pub wal_low: u64,
    /// The record up to which aggregates are included.
    pub agg_upto: u64,
    /// The traces that retention keeps.
    pub pins: BTreeSet<TraceId>,
}

impl State {
    /// Goes on to the version in `file`, whose bytes have the checksum `xxh3`.
    fn apply(&mut self, path: &str, file: &VersionFile, xxh3: u64) -> Result<(), ManifestError> {
        let damaged = |why: &str| ManifestError::Damaged { path: path.to_owned(), why: why.to_owned() };
        if file.version != self.version + 1 || file.prev_xxh3 != self.xxh3 || file.epoch < self.epoch {
            return Err(damaged("it does not follow the version before it"));
        }
        let change = Change { add: file.add.clone(), remove: file.remove.clone(), ..Change::default() };
        self.check(&change).map_err(|error| damaged(&error.to_string()))?;
        for id in &file.remove {
            self.parts.remove(id);
        }
        self.parts.extend(file.add.iter().map(|part| (part.id, part.clone())));
        for trace in &file.unpin {
            self.pins.remove(trace);
        }
        self.pins.extend(&file.pin);
        self.take_numbers(file, xxh3);
        Ok(())
    }

    /// Returns the version in a snapshot.
    fn of_snapshot(path: &str, file: VersionFile, xxh3: u64) -> Result<Self, ManifestError> {
        let mut state = Self::default();
        state.take_numbers(&file, xxh3);
        state.pins = file.pins.into_iter().collect();
        let Some(parts) = file.parts else {
            return Err(ManifestError::Damaged { path: path.to_owned(), why: "it should list all parts".to_owned() });
        };
        state.parts = parts.into_iter().map(|part| (part.id, part)).collect();
        Ok(state)
    }

    fn take_numbers(&mut self, file: &VersionFile, xxh3: u64) {
        self.version = file.version;
        self.epoch = file.epoch;
        self.xxh3 = xxh3;
        self.wal_low = file.wal_low;
        self.agg_upto = file.agg_upto;
    }

    /// Checks that a change can be made.
    fn check(&self, change: &Change) -> Result<(), ManifestError> {
        let mut removed = BTreeSet::new();
        for id in &change.remove {
            if !self.parts.contains_key(id) || !removed.insert(*id) {
                return Err(ManifestError::BadChange { part: *id, what: "removed" });
            }
        }
        let mut added = BTreeSet::new();
        for part in &change.add {
            let is_there = self.parts.contains_key(&part.id) && !removed.contains(&part.id);
            if is_there || !added.insert(part.id) {
                return Err(ManifestError::BadChange { part: part.id, what: "added" });
            }
        }
        Ok(())
    }
}

/// Returns `name`, if it can name a writer.
fn checked_name(name: &str) -> Result<&str, ManifestError> {
    let is_good = (1..=WRITER_MAX_BYTES).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_good { Ok(name) } else { Err(ManifestError::BadName { name: name.chars().take(WRITER_MAX_BYTES).collect() }) }
}

fn folder_of(writer: &str) -> String {
    format!("{FOLDER}/{writer}")
}

fn path_of(writer: &str, version: u64) -> String {
    format!("{FOLDER}/{writer}/{version:020}.json")
}

fn hint_path(writer: &str) -> String {
    format!("{FOLDER}/{writer}/{HINT}")
}

/// Returns the version that `path` is the file of.
fn version_of_path(writer: &str, path: &str) -> Option<u64> {
    let digits = path.strip_prefix(&folder_of(writer))?.strip_prefix('/')?.strip_suffix(".json")?;
    let version = digits.parse().ok()?;
    (path_of(writer, version) == path).then_some(version)
}

/// Reads the file of a version, with its checksum; `None` where there is none.
fn load(objects: &dyn Objects, writer: &str, version: u64) -> Result<Option<(VersionFile, u64)>, ManifestError> {
    let path = path_of(writer, version);
    let Some(bytes) = objects.get(&path, FILE_MAX_BYTES)? else { return Ok(None) };
    let damaged = |why: String| ManifestError::Damaged { path: path.clone(), why };
    let FormatOnly { format } = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if format > FORMAT {
        return Err(ManifestError::Newer { path, format });
    }
    let file: VersionFile = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if file.version != version || file.writer != writer {
        return Err(damaged(format!("it is version {} of {}", file.version, file.writer)));
    }
    Ok(Some((file, checksum(0, &bytes))))
}

#[cfg(test)]
pub(crate) mod tests;
