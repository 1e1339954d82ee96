//! What producers said of a trace, by its id.
//!
//! Called by whoever puts a trace together again.

use super::File;
use crate::part::{PartError, decode};
use crate::rows::ReportRow;
use crate::schema::Table;
use backsight_core::ids::TraceId;

/// The reports of a part.
#[derive(Clone, Debug)]
pub struct Reports {
    pub(super) file: File,
}

impl Reports {
    /// Takes `file` as the reports of a part.
    ///
    /// # Errors
    /// It is another table.
    pub fn new(file: File) -> Result<Self, PartError> {
        Ok(Self { file: file.expect(Table::Reports)? })
    }

    /// Returns the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Finds the reports of a trace, in the order in which they came.
    ///
    /// # Errors
    /// The file is damaged.
    /// # Cost
    /// Nothing is read where the Bloom filters exclude it; else the ids of a row group, and the pages of its reports.
    pub fn find(&self, trace: TraceId) -> Result<Vec<ReportRow<'static>>, PartError> {
        let rows = self.file.rows_of(trace)?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else { return Ok(Vec::new()) };
        let mut found = self.file.decoded(std::slice::from_ref(&(*first..*last + 1)), decode::reports)?;
        found.retain(|report| report.trace == trace);
        Ok(found)
    }
}
