//! The write-ahead log: what the collector has taken in and not yet committed as parts, so that no crash loses what was acknowledged.
//!
//! Called by the collector's store, from one thread. Bytes and rules are normative in `docs/spec/wal.md`. Records are numbered without gaps and
//! are only ever added at the end; whole files are freed from the front. What a payload means is its caller's. It reads no clock, and waits
//! for nothing but the disk: where there is no room it refuses.
//!
//! # What is durable when
//! - [`Wal::append`] returns after `write(2)`: however the process ends, the record is found.
//! - [`Wal::sync`] returns after `fdatasync(2)`: all records appended before are found also after a power failure. It has to come before an
//!   acknowledgement under [`Fsync::Always`], and under any policy before a number is written down elsewhere (in a manifest).
//! - A file is left only after it was synced, so one sync of the newest covers all.
//! - A record that was refused is not found, but in two cases: the disk refuses even to write 32 zeros over its header, and the process ends
//!   before the next record; or the power fails before the next successful sync.
//! - After a sync that failed nobody knows what is durable of the records since the last one. [`WalError::InDoubt`] names them, once. The file is
//!   not written to again, as a later sync of it would say nothing about them; the log goes on in a new one, and keeps their numbers.
//!   They are found as long as the machine runs. Whoever was waiting for that sync must not be told that it is durable: as after any
//!   answer that was lost, he sends again, and what he sent may be there twice. What was acknowledged on write should be committed soon.
pub mod disk;
pub mod error;
pub mod file;
mod files;
pub mod record;
mod recover;
pub mod scan;

pub use disk::{Disk, Folder};
pub use error::WalError;
pub use files::Freed;
pub use record::{Kind, Record, Seq};
pub use recover::{Cause, LOSSES_MAX, Loss, Recovery, Torn};

use backsight_core::units::Nanos;
use disk::DiskFile;
use file::{FileHeader, HEADER_BYTES as FILE_HEADER_BYTES, bytes_for, name_of};
use files::{Files, Keep};
use record::{HEADER_BYTES, Header, PAYLOAD_MAX_BYTES, Seed, padding, record_bytes};
use recover::{Recovered, recover};
use scan::{Scan, scan};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The smallest and the largest length of a file.
pub const FILE_BYTES: std::ops::RangeInclusive<u64> = 4096..=1 << 30;
/// A log has room for at least so many files: one that is written to, one that is being committed, one in reserve.
pub const FILES_MIN: u64 = 3;

/// When what was appended is made durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fsync {
    /// Before anybody is told: the caller appends what has come, calls [`Wal::sync`] once, and then acknowledges all of it.
    Always,
    /// So long after it was appended, at most, and however often [`Wal::tick`] is called: a power failure loses that much.
    Interval(Nanos),
    /// When the kernel pleases, and when a file is full.
    Os,
}

/// How a log is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// The collector whose log it is; files of another are refused.
    pub node: u32,
    /// When records become durable: within 100 ms.
    pub fsync: Fsync,
    /// The length of a file: 64 MiB. Brought into [`FILE_BYTES`] and to a multiple of 4096. A record that does not fit gets a file of its own length.
    pub file_bytes: u64,
    /// What all files may take, spares included: 1 GiB. Input is refused where it would take the last file's worth of it, which is kept for decisions,
    /// certificates and commits, without which nothing is ever freed.
    pub wal_bytes: u64,
    /// Files that wait to be used again: 2. Writing to them is faster than to new ones, as the disk need not note where they are.
    pub spare_files_max: u32,
    /// What is known from elsewhere; nothing.
    pub known: Known,
}

/// What the last manifest says of the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Known {
    /// The first record that is still needed (`wal_low`), 0 where nobody knows. What is lost before it is no loss.
    pub wal_low: Seq,
    /// The highest number that stands anywhere (`agg_upto`, `wal_seq`): it is not given to another record, even if the log has lost it.
    pub last_seq: Seq,
    /// The epoch at that time.
    pub epoch: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            node: 0,
            fsync: Fsync::Interval(Nanos::from_ms(100)),
            file_bytes: 64 << 20,
            wal_bytes: 1 << 30,
            spare_files_max: 2,
            known: Known::default(),
        }
    }
}

impl Options {
    fn checked(self) -> Result<Self, WalError> {
        let file_bytes = bytes_for(0, self.file_bytes.clamp(*FILE_BYTES.start(), *FILE_BYTES.end()) & !4095);
        if self.wal_bytes / FILES_MIN < file_bytes {
            return Err(WalError::TooSmall { total_bytes: self.wal_bytes, file_bytes, files_min: FILES_MIN });
        }
        Ok(Self { file_bytes, ..self })
    }

    fn keep(&self) -> Keep {
        Keep { spares_max: self.spare_files_max, file_bytes: self.file_bytes, limit_bytes: self.wal_bytes }
    }
}

/// How much room there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Usage {
    /// What the files in use take.
    pub live_bytes: u64,
    /// What the files take that wait to be used again.
    pub spare_bytes: u64,
    /// The limit of both together.
    pub limit_bytes: u64,
}

/// A log that is open for appending. Dropping it syncs nothing; [`close`](Self::close) does.
#[derive(Debug)]
pub struct Wal<D: Disk = Folder> {
    options: Options,
    files: Files<D>,
    /// The newest file while it can be written to: not before the first append, and not after a failure that only a new file escapes.
    active: Option<Active<D::File>>,
    epoch: u64,
    next: Seq,
    /// A sync that failed and that no caller knows of yet.
    doubt: Option<WalError>,
    last_tick: Option<Nanos>,
}

#[derive(Debug)]
struct Active<F> {
    file: F,
    number: u64,
    seed: Seed,
    /// Where the next record begins.
    end: u64,
    /// Where records end at the latest.
    records_end: u64,
    /// The first record that is not known to be durable.
    unsynced: Seq,
    /// Whether anything was written since the last sync.
    is_dirty: bool,
}

impl Wal {
    /// Opens the log in the folder `path`, which is made where it is missing, and cuts off what a crash left unfinished.
    ///
    /// # Errors
    /// The folder is in use, holds files of another collector or of a later version, or the disk fails. What is damaged is no error: it is told by
    /// the [`Recovery`].
    /// # Cost
    /// Reads all files that are needed.
    pub fn open(path: &Path, options: Options) -> Result<(Self, Recovery), WalError> {
        Self::open_on(Folder::open(path)?, options)
    }
}

impl<D: Disk> Wal<D> {
    /// Opens the log on `disk`; see [`Wal::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open_on(disk: D, options: Options) -> Result<(Self, Recovery), WalError> {
        let options = options.checked()?;
        let Recovered { files, recovery, tail } = recover(disk, &options)?;
        let (epoch, next) = (recovery.epoch, recovery.next);
        let mut wal = Self { options, files, active: None, epoch, next, doubt: None, last_tick: None };
        wal.settle(tail)?;
        Ok((wal, recovery))
    }

    /// Makes durable what was found, unless a sync of it has failed before, and takes up the newest file behind its last record.
    fn settle(&mut self, tail: Option<Scan>) -> Result<(), WalError> {
        self.files.settle(self.options.keep())?;
        let Some(newest) = self.files.live().back() else { return Ok(()) };
        let path = self.files.disk.path(&name_of(newest.number));
        let file = self.files.disk.open(&name_of(newest.number));
        let file = file.map_err(|error| WalError::io("open", &path, error))?;
        // The end that a crash tore is cut off in the bytes, too. Where that fails, a new file begins where it would have stood.
        let tail = tail.filter(|scan| wipe(&file, scan.end, scan.torn_bytes).is_ok());
        // What the process before this one wrote may be in memory alone.
        file.sync().map_err(|error| WalError::io("sync", &path, error))?;
        self.active = tail.zip(newest.header).map(|(scan, header)| Active {
            file,
            number: header.number,
            seed: header.seed(),
            end: scan.end,
            records_end: newest.records_end,
            unsynced: self.next,
            is_dirty: false,
        });
        Ok(())
    }

    /// Appends a record and returns its number. From then on only a power failure can lose it, until it is synced.
    ///
    /// # Errors
    /// The payload is too long, the log or the disk is full, or the disk fails; the log is then as before, and the next append may succeed.
    /// # Cost
    /// One `pwritev`, no copy of the payload, no allocation beyond a few words. When a file is full: one sync of it, and one file begun,
    /// which are two syncs of small things.
    pub fn append(&mut self, kind: Kind, ingest_ns: u64, payload: &[u8]) -> Result<Seq, WalError> {
        let (len, max) = (payload.len() as u64, PAYLOAD_MAX_BYTES.into());
        let Some(len) = u32::try_from(len).ok().filter(|len| *len <= PAYLOAD_MAX_BYTES) else {
            return Err(WalError::PayloadTooLong { len, max });
        };
        let seq = self.next;
        let mut active = self.room_for(kind, len)?;
        let header = Header::of(&Record { seq, kind, ingest_ns, payload }, active.seed).encode(active.seed);
        active.is_dirty = true;
        let written = active.file.write_all_at(&[&header, payload, padding(len)], active.end);
        match written {
            Ok(()) => {
                active.end += record_bytes(len);
                self.active = Some(active);
                self.next = seq.next();
                Ok(seq)
            }
            Err(error) => {
                let path = self.files.disk.path(&name_of(active.number));
                // All of it may be there but the error: without its header it is no record.
                let is_undone = wipe(&active.file, active.end, HEADER_BYTES.into()).is_ok();
                self.active = Some(active);
                if !is_undone {
                    self.leave();
                }
                Err(WalError::io("append to", &path, error))
            }
        }
    }

    /// Takes out the file to append a payload of `len` bytes to: the active one, or where it does not fit a new one.
    fn room_for(&mut self, kind: Kind, len: u32) -> Result<Active<D::File>, WalError> {
        let fits = |active: &Active<D::File>| active.end + record_bytes(len) <= active.records_end;
        if let Some(active) = self.active.take_if(|active| fits(active)) {
            return Ok(active);
        }
        let bytes = bytes_for(len, self.options.file_bytes);
        let reserve_bytes = if kind.is_input() { self.options.file_bytes } else { 0 };
        if !self.files.make_room(bytes, self.options.wal_bytes.saturating_sub(reserve_bytes))? {
            let oldest =
                self.files.live().iter().find_map(|file| file.header).map_or(self.next, |header| header.first_seq);
            let (used_bytes, total_bytes) = (self.files.live_bytes(), self.options.wal_bytes);
            return Err(WalError::Full { used_bytes, total_bytes, oldest });
        }
        // Before the new file is there: or a power failure could leave a gap between records that nobody was told of and what follows.
        self.flush();
        let header = FileHeader {
            node: self.options.node,
            number: self.files.next_number(),
            first_seq: self.next,
            epoch: self.epoch,
            salt: self.files.disk.random(),
        };
        let prepared = self.files.prepare(header, bytes)?;
        // From here on the next record must not go to the file before, in which nobody would look for it.
        self.active = None;
        let file = self.files.enter(prepared)?;
        Ok(Active {
            file,
            number: header.number,
            seed: header.seed(),
            end: FILE_HEADER_BYTES.into(),
            records_end: file::second_copy_at(bytes),
            unsynced: self.next,
            is_dirty: false,
        })
    }

    /// Makes all that was appended durable, and returns the number of the last record.
    ///
    /// # Errors
    /// [`WalError::InDoubt`]: this sync failed, or one since the last call of this function or of [`tick`](Self::tick), as an append makes one
    /// where a file is full. What was appended since that call must not be acknowledged as durable.
    /// # Cost
    /// One `fdatasync`; nothing where nothing was appended.
    pub fn sync(&mut self) -> Result<Seq, WalError> {
        self.flush();
        match self.doubt.take() {
            Some(doubt) => Err(doubt),
            None => Ok(Seq(self.next.0.saturating_sub(1))),
        }
    }

    /// Syncs where the policy wants it, at `now` of a clock that never goes back; to be called several times within the interval.
    ///
    /// # Errors
    /// As of [`sync`](Self::sync).
    pub fn tick(&mut self, now: Nanos) -> Result<(), WalError> {
        let every = match self.options.fsync {
            Fsync::Always => Nanos(0),
            Fsync::Interval(every) => every,
            Fsync::Os => return self.doubt.take().map_or(Ok(()), Err),
        };
        let is_due = self.last_tick.is_none_or(|last| now.0.checked_sub(last.0).is_none_or(|passed| passed >= every.0));
        if !is_due {
            return Ok(());
        }
        self.last_tick = Some(now);
        self.sync().map(drop)
    }

    /// Frees the files whose records all come before `seq`: the first record that is still needed, as the last durable manifest says. The newest file
    /// always stays.
    ///
    /// # Errors
    /// A file cannot be renamed or removed; those before it are freed.
    /// # Cost
    /// A rename or removal a file, and one sync of the folder.
    pub fn free_before(&mut self, seq: Seq) -> Result<Freed, WalError> {
        self.files.free_before(seq, self.options.keep())
    }

    /// Shows every whole record from number `from` on, in order, and returns how many.
    ///
    /// What is missing among them was told by the [`Recovery`]. Records before `from` may be there or not.
    ///
    /// # Errors
    /// A file cannot be read.
    /// # Cost
    /// Reads each file once; one record in memory.
    pub fn replay(&self, from: Seq, visit: &mut dyn FnMut(Record<'_>)) -> Result<u64, WalError> {
        let mut n_records = 0;
        for (idx, live) in self.files.live().iter().enumerate() {
            let Some(extent) = self.files.extent_of(idx, self.next).filter(|extent| extent.limit > from) else {
                continue;
            };
            let path = self.files.disk.path(&name_of(live.number));
            let file = self.files.disk.open(&name_of(live.number));
            let file = file.map_err(|error| WalError::io("read", &path, error))?;
            let scanned = scan(&file, &extent, &mut |found| {
                match &found {
                    scan::Found::Record { header, .. } if header.seq >= from => {
                        found.record()?.map(&mut *visit);
                        n_records += 1;
                    }
                    _ => {}
                }
                Ok(())
            });
            scanned.map_err(|error| recover::failed(error, &path))?;
        }
        Ok(n_records)
    }

    /// Syncs and closes the log.
    ///
    /// # Errors
    /// As of [`sync`](Self::sync).
    pub fn close(mut self) -> Result<(), WalError> {
        self.sync().map(drop)
    }

    /// Returns the number that the next record gets.
    pub fn next_seq(&self) -> Seq {
        self.next
    }

    /// Returns the epoch: how often the log was opened, this time included.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns how much room there is.
    pub fn usage(&self) -> Usage {
        Usage {
            live_bytes: self.files.live_bytes(),
            spare_bytes: self.files.spare_bytes(),
            limit_bytes: self.options.wal_bytes,
        }
    }

    /// Syncs the active file. Where that fails the file is left, and what is in doubt is noted.
    fn flush(&mut self) {
        let next = self.next;
        let Some(active) = self.active.as_mut().filter(|active| active.is_dirty) else { return };
        match active.file.sync() {
            Ok(()) => (active.unsynced, active.is_dirty) = (next, false),
            Err(error) => {
                let (first, path) = (active.unsynced, self.files.disk.path(&name_of(active.number)));
                self.active = None;
                self.doubt = Some(in_doubt(self.doubt.take(), &path, first, next, error));
            }
        }
    }

    /// Leaves the active file for good: it holds what cannot be undone, and what comes next begins a new one.
    fn leave(&mut self) {
        self.flush();
        self.active = None;
    }
}

/// Returns the doubt about the records from `first` to before `end`, and about those that `earlier` says.
fn in_doubt(earlier: Option<WalError>, path: &Path, first: Seq, end: Seq, error: io::Error) -> WalError {
    let first = match earlier {
        Some(WalError::InDoubt { first: earlier, .. }) => earlier.min(first),
        _ => first,
    };
    WalError::InDoubt { path: path.to_owned(), first, end, source: Arc::new(error) }
}

/// Writes `bytes` zeros at `at`.
fn wipe(file: &impl DiskFile, at: u64, bytes: u64) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 4096];
    let mut done = 0;
    while done < bytes {
        let len = (bytes - done).min(ZEROS.len() as u64);
        file.write_all_at(&[&ZEROS[..len as usize]], at + done)?;
        done += len;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
