//! Removes files that no manifest names: what crashes left unfinished, and what retention and compaction gave up.
//!
//! Called every now and then by whoever has retention. What decides is pure ([`Sweep::step`]); it removes nothing that is not named as this
//! store names files, and nothing young: a part is written before its manifest.

use super::FOLDER;
use super::read::{Reader, writers};
use crate::local::UNFINISHED_PREFIX;
use crate::manifest::ManifestError;
use crate::objects::{Listed, Objects};
use crate::part::{PINNED_FOLDER, PartName};
use std::collections::{BTreeMap, BTreeSet};

/// A file that no manifest names is left alone for this long after it was written: a cut that takes longer has failed.
pub const STRANGER_AGE_NS: i64 = 3_600_000_000_000;
/// And for this long after it was first seen without a manifest: searches may still read what was given up.
pub const GRACE_NS: i64 = 600_000_000_000;
/// The folder of all parts but the pinned ones.
pub const DATA_FOLDER: &str = "data";

/// What is known of strangers from one sweep to the next.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sweep {
    /// When each was first seen.
    first_seen: BTreeMap<String, i64>,
}

impl Sweep {
    /// Returns the files of `listed` to remove at `now_ns`, where those in `live` stand in a manifest that was read after the listing.
    pub fn step(&mut self, now_ns: i64, listed: &[Listed], live: &BTreeSet<String>) -> Vec<String> {
        let is_stranger = |listed: &&Listed| is_ours(&listed.path) && !live.contains(&listed.path);
        let strangers: Vec<_> = listed.iter().filter(is_stranger).collect();
        let mut first_seen = BTreeMap::new();
        for stranger in &strangers {
            let first = self.first_seen.get(&stranger.path).copied().unwrap_or(now_ns);
            first_seen.insert(stranger.path.clone(), first.min(now_ns));
        }
        self.first_seen = first_seen;
        let is_over = |stranger: &&&Listed| {
            let first = self.first_seen.get(&stranger.path).copied().unwrap_or(now_ns);
            let age_ns = now_ns.saturating_sub(stranger.modified_ns);
            age_ns > STRANGER_AGE_NS && now_ns.saturating_sub(first) >= GRACE_NS
        };
        strangers.iter().filter(is_over).map(|stranger| stranger.path.clone()).collect()
    }

    /// Looks through the store, removes what is to go, and returns it.
    ///
    /// # Errors
    /// A manifest cannot be read, and then nothing is removed; or the store failed.
    /// # Cost
    /// A listing of all files, and a read of all manifests.
    pub fn run(&mut self, objects: &dyn Objects, now_ns: i64) -> Result<Vec<String>, ManifestError> {
        // The listing comes first: what is committed since is then in the manifests.
        let mut listed = objects.list(DATA_FOLDER)?;
        listed.extend(objects.list(PINNED_FOLDER)?);
        listed.extend(objects.list(FOLDER)?);
        let live = live(objects)?;
        let gone = self.step(now_ns, &listed, &live);
        for path in &gone {
            objects.delete(path)?;
        }
        Ok(gone)
    }
}

/// Returns the paths of all files that a manifest names.
///
/// # Errors
/// A manifest cannot be read.
pub fn live(objects: &dyn Objects) -> Result<BTreeSet<String>, ManifestError> {
    let mut live = BTreeSet::new();
    for writer in writers(objects)? {
        let reader = Reader::open(objects, &writer)?;
        live.extend(reader.state().parts.values().flat_map(|part| &part.files).map(|file| file.path.clone()));
    }
    Ok(live)
}

/// Returns whether a file is named as this store names parts, or what it has not finished.
fn is_ours(path: &str) -> bool {
    let is_unfinished = path.rsplit('/').next().is_some_and(|file| file.starts_with(UNFINISHED_PREFIX));
    is_unfinished || PartName::of_path(path).is_some()
}

#[cfg(test)]
mod tests;
