//! Claims about rows of recorded traces: what the flat form says is what is read back from a part.

use super::{Beside, push_recorded};
use crate::batch::Batch;
use crate::objects::testing::Memory;
use crate::part::read::{Slices, Spans};
use crate::part::tests::{cut, open};
use crate::rows::{Attribute, ResourceId, SliceRow, SpanRow, Value, flag, source};
use crate::schema::Table;
use backsight_core::flat::{FlatEvent, FlatSpan, FlatTrace, key};
use backsight_core::ids::{AgentId, RegionId, SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::segment::LastWords;
use backsight_core::trace::{
    self, AttributeValue, Death, Event, Link, Notes, OpenEdge, Payload, ProcessClock, ProcessInfo, Span, Trace, Visit,
};

const START_NS: u64 = 1_700_000_000_000_000_000;

fn notes() -> Notes {
    let list = AttributeValue::Array(vec![1_i64.into(), "b".into()]);
    let attributes = [
        ("ok", true.into()),
        ("n", (-5_i64).into()),
        ("share", AttributeValue::F64(0.5)),
        ("who", "me".into()),
        ("bits", AttributeValue::Bytes(vec![0xfb])),
        ("list", list),
    ];
    let event = Event {
        at_ns: START_NS + 30,
        name: "cache miss".into(),
        message: "cold".into(),
        attributes: vec![trace::Attribute::new("key", "k".into())],
    };
    let raw = Payload { at_ns: START_NS + 20, name: None, bytes: vec![1, 0xff], is_truncated: true };
    let named = Payload { at_ns: START_NS + 35, name: Some("body".into()), bytes: Vec::new(), is_truncated: false };
    let attributes = attributes.map(|(key, value)| trace::Attribute::new(key, value)).into();
    Notes { attributes, events: vec![event], payloads: vec![raw, named] }
}

fn span(id: u64, parent: u64, process_idx: usize, start: u64, end: Option<u64>) -> Span {
    Span {
        id: SpanId(id),
        parent: SpanId(parent),
        name: format!("span {id}").into(),
        process_idx,
        tid: 100,
        start_ns: START_NS + start,
        end_ns: end.map(|end| START_NS + end),
        is_started: true,
        ..Span::default()
    }
}

/// Returns a trace of three processes: 1 calls 2, of another service, which calls 3 elsewhere, where it was cut; 4's start was lost, 5 stands twice, 6
/// was called by a visit, and of the last process only ticks are known.
fn all_features() -> Trace {
    let process = |agent, region, service: &str| ProcessInfo {
        agent: AgentId(agent),
        region: RegionId(region),
        pid: 42,
        service: service.into(),
        ..ProcessInfo::default()
    };
    let death = Death { at_ns: None, last_words: LastWords { signal: 11, ..LastWords::default() } };
    let link = Link { trace: TraceId::new(3, 4), span: SpanId(9) };
    let client =
        Span { kind: SpanKind::Client, service: "bank".into(), links: vec![link], ..span(2, 1, 0, 40, Some(120)) };
    let (status, status_text) = (StatusCode::Error, "no stock".into());
    let server = Span { kind: SpanKind::Server, is_cut: true, status, status_text, ..span(3, 2, 1, 50, None) };
    let visit = |parent, process_idx, start_ns, calls: &[u64]| Visit {
        parent: SpanId(parent),
        process_idx,
        tid: 7,
        start_ns,
        calls: calls.iter().copied().map(SpanId).collect(),
        ..Visit::default()
    };
    Trace {
        id: TraceId::new(1, 2),
        processes: vec![
            process(5, 1, "cart"),
            ProcessInfo { death: Some(death), ..process(6, 1, "till") },
            ProcessInfo { clock: ProcessClock::Ticks { first: 9 }, ..process(6, 2, "") },
        ],
        spans: vec![
            Span { notes: notes(), ..span(1, 0, 0, 10, Some(100)) },
            client,
            server,
            Span { is_started: false, ..span(4, 3, 1, 60, None) },
            span(5, 1, 0, 70, Some(71)),
            span(5, 1, 0, 72, Some(73)),
            span(6, 50, 1, 80, Some(81)),
        ],
        visits: vec![visit(2, 2, 4, &[]), visit(1, 0, START_NS + 75, &[50])],
        open_edges: vec![OpenEdge { process_idx: 0, span: SpanId(2), expected: AgentId::NONE, at_ns: START_NS + 70 }],
        ..Trace::default()
    }
}

/// What a part has of a batch.
struct Read {
    spans: Vec<SpanRow<'static>>,
    resources: Vec<Vec<Attribute<'static>>>,
    slices: Vec<SliceRow<'static>>,
}

fn push(batch: &mut Batch, trace: &Trace) {
    let host = |agent: AgentId| (agent == AgentId(5)).then_some("web-1");
    push_recorded(batch, trace, Beside { host: &host, sampling_weight: 2.0, flags: flag::LATE }).unwrap();
}

fn written(trace: &Trace) -> Read {
    let mut batch = Batch::new(1);
    push(&mut batch, trace);
    let objects = Memory::default();
    let part = cut(&batch, &[], &objects);
    let spans = Spans::new(open(&objects, &part, Table::Spans)).unwrap();
    let slices = Slices::new(open(&objects, &part, Table::Slices)).unwrap();
    Read {
        spans: spans.read(0..spans.file().n_rows()).unwrap(),
        resources: spans.resources().to_vec(),
        slices: slices.read(0..slices.file().n_rows()).unwrap(),
    }
}

impl Read {
    fn named(&self, operation: &str) -> &SpanRow<'static> {
        self.spans.iter().find(|span| span.operation == operation).unwrap()
    }
}

fn keys<'k>(attributes: impl IntoIterator<Item = &'k Attribute<'static>>) -> Vec<&'k str> {
    attributes.into_iter().map(|attribute| &*attribute.key).collect()
}

/// Checks a row against what the flat form says of the same span.
fn check(row: &SpanRow<'_>, flat: &FlatTrace<'_>, span: &FlatSpan<'_>) {
    let times = (row.start_ns as u64, row.duration_ns as u64);
    assert_eq!((row.id, row.parent.unwrap_or_default()), (span.id, span.parent));
    assert_eq!(times, (span.start_ns, span.end_ns - span.start_ns), "{row:?}");
    assert_eq!((&*row.service, &*row.operation), (&*flat.home(span).service, span.operation()));
    assert_eq!((row.kind, row.status), (span.kind() as i8, span.status() as i8));
    assert_eq!((row.source, row.thread.as_deref()), (source::RECORDER, Some(&*span.part.tid().to_string())));
    assert_eq!(row.status_message.as_deref().unwrap_or_default(), span.status_text());
    let event =
        |event: &FlatEvent<'_>| (event.at_ns - span.start_ns, event.name().to_owned(), event.attributes().len());
    let events = row.events.iter().map(|of| (of.time_offset_ns as u64, of.name.to_string(), of.attributes.len()));
    assert!(events.eq(span.events().iter().map(event)), "{row:?}");
    assert!(row.links.iter().map(|link| (link.trace, link.span)).eq(span.links().iter().map(|of| (of.trace, of.span))));
    let said = span.attributes().filter(|of| ![key::OPEN, key::TID].contains(&&*of.key));
    assert!(row.attributes.iter().map(|of| of.key.to_string()).eq(said.map(|of| of.key.to_string())), "{row:?}");
}

#[test]
fn what_the_flat_form_says_is_what_is_read_back() {
    let trace = all_features();
    let flat = FlatTrace::of(&trace);
    let read = written(&trace);
    assert_eq!(read.spans.len(), flat.spans.len());
    let mut in_order: Vec<&FlatSpan<'_>> = flat.spans.iter().collect();
    in_order.sort_by_key(|span| (span.start_ns, span.id));
    for (row, span) in read.spans.iter().zip(in_order) {
        check(row, &flat, span);
        assert_eq!((row.sampling_weight, row.flags & flag::LATE), (2.0, flag::LATE));
    }
}

#[test]
fn values_keep_their_types() {
    let read = written(&all_features());
    let root = read.named("span 1");
    let want = [
        Attribute::new("ok", Value::Bool(true)),
        Attribute::new("n", Value::Int(-5)),
        Attribute::new("share", Value::Dbl(0.5)),
        Attribute::new("who", Value::Str("me".into())),
        Attribute::new("bits", Value::Other(vec![0x3a, 1, 0xfb].into())),
        Attribute::new("list", Value::Other(vec![0x2a, 9, 0x0a, 2, 0x18, 1, 0x0a, 3, 0x0a, 1, b'b'].into())),
    ];
    assert_eq!(*root.attributes, want);
    let raw = &root.events[0];
    assert_eq!((&*raw.name, raw.time_offset_ns), ("raw", 10));
    let bytes = Attribute::new("backsight.payload", Value::Other(vec![0x3a, 2, 1, 0xff].into()));
    assert_eq!(*raw.attributes, [bytes, Attribute::new("backsight.truncated", Value::Bool(true))]);
    assert_eq!(keys(root.events[1].attributes.iter()), ["key", "message"]);
    assert_eq!(keys(root.events[2].attributes.iter()), ["backsight.payload", "backsight.name"]);
}

#[test]
fn flags_say_what_is_not_as_it_was_recorded() {
    let read = written(&all_features());
    let flags = |operation| read.named(operation).flags & !flag::LATE;
    assert_eq!(flags("span 1"), flag::TRUNCATED);
    assert_eq!(flags("span 2"), 0);
    assert_eq!(flags("span 3"), flag::OPEN | flag::REMOTE_PARENT);
    assert_eq!(flags("span 4"), flag::OPEN | flag::REPAIRED_TIME);
    assert_eq!(flags("span 5"), flag::ID_CLASH);
    assert_eq!(flags("span 6"), flag::REMOTE_PARENT, "of a visit that stands for what it names");
    let ticks = read.spans.iter().find(|span| span.service == "unknown_service").unwrap();
    assert_eq!(ticks.flags & !flag::LATE, flag::OPEN | flag::REPAIRED_TIME | flag::VISIT | flag::REMOTE_PARENT);
    assert_eq!(keys(read.named("span 3").attributes.iter()), ["backsight.cut"]);
    assert_eq!(keys(read.named("span 4").attributes.iter()), ["backsight.start_lost"]);
}

#[test]
fn resources_are_processes_and_services_with_spans() {
    let read = written(&all_features());
    let services: Vec<_> = read.resources.iter().map(|resource| resource[0].value.clone()).collect();
    assert_eq!(services, ["cart", "bank", "till", "unknown_service"].map(|name| Value::Str(name.into())));
    let root = read.named("span 1");
    assert_eq!((&*root.host, &*root.process, root.resource), ("web-1", "web-1:42", ResourceId(0)));
    let agent = AgentId(6).to_string();
    assert_eq!((&*read.named("span 3").host, &*read.named("span 3").process), (&*agent, &*format!("{agent}:42")));
    let known = ["service.name", "service.instance.id", "process.pid", "backsight.agent", "backsight.region"];
    assert_eq!(keys(&read.resources[0]), [&known[..], &["host.name"]].concat());
    assert_eq!(keys(&read.resources[2]), [&known[..], &["backsight.death.signal"]].concat());
    assert_eq!(keys(&read.resources[3]), [&known[..], &["backsight.clock"]].concat());
}

#[test]
fn visits_are_slices_of_the_spans_that_stand_for_them() {
    let trace = all_features();
    let read = written(&trace);
    let spans: Vec<_> = read.slices.iter().map(|slice| slice.span).collect();
    let mut want: Vec<_> = trace.visits.iter().map(|visit| Some(trace.visit_id(visit))).collect();
    want.sort_by_key(|id| read.spans.iter().find(|span| Some(span.id) == *id).map(|span| span.start_ns));
    assert_eq!(spans, want);
    assert!(read.slices.iter().all(|slice| (slice.kind, &*slice.thread, slice.flags) == (1, "7", flag::OPEN)));
}

#[test]
fn traces_of_one_process_share_its_resource() {
    let mut batch = Batch::new(1);
    let mut trace = all_features();
    push(&mut batch, &trace);
    trace.id = TraceId::new(1, 3);
    push(&mut batch, &trace);
    assert_eq!((batch.n_traces(), batch.n_spans(), batch.n_slices()), (2, 18, 4));
    assert_eq!(batch.resources.len(), 4);
}
