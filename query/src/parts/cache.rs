//! Opened parts: footers, Bloom filters, indexes and traces, kept while they fit so many bytes.
//!
//! Called by all that reads parts. What a failure leaves is not kept: the next question opens the file again.

use super::skeleton::{Skeleton, column};
use arrow_array::{FixedSizeBinaryArray, TimestampNanosecondArray};
use backsight_store::manifest::entry::PartEntry;
use backsight_store::objects::{ObjectError, Objects};
use backsight_store::part::read::{File, Limits, Spans, Traces, Wanted};
use backsight_store::part::{PartError, PartId};
use backsight_store::schema::Table;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// What is kept of one part; read as it is asked for.
#[derive(Debug)]
pub(super) struct OpenPart {
    objects: Arc<dyn Objects>,
    pub(super) entry: PartEntry,
    traces: OnceLock<Traces>,
    spans: OnceLock<Spans>,
    skeleton: OnceLock<Skeleton>,
    repeats: OnceLock<Vec<u32>>,
}

impl OpenPart {
    fn new(objects: Arc<dyn Objects>, entry: PartEntry) -> Self {
        let (traces, spans, skeleton, repeats) = Default::default();
        Self { objects, entry, traces, spans, skeleton, repeats }
    }

    /// Returns the table of traces.
    ///
    /// # Errors
    /// The file is missing, damaged, foreign or newer.
    pub(super) fn traces(&self) -> Result<&Traces, PartError> {
        match self.traces.get() {
            Some(traces) => Ok(traces),
            None => {
                let traces = Traces::new(self.open(Table::Traces)?)?;
                Ok(self.traces.get_or_init(|| traces))
            }
        }
    }

    /// Returns the table of spans; a part whose traces have none has no such table.
    ///
    /// # Errors
    /// As of [`OpenPart::traces`].
    pub(super) fn spans(&self) -> Result<&Spans, PartError> {
        match self.spans.get() {
            Some(spans) => Ok(spans),
            None => {
                let spans = Spans::new(self.open(Table::Spans)?)?;
                Ok(self.spans.get_or_init(|| spans))
            }
        }
    }

    /// Returns the traces in short.
    ///
    /// # Errors
    /// As of [`OpenPart::traces`].
    pub(super) fn skeleton(&self) -> Result<&Skeleton, PartError> {
        if let Some(skeleton) = self.skeleton.get() {
            return Ok(skeleton);
        }
        let file = self.traces()?.file();
        let skeleton = Skeleton::read(self.traces()?)?;
        if skeleton.n_spans() != self.entry.file(Table::Spans).map_or(0, |file| file.rows) {
            return Err(file.damaged("its traces have other rows than there are spans"));
        }
        Ok(self.skeleton.get_or_init(|| skeleton))
    }

    /// Returns the places of traces of which a span came twice with the same start: what the table of traces sums up over them is not what is
    /// answered.
    ///
    /// # Errors
    /// As of [`OpenPart::traces`].
    /// # Cost
    /// Reads two columns of all spans once, some 20 ms a million.
    pub(super) fn repeats(&self) -> Result<&[u32], PartError> {
        if let Some(repeats) = self.repeats.get() {
            return Ok(repeats);
        }
        let skeleton = self.skeleton()?;
        let mut repeats: Vec<u32> = Vec::new();
        if skeleton.n_spans() > 0 {
            let file = self.spans()?.file();
            for rows in file.groups() {
                self.repeats_of(skeleton, rows, &mut repeats)?;
            }
        }
        repeats.dedup();
        Ok(self.repeats.get_or_init(|| repeats))
    }

    /// Adds the repeats of one row group. Equal rows stand behind one another, as rows are ordered by start and span; over the edge of a row
    /// group the first row is one of the next, so that one row more is read.
    fn repeats_of(
        &self,
        skeleton: &Skeleton,
        rows: std::ops::Range<u64>,
        repeats: &mut Vec<u32>,
    ) -> Result<(), PartError> {
        let file = self.spans()?.file();
        let mut row = rows.start.saturating_sub(1);
        let mut before: Option<([u8; 8], i64)> = None;
        let with_one_more = row..rows.end;
        for batch in file.columns(&[with_one_more], Wanted::Coded(&[&["span_id"], &["start_ns"]]))? {
            let ids: Option<&FixedSizeBinaryArray> = column(&batch, "span_id");
            let starts: Option<&TimestampNanosecondArray> = column(&batch, "start_ns");
            let columns = ids.zip(starts).filter(|(ids, _)| ids.value_length() == 8);
            let (ids, starts) = columns.ok_or_else(|| file.damaged("its spans have no ids"))?;
            for (id, start) in ids.iter().zip(starts.values()) {
                let mut bytes = [0; 8];
                bytes.copy_from_slice(id.unwrap_or(&[0; 8]));
                let this = Some((bytes, *start));
                if this == before && skeleton.place_of(row) == skeleton.place_of(row - 1) {
                    repeats.push(skeleton.place_of(row) as u32);
                }
                (before, row) = (this, row + 1);
            }
        }
        Ok(())
    }

    /// Returns whether the table of traces may say something else of them than is answered: of times before 1970, and of spans that end before they
    /// begin.
    ///
    /// # Errors
    /// As of [`OpenPart::traces`].
    pub(super) fn is_odd(&self) -> Result<bool, PartError> {
        if self.entry.min_start_ns < 0 {
            return Ok(true);
        }
        if self.entry.file(Table::Spans).is_none() {
            return Ok(false);
        }
        let file = self.spans()?.file();
        let is_plain = |group| matches!(file.limits(group, &["duration_ns"]), Some(Limits::Int(min, _)) if min >= 0);
        Ok(!(0..file.groups().count()).all(is_plain))
    }

    fn open(&self, table: Table) -> Result<File, PartError> {
        let missing = || ObjectError::Missing { path: self.entry.id.path(table) };
        File::open(&*self.objects, self.entry.file(table).ok_or_else(missing)?)
    }

    fn memory_bytes(&self) -> usize {
        self.traces.get().map_or(0, |traces| traces.file().memory_bytes())
            + self.spans.get().map_or(0, |spans| spans.file().memory_bytes())
            + self.skeleton.get().map_or(0, Skeleton::memory_bytes)
            + self.repeats.get().map_or(0, |repeats| 4 * repeats.len())
    }
}

/// Opened parts.
#[derive(Debug)]
pub(super) struct Cache {
    objects: Arc<dyn Objects>,
    max_bytes: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    parts: BTreeMap<PartId, Place>,
    bytes: usize,
    /// Counts questions, to know what was asked for last.
    n_asked: u64,
}

#[derive(Debug)]
struct Place {
    part: Arc<OpenPart>,
    bytes: usize,
    asked: u64,
}

impl Cache {
    /// Returns a cache that keeps parts while they take at most `max_bytes`.
    pub(super) fn new(objects: Arc<dyn Objects>, max_bytes: usize) -> Self {
        Self { objects, max_bytes, held: Mutex::default() }
    }

    /// Returns a part that a manifest names. The caller [`settles`](Self::settle) it when it is done.
    pub(super) fn part(&self, entry: &PartEntry) -> Arc<OpenPart> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.n_asked += 1;
        let asked = held.n_asked;
        let new = || Place { part: Arc::new(OpenPart::new(self.objects.clone(), entry.clone())), bytes: 0, asked };
        let place = held.parts.entry(entry.id).or_insert_with(new);
        place.asked = asked;
        place.part.clone()
    }

    /// Lets go of parts whose traces are not among `parts`: while their files are open, what they take on disk is not free.
    pub(super) fn keep_only(&self, parts: &BTreeMap<PartId, PartEntry>) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.parts.retain(|id, _| parts.get(id).is_some_and(|part| part.file(Table::Traces).is_some()));
        held.bytes = held.parts.values().map(|place| place.bytes).sum();
    }

    /// Counts what was read of `part`, and lets go of those that were not asked for longest where it is too much.
    pub(super) fn settle(&self, part: &OpenPart) {
        let bytes = part.memory_bytes();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = held.parts.get_mut(&part.entry.id) else { return };
        let before = std::mem::replace(&mut place.bytes, bytes);
        held.bytes = held.bytes - before + bytes;
        while held.bytes > self.max_bytes {
            let oldest = held.parts.iter().min_by_key(|(_, place)| place.asked).map(|(id, _)| *id);
            let Some(gone) = oldest.and_then(|id| held.parts.remove(&id)) else { return };
            held.bytes -= gone.bytes;
        }
    }
}
