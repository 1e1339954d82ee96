//! From rows as parts and batches keep them to a trace as it is answered: what stands in several places is united here.
//!
//! Called by whoever looks a trace up. The rows of one trace may stand in any number of parts and batches, and some of them twice. How they are
//! united is the store's to say ([`unite`]), as compaction does the same.

mod any_value;
mod view;

pub(crate) use view::{StoredSpan, events_any, list_any, value_any};

use super::{EventRow, Facts, ProcessRow, Source, SpanRow, TraceRows};
use backsight_core::certificate::Verdict;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::{Attribute, AttributeValue, Link};
use backsight_core::units::NanoJoules;
use backsight_store::rows::{self as stored, ResourceId, flag, source, unite};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The attribute of a resource that is told as the service.
pub(crate) const SERVICE: &str = "service.name";

/// A trace in the making.
///
/// # Shape
/// Whoever adds begins with the oldest part and ends with the newest batch, and says where each begins ([`Union::begin`]).
#[derive(Debug, Default)]
pub struct Union {
    id: TraceId,
    /// What each part and batch has of it.
    spans: Vec<Vec<stored::SpanRow<'static>>>,
    facts: Vec<stored::TraceFacts<'static>>,
    /// Of all spans, each once.
    resources: Vec<Vec<stored::Attribute<'static>>>,
    /// The places of those of the part or batch that is added.
    places: BTreeMap<ResourceId, ResourceId>,
    is_pending: bool,
    is_known: bool,
}

/// A span with its process.
struct Piece {
    span: SpanRow,
    process: ProcessRow,
}

impl Union {
    /// Returns the trace `id` of which nothing is known yet.
    pub fn new(id: TraceId) -> Self {
        Self { id, ..Self::default() }
    }

    /// Begins what the next part or batch has of it.
    pub fn begin(&mut self) {
        self.spans.push(Vec::new());
        self.facts.push(stored::TraceFacts::default());
        self.places.clear();
    }

    /// Adds a span, whose resource has these attributes.
    pub fn add_span(&mut self, row: stored::SpanRow<'static>, resource: &[stored::Attribute<'_>]) {
        self.is_known = true;
        if self.spans.is_empty() {
            self.begin();
        }
        let place = match self.places.get(&row.resource) {
            Some(place) => *place,
            None => {
                let place = self.place_of(resource);
                self.places.insert(row.resource, place);
                place
            }
        };
        if let Some(spans) = self.spans.last_mut() {
            spans.push(stored::SpanRow { resource: place, ..row });
        }
    }

    fn place_of(&mut self, resource: &[stored::Attribute<'_>]) -> ResourceId {
        let place = self.resources.iter().position(|known| known == resource).unwrap_or_else(|| {
            self.resources.push(resource.iter().cloned().map(stored::Attribute::into_owned).collect());
            self.resources.len() - 1
        });
        ResourceId(place as u32)
    }

    /// Adds what the part or batch knows of the trace beyond its spans.
    pub fn add_facts(&mut self, facts: &stored::TraceFacts<'static>) {
        self.is_known = true;
        if self.facts.is_empty() {
            self.begin();
        }
        if let Some(last) = self.facts.last_mut() {
            last.clone_from(facts);
        }
    }

    /// Says that parts of the trace may still come.
    pub fn set_pending(&mut self) {
        self.is_known = true;
        self.is_pending = true;
    }

    /// Returns the trace, or `None` where nothing was added.
    pub fn finish(self) -> Option<TraceRows> {
        if !self.is_known {
            return None;
        }
        let united = unite::spans(self.spans);
        let facts = unite::facts(&self.facts, &united.dropped_nj);
        let mut processes = Processes::default();
        let mut spans: Vec<SpanRow> = Vec::with_capacity(united.spans.len());
        let mut n_of_id: BTreeMap<SpanId, usize> = BTreeMap::new();
        for row in united.spans {
            let resource = self.resources.get(row.resource.0 as usize).map_or(&[][..], Vec::as_slice);
            let piece = piece(&row, resource);
            *n_of_id.entry(piece.span.id).or_default() += 1;
            spans.push(SpanRow { process_idx: processes.idx(piece.process), ..piece.span });
        }
        for span in spans.iter_mut().filter(|span| n_of_id.get(&span.id).is_some_and(|n| *n > 1)) {
            span.warnings.push("another span of this trace has its id".to_owned());
        }
        spans.sort_by_key(|span| (span.start_ns, span.id));
        let facts = Facts { is_pending: self.is_pending, ..facts_of(facts) };
        Some(TraceRows { id: self.id, spans, processes: processes.rows, facts })
    }
}

/// Returns what is known of a trace as it is answered.
fn facts_of(facts: stored::TraceFacts<'_>) -> Facts {
    let triggers: BTreeSet<_> =
        facts.triggers.into_iter().map(|trigger| (trigger.id, trigger.name.into_owned())).collect();
    let reason = &*facts.sampling.reason;
    Facts {
        triggers: once(triggers.into_iter().map(|(_, name)| name)),
        verdict: verdict_of(facts.completeness),
        sampling: (!reason.is_empty()).then(|| reason.into()),
        energy: facts.energy_nj.map(|nj| nano_joules(nj.into())),
        rarity: rarity_of(facts.rarity),
        is_pending: false,
        warnings: Vec::new(),
    }
}

/// Returns each name once, at its first place.
fn once(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    names.filter(|name| seen.insert(name.clone())).collect()
}

/// Service, host and instance.
type ProcessName = (Arc<str>, Option<Arc<str>>, Option<Arc<str>>);

/// The processes of a trace, each once.
#[derive(Default)]
struct Processes {
    rows: Vec<ProcessRow>,
    places: BTreeMap<ProcessName, Vec<usize>>,
}

impl Processes {
    fn idx(&mut self, process: ProcessRow) -> usize {
        let key = (process.service.clone(), process.host.clone(), process.instance.clone());
        let places = self.places.entry(key).or_default();
        let is_same = |place: &&usize| is_same_list(&self.rows[**place].attributes, &process.attributes);
        if let Some(place) = places.iter().find(is_same) {
            return *place;
        }
        places.push(self.rows.len());
        self.rows.push(process);
        self.rows.len() - 1
    }
}

/// Returns whether attributes are the same; of floating-point numbers the bits are compared, so that what is no number is the same as itself.
fn is_same_list(a: &[Attribute], b: &[Attribute]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.key == b.key && is_same_value(&a.value, &b.value))
}

fn is_same_value(a: &AttributeValue, b: &AttributeValue) -> bool {
    match (a, b) {
        (AttributeValue::F64(a), AttributeValue::F64(b)) => a.to_bits() == b.to_bits(),
        (AttributeValue::Array(a), AttributeValue::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same_value(a, b))
        }
        (a, b) => a == b,
    }
}

fn piece(row: &stored::SpanRow<'_>, resource: &[stored::Attribute<'_>]) -> Piece {
    let times = Times::of(row.start_ns, row.duration_ns);
    let event = |event: &stored::Event<'_>| EventRow {
        at_ns: clamped(row.start_ns.saturating_add(event.time_offset_ns)),
        name: (*event.name).into(),
        attributes: attributes(&event.attributes),
    };
    let mut events: Vec<_> = row.events.iter().map(event).collect();
    events.sort_by_key(|event| event.at_ns);
    let text = |text: &Option<std::borrow::Cow<'_, str>>| Arc::from(text.as_deref().unwrap_or_default());
    let span = SpanRow {
        id: row.id,
        parent: row.parent.unwrap_or_default(),
        operation: (*row.operation).into(),
        kind: kind_of(row.kind),
        status: status_of(row.status),
        status_message: text(&row.status_message),
        trace_state: text(&row.trace_state),
        scope: (text(&row.scope), Arc::default()),
        flags: u8::from(row.flags & flag::SAMPLED != 0),
        start_ns: times.start_ns,
        duration_ns: times.duration_ns,
        process_idx: 0,
        attributes: attributes(&row.attributes),
        events,
        links: row.links.iter().map(|link| Link { trace: link.trace, span: link.span }).collect(),
        energy: row.energy.as_ref().map(energy_of),
        versions: row.spec_versions.iter().map(|version| version_of(version.version)).collect(),
        source: source_of(row.source),
        warnings: warnings(row),
    };
    let name = |name: &str| (!name.is_empty()).then(|| Arc::from(name));
    let process = ProcessRow {
        service: (*row.service).into(),
        host: name(&row.host),
        instance: name(&row.process),
        attributes: resource.iter().filter(|attribute| attribute.key != SERVICE).map(attribute_of).collect(),
    };
    Piece { span, process }
}

/// Returns what people should know of a span before they believe it.
fn warnings(row: &stored::SpanRow<'_>) -> Vec<String> {
    let flags = [
        (row.flags & flag::OPEN != 0, "its end was not seen"),
        (row.flags & flag::REPAIRED_TIME != 0, "its times were repaired"),
        (row.flags & flag::TRUNCATED != 0, "values of it were cut short"),
        (row.start_ns < 0, "it began before 1970, which is shown as 1970"),
    ];
    let mut warnings: Vec<_> = flags.into_iter().filter(|(is, _)| *is).map(|(_, text)| text.to_owned()).collect();
    let dropped = [(row.dropped.attrs, "attributes"), (row.dropped.events, "events"), (row.dropped.links, "links")];
    let left_out = dropped.into_iter().filter(|(n, _)| *n > 0);
    warnings.extend(left_out.map(|(n, what)| format!("{n} of its {what} were left out")));
    warnings
}

fn attributes(list: &[stored::Attribute<'_>]) -> Vec<Attribute> {
    list.iter().map(attribute_of).collect()
}

fn attribute_of(attribute: &stored::Attribute<'_>) -> Attribute {
    Attribute { key: (*attribute.key).into(), value: value_of(&attribute.value) }
}

/// Returns a value as answers have it.
pub(crate) fn value_of(value: &stored::Value<'_>) -> AttributeValue {
    match value {
        stored::Value::Str(text) => AttributeValue::Str((**text).into()),
        stored::Value::Int(value) => AttributeValue::I64(*value),
        stored::Value::Dbl(value) => AttributeValue::F64(*value),
        stored::Value::Bool(value) => AttributeValue::Bool(*value),
        stored::Value::Other(bytes) => any_value::decode(bytes),
    }
}

/// The times of a span as they are answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Times {
    pub(crate) start_ns: u64,
    pub(crate) duration_ns: u64,
}

impl Times {
    /// Returns the times of a row: what lies before 1970 is 1970, and what ends before it begins has no duration.
    pub(crate) fn of(start_ns: i64, duration_ns: i64) -> Self {
        let (start, end) = (clamped(start_ns), clamped(start_ns.saturating_add(duration_ns)));
        Self { start_ns: start, duration_ns: end.saturating_sub(start) }
    }
}

/// Returns a time as it is answered.
pub(crate) fn clamped(time_ns: i64) -> u64 {
    u64::try_from(time_ns).unwrap_or(0)
}

pub(crate) fn kind_of(kind: i8) -> Option<SpanKind> {
    let code = u8::try_from(kind).ok().filter(|code| (1..=5).contains(code));
    code.map(SpanKind::from_code)
}

pub(crate) fn status_of(status: i8) -> StatusCode {
    StatusCode::from_code(u32::try_from(status).unwrap_or(0))
}

/// Returns where a span came from; what this version does not know came from somebody else.
pub(crate) fn source_of(code: i8) -> Source {
    match code {
        source::RECORDER => Source::Recorder,
        source::OTLP => Source::Otlp,
        source::SIM => Source::Sim,
        _ => Source::Import,
    }
}

pub(crate) fn version_of(version: i32) -> u32 {
    u32::try_from(version).unwrap_or(0)
}

/// Returns what a span used, all components.
pub(crate) fn energy_of(energy: &stored::Energy<'_>) -> NanoJoules {
    nano_joules(energy.components.iter().map(|joules| i128::from(joules.nj)).sum())
}

/// Returns what a verdict stands for in the column `completeness`.
pub(crate) fn verdict_of(completeness: i8) -> Option<Verdict> {
    match completeness {
        1 => Some(Verdict::Complete),
        2 => Some(Verdict::Partial),
        3 => Some(Verdict::Unknown),
        _ => None,
    }
}

/// Returns how rare a trace is; 0 stands for one of which nobody said it.
pub(crate) fn rarity_of(rarity: f32) -> Option<f32> {
    (rarity > 0.0).then_some(rarity)
}

/// Returns an amount as it is answered: none is below zero.
pub(crate) fn nano_joules(nj: i128) -> NanoJoules {
    NanoJoules(u64::try_from(nj.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
