//! Objects as files of a folder, each whole and durable before its name is there.
//!
//! Called through [`Objects`]. A file is written under a temporary name, synced, and linked to its own, which fails where that is taken;
//! then the folder is synced. What a crash leaves is a file with a temporary name, which `manifest::sweep` removes.

use crate::folder;
use crate::objects::{Listed, ObjectError, Objects, Put, ReadAt, Upload, checked};
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names of unfinished files begin with.
pub const UNFINISHED_PREFIX: &str = ".unfinished-";
/// The most files of one listing.
const LISTED_MAX: usize = 4 << 20;
/// The deepest folder of a listing.
const DEPTH_MAX: usize = 8;
const UPLOAD_BUFFER_BYTES: usize = 1 << 20;

/// A folder of objects.
#[derive(Debug)]
pub struct Local {
    folder: PathBuf,
    /// Random, so that the temporary names of two processes are never the same, wherever they run.
    mark: u64,
    n_unfinished: AtomicU64,
}

impl Local {
    /// Returns the objects of `folder`, which is made where it is missing.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, ObjectError> {
        let folder = folder.into();
        folder::make(&folder).map_err(|(_, error)| failed("make the folder", &folder.display().to_string(), error))?;
        Ok(Self { folder, mark: RandomState::new().build_hasher().finish(), n_unfinished: AtomicU64::new(0) })
    }

    fn at(&self, path: &str) -> Result<PathBuf, ObjectError> {
        Ok(self.folder.join(checked(path)?))
    }

    /// Makes a file under a temporary name beside `path`.
    fn begin(&self, path: &str) -> Result<Unfinished, ObjectError> {
        let end = self.at(path)?;
        let folder = end.parent().unwrap_or(&self.folder).to_owned();
        let n = self.n_unfinished.fetch_add(1, Ordering::Relaxed); // only has to be unique
        let begin = folder.join(format!("{UNFINISHED_PREFIX}{:016x}-{n}", self.mark));
        let made = folder::make(&folder).map_err(|(_, error)| error);
        let file = made.and_then(|()| OpenOptions::new().write(true).create_new(true).open(&begin));
        let file = file.map_err(|error| failed("create", path, error))?;
        Ok(Unfinished { path: path.to_owned(), file, begin, end, folder })
    }
}

/// A file under its temporary name, which it loses when it is dropped.
struct Unfinished {
    path: String,
    file: File,
    begin: PathBuf,
    end: PathBuf,
    folder: PathBuf,
}

impl Unfinished {
    /// Makes the file durable under its own name, if that is free.
    fn link(self) -> Result<Put, ObjectError> {
        let linked = self.file.sync_all().and_then(|()| match fs::hard_link(&self.begin, &self.end) {
            Ok(()) => Ok(Put::Created),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Put::Taken),
            Err(error) => Err(error),
        });
        // Also where it is taken: whoever is told so may rely on it after a power loss.
        let synced = linked.and_then(|put| folder::sync(&self.folder).map(|()| put));
        synced.map_err(|error| failed("write", &self.path, error))
    }

    /// Makes the file durable under its own name, over another that has it.
    fn replace(self) -> Result<(), ObjectError> {
        let renamed = self.file.sync_all().and_then(|()| fs::rename(&self.begin, &self.end));
        let synced = renamed.and_then(|()| folder::sync(&self.folder));
        synced.map_err(|error| failed("write", &self.path, error))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.begin); // a sweep removes it otherwise
    }
}

struct LocalUpload {
    unfinished: Unfinished,
    buffer: Vec<u8>,
}

impl Write for LocalUpload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > UPLOAD_BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() > UPLOAD_BUFFER_BYTES {
            self.unfinished.file.write_all(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.unfinished.file.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl Upload for LocalUpload {
    fn finish(mut self: Box<Self>) -> Result<(), ObjectError> {
        self.flush().map_err(|error| failed("write", &self.unfinished.path, error))?;
        let path = self.unfinished.path.clone();
        match self.unfinished.link()? {
            Put::Created => Ok(()),
            Put::Taken => Err(ObjectError::Taken { path }),
        }
    }
}

impl Objects for Local {
    fn put_if_absent(&self, path: &str, bytes: &[u8]) -> Result<Put, ObjectError> {
        let mut unfinished = self.begin(path)?;
        unfinished.file.write_all(bytes).map_err(|error| failed("write", path, error))?;
        unfinished.link()
    }

    fn put(&self, path: &str, bytes: &[u8]) -> Result<(), ObjectError> {
        let mut unfinished = self.begin(path)?;
        unfinished.file.write_all(bytes).map_err(|error| failed("write", path, error))?;
        unfinished.replace()
    }

    fn create(&self, path: &str) -> Result<Box<dyn Upload>, ObjectError> {
        Ok(Box::new(LocalUpload { unfinished: self.begin(path)?, buffer: Vec::new() }))
    }

    fn get(&self, path: &str, max_bytes: u64) -> Result<Option<Vec<u8>>, ObjectError> {
        let file = match File::open(self.at(path)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| failed("open", path, error))?,
        };
        let mut bytes = Vec::new();
        let read = file.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| failed("read", path, error))?;
        if bytes.len() as u64 > max_bytes {
            return Err(ObjectError::TooLong { path: path.to_owned(), bytes: bytes.len() as u64, max_bytes });
        }
        Ok(Some(bytes))
    }

    fn open(&self, path: &str) -> Result<Arc<dyn ReadAt>, ObjectError> {
        let opened = File::open(self.at(path)?).and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((bytes, file)) => Ok(Arc::new(LocalFile { path: path.to_owned(), file, bytes })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ObjectError::Missing { path: path.to_owned() })
            }
            Err(error) => Err(failed("open", path, error)),
        }
    }

    fn list(&self, folder: &str) -> Result<Vec<Listed>, ObjectError> {
        let mut listed = Vec::new();
        walk(&self.at(folder)?, folder, DEPTH_MAX, &mut listed).map_err(|error| failed("list", folder, error))?;
        listed.sort();
        Ok(listed)
    }

    fn delete(&self, path: &str) -> Result<(), ObjectError> {
        match fs::remove_file(self.at(path)?) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path, error)),
            _ => Ok(()),
        }
    }

    fn capacity_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.folder).ok()?;
        stat.f_blocks.checked_mul(stat.f_frsize)
    }
}

#[derive(Debug)]
struct LocalFile {
    path: String,
    file: File,
    bytes: u64,
}

impl ReadAt for LocalFile {
    fn path(&self) -> &str {
        &self.path
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ObjectError> {
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => ObjectError::Short {
                path: self.path.clone(),
                bytes: self.bytes,
                end: offset.saturating_add(buffer.len() as u64),
            },
            _ => failed("read", &self.path, error),
        })
    }
}

/// Lists the files of `folder`, known as `name`. Names that no path of this store has are passed over.
fn walk(folder: &Path, name: &str, depth: usize, listed: &mut Vec<Listed>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let Some(path) = entry.file_name().to_str().map(|file| format!("{name}/{file}")) else { continue };
        let meta = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // removed meanwhile
            meta => meta?,
        };
        if checked(&path).is_err() || listed.len() >= LISTED_MAX {
            continue;
        }
        if meta.is_dir() && depth > 0 {
            walk(&entry.path(), &path, depth - 1, listed)?;
        } else if meta.is_file() {
            let modified_ns = meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec());
            listed.push(Listed { path, bytes: meta.len(), modified_ns });
        }
    }
    Ok(())
}

fn failed(what: &'static str, path: &str, error: io::Error) -> ObjectError {
    ObjectError::Io { what, path: path.to_owned(), source: Arc::new(error) }
}

#[cfg(test)]
mod tests;
