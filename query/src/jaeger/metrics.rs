//! Series of the service's metrics, as Jaeger's monitor tab reads them.
//!
//! Written by the endpoints under `/api/metrics`; the answer stands in no envelope.
//!
//! # Source
//! Jaeger's `openmetrics.proto` as JSON: what is empty is left out, 64-bit times are RFC 3339, and a number that is none is text.

use crate::time::Rfc3339;
use serde::{Serialize, Serializer};

/// What is measured.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Measure {
    /// This quantile of how long spans took, in milliseconds.
    Latency(f64),
    /// Spans a second.
    Calls,
    /// The share of them that failed, from 0 to 1.
    Errors,
}

/// Of what it is measured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupBy {
    /// Each service.
    Service,
    /// Each operation of each service.
    Operation,
}

/// One series.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Its service.
    pub service: String,
    /// Its operation, where it is of one.
    pub operation: Option<String>,
    /// Times in nanoseconds since 1970, ascending, and what was measured there; NaN where there was nothing.
    pub points: Vec<(u64, f64)>,
}

/// All series of one measure.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MetricFamily {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    help: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<Metric>,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    labels: Vec<Label>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metric_points: Vec<MetricPoint>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
struct Label {
    name: &'static str,
    value: String,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct MetricPoint {
    gauge_value: Gauge,
    timestamp: String,
}

#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Gauge {
    #[serde(serialize_with = "number")]
    double_value: f64,
}

fn number<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    match *number {
        number if number.is_nan() => serializer.serialize_str("NaN"),
        f64::INFINITY => serializer.serialize_str("Infinity"),
        f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
        number => serializer.serialize_f64(number),
    }
}

impl MetricFamily {
    /// Returns `series` of `measure` under the names that Jaeger gives them.
    pub fn of(measure: Measure, by: GroupBy, series: Vec<Series>) -> Self {
        let (of_service, of_operation, what) = match measure {
            Measure::Latency(quantile) => {
                ("service_latencies", "service_operation_latencies", format!("{quantile:.2}th quantile latency"))
            }
            Measure::Calls => ("service_call_rate", "service_operation_call_rate", "calls/sec".to_owned()),
            Measure::Errors => (
                "service_error_rate",
                "service_operation_error_rate",
                "error rate, computed as a fraction of errors/sec over calls/sec".to_owned(),
            ),
        };
        let (name, help) = match by {
            GroupBy::Service => (of_service, format!("{what}, grouped by service")),
            GroupBy::Operation => (of_operation, format!("{what}, grouped by service & operation")),
        };
        Self { name, kind: "GAUGE", help, metrics: series.into_iter().map(metric).collect() }
    }
}

fn metric(series: Series) -> Metric {
    let operation = series.operation.map(|value| Label { name: "operation", value });
    let service = Label { name: "service_name", value: series.service };
    let point = |(at_ns, value): (u64, f64)| MetricPoint {
        gauge_value: Gauge { double_value: value },
        timestamp: Rfc3339(at_ns).to_string(),
    };
    Metric {
        labels: operation.into_iter().chain([service]).collect(),
        metric_points: series.points.into_iter().map(point).collect(),
    }
}
