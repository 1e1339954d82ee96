//! Claims about rows: they are what the official decoder reads, and a batch has each resource once.

use super::{Filled, Filler, Request, Rows, SCOPE_VERSION, SCOPE_VERSION_MAX_BYTES, UNKNOWN_SERVICE};
use backsight_core::ids::{SpanId, TraceId};
use backsight_proto::wire::otlp_visit::testing::{expected, some_request};
use backsight_proto::wire::otlp_visit::{Limits, Reason};
use backsight_store::batch::{Batch, BatchFull};
use backsight_store::rows::{Attribute, Dropped, Event, Link, ResourceId, SpanRow, Value, flag, source};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Official;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use prost::Message;
use std::collections::{BTreeSet, VecDeque};

/// Holds rows against those that are to come, each with its resource.
#[derive(Default)]
struct Compare {
    to_come: VecDeque<(Vec<Attribute<'static>>, SpanRow<'static>)>,
    resources: Vec<Vec<Attribute<'static>>>,
    wrong: Vec<String>,
}

impl Rows for Compare {
    fn resource(&mut self, attributes: &[Attribute<'_>]) -> Result<ResourceId, BatchFull> {
        let owned = attributes.iter().map(|of| Attribute::new(of.key.clone().into_owned(), owned(&of.value))).collect();
        self.resources.push(owned);
        Ok(ResourceId(self.resources.len() as u32 - 1))
    }

    fn span(&mut self, row: &SpanRow<'_>) -> Result<(), BatchFull> {
        let Some((resource, expected)) = self.to_come.pop_front() else {
            self.wrong.push(format!("one too many: {row:?}"));
            return Ok(());
        };
        let expected = SpanRow { resource: row.resource, ..expected };
        if *row != expected {
            self.wrong.push(format!("{row:#?} is not {expected:#?}"));
        }
        if self.resources[row.resource.0 as usize] != resource {
            self.wrong.push(format!("another resource than {resource:#?}"));
        }
        Ok(())
    }
}

fn owned(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Str(text) => Value::Str(text.clone().into_owned().into()),
        Value::Int(number) => Value::Int(*number),
        Value::Dbl(number) => Value::Dbl(*number),
        Value::Bool(value) => Value::Bool(*value),
        Value::Other(bytes) => Value::Other(bytes.clone().into_owned().into()),
    }
}

/// Returns official attributes as rows have them.
fn attributes(pairs: &[KeyValue]) -> Vec<Attribute<'static>> {
    let of = |pair: &KeyValue| {
        let any = pair.value.clone().unwrap_or_default();
        let value = match any.value {
            Some(Official::StringValue(text)) => Value::Str(text.into()),
            Some(Official::IntValue(number)) => Value::Int(number),
            Some(Official::DoubleValue(number)) => Value::Dbl(number),
            Some(Official::BoolValue(value)) => Value::Bool(value),
            _ => Value::Other(any.encode_to_vec().into()),
        };
        Attribute::new(pair.key.clone(), value)
    };
    pairs.iter().map(of).collect()
}

fn text(pairs: &[KeyValue], key: &str) -> Option<String> {
    let pair = pairs.iter().find(|pair| pair.key == key)?;
    match pair.value.clone()?.value? {
        Official::StringValue(text) if !text.is_empty() => Some(text),
        Official::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn some(text: &str) -> Option<std::borrow::Cow<'static, str>> {
    (!text.is_empty()).then(|| text.to_owned().into())
}

fn n_again(pairs: &[KeyValue]) -> u32 {
    (pairs.len() - pairs.iter().map(|pair| &pair.key).collect::<BTreeSet<_>>().len()) as u32
}

fn count(n: u32, more: u32) -> i32 {
    i32::try_from(n.saturating_add(more)).unwrap_or(i32::MAX)
}

fn trace_id(bytes: &[u8]) -> TraceId {
    let id = u128::from_be_bytes(bytes.try_into().unwrap());
    TraceId::new((id >> 64) as u64, id as u64)
}

fn span_id(bytes: &[u8]) -> SpanId {
    SpanId(u64::from_be_bytes(bytes.try_into().unwrap()))
}

/// Returns the row of a span as it came, which was repaired to `span`; without what its resource and scope say.
fn span_row(came: &Span, span: &Span) -> SpanRow<'static> {
    let start_ns = span.start_time_unix_nano as i64;
    let inner = came.events.iter().map(|event| n_again(&event.attributes));
    let inner = inner.chain(came.links.iter().map(|link| n_again(&link.attributes)));
    let late = came.events.iter().any(|event| event.time_unix_nano > i64::MAX as u64);
    let is_repaired = late || came.end_time_unix_nano != span.end_time_unix_nano;
    let bit = |is_so: bool, flag: i32| if is_so { flag } else { 0 };
    let status = span.status.clone().unwrap_or_default();
    SpanRow {
        trace: trace_id(&span.trace_id),
        id: span_id(&span.span_id),
        parent: (!span.parent_span_id.is_empty()).then(|| span_id(&span.parent_span_id)),
        start_ns,
        duration_ns: (span.end_time_unix_nano - span.start_time_unix_nano) as i64,
        operation: span.name.clone().into(),
        thread: text(&span.attributes, "thread.name").or(text(&span.attributes, "thread.id")).map(Into::into),
        kind: span.kind as i8,
        status: status.code as i8,
        source: source::OTLP,
        status_message: some(&status.message),
        trace_state: some(&span.trace_state),
        flags: bit(span.flags & 1 != 0, flag::SAMPLED)
            | bit(span.flags & 0x300 == 0x300, flag::REMOTE_PARENT)
            | bit(is_repaired, flag::REPAIRED_TIME),
        attributes: attributes(&span.attributes).into(),
        dropped: Dropped {
            attrs: count(span.dropped_attributes_count, n_again(&came.attributes) + inner.sum::<u32>()),
            events: count(span.dropped_events_count, 0),
            links: count(span.dropped_links_count, (came.links.len() - span.links.len()) as u32),
        },
        events: events(span, start_ns).into(),
        links: links(span).into(),
        sampling_weight: 1.0,
        ..SpanRow::default()
    }
}

fn events(span: &Span, start_ns: i64) -> Vec<Event<'static>> {
    let event = |event: &opentelemetry_proto::tonic::trace::v1::span::Event| Event {
        time_offset_ns: event.time_unix_nano as i64 - start_ns,
        name: event.name.clone().into(),
        attributes: attributes(&event.attributes).into(),
        dropped: count(event.dropped_attributes_count, 0),
    };
    span.events.iter().map(event).collect()
}

fn links(span: &Span) -> Vec<Link<'static>> {
    let link = |link: &opentelemetry_proto::tonic::trace::v1::span::Link| Link {
        trace: trace_id(&link.trace_id),
        span: span_id(&link.span_id),
        trace_state: some(&link.trace_state),
        attributes: attributes(&link.attributes).into(),
        dropped: count(link.dropped_attributes_count, 0),
        flags: link.flags as i32,
    };
    span.links.iter().map(link).collect()
}

/// Returns the rows of a request, each with its resource, as the official types have them.
fn model(request: &ExportTraceServiceRequest) -> VecDeque<(Vec<Attribute<'static>>, SpanRow<'static>)> {
    let mut rows = VecDeque::new();
    for resource_spans in &request.resource_spans {
        for scope_spans in &resource_spans.scope_spans {
            for span in &scope_spans.spans {
                let scope_spans = ScopeSpans { spans: vec![span.clone()], ..scope_spans.clone() };
                let alone = ResourceSpans { scope_spans: vec![scope_spans], ..resource_spans.clone() };
                let repaired = expected(ExportTraceServiceRequest { resource_spans: vec![alone] });
                rows.extend(of_one(span, &repaired.resource_spans[0]));
            }
        }
    }
    rows
}

fn of_one(came: &Span, repaired: &ResourceSpans) -> Option<(Vec<Attribute<'static>>, SpanRow<'static>)> {
    let resource = &repaired.resource.as_ref().unwrap().attributes;
    let scope = repaired.scope_spans[0].scope.clone().unwrap();
    let span = span_row(came, repaired.scope_spans[0].spans.first()?);
    let mut own = span.attributes.to_vec();
    if !scope.version.is_empty() && own.iter().all(|of| of.key != SCOPE_VERSION) {
        own.push(Attribute::new(SCOPE_VERSION, Value::Str(scope.version.into())));
    }
    let host = text(resource, "host.name").unwrap_or_default();
    let named = |key: &str| text(resource, key);
    let host_and_pid = match named("process.pid") {
        Some(pid) if host.is_empty() => pid,
        Some(pid) => format!("{host}:{pid}"),
        None => host.clone(),
    };
    let row = SpanRow {
        service: named("service.name").unwrap_or_else(|| UNKNOWN_SERVICE.to_owned()).into(),
        process: named("service.instance.id").unwrap_or(host_and_pid).into(),
        host: host.into(),
        scope: some(&scope.name),
        attributes: own.into(),
        ..span
    };
    Some((attributes(resource), row))
}

fn pair(key: &str, value: Official) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Adds to each resource and span what is not drawn by chance, as `bits` say.
fn with_meaning(request: &mut ExportTraceServiceRequest, bits: u8) {
    let add = |pairs: &mut Vec<KeyValue>, bit: u8, key: &str, value: Official| {
        if bits & bit != 0 {
            pairs.push(pair(key, value));
        }
    };
    let named = |name: &str| Official::StringValue(name.to_owned());
    for resource_spans in &mut request.resource_spans {
        let resource = &mut resource_spans.resource.get_or_insert_default().attributes;
        add(resource, 1, "service.name", named("checkout"));
        add(resource, 2, "host.name", named("host-1"));
        add(resource, 4, "service.instance.id", named("instance-1"));
        add(resource, 8, "process.pid", Official::IntValue(4711));
        for span in resource_spans.scope_spans.iter_mut().flat_map(|of| &mut of.spans) {
            add(&mut span.attributes, 16, "thread.id", Official::IntValue(-7));
            add(&mut span.attributes, 32, "thread.name", named("worker"));
            add(&mut span.attributes, 64, SCOPE_VERSION, named("its own"));
        }
    }
}

fn checked(request: &ExportTraceServiceRequest) -> Request {
    Request::checked(request.encode_to_vec().into(), &Limits::default()).unwrap()
}

proptest! {
    /// For any request: rows are what the official decoder reads, in its order, and each span is a row or was rejected.
    #[test]
    fn rows_are_what_the_official_decoder_reads(requests in proptest::collection::vec((some_request(), any::<u8>()), 1..4)) {
        let (mut filler, mut rows) = (Filler::default(), Compare::default());
        for (mut request, bits) in requests {
            with_meaning(&mut request, bits);
            rows.to_come = model(&request);
            let n_expected = rows.to_come.len() as u64;
            let checked = checked(&request);
            let filled = filler.fill(&checked, &mut rows);
            prop_assert!(rows.wrong.is_empty(), "{}", rows.wrong.join("\n"));
            prop_assert!(rows.to_come.is_empty() && !filled.is_full);
            prop_assert_eq!(filled.decoded.n_taken, n_expected);
            prop_assert_eq!(filled.decoded, *checked.decoded());
        }
    }
}

fn some_span(id: u8) -> Span {
    Span { trace_id: vec![id; 16], span_id: vec![id; 8], ..Span::default() }
}

/// Returns a request of one resource with one span.
fn of_service(service: &str) -> ExportTraceServiceRequest {
    let attributes = vec![pair("service.name", Official::StringValue(service.to_owned()))];
    let resource = Some(Resource { attributes, ..Resource::default() });
    let scope_spans = vec![ScopeSpans { spans: vec![some_span(1)], ..ScopeSpans::default() }];
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans { resource, scope_spans, ..ResourceSpans::default() }],
    }
}

#[test]
fn a_batch_has_each_resource_once_whatever_requests_it_came_in() {
    let (mut filler, mut rows) = (Filler::default(), Compare::default());
    for service in ["a", "b", "a", "b", "a"] {
        let twice = [of_service(service).resource_spans, of_service(service).resource_spans].concat();
        filler.fill(&checked(&ExportTraceServiceRequest { resource_spans: twice }), &mut rows);
    }
    assert_eq!(rows.resources.len(), 2);
    filler.forget();
    filler.fill(&checked(&of_service("a")), &mut rows);
    assert_eq!(rows.resources.len(), 3, "an empty batch has none of them");
}

#[test]
fn spans_for_which_there_is_no_room_are_rejected_and_it_is_said() {
    struct NoResource;
    impl Rows for NoResource {
        fn resource(&mut self, _: &[Attribute<'_>]) -> Result<ResourceId, BatchFull> {
            Err(BatchFull { what: "resource" })
        }
        fn span(&mut self, _: &SpanRow<'_>) -> Result<(), BatchFull> {
            unreachable!("it has no resource")
        }
    }
    struct NoSpan;
    impl Rows for NoSpan {
        fn resource(&mut self, _: &[Attribute<'_>]) -> Result<ResourceId, BatchFull> {
            Ok(ResourceId(0))
        }
        fn span(&mut self, _: &SpanRow<'_>) -> Result<(), BatchFull> {
            Err(BatchFull { what: "span" })
        }
    }
    let request = checked(&of_service("a"));
    let no_room = |filled: Filled| filled.is_full && filled.decoded.rejected.of(Reason::NotTaken) == 1;
    assert!(no_room(Filler::default().fill(&request, &mut NoResource)));
    assert!(no_room(Filler::default().fill(&request, &mut NoSpan)));
}

#[test]
fn a_long_version_of_a_scope_is_not_stored_with_each_of_its_spans() {
    let mut request = of_service("a");
    let scope = InstrumentationScope { version: "é".repeat(30_000), ..InstrumentationScope::default() };
    request.resource_spans[0].scope_spans[0].scope = Some(scope);
    request.resource_spans[0].scope_spans[0].spans = vec![some_span(1); 10_000];
    let mut batch = Batch::new(1);
    assert_eq!(Filler::default().fill(&checked(&request), &mut batch).decoded.n_taken, 10_000);
    let per_span = batch.memory_bytes() / 10_000;
    assert!(per_span < 200 + SCOPE_VERSION_MAX_BYTES, "{per_span}");
}
