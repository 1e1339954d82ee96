//! The bytes of one record of the write-ahead log: its header, what a payload is, and the checksums of both (`docs/spec/wal.md` section 3).
//!
//! Called by `scan`, by the writer, by tests and by fuzzing. Pure: any bytes give a header or none, never a panic.

use std::fmt;

/// The header of a record.
pub const HEADER_BYTES: u32 = 32;
/// Records begin at multiples of this.
pub const ALIGN: u64 = 8;
/// The longest payload: a request of the longest form that the intake takes, decompressed.
pub const PAYLOAD_MAX_BYTES: u32 = 64 << 20;

/// The first bytes of each record.
pub(super) const MAGIC: [u8; 2] = *b"WR";

/// The number of a record: from 1 on, without gaps, never used twice for what somebody may still have. 0 stands for none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// Returns the number of the next record.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a payload is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A request of OTLP as it was received, decompressed, after redaction.
    Otlp = 1,
    /// What an agent reported.
    Report = 2,
    /// What a simulator's weaver sent.
    Columbo = 3,
    /// That a trace is kept or dropped, and why.
    Decision = 4,
    /// What a trace says about its own completeness.
    Certificate = 5,
    /// That a manifest was made, by its number.
    Commit = 6,
}

impl Kind {
    /// All of them, by their numbers.
    pub const ALL: [Self; 6] =
        [Self::Otlp, Self::Report, Self::Columbo, Self::Decision, Self::Certificate, Self::Commit];

    /// Returns its number.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns whether it came from outside. The others are the collector's own books about what came, and small.
    pub const fn is_input(self) -> bool {
        matches!(self, Self::Otlp | Self::Report | Self::Columbo)
    }
}

impl TryFrom<u8> for Kind {
    type Error = Unknown;

    fn try_from(code: u8) -> Result<Self, Unknown> {
        Self::ALL.into_iter().find(|kind| kind.code() == code).ok_or(Unknown::Kind(code))
    }
}

/// What a whole record has that this version does not know. A later version wrote it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unknown {
    /// A kind.
    #[error("kind {0}")]
    Kind(u8),
    /// Flags; this version has none.
    #[error("flags {0:#04x}")]
    Flags(u8),
}

/// A record to write, or as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<'a> {
    /// Its number.
    pub seq: Seq,
    /// What its payload is.
    pub kind: Kind,
    /// When the collector received it, in ns since 1970; the caller's clock.
    pub ingest_ns: u64,
    /// The bytes, at most [`PAYLOAD_MAX_BYTES`].
    pub payload: &'a [u8],
}

/// What the checksums of a file's records begin with: the checksum of the file's header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub(super) u32);

/// What the header of a record says, its flags and kind as they stand there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// What the payload is, by number.
    pub kind: u8,
    /// Zero in this version.
    pub flags: u8,
    /// The length of the payload.
    pub len: u32,
    /// The record's number.
    pub seq: Seq,
    /// When it was received.
    pub ingest_ns: u64,
    /// The checksum of the 24 bytes before it and of the payload.
    pub crc: u32,
}

impl Header {
    /// Returns the header of `record` in a file with seed `seed`.
    ///
    /// # Panics
    /// In debug builds where the payload is too long.
    pub fn of(record: &Record<'_>, seed: Seed) -> Self {
        debug_assert!(record.payload.len() <= PAYLOAD_MAX_BYTES as usize, "the caller has checked the length");
        let mut header = Self {
            kind: record.kind.code(),
            flags: 0,
            len: record.payload.len() as u32,
            seq: record.seq,
            ingest_ns: record.ingest_ns,
            crc: 0,
        };
        header.crc = header.sum(seed, record.payload);
        header
    }

    /// Returns its bytes in a file with seed `seed`.
    pub fn encode(&self, seed: Seed) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..24].copy_from_slice(&self.front());
        bytes[24..28].copy_from_slice(&self.crc.to_le_bytes());
        let sum = crc32c::crc32c_append(seed.0, &bytes[..28]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads the header at the begin of `bytes`, of a file with seed `seed`; `None` where no sound one stands.
    ///
    /// # Cost
    /// A comparison of two bytes where there is none; a checksum of 28 bytes otherwise.
    pub fn decode(bytes: &[u8], seed: Seed) -> Option<Self> {
        if !bytes.starts_with(&MAGIC) {
            return None;
        }
        let bytes = bytes.first_chunk::<{ HEADER_BYTES as usize }>()?;
        let header = Self {
            kind: bytes[2],
            flags: bytes[3],
            len: u32_at(bytes, 4)?,
            seq: Seq(u64_at(bytes, 8)?),
            ingest_ns: u64_at(bytes, 16)?,
            crc: u32_at(bytes, 24)?,
        };
        let is_sound =
            header.len <= PAYLOAD_MAX_BYTES && u32_at(bytes, 28)? == crc32c::crc32c_append(seed.0, &bytes[..28]);
        is_sound.then_some(header)
    }

    /// Returns whether `payload` is this record's, in a file with seed `seed`.
    pub fn matches(&self, seed: Seed, payload: &[u8]) -> bool {
        payload.len() == self.len as usize && self.sum(seed, payload) == self.crc
    }

    /// Returns the record with this header and `payload`, which matches it.
    ///
    /// # Errors
    /// Its kind or flags are of a later version.
    pub fn record<'a>(&self, payload: &'a [u8]) -> Result<Record<'a>, Unknown> {
        if self.flags != 0 {
            return Err(Unknown::Flags(self.flags));
        }
        let kind = Kind::try_from(self.kind)?;
        Ok(Record { seq: self.seq, kind, ingest_ns: self.ingest_ns, payload })
    }

    fn front(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..2].copy_from_slice(&MAGIC);
        bytes[2] = self.kind;
        bytes[3] = self.flags;
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.seq.0.to_le_bytes());
        bytes[16..].copy_from_slice(&self.ingest_ns.to_le_bytes());
        bytes
    }

    fn sum(&self, seed: Seed, payload: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(seed.0, &self.front()), payload)
    }
}

/// Returns the bytes that a record with a payload of `len` bytes takes in a file.
pub const fn record_bytes(len: u32) -> u64 {
    (HEADER_BYTES as u64 + len as u64).next_multiple_of(ALIGN)
}

/// Returns the zeros behind a payload of `len` bytes, up to the next record.
pub(super) const fn padding(len: u32) -> &'static [u8] {
    const ZEROS: &[u8] = &[0; ALIGN as usize];
    ZEROS.split_at((record_bytes(len) - HEADER_BYTES as u64 - len as u64) as usize).0
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests;
