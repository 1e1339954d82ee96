//! Writes a manifest: version by version, each created as a whole, and only if nobody else has created it.
//!
//! Called by the collector, after the files of the parts that come in are durable.

use super::read::Reader;
use super::{
    Change, FORMAT, ManifestError, SNAPSHOT_EVERY, State, VersionFile, checked_name, folder_of, hint_path, load,
    path_of, version_of_path,
};
use crate::objects::{Objects, Put};
use backsight_core::checksum::checksum;

/// Writes the manifest of one name.
#[derive(Debug)]
pub struct Writer {
    writer: String,
    nonce: u64,
    state: State,
    /// A version of which it is not known whether it was written.
    pending: Option<Pending>,
    /// Who took the place of this writer.
    fenced: Option<ManifestError>,
    /// The snapshot that readers have not been pointed to yet.
    hint_due: Option<u64>,
}

#[derive(Debug)]
struct Pending {
    file: VersionFile,
    bytes: Vec<u8>,
}

impl Writer {
    /// Takes over the manifest of `writer`, by writing a version in a new epoch: who wrote under this name before finds it, and stops.
    ///
    /// `nonce` is random, so that of two that begin at the same time one is told.
    ///
    /// # Errors
    /// The manifest is damaged, another began at the same time, or the store failed.
    pub fn open(objects: &dyn Objects, writer: &str, nonce: u64) -> Result<Self, ManifestError> {
        let writer = checked_name(writer)?.to_owned();
        let mut state = Reader::open(objects, &writer)?.into_state();
        state.epoch += 1;
        let mut writer = Self { writer, nonce, state, pending: None, fenced: None, hint_due: None };
        writer.commit(objects, Change::default())?;
        Ok(writer)
    }

    /// Returns the last version that was written.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Writes the next version, and returns its number. All readers see the whole change or nothing of it.
    ///
    /// # Errors
    /// [`ManifestError::Fenced`] for good, once another writes under this name. [`ManifestError::Unsettled`] where the store did not say
    /// whether it was written: [`Writer::settle`] must succeed before the next. Others before anything was written.
    pub fn commit(&mut self, objects: &dyn Objects, change: Change) -> Result<u64, ManifestError> {
        if let Some(error) = &self.fenced {
            return Err(error.clone());
        }
        if let Some(pending) = &self.pending {
            return Err(self.unsettled(pending.file.version, None));
        }
        self.state.check(&change)?;
        let file = self.next(change);
        let bytes = serde_json::to_vec(&file).map_err(|error| ManifestError::Damaged {
            path: path_of(&self.writer, file.version),
            why: error.to_string(),
        })?;
        self.pending = Some(Pending { file, bytes });
        self.settle(objects)
    }

    /// Finds out whether the pending version was written, writes it if not, and returns the number of the last version.
    ///
    /// # Errors
    /// As of [`Writer::commit`].
    pub fn settle(&mut self, objects: &dyn Objects) -> Result<u64, ManifestError> {
        if let Some(error) = &self.fenced {
            return Err(error.clone());
        }
        let Some(pending) = &self.pending else { return Ok(self.state.version) };
        let version = pending.file.version;
        let path = path_of(&self.writer, version);
        // Whether it was written before, with the answer lost, or is written now: the same bytes are the same version.
        let is_ours = match objects.put_if_absent(&path, &pending.bytes) {
            Ok(Put::Created) => true,
            Ok(Put::Taken) => match objects.get(&path, pending.bytes.len() as u64) {
                Ok(found) => found.is_some_and(|bytes| bytes == pending.bytes),
                Err(crate::objects::ObjectError::TooLong { .. }) => false,
                Err(error) => return Err(self.unsettled(version, Some(error))),
            },
            Err(error) => return Err(self.unsettled(version, Some(error))),
        };
        if !is_ours {
            return Err(self.fence(objects, version));
        }
        if let Some(Pending { file, bytes }) = self.pending.take() {
            self.state.apply(&path, &file, checksum(0, &bytes))?;
        }
        self.point_readers(objects, version);
        Ok(version)
    }

    /// Removes versions that no reader needs any more: those before the last but one snapshot. Returns how many.
    ///
    /// # Errors
    /// The store failed; what was removed before is gone.
    pub fn prune(&self, objects: &dyn Objects) -> Result<u64, ManifestError> {
        let newest = self.state.version - self.state.version % SNAPSHOT_EVERY;
        let kept = newest.saturating_sub(SNAPSHOT_EVERY);
        let mut n_removed = 0;
        for listed in objects.list(&folder_of(&self.writer))? {
            if version_of_path(&self.writer, &listed.path).is_some_and(|version| version < kept) {
                objects.delete(&listed.path)?;
                n_removed += 1;
            }
        }
        Ok(n_removed)
    }

    fn next(&self, change: Change) -> VersionFile {
        let version = self.state.version + 1;
        let parts = version.is_multiple_of(SNAPSHOT_EVERY).then(|| {
            let mut parts = self.state.parts.clone();
            change.remove.iter().for_each(|id| drop(parts.remove(id)));
            parts.extend(change.add.iter().map(|part| (part.id, part.clone())));
            parts.into_values().collect()
        });
        let pins = match &parts {
            Some(_) => {
                let mut pins = self.state.pins.clone();
                for trace in &change.unpin {
                    pins.remove(trace);
                }
                pins.extend(&change.pin);
                pins.into_iter().collect()
            }
            None => Vec::new(),
        };
        VersionFile {
            format: FORMAT,
            writer: self.writer.clone(),
            version,
            epoch: self.state.epoch,
            nonce: self.nonce,
            prev_xxh3: self.state.xxh3,
            wal_low: change.wal_low.unwrap_or(self.state.wal_low),
            agg_upto: change.agg_upto.unwrap_or(self.state.agg_upto),
            add: change.add,
            remove: change.remove,
            pin: change.pin,
            unpin: change.unpin,
            pins,
            parts,
        }
    }

    /// Points readers to a snapshot. A failure costs them a listing, and is made up for at the next version.
    fn point_readers(&mut self, objects: &dyn Objects, version: u64) {
        if version.is_multiple_of(SNAPSHOT_EVERY) {
            self.hint_due = Some(version);
        }
        let Some(due) = self.hint_due else { return };
        if objects.put(&hint_path(&self.writer), format!("{due}\n").as_bytes()).is_ok() {
            self.hint_due = None;
        }
    }

    fn fence(&mut self, objects: &dyn Objects, version: u64) -> ManifestError {
        // Only to name the other: whatever stands there, it is not ours.
        let epoch = load(objects, &self.writer, version).ok().flatten().map_or(0, |(file, _)| file.epoch);
        let error = ManifestError::Fenced { writer: self.writer.clone(), version, epoch };
        self.fenced = Some(error.clone());
        error
    }

    fn unsettled(&self, version: u64, source: Option<crate::objects::ObjectError>) -> ManifestError {
        ManifestError::Unsettled { writer: self.writer.clone(), version, source }
    }
}
