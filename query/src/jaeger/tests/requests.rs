//! Claims about requests of both generations.

use crate::jaeger::params::{Dependencies, Metrics, One, Operations, Search, layout, quantile};
use crate::jaeger::{Layout, Wanted, parse_trace_id, search_of, v3};
use crate::language::parse;
use crate::params::{Params, encoded};
use backsight_core::ids::TraceId;
use proptest::prelude::{prop, prop_assert, proptest};

const NOW_NS: u64 = 1_700_000_000_000_000_000;
const HOUR_NS: u64 = 3_600_000_000_000;

fn params(query: &str) -> Params {
    Params::parse(query).unwrap()
}

fn search(query: &str) -> Result<Search, String> {
    Search::parse(&params(query), NOW_NS).map_err(|error| error.to_string())
}

/// Returns the search that a request of either generation comes to, as text.
fn said(wanted: &Wanted) -> String {
    let query = search_of(wanted).unwrap();
    let text = query.to_string();
    assert_eq!(parse(&text, 0), Ok(query), "{text}");
    text
}

#[test]
fn a_search_without_parameters_has_jaegers_defaults() {
    let found = search("").unwrap();
    assert_eq!((found.start_ns, found.end_ns), (NOW_NS - 48 * HOUR_NS, NOW_NS));
    assert_eq!((found.limit, found.is_raw, found.traces.len()), (Some(100), false, 0));
    assert_eq!(said(&found.wanted), "");
}

#[test]
fn every_parameter_of_a_search_is_read() {
    let found = search(
        "service=web&operation=GET+%2Fpay&start=1600000000000000&end=1600000001000000&limit=20&minDuration=1.5ms&maxDuration=2s\
         &tag=http.status_code:500&tag=url:http://x&tags=%7B%22error%22:%22true%22,%22span.kind%22:%22client%22%7D\
         &raw=true&traceID=7&traceID=00000000000000010000000000000002&lookback=1h",
    );
    let found = found.unwrap();
    assert_eq!((found.start_ns, found.end_ns), (1_600_000_000_000_000_000, 1_600_000_001_000_000_000));
    assert_eq!((found.limit, found.is_raw), (Some(20), true));
    assert_eq!(found.traces, [TraceId::new(0, 7), TraceId::new(1, 2)]);
    let expected = "service = web operation = \"GET /pay\" error = true tag.http.status_code = 500 kind = client \
        tag.url = \"http://x\" duration >= 1500us duration <= 2s";
    assert_eq!(said(&found.wanted), expected);
}

#[test]
fn tags_that_are_no_attributes_are_fields() {
    let tags = |pairs: &[(&str, &str)]| Wanted {
        tags: pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        ..Wanted::default()
    };
    assert_eq!(said(&tags(&[("error", "false"), ("otel.status_code", "ERROR")])), "error = false status = error");
    assert_eq!(
        said(&tags(&[("error", "yes"), ("span.kind", "queen")])),
        "tag.error = \"yes\" tag.span.kind = \"queen\""
    );
    assert_eq!(said(&tags(&[("a key", "007"), ("", "0.5")])), "tag.\"\" = 0.5 tag.\"a key\" = \"007\"");
    let many: Vec<_> = (0..65).map(|n| n.to_string()).collect();
    let many: Vec<_> = many.iter().map(|n| (n.as_str(), "x")).collect();
    assert_eq!(search_of(&tags(&many)).unwrap_err().to_string(), "a search has at most 64 terms, this one has 65");
}

#[test]
fn bad_searches_are_refused_in_jaegers_words() {
    let cases = [
        ("start=x", "unable to parse param 'start': strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("end=1.5", "unable to parse param 'end': strconv.ParseInt: parsing \"1.5\": invalid syntax"),
        ("limit=many", "strconv.ParseInt: parsing \"many\": invalid syntax"),
        ("limit=3000000000", "strconv.ParseInt: parsing \"3000000000\": value out of range"),
        ("minDuration=5", "unable to parse param 'minDuration': time: missing unit in duration \"5\""),
        ("maxDuration=s", "unable to parse param 'maxDuration': time: invalid duration \"s\""),
        ("minDuration=2s&maxDuration=1s", "'maxDuration' should be greater than 'minDuration'"),
        ("tag=k", "malformed 'tag' parameter, expecting key:value, received: k"),
        ("raw=maybe", "unable to parse param 'raw': strconv.ParseBool: parsing \"maybe\": invalid syntax"),
        ("traceID=xyz!", "cannot parse traceID param: strconv.ParseUint: parsing \"xyz!\": invalid syntax"),
    ];
    for (query, message) in cases {
        assert_eq!(search(query), Err(message.to_owned()), "{query}");
    }
    let tags = search("tags={").unwrap_err();
    assert!(tags.starts_with("malformed 'tags' parameter, cannot unmarshal JSON: "), "{tags}");
    assert!(search("tags={\"n\":5}").is_err());
    assert_eq!(search("limit=0").unwrap().limit, None);
    assert_eq!(search("limit=-5").unwrap().limit, None);
}

#[test]
fn ids_are_read_as_hex_or_base64() {
    let id = TraceId::new(0x0011_2233_4455_6677, 0xfbff_8899_aabb_ccdd);
    let texts = [
        "00112233445566 77fbff8899aabbccdd",
        "ABEiM0RVZnf7/4iZqrvM3Q==",
        "ABEiM0RVZnf7/4iZqrvM3Q",
        "ABEiM0RVZnf7_4iZqrvM3Q",
    ];
    for text in texts {
        assert_eq!(parse_trace_id(&text.replace(' ', "")), Ok(id), "{text}");
    }
    assert_eq!(parse_trace_id("AB"), Ok(TraceId::new(0, 0xab)));
    assert_eq!(parse_trace_id("0"), Ok(TraceId::NONE));
    let long = "0".repeat(33);
    let message = format!("TraceID cannot be longer than 32 hex characters: {long}");
    assert_eq!(parse_trace_id(&long).unwrap_err().to_string(), message);
    for text in ["", "+7+-", "xyz!", "7 ", "abcdefgh0123456789abcdefg"] {
        assert!(parse_trace_id(text).is_err(), "{text}");
    }
}

#[test]
fn one_trace_is_asked_for_with_times_and_raw() {
    let one = One::parse("7", &params("start=1&end=2&raw=1")).unwrap();
    assert_eq!(one, One { trace: TraceId::new(0, 7), start_ns: Some(1000), end_ns: Some(2000), is_raw: true });
    assert_eq!(One::parse("7", &Params::default()).unwrap().start_ns, None);
    assert!(One::parse("7", &params("end=x")).is_err());
    assert_eq!(
        (layout(&params("prettyPrint=true")), layout(&params("prettyPrint=false"))),
        (Layout::Pretty, Layout::Compact)
    );
}

#[test]
fn operations_dependencies_and_metrics_are_asked_for() {
    let operations = Operations::parse(&params("service=web&spanKind=server")).unwrap();
    assert_eq!((operations.service.as_str(), operations.kind.as_str()), ("web", "server"));
    assert_eq!(Operations::parse(&Params::default()).unwrap_err().to_string(), "parameter 'service' is required");
    let calls = Dependencies::parse(&params("endTs=1600000000000"), NOW_NS).unwrap();
    assert_eq!((calls.end_ns, calls.lookback_ns), (1_600_000_000_000_000_000, 24 * HOUR_NS));
    let metrics = Metrics::parse(&params("service=a&service=b&groupByOperation=true&step=1000"), NOW_NS).unwrap();
    assert_eq!((metrics.services.len(), metrics.is_by_operation, metrics.kinds.as_slice()), (2, true, &["server"][..]));
    assert_eq!(
        (metrics.end_ns, metrics.lookback_ns, metrics.step_ns, metrics.rate_ns),
        (NOW_NS, HOUR_NS, 1_000_000_000, 600_000_000_000)
    );
    let refused = |query| Metrics::parse(&params(query), NOW_NS).unwrap_err().to_string();
    assert_eq!(refused(""), "unable to parse param 'service': please provide at least one service name");
    assert_eq!(refused("service=a&spanKind=x"), "unable to parse param 'spanKind': unsupported span kind: 'x'");
    assert_eq!(quantile(&params("quantile=0.95")), Ok(0.95));
    assert_eq!(
        quantile(&Params::default()).unwrap_err().to_string(),
        "unable to parse param 'quantile': strconv.ParseFloat: parsing \"\": invalid syntax"
    );
}

const TIMES: &str = "query.startTimeMin=2026-01-31T12:00:00Z&query.startTimeMax=2026-01-31T13:00:00.5Z";

#[test]
fn v3_is_read_in_both_spellings() {
    let camel = format!(
        "{TIMES}&query.serviceName=web&query.operationName=GET&query.durationMin=1s&query.durationMax=1m0s&query.searchDepth=5\
         &query.attributes={{\"a\":\"b\"}}&query.rawTraces=true"
    );
    let snake = "query.start_time_min=2026-01-31T12:00:00Z&query.start_time_max=2026-01-31T13:00:00.5Z&query.service_name=web\
        &query.operation_name=GET&query.duration_min=1s&query.duration_max=60s&query.num_traces=5&query.attributes={\"a\":\"b\"}\
        &query.raw_traces=true";
    let read = v3::Search::parse(&params(&camel)).unwrap();
    assert_eq!(v3::Search::parse(&params(snake)), Ok(read.clone()));
    assert_eq!((read.start_ns, read.end_ns), (1_769_860_800_000_000_000, 1_769_864_400_500_000_000));
    assert_eq!((read.limit, read.is_raw), (Some(5), true));
    assert_eq!(said(&read.wanted), "service = web operation = GET tag.a = \"b\" duration >= 1s duration <= 1m");
    let one = v3::one("7", &params("startTime=2026-01-31T12:00:00Z&raw_traces=t")).unwrap();
    assert_eq!((one.start_ns, one.end_ns, one.is_raw), (Some(1_769_860_800_000_000_000), None, true));
    assert_eq!(v3::operations(&params("service=web&span_kind=client")), ("web", "client"));
}

#[test]
fn v3_refuses_in_jaegers_words() {
    let layout = "\"2006-01-02T15:04:05.999999999Z07:00\"";
    let cases = [
        (String::new(), "query.startTimeMin and query.startTimeMax are required".to_owned()),
        (
            "query.startTimeMin=NaN&query.start_time_max=x".to_owned(),
            format!(
                "malformed parameter query.startTimeMin: parsing time \"NaN\" as {layout}: cannot parse \"NaN\" as \"2006\""
            ),
        ),
        (
            "query.startTimeMin=2026-01-31T12:00:00Z&query.startTimeMax=2026-01-31T12:00:00Z".to_owned(),
            "query.startTimeMin must be before query.startTimeMax".to_owned(),
        ),
        (
            format!("{TIMES}&query.num_traces=NaN"),
            "malformed parameter query.num_traces: strconv.Atoi: parsing \"NaN\": invalid syntax".to_owned(),
        ),
        (
            format!("{TIMES}&query.duration_min=NaN"),
            "malformed parameter query.duration_min: time: invalid duration \"NaN\"".to_owned(),
        ),
        (
            format!("{TIMES}&query.rawTraces=foobar"),
            "malformed parameter query.rawTraces: strconv.ParseBool: parsing \"foobar\": invalid syntax".to_owned(),
        ),
        (
            format!("{TIMES}&query.filter={{}}"),
            "malformed parameter query.filter: filters are not supported by this server".to_owned(),
        ),
    ];
    for (query, message) in cases {
        assert_eq!(v3::Search::parse(&params(&query)).unwrap_err().to_string(), message, "{query}");
    }
    let error = v3::one("xyz!", &Params::default()).unwrap_err().to_string();
    assert_eq!(error, "malformed parameter trace_id: strconv.ParseUint: parsing \"xyz!\": invalid syntax");
}

proptest! {
    /// For every list of parameters: each request is read or refused, and what is read comes to a search that is read as the same.
    #[test]
    fn any_parameters_are_read_or_refused(
        pairs in prop::collection::vec(("(service|start|limit|min|max|Duration|tags?|raw|traceID|query\\.|endTs|spanKind|quantile)+", ".{0,12}|[0-9smh.:]{0,9}"), 0..6),
        now_ns: u64,
    ) {
        let query: Vec<_> = pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        let params = Params::parse(&query.join("&")).unwrap();
        if let Ok(search) = Search::parse(&params, now_ns) {
            let query = search_of(&search.wanted).unwrap();
            prop_assert!(parse(&query.to_string(), 0) == Ok(query));
        }
        let _ = (v3::Search::parse(&params), v3::one(params.get("traceID"), &params));
        let _ = (One::parse(params.get("traceID"), &params), Operations::parse(&params), quantile(&params));
        let _ = (Dependencies::parse(&params, now_ns), Metrics::parse(&params, now_ns), layout(&params));
    }
}
