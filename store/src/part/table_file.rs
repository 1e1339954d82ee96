//! A file of a part in the making: columns come in run after run, and its length and checksum are known at the end.
//!
//! Called by `write` and `stream`. Nobody sees the file before it is finished.

use super::{ArrowResult, PartError};
use crate::manifest::entry::FileEntry;
use crate::objects::{Objects, Upload};
use crate::schema::Table;
use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use backsight_core::checksum::Running;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use std::io::{self, Write};
use std::sync::Arc;

/// The file of a table.
pub(super) struct TableFile {
    table: Table,
    path: String,
    writer: ArrowWriter<Summed>,
    n_rows: u64,
}

impl TableFile {
    /// Begins the file at `path`.
    pub(super) fn create(
        objects: &dyn Objects,
        table: Table,
        path: String,
        schema: SchemaRef,
        properties: WriterProperties,
    ) -> Result<Self, PartError> {
        let upload = Summed { upload: objects.create(&path)?, sum: Running::new(), bytes: 0 };
        // Readers take types from Parquet's own schema: a second one could contradict it.
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        match ArrowWriter::try_new_with_options(upload, schema, options) {
            Ok(writer) => Ok(Self { table, path, writer, n_rows: 0 }),
            Err(error) => Err(encode_error(&path, error)),
        }
    }

    /// Adds rows.
    pub(super) fn write(&mut self, columns: ArrowResult<RecordBatch>) -> Result<(), PartError> {
        let columns = columns.map_err(|error| encode_error(&self.path, error.into()))?;
        self.writer.write(&columns).map_err(|error| encode_error(&self.path, error))?;
        self.n_rows += columns.num_rows() as u64;
        Ok(())
    }

    /// Adds a key to the footer.
    pub(super) fn add_key(&mut self, key: &str, value: String) {
        self.writer.append_key_value_metadata(KeyValue::new(key.to_owned(), value));
    }

    /// Makes the file durable, and returns what a manifest says of it.
    pub(super) fn finish(self) -> Result<FileEntry, PartError> {
        let Self { table, path, writer, n_rows } = self;
        let written = writer.into_inner().map_err(|error| encode_error(&path, error))?;
        let (xxh3, bytes) = (written.sum.sum(), written.bytes);
        written.upload.finish()?;
        Ok(FileEntry { table: table.name().to_owned(), path, bytes, rows: n_rows, xxh3 })
    }
}

pub(super) fn encode_error(path: &str, error: ParquetError) -> PartError {
    PartError::Encode { path: path.to_owned(), source: Arc::new(error) }
}

/// An upload that knows its length and checksum.
struct Summed {
    upload: Box<dyn Upload>,
    sum: Running,
    bytes: u64,
}

impl Write for Summed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.upload.write(bytes)?;
        self.sum.add(&bytes[..len]);
        self.bytes += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.upload.flush()
    }
}
