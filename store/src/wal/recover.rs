//! What stands in the log's folder when it is opened, and what is missing there (`docs/spec/wal.md` section 6).
//!
//! Called by `Wal::open`. It only reads: a log that is refused is left as it is. It holds one record in memory at a time.

use super::Options;
use super::disk::{Disk, Listed};
use super::error::{Foreign, Newer, WalError};
use super::file::{Fault, FileHeader, NUMBER_MAX, Name, name_of};
use super::files::{Files, Live, Spare, limit_of};
use super::record::Seq;
use super::scan::{Extent, Found, Headers, Scan, ScanError, scan};
use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Losses that are told one by one; beyond, they are counted.
pub const LOSSES_MAX: usize = 64;

/// What was found when the log was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Recovery {
    /// The epoch that begins: higher than that of any file found, and than the one that was known.
    pub epoch: u64,
    /// The number that the next record gets.
    pub next: Seq,
    /// Files in use.
    pub n_files: u64,
    /// Whole records in the files that were looked through: all but those wholly below the first record that is needed.
    pub n_records: u64,
    /// The end of a write that was never finished. Nobody was told of it, and it is no loss.
    pub torn: Option<Torn>,
    /// What is missing of what is needed, oldest first; the first [`LOSSES_MAX`].
    pub losses: Vec<Loss>,
    /// How many there are.
    pub n_losses: u64,
    /// The bytes of all of them.
    pub lost_bytes: u64,
    /// The records of all of them, as far as their numbers are known.
    pub lost_records: u64,
}

/// An unfinished write at the end of the newest file; cut off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torn {
    /// The file.
    pub path: PathBuf,
    /// Where it begins.
    pub offset: u64,
    /// How far it reaches, as its header says.
    pub bytes: u64,
}

/// A loss.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loss {
    /// The file that holds it, or the one before which it is missing.
    pub path: PathBuf,
    /// What happened.
    pub cause: Cause,
    /// Where it begins in the file.
    pub offset: u64,
    /// How many bytes; at most so many where it reaches to the end of a file.
    pub bytes: u64,
    /// The records that are missing; empty where nobody knows how many.
    pub missing: Range<Seq>,
}

/// How a loss came about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Bytes of the file are not what was written.
    Damaged,
    /// Neither copy of the file's header can be read, and so nothing of the file. It is left as it is.
    Unreadable,
    /// No file holds the records. They were in one that is gone, or never reached the disk.
    Absent,
}

/// What recovery found, to go on from.
pub(super) struct Recovered<D> {
    pub(super) files: Files<D>,
    pub(super) recovery: Recovery,
    /// The newest file and its end, where it can be written on.
    pub(super) tail: Option<Scan>,
}

/// Looks through the files of `disk`.
pub(super) fn recover<D: Disk>(disk: D, options: &Options) -> Result<Recovered<D>, WalError> {
    let (live, spares) = list(&disk, options)?;
    let mut pass = Pass {
        disk: &disk,
        needed: options.known.wal_low,
        expected: options.known.wal_low,
        recovery: Recovery { n_files: live.len() as u64, ..Recovery::default() },
    };
    let epoch = live.iter().filter_map(|file| file.header).map(|header| header.epoch).max().unwrap_or(0);
    let mut newest = None;
    for idx in 0..live.len() {
        newest = pass.file(&live, idx)?;
    }
    let known = options.known;
    let natural = newest.map_or(pass.expected, |scan| scan.next).max(Seq(1));
    pass.behind(&live, newest, known.last_seq.next());
    let mut recovery = pass.recovery;
    recovery.epoch = epoch.max(known.epoch) + 1;
    recovery.next = natural.max(known.last_seq.next()).max(known.wal_low);
    // Numbers follow each other within a file: where they jump, or anything else is unusual, a new one is begun.
    let can_go_on = |file: &Live| file.is_whole && file.bytes == options.file_bytes && recovery.next == natural;
    let tail = newest.filter(|_| live.back().is_some_and(can_go_on));
    Ok(Recovered { files: Files::new(disk, live, spares), recovery, tail })
}

/// Lists the files and reads their headers; refuses those that are not of this log.
fn list<D: Disk>(disk: &D, options: &Options) -> Result<(VecDeque<Live>, Vec<Spare>), WalError> {
    let listed = disk.list().map_err(|error| WalError::io("list", &disk.path(""), error))?;
    let (mut live, mut spares) = (Vec::new(), Vec::new());
    for Listed { name, bytes } in listed {
        match Name::parse(&name) {
            Some(Name::Live(number)) => live.push((number, bytes)),
            Some(Name::Spare(_)) => spares.push(Spare { name, bytes }),
            None => {}
        }
    }
    live.sort_unstable();
    spares.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut last: Option<FileHeader> = None;
    let mut files = VecDeque::new();
    for (number, bytes) in live {
        let file = headers(disk, number, bytes)?;
        let path = disk.path(&name_of(number));
        if number > NUMBER_MAX {
            return Err(WalError::Foreign { path, why: Foreign::Number });
        }
        if let Some(header) = file.header {
            check(&header, number, last, options.node).map_err(|why| WalError::Foreign { path, why })?;
            last = Some(header);
        }
        files.push_back(file);
    }
    Ok((files, spares))
}

fn headers<D: Disk>(disk: &D, number: u64, bytes: u64) -> Result<Live, WalError> {
    let path = disk.path(&name_of(number));
    let headers = disk.open(&name_of(number)).and_then(|file| Headers::read(&file, bytes));
    let headers = headers.map_err(|error| WalError::io("read", &path, error))?;
    let header = match headers.header() {
        Ok(header) => Some(header),
        Err(Fault::Unsound) => None,
        Err(Fault::Version(version)) => return Err(WalError::Newer { path, what: Newer::Version(version) }),
    };
    Ok(Live { number, bytes, header, records_end: headers.records_end(), is_whole: headers.is_whole() })
}

/// Returns how it shows that a file is none of this log's.
fn check(header: &FileHeader, number: u64, last: Option<FileHeader>, own: u32) -> Result<(), Foreign> {
    if header.node != own {
        return Err(Foreign::Node { found: header.node, own });
    }
    if header.number != number {
        return Err(Foreign::Name(header.number));
    }
    if !header.is_plausible() {
        return Err(Foreign::Number);
    }
    if last.is_some_and(|last| header.first_seq < last.first_seq || header.epoch < last.epoch) {
        return Err(Foreign::Order { first: header.first_seq, epoch: header.epoch });
    }
    Ok(())
}

struct Pass<'d, D> {
    disk: &'d D,
    /// The first record that is needed.
    needed: Seq,
    /// The record that comes next, unless it is missing; 0 where nobody knows.
    expected: Seq,
    recovery: Recovery,
}

impl<D: Disk> Pass<'_, D> {
    /// Looks through file `idx`, and returns what it found where that is the newest.
    fn file(&mut self, live: &VecDeque<Live>, idx: usize) -> Result<Option<Scan>, WalError> {
        let file = &live[idx];
        let is_newest = idx + 1 == live.len();
        let next_first = limit_of(live, idx);
        if next_first.is_some_and(|first| first <= self.needed) {
            return Ok(None);
        }
        let path = self.disk.path(&name_of(file.number));
        let Some(header) = file.header else {
            let missing = match (self.expected, next_first) {
                (start, None) => start..start,
                (Seq(0), Some(end)) => end..end,
                (start, Some(end)) => start..end,
            };
            self.lose(Loss { path, cause: Cause::Unreadable, offset: 0, bytes: file.bytes, missing });
            return Ok(None);
        };
        if self.expected != Seq(0) && self.expected < header.first_seq {
            let missing = self.expected..header.first_seq;
            self.lose(Loss { path: path.clone(), cause: Cause::Absent, offset: 0, bytes: 0, missing });
        }
        let limit = next_first.unwrap_or(Seq(u64::MAX));
        let scan = self.records(&path, file.number, &Extent { header, end: file.records_end, limit })?;
        self.expected = self.expected.max(scan.next);
        if is_newest {
            let Scan { end: offset, torn_bytes: bytes, .. } = scan;
            self.recovery.torn = Some(Torn { path, offset, bytes }).filter(|torn| torn.bytes > 0);
            return Ok(Some(scan));
        }
        let is_followed = live.get(idx + 1).is_some_and(|next| next.number == file.number + 1 && next.header.is_some());
        if is_followed && scan.next < limit {
            let rest = file.records_end.saturating_sub(scan.end);
            let bytes = if scan.torn_bytes > 0 { scan.torn_bytes } else { rest };
            self.lose(Loss { path, cause: Cause::Damaged, offset: scan.end, bytes, missing: scan.next..limit });
        }
        Ok(None)
    }

    /// Looks through the records of a file.
    fn records(&mut self, path: &Path, number: u64, extent: &Extent) -> Result<Scan, WalError> {
        let needed = self.needed;
        let file = self.disk.open(&name_of(number)).map_err(|error| WalError::io("read", path, error))?;
        let scanned = scan(&file, extent, &mut |found| {
            match &found {
                Found::Hole { offset, bytes, missing } => {
                    let (path, missing) = (path.to_owned(), missing.clone());
                    self.lose(Loss { path, cause: Cause::Damaged, offset: *offset, bytes: *bytes, missing });
                }
                Found::Record { header, .. } if header.seq >= needed => drop(found.record()?),
                Found::Record { .. } => {}
            }
            Ok(())
        });
        let scan = scanned.map_err(|error| failed(error, path))?;
        self.recovery.n_records += scan.n_records;
        Ok(scan)
    }

    /// Notes the records behind the last one that is there, as far as they are known to have been: those before `known_end`.
    fn behind(&mut self, live: &VecDeque<Live>, newest: Option<Scan>, known_end: Seq) {
        let (expected, offset) = (self.expected.max(Seq(1)), newest.map_or(0, |scan| scan.end));
        if self.needed != Seq(0) && expected < known_end {
            let path = self.disk.path(&live.back().map_or_else(String::new, |file| name_of(file.number)));
            self.lose(Loss { path, cause: Cause::Absent, offset, bytes: 0, missing: expected..known_end });
        }
    }

    /// Notes a loss, unless nobody needs what is lost.
    fn lose(&mut self, loss: Loss) {
        self.expected = self.expected.max(loss.missing.end);
        if !loss.missing.is_empty() && loss.missing.end <= self.needed {
            return;
        }
        self.recovery.n_losses += 1;
        self.recovery.lost_bytes += loss.bytes;
        self.recovery.lost_records += loss.missing.end.0.saturating_sub(loss.missing.start.0);
        if self.recovery.losses.len() < LOSSES_MAX {
            self.recovery.losses.push(loss);
        }
    }
}

/// Names what ended a pass over the file at `path`.
pub(super) fn failed(error: ScanError, path: &Path) -> WalError {
    match error {
        ScanError::Io(error) => WalError::io("read", path, error),
        ScanError::Unknown { offset, what } => {
            WalError::Newer { path: path.to_owned(), what: Newer::Record { offset, what } }
        }
    }
}
