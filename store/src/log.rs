//! The store as plain files in a folder: `<number in 16 hex digits>.bks`, appended to until they are full, removed oldest first.
//!
//! Called through [`TraceStore`]. One `Log` at a time has a folder, by a lock on the file `lock` in it. A write that fails leaves the files
//! as they were before it: what is on disk is always whole entries, but for the tail that a crash tears, which is cut at the next start.

mod reader;
mod recover;

use crate::error::Attempt;
use crate::folder::{self, NotLocked};
use crate::format::{FILE_HEADER_BYTES, FileHeader, PAYLOAD_MAX_BYTES, encode_entry, entry_bytes, scan};
use crate::{Entry, Losses, Place, StoreError, StoreReader, TraceStore};
use reader::Reader;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What all entries of one append may take, headers included.
pub const BATCH_MAX_BYTES: u64 = 256 << 20;
/// The smallest and the largest size at which a file may be full.
pub const FILE_BYTES: std::ops::RangeInclusive<u64> = 4096..=1 << 30;
/// The longest file that is read back; longer ones are none of ours.
pub(crate) const FILE_READ_MAX_BYTES: u64 = 2 << 30;

/// How a log is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Options {
    /// The folder; it is made where it is missing.
    pub folder: PathBuf,
    /// A file that has grown beyond this is followed by a new one. Brought into [`FILE_BYTES`].
    pub file_bytes: u64,
}

impl Options {
    /// Returns the options for `folder` with files of 64 MiB.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), file_bytes: 64 << 20 }
    }
}

/// A file that was removed because it holds no entry: it ends within its header, or right behind it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Removed {
    /// Its path.
    pub path: PathBuf,
    /// How long it was.
    pub bytes: u64,
}

/// A folder of files, open for appending.
#[derive(Debug)]
pub struct Log {
    options: Options,
    /// Holds the lock for as long as the log lives.
    _lock: File,
    /// The length of each file.
    files: BTreeMap<u64, u64>,
    /// The file that is appended to; `None` until the first append, and after a failure that only a new file escapes.
    active: Option<Active>,
    reader: Arc<Reader>,
    losses: Losses,
    /// Files that were removed when the log was opened.
    removed: Vec<Removed>,
    /// Files that are removed, and that no call of `retire` has named yet.
    retired: Vec<u64>,
    /// The next append, reused.
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Active {
    file: File,
    header: FileHeader,
    len: u64,
    /// What is durable of it.
    synced_len: u64,
    /// Whether a failed write may have left bytes behind `len`.
    has_debris: bool,
}

impl Log {
    /// Opens the log in a folder, and cuts off what a crash left unfinished.
    ///
    /// # Errors
    /// The folder is in use, may not be written, or cannot be read.
    /// # Cost
    /// Reads the newest file, and syncs it.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let file_bytes = options.file_bytes.clamp(*FILE_BYTES.start(), *FILE_BYTES.end());
        let options = Options { file_bytes, ..options };
        let folder = options.folder.clone();
        fs::create_dir_all(&folder).map_err(|error| at(&folder, &folder, "make the folder").failed(error))?;
        let lock = lock(&folder)?;
        let found = recover::recover(&folder)?;
        let active = found.active.map(|newest| Active {
            file: newest.file,
            header: newest.header,
            len: newest.len,
            synced_len: newest.len,
            has_debris: false,
        });
        let oldest = found.files.keys().next().copied().unwrap_or(0);
        Ok(Self {
            reader: Arc::new(Reader::new(folder, oldest)),
            options,
            _lock: lock,
            files: found.files,
            active,
            losses: found.losses,
            removed: found.removed,
            retired: Vec::new(),
            buffer: Vec::new(),
        })
    }

    /// Returns the files that were removed when the log was opened, newest first: they hold no entry, and whoever opens the log says so.
    pub fn removed(&self) -> &[Removed] {
        &self.removed
    }

    /// Returns the file to append `len` bytes to: the active one, or a new one where that is full.
    fn room_for(&mut self, len: u64) -> Result<&mut Active, StoreError> {
        self.clear_debris(len)?;
        let is_full =
            |active: &Active| active.len > FILE_HEADER_BYTES.into() && active.len + len > self.options.file_bytes;
        if self.active.as_ref().is_some_and(is_full) {
            self.sync()?; // before it is left for good
            self.active = None;
        }
        if self.active.is_none() {
            let active = self.create(len)?;
            self.files.insert(active.header.seq, active.len);
            self.active = Some(active);
        }
        self.active.as_mut().ok_or(StoreError::Closed)
    }

    /// Cuts off what a failed write left. Where that fails too, the file is left to the next start, and a new one begun.
    fn clear_debris(&mut self, needed_bytes: u64) -> Result<(), StoreError> {
        let Some(active) = self.active.as_mut().filter(|active| active.has_debris) else { return Ok(()) };
        let path = path_of(&self.options.folder, active.header.seq);
        if active.file.set_len(active.len).is_ok() {
            active.has_debris = false;
            return Ok(());
        }
        let synced = active.file.sync_data();
        if synced.is_ok() {
            self.active = None;
        }
        synced.map_err(|error| Attempt { needed_bytes, ..at(&self.options.folder, &path, "sync") }.failed(error))
    }

    /// Makes a file and makes it durable, its name included.
    fn create(&self, needed_bytes: u64) -> Result<Active, StoreError> {
        let folder = &self.options.folder;
        let seq = self.files.keys().next_back().map_or(1, |newest| newest.saturating_add(1));
        let path = path_of(folder, seq);
        let salt = RandomState::new().build_hasher().finish();
        let header = FileHeader { seq, salt };
        let written = OpenOptions::new().read(true).write(true).create_new(true).open(&path).and_then(|file| {
            file.write_all_at(&header.encode(), 0)?;
            file.sync_all()?;
            File::open(folder)?.sync_all()?;
            Ok(file)
        });
        let len = u64::from(FILE_HEADER_BYTES);
        match written {
            Ok(file) => Ok(Active { file, header, len, synced_len: len, has_debris: false }),
            Err(error) => {
                // A name that is taken is not ours to remove; anything else is a beginning without entries.
                if error.kind() != io::ErrorKind::AlreadyExists {
                    let _ = fs::remove_file(&path); // the next start removes it otherwise
                }
                Err(Attempt { needed_bytes: needed_bytes + len, ..at(folder, &path, "create") }.failed(error))
            }
        }
    }
}

impl TraceStore for Log {
    fn append(&mut self, entries: &[Entry<'_>]) -> Result<Vec<Place>, StoreError> {
        let len = batch_bytes(entries)?;
        if len == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let active = self.room_for(len)?;
        let (seq, salt, start) = (active.header.seq, active.header.salt, active.len);
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries {
            let offset = start + buffer.len() as u64;
            places.push(Place { file: seq, offset: offset as u32, len: entry.payload.len() as u32 });
            encode_entry(entry, salt, offset, &mut buffer);
        }
        let written = active.file.write_all_at(&buffer, start);
        if written.is_ok() {
            active.len = start + len;
            self.files.insert(seq, start + len);
        } else {
            active.has_debris = active.file.set_len(start).is_err();
        }
        buffer.shrink_to(BUFFER_KEPT_BYTES);
        self.buffer = buffer;
        let (folder, path) = (&self.options.folder, path_of(&self.options.folder, seq));
        written.map_err(|error| Attempt { needed_bytes: len, ..at(folder, &path, "append to") }.failed(error))?;
        Ok(places)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let Some(active) = self.active.as_mut().filter(|active| active.synced_len < active.len) else { return Ok(()) };
        let Err(error) = active.file.sync_data() else {
            active.synced_len = active.len;
            return Ok(());
        };
        // After a failed sync nobody knows which pages are on disk: they are given up, and the file is not written to again.
        let (seq, synced_len, needed_bytes) = (active.header.seq, active.synced_len, active.len - active.synced_len);
        let _ = active.file.set_len(synced_len); // the next start passes over what stays
        self.files.insert(seq, synced_len);
        self.active = None;
        let path = path_of(&self.options.folder, seq);
        Err(Attempt { needed_bytes, ..at(&self.options.folder, &path, "sync") }.failed(error))
    }

    fn reader(&self) -> Arc<dyn StoreReader> {
        self.reader.clone()
    }

    fn replay(&mut self, visit: &mut dyn FnMut(Place, Entry<'_>)) -> Result<Losses, StoreError> {
        let mut losses = self.losses;
        for (seq, len) in &self.files {
            let path = path_of(&self.options.folder, *seq);
            let bytes = recover::read_whole(&path)
                .map_err(|error| at(&self.options.folder, &path, "read").failed(error))?
                .unwrap_or_default();
            let scan = scan(*seq, &bytes, visit);
            if scan.header.is_none() {
                losses.n_unreadable_files += 1;
                losses.lost_bytes += len;
                continue;
            }
            let beyond = bytes.len() as u64 - scan.end.min(bytes.len() as u64);
            losses.lost_bytes += scan.lost_bytes + beyond;
            losses.n_holes += scan.n_holes + u64::from(beyond > 0);
        }
        Ok(losses)
    }

    fn retire(&mut self, max_bytes: u64) -> Result<Vec<u64>, StoreError> {
        let active_seq = self.active.as_ref().map(|active| active.header.seq);
        while self.bytes() > max_bytes && self.files.len() > 1 {
            let Some(oldest) = self.files.keys().next().copied().filter(|oldest| Some(*oldest) != active_seq) else {
                break;
            };
            let path = path_of(&self.options.folder, oldest);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(at(&self.options.folder, &path, "remove").failed(error));
                }
                _ => {}
            }
            self.files.remove(&oldest);
            self.retired.push(oldest);
            self.reader.retire_to(self.files.keys().next().copied().unwrap_or(oldest));
        }
        Ok(std::mem::take(&mut self.retired))
    }

    fn bytes(&self) -> u64 {
        self.files.values().sum()
    }
}

/// What the buffer of appends keeps between them.
const BUFFER_KEPT_BYTES: usize = 4 << 20;

/// Returns the bytes of a batch, if it may be appended.
fn batch_bytes(entries: &[Entry<'_>]) -> Result<u64, StoreError> {
    let mut sum = 0;
    for entry in entries {
        let len = entry.payload.len() as u64;
        if len > u64::from(PAYLOAD_MAX_BYTES) {
            return Err(StoreError::EntryTooLong { len, max: PAYLOAD_MAX_BYTES.into() });
        }
        sum += entry_bytes(entry.payload.len()) as u64;
    }
    if sum > BATCH_MAX_BYTES {
        return Err(StoreError::BatchTooLong { len: sum, max: BATCH_MAX_BYTES });
    }
    Ok(sum)
}

fn lock(folder: &Path) -> Result<File, StoreError> {
    folder::lock(folder).map_err(|error| match error {
        NotLocked::Held { holder } => StoreError::Locked { folder: folder.to_path_buf(), holder },
        NotLocked::Open(error) => at(folder, &folder::lock_file(folder), "create").failed(error),
        NotLocked::Lock(error) => at(folder, &folder::lock_file(folder), "lock").failed(error),
    })
}

fn path_of(folder: &Path, seq: u64) -> PathBuf {
    folder.join(format!("{seq:016x}.bks"))
}

fn at<'a>(folder: &'a Path, path: &'a Path, what: &'static str) -> Attempt<'a> {
    Attempt { what, folder, path, needed_bytes: 0 }
}

#[cfg(test)]
mod tests;
