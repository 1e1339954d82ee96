//! Examples of every field and operator, on one trace.

use crate::language::{matches, parse};
use crate::rows::{EventRow, Facts, ProcessRow, Source, SpanRow, TraceRows};
use backsight_core::certificate::Verdict;
use backsight_core::ids::{SpanId, TraceId};
use backsight_core::record::{SpanKind, StatusCode};
use backsight_core::trace::{Attribute, AttributeValue, Link};
use backsight_core::units::NanoJoules;

fn attribute(key: &str, value: AttributeValue) -> Attribute {
    Attribute { key: key.into(), value }
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::Str(text.into())
}

/// Returns a trace of a shop: `web` serves `GET /pay` by asking `till`, which fails.
fn trace() -> TraceRows {
    let process = |service: &str, host: &str| ProcessRow {
        service: service.into(),
        host: Some(host.into()),
        instance: Some(format!("{host}:7").into()),
        attributes: vec![attribute("k8s.pod.name", text(&format!("{service}-0")))],
    };
    let root = SpanRow {
        id: SpanId(1),
        operation: "GET /pay".into(),
        kind: Some(SpanKind::Server),
        start_ns: 1_000_000_000,
        duration_ns: 300_000_000,
        attributes: vec![
            attribute("http.route", text("/pay")),
            attribute("http.status_code", AttributeValue::I64(500)),
            attribute("retry", text("3")),
            attribute("share", AttributeValue::F64(0.5)),
            attribute("cached", AttributeValue::Bool(false)),
            attribute("roles", AttributeValue::Array(vec![text("admin"), text("buyer")])),
            attribute("blob", AttributeValue::Bytes(vec![1])),
        ],
        ..SpanRow::default()
    };
    let failed = SpanRow {
        id: SpanId(2),
        parent: SpanId(1),
        operation: "charge".into(),
        kind: Some(SpanKind::Client),
        status: StatusCode::Error,
        start_ns: 1_100_000_000,
        duration_ns: 50_000_000,
        process_idx: 1,
        events: vec![EventRow {
            name: "exception".into(),
            attributes: vec![attribute("message", text("timeout of bank"))],
            ..EventRow::default()
        }],
        links: vec![Link { trace: TraceId::new(0, 9), span: SpanId(1) }],
        energy: Some(NanoJoules(6_000_000)),
        versions: vec![3],
        source: Source::Otlp,
        ..SpanRow::default()
    };
    let facts = Facts {
        triggers: vec!["tail".to_owned(), "manual".to_owned()],
        verdict: Some(Verdict::Partial),
        sampling: Some("rare_path".into()),
        energy: Some(NanoJoules(9_000_000)),
        rarity: Some(0.25),
        ..Facts::default()
    };
    TraceRows {
        id: TraceId::new(0, 7),
        spans: vec![root, failed],
        processes: vec![process("web", "h1"), process("till", "h2")],
        facts,
    }
}

#[track_caller]
fn check(searches: &[&str], expected: bool) {
    let trace = trace();
    for search in searches {
        let query = parse(search, 2_000_000_000).unwrap_or_else(|error| panic!("{search}: {error}"));
        assert_eq!(matches(&query, &trace), expected, "{search}");
    }
}

#[test]
fn fields_of_spans_are_found() {
    check(
        &[
            "service = web operation =~ \"^GET \" duration > 200ms attr.http.route = \"/pay\"",
            "service = till error event ~ timeout energy > 5mJ trigger = tail",
            "kind = client status = error",
            "kind in(producer, server)",
            "host = h1 process = \"h1:7\"",
            "event = exception link = 9 version = 3 source = otlp",
            "version >= 3 version < 4 duration = 50ms",
            "source != otlp",
            "resource.k8s.pod.name = till-0 service = till",
            "resource.service.name = web",
            "tag.k8s.pod.name = web-0 tag.http.route = /pay",
            "error = false",
        ],
        true,
    );
    check(
        &[
            "service = cart",
            "service = web error",
            "duration > 300ms",
            "event ~ Timeout",
            "link = 8",
            "source in(sim, import)",
            "service = web energy exists",
            "resource.http.route exists",
            "kind = producer",
            "host !~ ^h",
        ],
        false,
    );
}

#[test]
fn fields_of_traces_are_found() {
    check(
        &[
            "trace.duration = 300ms trace.start = 1970-01-01T00:00:01Z trace.start < now-1ms",
            "trace.spans = 2 trace.services = 2 trace.errors >= 1",
            "trace.root = \"GET /pay\" trace.root_service = web",
            "trace.trigger = manual trace.trigger ~ tai trigger in(x, tail)",
            "trace.sampling ~ rare trace.completeness = partial trace.energy <= 9mJ",
            "trace.rarity > 0.2 trace.rarity != 1 trace.pending = false",
            "",
        ],
        true,
    );
    check(&["trace.pending", "trace.trigger != tail", "trace.errors > 1", "trace.completeness = none"], false);
}

#[test]
fn a_missing_value_is_neither_one_thing_nor_its_opposite() {
    check(&["attr.retry != 4", "attr.retry !~ x", "service = web attr.blob exists attr.blob != a"], true);
    check(
        &[
            "attr.none != 4",
            "attr.none !~ x",
            "attr.none = 4",
            "attr.none exists",
            "service = till attr.retry != 4",
            "attr.blob = a",
        ],
        false,
    );
}

#[test]
fn attributes_compare_as_numbers_texts_and_lists() {
    check(
        &[
            "attr.http.status_code = 500 attr.http.status_code >= 500 attr.http.status_code =~ ^5",
            "attr.http.status_code = 500.0 attr.http.status_code in(404, 500)",
            "attr.retry = 3 attr.retry = \"3\" attr.retry ~ 3",
            "attr.share = 0.5 attr.share < 1",
            "attr.cached = false attr.cached != true",
            "attr.roles = admin attr.roles = buyer attr.roles != root attr.roles ~ min",
        ],
        true,
    );
    check(
        &[
            "attr.http.status_code = \"500\"",
            "attr.retry > 2",
            "attr.roles != admin",
            "attr.cached = 0",
            "attr.share = 1",
        ],
        false,
    );
}

#[test]
fn terms_of_a_group_hold_on_one_span_and_groups_on_any() {
    check(
        &["{service = web} && {service = till error}", "{service = web} {duration < 1s}", "pay", "bank till", "GET"],
        true,
    );
    check(&["service = web service = till", "{service = web error} && {service = till}", "pay bank", "missing"], false);
}
