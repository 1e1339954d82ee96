//! How a batch keeps spans: one head of fixed size for each, cells for attributes, and extras for what few spans have.
//!
//! Called by `Batch::push_span`, and by `part`, which reads them in the order of the part.

use super::{Batch, NO_CODE};
use crate::rows::{Attribute, Dropped, Energy, SpanRow, SpecVersion, Value};
use backsight_core::ids::{SpanId, TraceId};
use std::borrow::Cow;
use std::ops::Range;

/// A run of bytes of the batch's arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Text {
    at: u32,
    len: u32,
}

impl Text {
    const NONE: Self = Self { at: u32::MAX, len: 0 };
}

/// A run of cells, events or links.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Run {
    at: u32,
    len: u32,
}

impl Run {
    pub(crate) fn range(self) -> Range<usize> {
        self.at as usize..self.at as usize + self.len as usize
    }
}

/// What every span has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) trace_idx: u32,
    pub(crate) resource: u32,
    pub(crate) id: SpanId,
    /// Meant only where `has_parent`.
    pub(crate) parent: SpanId,
    pub(crate) start_ns: i64,
    pub(crate) duration_ns: i64,
    pub(crate) sampling_weight: f64,
    /// Numbers of names; `scope` and `thread` may be [`NO_CODE`].
    pub(crate) service: u32,
    pub(crate) operation: u32,
    pub(crate) scope: u32,
    pub(crate) host: u32,
    pub(crate) process: u32,
    pub(crate) thread: u32,
    pub(crate) flags: i32,
    pub(crate) attributes: Run,
    /// The place in `extras`, or [`NO_CODE`].
    pub(crate) extra_idx: u32,
    /// The span of its trace that came before it, or `NO_ROW`.
    pub(crate) before_of_trace: u32,
    pub(crate) has_parent: bool,
    pub(crate) kind: i8,
    pub(crate) status: i8,
    pub(crate) source: i8,
}

impl Head {
    pub(crate) fn is_error(&self) -> bool {
        self.status == STATUS_ERROR
    }
}

/// An attribute.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) key: u32,
    pub(crate) value: CellValue,
}

/// Its value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum CellValue {
    Str(Text),
    Int(i64),
    Dbl(f64),
    Bool(bool),
    Other(Text),
}

/// What few spans have.
#[derive(Clone, Debug)]
pub(crate) struct Extra {
    status_message: Text,
    trace_state: Text,
    pub(crate) dropped: Dropped,
    pub(crate) events: Run,
    pub(crate) links: Run,
    pub(crate) energy: Option<Box<Energy<'static>>>,
    pub(crate) spec_versions: Box<[SpecVersion]>,
    pub(crate) self_cp_ns: Option<i64>,
}

/// An event.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventCell {
    pub(crate) time_offset_ns: i64,
    pub(crate) name: Text,
    pub(crate) attributes: Run,
    pub(crate) dropped: i32,
}

/// A link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkCell {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    trace_state: Text,
    pub(crate) attributes: Run,
    pub(crate) dropped: i32,
    pub(crate) flags: i32,
}

impl Batch {
    /// Puts a span in, for which there is room.
    pub(super) fn put_span(&mut self, span: &SpanRow<'_>) {
        let trace_idx = match self.heads.last() {
            Some(last) if self.traces[last.trace_idx as usize].trace == span.trace => last.trace_idx,
            _ => self.trace_idx(span.trace),
        };
        let is_error = span.status == STATUS_ERROR;
        let row = self.heads.len() as u32;
        let trace = &mut self.traces[trace_idx as usize];
        let before_of_trace = std::mem::replace(&mut trace.last_row, row);
        trace.add_span(span.start_ns, span.duration_ns, is_error);
        let (attributes, n_duplicates) = self.put_attributes(&span.attributes, Counted::Yes);
        let dropped = Dropped { attrs: span.dropped.attrs.saturating_add(n_duplicates), ..span.dropped };
        let head = Head {
            trace_idx,
            resource: span.resource.0,
            id: span.id,
            parent: span.parent.unwrap_or_default(),
            start_ns: span.start_ns,
            duration_ns: span.duration_ns,
            sampling_weight: span.sampling_weight,
            service: self.names.code(&span.service),
            operation: self.names.code(&span.operation),
            scope: self.optional_name(span.scope.as_deref()),
            host: self.names.code(&span.host),
            process: self.names.code(&span.process),
            thread: self.optional_name(span.thread.as_deref()),
            flags: span.flags,
            attributes,
            extra_idx: self.put_extra(span, dropped),
            before_of_trace,
            has_parent: span.parent.is_some(),
            kind: span.kind,
            status: span.status,
            source: span.source,
        };
        self.heads.push(head);
    }

    /// Puts in what few spans have, and returns its place.
    fn put_extra(&mut self, span: &SpanRow<'_>, dropped: Dropped) -> u32 {
        let has_none = span.status_message.is_none()
            && span.trace_state.is_none()
            && dropped == Dropped::default()
            && span.events.is_empty()
            && span.links.is_empty()
            && span.energy.is_none()
            && span.spec_versions.is_empty()
            && span.self_cp_ns.is_none();
        if has_none {
            return NO_CODE;
        }
        let extra = Extra {
            status_message: self.put_optional(span.status_message.as_deref()),
            trace_state: self.put_optional(span.trace_state.as_deref()),
            dropped,
            events: self.put_events(span),
            links: self.put_links(span),
            energy: span.energy.as_ref().map(|energy| Box::new(super::traces::owned_energy(energy))),
            spec_versions: span.spec_versions.to_vec().into_boxed_slice(),
            self_cp_ns: span.self_cp_ns,
        };
        self.extras.push(extra);
        self.extras.len() as u32 - 1
    }

    fn put_events(&mut self, span: &SpanRow<'_>) -> Run {
        let at = self.events.len() as u32;
        for event in span.events.iter() {
            let (attributes, n_duplicates) = self.put_attributes(&event.attributes, Counted::No);
            let cell = EventCell {
                time_offset_ns: event.time_offset_ns,
                name: self.put_text(event.name.as_bytes()),
                attributes,
                dropped: event.dropped.saturating_add(n_duplicates),
            };
            self.events.push(cell);
        }
        Run { at, len: span.events.len() as u32 }
    }

    fn put_links(&mut self, span: &SpanRow<'_>) -> Run {
        let at = self.links.len() as u32;
        for link in span.links.iter() {
            let (attributes, n_duplicates) = self.put_attributes(&link.attributes, Counted::No);
            let cell = LinkCell {
                trace: link.trace,
                span: link.span,
                trace_state: self.put_optional(link.trace_state.as_deref()),
                attributes,
                dropped: link.dropped.saturating_add(n_duplicates),
                flags: link.flags,
            };
            self.links.push(cell);
        }
        Run { at, len: span.links.len() as u32 }
    }

    /// Puts attributes in, each key once, and returns how many came again.
    fn put_attributes(&mut self, attributes: &[Attribute<'_>], counted: Counted) -> (Run, i32) {
        self.n_lists += 1;
        let at = self.cells.len() as u32;
        let mut n_duplicates = 0;
        for attribute in attributes {
            let key = self.names.code(&attribute.key);
            if self.seen.len() <= key as usize {
                self.seen.resize(self.names.len(), (0, 0));
                self.key_rows.resize(self.names.len(), [0; 4]);
            }
            let value = self.put_value(&attribute.value);
            let (list, cell_idx) = self.seen[key as usize];
            if list == self.n_lists {
                n_duplicates += 1;
                let cell = &mut self.cells[cell_idx as usize];
                if counted == Counted::Yes {
                    count(&mut self.key_rows[key as usize], cell.value, u32::wrapping_sub);
                }
                cell.value = value;
            } else {
                self.seen[key as usize] = (self.n_lists, self.cells.len() as u32);
                self.cells.push(Cell { key, value });
            }
            if counted == Counted::Yes {
                count(&mut self.key_rows[key as usize], value, u32::wrapping_add);
            }
        }
        (Run { at, len: self.cells.len() as u32 - at }, n_duplicates)
    }

    fn put_value(&mut self, value: &Value<'_>) -> CellValue {
        match value {
            Value::Str(text) => CellValue::Str(self.put_text(text.as_bytes())),
            Value::Int(value) => CellValue::Int(*value),
            Value::Dbl(value) => CellValue::Dbl(*value),
            Value::Bool(value) => CellValue::Bool(*value),
            Value::Other(bytes) => CellValue::Other(self.put_text(bytes)),
        }
    }

    pub(super) fn put_text(&mut self, bytes: &[u8]) -> Text {
        let at = self.text.len() as u32;
        self.text.extend_from_slice(bytes);
        Text { at, len: bytes.len() as u32 }
    }

    fn put_optional(&mut self, text: Option<&str>) -> Text {
        text.map_or(Text::NONE, |text| self.put_text(text.as_bytes()))
    }

    fn optional_name(&mut self, name: Option<&str>) -> u32 {
        name.map_or(NO_CODE, |name| self.names.code(name))
    }

    /// Returns bytes of the arena.
    pub(crate) fn bytes(&self, text: Text) -> &[u8] {
        &self.text[text.at as usize..text.at as usize + text.len as usize]
    }

    /// Returns text of the arena.
    pub(crate) fn str(&self, text: Text) -> &str {
        std::str::from_utf8(self.bytes(text)).expect("a text was a `str` when it was put in")
    }

    /// Returns text of the arena, where there is one.
    pub(crate) fn optional_str(&self, text: Text) -> Option<&str> {
        (text != Text::NONE).then(|| self.str(text))
    }

    /// Returns a name, where there is one.
    pub(crate) fn optional_name_of(&self, code: u32) -> Option<&str> {
        (code != NO_CODE).then(|| self.names.text(code))
    }

    /// Returns what few spans have, where this one does.
    pub(crate) fn extra(&self, head: &Head) -> Option<&Extra> {
        self.extras.get(head.extra_idx as usize)
    }

    /// Returns the message of a span's status.
    pub(crate) fn status_message(&self, extra: &Extra) -> Option<&str> {
        self.optional_str(extra.status_message)
    }

    /// Returns the trace state of a span.
    pub(crate) fn trace_state(&self, extra: &Extra) -> Option<&str> {
        self.optional_str(extra.trace_state)
    }

    /// Returns the trace state of a link.
    pub(crate) fn link_state(&self, link: &LinkCell) -> Option<&str> {
        self.optional_str(link.trace_state)
    }
}

/// OTLP's number of the status of an error.
pub(crate) const STATUS_ERROR: i8 = 2;

/// Whether attributes are a span's own, whose keys may get columns.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Yes,
    No,
}

pub(super) fn count(rows: &mut [u32; 4], value: CellValue, step: fn(u32, u32) -> u32) {
    let idx = match value {
        CellValue::Str(_) => 0,
        CellValue::Int(_) => 1,
        CellValue::Dbl(_) => 2,
        CellValue::Bool(_) => 3,
        CellValue::Other(_) => return,
    };
    rows[idx] = step(rows[idx], 1);
}

/// Returns how many attributes a span has, those of events and links included, and the most bytes that its texts take.
pub(super) fn size(span: &SpanRow<'_>) -> (usize, usize) {
    let len = |text: &Option<Cow<'_, str>>| text.as_deref().map_or(0, str::len);
    let mut n_cells = span.attributes.len();
    let mut bytes = span.service.len() + span.operation.len() + span.host.len() + span.process.len();
    bytes += len(&span.scope) + len(&span.thread) + len(&span.status_message) + len(&span.trace_state);
    bytes += span.attributes.iter().map(attribute_bytes).sum::<usize>();
    for event in span.events.iter() {
        n_cells += event.attributes.len();
        bytes += event.name.len() + event.attributes.iter().map(attribute_bytes).sum::<usize>();
    }
    for link in span.links.iter() {
        n_cells += link.attributes.len();
        bytes += len(&link.trace_state) + link.attributes.iter().map(attribute_bytes).sum::<usize>();
    }
    (n_cells, bytes)
}

/// Returns the most bytes that an attribute's texts take. What stands as text in a part may be twice as long as it was.
pub(super) fn attribute_bytes(attribute: &Attribute<'_>) -> usize {
    attribute.key.len()
        + match &attribute.value {
            Value::Str(text) => text.len(),
            Value::Other(bytes) => 2 * bytes.len(),
            Value::Int(_) | Value::Dbl(_) | Value::Bool(_) => 8,
        }
}
