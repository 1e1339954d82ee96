//! Decompresses requests, never into more than a request may have. Pure; called for each request that is compressed.

use super::refusal::Refusal;
use super::room::Room;
use flate2::bufread::MultiGzDecoder;
use std::io::Read;

/// What spans are worth compressed: what is asked for first is so many times as long as what came.
const RATIO_EXPECTED: usize = 4;
/// The least that is asked for at once.
const STEP_MIN_BYTES: usize = 16 << 10;
/// The window that zstd may ask for: 8 MiB, as much as any of its usual levels has.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// How a request is compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Encoding {
    /// Not at all.
    Identity,
    /// gzip, one member or several.
    Gzip,
    /// Zstandard.
    Zstd,
}

impl Encoding {
    /// What may be sent, as headers list it.
    pub(crate) const ACCEPTED: &'static str = "gzip, zstd, identity";

    /// Returns the encoding that a header names.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name.trim() {
            name if name.is_empty() || name.eq_ignore_ascii_case("identity") => Some(Self::Identity),
            name if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => Some(Self::Gzip),
            name if name.eq_ignore_ascii_case("zstd") => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Returns what was compressed into `packed`; `None` where it was not.
///
/// # Errors
/// It is damaged, has more than `max` bytes, or there is no room for it in memory.
/// # Cost
/// Memory for the result, twice while it grows, whatever the sender says or sends.
pub(crate) fn inflate(
    encoding: Encoding,
    packed: &[u8],
    max: usize,
    room: &mut Room,
) -> Result<Option<Vec<u8>>, Refusal> {
    match encoding {
        Encoding::Identity => Ok(None),
        Encoding::Gzip => read(MultiGzDecoder::new(packed), packed.len(), max, room).map(Some),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(Refusal::Compressed)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(Refusal::Compressed)?;
            read(decoder, packed.len(), max, room).map(Some)
        }
    }
}

/// Reads to the end; the room has what came, and what was read.
fn read(mut reader: impl Read, packed_len: usize, max: usize, room: &mut Room) -> Result<Vec<u8>, Refusal> {
    // One more than is allowed, so that what is too long shows.
    let room_max = max.saturating_add(1);
    let mut step = packed_len.saturating_mul(RATIO_EXPECTED).max(STEP_MIN_BYTES).min(room_max);
    let mut out = Vec::new();
    loop {
        room.grow_to(packed_len + out.len() + step)?;
        out.reserve_exact(step);
        let n = reader.by_ref().take(step as u64).read_to_end(&mut out).map_err(Refusal::Compressed)?;
        if out.len() > max {
            return Err(Refusal::TooLarge { max, key: "intake.decompressed_max" });
        }
        if n < step {
            return Ok(out);
        }
        step = out.len().min(room_max - out.len());
    }
}

#[cfg(test)]
mod tests;
