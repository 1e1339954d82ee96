//! Jaeger's API v3: requests by `query.serviceName` and the like, traces answered as OTLP.
//!
//! Called by the endpoints under `/api/v3`. Names are camelCase; those of earlier versions, in snake_case, are read where the others are
//! not there.

use super::params::One;
use super::{BadRequest, Wanted, go, parse_trace_id};
use crate::params::Params;
use crate::rows::TraceRows;
use backsight_core::ids::TraceId;
use backsight_core::record::StatusCode;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// How many traces are answered where nobody says it.
pub const SEARCH_DEPTH: u32 = 100;
/// What is said where a search or an id finds nothing, with status 404.
pub const NO_TRACES: &str = "No traces found";

/// What `GET /api/v3/traces` and `/api/v3/trace-summaries` ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// Which spans.
    pub wanted: Wanted,
    /// From when on, in nanoseconds since 1970.
    pub start_ns: u64,
    /// Until when; later than the start.
    pub end_ns: u64,
    /// How many traces at most; `None` for as many as the server answers.
    pub limit: Option<u32>,
    /// As they were recorded, without what is corrected.
    pub is_raw: bool,
}

impl Search {
    /// Returns what `params` say.
    ///
    /// # Errors
    /// No times, or a parameter that is not of its form.
    pub fn parse(params: &Params) -> Result<Self, BadRequest> {
        let (service, _) = named(params, ["query.serviceName", "query.service_name"]);
        let (operation, _) = named(params, ["query.operationName", "query.operation_name"]);
        let tags = attributes(params.get("query.attributes"))?;
        if !params.get("query.filter").is_empty() {
            return Err(malformed("query.filter", "filters are not supported by this server"));
        }
        let (start_ns, end_ns) = interval(params)?;
        let limit = search_depth(params)?;
        let min_ns = duration(params, ["query.durationMin", "query.duration_min"])?;
        let max_ns = duration(params, ["query.durationMax", "query.duration_max"])?;
        let is_raw = flag(params, ["query.rawTraces", "query.raw_traces"])?;
        let wanted = Wanted { service: service.to_owned(), operation: operation.to_owned(), tags, min_ns, max_ns };
        Ok(Self { wanted, start_ns, end_ns, limit, is_raw })
    }
}

/// Returns what `GET /api/v3/traces/{trace_id}` asks for.
///
/// # Errors
/// No id in the path, or a parameter that is not of its form.
pub fn one(id: &str, params: &Params) -> Result<One, BadRequest> {
    let trace = parse_trace_id(id).map_err(|why| malformed("trace_id", &why.0))?;
    let time = |names| match named(params, names) {
        ("", _) => Ok(None),
        (text, name) => go::time(text).map(Some).map_err(|why| malformed(name, &why)),
    };
    Ok(One {
        trace,
        start_ns: time(["startTime", "start_time"])?,
        end_ns: time(["endTime", "end_time"])?,
        is_raw: flag(params, ["rawTraces", "raw_traces"])?,
    })
}

/// Returns the service and the kind of spans of which `GET /api/v3/operations` asks the operations; an empty kind is any.
pub fn operations(params: &Params) -> (&str, &str) {
    (params.get("service"), named(params, ["spanKind", "span_kind"]).0)
}

fn malformed(name: &str, why: &str) -> BadRequest {
    BadRequest(format!("malformed parameter {name}: {why}"))
}

/// Returns the first value that is not empty, and the name that errors say: that of the value, or else the last.
fn named<'a, const N: usize>(params: &'a Params, names: [&'static str; N]) -> (&'a str, &'static str) {
    let found = names.into_iter().map(|name| (params.get(name), name)).find(|(value, _)| !value.is_empty());
    found.unwrap_or(("", names.last().copied().unwrap_or_default()))
}

fn attributes(json: &str) -> Result<BTreeMap<String, String>, BadRequest> {
    if json.is_empty() {
        return Ok(BTreeMap::new());
    }
    let read: Result<Option<_>, _> = serde_json::from_str(json);
    read.map(Option::unwrap_or_default).map_err(|why| malformed("query.attributes", &why.to_string()))
}

fn interval(params: &Params) -> Result<(u64, u64), BadRequest> {
    const MIN: &str = "query.startTimeMin";
    const MAX: &str = "query.startTimeMax";
    let (min, min_name) = named(params, [MIN, "query.start_time_min"]);
    let (max, max_name) = named(params, [MAX, "query.start_time_max"]);
    if min.is_empty() || max.is_empty() {
        return Err(BadRequest(format!("{MIN} and {MAX} are required")));
    }
    let min_ns = go::time(min).map_err(|why| malformed(min_name, &why))?;
    let max_ns = go::time(max).map_err(|why| malformed(max_name, &why))?;
    if min_ns >= max_ns {
        return Err(BadRequest(format!("{MIN} must be before {MAX}")));
    }
    Ok((min_ns, max_ns))
}

fn search_depth(params: &Params) -> Result<Option<u32>, BadRequest> {
    match named(params, ["query.searchDepth", "query.search_depth", "query.num_traces"]) {
        ("", _) => Ok(Some(SEARCH_DEPTH)),
        (text, name) => {
            let depth = go::int(text, "Atoi").map_err(|why| malformed(name, &why))?;
            Ok(u32::try_from(depth.max(0)).ok().filter(|depth| *depth > 0))
        }
    }
}

fn duration(params: &Params, names: [&'static str; 2]) -> Result<Option<i64>, BadRequest> {
    match named(params, names) {
        ("", _) => Ok(None),
        (text, name) => {
            go::duration(text).map(|ns| Some(ns).filter(|ns| *ns != 0)).map_err(|why| malformed(name, &why))
        }
    }
}

fn flag(params: &Params, names: [&'static str; 2]) -> Result<bool, BadRequest> {
    match named(params, names) {
        ("", _) => Ok(false),
        (text, name) => go::bool(text).map_err(|why| malformed(name, &why)),
    }
}

/// Traces: an OTLP request, as [`backsight_proto::otlp::ExportRequest`] or as stored.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Traces<T> {
    /// The traces.
    pub result: T,
}

/// The names of all services.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Services {
    /// They.
    pub services: Vec<String>,
}

/// The operations of a service.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Operations {
    operations: Vec<super::v1::Operation>,
}

impl Operations {
    /// Returns `operations`; those of which nobody said the kind are internal.
    pub fn of(mut operations: Vec<super::v1::Operation>) -> Self {
        for operation in operations.iter_mut().filter(|operation| operation.span_kind.is_empty()) {
            "internal".clone_into(&mut operation.span_kind);
        }
        Self { operations }
    }
}

/// What a search found, a line each.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Summaries {
    /// They.
    pub summaries: Vec<Summary>,
}

/// A trace in a line.
///
/// # Shape
/// 64-bit numbers are text. What is 0 or empty is left out, as protobuf's JSON has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Its id, always 32 digits.
    #[serde(serialize_with = "text")]
    pub trace_id: TraceId,
    /// The service of its root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub root_service_name: String,
    /// The operation of its root.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub root_operation_name: String,
    /// Its first start.
    #[serde(serialize_with = "text", skip_serializing_if = "is_zero")]
    pub min_start_time_unix_nano: u64,
    /// Its last end.
    #[serde(serialize_with = "text", skip_serializing_if = "is_zero")]
    pub max_end_time_unix_nano: u64,
    /// Its spans.
    #[serde(skip_serializing_if = "is_zero")]
    pub span_count: u32,
    /// Those of them that failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub error_span_count: u32,
    /// Its services, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceSummary>,
}

/// What a service did in a trace.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceSummary {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its spans.
    #[serde(skip_serializing_if = "is_zero")]
    pub span_count: u32,
    /// Those of them that failed.
    #[serde(skip_serializing_if = "is_zero")]
    pub error_span_count: u32,
}

fn text<T: std::fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn is_zero<N: Default + PartialEq>(number: &N) -> bool {
    *number == N::default()
}

impl Summary {
    /// Returns what `rows` come to.
    pub fn of(rows: &TraceRows) -> Self {
        let mut services: BTreeMap<&str, ServiceSummary> = BTreeMap::new();
        for span in &rows.spans {
            let name = rows.service(span);
            let service =
                services.entry(name).or_insert_with(|| ServiceSummary { name: name.to_owned(), ..Default::default() });
            service.span_count = service.span_count.saturating_add(1);
            service.error_span_count += u32::from(span.status == StatusCode::Error);
        }
        let (start, end) = rows.interval_ns().unwrap_or_default();
        let root = rows.root();
        let services: Vec<_> = services.into_values().collect();
        let sum = |of: fn(&ServiceSummary) -> u32| services.iter().map(of).fold(0, u32::saturating_add);
        Self {
            trace_id: rows.id,
            root_service_name: root.map(|root| rows.service(root).to_owned()).unwrap_or_default(),
            root_operation_name: root.map(|root| root.operation.to_string()).unwrap_or_default(),
            min_start_time_unix_nano: start,
            max_end_time_unix_nano: end,
            span_count: sum(|service| service.span_count),
            error_span_count: sum(|service| service.error_span_count),
            services,
        }
    }
}

/// The answer that there is none.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ErrorAnswer {
    error: ErrorDetails,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ErrorDetails {
    http_code: u16,
    message: String,
}

impl ErrorAnswer {
    /// Returns the error with status `http_code`.
    pub fn new(http_code: u16, message: impl Into<String>) -> Self {
        Self { error: ErrorDetails { http_code, message: message.into() } }
    }
}
