//! Follows a manifest: from its last snapshot on, version by version.
//!
//! Called by searches, by `write` when it begins, and by `sweep`.

use super::{
    FOLDER, HINT_MAX_BYTES, ManifestError, SNAPSHOT_EVERY, State, checked_name, folder_of, hint_path, load, path_of,
    version_of_path,
};
use crate::objects::Objects;
use std::collections::BTreeSet;

/// Follows the manifest of one writer.
#[derive(Clone, Debug)]
pub struct Reader {
    writer: String,
    state: State,
}

impl Reader {
    /// Reads the manifest of `writer` as it is; one that is not there is empty.
    ///
    /// # Errors
    /// It is damaged, or the store failed.
    /// # Cost
    /// Two reads, and one for each version since the last snapshot: at most 65.
    pub fn open(objects: &dyn Objects, writer: &str) -> Result<Self, ManifestError> {
        let writer = checked_name(writer)?.to_owned();
        let base = match hint(objects, &writer)? {
            Some(version) => from_snapshot(objects, &writer, version)?,
            None => None,
        };
        let state = match base {
            Some(state) => state,
            None => newest_snapshot(objects, &writer)?,
        };
        let mut reader = Self { writer, state };
        reader.follow(objects)?;
        Ok(reader)
    }

    /// Returns the version that was read last.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns the version that was read last, which the caller goes on with.
    pub(super) fn into_state(self) -> State {
        self.state
    }

    /// Goes on to the newest version, and returns whether there was one.
    ///
    /// # Errors
    /// A version is damaged, or the store failed. The reader stays at the last sound version.
    /// # Cost
    /// Two reads where there is nothing new.
    pub fn poll(&mut self, objects: &dyn Objects) -> Result<bool, ManifestError> {
        if self.follow(objects)? {
            return Ok(true);
        }
        // Who has slept for long finds that the next version was removed since.
        if hint(objects, &self.writer)?.is_some_and(|version| version > self.state.version) {
            *self = Self::open(objects, &self.writer)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn follow(&mut self, objects: &dyn Objects) -> Result<bool, ManifestError> {
        let mut has_moved = false;
        while let Some((file, xxh3)) = load(objects, &self.writer, self.state.version + 1)? {
            self.state.apply(&path_of(&self.writer, file.version), &file, xxh3)?;
            has_moved = true;
        }
        Ok(has_moved)
    }
}

/// Returns the names of all who have a manifest.
///
/// # Errors
/// The store failed.
pub fn writers(objects: &dyn Objects) -> Result<BTreeSet<String>, ManifestError> {
    let name = |path: &str| {
        let name = path.strip_prefix(FOLDER)?.strip_prefix('/')?.split_once('/')?.0;
        checked_name(name).ok().map(str::to_owned)
    };
    Ok(objects.list(FOLDER)?.iter().filter_map(|listed| name(&listed.path)).collect())
}

/// Returns the snapshot that was written last, as far as its writer came to say so.
fn hint(objects: &dyn Objects, writer: &str) -> Result<Option<u64>, ManifestError> {
    // Whatever else it may hold is no hint.
    let Ok(Some(bytes)) = objects.get(&hint_path(writer), HINT_MAX_BYTES) else { return Ok(None) };
    let version = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
    Ok(version.filter(|version| *version > 0 && version % SNAPSHOT_EVERY == 0))
}

fn from_snapshot(objects: &dyn Objects, writer: &str, version: u64) -> Result<Option<State>, ManifestError> {
    match load(objects, writer, version)? {
        Some((file, xxh3)) => State::of_snapshot(&path_of(writer, version), file, xxh3).map(Some),
        None => Ok(None),
    }
}

/// Returns the newest snapshot that a listing shows; the empty state where none was written yet.
fn newest_snapshot(objects: &dyn Objects, writer: &str) -> Result<State, ManifestError> {
    let listed = objects.list(&folder_of(writer))?;
    let versions: BTreeSet<_> = listed.iter().filter_map(|listed| version_of_path(writer, &listed.path)).collect();
    let newest = versions.iter().rev().find(|version| *version % SNAPSHOT_EVERY == 0).copied();
    let state = match newest {
        Some(version) => from_snapshot(objects, writer, version)?,
        None => None,
    };
    match (state, versions.first()) {
        (Some(state), _) => Ok(state),
        (None, None | Some(1)) => Ok(State::default()),
        (None, Some(first)) => {
            Err(ManifestError::Damaged { path: path_of(writer, *first), why: "no snapshot comes before it".to_owned() })
        }
    }
}
