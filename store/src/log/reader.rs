//! Reading entries by their places, from any thread, while the log is appended to and files are retired.

use super::{at, path_of};
use crate::format::{ENTRY_HEADER_BYTES, EntryHeader, FILE_HEADER_BYTES, FileHeader, PAYLOAD_MAX_BYTES};
use crate::{OwnedEntry, Place, StoreError, StoreReader};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files that are held open for reading; beyond, the oldest of them is closed.
const OPEN_FILES_MAX: usize = 64;

/// Opens files as places ask for them.
#[derive(Debug)]
pub(super) struct Reader {
    folder: PathBuf,
    files: Mutex<Files>,
}

#[derive(Debug)]
struct Files {
    /// The oldest file that is not retired.
    oldest: u64,
    open: BTreeMap<u64, Arc<OpenFile>>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    salt: u64,
}

impl Reader {
    pub(super) fn new(folder: PathBuf, oldest: u64) -> Self {
        Self { folder, files: Mutex::new(Files { oldest, open: BTreeMap::new() }) }
    }

    /// Closes all files before `oldest`, so that the disk gets their bytes back.
    pub(super) fn retire_to(&self, oldest: u64) {
        let mut files = self.files();
        files.oldest = files.oldest.max(oldest);
        let oldest = files.oldest;
        files.open.retain(|seq, _| *seq >= oldest);
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // The map is sound whatever a panic of another thread interrupted.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, seq: u64) -> Result<Arc<OpenFile>, StoreError> {
        {
            let files = self.files();
            if seq < files.oldest {
                return Err(StoreError::Retired { file: seq });
            }
            if let Some(file) = files.open.get(&seq) {
                return Ok(file.clone());
            }
        }
        let opened = Arc::new(self.open(seq)?);
        let mut files = self.files();
        if seq >= files.oldest {
            if files.open.len() >= OPEN_FILES_MAX {
                files.open.pop_first();
            }
            files.open.insert(seq, opened.clone());
        }
        Ok(opened)
    }

    fn open(&self, seq: u64) -> Result<OpenFile, StoreError> {
        let path = path_of(&self.folder, seq);
        let mut header = [0; FILE_HEADER_BYTES as usize];
        let opened = File::open(&path).and_then(|file| file.read_exact_at(&mut header, 0).map(|()| file));
        let file = match opened {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StoreError::Retired { file: seq }),
            Err(error) => return Err(at(&self.folder, &path, "read").failed(error)),
        };
        let header = FileHeader::decode(&header).ok_or(StoreError::Damaged { file: seq, offset: 0 })?;
        Ok(OpenFile { file, salt: header.salt })
    }
}

impl StoreReader for Reader {
    fn read(&self, place: Place) -> Result<OwnedEntry, StoreError> {
        let damaged = StoreError::Damaged { file: place.file, offset: place.offset };
        if place.len > PAYLOAD_MAX_BYTES {
            return Err(damaged);
        }
        let open = self.file(place.file)?;
        let mut bytes = vec![0; (ENTRY_HEADER_BYTES + place.len) as usize];
        match open.file.read_exact_at(&mut bytes, place.offset.into()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(damaged),
            Err(error) => return Err(at(&self.folder, &path_of(&self.folder, place.file), "read").failed(error)),
        }
        let header = EntryHeader::decode(&bytes, open.salt, place.offset.into());
        let payload = bytes.split_off(ENTRY_HEADER_BYTES as usize);
        match header {
            Some(header) if header.matches(&payload) => {
                Ok(OwnedEntry { trace: header.trace, kind: header.kind, payload })
            }
            _ => Err(damaged),
        }
    }
}
