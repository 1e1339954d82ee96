//! Ground truth: what each process set out to do, what it did, and who was killed, in files that no tracer has a hand in.
//!
//! Written by the load generator and by every service process, marked by the supervisor, read by `check` and `edges` through [`Truth`].
//! One file for each start of a process, one record for each `write(2)`: what was written stands in the kernel's page cache, so that it
//! survives SIGKILL of its writer. Nothing is buffered here, and nothing waits for a disk.

pub(crate) mod format;
mod reader;

pub(crate) use reader::{Request, Truth, Visits};

use crate::faults::{Fault, FaultKind};
use anyhow::{Context as _, Result, ensure};
use format::{Event, Header, Record};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the names of files of ground truth end with.
const FILE_ENDING: &str = "truth";
/// What the names of files end with that mark a process as killed.
const KILLED_ENDING: &str = "killed";

/// A visit of one service by one request; unique in its file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct VisitId(u64);

/// Writes what one process does.
#[derive(Debug)]
pub(crate) struct Writer {
    file: File,
    n_visits: AtomicU64,
    n_failed: AtomicU64,
    has_failed: AtomicBool,
}

impl Writer {
    /// Creates the file of this process in `dir`, which must exist; `services` are those that it will name.
    ///
    /// # Errors
    /// Where the file cannot be made, or is there already: then `dir` holds the truth of another run.
    pub(crate) fn create(dir: &Path, process: &str, services: &[String]) -> Result<Self> {
        ensure!(u16::try_from(services.len()).is_ok(), "{} services are more than a file can name", services.len());
        let pid = std::process::id();
        let path = file_of(dir, process, pid, FILE_ENDING)?;
        let header = Header { process: process.to_owned(), pid, services: services.to_vec() };
        let bytes = header.encode().with_context(|| format!("the names of the services of {process} are too long"))?;
        let open = OpenOptions::new().append(true).create_new(true).open(&path);
        let mut file = open.with_context(|| format!("create {}; it must not be there yet", path.display()))?;
        file.write_all(&bytes).with_context(|| format!("write {}", path.display()))?;
        Ok(Self { file, n_visits: AtomicU64::new(0), n_failed: AtomicU64::new(0), has_failed: AtomicBool::new(false) })
    }

    /// A request is about to be sent with `fault`, whose service is one of this file's unless there is none.
    pub(crate) fn request(&self, trace: u128, fault: &Fault) {
        self.write(trace, Event::Request { fault: *fault });
    }

    /// The answer to a request is there, or its failure.
    pub(crate) fn answered(&self, trace: u128, is_ok: bool) {
        self.write(trace, Event::Answered { is_ok });
    }

    /// The service at `service_idx` is about to serve a request: to be called before anything of the visit is recorded elsewhere.
    pub(crate) fn intend(&self, trace: u128, service_idx: u16) -> VisitId {
        let visit = self.n_visits.fetch_add(1, Ordering::Relaxed); // a name; nothing is ordered by it
        self.write(trace, Event::Intended { visit, service_idx });
        VisitId(visit)
    }

    /// A fault acts in a visit.
    pub(crate) fn acted(&self, trace: u128, visit: VisitId, kind: FaultKind) {
        if kind != FaultKind::None {
            self.write(trace, Event::Acted { visit: visit.0, kind });
        }
    }

    /// A visit is over: to be called after everything of it that is recorded elsewhere.
    pub(crate) fn done(&self, trace: u128, visit: VisitId) {
        self.write(trace, Event::Done { visit: visit.0 });
    }

    /// Returns the number of records that could not be written.
    pub(crate) fn n_failed(&self) -> u64 {
        self.n_failed.load(Ordering::Relaxed) // a count; nothing is ordered by it
    }

    /// Appends a record by one write, which the kernel does as a whole under the file's lock.
    fn write(&self, trace: u128, event: Event) {
        let bytes = Record { trace, event }.encode();
        let why = match (&self.file).write(&bytes) {
            Ok(len) if len == bytes.len() => return,
            Ok(len) => format!("only {len} of {} bytes were taken", bytes.len()),
            Err(error) => error.to_string(),
        };
        self.n_failed.fetch_add(1, Ordering::Relaxed); // a count; nothing is ordered by it
        if !self.has_failed.swap(true, Ordering::Relaxed) {
            eprintln!("bricks: ground truth is incomplete from here on: {why}");
        }
    }
}

/// Makes the folder `dir` for the truth of a run.
///
/// # Errors
/// Where it cannot be made, or holds the truth of another run: the two would be taken for one.
pub(crate) fn prepare(dir: &Path) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    ensure!(reader::is_empty(dir)?, "{} holds the truth of another run; name an empty folder", dir.display());
    Ok(())
}

/// Notes in `dir` that the process `process` with id `pid` was killed, so that visits without an end were cut there.
pub(crate) fn mark_killed(dir: &Path, process: &str, pid: u32) -> Result<()> {
    let path = file_of(dir, process, pid, KILLED_ENDING)?;
    File::create(&path).with_context(|| format!("create {}", path.display()))?;
    Ok(())
}

/// Returns the file of one process start; its name is for people, and for pairing the two kinds of files.
fn file_of(dir: &Path, process: &str, pid: u32, ending: &str) -> Result<PathBuf> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    ensure!(!process.is_empty() && process.bytes().all(is_plain), "`{process}` is no name for a file of ground truth");
    Ok(dir.join(format!("{process}.{pid}.{ending}")))
}

#[cfg(test)]
mod tests;
