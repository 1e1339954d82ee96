//! The parameters of Jaeger's classic API.
//!
//! Called by the endpoints under `/api` but for `/api/v3`. A parameter that is there and empty is one that is not there, as in Jaeger.

use super::{BadRequest, Layout, Wanted, go, parse_trace_id};
use crate::params::Params;
use backsight_core::ids::TraceId;
use std::collections::BTreeMap;

/// How many traces are answered where nobody says it.
pub const LIMIT: u32 = 100;
const HOUR_NS: u64 = 3_600_000_000_000;
/// How far back a search looks where nobody says it.
pub const SEARCH_LOOKBACK_NS: u64 = 48 * HOUR_NS;
/// How far back dependencies are counted where nobody says it.
pub const DEPENDENCIES_LOOKBACK_NS: u64 = 24 * HOUR_NS;
/// How far back series begin where nobody says it.
pub const METRICS_LOOKBACK_NS: u64 = HOUR_NS;
/// How far the points of series lie apart where nobody says it.
pub const METRICS_STEP_NS: u64 = 5_000_000_000;
/// Over what rates are taken where nobody says it.
pub const METRICS_RATE_NS: u64 = 600_000_000_000;

const US_NS: u64 = 1_000;
const MS_NS: u64 = 1_000_000;

/// What `GET /api/traces` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// Which spans.
    pub wanted: Wanted,
    /// From when on, in nanoseconds since 1970.
    pub start_ns: u64,
    /// Until when.
    pub end_ns: u64,
    /// How many traces at most; `None` for as many as the server answers.
    pub limit: Option<u32>,
    /// These traces; where there are any, nothing else is looked at but the times.
    pub traces: Vec<TraceId>,
    /// As they were recorded, without what is corrected.
    pub is_raw: bool,
}

impl Search {
    /// Returns what `params` say.
    ///
    /// # Errors
    /// A parameter that is not of its form, or a longest duration below the shortest.
    pub fn parse(params: &Params, now_ns: u64) -> Result<Self, BadRequest> {
        let start_ns = time(params, "start", US_NS, now_ns.saturating_sub(SEARCH_LOOKBACK_NS))?;
        let end_ns = time(params, "end", US_NS, now_ns)?;
        let tags = tags(params)?;
        let limit = limit(params.get("limit"))?;
        let (min_ns, max_ns) = (duration(params, "minDuration")?, duration(params, "maxDuration")?);
        let trace = |id| parse_trace_id(id).map_err(|error| BadRequest(format!("cannot parse traceID param: {error}")));
        let traces = params.all("traceID").map(trace).collect::<Result<_, _>>()?;
        let is_raw = flag(params, "raw")?;
        if matches!((min_ns, max_ns), (Some(min), Some(max)) if max < min) {
            return Err(BadRequest("'maxDuration' should be greater than 'minDuration'".to_owned()));
        }
        let (service, operation) = (params.get("service").to_owned(), params.get("operation").to_owned());
        let wanted = Wanted { service, operation, tags, min_ns, max_ns };
        Ok(Self { wanted, start_ns, end_ns, limit, traces, is_raw })
    }
}

/// What asks for one trace: `GET /api/traces/{id}`, `POST /api/archive/{id}`, and [`super::v3::one`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct One {
    /// The trace.
    pub trace: TraceId,
    /// When it may have begun at the earliest, in nanoseconds since 1970.
    pub start_ns: Option<u64>,
    /// When it may have ended at the latest.
    pub end_ns: Option<u64>,
    /// As it was recorded, without what is corrected.
    pub is_raw: bool,
}

impl One {
    /// Returns what the path and `params` say.
    ///
    /// # Errors
    /// No id in the path, or a parameter that is not of its form.
    pub fn parse(id: &str, params: &Params) -> Result<Self, BadRequest> {
        let trace = parse_trace_id(id)?;
        let optional = |name| match params.get(name) {
            "" => Ok(None),
            _ => time(params, name, US_NS, 0).map(Some),
        };
        Ok(Self { trace, start_ns: optional("start")?, end_ns: optional("end")?, is_raw: flag(params, "raw")? })
    }
}

/// What `GET /api/operations` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operations {
    /// Of which service.
    pub service: String,
    /// Of which kind; empty for all.
    pub kind: String,
}

impl Operations {
    /// Returns what `params` say.
    ///
    /// # Errors
    /// No service.
    pub fn parse(params: &Params) -> Result<Self, BadRequest> {
        let (service, kind) = (params.get("service").to_owned(), params.get("spanKind").to_owned());
        if service.is_empty() {
            return Err(BadRequest("parameter 'service' is required".to_owned()));
        }
        Ok(Self { service, kind })
    }
}

/// What `GET /api/dependencies` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dependencies {
    /// Until when, in nanoseconds since 1970.
    pub end_ns: u64,
    /// How far back from there.
    pub lookback_ns: u64,
    /// Only what this service calls, and what calls it; empty for all.
    pub service: String,
}

impl Dependencies {
    /// Returns what `params` say.
    ///
    /// # Errors
    /// A parameter that is not of its form.
    pub fn parse(params: &Params, now_ns: u64) -> Result<Self, BadRequest> {
        Ok(Self {
            end_ns: time(params, "endTs", MS_NS, now_ns)?,
            lookback_ns: time(params, "lookback", MS_NS, DEPENDENCIES_LOOKBACK_NS)?,
            service: params.get("service").to_owned(),
        })
    }
}

/// What `GET /api/metrics/..` asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Metrics {
    /// Of which services; at least one.
    pub services: Vec<String>,
    /// Of each operation, rather than of the service.
    pub is_by_operation: bool,
    /// Of spans of these kinds: `unspecified`, `internal`, `server`, `client`, `producer`, `consumer`.
    pub kinds: Vec<&'static str>,
    /// Until when, in nanoseconds since 1970.
    pub end_ns: u64,
    /// How far back from there.
    pub lookback_ns: u64,
    /// How far the points lie apart.
    pub step_ns: u64,
    /// Over what rates are taken.
    pub rate_ns: u64,
}

impl Metrics {
    /// Returns what `params` say.
    ///
    /// # Errors
    /// No service, or a parameter that is not of its form.
    pub fn parse(params: &Params, now_ns: u64) -> Result<Self, BadRequest> {
        let services: Vec<_> = params.all("service").map(str::to_owned).collect();
        if services.is_empty() {
            return Err(unable("service", "please provide at least one service name"));
        }
        Ok(Self {
            services,
            is_by_operation: flag(params, "groupByOperation")?,
            kinds: kinds(params)?,
            end_ns: time(params, "endTs", MS_NS, now_ns)?,
            lookback_ns: time(params, "lookback", MS_NS, METRICS_LOOKBACK_NS)?,
            step_ns: time(params, "step", MS_NS, METRICS_STEP_NS)?,
            rate_ns: time(params, "ratePer", MS_NS, METRICS_RATE_NS)?,
        })
    }
}

/// Returns which quantile `GET /api/metrics/latencies` asks for.
///
/// # Errors
/// None, or no number.
pub fn quantile(params: &Params) -> Result<f64, BadRequest> {
    go::float(params.get("quantile")).map_err(|why| unable("quantile", &why))
}

/// Returns how the answer is to be laid out.
pub fn layout(params: &Params) -> Layout {
    match params.get("prettyPrint") {
        "" | "false" => Layout::Compact,
        _ => Layout::Pretty,
    }
}

fn unable(name: &str, why: &str) -> BadRequest {
    BadRequest(format!("unable to parse param '{name}': {why}"))
}

/// Returns a time, or a span of time, in nanoseconds; negative ones are 0.
fn time(params: &Params, name: &str, unit_ns: u64, otherwise: u64) -> Result<u64, BadRequest> {
    match params.get(name) {
        "" => Ok(otherwise),
        text => {
            let number = go::int(text, "ParseInt").map_err(|why| unable(name, &why))?;
            Ok(u64::try_from(number).unwrap_or(0).saturating_mul(unit_ns))
        }
    }
}

/// Returns a duration; 0 is none.
fn duration(params: &Params, name: &str) -> Result<Option<i64>, BadRequest> {
    match params.get(name) {
        "" => Ok(None),
        text => go::duration(text).map(|ns| Some(ns).filter(|ns| *ns != 0)).map_err(|why| unable(name, &why)),
    }
}

fn flag(params: &Params, name: &str) -> Result<bool, BadRequest> {
    match params.get(name) {
        "" => Ok(false),
        text => go::bool(text).map_err(|why| unable(name, &why)),
    }
}

fn limit(text: &str) -> Result<Option<u32>, BadRequest> {
    if text.is_empty() {
        return Ok(Some(LIMIT));
    }
    let limit = go::int(text, "ParseInt").map_err(BadRequest)?;
    match i32::try_from(limit) {
        Ok(limit) => Ok(u32::try_from(limit).ok().filter(|limit| *limit > 0)),
        Err(_) => Err(BadRequest(format!("strconv.ParseInt: parsing {text:?}: value out of range"))),
    }
}

/// Returns the tags of `tag=key:value` and of `tags={"key":"value"}`; of equal keys the last.
fn tags(params: &Params) -> Result<BTreeMap<String, String>, BadRequest> {
    let mut tags = BTreeMap::new();
    for tag in params.all("tag") {
        let Some((key, value)) = tag.split_once(':') else {
            return Err(BadRequest(format!("malformed 'tag' parameter, expecting key:value, received: {tag}")));
        };
        tags.insert(key.to_owned(), value.to_owned());
    }
    for json in params.all("tags") {
        let read: Result<Option<BTreeMap<String, String>>, _> = serde_json::from_str(json);
        let read =
            read.map_err(|why| BadRequest(format!("malformed 'tags' parameter, cannot unmarshal JSON: {why}")))?;
        tags.extend(read.unwrap_or_default());
    }
    Ok(tags)
}

fn kinds(params: &Params) -> Result<Vec<&'static str>, BadRequest> {
    const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
    let kind = |text: &str| {
        let known = KINDS.into_iter().find(|kind| *kind == text);
        known.ok_or_else(|| unable("spanKind", &format!("unsupported span kind: '{text}'")))
    };
    let kinds: Vec<_> = params.all("spanKind").map(kind).collect::<Result<_, _>>()?;
    Ok(if kinds.is_empty() { vec!["server"] } else { kinds })
}
