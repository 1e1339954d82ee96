//! Claims about the query service: it answers what was asked, and tells those who ask wrongly what to do.

use super::{QueryService, StatusSource};
use crate::library::tests::traces::{TestReport, TestSpan, one_span, trace};
use crate::library::tests::{AGENT, open};
use crate::library::{Library, Options, QUIET_NS, TAIL_MAX};
use crate::streams::Refused;
use backsight_proto::v1::query_server::Query;
use backsight_proto::{v1, wire};
use std::sync::Arc;
use tokio_stream::StreamExt;
use tonic::{Code, Request};

struct Source;

impl StatusSource for Source {
    fn uptime_ms(&self) -> u64 {
        77
    }

    fn agents(&self) -> Vec<v1::AgentStatus> {
        vec![v1::AgentStatus { agent: AGENT.0, host: "here".to_owned(), ..v1::AgentStatus::default() }]
    }

    fn drops(&self) -> Vec<(String, u64)> {
        vec![("malformed".to_owned(), 2)]
    }
}

const SPAN: TestSpan = TestSpan { id: 1, parent: 0, name: "GET /", start: 1000, took: 500, is_error: false };

fn service(library: &Library) -> QueryService {
    QueryService::new(library.clone(), Arc::new(Source), Refused::default())
}

async fn add(library: &Library, reports: &[TestReport]) {
    library.add(AGENT, reports.iter().map(TestReport::message).collect()).await.unwrap();
}

#[tokio::test]
async fn get_returns_the_trace_or_says_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    add(&library, &[one_span(1, "cart", SPAN)]).await;
    let service = service(&library);
    let get = |trace: Vec<u8>| service.get(Request::new(v1::GetRequest { trace }));
    let reply = get(wire::trace_bytes(trace(1))).await.unwrap().into_inner();
    assert_eq!((reply.hosts.len(), reply.hosts[0].agent), (1, AGENT.0));
    assert!(reply.certificate.is_some());
    let unknown = get(wire::trace_bytes(trace(2))).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains(&trace(2).to_string()), "{}", unknown.message());
    assert_eq!(get(vec![1; 3]).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn search_keeps_its_limits() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let reports: Vec<_> = (1..=25).map(|lo| one_span(lo, "cart", TestSpan { start: 1000 * lo, ..SPAN })).collect();
    add(&library, &reports).await;
    library.settle(0);
    library.settle(QUIET_NS);
    let service = service(&library);
    let search = |limit, filter| service.search(Request::new(v1::SearchRequest { filter, limit }));
    let found = search(0, None).await.unwrap().into_inner();
    assert_eq!((found.traces.len(), found.n_more), (20, 5));
    assert_eq!(found.traces[0].trace, wire::trace_bytes(trace(25)));
    assert_eq!(search(1000, None).await.unwrap().into_inner().traces.len(), 25);
    assert_eq!(search(1001, None).await.unwrap_err().message(), "search.limit is 1001, allowed is 1 to 1000");
    let backwards = v1::Filter { from_ns: 2, to_ns: 1, ..v1::Filter::default() };
    assert_eq!(search(1, Some(backwards)).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_tail_tells_what_matches_and_goes_on_after_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let service = service(&library);
    let filter = v1::Filter { service: "till".to_owned(), ..v1::Filter::default() };
    let tail = service.tail(Request::new(v1::TailRequest { filter: Some(filter) })).await.unwrap();
    let mut tail = tail.into_inner();
    let n_traces = TAIL_MAX as u64 + 5;
    let mut reports: Vec<_> = (1..=n_traces).map(|lo| one_span(lo, "cart", SPAN)).collect();
    reports.push(one_span(n_traces + 1, "till", SPAN));
    add(&library, &reports).await;
    library.settle(0);
    while library.settle(QUIET_NS).n > 0 {}
    let told = tail.next().await.unwrap().unwrap();
    assert_eq!(told.trace, wire::trace_bytes(trace(n_traces + 1)));
    let status = service.status(Request::new(v1::StatusRequest {})).await.unwrap().into_inner();
    assert_eq!((status.drops["tail_lagged"], status.drops["malformed"], status.uptime_ms), (6, 2, 77));
    assert_eq!((status.n_traces, status.agents.len()), (n_traces + 1, 1));
    assert!(status.stored_bytes > 1000);
}

#[tokio::test]
async fn questions_that_have_no_answer_are_counted_by_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let service = service(&open(folder.path(), Options::default()));
    let backwards = || Some(v1::Filter { from_ns: 2, to_ns: 1, ..v1::Filter::default() });
    service.get(Request::new(v1::GetRequest { trace: vec![1; 3] })).await.unwrap_err();
    service.get(Request::new(v1::GetRequest { trace: wire::trace_bytes(trace(1)) })).await.unwrap_err();
    service.search(Request::new(v1::SearchRequest { filter: None, limit: 1001 })).await.unwrap_err();
    service.search(Request::new(v1::SearchRequest { filter: backwards(), limit: 1 })).await.unwrap_err();
    assert!(service.tail(Request::new(v1::TailRequest { filter: backwards() })).await.is_err());
    let drops = service.status(Request::new(v1::StatusRequest {})).await.unwrap().into_inner().drops;
    let counted = ["bad_trace_id", "bad_limit", "bad_filter"].map(|what| drops.get(&format!("refused_queries_{what}")));
    assert_eq!(counted, [Some(&1), Some(&1), Some(&2)], "a trace that is not stored is no bad question: {drops:?}");
}

#[tokio::test]
async fn more_followers_than_allowed_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let library = open(folder.path(), Options::default());
    let service = service(&library);
    let mut tails = Vec::new();
    for _ in 0..super::FOLLOWERS_MAX {
        tails.push(service.tail(Request::new(v1::TailRequest::default())).await.unwrap());
    }
    let refused = service.tail(Request::new(v1::TailRequest::default())).await.err().unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let status = service.status(Request::new(v1::StatusRequest {})).await.unwrap().into_inner();
    assert_eq!(status.drops.get("refused_streams_too_many_followers"), Some(&1));
    drop(tails);
    assert!(service.tail(Request::new(v1::TailRequest::default())).await.is_ok());
}
