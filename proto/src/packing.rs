//! Batches, packed: one deflate stream runs through all that an agent reports on one connection, so that what is said with every trace
//! (names, clock points, holdings, the frames of records) costs a few bytes from the second time on.
//!
//! Called by the agent's uplink and by the intake, one of each for a stream of reports. Both begin anew with the stream.

mod weight;

use crate::v1;
use flate2::{Compress, CompressError, Compression, Decompress, DecompressError, FlushCompress, FlushDecompress};
use prost::Message;

/// How many times as large as on the wire, unpacked, a batch may be in memory: what agents say is some five times as large.
const INFLATION_MAX: u64 = 16;
/// What it may be in any case.
const INFLATED_MIN: u64 = 64 << 10;
/// What a buffer grows by at least.
const STEP_BYTES: usize = 4096;

/// A batch that cannot be packed or unpacked. The stream is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum PackingError {
    /// The compressor failed, which it has no reason for.
    #[error("pack a batch")]
    Pack(#[source] CompressError),
    /// Not what a [`Packer`] wrote after what was unpacked before.
    #[error("unpack a batch")]
    Unpack(#[source] DecompressError),
    /// More than is taken.
    #[error("unpack a batch of {len} bytes: at most {max} are taken")]
    TooLong {
        /// What it says that it holds.
        len: u64,
        /// What is taken.
        max: usize,
    },
    /// Cut, or not as long as it says.
    #[error("unpack a batch of {len} bytes: {found} came out, and {left} are left")]
    Length {
        /// What it says that it holds.
        len: u64,
        /// What came out.
        found: usize,
        /// Packed bytes that nothing came of.
        left: usize,
    },
    /// Not a message.
    #[error("unpack a batch: what came out is no list of traces")]
    Decode(#[from] prost::DecodeError),
    /// Not a message, either.
    #[error("unpack a batch: what came out is no list of traces, or has groups")]
    Fields,
    /// Next to nothing, many times over.
    #[error("unpack a batch of {len} bytes: its parts would take {bytes} in memory, {max} are taken", max = max_inflated(*len))]
    Inflated {
        /// Its length.
        len: u64,
        /// What it would take.
        bytes: u64,
    },
}

/// Packs the batches of one stream.
#[derive(Debug)]
pub struct Packer(Compress);

impl Default for Packer {
    fn default() -> Self {
        // The fastest level: the host's time is dearer than the tenth that a slower one takes off.
        Self(Compress::new(Compression::fast(), false))
    }
}

impl Packer {
    /// Packs the next batch, number `number` of its stream.
    ///
    /// # Errors
    /// The compressor failed: the stream must end.
    pub fn pack(&mut self, number: u64, traces: &v1::Traces) -> Result<v1::Batch, PackingError> {
        let plain = traces.encode_to_vec();
        let mut packed = Vec::with_capacity(plain.len() / 2 + STEP_BYTES);
        let start = self.0.total_in();
        loop {
            let rest = plain.get((self.0.total_in() - start) as usize..).unwrap_or_default();
            self.0.compress_vec(rest, &mut packed, FlushCompress::Sync).map_err(PackingError::Pack)?;
            // Room that is left says that everything was flushed.
            if packed.len() < packed.capacity() {
                return Ok(v1::Batch { number, packed, unpacked_len: plain.len() as u64 });
            }
            packed.reserve(STEP_BYTES);
        }
    }
}

/// Unpacks the batches of one stream.
#[derive(Debug)]
pub struct Unpacker(Decompress);

impl Default for Unpacker {
    fn default() -> Self {
        Self(Decompress::new(false))
    }
}

impl Unpacker {
    /// Unpacks the next batch, of at most `max` bytes.
    ///
    /// # Errors
    /// Not what a [`Packer`] packs, or more than `max`: the stream must end.
    ///
    /// # Cost
    /// Memory and time of at most sixteen times `max` bytes, whatever comes in.
    pub fn unpack(&mut self, batch: &v1::Batch, max: usize) -> Result<v1::Traces, PackingError> {
        let v1::Batch { packed, unpacked_len: len, .. } = batch;
        let room = usize::try_from(*len).ok().filter(|len| *len <= max);
        let room = room.ok_or(PackingError::TooLong { len: *len, max })?;
        // One more than it says, so that what is too long shows, and the end of the block finds room.
        let mut plain = Vec::with_capacity(room + 1);
        let start = self.0.total_in();
        loop {
            let left = packed.get((self.0.total_in() - start) as usize..).unwrap_or_default();
            let before = (left.len(), plain.len());
            self.0.decompress_vec(left, &mut plain, FlushDecompress::Sync).map_err(PackingError::Unpack)?;
            let left = packed.len() - (self.0.total_in() - start) as usize;
            if left == 0 && plain.len() == room {
                return decode(&plain);
            }
            if left == 0 || plain.len() > room || (left, plain.len()) == before {
                return Err(PackingError::Length { len: *len, found: plain.len(), left });
            }
        }
    }
}

fn decode(plain: &[u8]) -> Result<v1::Traces, PackingError> {
    let (len, bytes) = (plain.len() as u64, weight::of_traces(plain).ok_or(PackingError::Fields)?);
    if bytes > max_inflated(len) {
        return Err(PackingError::Inflated { len, bytes });
    }
    Ok(v1::Traces::decode(plain)?)
}

const fn max_inflated(len: u64) -> u64 {
    len * INFLATION_MAX + INFLATED_MIN
}

#[cfg(test)]
mod tests;
