//! The bytes of a file of ground truth: a header, then records of one size.
//!
//! Written by [`super::Writer`], read by [`super::reader`]. Pure: no file is touched here, and what is parsed may be any bytes.
//!
//! # Shape
//! All numbers are little-endian. The header: `magic` 8 B, `version` u32, `len` u32 (of the whole header, a multiple of [`RECORD_LEN`]),
//! `pid` u32, `n_services` u32, then the name of the process and those of the services, each behind a u16 with its length, then zeros.
//! A record: `kind` u8, `detail` u8, `service` u16, `check` u32, `visit` u64, `trace` u128. Records begin at multiples of their size, so
//! that none lies across two pages: the kernel copies a page at a time, and may end a dying process between two.

use crate::faults::{Fault, FaultKind};
use thiserror::Error;

/// What a file begins with.
pub(crate) const MAGIC: [u8; 8] = *b"BRKTRUTH";
/// The version that is written, and the only one that is read.
pub(crate) const VERSION: u32 = 1;
/// Bytes of a record.
pub(crate) const RECORD_LEN: usize = 32;
/// Bytes of the header before the names.
const FIXED_LEN: usize = 24;
/// The longest header that is read: far more than any topology needs.
pub(crate) const HEADER_LEN_MAX: usize = 1 << 20;

/// Why bytes are no ground truth.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub(crate) enum FormatError {
    #[error("the header is cut off after {len} B")]
    HeaderCut { len: usize },
    #[error("the file is no ground truth: it begins with {found:02x?}")]
    Magic { found: [u8; 8] },
    #[error("the file has version {found}, and only version {VERSION} is read")]
    Version { found: u32 },
    #[error("the header gives its length as {len} B, which no header has")]
    HeaderLen { len: u32 },
    #[error("the names in the header do not fit into its {len} B")]
    Names { len: usize },
    #[error("a name in the header is not UTF-8")]
    NotText,
    #[error("a record does not match its check value")]
    Check,
    #[error("a record has kind {kind} and detail {detail}, which this version does not know")]
    Kind { kind: u8, detail: u8 },
    #[error("a record names service {service_idx} of {n_services}")]
    Service { service_idx: u16, n_services: usize },
}

/// What the header says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// The process's name, as the supervisor calls it.
    pub(crate) process: String,
    /// Its id.
    pub(crate) pid: u32,
    /// The services that records name by position.
    pub(crate) services: Vec<String>,
}

/// What a record says of its trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// The load generator is about to send the request, with a fault.
    Request { fault: Fault },
    /// The load generator has its answer.
    Answered { is_ok: bool },
    /// A service is about to serve it.
    Intended { visit: u64, service_idx: u16 },
    /// A fault acts in a visit.
    Acted { visit: u64, kind: FaultKind },
    /// A visit is over: its answer stands.
    Done { visit: u64 },
}

/// A record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Record {
    pub(crate) trace: u128,
    pub(crate) event: Event,
}

impl Header {
    /// Returns the header's bytes, or `None` where its names are too long for it.
    pub(crate) fn encode(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(FIXED_LEN);
        bytes.extend(MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.pid.to_le_bytes());
        bytes.extend(u32::try_from(self.services.len()).ok()?.to_le_bytes());
        for name in std::iter::once(&self.process).chain(&self.services) {
            bytes.extend(u16::try_from(name.len()).ok()?.to_le_bytes());
            bytes.extend(name.as_bytes());
        }
        bytes.resize(bytes.len().next_multiple_of(RECORD_LEN), 0);
        let len = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() <= HEADER_LEN_MAX)?;
        bytes[12..16].copy_from_slice(&len.to_le_bytes());
        Some(bytes)
    }

    /// Reads the length of the header that `start`, the first bytes of a file, begins.
    pub(crate) fn len(start: &[u8]) -> Result<usize, FormatError> {
        let cut = FormatError::HeaderCut { len: start.len() };
        let magic = array(start, 0).ok_or(cut.clone())?;
        if magic != MAGIC {
            return Err(FormatError::Magic { found: magic });
        }
        let version = u32::from_le_bytes(array(start, 8).ok_or(cut.clone())?);
        if version != VERSION {
            return Err(FormatError::Version { found: version });
        }
        let len = u32::from_le_bytes(array(start, 12).ok_or(cut)?);
        let bytes = len as usize;
        let is_possible = (FIXED_LEN..=HEADER_LEN_MAX).contains(&bytes) && bytes.is_multiple_of(RECORD_LEN);
        if is_possible { Ok(bytes) } else { Err(FormatError::HeaderLen { len }) }
    }

    /// Reads a header of the length that [`Self::len`] returned.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let len = Self::len(bytes)?;
        let bytes = bytes.get(..len).ok_or(FormatError::HeaderCut { len: bytes.len() })?;
        let number = |at| array(bytes, at).map(u32::from_le_bytes).ok_or(FormatError::Names { len });
        let (pid, n_services) = (number(16)?, number(20)?);
        let mut names = Names { rest: &bytes[FIXED_LEN..], len };
        let process = names.next()?;
        let services = (0..n_services).map(|_| names.next()).collect::<Result<_, _>>()?;
        Ok(Self { process, pid, services })
    }
}

/// The names of a header, one after another.
struct Names<'a> {
    rest: &'a [u8],
    len: usize,
}

impl Names<'_> {
    fn next(&mut self) -> Result<String, FormatError> {
        let too_long = FormatError::Names { len: self.len };
        let len = usize::from(u16::from_le_bytes(array(self.rest, 0).ok_or(too_long.clone())?));
        let name = self.rest.get(2..2 + len).ok_or(too_long)?;
        self.rest = &self.rest[2 + len..];
        std::str::from_utf8(name).map(str::to_owned).map_err(|_| FormatError::NotText)
    }
}

impl Record {
    /// Returns the record's bytes.
    pub(crate) fn encode(&self) -> [u8; RECORD_LEN] {
        let (kind, detail, service, visit) = match self.event {
            Event::Request { fault } => (1, fault.kind as u8, fault.service_idx, 0),
            Event::Answered { is_ok } => (2, u8::from(is_ok), 0, 0),
            Event::Intended { visit, service_idx } => (3, 0, service_idx, visit),
            Event::Acted { visit, kind } => (4, kind as u8, 0, visit),
            Event::Done { visit } => (5, 0, 0, visit),
        };
        let mut bytes = [0; RECORD_LEN];
        bytes[0] = kind;
        bytes[1] = detail;
        bytes[2..4].copy_from_slice(&service.to_le_bytes());
        bytes[8..16].copy_from_slice(&visit.to_le_bytes());
        bytes[16..].copy_from_slice(&self.trace.to_le_bytes());
        let check = check_of(&bytes);
        bytes[4..8].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads a record of a file that names `n_services` services.
    pub(crate) fn decode(bytes: &[u8; RECORD_LEN], n_services: usize) -> Result<Self, FormatError> {
        let (kind, detail) = (bytes[0], bytes[1]);
        if array(bytes, 4).map(u32::from_le_bytes) != Some(check_of(bytes)) {
            return Err(FormatError::Check);
        }
        let service_idx = u16::from_le_bytes([bytes[2], bytes[3]]);
        let visit = array(bytes, 8).map_or(0, u64::from_le_bytes);
        let event = match (kind, detail, FaultKind::from_u8(detail)) {
            (1, _, Some(kind)) => Event::Request { fault: Fault { kind, service_idx } },
            (2, 0 | 1, _) => Event::Answered { is_ok: detail == 1 },
            (3, 0, _) => Event::Intended { visit, service_idx },
            (4, 1.., Some(kind)) => Event::Acted { visit, kind },
            (5, 0, _) => Event::Done { visit },
            _ => return Err(FormatError::Kind { kind, detail }),
        };
        let names_one = match event {
            Event::Request { fault } => fault.kind != FaultKind::None,
            Event::Intended { .. } => true,
            Event::Answered { .. } | Event::Acted { .. } | Event::Done { .. } => false,
        };
        if names_one && usize::from(service_idx) >= n_services {
            return Err(FormatError::Service { service_idx, n_services });
        }
        Ok(Self { trace: array(bytes, 16).map_or(0, u128::from_le_bytes), event })
    }
}

/// Returns the check value of a record: FNV-1a over all of it but the value itself, and never 0, so that zeros are no record.
fn check_of(bytes: &[u8; RECORD_LEN]) -> u32 {
    let covered = bytes[..4].iter().chain(&bytes[8..]);
    covered.fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)).max(1)
}

/// Returns the `N` bytes at `at`.
fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests;
