//! Which endpoints there are, and what they are asked.
//!
//! The table is read by the router, by metrics, and by the test that holds it against the OpenAPI file.

use super::answer::{Answer, Form};
use super::{Keeper, Options, classic, ours, v3};
use crate::archive::{Archive, Budget};
use crate::params::Params;
use crate::problem::Problem;

/// An endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// What metrics call it.
    pub name: &'static str,
    /// Where it is, parts that are captured in braces.
    pub path: &'static str,
    /// In which form it says what went wrong.
    pub(super) form: Form,
    /// Whether anybody may ask it, and asks it below no base path: machines that look whether the server lives.
    pub(super) is_open: bool,
    pub(super) handler: Handler,
}

/// What answers: it may block, and looks at the budget of the question.
pub(super) type Handler = fn(&Asked<'_>) -> Result<Answer, Problem>;

/// What is asked of an endpoint.
pub(super) struct Asked<'a> {
    pub(super) archive: &'a dyn Archive,
    pub(super) keeper: &'a dyn Keeper,
    pub(super) options: &'a Options,
    pub(super) params: Params,
    /// The parts of the path that are captured.
    pub(super) captured: Vec<String>,
    pub(super) now_ns: u64,
    pub(super) budget: Box<dyn Budget + Send>,
}

impl Asked<'_> {
    /// Returns the first part of the path that is captured.
    pub(super) fn captured(&self) -> &str {
        self.captured.first().map_or("", String::as_str)
    }
}

const fn classic(name: &'static str, path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { name, path, form: Form::Classic, is_open: false, handler }
}

const fn v3(name: &'static str, path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { name, path, form: Form::V3, is_open: false, handler }
}

const fn ours(name: &'static str, path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { name, path, form: Form::Ours, is_open: false, handler }
}

const fn open(name: &'static str, path: &'static str, handler: Handler) -> Endpoint {
    Endpoint { name, path, form: Form::Ours, is_open: true, handler }
}

/// Every endpoint.
pub const ENDPOINTS: &[Endpoint] = &[
    classic("jaeger_services", "/api/services", classic::services),
    classic("jaeger_service_operations", "/api/services/{service}/operations", classic::names_of_operations),
    classic("jaeger_operations", "/api/operations", classic::operations),
    classic("jaeger_search", "/api/traces", classic::search),
    classic("jaeger_trace", "/api/traces/{id}", classic::trace),
    classic("jaeger_dependencies", "/api/dependencies", classic::dependencies),
    classic("jaeger_metrics", "/api/metrics/{measure}", classic::metrics),
    v3("jaeger_v3_services", "/api/v3/services", v3::services),
    v3("jaeger_v3_operations", "/api/v3/operations", v3::operations),
    v3("jaeger_v3_search", "/api/v3/traces", v3::search),
    v3("jaeger_v3_trace", "/api/v3/traces/{id}", v3::trace),
    v3("jaeger_v3_summaries", "/api/v3/trace-summaries", v3::summaries),
    ours("search", "/api/v1/search", ours::search),
    ours("trace", "/api/v1/traces/{id}", ours::trace),
    ours("critical_path", "/api/v1/traces/{id}/critical-path", ours::critical_path),
    ours("compare", "/api/v1/compare", ours::compare),
    ours("services", "/api/v1/services", ours::services),
    ours("operations", "/api/v1/operations", ours::operations),
    ours("status", "/api/v1/status", ours::status),
    ours("openapi", "/api/v1/openapi.json", ours::openapi),
    open("healthz", "/healthz", ours::healthz),
    open("ready", "/ready", ours::ready),
];
