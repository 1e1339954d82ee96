//! Our own API, below `/api/v1`. What it answers is promised in `query/openapi.json`.

mod forms;
mod path;
mod trace;

pub(super) use path::{compare, critical_path};
pub(super) use trace::trace;

use super::OPENAPI;
use super::answer::Answer;
use super::endpoint::Asked;
use crate::archive::Ask;
use crate::cursor::{Cursor, Sort};
use crate::language::{self, Query};
use crate::problem::Problem;
use crate::rows::TraceRows;
use crate::time;
use backsight_core::ids::TraceId;
use backsight_core::record::SpanKind;
use forms::{NameAnswer, NamesAnswer, OperationAnswer, OperationsAnswer, PartialAnswer, SearchAnswer, SummaryAnswer};
use std::ops::Range;

/// Traces that a search answers where nobody says how many.
const LIMIT: usize = 50;

pub(super) fn search(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let query = query(asked)?;
    let (during, sort, limit) = (during(asked)?, sort(asked)?, limit(asked)?);
    let signed = format!("{} {query}", sort.name());
    let behind = match asked.params.get("cursor") {
        "" => None,
        text => Some(asked.options.cursor_key.open(text, &signed)?),
    };
    let found = asked.archive.search(&Ask { query, during, sort, limit, behind }, &*asked.budget)?;
    let seal = |next: &Cursor| asked.options.cursor_key.seal(next, &signed);
    let partial =
        |partial: &crate::archive::Partial| PartialAnswer { reason: partial.reason, what: partial.what.clone() };
    let answer = SearchAnswer {
        traces: found.traces.iter().map(SummaryAnswer::of).collect(),
        next: found.next.as_ref().map(seal),
        partial: found.partial.iter().map(partial).collect(),
        scanned: found.n_scanned,
    };
    Ok(Answer::json(&answer))
}

fn query(asked: &Asked<'_>) -> Result<Query, Problem> {
    match asked.params.get("q") {
        text if text.trim().is_empty() => Ok(Query::default()),
        text => Ok(language::parse(text, asked.now_ns)?),
    }
}

/// Returns the times that are asked for; where none is said everything is, what clocks that run ahead have recorded too.
fn during(asked: &Asked<'_>) -> Result<Range<u64>, Problem> {
    let at = |name, otherwise| match asked.params.get(name) {
        "" => Ok(otherwise),
        text => time::parse(text, asked.now_ns).map_err(|error| Problem::from((name, error))),
    };
    let (from, to) = (at("from", 0)?, at("to", u64::MAX)?);
    if from > to {
        return Err(Problem::of_parameter("from", "it is later than `to`"));
    }
    Ok(from..to)
}

fn sort(asked: &Asked<'_>) -> Result<Sort, Problem> {
    match asked.params.get("sort") {
        "" => Ok(Sort::default()),
        name => Sort::from_name(name).ok_or_else(|| {
            let known = Sort::ALL.map(Sort::name).join(", ");
            Problem::of_parameter("sort", format!("expected one of {known}"))
        }),
    }
}

fn limit(asked: &Asked<'_>) -> Result<usize, Problem> {
    let max = asked.options.results_max;
    match asked.params.get("limit") {
        "" => Ok(LIMIT.min(max)),
        text => {
            let limit = text.parse().ok().filter(|limit| (1..=max).contains(limit));
            limit.ok_or_else(|| Problem::of_parameter("limit", format!("expected a whole number from 1 to {max}")))
        }
    }
}

/// Returns a trace that a parameter or the path names.
fn stored(asked: &Asked<'_>, name: &str, id: &str) -> Result<TraceRows, Problem> {
    let trace: TraceId = id.parse().map_err(|error| Problem::of_parameter(name, error))?;
    asked.archive.trace(trace)?.ok_or_else(|| {
        let looked = vec!["collector".to_owned()];
        Problem::no_trace(&trace.to_string(), looked, crate::problem::TraceState::Unknown)
    })
}

pub(super) fn services(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let names = asked.archive.services(during(asked)?, &*asked.budget)?;
    let services = names.into_iter().map(|name| NameAnswer { name }).collect();
    Ok(Answer::json(&NamesAnswer { services }))
}

pub(super) fn operations(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let service = asked.params.get("service");
    if service.is_empty() {
        return Err(Problem::of_parameter("service", "expected the name of a service"));
    }
    let operations = asked.archive.operations(service, during(asked)?, &*asked.budget)?;
    let operation = |operation: crate::archive::Operation| OperationAnswer {
        name: operation.name,
        kind: operation.kind.map(SpanKind::name),
    };
    Ok(Answer::json(&OperationsAnswer { operations: operations.into_iter().map(operation).collect() }))
}

pub(super) fn status(asked: &Asked<'_>) -> Result<Answer, Problem> {
    Ok(Answer::json(&asked.keeper.status()))
}

pub(super) fn openapi(_: &Asked<'_>) -> Result<Answer, Problem> {
    Ok(Answer::json_text(OPENAPI))
}

pub(super) fn healthz(_: &Asked<'_>) -> Result<Answer, Problem> {
    Ok(Answer::text("ok\n".to_owned()))
}

pub(super) fn ready(asked: &Asked<'_>) -> Result<Answer, Problem> {
    Ok(match asked.keeper.unready() {
        None => Answer::text("ready\n".to_owned()),
        Some(why) => Answer::text(format!("{why}\n")).unavailable(),
    })
}
