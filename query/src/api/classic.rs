//! Jaeger's classic API: what its page asked for before version 3, and what Grafana's data source asks for.

use super::answer::Answer;
use super::endpoint::Asked;
use crate::archive::{Ask, Found};
use crate::cursor::Sort;
use crate::jaeger::params::{Dependencies, One, Operations, Search, layout};
use crate::jaeger::{TRACE_NOT_FOUND, Wanted, search_of, v1};
use crate::problem::{Code, Problem};
use crate::rows::TraceRows;
use backsight_core::ids::TraceId;
use backsight_core::record::SpanKind;
use serde::Serialize;
use std::collections::BTreeSet;
use std::ops::Range;

/// The most spans of traces that are named one by one in one request.
const NAMED_SPANS_MAX: usize = 1 << 20;

fn answered(asked: &Asked<'_>, answer: &impl Serialize) -> Result<Answer, Problem> {
    Ok(Answer::laid_out(answer, layout(&asked.params)))
}

pub(super) fn services(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let names = asked.archive.services(0..u64::MAX, &*asked.budget)?;
    answered(asked, &v1::Envelope::counted(names))
}

pub(super) fn names_of_operations(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let operations = asked.archive.operations(asked.captured(), 0..u64::MAX, &*asked.budget)?;
    let names: BTreeSet<String> = operations.into_iter().map(|operation| operation.name).collect();
    answered(asked, &v1::Envelope::counted(names.into_iter().collect()))
}

pub(super) fn operations(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let Operations { service, kind } = Operations::parse(&asked.params)?;
    answered(asked, &v1::Envelope::counted(operations_of(asked, &service, &kind)?))
}

/// Returns the operations of a service whose spans are of a kind; an empty kind is any.
pub(super) fn operations_of(asked: &Asked<'_>, service: &str, kind: &str) -> Result<Vec<v1::Operation>, Problem> {
    let operations = asked.archive.operations(service, 0..u64::MAX, &*asked.budget)?;
    let of_kind = |of: &Option<SpanKind>| kind.is_empty() || of.map_or("", SpanKind::name) == kind;
    let operations = operations.into_iter().filter(|operation| of_kind(&operation.kind));
    let named = |operation: crate::archive::Operation| v1::Operation {
        name: operation.name,
        span_kind: operation.kind.map_or("", SpanKind::name).to_owned(),
    };
    Ok(operations.map(named).collect())
}

pub(super) fn search(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let search = Search::parse(&asked.params, asked.now_ns)?;
    if !search.traces.is_empty() {
        return named(asked, &search.traces);
    }
    let found = found(asked, &search.wanted, search.start_ns..search.end_ns, search.limit)?;
    let traces: Vec<_> = found.traces.iter().map(v1::Trace::of).collect();
    Ok(answered(asked, &v1::Envelope::of(traces))?.partial(&found.partial))
}

/// Returns the newest traces that have a span which is wanted.
pub(super) fn found(
    asked: &Asked<'_>,
    wanted: &Wanted,
    during: Range<u64>,
    limit: Option<u32>,
) -> Result<Found, Problem> {
    let limit = limit.map_or(usize::MAX, |limit| limit as usize).min(asked.options.results_max);
    let ask = Ask { query: search_of(wanted)?, during, sort: Sort::Recent, limit, behind: None };
    Ok(asked.archive.search(&ask, &*asked.budget)?)
}

/// Answers traces that are named; when they began is no reason to leave one out.
fn named(asked: &Asked<'_>, ids: &[TraceId]) -> Result<Answer, Problem> {
    if ids.len() > asked.options.results_max {
        let detail = format!("{} traces are named, at most {} are answered", ids.len(), asked.options.results_max);
        return Err(Problem::new(Code::TooLarge, detail));
    }
    let (mut traces, mut missing, mut n_spans) = (Vec::new(), Vec::new(), 0);
    for id in ids {
        if asked.budget.is_spent() {
            return Err(Problem::new(Code::Timeout, "reading the traces took too long: name fewer"));
        }
        match asked.archive.trace(*id)? {
            Some(rows) => {
                n_spans += rows.spans.len();
                traces.push(v1::Trace::of(&rows));
            }
            None => missing.push(*id),
        }
        if n_spans > NAMED_SPANS_MAX {
            return Err(Problem::new(Code::TooLarge, "the traces have too many spans for one answer: name fewer"));
        }
    }
    answered(asked, &v1::Envelope::with_missing(traces, &missing))
}

pub(super) fn trace(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let one = One::parse(asked.captured(), &asked.params)?;
    let rows = one_of(asked, &one, TRACE_NOT_FOUND)?;
    answered(asked, &v1::Envelope::of(vec![v1::Trace::of(&rows)]))
}

/// Returns a trace, or the error that it is not there, in these words.
pub(super) fn one_of(asked: &Asked<'_>, one: &One, missing: &str) -> Result<TraceRows, Problem> {
    asked.archive.trace(one.trace)?.ok_or_else(|| Problem::new(Code::NotFound, missing))
}

pub(super) fn dependencies(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let Dependencies { end_ns, lookback_ns, service } = Dependencies::parse(&asked.params, asked.now_ns)?;
    let calls = asked.archive.calls(end_ns.saturating_sub(lookback_ns)..end_ns, &*asked.budget)?;
    let calls = calls.into_iter().map(|calls| v1::Dependency {
        parent: calls.caller,
        child: calls.callee,
        call_count: calls.n,
    });
    answered(asked, &v1::Envelope::of(v1::dependencies(calls, &service)))
}

pub(super) fn metrics(_: &Asked<'_>) -> Result<Answer, Problem> {
    let detail = "series need aggregates over all traces, which this server does not keep: ask for traces";
    Err(Problem::new(Code::NotImplemented, detail))
}
