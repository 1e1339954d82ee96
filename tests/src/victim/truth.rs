//! The ground truth of a victim: a file of two numbers for each thread.

use anyhow::{Context as _, Result};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// What a thread says about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Records with a number below this may have been written.
    pub intended: u64,
    /// Records with a number below this have been.
    pub done: u64,
}

/// The file.
#[derive(Debug)]
pub struct Truth {
    file: File,
}

impl Truth {
    /// Makes the file for `n_threads` threads, all zero.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: &Path, n_threads: u32) -> Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(path);
        let file = file.with_context(|| format!("create the ground truth {}", path.display()))?;
        file.set_len(u64::from(n_threads) * 16).context("size the ground truth")?;
        Ok(Self { file })
    }

    /// Opens a file that [`Truth::create`] made.
    ///
    /// # Errors
    /// The file is not there.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path);
        Ok(Self { file: file.with_context(|| format!("open the ground truth {}", path.display()))? })
    }

    /// Says that `thread` may have written all records below `intended`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn intend(&self, thread: u32, intended: u64) -> Result<()> {
        self.file.write_all_at(&intended.to_le_bytes(), u64::from(thread) * 16).context("write the ground truth")
    }

    /// Says that `thread` has written all records below `done`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn done(&self, thread: u32, done: u64) -> Result<()> {
        self.file.write_all_at(&done.to_le_bytes(), u64::from(thread) * 16 + 8).context("write the ground truth")
    }

    /// Returns what `thread` says.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(&self, thread: u32) -> Result<Progress> {
        let mut bytes = [0; 16];
        self.file.read_exact_at(&mut bytes, u64::from(thread) * 16).context("read the ground truth")?;
        let number = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        Ok(Progress { intended: number(0), done: number(8) })
    }
}
