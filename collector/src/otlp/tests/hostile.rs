//! What nobody should send, or not so slowly: refused with its reason, and never large.

use super::{
    Collecting, JSON, MANY, PROTOBUF, Waits, call, call_with, channel, config, framed, good, gzip, head, post, say,
    start, start_any,
};
use crate::config::IntakeConfig;
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use std::convert::Infallible;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Short enough for a test, and long enough for a good request beside it.
const SHORT: Duration = Duration::from_secs(1);

/// Returns a body that begins so, and never ends.
fn unending(begin: Vec<u8>) -> Body {
    let begin = tokio_stream::once(Ok::<_, Infallible>(Bytes::from(begin)));
    Body::from_stream(begin.chain(tokio_stream::pending()))
}

#[tokio::test]
async fn requests_of_http_that_are_none_are_refused_by_reason() {
    let spans = Collecting::new(None, MANY);
    let (listeners, counts) = start_any(&spans).await;
    let http = listeners.http();
    let refused = |status: u16, code: i32, words: &'static str| (status, code, words);
    let cases = [
        ("Content-Type: text/plain\r\n".to_owned(), good(), refused(415, 3, "content type")),
        (String::new(), good(), refused(415, 3, "content type")),
        (format!("{JSON}Content-Encoding: br\r\n"), good(), refused(415, 12, "identity, gzip and zstd")),
        (JSON.to_owned(), good(), refused(400, 3, "not OTLP/JSON")),
        (JSON.to_owned(), b"[1".to_vec(), refused(400, 3, "not OTLP/JSON")),
        (format!("{JSON}Content-Encoding: gzip\r\n"), good(), refused(400, 3, "decompressed")),
        (format!("{JSON}Content-Encoding: gzip\r\n"), gzip(b"{}")[..12].to_vec(), refused(400, 3, "decompressed")),
    ];
    for (headers, body, (status, code, words)) in cases {
        let answer = post(http, &headers, &body).await;
        let said = String::from_utf8(answer.body).unwrap();
        assert_eq!(answer.status, status, "{headers} {said}");
        assert!(said.contains(&format!("\"code\":{code},")) && said.contains(words), "{headers} {said}");
    }
    let answer = post(http, PROTOBUF, &[0x0a, 0xff, 0xff, 0xff, 0xff, 3, 1]).await;
    assert_eq!((answer.status, &answer.body[..2]), (400, &[8, 3][..]), "a status of google.rpc in protobuf");
    let said = [("content_type", 2), ("content_encoding", 1), ("malformed", 5)];
    assert!(said.iter().all(|said| counts.refused_requests().any(|count| count == *said)));
    assert_eq!(spans.n_spans(), 0);
    assert_eq!(say(http, b"GET /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.status, 405);
    assert_eq!(say(http, b"POST /v1/logs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.status, 404);
}

#[tokio::test]
async fn requests_that_are_or_say_they_are_too_large_are_refused_and_take_no_memory() {
    let spans = Collecting::new(None, MANY);
    let small = IntakeConfig { body_max: 100_000, decompressed_max: 200_000, ..config() };
    let (listeners, counts) = start(&small, Waits::default(), &spans).await;
    let http = listeners.http();
    // The length alone is enough to refuse it: not a byte follows.
    assert_eq!(say(http, head(1 << 30, PROTOBUF).as_bytes()).await.status, 413);
    assert_eq!(post(http, PROTOBUF, &vec![0; 100_001]).await.status, 413);
    let chunked = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{PROTOBUF}Transfer-Encoding: chunked\r\n\r\n20000\r\n"
    );
    assert_eq!(say(http, &[chunked.as_bytes(), &vec![0; 0x20000], b"\r\n0\r\n\r\n"].concat()).await.status, 413);
    let headers = format!("{PROTOBUF}Content-Encoding: gzip\r\n");
    let answer = post(http, &headers, &gzip(&vec![0; 8 << 20])).await;
    assert_eq!(answer.status, 413, "a bomb");
    assert!(String::from_utf8_lossy(&answer.body).contains("200000 B (intake.decompressed_max)"));
    let (status, _, headers) = call_with(listeners.grpc(), Some("gzip"), framed(1, &gzip(&vec![0; 8 << 20]))).await;
    assert_eq!(status, "3", "{headers:?}");
    // The length before a message is enough, too.
    let claim = [&[0][..], &(1_u32 << 30).to_be_bytes()].concat();
    let (status, _, headers) = call(channel(listeners.grpc()).await, None, unending(claim)).await;
    assert_eq!(status, "3", "{headers:?}");
    assert!(counts.refused_requests().any(|count| count == ("too_large", 6)));
    assert_eq!(counts.in_flight_bytes().load(Relaxed), 0);
    assert_eq!(post(http, PROTOBUF, &good()).await.status, 200);
}

#[tokio::test]
async fn calls_of_grpc_that_are_none_are_refused_by_reason() {
    let spans = Collecting::new(None, MANY);
    let (listeners, _) = start_any(&spans).await;
    let grpc = listeners.grpc();
    let two = [framed(0, &good()), framed(0, &good())].concat();
    let short = framed(0, &good())[..20].to_vec();
    let cases = [
        (None, Vec::new(), "3", "no message"),
        (None, two, "3", "more than one message"),
        (None, short, "3", "shorter than it says"),
        (None, framed(7, &good()), "3", "not framed"),
        (None, framed(1, &gzip(&good())), "3", "no header says how"),
        (Some("gzip"), framed(1, &good()), "3", "decompressed"),
        (Some("snappy"), framed(1, &good()), "12", "identity"),
        (None, framed(0, &[0x0b]), "3", "group"),
    ];
    for (encoding, bytes, status, words) in cases {
        let (found, _, headers) = call_with(grpc, encoding, bytes).await;
        let message = headers.get("grpc-message").map(|message| message.to_str().unwrap().replace("%20", " "));
        let message = message.unwrap_or_default();
        assert!(found == status && message.contains(words), "{words}: {found} {message}");
        assert!(headers.contains_key("grpc-status-details-bin"));
        assert_eq!(headers.contains_key("grpc-accept-encoding"), status == "12");
    }
    assert_eq!(spans.n_spans(), 0);
}

#[tokio::test]
async fn who_sends_slowly_or_nothing_is_given_up_and_others_are_served() {
    let spans = Collecting::new(None, MANY);
    let waits = Waits { body: SHORT, idle: 2 * SHORT, ..Waits::default() };
    let (listeners, counts) = start(&config(), waits, &spans).await;
    let http = listeners.http();
    let whole = good();
    let half = [head(whole.len() as u64, PROTOBUF).as_bytes(), &whole[..10]].concat();
    let channel = channel(listeners.grpc()).await;
    let (slow, called, served) = tokio::join!(
        say(http, &half),
        call(channel, None, unending(framed(0, &whole)[..9].to_vec())),
        post(http, PROTOBUF, &whole),
    );
    assert_eq!((slow.status, called.0.as_str(), served.status), (408, "4", 200));
    assert!(counts.refused_requests().any(|count| count == ("slow", 2)));
    // Connections that say nothing, or only begin to, end by themselves.
    let begins = [&b""[..], b"POST /v1/tr", b"PRI * HTTP/2.0\r\n\r\nSM\r\n"];
    let silent = begins.into_iter().flat_map(|begin| [(http, begin), (listeners.grpc(), begin)]).map(
        async |(address, begin)| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(begin).await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        },
    );
    futures_util::future::join_all(silent).await;
    assert!(counts.refused_connections().any(|(why, n)| why == "idle" && n >= 4), "{counts:?}");
}
