//! An object in the making: short ones by one conditional put, long ones piece by piece.
//!
//! Called by `s3`. Pieces are nobody's object before they are put together. The store has no condition for that, so whether the name is free
//! is asked right before: names of parts are random, and two writers make the same one only by mistake.

use super::{S3, failed};
use crate::objects::{ObjectError, Objects, Put, Upload};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, PutPayload};
use std::io;

/// Bytes of a piece; stores take no shorter ones but the last, and ten thousand of them at most.
const PIECE_BYTES: usize = 8 << 20;

pub(super) struct S3Upload {
    store: S3,
    path: String,
    at: Path,
    buffer: Vec<u8>,
    pieces: Option<Box<dyn MultipartUpload>>,
}

impl S3Upload {
    pub(super) fn new(store: S3, path: &str, at: Path) -> Self {
        Self { store, path: path.to_owned(), at, buffer: Vec::new(), pieces: None }
    }

    /// Sends the buffer as a piece.
    fn send(&mut self) -> Result<(), ObjectError> {
        let inner = &self.store.0;
        let failed = |error| failed("write", &self.path, error);
        let pieces = match &mut self.pieces {
            Some(pieces) => pieces,
            none => none.insert(inner.runtime.wait(inner.patient.put_multipart(&self.at)).map_err(failed)?),
        };
        let payload = PutPayload::from(std::mem::take(&mut self.buffer));
        inner.runtime.wait(pieces.put_part(payload)).map_err(failed)
    }

    fn complete(&mut self) -> Result<(), ObjectError> {
        if self.store.meta(&self.path)?.is_some() {
            return Err(ObjectError::Taken { path: self.path.clone() });
        }
        let inner = &self.store.0;
        if let Some(pieces) = &mut self.pieces {
            inner.runtime.wait(pieces.complete()).map_err(|error| failed("write", &self.path, error))?;
            self.pieces = None;
        }
        Ok(())
    }
}

impl io::Write for S3Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(PIECE_BYTES - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..len]);
        if self.buffer.len() == PIECE_BYTES {
            self.send().map_err(io::Error::other)?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a piece may not be short
    }
}

impl Upload for S3Upload {
    fn finish(mut self: Box<Self>) -> Result<(), ObjectError> {
        if self.pieces.is_some() {
            if !self.buffer.is_empty() {
                self.send()?;
            }
            return self.complete();
        }
        match self.store.put_if_absent(&self.path, &self.buffer)? {
            Put::Created => Ok(()),
            // The request may have been repeated on its way.
            Put::Taken if self.store.bytes(&self.path, None)?.is_some_and(|found| found == self.buffer) => Ok(()),
            Put::Taken => Err(ObjectError::Taken { path: self.path.clone() }),
        }
    }
}

impl Drop for S3Upload {
    fn drop(&mut self) {
        if let Some(mut pieces) = self.pieces.take() {
            // What is left otherwise costs room until the bucket's own rule removes it.
            let _ = self.store.0.runtime.wait(pieces.abort());
        }
    }
}
