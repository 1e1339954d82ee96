//! The bytes of a store's file: a header, then entries, each with checksums. Drawn in `docs/spec/store.md`.
//!
//! Called by `log`, by tests and by fuzzing. Pure: any bytes give entries and a count of what was lost, never a panic.

use crate::{Entry, Place};
use backsight_core::checksum::checksum;
use backsight_core::ids::TraceId;
use std::ops::Range;

/// The header of a file: two equal copies of 32 bytes, of which one is enough.
pub const FILE_HEADER_BYTES: u32 = 64;
/// The header of an entry.
pub const ENTRY_HEADER_BYTES: u32 = 48;
/// Entries begin at multiples of this.
pub const ALIGN: usize = 8;
/// The longest payload of one entry.
pub const PAYLOAD_MAX_BYTES: u32 = 64 << 20;
/// The version that this code writes, and the only one that it reads.
pub const VERSION: u32 = 1;

const COPY_BYTES: usize = FILE_HEADER_BYTES as usize / 2;
const HEADER_BYTES: usize = ENTRY_HEADER_BYTES as usize;
const FILE_MAGIC: u32 = u32::from_le_bytes(*b"BKSF");
const ENTRY_MAGIC: u32 = u32::from_le_bytes(*b"BKSE");

/// What the header of a file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileHeader {
    /// The file's number.
    pub seq: u64,
    /// Random; goes into the checksum of each entry's header, so that no payload can hold what would pass for an entry.
    pub salt: u64,
}

impl FileHeader {
    /// Returns the header's bytes.
    pub fn encode(self) -> [u8; FILE_HEADER_BYTES as usize] {
        let mut bytes = [0; FILE_HEADER_BYTES as usize];
        let (first, second) = bytes.split_at_mut(COPY_BYTES);
        first[0..4].copy_from_slice(&FILE_MAGIC.to_le_bytes());
        first[4..8].copy_from_slice(&VERSION.to_le_bytes());
        first[8..16].copy_from_slice(&self.seq.to_le_bytes());
        first[16..24].copy_from_slice(&self.salt.to_le_bytes());
        let sum = checksum(0, &first[..24]);
        first[24..32].copy_from_slice(&sum.to_le_bytes());
        second.copy_from_slice(first);
        bytes
    }

    /// Reads the header at the begin of a file, `None` where neither copy is sound.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let copy = |copy: &[u8]| {
            let is_sound = u32_at(copy, 0)? == FILE_MAGIC
                && u32_at(copy, 4)? == VERSION
                && u64_at(copy, 24)? == checksum(0, copy.get(..24)?);
            is_sound.then_some(Self { seq: u64_at(copy, 8)?, salt: u64_at(copy, 16)? })
        };
        bytes.get(..FILE_HEADER_BYTES as usize)?.chunks_exact(COPY_BYTES).find_map(copy)
    }
}

/// What the header of an entry says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryHeader {
    /// The entry's trace.
    pub trace: TraceId,
    /// Its kind.
    pub kind: u8,
    /// The length of its payload.
    pub len: u32,
    /// The checksum of its payload.
    pub payload_sum: u64,
}

impl EntryHeader {
    /// Returns the header of `entry`.
    pub fn of(entry: &Entry<'_>) -> Self {
        Self {
            trace: entry.trace,
            kind: entry.kind,
            len: entry.payload.len() as u32,
            payload_sum: checksum(0, entry.payload),
        }
    }

    fn encode(&self, salt: u64, offset: u64) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&ENTRY_MAGIC.to_le_bytes());
        bytes[4] = self.kind;
        bytes[8..12].copy_from_slice(&self.len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.trace.hi.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.trace.lo.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.payload_sum.to_le_bytes());
        let sum = checksum(salt ^ offset, &bytes[..40]);
        bytes[40..48].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header at the begin of `bytes`, which stand at `offset` of a file with salt `salt`; `None` where there is none.
    pub fn decode(bytes: &[u8], salt: u64, offset: u64) -> Option<Self> {
        let bytes = bytes.get(..HEADER_BYTES)?;
        let len = u32_at(bytes, 8)?;
        let is_sound = u32_at(bytes, 0)? == ENTRY_MAGIC
            && len <= PAYLOAD_MAX_BYTES
            && u64_at(bytes, 40)? == checksum(salt ^ offset, &bytes[..40]);
        is_sound.then_some(Self {
            trace: TraceId::new(u64_at(bytes, 16)?, u64_at(bytes, 24)?),
            kind: bytes[4],
            len,
            payload_sum: u64_at(bytes, 32)?,
        })
    }

    /// Returns whether `payload` is this entry's.
    pub fn matches(&self, payload: &[u8]) -> bool {
        payload.len() == self.len as usize && checksum(0, payload) == self.payload_sum
    }
}

/// Returns the bytes that an entry with a payload of `len` bytes takes.
pub const fn entry_bytes(len: usize) -> usize {
    (HEADER_BYTES + len).next_multiple_of(ALIGN)
}

/// Appends `entry`, which will stand at `offset` of a file with salt `salt`, to `out`.
pub fn encode_entry(entry: &Entry<'_>, salt: u64, offset: u64, out: &mut Vec<u8>) {
    let end = out.len() + entry_bytes(entry.payload.len());
    out.extend(EntryHeader::of(entry).encode(salt, offset));
    out.extend(entry.payload);
    out.resize(end, 0);
}

/// What [`scan`] found in a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Scan {
    /// Its header, `None` where it cannot be read, and then nothing else can.
    pub header: Option<FileHeader>,
    /// Entries shown.
    pub n_entries: u64,
    /// Where the last of them ends; what is beyond is damaged or was never finished.
    pub end: u64,
    /// Damaged bytes before that.
    pub lost_bytes: u64,
    /// Runs of such bytes.
    pub n_holes: u64,
}

/// Shows every sound entry of a file with number `seq` and bytes `bytes`.
///
/// Where an entry is damaged, the next one is looked for at each multiple of 8 bytes behind it.
///
/// # Cost
/// Linear: a payload is summed only behind a sound header.
pub fn scan(seq: u64, bytes: &[u8], visit: &mut dyn FnMut(Place, Entry<'_>)) -> Scan {
    let mut scan = Scan { header: FileHeader::decode(bytes).filter(|header| header.seq == seq), ..Scan::default() };
    let Some(header) = scan.header else { return scan };
    scan.end = u64::from(FILE_HEADER_BYTES);
    let mut at = FILE_HEADER_BYTES as usize;
    // Places hold 32 bits; no file of ours is longer.
    while at + HEADER_BYTES <= bytes.len() && u32::try_from(at).is_ok() {
        match entry_at(bytes, header.salt, at) {
            Found::Sound { entry, next } => {
                if scan.end < at as u64 {
                    scan.lost_bytes += at as u64 - scan.end;
                    scan.n_holes += 1;
                }
                visit(Place { file: seq, offset: at as u32, len: entry.payload.len() as u32 }, entry);
                scan.n_entries += 1;
                scan.end = next as u64;
                at = next;
            }
            Found::Damaged { next } => at = next,
            Found::Nothing => at += ALIGN,
        }
    }
    scan
}

enum Found<'a> {
    Sound {
        entry: Entry<'a>,
        next: usize,
    },
    /// The header is sound, so the length is; the payload is not.
    Damaged {
        next: usize,
    },
    Nothing,
}

fn entry_at(bytes: &[u8], salt: u64, at: usize) -> Found<'_> {
    let rest = bytes.get(at..).unwrap_or_default();
    let Some(header) = EntryHeader::decode(rest, salt, at as u64) else { return Found::Nothing };
    let range: Range<usize> = HEADER_BYTES..HEADER_BYTES + header.len as usize;
    let next = at + entry_bytes(header.len as usize);
    let Some(payload) = rest.get(range).filter(|_| next <= bytes.len()) else { return Found::Nothing };
    if !header.matches(payload) {
        return Found::Damaged { next };
    }
    Found::Sound { entry: Entry { trace: header.trace, kind: header.kind, payload }, next }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
