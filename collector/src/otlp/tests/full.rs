//! What there is no room for: exporters are told when to come again, and nothing is lost that was taken.

use super::{
    Collecting, MANY, PROTOBUF, Refused, Waits, call_with, config, framed, good, post, request, span, start, start_any,
};
use crate::config::IntakeConfig;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test]
async fn what_the_store_refuses_is_told_with_its_reason() {
    let later = Refused::Full { retry_after: Duration::from_millis(2500) };
    let cases = [
        (later, 429, "8", Some("retry-after: 3")),
        (Refused::Closed, 503, "14", Some("retry-after: 1")),
        (Refused::TooLarge { max_bytes: 7 }, 413, "3", None),
    ];
    for (refused, status, code, header) in cases {
        let spans = Collecting::new(Some(refused), MANY);
        let (listeners, _) = start_any(&spans).await;
        let answer = post(listeners.http(), PROTOBUF, &good()).await;
        assert_eq!(answer.status, status, "{refused}");
        assert_eq!(answer.head.lines().find(|line| line.starts_with("retry-after")), header, "{refused}");
        let (found, _, headers) = call_with(listeners.grpc(), None, framed(0, &good())).await;
        assert_eq!(found, code, "{refused}");
        let details = headers["grpc-status-details-bin"].to_str().unwrap();
        assert_eq!(details.len() > 100, header.is_some(), "only RetryInfo makes them so long: {refused}: {details}");
    }
}

/// However many requests wait for the store, they take no more memory than they may together; whoever comes then is refused, and once they are
/// through there is room again.
#[tokio::test]
async fn requests_that_wait_take_no_more_memory_than_they_may() {
    let spans = Collecting::new(None, 0);
    let long = Span { name: "x".repeat(3000), ..span(1) };
    let body = request(vec![long]).encode_to_vec();
    let small = IntakeConfig { body_max: 4000, decompressed_max: 4000, in_flight_bytes: 0, ..config() };
    let (listeners, counts) = start(&small, Waits::default(), &spans).await;
    let mut waiting = Vec::new();
    let refused = loop {
        let (address, body) = (listeners.http(), body.clone());
        let mut posted = tokio::spawn(async move { post(address, PROTOBUF, &body).await });
        tokio::select! {
            answer = &mut posted => break answer.unwrap(),
            entered = spans.entered.acquire() => entered.unwrap().forget(),
        }
        waiting.push(posted);
        assert!(counts.in_flight_bytes().load(Relaxed) <= small.room_bytes());
        assert!(waiting.len() < 10, "the memory of at most five is there");
    };
    assert_eq!(refused.status, 429);
    assert!(counts.refused_requests().any(|count| count == ("full", 1)));
    spans.goes_on.add_permits(MANY);
    let n_waiting = waiting.len();
    for posted in waiting {
        assert_eq!(posted.await.unwrap().status, 200);
    }
    assert_eq!(post(listeners.http(), PROTOBUF, &body).await.status, 200);
    assert_eq!((spans.n_spans(), counts.in_flight_bytes().load(Relaxed)), (n_waiting + 1, 0));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_find_a_place_later() {
    let spans = Collecting::new(None, MANY);
    let (listeners, counts) = start(&IntakeConfig { connections_max: 2, ..config() }, Waits::default(), &spans).await;
    let connect = async || TcpStream::connect(listeners.http()).await.unwrap();
    let (mut first, mut second) = (connect().await, connect().await);
    // Both are known once they were answered.
    let probe = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for stream in [&mut first, &mut second] {
        stream.write_all(probe).await.unwrap();
        stream.read_exact(&mut [0; 12]).await.unwrap();
    }
    assert_eq!(counts.n_connections(), 2);
    let mut third = connect().await;
    assert_eq!(third.read(&mut [0; 1]).await.unwrap_or_default(), 0, "it is closed without a word");
    assert!(counts.refused_connections().any(|count| count == ("too_many", 1)));
    drop(first);
    while post(listeners.http(), PROTOBUF, &good()).await.status != 200 {
        tokio::task::yield_now().await; // the end of the first is on its way
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_waited_for_for_ever() {
    let spans = Collecting::new(None, 0);
    let waits = Waits { store: Duration::from_millis(100), ..Waits::default() };
    let (listeners, counts) = start(&config(), waits, &spans).await;
    assert_eq!(post(listeners.http(), PROTOBUF, &good()).await.status, 503);
    assert_eq!(counts.in_flight_bytes().load(Relaxed), 0);
}

#[tokio::test]
async fn listeners_that_stop_answer_what_came_and_close() {
    let spans = Collecting::new(None, 0);
    let (listeners, _) = start_any(&spans).await;
    let (http, grpc) = (listeners.http(), listeners.grpc());
    let posted = tokio::spawn(async move { post(http, PROTOBUF, &good()).await });
    spans.entered.acquire().await.unwrap().forget();
    let stopped = tokio::spawn(listeners.stop(Duration::from_secs(10)));
    let closed = async |address| {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    closed(grpc).await;
    spans.goes_on.add_permits(1);
    assert_eq!(posted.await.unwrap().status, 200);
    stopped.await.unwrap();
    closed(http).await;
}
