//! The files below the write-ahead log: a folder, names in it, and bytes at offsets. [`Folder`] is the real one.
//!
//! Called by the writer and by recovery. Tests put a simulated disk in its place, whose power fails between any two calls. Nothing here knows
//! what the bytes mean, and nothing is tried again: whoever calls decides what a failure means.

use super::error::WalError;
use crate::folder::{self, NotLocked};
use rustix::fs::{FallocateFlags, Mode, OFlags};
use std::fmt;
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes that can be read at any offset.
pub trait ReadAt {
    /// Reads into `bytes` what stands at `at`, and returns how many bytes; 0 at the end.
    ///
    /// # Errors
    /// As of the disk.
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize>;
}

impl ReadAt for [u8] {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// An open file.
pub trait DiskFile: ReadAt + fmt::Debug {
    /// Writes `parts`, one behind the other, at `at`. After an error any part of them may have been written.
    ///
    /// # Errors
    /// As of the disk.
    fn write_all_at(&self, parts: &[&[u8]], at: u64) -> io::Result<()>;

    /// Makes what was written durable, the file's length included.
    ///
    /// # Errors
    /// As of the disk. Nobody knows then what of all that was written since the last success is durable, and a later success does not tell.
    fn sync(&self) -> io::Result<()>;
}

/// A file of a folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// A folder of files.
///
/// A change of names is in force at once, and durable after [`sync_names`](Self::sync_names).
pub trait Disk: fmt::Debug {
    /// Its open files.
    type File: DiskFile;

    /// Lists the files; folders, links and names that are not Unicode are left out.
    ///
    /// # Errors
    /// As of the disk.
    fn list(&self) -> io::Result<Vec<Listed>>;

    /// Makes an empty file of `bytes`, which read as zeros, for which the disk has room. What had the name is gone.
    ///
    /// # Errors
    /// As of the disk; an empty or shorter file may be left under the name.
    fn create(&self, name: &str, bytes: u64) -> io::Result<Self::File>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// As of the disk.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name, in one step. What had that name is gone.
    ///
    /// # Errors
    /// As of the disk.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As of the disk.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names durable.
    ///
    /// # Errors
    /// As of the disk.
    fn sync_names(&self) -> io::Result<()>;

    /// Returns what people call the file `name`.
    fn path(&self, name: &str) -> PathBuf;

    /// Returns a random number.
    fn random(&self) -> u64;
}

/// A folder of a real disk, locked for as long as this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    folder: OwnedFd,
    _lock: File,
}

impl Folder {
    /// Takes the folder at `path`, which is made where it is missing, durably.
    ///
    /// # Errors
    /// Another process has it, or it cannot be made or written.
    pub fn open(path: &Path) -> Result<Self, WalError> {
        folder::make(path).map_err(|(path, error)| WalError::io("make the folder", &path, error))?;
        let folder = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        let folder = folder.map_err(|error| WalError::io("open the folder", path, error.into()))?;
        Ok(Self { _lock: lock(path)?, path: path.to_owned(), folder })
    }

    fn open_at(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(rustix::fs::openat(&self.folder, name, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode)?.into())
    }
}

impl Disk for Folder {
    type File = File;

    fn list(&self) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let (Ok(name), meta) = (entry.file_name().into_string(), entry.metadata()?) else { continue };
            if meta.is_file() {
                files.push(Listed { name, bytes: meta.len() });
            }
        }
        Ok(files)
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<File> {
        let file = self.open_at(name, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            // Where room cannot be taken ahead, a full disk shows with the write that meets it.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(bytes)?,
            taken => taken?,
        }
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        self.open_at(name, OFlags::RDWR)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.folder, from, &self.folder, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, name, rustix::fs::AtFlags::empty())?)
    }

    fn sync_names(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.folder)?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn random(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

impl ReadAt for File {
    fn read_at(&self, bytes: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, at)
    }
}

impl DiskFile for File {
    fn write_all_at(&self, parts: &[&[u8]], mut at: u64) -> io::Result<()> {
        let mut slices: Vec<_> = parts.iter().filter(|part| !part.is_empty()).map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        while !rest.is_empty() {
            match rustix::io::pwritev(self, rest, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => {
                    at += len as u64;
                    IoSlice::advance_slices(&mut rest, len);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        // Of the file's metadata it takes the length along, and nothing else is needed to read the data back.
        self.sync_data()
    }
}

fn lock(folder: &Path) -> Result<File, WalError> {
    folder::lock(folder).map_err(|error| match error {
        NotLocked::Held { holder } => WalError::Locked { folder: folder.to_owned(), holder },
        NotLocked::Open(error) | NotLocked::Lock(error) => WalError::io("lock", &folder::lock_file(folder), error),
    })
}

#[cfg(test)]
mod tests;
