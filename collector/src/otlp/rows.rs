//! Spans of OTLP as rows: what stands in which column, borrowed from the request.
//!
//! Called by whoever takes spans, with the batch that they go into, under whatever guards that. Pure. Attributes of scopes and addresses of
//! schemas have no column; the first are counted when the request is checked.

mod scratch;

use super::Request;
use backsight_proto::wire::otlp_visit::{
    self, Attribute as WireAttribute, Decoded, Limits, OtlpError, OtlpSink, Reason, ResourceView, ScopeView, SpanView,
    Value as WireValue,
};
use backsight_store::batch::{Batch, BatchFull};
use backsight_store::rows::{Attribute, Dropped, List, ResourceId, SpanRow, Value, flag, source};
use scratch::Scratch;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;

/// The service of spans whose resource names none.
pub const UNKNOWN_SERVICE: &str = "unknown_service";
/// The attribute that holds the version of a span's scope.
pub const SCOPE_VERSION: &str = "otel.scope.version";
/// What is kept of a scope's version. It is stored with each span, of which a few bytes may be all that was sent.
const SCOPE_VERSION_MAX_BYTES: usize = 64;
/// OTLP's flags of a span: the bit for "sampled", and that it is known that the parent is elsewhere.
const FLAG_SAMPLED: u32 = 1;
const FLAGS_REMOTE_PARENT: u32 = 0x300;

/// Where rows go: one batch, or that of several to which a trace belongs.
pub trait Rows {
    /// Takes a resource, and returns its number for spans.
    ///
    /// # Errors
    /// There is no room for it.
    fn resource(&mut self, attributes: &[Attribute<'_>]) -> Result<ResourceId, BatchFull>;

    /// Takes a span.
    ///
    /// # Errors
    /// There is no room for it.
    fn span(&mut self, row: &SpanRow<'_>) -> Result<(), BatchFull>;
}

impl Rows for Batch {
    fn resource(&mut self, attributes: &[Attribute<'_>]) -> Result<ResourceId, BatchFull> {
        self.push_resource(attributes)
    }

    fn span(&mut self, row: &SpanRow<'_>) -> Result<(), BatchFull> {
        self.push_span(row)
    }
}

/// Makes rows of requests, and knows which resources their batch has.
#[derive(Debug, Default)]
pub struct Filler {
    /// The resources of the batch, by what stands in them: no more than a batch takes.
    known: HashMap<Vec<u8>, ResourceId>,
    key: Vec<u8>,
    origin: Origin,
    scope: Scope,
    scratch: Scratch,
}

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Filled {
    /// What became of its spans.
    pub decoded: Decoded,
    /// Whether spans were not taken because there was no room for them, or their resource.
    pub is_full: bool,
}

impl Filler {
    /// Forgets which resources the batch has: to be called whenever rows go into another batch, or resources were taken back out of this one.
    pub fn forget(&mut self) {
        self.known.clear();
    }

    /// Puts the spans of `request` into `rows`; see [`Filler::fill_from`].
    pub fn fill(&mut self, request: &Request, rows: &mut impl Rows) -> Filled {
        let filled = self.fill_from(request.protobuf(), request.limits(), rows);
        filled.expect("the same bytes were visited under the same limits before")
    }

    /// Puts the spans of `protobuf`, an encoded `ExportTraceServiceRequest`, into `rows`.
    ///
    /// # Errors
    /// It is not of the format, or over a limit as a whole; some of its rows may have been put in.
    /// # Cost
    /// As [`otlp_visit::visit`], and the batch's own time. A span allocates nothing; a resource that the batch does not have yet does.
    pub fn fill_from(&mut self, protobuf: &[u8], limits: &Limits, rows: &mut impl Rows) -> Result<Filled, OtlpError> {
        let mut sink = Sink { filler: self, rows, is_full: false };
        let decoded = otlp_visit::visit(protobuf, limits, &mut sink)?;
        Ok(Filled { decoded, is_full: sink.is_full })
    }

    /// Returns the number of a resource, which is put into `rows` where it is new.
    fn resource(&mut self, attributes: &[WireAttribute<'_>], rows: &mut impl Rows) -> Result<ResourceId, BatchFull> {
        self.key.clear();
        for attribute in attributes {
            // Lengths before both, so that no two resources have one key.
            let key = attribute.key.as_bytes();
            self.key.extend_from_slice(&(key.len() as u64).to_le_bytes());
            self.key.extend_from_slice(key);
            let len_at = self.key.len();
            self.key.extend_from_slice(&[0; 8]);
            attribute.value.encode(&mut self.key);
            let len = (self.key.len() - len_at - 8) as u64;
            self.key[len_at..len_at + 8].copy_from_slice(&len.to_le_bytes());
        }
        if let Some(known) = self.known.get(&self.key) {
            return Ok(*known);
        }
        self.scratch.others.read(attributes.iter());
        let mut others = self.scratch.others.iter();
        let list: Vec<_> = attributes.iter().map(|of| attribute(of, &mut others)).collect();
        let id = rows.resource(&list)?;
        self.known.insert(self.key.clone(), id);
        Ok(id)
    }
}

/// Who wrote the spans that follow.
#[derive(Debug, Default)]
struct Origin {
    /// `None` where there was no room for it.
    resource: Option<ResourceId>,
    service: String,
    host: String,
    process: String,
}

impl Origin {
    fn read(&mut self, attributes: &[WireAttribute<'_>]) {
        let text = |key| find(attributes, key).and_then(text_of);
        set(&mut self.service, text("service.name").unwrap_or(UNKNOWN_SERVICE));
        set(&mut self.host, text("host.name").unwrap_or_default());
        if let Some(instance) = text("service.instance.id") {
            return set(&mut self.process, instance);
        }
        set(&mut self.process, &self.host);
        let colon = if self.host.is_empty() { "" } else { ":" };
        // Writing to a String does not fail.
        let _ = match find(attributes, "process.pid") {
            Some(WireValue::Int(pid)) => write!(self.process, "{colon}{pid}"),
            Some(WireValue::Text(pid)) => write!(self.process, "{colon}{pid}"),
            _ => Ok(()),
        };
    }
}

/// The library that wrote the spans that follow.
#[derive(Debug, Default)]
struct Scope {
    name: String,
    version: String,
    /// Whether not all of the version is here.
    is_cut: bool,
}

impl Scope {
    fn read(&mut self, view: &ScopeView<'_>) {
        let version = &view.version[..view.version.floor_char_boundary(SCOPE_VERSION_MAX_BYTES)];
        set(&mut self.name, view.name);
        set(&mut self.version, version);
        self.is_cut = version.len() < view.version.len();
    }
}

struct Sink<'s, R> {
    filler: &'s mut Filler,
    rows: &'s mut R,
    is_full: bool,
}

impl<R: Rows> OtlpSink for Sink<'_, R> {
    fn resource(&mut self, resource: &ResourceView<'_>) {
        self.filler.origin.read(resource.attributes);
        let id = self.filler.resource(resource.attributes, self.rows);
        self.is_full |= id.is_err();
        self.filler.origin.resource = id.ok();
    }

    fn scope(&mut self, scope: &ScopeView<'_>) {
        self.filler.scope.read(scope);
    }

    fn span(&mut self, view: &SpanView<'_>) -> Result<(), Reason> {
        let Filler { origin, scope, scratch, .. } = &mut *self.filler;
        let resource = origin.resource.ok_or(Reason::NotTaken)?;
        let pushed = scratch.with(view, scope, |lists, thread| {
            let row = SpanRow {
                resource,
                service: Cow::Borrowed(&origin.service),
                host: Cow::Borrowed(&origin.host),
                process: Cow::Borrowed(&origin.process),
                scope: some(&scope.name),
                thread: thread.map(Cow::Borrowed),
                attributes: List::Lent(lists.attributes),
                events: List::Lent(lists.events),
                links: List::Lent(lists.links),
                flags: flags(view, scope),
                ..row(view)
            };
            self.rows.span(&row)
        });
        self.is_full |= pushed.is_err();
        pushed.map_err(|_| Reason::NotTaken)
    }
}

/// Returns what of a row stands in the span itself, but for its lists.
fn row<'a>(view: &SpanView<'a>) -> SpanRow<'a> {
    SpanRow {
        trace: view.trace,
        id: view.span,
        parent: view.parent,
        // Both are at most `i64::MAX`, and the end is not before the start.
        start_ns: view.start_ns as i64,
        duration_ns: (view.end_ns - view.start_ns) as i64,
        operation: Cow::Borrowed(view.name),
        kind: view.kind.map_or(0, |kind| kind as i8),
        status: view.status as i8,
        source: source::OTLP,
        status_message: some(view.status_message),
        trace_state: some(view.trace_state),
        dropped: dropped(view),
        sampling_weight: 1.0,
        ..SpanRow::default()
    }
}

fn flags(view: &SpanView<'_>, scope: &Scope) -> i32 {
    let of = |is_so: bool, flag: i32| if is_so { flag } else { 0 };
    of(view.flags & FLAG_SAMPLED != 0, flag::SAMPLED)
        | of(view.flags & FLAGS_REMOTE_PARENT == FLAGS_REMOTE_PARENT, flag::REMOTE_PARENT)
        | of(view.repairs.times > 0, flag::REPAIRED_TIME)
        | of(view.repairs.values_truncated > 0 || scope.is_cut, flag::TRUNCATED)
}

/// Returns what its sender left out of a span, and what was left out here: what events and links lack counts as the span's.
fn dropped(view: &SpanView<'_>) -> Dropped {
    let sum = |theirs: u32, ours: u32| count(theirs.saturating_add(ours));
    Dropped {
        attrs: sum(
            view.dropped.attributes,
            view.repairs.attributes_dropped.saturating_add(view.repairs.duplicate_keys),
        ),
        events: sum(view.dropped.events, view.repairs.events_dropped),
        links: sum(view.dropped.links, view.repairs.links_dropped),
    }
}

/// Returns an attribute with its type; `others` has the encoded values that have none, in their order.
fn attribute<'a>(attribute: &WireAttribute<'a>, others: &mut impl Iterator<Item = &'a [u8]>) -> Attribute<'a> {
    let value = match attribute.value {
        WireValue::Text(text) => Value::Str(Cow::Borrowed(text)),
        WireValue::Int(number) => Value::Int(number),
        WireValue::Double(number) => Value::Dbl(number),
        WireValue::Bool(value) => Value::Bool(value),
        WireValue::Empty | WireValue::List(_) | WireValue::Map(_) | WireValue::Bytes(_) => {
            Value::Other(Cow::Borrowed(others.next().unwrap_or_default()))
        }
    };
    Attribute { key: Cow::Borrowed(attribute.key), value }
}

/// Returns a count as rows have it.
fn count(n: u32) -> i32 {
    i32::try_from(n).unwrap_or(i32::MAX)
}

/// Returns a text, where it is not empty.
fn some(text: &str) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

fn find<'a>(attributes: &[WireAttribute<'a>], key: &str) -> Option<WireValue<'a>> {
    attributes.iter().find(|attribute| attribute.key == key).map(|attribute| attribute.value)
}

/// Returns a value that is a text, and not empty.
fn text_of(value: WireValue<'_>) -> Option<&str> {
    match value {
        WireValue::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn set(to: &mut String, text: &str) {
    to.clear();
    to.push_str(text);
}

#[cfg(test)]
mod tests;
