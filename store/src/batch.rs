//! Rows that wait for a cut, kept by column: names are interned, values stand in one arena, and traces know their rows.
//!
//! Filled by whoever decodes spans, read by `part` when it writes them, and meanwhile by searches (`read`). A batch is bounded and says when it is full; it reads no clock and
//! does no IO. It counts for each attribute's key how many rows have it, which decides what gets a column of its own (`promote`).

mod interner;
mod read;
mod reports;
mod resources;
mod spans;
mod traces;
mod undo;

pub use undo::Mark;

pub(crate) use interner::{Interner, NO_CODE};
pub(crate) use reports::ReportCell;
pub(crate) use spans::{Cell, CellValue, EventCell, Extra, Head, LinkCell, STATUS_ERROR};
use traces::NO_ROW;
pub(crate) use traces::TraceHead;

use crate::rows::{Attribute, ResourceId, SliceRow, SpanRow, TraceFacts, Value};
use backsight_core::ids::TraceId;
use std::borrow::Cow;
use std::collections::HashMap;

/// The most spans of one batch.
pub const ROWS_MAX: usize = 8 << 20;
/// The most bytes of texts and values of one batch, so that all of one column fits what Arrow can address.
pub const TEXT_MAX_BYTES: usize = 1 << 30;
/// The most attributes, events or links of one batch, each.
pub const CELLS_MAX: usize = 256 << 20;
/// The most resources of one batch: they stand in the footer of each part.
pub const RESOURCES_MAX: usize = 16 << 10;
/// The most bytes of all resources of one batch.
pub const RESOURCES_MAX_BYTES: usize = 4 << 20;

/// A batch takes no more of this: cut it, and put the row into the next one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the batch has no room for another {what}; cut it first")]
pub struct BatchFull {
    /// What was to be put in.
    pub what: &'static str,
}

/// Rows until the next cut.
///
/// # Shape
/// Some 110 bytes a span, 24 an attribute, and the bytes of values that are strings.
#[derive(Debug)]
pub struct Batch {
    pub(crate) names: Interner,
    pub(crate) text: Vec<u8>,
    pub(crate) heads: Vec<Head>,
    pub(crate) cells: Vec<Cell>,
    pub(crate) extras: Vec<Extra>,
    pub(crate) events: Vec<EventCell>,
    pub(crate) links: Vec<LinkCell>,
    pub(crate) traces: Vec<TraceHead>,
    pub(crate) facts: Vec<TraceFacts<'static>>,
    pub(crate) resources: Vec<Vec<Attribute<'static>>>,
    pub(crate) slices: Vec<SliceRow<'static>>,
    pub(crate) reports: Vec<ReportCell>,
    /// What is known of traces of which nothing is said.
    unknown: TraceFacts<'static>,
    is_frozen: bool,
    id: u64,
    trace_rows: HashMap<TraceId, u32>,
    /// Resources that were given by their content.
    known_resources: HashMap<Vec<u8>, ResourceId>,
    resource_bytes: usize,
    /// Bytes of texts that slices and facts own.
    owned_bytes: usize,
    /// By key, in the order of `names`: rows that have it with a string, an integer, a double or a bool.
    key_rows: Vec<[u32; 4]>,
    /// By key: the list of attributes in which it was seen last, and its place in `cells`; finds keys that come twice.
    seen: Vec<(u32, u32)>,
    n_lists: u32,
}

impl Batch {
    /// Returns an empty batch; `seed`, best random, goes into the hashes of names, so that nobody can choose names that collide.
    pub fn new(seed: u64) -> Self {
        Self {
            names: Interner::new(seed),
            text: Vec::new(),
            heads: Vec::new(),
            cells: Vec::new(),
            extras: Vec::new(),
            events: Vec::new(),
            links: Vec::new(),
            traces: Vec::new(),
            facts: Vec::new(),
            resources: Vec::new(),
            slices: Vec::new(),
            reports: Vec::new(),
            unknown: TraceFacts::default(),
            is_frozen: false,
            id: seed,
            trace_rows: HashMap::new(),
            known_resources: HashMap::new(),
            resource_bytes: 0,
            owned_bytes: 0,
            key_rows: Vec::new(),
            seen: Vec::new(),
            n_lists: 0,
        }
    }

    /// Adds a span. Of several attributes with one key the last value counts, at the place of the first; the others count as dropped.
    ///
    /// # Errors
    /// The batch is full, and as before.
    /// # Panics
    /// The span's resource is none of this batch's.
    /// # Cost
    /// A hash for each of its names and keys, a copy of its values; no allocation but the growth of columns.
    pub fn push_span(&mut self, span: &SpanRow<'_>) -> Result<(), BatchFull> {
        assert!((span.resource.0 as usize) < self.resources.len(), "a span's resource is put into its batch before it");
        let (n_cells, text_bytes) = spans::size(span);
        let has_room = self.heads.len() < ROWS_MAX
            && self.cells.len() + n_cells <= CELLS_MAX
            && self.events.len() + span.events.len() <= CELLS_MAX
            && self.links.len() + span.links.len() <= CELLS_MAX
            && self.text_bytes() + text_bytes <= TEXT_MAX_BYTES
            && self.traces.len() <= ROWS_MAX;
        if !has_room {
            return Err(BatchFull { what: "span" });
        }
        self.put_span(span);
        Ok(())
    }

    /// Says what is known of a trace beyond its spans; the last word counts. A trace without spans gets a row, too.
    ///
    /// # Errors
    /// The batch is full, and as before.
    pub fn set_trace(&mut self, trace: TraceId, facts: &TraceFacts<'_>) -> Result<(), BatchFull> {
        let len = traces::facts_bytes(facts);
        let has_place = self.trace_rows.contains_key(&trace) || self.traces.len() < ROWS_MAX;
        if !has_place || self.text_bytes() + len > TEXT_MAX_BYTES {
            return Err(BatchFull { what: "trace" });
        }
        self.owned_bytes += len;
        let trace_idx = self.trace_idx(trace);
        let facts = traces::owned_facts(facts);
        let head = &mut self.traces[trace_idx as usize];
        match head.facts_idx {
            Some(idx) => self.facts[idx as usize] = facts,
            None => {
                head.facts_idx = Some(self.facts.len() as u32);
                self.facts.push(facts);
            }
        }
        Ok(())
    }

    /// Says what is known of traces of which [`Batch::set_trace`] says nothing.
    pub fn set_unknown(&mut self, facts: TraceFacts<'static>) {
        self.unknown = facts;
    }

    /// Returns what tells this batch from others: the seed that it was made with.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Marks the batch as one that is being written: whoever finds it so puts nothing into it.
    pub fn freeze(&mut self) {
        self.is_frozen = true;
    }

    /// Returns whether the batch takes no more.
    pub fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Adds a slice.
    ///
    /// # Errors
    /// The batch is full, and as before.
    pub fn push_slice(&mut self, slice: &SliceRow<'_>) -> Result<(), BatchFull> {
        let len = traces::slice_bytes(slice);
        if self.slices.len() >= ROWS_MAX || self.text_bytes() + len > TEXT_MAX_BYTES {
            return Err(BatchFull { what: "slice" });
        }
        self.owned_bytes += len;
        self.slices.push(traces::owned_slice(slice));
        Ok(())
    }

    /// Adds a resource, and returns its number for spans. The caller gives each once; see [`Self::resource`] for one who does not know.
    ///
    /// # Errors
    /// The batch is full, and as before.
    pub fn push_resource(&mut self, attributes: &[Attribute<'_>]) -> Result<ResourceId, BatchFull> {
        let len: usize = attributes.iter().map(spans::attribute_bytes).sum();
        if self.resources.len() >= RESOURCES_MAX || self.resource_bytes + len > RESOURCES_MAX_BYTES {
            return Err(BatchFull { what: "resource" });
        }
        self.resource_bytes += len;
        self.resources.push(owned_attributes(attributes));
        Ok(ResourceId(self.resources.len() as u32 - 1))
    }

    /// Returns the number of spans.
    pub fn n_spans(&self) -> usize {
        self.heads.len()
    }

    /// Returns the number of traces.
    pub fn n_traces(&self) -> usize {
        self.traces.len()
    }

    /// Returns the number of slices.
    pub fn n_slices(&self) -> usize {
        self.slices.len()
    }

    /// Returns whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.traces.is_empty() && self.slices.is_empty() && self.reports.is_empty()
    }

    /// Returns the bytes that the batch takes in memory, roughly.
    pub fn memory_bytes(&self) -> usize {
        self.text_bytes()
            + size_of_val(self.heads.as_slice())
            + size_of_val(self.cells.as_slice())
            + size_of_val(self.extras.as_slice())
            + size_of_val(self.events.as_slice())
            + size_of_val(self.links.as_slice())
            + size_of_val(self.traces.as_slice())
            + size_of_val(self.facts.as_slice())
            + size_of_val(self.slices.as_slice())
            + size_of_val(self.reports.as_slice())
            + 2 * self.resource_bytes
    }

    /// Returns for each key of attributes how many rows have it with a string, an integer, a double or a bool.
    pub fn key_rows(&self) -> impl Iterator<Item = (&str, [u32; 4])> {
        let has_rows = |(_, rows): &(usize, &[u32; 4])| rows.iter().any(|n| *n > 0);
        self.key_rows.iter().enumerate().filter(has_rows).map(|(code, rows)| (self.names.text(code as u32), *rows))
    }

    /// Takes all rows and names out; resources stay, and keep their numbers.
    pub(crate) fn clear(&mut self) {
        self.names.clear();
        self.text.clear();
        self.heads.clear();
        self.cells.clear();
        self.extras.clear();
        self.events.clear();
        self.links.clear();
        self.traces.clear();
        self.facts.clear();
        self.slices.clear();
        self.reports.clear();
        self.trace_rows.clear();
        self.owned_bytes = 0;
        self.key_rows.clear();
        self.seen.clear();
        self.n_lists = 0;
    }

    fn text_bytes(&self) -> usize {
        self.text.len() + self.names.text_bytes() + self.owned_bytes
    }

    /// Returns what is known of a trace beyond its spans, or of those of which nothing is said.
    pub(crate) fn facts_at(&self, trace: &TraceHead) -> &TraceFacts<'static> {
        trace.facts_idx.map_or(&self.unknown, |idx| &self.facts[idx as usize])
    }

    /// Returns the place of `trace` in `traces`; it is made where it is new.
    fn trace_idx(&mut self, trace: TraceId) -> u32 {
        let next = self.traces.len() as u32;
        let idx = *self.trace_rows.entry(trace).or_insert(next);
        if idx == next {
            self.traces.push(TraceHead::new(trace));
        }
        idx
    }
}

/// Returns `attributes` without their lender.
pub(crate) fn owned_attributes(attributes: &[Attribute<'_>]) -> Vec<Attribute<'static>> {
    attributes
        .iter()
        .map(|attribute| Attribute {
            key: owned(&attribute.key),
            value: match &attribute.value {
                Value::Str(text) => Value::Str(owned(text)),
                Value::Int(value) => Value::Int(*value),
                Value::Dbl(value) => Value::Dbl(*value),
                Value::Bool(value) => Value::Bool(*value),
                Value::Other(bytes) => Value::Other(Cow::Owned(bytes.to_vec())),
            },
        })
        .collect()
}

pub(crate) fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

#[cfg(test)]
mod tests;
