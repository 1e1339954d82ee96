//! An open object as the Parquet reader wants it, which never reads or allocates beyond the object's end.
//!
//! Called by `read`.

use crate::objects::{ObjectError, ReadAt};
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use std::io::{self, BufReader, Read};
use std::sync::Arc;

/// What a sequential reader holds; page headers are read so where a file has no page index.
const READ_AHEAD_BYTES: usize = 16 << 10;

/// An open object.
#[derive(Clone, Debug)]
pub(super) struct Source(pub(super) Arc<dyn ReadAt>);

impl Source {
    /// Returns `len` bytes from `offset`.
    pub(super) fn bytes_at(&self, offset: u64, len: u64) -> Result<Vec<u8>, ObjectError> {
        let end = offset.checked_add(len).filter(|end| *end <= self.0.bytes());
        if end.is_none() {
            let (path, bytes) = (self.0.path().to_owned(), self.0.bytes());
            return Err(ObjectError::Short { path, bytes, end: offset.saturating_add(len) });
        }
        let mut buffer = vec![0; len as usize];
        self.0.read_at(offset, &mut buffer)?;
        Ok(buffer)
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.0.bytes()
    }
}

impl ChunkReader for Source {
    type T = BufReader<Sequential>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::with_capacity(READ_AHEAD_BYTES, Sequential { source: self.clone(), offset: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.bytes_at(start, length as u64).map_err(|error| ParquetError::External(Box::new(error)))?;
        Ok(Bytes::from(bytes))
    }
}

/// Reads on from an offset.
#[derive(Debug)]
pub(super) struct Sequential {
    source: Source,
    offset: u64,
}

impl Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.source.0.bytes().saturating_sub(self.offset);
        let len = buffer.len().min(usize::try_from(rest).unwrap_or(usize::MAX));
        self.source.0.read_at(self.offset, &mut buffer[..len]).map_err(io::Error::other)?;
        self.offset += len as u64;
        Ok(len)
    }
}
