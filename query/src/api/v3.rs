//! Jaeger's API v3: what its page asks for now.

use super::answer::Answer;
use super::classic::{found, one_of, operations_of};
use super::endpoint::Asked;
use crate::export::otlp;
use crate::jaeger::v3;
use crate::problem::{Code, Problem};

pub(super) fn services(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let services = asked.archive.services(0..u64::MAX, &*asked.budget)?;
    Ok(Answer::json(&v3::Services { services }))
}

pub(super) fn operations(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let (service, kind) = v3::operations(&asked.params);
    Ok(Answer::json(&v3::Operations::of(operations_of(asked, service, kind)?)))
}

pub(super) fn search(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let search = v3::Search::parse(&asked.params)?;
    let found = found(asked, &search.wanted, search.start_ns..search.end_ns, search.limit)?;
    if found.traces.is_empty() {
        return Err(Problem::new(Code::NotFound, v3::NO_TRACES));
    }
    let result = otlp::Request::of(&found.traces);
    Ok(Answer::json(&v3::Traces { result }).partial(&found.partial))
}

pub(super) fn summaries(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let search = v3::Search::parse(&asked.params)?;
    let found = found(asked, &search.wanted, search.start_ns..search.end_ns, search.limit)?;
    let summaries = found.traces.iter().map(v3::Summary::of).collect();
    Ok(Answer::json(&v3::Summaries { summaries }).partial(&found.partial))
}

pub(super) fn trace(asked: &Asked<'_>) -> Result<Answer, Problem> {
    let one = v3::one(asked.captured(), &asked.params)?;
    let rows = one_of(asked, &one, v3::NO_TRACES)?;
    Ok(Answer::json(&v3::Traces { result: otlp::Request::of(std::slice::from_ref(&rows)) }))
}
