//! Reading a file of the write-ahead log: its headers, its records in order, and what stands where records should be.
//!
//! Called by recovery, by replay, by tests and by fuzzing. It believes nothing: whatever the bytes are, it ends after one pass over them, and
//! holds at most the longest record in memory, which is never longer than the file. It changes nothing.

use super::file::{Fault, FileHeader, HEADER_BYTES as FILE_HEADER_BYTES, second_copy_at};
use super::record::{ALIGN, HEADER_BYTES, Header, Record, Seed, Seq, Unknown, record_bytes};
use std::io;
use std::ops::Range;

pub use super::disk::ReadAt;

/// What is read at once where records are short.
const WINDOW_BYTES: u64 = 256 << 10;

/// Both copies of a file's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Headers {
    copies: [Result<FileHeader, Fault>; 2],
    bytes: u64,
}

impl Headers {
    /// Reads them from a file of `bytes`.
    ///
    /// # Errors
    /// As of the disk.
    pub fn read<F: ReadAt + ?Sized>(file: &F, bytes: u64) -> io::Result<Self> {
        let mut window = Window::new(file, bytes);
        let mut copy = |at| -> io::Result<_> {
            Ok(window.get(at, FILE_HEADER_BYTES.into())?.map_or(Err(Fault::Unsound), FileHeader::decode))
        };
        Ok(Self { copies: [copy(0)?, copy(second_copy_at(bytes))?], bytes })
    }

    /// Returns the header, by the copy that is sound; the first one where both are.
    ///
    /// # Errors
    /// Neither is sound, or what is sound is of another version.
    pub fn header(&self) -> Result<FileHeader, Fault> {
        let [first, second] = self.copies;
        match (first, second) {
            (Ok(header), _) | (Err(Fault::Unsound), Ok(header)) => Ok(header),
            (Err(Fault::Version(version)), _) | (_, Err(Fault::Version(version))) => Err(Fault::Version(version)),
            _ => Err(Fault::Unsound),
        }
    }

    /// Returns whether both copies are sound and say the same.
    pub fn is_whole(&self) -> bool {
        matches!(self.copies, [Ok(first), Ok(second)] if first == second)
    }

    /// Returns where records end at the latest: before the second copy, or with the file where that is not there, as the file is damaged.
    pub fn records_end(&self) -> u64 {
        if self.copies[1].is_ok() { second_copy_at(self.bytes) } else { self.bytes }
    }
}

/// What to read of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Its header.
    pub header: FileHeader,
    /// Where its records end at the latest, in bytes.
    pub end: u64,
    /// The first number that is no record of this file any more: where the next file begins.
    pub limit: Seq,
}

/// What stands in a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found<'a> {
    /// A whole record.
    Record {
        /// Where its header begins.
        offset: u64,
        /// Its header.
        header: Header,
        /// Its bytes.
        payload: &'a [u8],
    },
    /// Damage, with records behind it.
    Hole {
        /// Where it begins.
        offset: u64,
        /// Up to the next record.
        bytes: u64,
        /// The records that stood there.
        missing: Range<Seq>,
    },
}

/// What a pass over a file found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scan {
    /// Where its last whole record ends.
    pub end: u64,
    /// The number behind that of its last whole record.
    pub next: Seq,
    /// Whole records.
    pub n_records: u64,
    /// How far beyond [`end`](Self::end) the records reach that were begun, and are not whole. 0 where none is recognised by its header.
    pub torn_bytes: u64,
}

/// Why a pass ended early.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A whole record is of a later version.
    #[error("{what} at byte {offset}")]
    Unknown {
        /// Where its header begins.
        offset: u64,
        /// What is unknown of it.
        what: Unknown,
    },
}

impl Found<'_> {
    /// Returns the record; `None` for a hole.
    ///
    /// # Errors
    /// It is of a later version.
    pub fn record(&self) -> Result<Option<Record<'_>>, ScanError> {
        let Self::Record { offset, header, payload } = self else { return Ok(None) };
        header.record(payload).map(Some).map_err(|what| ScanError::Unknown { offset: *offset, what })
    }
}

/// Shows what stands in `extent` of `file`, in order.
///
/// Numbers follow each other without gaps from the file's first one on. A record counts if its header and payload are whole, it lies within
/// the extent, and its number is the next one. Where there is none, one is looked for at each multiple of 8 behind; its number may be higher by what the
/// bytes between could have held.
///
/// # Errors
/// The file cannot be read, or `visit` wants no more.
/// # Cost
/// One pass, up to the record before `limit` or else to the end: of what is passed over in search of a header only the payloads of whole
/// headers are summed, and whole headers cannot be forged without the salt.
pub fn scan<F: ReadAt + ?Sized>(
    file: &F,
    extent: &Extent,
    visit: &mut dyn FnMut(Found<'_>) -> Result<(), ScanError>,
) -> Result<Scan, ScanError> {
    let start = u64::from(FILE_HEADER_BYTES);
    let mut pass = Pass {
        window: Window::new(file, extent.end),
        seed: extent.header.seed(),
        limit: extent.limit,
        scan: Scan { end: start, next: extent.header.first_seq, n_records: 0, torn_bytes: 0 },
        torn_end: start,
    };
    let mut at = start;
    while pass.scan.next < extent.limit && at.saturating_add(HEADER_BYTES.into()) <= extent.end {
        at = pass.step(at, visit)?.unwrap_or(at + ALIGN);
    }
    pass.scan.torn_bytes = pass.torn_end.saturating_sub(pass.scan.end);
    Ok(pass.scan)
}

struct Pass<'f, F: ?Sized> {
    window: Window<'f, F>,
    seed: Seed,
    limit: Seq,
    scan: Scan,
    /// How far records reach that have a header but are not whole.
    torn_end: u64,
}

impl<F: ReadAt + ?Sized> Pass<'_, F> {
    /// Shows the record at `at` and returns where it ends; `None` where there is none.
    fn step(
        &mut self,
        at: u64,
        visit: &mut dyn FnMut(Found<'_>) -> Result<(), ScanError>,
    ) -> Result<Option<u64>, ScanError> {
        let bytes = self.window.get(at, HEADER_BYTES.into())?;
        let Some(header) = bytes.and_then(|bytes| Header::decode(bytes, self.seed)) else { return Ok(None) };
        if !self.may_follow(at, header.seq) {
            return Ok(None);
        }
        let end = at.saturating_add(record_bytes(header.len));
        let whole = self.window.get(at, u64::from(HEADER_BYTES) + u64::from(header.len))?;
        let payload = whole.and_then(|bytes| bytes.get(HEADER_BYTES as usize..));
        let Some(payload) = payload.filter(|payload| header.matches(self.seed, payload)) else {
            self.torn_end = self.torn_end.max(end.min(self.window.bytes));
            return Ok(None);
        };
        let scan = &mut self.scan;
        if at > scan.end {
            let missing = scan.next..header.seq;
            visit(Found::Hole { offset: scan.end, bytes: at - scan.end, missing })?;
        }
        visit(Found::Record { offset: at, header, payload })?;
        *scan = Scan { end, next: header.seq.next(), n_records: scan.n_records + 1, torn_bytes: 0 };
        Ok(Some(end))
    }

    /// Returns whether record `seq` may stand at `at`: it is the next one, or higher by no more than the bytes between could have held.
    fn may_follow(&self, at: u64, seq: Seq) -> bool {
        let room = (at - self.scan.end) / u64::from(HEADER_BYTES);
        seq < self.limit && seq >= self.scan.next && seq.0 - self.scan.next.0 <= room
    }
}

/// A part of a file in memory: at least what was asked for last.
struct Window<'f, F: ?Sized> {
    file: &'f F,
    /// Up to where the file is looked at.
    bytes: u64,
    start: u64,
    held: Vec<u8>,
}

impl<'f, F: ReadAt + ?Sized> Window<'f, F> {
    fn new(file: &'f F, bytes: u64) -> Self {
        Self { file, bytes, start: 0, held: Vec::new() }
    }

    /// Returns `len` bytes at `at`, `None` where they are not all there.
    fn get(&mut self, at: u64, len: u64) -> io::Result<Option<&[u8]>> {
        let Some(end) = at.checked_add(len).filter(|end| *end <= self.bytes) else { return Ok(None) };
        if at < self.start || end > self.start + self.held.len() as u64 {
            self.fill(at, len.max(WINDOW_BYTES).min(self.bytes - at))?;
        }
        let from = (at - self.start) as usize;
        Ok(self.held.get(from..from + len as usize))
    }

    fn fill(&mut self, at: u64, len: u64) -> io::Result<()> {
        self.start = at;
        self.held.clear();
        self.held.resize(len as usize, 0);
        let mut filled = 0;
        while filled < self.held.len() {
            match self.file.read_at(&mut self.held[filled..], at + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.held.truncate(filled); // the file is shorter than it was said to be
        Ok(())
    }
}

#[cfg(test)]
mod tests;
