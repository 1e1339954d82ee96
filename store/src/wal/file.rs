//! The header of a file of the write-ahead log, which stands there twice (`docs/spec/wal.md` section 2).
//!
//! Called by the writer, by recovery, by tests and by fuzzing. Pure: any bytes give a header or the reason why not, never a panic.

use super::record::{ALIGN, Seed, Seq, record_bytes, u32_at, u64_at};

/// Each of the two copies of the header: at the begin of a file, and at its end.
pub const HEADER_BYTES: u32 = 64;
/// The version that this code writes, and the only one that it reads.
pub const VERSION: u32 = 1;
/// The highest number of a file, a record or an epoch that is believed: nobody comes so far by counting.
pub const NUMBER_MAX: u64 = 1 << 62;

const MAGIC: &[u8; 8] = b"BKSWAL1\0";
/// Where the checksum stands; it covers all before it. In every version, so that a later one is told from damage.
const SUM_AT: usize = HEADER_BYTES as usize - 4;
/// Files are multiples of this long.
const BLOCK_BYTES: u64 = 4096;

/// What the header of a file says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FileHeader {
    /// The collector that wrote it.
    pub node: u32,
    /// The file's number, as in its name.
    pub number: u64,
    /// The number of the first record in it. Records of earlier files that have this number or a higher one do not count.
    pub first_seq: Seq,
    /// How often the log had been opened when the file was begun.
    pub epoch: u64,
    /// Random: by it no payload can hold what would pass for a record, and files hardly share a seed.
    pub salt: u64,
}

/// Why there is no header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The bytes are not what was written, if ever anything was.
    Unsound,
    /// A whole header of another version.
    Version(u32),
}

impl FileHeader {
    /// Returns the bytes of one copy.
    pub fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.node.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_seq.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.salt.to_le_bytes());
        let sum = crc32c::crc32c(&bytes[..SUM_AT]);
        bytes[SUM_AT..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Reads one copy.
    ///
    /// # Errors
    /// [`Fault::Unsound`] also where there are too few bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        let Some(bytes) = bytes.first_chunk::<{ HEADER_BYTES as usize }>() else { return Err(Fault::Unsound) };
        let word = |at| u64_at(bytes, at).unwrap_or_default();
        let half = |at| u32_at(bytes, at).unwrap_or_default();
        if !bytes.starts_with(MAGIC) || half(SUM_AT) != crc32c::crc32c(&bytes[..SUM_AT]) {
            return Err(Fault::Unsound);
        }
        if half(8) != VERSION {
            return Err(Fault::Version(half(8)));
        }
        Ok(Self { node: half(12), number: word(16), first_seq: Seq(word(24)), epoch: word(32), salt: word(40) })
    }

    /// Returns what the checksums of this file's records begin with.
    pub fn seed(&self) -> Seed {
        Seed(crc32c::crc32c(&self.encode()[..SUM_AT]))
    }

    /// Returns whether its numbers can be reached by counting.
    pub(super) const fn is_plausible(&self) -> bool {
        self.number <= NUMBER_MAX && self.first_seq.0 <= NUMBER_MAX && self.epoch <= NUMBER_MAX
    }
}

/// Returns the name of file `number`.
pub fn name_of(number: u64) -> String {
    format!("{number:016x}.wal")
}

/// Returns the name under which file `number` waits to be used again, or to be begun.
pub(super) fn spare_name_of(number: u64) -> String {
    format!("{number:016x}.spare")
}

/// A name in the log's folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Name {
    Live(u64),
    Spare(u64),
}

impl Name {
    /// Reads a name; `None` for all others, which are left alone.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (digits, kind) = name.split_once('.')?;
        let number = u64::from_str_radix(digits, 16).ok()?;
        match kind {
            "wal" => Some(Self::Live(number)).filter(|_| name == name_of(number)),
            "spare" => Some(Self::Spare(number)).filter(|_| name == spare_name_of(number)),
            _ => None,
        }
    }
}

/// Returns where the second copy of the header stands in a file of `bytes`, which is where its records end at the latest.
pub(super) const fn second_copy_at(bytes: u64) -> u64 {
    bytes.saturating_sub(HEADER_BYTES as u64)
}

/// Returns the length of a file that holds at least one record with a payload of `len` bytes, and is not shorter than `file_bytes`.
pub(super) const fn bytes_for(len: u32, file_bytes: u64) -> u64 {
    let needed = (2 * HEADER_BYTES as u64 + record_bytes(len)).next_multiple_of(BLOCK_BYTES);
    if needed > file_bytes { needed } else { file_bytes }
}

const _: () = assert!((HEADER_BYTES as u64).is_multiple_of(ALIGN) && BLOCK_BYTES.is_multiple_of(ALIGN));

#[cfg(test)]
mod tests;
